//! The machine: frames on an explicit stack on the heap, so that the deepest chain of calls needs no
//! native recursion (EVM-3).
//!
//! The interpreter runs the topmost frame until it ends or wants another one. A call to a precompiled
//! contract or to an account without code ends at once and makes no frame.

use crate::code::Code;
use crate::fork::FORK;
use crate::frame::{Environment, Frame, Input, Scope, Source, Stacks};
use crate::gas;
use crate::halt::Halt;
use crate::interpreter::{self, CallRequest, CreateRequest, Exit};
use crate::journal::{AccountId, Checkpoint, Journal};
use crate::memory::Memory;
use crate::precompile;
use crate::tracer::{CallEnd, CallKind, CallStart, Tracer};
use alloy_primitives::{Address, U256};
use std::sync::Arc;

/// A frame at this depth can make no other; the transaction's own is at 0 (EVM-2).
const DEPTH_LIMIT: usize = 1024;

/// How a transaction or a frame of it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It did what it wanted.
    Success,
    /// It asked for its changes to be undone (`REVERT`); unused gas comes back.
    Revert,
    /// It was stopped by force; its changes are undone and its gas is gone.
    Halt(Halt),
}

/// The end of a frame; its output is in the machine's return buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) gas_left: u64,
}

/// Buffers that outlive a transaction.
#[derive(Default)]
pub(crate) struct Buffers {
    frames: Vec<Frame>,
    stacks: Stacks,
    memory: Memory,
    return_data: Vec<u8>,
}

/// The machine in a transaction.
pub(crate) struct Machine<'m, 'h, T> {
    pub(crate) buffers: &'m mut Buffers,
    pub(crate) journal: Journal<'h>,
    pub(crate) environment: Environment<'m>,
    pub(crate) tracer: &'m mut T,
}

impl Buffers {
    /// Return data that is kept from one transaction to the next has at most this room.
    const KEPT_RETURN_BYTES: usize = 1 << 16;

    /// Forgets a transaction, and gives back what only a large one needs.
    pub(crate) fn reset(&mut self) {
        self.frames.clear();
        self.stacks.shrink();
        self.memory.reset();
        self.return_data.clear();
        self.return_data.shrink_to(Self::KEPT_RETURN_BYTES);
    }
}

impl<T: Tracer> Machine<'_, '_, T> {
    /// Carries out the transaction's call, and everything under it.
    pub(crate) fn run_call(&mut self, request: CallRequest) -> End {
        match self.call(request) {
            Some(end) => end,
            None => self.run(),
        }
    }

    /// Carries out the transaction's creation by `creator`, and everything under it.
    pub(crate) fn run_create(&mut self, request: CreateRequest, creator: AccountId) -> End {
        match self.create(request, creator) {
            Some(end) => end,
            None => self.run(),
        }
    }

    /// What the last frame returned.
    pub(crate) fn output(&self) -> &[u8] {
        &self.buffers.return_data
    }

    /// Runs until the lowest frame has ended.
    fn run(&mut self) -> End {
        loop {
            match self.run_top_frame() {
                Exit::Call(request) => {
                    let output = request.output;
                    if let Some(end) = self.call(request) {
                        self.deliver_call(end, output);
                    }
                }
                Exit::Create(request) => {
                    let (address, creator) = (request.address, self.top().account);
                    if let Some(end) = self.create(request, creator) {
                        self.deliver_creation(end, address);
                    }
                }
                exit => {
                    if let Some(last) = self.end_top_frame(exit) {
                        return last;
                    }
                }
            }
        }
    }

    fn run_top_frame(&mut self) -> Exit {
        if T::STOPS && self.tracer.stop(self.buffers.memory.total()) {
            return Exit::Halt(Halt::Stopped);
        }
        let Buffers { frames, stacks, memory, return_data } = &mut *self.buffers;
        let depth = frames.len() - 1;
        let frame = &mut frames[depth];
        let stack = stacks.window(frame.stack_base);
        let scope = &mut Scope {
            memory,
            journal: &mut self.journal,
            return_data,
            environment: &self.environment,
            tracer: self.tracer,
            depth,
        };
        interpreter::run(frame, stack, scope)
    }

    fn top(&mut self) -> &mut Frame {
        self.buffers.frames.last_mut().expect("a frame is running")
    }

    /// Begins a call; it has ended already when it needed no frame.
    fn call(&mut self, request: CallRequest) -> Option<End> {
        self.tracer.enter(&CallStart {
            kind: request.kind,
            depth: self.buffers.frames.len(),
            caller: request.caller,
            address: self.journal.address(request.account),
            code_address: request.code_address,
            value: request.value,
            gas: request.gas,
            input: bytes(request.input, &self.environment, &self.buffers.memory),
        });
        self.buffers.return_data.clear();
        let end = self.begin_call(request);
        if let Some(end) = end {
            self.trace_end(end);
        }
        end
    }

    fn begin_call(&mut self, request: CallRequest) -> Option<End> {
        let moved = if request.transfers { request.value } else { U256::ZERO };
        if let Err(halt) = self.may_descend(request.payer, moved) {
            return Some(End { status: Status::Halt(halt), gas_left: request.gas });
        }
        let checkpoint = self.journal.checkpoint();
        if request.transfers {
            self.journal.transfer(request.payer, request.account, moved);
        }
        if let Some(precompile) = precompile::at(FORK.precompiles, &request.code_address) {
            return Some(self.call_precompile(precompile, &request, checkpoint));
        }
        if !self.journal.account(request.code_account).has_code() {
            return Some(End { status: Status::Success, gas_left: request.gas });
        }
        let frame = Frame {
            kind: request.kind,
            code: self.journal.code(request.code_account),
            pc: 0,
            gas: request.gas,
            stack_base: self.next_stack_base(),
            stack_height: 0,
            caller_memory: self.buffers.memory.enter(),
            account: request.account,
            address: self.journal.address(request.account),
            caller: request.caller,
            value: request.value,
            input: request.input,
            is_static: request.is_static,
            checkpoint,
            output: request.output,
        };
        self.buffers.frames.push(frame);
        None
    }

    /// What both calls and creations need: a free level, and the wei.
    fn may_descend(&self, payer: AccountId, value: U256) -> Result<(), Halt> {
        let too_deep = DEPTH_LIMIT + usize::from(synod_types::mutant!("evm-one-frame-more"));
        if self.buffers.frames.len() > too_deep {
            return Err(Halt::TooDeep);
        }
        if self.journal.account(payer).balance < value {
            return Err(Halt::InsufficientBalance);
        }
        Ok(())
    }

    fn next_stack_base(&self) -> usize {
        self.buffers.frames.last().map_or(0, |caller| caller.stack_base + caller.stack_height)
    }

    /// A failing precompiled contract takes all gas that it was given (EVM-14).
    fn call_precompile(
        &mut self,
        precompile: precompile::Precompile,
        request: &CallRequest,
        checkpoint: Checkpoint,
    ) -> End {
        let Buffers { memory, return_data, .. } = &mut *self.buffers;
        let input = bytes(request.input, &self.environment, memory);
        match precompile(input, request.gas, return_data) {
            Ok(gas_left) => End { status: Status::Success, gas_left },
            Err(halt) => {
                return_data.clear();
                self.journal.revert(checkpoint);
                let gas_left = if synod_types::mutant!("evm-precompile-keeps-gas") { request.gas } else { 0 };
                End { status: Status::Halt(halt), gas_left }
            }
        }
    }

    /// Begins a creation; it has ended already when it could not begin.
    fn create(&mut self, request: CreateRequest, creator: AccountId) -> Option<End> {
        self.tracer.enter(&CallStart {
            kind: request.kind,
            depth: self.buffers.frames.len(),
            caller: self.journal.address(creator),
            address: request.address,
            code_address: request.address,
            value: request.value,
            gas: request.gas,
            input: bytes(request.init_code, &self.environment, &self.buffers.memory),
        });
        self.buffers.return_data.clear();
        let end = self.begin_create(request, creator);
        if let Some(end) = end {
            self.trace_end(end);
        }
        end
    }

    fn begin_create(&mut self, request: CreateRequest, creator: AccountId) -> Option<End> {
        let nonce_is_last = self.journal.account(creator).nonce == u64::MAX;
        let allowed = self.may_descend(creator, request.value);
        if let Err(halt) = allowed.and(if nonce_is_last { Err(Halt::NonceUsedUp) } else { Ok(()) }) {
            return Some(End { status: Status::Halt(halt), gas_left: request.gas });
        }
        // The creator's nonce and the address's warmth survive whatever follows (EVM-9).
        let before = self.journal.checkpoint();
        self.journal.increment_nonce(creator);
        let (account, _) = self.journal.access(&request.address);
        if !self.journal.is_free(account) {
            return Some(End { status: Status::Halt(Halt::AddressInUse), gas_left: 0 });
        }
        let nonce_is_lost = synod_types::mutant!("evm-creation-nonce-reverted");
        let checkpoint = if nonce_is_lost { before } else { self.journal.checkpoint() };
        self.journal.create(account);
        self.journal.transfer(creator, account, request.value);
        let code = Code::new(bytes(request.init_code, &self.environment, &self.buffers.memory));
        let frame = Frame {
            kind: request.kind,
            code: Arc::new(code),
            pc: 0,
            gas: request.gas,
            stack_base: self.next_stack_base(),
            stack_height: 0,
            caller_memory: self.buffers.memory.enter(),
            account,
            address: request.address,
            caller: self.journal.address(creator),
            value: request.value,
            input: Input { source: Source::Transaction, start: 0, len: 0 },
            is_static: false,
            checkpoint,
            output: (0, 0),
        };
        self.buffers.frames.push(frame);
        None
    }

    /// Ends the topmost frame and hands its result to the one below; gives the end of the lowest.
    fn end_top_frame(&mut self, exit: Exit) -> Option<End> {
        let frame = self.buffers.frames.pop().expect("a frame is running");
        let end = self.end_frame(&frame, exit);
        if end.status != Status::Success {
            self.journal.revert(frame.checkpoint);
        }
        self.buffers.memory.leave(frame.caller_memory);
        self.trace_end(end);
        if self.buffers.frames.is_empty() {
            return Some(end);
        }
        if frame.kind.is_creation() {
            self.deliver_creation(end, frame.address);
        } else {
            self.deliver_call(end, frame.output);
        }
        None
    }

    /// Takes the frame's output over, deploys the code of a creation, and says how it ended.
    fn end_frame(&mut self, frame: &Frame, exit: Exit) -> End {
        let Buffers { memory, return_data, .. } = &mut *self.buffers;
        return_data.clear();
        match exit {
            Exit::Return { offset, len } if frame.kind.is_creation() => {
                match deploy(&mut self.journal, frame, memory.slice(offset, len)) {
                    Ok(gas_left) => {
                        if synod_types::mutant!("evm-return-data-not-cleared") {
                            return_data.extend_from_slice(memory.slice(offset, len));
                        }
                        End { status: Status::Success, gas_left }
                    }
                    Err(halt) => End { status: Status::Halt(halt), gas_left: 0 },
                }
            }
            Exit::Return { offset, len } => {
                return_data.extend_from_slice(memory.slice(offset, len));
                End { status: Status::Success, gas_left: frame.gas }
            }
            Exit::Revert { offset, len } => {
                return_data.extend_from_slice(memory.slice(offset, len));
                End { status: Status::Revert, gas_left: frame.gas }
            }
            Exit::Halt(halt) => End { status: Status::Halt(halt), gas_left: 0 },
            Exit::Call(_) | Exit::Create(_) => unreachable!("the frame has ended"),
        }
    }

    /// Pushes a call's result on the caller's stack and copies its output where the caller wanted it.
    fn deliver_call(&mut self, end: End, (offset, len): (usize, usize)) {
        let Buffers { memory, return_data, .. } = &mut *self.buffers;
        let copied = len.min(return_data.len());
        memory.copy_padded(offset, copied, return_data, 0);
        self.deliver(end, U256::from(end.status == Status::Success));
    }

    /// Pushes a creation's result: the new address, or zero.
    fn deliver_creation(&mut self, end: End, address: Address) {
        let success = end.status == Status::Success;
        self.deliver(end, if success { address.into_word().into() } else { U256::ZERO });
    }

    /// Gives the caller its gas back and pushes `result`; the call's own operands left room for it.
    fn deliver(&mut self, end: End, result: U256) {
        let caller = self.buffers.frames.last_mut().expect("a call has a caller");
        caller.gas += end.gas_left;
        let stack = self.buffers.stacks.window(caller.stack_base);
        stack[caller.stack_height] = result;
        caller.stack_height += 1;
    }

    fn trace_end(&mut self, end: End) {
        self.tracer.leave(&CallEnd {
            status: end.status,
            gas_left: end.gas_left,
            output: &self.buffers.return_data,
        });
    }
}

/// Deploys what init code returned (EVM-9): not too long, not beginning with 0xEF, paid for. Returns the
/// gas left.
fn deploy(journal: &mut Journal<'_>, frame: &Frame, code: &[u8]) -> Result<u64, Halt> {
    if code.first() == Some(&0xef) && !synod_types::mutant!("evm-ef-code-allowed") {
        return Err(Halt::CodeBeginsWithEf);
    }
    if code.len() > FORK.code_limit_bytes {
        return Err(Halt::CodeTooLong);
    }
    let gas_left = gas::charge(frame.gas, code.len() as u64 * gas::CODE_DEPOSIT)?;
    journal.set_code(frame.account, code);
    Ok(gas_left)
}

/// The bytes that an input names. The frame that handed it down is on top, or the transaction did.
fn bytes<'a>(input: Input, environment: &Environment<'a>, memory: &'a Memory) -> &'a [u8] {
    match input.source {
        Source::Transaction => &environment.data[input.start..input.start + input.len],
        Source::CallerMemory => memory.absolute(input.start, input.len),
    }
}

impl CallKind {
    /// Whether it makes a contract.
    pub fn is_creation(self) -> bool {
        matches!(self, Self::Create | Self::Create2)
    }
}

//! A frame: one run of one contract's code, and what its instructions may reach.

use crate::code::Code;
use crate::interpreter::STACK_LIMIT;
use crate::journal::{AccountId, Checkpoint, Journal};
use crate::memory::Memory;
use crate::tracer::CallKind;
use crate::transaction::Block;
use alloy_primitives::{Address, B256, U256};
use std::sync::Arc;

/// A frame on the explicit stack of frames.
pub(crate) struct Frame {
    pub(crate) kind: CallKind,
    pub(crate) code: Arc<Code>,
    pub(crate) pc: usize,
    pub(crate) gas: u64,
    /// Where the frame's stack begins in the arena, and its height.
    pub(crate) stack_base: usize,
    pub(crate) stack_height: usize,
    /// The memory window of the frame below, restored when this one ends.
    pub(crate) caller_memory: usize,
    /// Whose storage the code works on.
    pub(crate) account: AccountId,
    pub(crate) address: Address,
    pub(crate) caller: Address,
    pub(crate) value: U256,
    pub(crate) input: Input,
    pub(crate) is_static: bool,
    /// What a revert goes back to.
    pub(crate) checkpoint: Checkpoint,
    /// Where in the caller's memory a call's output goes: (offset, length).
    pub(crate) output: (usize, usize),
}

/// Where bytes for a frame lie: its call data, or init code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input {
    pub(crate) source: Source,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// Whose bytes an [`Input`] is a range of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The transaction's data.
    Transaction,
    /// The memory of the calling frame.
    CallerMemory,
}

/// What is the same for every frame of a transaction.
pub(crate) struct Environment<'a> {
    pub(crate) block: &'a Block,
    pub(crate) origin: Address,
    /// Wei for each unit of gas that the sender really pays.
    pub(crate) gas_price: U256,
    pub(crate) data: &'a [u8],
    pub(crate) blob_hashes: &'a [B256],
}

/// What an instruction may reach besides its own frame's stack.
pub(crate) struct Scope<'s, 'h, T> {
    pub(crate) memory: &'s mut Memory,
    pub(crate) journal: &'s mut Journal<'h>,
    /// What the last call of this frame returned. One buffer serves all frames: whoever calls
    /// loses it, and whoever returns replaces it (EVM-8).
    pub(crate) return_data: &'s mut Vec<u8>,
    pub(crate) environment: &'s Environment<'s>,
    pub(crate) tracer: &'s mut T,
    pub(crate) depth: usize,
}

impl<T> Scope<'_, '_, T> {
    /// The frame's call data.
    #[inline(always)]
    pub(crate) fn input(&self, frame: &Frame) -> &[u8] {
        let Input { source, start, len } = frame.input;
        match source {
            Source::Transaction => &self.environment.data[start..start + len],
            Source::CallerMemory => self.memory.absolute(start, len),
        }
    }
}

/// The stacks of all frames, one behind the other: a frame's begins where its caller's ends, and has room
/// for 1,024 items.
#[derive(Debug, Default)]
pub(crate) struct Stacks(Vec<U256>);

impl Stacks {
    /// Room kept from one transaction to the next: enough for frames of ordinary depth.
    const KEPT_ITEMS: usize = 32 * STACK_LIMIT;

    /// The stack that begins at `base`.
    #[inline]
    pub(crate) fn window(&mut self, base: usize) -> &mut [U256; STACK_LIMIT] {
        let end = base + STACK_LIMIT;
        if self.0.len() < end {
            self.0.resize(end, U256::ZERO);
        }
        self.0[base..].first_chunk_mut().expect("the arena has just been made long enough")
    }

    /// Gives memory back that only a very deep transaction needs.
    pub(crate) fn shrink(&mut self) {
        self.0.truncate(Self::KEPT_ITEMS);
        self.0.shrink_to(Self::KEPT_ITEMS);
    }
}

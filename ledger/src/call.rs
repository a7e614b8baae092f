//! Calls that change nothing, gas estimates, and transactions executed again to be watched: what readers ask
//! of contracts.
//!
//! All of it runs on the state of a block that is still kept, on the reader's own thread, within [`Bounds`]: gas,
//! memory, and a clock that the caller holds. A call at a block sees the state after it, and the block's own
//! number, time and fees.

use synod_types::{B256, BlockHash, Bytes, Height, TransactionId, U256};
use synod_vm::tracer::{CallTracer, Limited, NoTracer};
use synod_vm::{Estimate, Execution, Refusal, Transaction, Vm};

use crate::execution::contract::{BlockHost, environment};
use crate::execution::{self, Ancestors, BLOCK_HASHES, LeftOut, Parent, Traced};
use crate::history::BlockHistory;
use crate::reader::{NoState, Reader};
use crate::recent::{Executed, Recent};
use crate::state::{DiffBuilder, StateRead, View};
use crate::store::StoreError;

/// What a reader gives to one question.
pub struct Bounds<'a> {
    /// The most gas; a call that names no limit of its own gets it all.
    pub gas: u64,
    /// The most bytes that the call's frames may hold in memory together.
    pub memory_bytes: usize,
    /// Asked now and then: whether the call has taken too long.
    pub is_time_up: &'a dyn Fn() -> bool,
}

/// Why a question about contracts has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The state is not kept.
    #[error(transparent)]
    NoState(#[from] NoState),
    /// The call cannot begin.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It took longer, or more memory, than it may.
    #[error("it takes longer, or more memory, than this node gives to a call")]
    Stopped,
    /// The chain was reorganised meanwhile.
    #[error("the chain changed while this was read: ask again")]
    Moved,
    /// The index failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The block log failed.
    #[error("the block log failed: {0}")]
    History(String),
}

/// A transaction as it ran in its block.
#[derive(Debug)]
pub struct Watched {
    /// The block.
    pub height: Height,
    /// Its hash.
    pub block_hash: BlockHash,
    /// The transaction's index in it.
    pub index: u32,
    /// What it did.
    pub execution: Execution,
    /// Its calls.
    pub calls: CallTracer,
}

/// An answer, and the block at which it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The block's height.
    pub height: Height,
    /// Its hash.
    pub block_hash: BlockHash,
    /// The answer.
    pub answer: T,
}

/// The hashes right below a block, newest last.
struct Below {
    height: Height,
    hashes: Vec<BlockHash>,
}

impl Below {
    fn of(recent: &Recent, height: Height) -> Self {
        let lowest = height.0.saturating_sub(BLOCK_HASHES);
        let hashes = (lowest..height.0).filter_map(|below| recent.hash_at(Height(below))).collect();
        Self { height, hashes }
    }
}

impl Ancestors for Below {
    fn block_hash(&self, height: Height) -> Option<BlockHash> {
        let below = usize::try_from(self.height.0.checked_sub(height.0)?).ok()?;
        self.hashes.get(self.hashes.len().checked_sub(below)?).copied()
    }
}

impl<H: BlockHistory> Reader<H> {
    /// Executes a call at a block (EVM-15): any sender, any nonce, free where its fee is zero.
    ///
    /// # Errors
    /// [`CallError`]. A call that reverts or halts is an answer.
    pub fn call(
        &self,
        at: Height,
        call: &Transaction,
        bounds: &Bounds<'_>,
    ) -> Result<At<Execution>, CallError> {
        self.ask(at, bounds, |vm, host, block, tracer| vm.call_traced(host, block, call, bounds.gas, tracer))
    }

    /// Finds the gas that a call needs at a block.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn estimate(
        &self,
        at: Height,
        call: &Transaction,
        bounds: &Bounds<'_>,
    ) -> Result<At<Estimate>, CallError> {
        self.ask(at, bounds, |vm, host, block, tracer| {
            vm.estimate_traced(host, block, call, bounds.gas, tracer)
        })
    }

    fn ask<T>(
        &self,
        at: Height,
        bounds: &Bounds<'_>,
        run: impl FnOnce(
            &mut Vm,
            &BlockHost<'_, '_, View>,
            &synod_vm::Block,
            &mut Limited<'_, NoTracer>,
        ) -> Result<T, Refusal>,
    ) -> Result<At<T>, CallError> {
        let (block, below) = self.block_and_below(at)?;
        let changes = DiffBuilder::new(&block.view);
        let host = BlockHost::new(&changes, &below);
        let mut tracer = Limited::new(NoTracer, bounds.memory_bytes, bounds.is_time_up);
        let answer = run(&mut Vm::new(), &host, &self.environment(&block), &mut tracer)?;
        if tracer.was_stopped() {
            return Err(CallError::Stopped);
        }
        Ok(At { height: block.height(), block_hash: block.hash, answer })
    }

    /// Executes a transaction of the chain again, as it ran in its block, and keeps its calls. `None` when it is
    /// not known.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn trace(
        &self,
        id: &TransactionId,
        calls: CallTracer,
        bounds: &Bounds<'_>,
    ) -> Result<Option<Watched>, CallError> {
        let Some(located) = self.transaction(id)? else { return Ok(None) };
        let (height, index) = (located.height, located.index);
        let body = self.block_at(height).map_err(|error| CallError::History(error.to_string()))?;
        let body = body.ok_or(CallError::Moved)?;
        let below_height = Height(height.0.checked_sub(1).ok_or(CallError::Moved)?);
        let (parent, below) = self.block_and_below(below_height)?;
        if body.header.parent != parent.hash {
            return Err(CallError::Moved);
        }
        let (block_hash, time) = (body.hash(), body.time());
        let genesis = self.rules().genesis;
        let first = body.transactions.into_iter().take(index as usize + 1);
        let block = Traced {
            time,
            fee_recipient: body.commitment.fee_recipient,
            transactions: first.map(|one| one.accepted_before(genesis)).collect(),
        };
        let ancestors = OnParent { parent: &parent, below: &below };
        let on = Parent { hash: parent.hash, height: parent.height(), ancestors: &ancestors };
        let mut tracer = Limited::new(calls, bounds.memory_bytes, bounds.is_time_up);
        let go_on = || !(bounds.is_time_up)();
        let rules = self.rules();
        let ran = execution::trace(&mut Vm::new(), rules, &parent.view, &on, &block, &mut tracer, &go_on);
        let execution = ran.map_err(|_: LeftOut| CallError::Moved)?.ok_or(CallError::Stopped)?;
        if tracer.was_stopped() {
            return Err(CallError::Stopped);
        }
        Ok(Some(Watched { height, block_hash, index, execution, calls: tracer.tracer }))
    }

    /// The code of an account at a block, and its hash; `None` for an account without.
    ///
    /// # Errors
    /// [`NoState`].
    pub fn code(
        &self,
        at: Height,
        address: &synod_types::Address,
    ) -> Result<At<Option<(B256, Bytes)>>, NoState> {
        let (block, _) = self.block_and_below(at)?;
        let code_hash = block.view.account(address).code_hash;
        let answer = code_hash.and_then(|hash| Some((*hash, block.view.code(&hash)?)));
        Ok(At { height: block.height(), block_hash: block.hash, answer })
    }

    /// A storage slot at a block.
    ///
    /// # Errors
    /// [`NoState`].
    pub fn slot(&self, at: Height, address: &synod_types::Address, slot: &B256) -> Result<At<U256>, NoState> {
        let (block, _) = self.block_and_below(at)?;
        let answer = block.view.slot(address, slot);
        Ok(At { height: block.height(), block_hash: block.hash, answer })
    }

    fn environment(&self, block: &Executed) -> synod_vm::Block {
        let (parent, bound) = (&block.header.parent, &block.commitment);
        let (height, time) = (block.height(), block.time());
        environment(self.rules(), height, parent, time, bound.base_fee, bound.fee_recipient)
    }
}

/// The blocks below a child of `parent`.
struct OnParent<'a> {
    parent: &'a Executed,
    below: &'a Below,
}

impl Ancestors for OnParent<'_> {
    fn block_hash(&self, height: Height) -> Option<BlockHash> {
        if height == self.parent.height() { Some(self.parent.hash) } else { self.below.block_hash(height) }
    }
}

impl<H: BlockHistory> Reader<H> {
    /// A block whose state is kept, and the hashes below it.
    fn block_and_below(&self, height: Height) -> Result<(std::sync::Arc<Executed>, Below), NoState> {
        self.with_recent(|recent| match recent.at(height) {
            Some(block) => Ok((block.clone(), Below::of(recent, height))),
            None => Err(no_state(recent, height)),
        })
    }
}

/// Why the state at a height is not kept.
pub(crate) fn no_state(recent: &Recent, asked: Height) -> NoState {
    let (oldest, head) = (recent.oldest(), recent.head().height());
    if asked > head { NoState::Future { asked, head } } else { NoState::Pruned { asked, oldest, head } }
}

//! Watching a transaction: the call tree with gas, and single steps.
//!
//! The machine is compiled for each [`Tracer`]; with [`NoTracer`] nothing of it is left. [`Limited`] ends a run
//! that takes too long or too much memory.

mod calls;
mod limited;
mod steps;

pub use calls::{CallRecord, CallTracer};
pub use limited::Limited;
pub use steps::{StepRecord, StepTracer};

use crate::machine::Status;
use alloy_primitives::{Address, Log, U256};

/// What makes a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// `CALL`, or a transaction's call.
    Call,
    /// `CALLCODE`
    CallCode,
    /// `DELEGATECALL`
    DelegateCall,
    /// `STATICCALL`
    StaticCall,
    /// `CREATE`, or a transaction's creation.
    Create,
    /// `CREATE2`
    Create2,
}

/// A call or creation that begins.
#[derive(Debug, Clone, Copy)]
pub struct CallStart<'a> {
    /// What made it.
    pub kind: CallKind,
    /// 0 for the transaction's own frame.
    pub depth: usize,
    /// Whom the code sees as its caller.
    pub caller: Address,
    /// On whose storage the code works; the new contract for a creation.
    pub address: Address,
    /// Whose code runs.
    pub code_address: Address,
    /// Wei.
    pub value: U256,
    /// Gas that it may use.
    pub gas: u64,
    /// Call data or init code.
    pub input: &'a [u8],
}

/// A call or creation that ends: always the one that began last.
#[derive(Debug, Clone, Copy)]
pub struct CallEnd<'a> {
    /// How it ended.
    pub status: Status,
    /// Gas that goes back to the caller.
    pub gas_left: u64,
    /// What it returned, or the reason that it gave for reverting.
    pub output: &'a [u8],
}

/// An instruction that is about to run.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// 0 for the transaction's own frame.
    pub depth: usize,
    /// Where the instruction stands in the code.
    pub pc: usize,
    /// The instruction.
    pub opcode: u8,
    /// Gas left before it.
    pub gas: u64,
    /// The stack before it, top last.
    pub stack: &'a [U256],
    /// The memory before it.
    pub memory: &'a [u8],
}

/// A watcher of one transaction.
pub trait Tracer {
    /// Whether [`Self::step`] is wanted. It slows everything down.
    const STEPS: bool;

    /// Whether [`Self::stop`] is asked.
    const STOPS: bool = false;

    /// Whether the transaction is to end by force, for what it costs whoever runs it: asked at every jump and
    /// whenever a frame begins or goes on. `memory_bytes` is the memory of all frames. Only for runs that
    /// nobody must agree on.
    fn stop(&mut self, _memory_bytes: usize) -> bool {
        false
    }

    /// An instruction is about to run.
    fn step(&mut self, _step: &Step<'_>) {}

    /// A call or creation begins.
    fn enter(&mut self, _start: &CallStart<'_>) {}

    /// The call or creation that began last ends.
    fn leave(&mut self, _end: &CallEnd<'_>) {}

    /// A log was written; a later revert may undo it.
    fn log(&mut self, _log: &Log) {}

    /// A contract destroys itself and sends `balance` wei.
    fn self_destruct(&mut self, _contract: &Address, _beneficiary: &Address, _balance: &U256) {}
}

/// Watches nothing, and costs nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTracer;

impl Tracer for NoTracer {
    const STEPS: bool = false;
}

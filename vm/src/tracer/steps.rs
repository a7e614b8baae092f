//! Single steps of a transaction, for debugging: one record for each instruction, within a bound.

use super::{Step, Tracer};
use crate::opcode;
use alloy_primitives::U256;

/// One instruction, as it was about to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// 0 for the transaction's own frame.
    pub depth: usize,
    /// Where the instruction stood in the code.
    pub pc: usize,
    /// Its name.
    pub name: &'static str,
    /// Gas left before it.
    pub gas: u64,
    /// The items at the top of the stack that it takes, top last.
    pub operands: Vec<U256>,
    /// Bytes of memory before it.
    pub memory_bytes: usize,
}

/// Records the first steps of a transaction, up to a limit.
#[derive(Debug)]
pub struct StepTracer {
    records: Vec<StepRecord>,
    limit: usize,
    omitted: u64,
}

impl StepTracer {
    /// Records at most `limit` steps.
    pub fn new(limit: usize) -> Self {
        Self { records: Vec::new(), limit, omitted: 0 }
    }

    /// The steps in order.
    pub fn records(&self) -> &[StepRecord] {
        &self.records
    }

    /// How many steps came after the limit.
    pub fn omitted(&self) -> u64 {
        self.omitted
    }
}

impl Tracer for StepTracer {
    const STEPS: bool = true;

    fn step(&mut self, step: &Step<'_>) {
        if self.records.len() == self.limit {
            self.omitted += 1;
            return;
        }
        let inputs = opcode::TABLE[step.opcode as usize].map_or(0, |row| row.inputs as usize);
        let first = step.stack.len().saturating_sub(inputs);
        self.records.push(StepRecord {
            depth: step.depth,
            pc: step.pc,
            name: opcode::name(step.opcode),
            gas: step.gas,
            operands: step.stack[first..].to_vec(),
            memory_bytes: step.memory.len(),
        });
    }
}

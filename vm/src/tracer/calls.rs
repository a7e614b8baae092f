//! The call tree of a transaction, with gas.
//!
//! Kept as a flat list in the order of beginning, each record with its parent's index: a chain of 1,025
//! calls can be printed and dropped without recursion. Both the number of records and the bytes of data
//! kept are bounded; what is left out is counted.

use super::{CallEnd, CallKind, CallStart, Tracer};
use crate::machine::Status;
use alloy_primitives::{Address, Bytes, Log, U256};

/// One call or creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// The index of the call that made this one; `None` for the transaction's own.
    pub parent: Option<usize>,
    /// What made it.
    pub kind: CallKind,
    /// 0 for the transaction's own.
    pub depth: usize,
    /// Whom the code saw as its caller.
    pub caller: Address,
    /// On whose storage the code worked; the new contract for a creation.
    pub address: Address,
    /// Whose code ran.
    pub code_address: Address,
    /// Wei.
    pub value: U256,
    /// Gas that it was given.
    pub gas: u64,
    /// Gas that it used, its own calls included.
    pub gas_used: u64,
    /// Call data or init code; empty when the tracer's bound on data was reached.
    pub input: Bytes,
    /// What it returned; empty when the bound was reached.
    pub output: Bytes,
    /// How it ended; `None` while it runs.
    pub status: Option<Status>,
    /// The logs that it wrote itself. Undone with it when it, or a call above it, does not succeed.
    pub logs: Vec<Log>,
    /// Where it sent its balance, and how many wei, when it destroyed itself.
    pub self_destruct: Option<(Address, U256)>,
}

/// Records the call tree.
#[derive(Debug)]
pub struct CallTracer {
    records: Vec<CallRecord>,
    /// The calls that run, lowest first; `None` for one that is not recorded.
    open: Vec<Option<usize>>,
    records_limit: usize,
    bytes_left: usize,
    omitted: usize,
}

impl Default for CallTracer {
    fn default() -> Self {
        Self::new(10_000, 16 << 20)
    }
}

impl CallTracer {
    /// Records at most `records_limit` calls and `bytes_limit` bytes of their data.
    pub fn new(records_limit: usize, bytes_limit: usize) -> Self {
        Self { records: Vec::new(), open: Vec::new(), records_limit, bytes_left: bytes_limit, omitted: 0 }
    }

    /// The calls in the order in which they began.
    pub fn records(&self) -> &[CallRecord] {
        &self.records
    }

    /// How many calls were left out because of the limit.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    fn keep(&mut self, data: &[u8]) -> Bytes {
        match self.bytes_left.checked_sub(data.len()) {
            Some(left) => {
                self.bytes_left = left;
                Bytes::copy_from_slice(data)
            }
            None => Bytes::new(),
        }
    }
}

impl Tracer for CallTracer {
    const STEPS: bool = false;

    fn enter(&mut self, start: &CallStart<'_>) {
        if self.records.len() == self.records_limit {
            self.omitted += 1;
            return self.open.push(None);
        }
        let record = CallRecord {
            parent: self.open.last().copied().flatten(),
            kind: start.kind,
            depth: start.depth,
            caller: start.caller,
            address: start.address,
            code_address: start.code_address,
            value: start.value,
            gas: start.gas,
            gas_used: 0,
            input: self.keep(start.input),
            output: Bytes::new(),
            status: None,
            logs: Vec::new(),
            self_destruct: None,
        };
        self.open.push(Some(self.records.len()));
        self.records.push(record);
    }

    fn leave(&mut self, end: &CallEnd<'_>) {
        let Some(index) = self.open.pop().flatten() else { return };
        let output = self.keep(end.output);
        let record = &mut self.records[index];
        record.gas_used = record.gas.saturating_sub(end.gas_left);
        record.output = output;
        record.status = Some(end.status);
    }

    fn log(&mut self, log: &Log) {
        let Some(&Some(index)) = self.open.last() else { return };
        if let Some(left) = self.bytes_left.checked_sub(log.data.data.len()) {
            self.bytes_left = left;
            self.records[index].logs.push(log.clone());
        }
    }

    fn self_destruct(&mut self, _contract: &Address, beneficiary: &Address, balance: &U256) {
        if let Some(&Some(index)) = self.open.last() {
            self.records[index].self_destruct = Some((*beneficiary, *balance));
        }
    }
}

//! The epochs of a chain, for readers: who orders now, and how it came to that.

use synod_types::committee::EpochRecord;
use synod_types::{Block, Height};

use crate::execution::committee::{record_in_body, record_in_force};
use crate::history::BlockHistory;
use crate::reader::Reader;
use crate::recent::Executed;

/// The last block of an epoch, and the record of the next one, whose hash the block's header binds.
#[derive(Debug, Clone)]
pub struct EpochEnd {
    /// The block.
    pub block: Block,
    /// The next epoch's record.
    pub next: EpochRecord,
}

impl<H: BlockHistory> Reader<H> {
    /// The record of the epoch to which the child of `block` belongs; `None` under proof of work.
    pub fn record_after(&self, block: &Executed) -> Option<EpochRecord> {
        record_in_force(self.rules(), &block.view)
    }

    /// The last block of the epoch before `record`'s; `None` before the first epoch, or if the log does not have it.
    ///
    /// # Errors
    /// The log's.
    pub fn end_before(&self, record: &EpochRecord) -> Result<Option<EpochEnd>, H::Error> {
        if record.base == Height(0) {
            return Ok(None);
        }
        Ok(self.block_at(record.base)?.map(|block| EpochEnd { block, next: record.clone() }))
    }

    /// The record of the epoch before `record`'s; `None` before the first epoch, or if the log does not have it.
    ///
    /// # Errors
    /// The log's.
    pub fn record_before(&self, record: &EpochRecord) -> Result<Option<EpochRecord>, H::Error> {
        let Some(EpochEnd { block, .. }) = self.end_before(record)? else { return Ok(None) };
        let base = Height(block.height().0.saturating_sub(block.commitment.position.slot.0));
        if base == Height(0) {
            return Ok(self.rules().committee.clone());
        }
        let Some(end) = self.block_at(base)? else { return Ok(None) };
        let natives = end.transactions.iter().map(synod_types::Transaction::native);
        Ok(record_in_body(natives, end.commitment.next_committee, base))
    }
}

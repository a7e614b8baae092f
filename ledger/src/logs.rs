//! Events of contracts, found by contract and topics over a range of blocks.
//!
//! Each block's commitment has a bloom filter over its events; only the receipts of blocks whose filter lets a
//! question through are looked at. A page ends after [`PAGE_BLOCKS`] blocks or the number of events that was
//! asked for, and says where the next one begins (RPC-3).

use alloy_primitives::{Bloom, BloomInput};
use synod_types::{Address, B256, BlockHash, Height, Log, Receipt, TransactionId, UnixMillis};

use crate::history::BlockHistory;
use crate::reader::Reader;
use crate::store::StoreError;

/// The most blocks that one page looks at.
pub const PAGE_BLOCKS: u64 = 1_000;
/// The most events that one page has.
pub const PAGE_LOGS: usize = 10_000;
/// The most bytes of events' data that one page has, the last event aside.
pub const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Of one of these contracts; of any when empty.
    pub addresses: Vec<Address>,
    /// For each topic in order, one of these; any when empty.
    pub topics: Vec<Vec<B256>>,
}

impl LogFilter {
    /// Whether a block with this bloom filter can have such an event.
    pub fn may_match(&self, bloom: &Bloom) -> bool {
        let has = |bytes: &[u8]| bloom.contains_input(BloomInput::Raw(bytes));
        let any = |wanted: &[B256]| wanted.is_empty() || wanted.iter().any(|topic| has(topic.as_slice()));
        !bloom.is_zero()
            && (self.addresses.is_empty() || self.addresses.iter().any(|address| has(address.as_slice())))
            && self.topics.iter().all(|wanted| any(wanted))
    }

    /// Whether this is such an event.
    pub fn matches(&self, log: &Log) -> bool {
        let fits = |(wanted, topic): (&Vec<B256>, Option<&B256>)| {
            topic.is_some_and(|topic| wanted.is_empty() || wanted.contains(topic))
        };
        let topics = log.topics.iter().map(Some).chain(std::iter::repeat(None));
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.iter().zip(topics).all(fits)
    }
}

/// An event's place: its block, and its number among the block's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPlace {
    /// The block's height.
    pub height: Height,
    /// From 0.
    pub index: u32,
}

/// An event, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLog {
    /// Its place.
    pub place: LogPlace,
    /// Its block.
    pub block_hash: BlockHash,
    /// The block's time.
    pub time: UnixMillis,
    /// The transaction that emitted it.
    pub transaction: TransactionId,
    /// That transaction's index in the block.
    pub transaction_index: u32,
    /// The event.
    pub log: Log,
}

/// A page of events, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsPage {
    /// The events.
    pub logs: Vec<FoundLog>,
    /// Where the next page begins; `None` at the end of the range.
    pub next: Option<LogPlace>,
}

/// Why events cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The index failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The block log failed.
    #[error("the block log failed: {0}")]
    History(String),
    /// The range begins below this node's first block.
    #[error("blocks below height {0} are pruned: this node keeps blocks from there on")]
    Pruned(Height),
    /// The index was thrown away by a reorganisation, and is not built again yet.
    #[error("the receipts of height {0} are not indexed: ask again shortly")]
    NotIndexed(Height),
}

/// The events of one block that pass a filter, with their places.
pub fn matching(
    filter: &LogFilter,
    height: Height,
    (block_hash, time): (BlockHash, UnixMillis),
    receipts: &[Receipt],
) -> Vec<FoundLog> {
    let all = (0..)
        .zip(receipts)
        .flat_map(|(index, receipt)| receipt.logs.iter().map(move |log| (index, receipt, log)));
    let found = (0..).zip(all).filter(|(_, (_, _, log))| filter.matches(log));
    let found = found.map(|(index, (transaction_index, receipt, log))| FoundLog {
        place: LogPlace { height, index },
        block_hash,
        time,
        transaction: receipt.transaction,
        transaction_index,
        log: log.clone(),
    });
    found.collect()
}

impl<H: BlockHistory> Reader<H> {
    /// The events that pass `filter` from a place up to a height (at most the head's), at most `limit`.
    ///
    /// # Errors
    /// [`LogsError`].
    pub fn logs(
        &self,
        filter: &LogFilter,
        from: LogPlace,
        to: Height,
        limit: usize,
    ) -> Result<LogsPage, LogsError> {
        let base = self.base();
        if base > Height(0) && from.height <= base {
            return Err(LogsError::Pruned(Height(base.0.saturating_add(1))));
        }
        let mut recent = self.recent_blocks();
        recent.retain(|block| block.has_receipts());
        recent.reverse();
        let head = recent.last().map_or(Height(0), |head| head.height());
        let to = to.min(head);
        let last = Height(from.height.0.saturating_add(PAGE_BLOCKS - 1)).min(to);
        let below = recent.first().map_or(Height(0), |lowest| lowest.height());
        let indexed = self.indexed_candidates(filter, from.height, last, below)?;
        let kept = recent.iter().filter(|block| (from.height..=last).contains(&block.height()));
        let kept = kept.filter(|block| filter.may_match(&block.commitment.logs_bloom));
        let mut page = Page { from, limit: limit.clamp(1, PAGE_LOGS), logs: Vec::new(), bytes: 0 };
        for height in indexed {
            if let Some(next) = page.take(self.indexed_logs(filter, height)?) {
                return Ok(LogsPage { logs: page.logs, next: Some(next) });
            }
        }
        for block in kept {
            let found = matching(filter, block.height(), (block.hash, block.time()), &block.receipts);
            if let Some(next) = page.take(found) {
                return Ok(LogsPage { logs: page.logs, next: Some(next) });
            }
        }
        let next = (last < to).then(|| LogPlace { height: Height(last.0 + 1), index: 0 });
        Ok(LogsPage { logs: page.logs, next })
    }

    /// The blocks of a range, below a height, that are only in the index and may have such events.
    fn indexed_candidates(
        &self,
        filter: &LogFilter,
        from: Height,
        last: Height,
        below: Height,
    ) -> Result<Vec<Height>, LogsError> {
        let Some(top) = below.0.checked_sub(1).map(|top| Height(top).min(last)).filter(|top| from <= *top)
        else {
            return Ok(Vec::new());
        };
        let blooms = self.indexed_blooms(from, top)?.ok_or(LogsError::NotIndexed(top))?;
        let candidates = blooms.into_iter().filter(|(_, bloom)| filter.may_match(bloom));
        Ok(candidates.map(|(height, _)| height).collect())
    }

    fn indexed_logs(&self, filter: &LogFilter, height: Height) -> Result<Vec<FoundLog>, LogsError> {
        let block = self.block_at(height).map_err(|error| LogsError::History(error.to_string()))?;
        let receipts = self.receipts(height)?;
        let (block, receipts) = block.zip(receipts).ok_or(LogsError::NotIndexed(height))?;
        Ok(matching(filter, height, (block.hash(), block.time()), &receipts))
    }
}

/// A page that is being filled.
struct Page {
    from: LogPlace,
    limit: usize,
    logs: Vec<FoundLog>,
    bytes: usize,
}

impl Page {
    /// Takes a block's events in; gives the place of the first one for which there is no room.
    fn take(&mut self, found: Vec<FoundLog>) -> Option<LogPlace> {
        for log in found.into_iter().filter(|log| log.place >= self.from) {
            if self.logs.len() == self.limit || self.bytes > PAGE_BYTES {
                return Some(log.place);
            }
            self.bytes += log.log.data.len();
            self.logs.push(log);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use synod_types::receipt::logs_bloom;
    use synod_types::{Bytes, Gas};

    use super::*;

    fn log(address: u8, topics: &[u8]) -> Log {
        let topics = topics.iter().map(|topic| B256::repeat_byte(*topic)).collect();
        Log { address: Address::repeat_byte(address), topics, data: Bytes::new() }
    }

    fn filter(addresses: &[u8], topics: &[&[u8]]) -> LogFilter {
        LogFilter {
            addresses: addresses.iter().map(|byte| Address::repeat_byte(*byte)).collect(),
            topics: topics
                .iter()
                .map(|any| any.iter().map(|byte| B256::repeat_byte(*byte)).collect())
                .collect(),
        }
    }

    /// A filter names contracts and, topic by topic, what may stand there; a missing topic passes none.
    #[test]
    fn a_filter_goes_by_contract_and_by_each_topic() {
        let seen = log(1, &[2, 3]);
        let passing = [
            filter(&[], &[]),
            filter(&[9, 1], &[]),
            filter(&[], &[&[2]]),
            filter(&[1], &[&[], &[4, 3]]),
            filter(&[], &[&[], &[]]),
        ];
        let failing = [
            filter(&[9], &[]),
            filter(&[], &[&[3]]),
            filter(&[1], &[&[2], &[2]]),
            filter(&[], &[&[2], &[3], &[]]),
        ];
        let receipt = Receipt {
            transaction: TransactionId::default(),
            succeeded: true,
            gas_used: Gas(0),
            effective_fee: 0,
            created: None,
            output: Bytes::new(),
            logs: vec![seen.clone()],
        };
        let bloom = logs_bloom(std::slice::from_ref(&receipt));
        for one in passing {
            assert!(one.matches(&seen) && one.may_match(&bloom), "{one:?}");
        }
        for one in failing {
            assert!(!one.matches(&seen), "{one:?}");
        }
        assert!(!filter(&[9], &[]).may_match(&bloom));
        assert!(!filter(&[], &[]).may_match(&Bloom::ZERO));
    }
}

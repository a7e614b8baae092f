//! Blocks that the ledger refused (POW-7): remembered over restarts, the newest so many of them.

use std::collections::{BTreeSet, VecDeque};

use synod_types::BlockHash;

use super::config::Limits;
use super::messages::Record;

/// The records that still say something: what a start after them would remember. A driver may keep these in
/// place of all (the journal would grow for ever otherwise).
pub fn live_records(records: Vec<Record>, limits: &Limits) -> Vec<Record> {
    let mut condemned = Condemned::new(limits.condemned);
    for Record::Condemned { block_hash } in records {
        condemned.insert(block_hash);
    }
    condemned.into_members().map(|block_hash| Record::Condemned { block_hash }).collect()
}

/// A bounded set; the oldest entry goes first.
#[derive(Debug)]
pub(super) struct Condemned {
    members: BTreeSet<BlockHash>,
    order: VecDeque<BlockHash>,
    bound: usize,
}

impl Condemned {
    pub(super) fn new(bound: usize) -> Self {
        Self { members: BTreeSet::new(), order: VecDeque::new(), bound }
    }

    pub(super) fn insert(&mut self, hash: BlockHash) {
        if !self.members.insert(hash) {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > self.bound
            && let Some(oldest) = self.order.pop_front()
        {
            self.members.remove(&oldest);
        }
    }

    /// The members, oldest first.
    fn into_members(self) -> impl Iterator<Item = BlockHash> {
        self.order.into_iter()
    }

    pub(super) fn contains(&self, hash: BlockHash) -> bool {
        !self.members.is_empty() && self.members.contains(&hash)
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    #[test]
    fn pow_7_the_newest_records_live_each_once() {
        let record = |byte| Record::Condemned { block_hash: BlockHash(B256::repeat_byte(byte)) };
        let limits = Limits { condemned: 3, ..Limits::default() };
        let live = live_records([1, 2, 2, 3, 4, 1, 5].map(record).to_vec(), &limits);
        assert_eq!(live, [4, 1, 5].map(record));
        assert_eq!(live_records(live.clone(), &limits), live);
    }
}

//! Blocks that the ledger refused (POW-7): remembered over restarts, the newest so many of them.

use std::collections::{BTreeSet, VecDeque};

use synod_types::BlockHash;

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

    pub(super) fn contains(&self, hash: BlockHash) -> bool {
        !self.members.is_empty() && self.members.contains(&hash)
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }
}

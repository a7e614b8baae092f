//! Payloads of ours that are on their way through a committee.
//!
//! Their transactions stay in the pool until a block has them, and are in no other payload meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use synod_types::{B256, TransactionId};

use super::Pool;

/// The payloads, by digest.
#[derive(Debug, Default)]
pub struct Offers {
    offers: BTreeMap<B256, Vec<TransactionId>>,
    taken: BTreeSet<TransactionId>,
}

impl Offers {
    /// A payload of these transactions is on its way.
    pub fn begin(&mut self, digest: B256, transactions: Vec<TransactionId>) {
        self.taken.extend(transactions.iter().copied());
        self.offers.insert(digest, transactions);
    }

    /// The payload's way has ended, in a block or nowhere.
    pub fn end(&mut self, digest: B256) {
        for id in self.offers.remove(&digest).unwrap_or_default() {
            self.taken.remove(&id);
        }
    }

    /// The transactions that are on their way.
    pub fn taken(&self) -> &BTreeSet<TransactionId> {
        &self.taken
    }

    /// How many bytes of the pool they are.
    pub fn bytes(&self, pool: &Pool) -> usize {
        self.taken.iter().filter_map(|id| pool.find(*id)).map(|one| one.bytes).sum()
    }
}

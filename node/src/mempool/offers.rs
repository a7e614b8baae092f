//! Payloads of ours that are on their way through a committee.
//!
//! Their transactions stay in the pool until a block has them, and are in no other payload meanwhile.

use std::collections::{BTreeMap, HashMap};

use synod_types::{B256, TransactionId};

/// The payloads, by digest.
#[derive(Debug, Default)]
pub struct Offers {
    offers: BTreeMap<B256, Vec<TransactionId>>,
    /// What each transaction takes in the pool, in bytes.
    taken: HashMap<TransactionId, usize>,
    /// The sum of them: whoever brings transactions asks for it each time.
    bytes: usize,
}

impl Offers {
    /// A payload of these transactions, with what each takes in the pool, is on its way.
    pub fn begin(&mut self, digest: B256, transactions: impl IntoIterator<Item = (TransactionId, usize)>) {
        let take = |(id, bytes)| {
            self.bytes += bytes;
            self.bytes -= self.taken.insert(id, bytes).unwrap_or(0);
            id
        };
        let ids = transactions.into_iter().map(take).collect();
        self.offers.insert(digest, ids);
    }

    /// A block has this one, and the pool has it no more.
    pub fn included(&mut self, id: TransactionId) {
        self.bytes -= self.taken.remove(&id).unwrap_or(0);
    }

    /// The payload's way has ended, in a block or nowhere.
    pub fn end(&mut self, digest: B256) {
        for id in self.offers.remove(&digest).unwrap_or_default() {
            self.included(id);
        }
    }

    /// Whether a transaction is on its way.
    pub fn has(&self, id: TransactionId) -> bool {
        self.taken.contains_key(&id)
    }

    /// How many bytes of the pool are on their way.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_its_way_is_counted_until_a_block_has_it_or_its_way_ends() {
        let (one, two) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let id = |number| TransactionId(B256::repeat_byte(number));
        let mut offers = Offers::default();
        offers.begin(one, [(id(10), 100), (id(11), 50)]);
        offers.begin(two, [(id(12), 7)]);
        assert_eq!((offers.bytes(), offers.has(id(11)), offers.has(id(13))), (157, true, false));
        offers.included(id(10));
        offers.included(id(13));
        assert_eq!((offers.bytes(), offers.has(id(10))), (57, false));
        offers.end(one);
        offers.end(one);
        assert_eq!((offers.bytes(), offers.has(id(11))), (7, false));
        offers.begin(two, [(id(12), 9)]);
        assert_eq!(offers.bytes(), 9, "told twice, counted once");
        offers.end(two);
        assert_eq!(offers.bytes(), 0);
    }
}

//! The door: every signature is checked once in a process, in batches, by the one rule (CRY-1).
//!
//! The pool checks what comes in and remembers it in a [`VerifiedCache`]; blocks then find most of their
//! transactions checked already. The cache knows transactions by the hash of *all* their bytes: an id does not
//! cover the signature, and a block that carries a known transaction with a bad signature is as invalid here as
//! at a node that never saw the good one.

use std::collections::{HashMap, VecDeque};

use rand_core::CryptoRng;
use synod_types::hash::sha256;
use synod_types::transaction::{TransactionError, verify_transactions};
use synod_types::{B256, Transaction, VerifiedTransaction};

use crate::execution::Rules;

/// Whoever remembers which transactions were checked.
pub trait Door {
    /// The checked form of exactly this transaction, signature included, if it is remembered.
    fn verified(&self, transaction: &Transaction) -> Option<VerifiedTransaction>;
}

/// Nothing is remembered.
impl Door for () {
    fn verified(&self, _: &Transaction) -> Option<VerifiedTransaction> {
        None
    }
}

/// The transactions that were checked last, up to a number; older ones are forgotten first.
#[derive(Debug, Clone)]
pub struct VerifiedCache {
    capacity: usize,
    known: HashMap<B256, VerifiedTransaction>,
    order: VecDeque<B256>,
}

impl VerifiedCache {
    /// Remembers at most `capacity` transactions.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, known: HashMap::new(), order: VecDeque::new() }
    }

    /// Remembers a transaction.
    pub fn insert(&mut self, transaction: VerifiedTransaction) {
        let digest = digest(transaction.transaction());
        if self.capacity == 0 || self.known.insert(digest, transaction).is_some() {
            return;
        }
        self.order.push_back(digest);
        if self.order.len() > self.capacity {
            let oldest = self.order.pop_front().expect("it is over its capacity");
            self.known.remove(&oldest);
        }
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

impl Door for VerifiedCache {
    fn verified(&self, transaction: &Transaction) -> Option<VerifiedTransaction> {
        self.known.get(&digest(transaction)).cloned()
    }
}

fn digest(transaction: &Transaction) -> B256 {
    sha256(&[b"synod/verified/v1", &transaction.to_bytes()])
}

/// The verdict on each transaction, in order; those that `door` does not remember are checked in one batch.
pub fn verify<R: CryptoRng>(
    transactions: &[Transaction],
    rules: &Rules,
    door: &dyn Door,
    randomness: &mut R,
) -> Vec<Result<VerifiedTransaction, TransactionError>> {
    let known: Vec<_> = transactions.iter().map(|transaction| door.verified(transaction)).collect();
    let unknown = transactions.iter().zip(&known).filter(|(_, known)| known.is_none());
    let unknown = unknown.map(|(transaction, _)| transaction.clone()).collect();
    let mut verdicts = verify_transactions(unknown, rules.chain_id, rules.genesis, randomness).into_iter();
    let mut next = || verdicts.next().expect("one verdict for each unknown transaction");
    known.into_iter().map(|known| known.map_or_else(&mut next, Ok)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rand_core::SeedableRng;
    use synod_types::Genesis;

    use super::*;
    use crate::testing::{genesis, key, transfer};

    fn rules() -> (Genesis, Rules) {
        let genesis = genesis();
        let rules = Rules::from(&genesis);
        (genesis, rules)
    }

    /// The cached good copy must not vouch for a copy with a broken signature, though their ids are equal.
    #[test]
    fn cry_3_a_known_id_with_another_signature_is_checked_anew() {
        let (_, rules) = rules();
        let good = transfer(&rules, &key(1), 0, key(2).public(), 5);
        let mut cache = VerifiedCache::new(10);
        cache.insert(good.clone());
        let Transaction::Native(mut signed) = good.transaction().clone() else { unreachable!() };
        signed.signature.0[3] ^= 1;
        let offered = vec![good.transaction().clone(), Transaction::Native(signed)];
        let mut randomness = rand_chacha::ChaCha20Rng::seed_from_u64(1);
        let verdicts = verify(&offered, &rules, &cache, &mut randomness);
        assert_eq!(verdicts, [Ok(good), Err(TransactionError::BadSignature)]);
    }

    #[test]
    fn the_cache_forgets_the_oldest_first() {
        let (_, rules) = rules();
        let all: Vec<_> = (0..5).map(|nonce| transfer(&rules, &key(1), nonce, key(2).public(), 5)).collect();
        let mut cache = VerifiedCache::new(3);
        all.iter().chain(&all).take(7).cloned().for_each(|one| cache.insert(one));
        assert_eq!(cache.len(), 3);
        assert!(cache.verified(all[2].transaction()).is_none());
        assert!(cache.verified(all[1].transaction()).is_some());
    }
}

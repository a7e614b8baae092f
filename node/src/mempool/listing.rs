//! What can be asked of the pool.

use synod_types::{Address, TransactionId, U256, UnixMillis, VerifiedTransaction};

use super::queue::Entry;
use super::{Origin, Pool, PoolLimits};

/// A waiting transaction, as lists show it.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a> {
    /// The transaction.
    pub transaction: &'a VerifiedTransaction,
    /// Bytes of its canonical encoding.
    pub bytes: usize,
    /// When it came.
    pub received: UnixMillis,
    /// From where.
    pub origin: Origin,
}

impl<'a> From<&'a Entry> for Listed<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            transaction: &entry.transaction,
            bytes: entry.bytes,
            received: entry.received,
            origin: entry.origin,
        }
    }
}

impl Pool {
    /// How many transactions wait.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Bytes of all waiting transactions.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of those that were submitted to this node.
    pub fn local_bytes(&self) -> usize {
        self.local_bytes
    }

    /// How many senders wait.
    pub fn senders(&self) -> usize {
        self.queues.len()
    }

    /// The pool's bounds.
    pub fn limits(&self) -> &PoolLimits {
        &self.limits
    }

    /// A waiting transaction.
    pub fn find(&self, id: TransactionId) -> Option<Listed<'_>> {
        let (sender, nonce) = self.ids.get(&id)?;
        self.queues.get(sender)?.entries.get(nonce).map(|entry| Listed::from(&**entry))
    }

    /// What took the place of a transaction that waited here; `None` where that is not remembered.
    pub fn replaced_by(&self, id: TransactionId) -> Option<TransactionId> {
        self.replaced.by(id)
    }

    /// All waiting transactions, by sender and nonce.
    pub fn all(&self) -> impl Iterator<Item = Listed<'_>> {
        self.queues.values().flat_map(|queue| queue.entries.values().map(|entry| Listed::from(&**entry)))
    }

    /// One sender's waiting transactions, by nonce.
    pub fn of_sender(&self, sender: Address) -> impl Iterator<Item = Listed<'_>> {
        self.queues
            .get(&sender)
            .into_iter()
            .flat_map(|queue| queue.entries.values().map(|entry| Listed::from(&**entry)))
    }

    /// What was submitted to this node, by sender and nonce: what the journal must keep.
    pub fn local(&self) -> impl Iterator<Item = &VerifiedTransaction> {
        self.all().filter(|one| one.origin == Origin::Local).map(|one| one.transaction)
    }

    /// The sender's next nonce after what waits without a gap; `None` when nothing of it waits.
    pub fn next_nonce(&self, sender: Address) -> Option<u64> {
        self.queues.get(&sender).map(super::queue::Queue::next_nonce)
    }

    /// What the sender's waiting transactions may cost at most, in wei.
    pub fn outgoing(&self, sender: Address) -> U256 {
        self.queues.get(&sender).map_or(U256::ZERO, |queue| queue.cost_below(u64::MAX))
    }

    /// What waiting transactions bring to an account, in wei.
    pub fn incoming(&self, account: Address) -> U256 {
        self.incoming.get(&account).copied().unwrap_or_default()
    }
}

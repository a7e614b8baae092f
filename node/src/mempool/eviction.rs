//! Who leaves a full pool.
//!
//! Only the last transaction of a queue may leave, so that no queue gets a gap. Of the last ones the
//! cheapest leaves first; those that no block could take now leave before all others, whatever they
//! promise to pay, since a promise that cannot be called in costs nothing.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use synod_types::Address;

use super::Pool;

/// How much a transaction's place in the pool is worth; the least leaves first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) executable: bool,
    pub(super) max_fee: u128,
    pub(super) max_tip: u128,
    /// Of equals the newest leaves first.
    pub(super) age: Reverse<u64>,
}

/// The last transaction of a queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tail {
    pub(super) rank: Rank,
    pub(super) sender: Address,
    pub(super) nonce: u64,
    pub(super) bytes: usize,
}

impl Pool {
    /// Who must leave for the pool to keep its bound, or the tail before which the newcomer itself would
    /// have to leave: then nobody does, and the newcomer is refused.
    pub(super) fn plan_eviction(&self, newcomer: (Address, u64)) -> Result<Vec<Tail>, Rank> {
        let mut victims = Vec::new();
        let mut excess = self.bytes.saturating_sub(self.limits.bytes);
        let mut indexed = self.tails.iter().peekable();
        let mut exposed: BTreeSet<Tail> = BTreeSet::new();
        while excess > 0 {
            let from_exposed = match (exposed.first(), indexed.peek()) {
                (Some(one), Some(other)) => one < *other,
                (one, _) => one.is_some(),
            };
            let next = if from_exposed { exposed.pop_first() } else { indexed.next().cloned() };
            let Some(tail) = next else { break };
            if (tail.sender, tail.nonce) == newcomer {
                return Err(tail.rank);
            }
            excess = excess.saturating_sub(tail.bytes);
            let queue = &self.queues[&tail.sender];
            exposed.extend(queue.tail_below(tail.sender, tail.nonce));
            victims.push(tail);
        }
        Ok(victims)
    }

    /// The fee of the cheapest transaction that would leave next, when the pool is too full for another of
    /// the largest size; 0 while it has room.
    pub fn fee_to_enter(&self) -> u128 {
        let room = self.limits.bytes.saturating_sub(self.bytes);
        let full = room < self.limits.transaction_bytes.min(self.limits.bytes / 8);
        let cheapest = self.tails.iter().find(|tail| tail.rank.executable);
        cheapest.filter(|_| full).map_or(0, |tail| tail.rank.max_fee.saturating_add(1))
    }
}

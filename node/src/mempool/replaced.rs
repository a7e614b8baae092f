//! Which transaction took another one's place: for whoever asks what became of a payment that is nowhere any more.
//!
//! The newest so many are remembered, in memory alone. A transaction that is in the pool or in a block is asked
//! about there first: what is said here holds only for those that are not.

use std::collections::{BTreeMap, VecDeque};

use synod_types::TransactionId;

/// How many are remembered.
pub(super) const REMEMBERED: usize = 10_000;
/// How often a payment's place may have been taken before the answer is one that was replaced itself.
const STEPS: usize = 64;

/// Transactions whose nonce another one of their sender has.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    by: BTreeMap<TransactionId, TransactionId>,
    /// Oldest first; each id of `by` once.
    order: VecDeque<TransactionId>,
}

impl Replaced {
    pub(super) fn note(&mut self, old: TransactionId, new: TransactionId) {
        if self.by.insert(old, new).is_some() {
            return;
        }
        self.order.push_back(old);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.by.remove(&oldest);
        }
    }

    /// Whatever has the place now.
    pub(super) fn by(&self, id: TransactionId) -> Option<TransactionId> {
        let first = *self.by.get(&id)?;
        let next = |last: &TransactionId| self.by.get(last).copied();
        std::iter::successors(Some(first), next).take(STEPS).last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_types::{B256, U256};

    #[test]
    fn the_newest_are_remembered_and_chains_are_followed() {
        let id = |number: usize| TransactionId(B256::from(U256::from(number)));
        let mut replaced = Replaced::default();
        (0..REMEMBERED + 1).for_each(|number| replaced.note(id(2 * number), id(2 * number + 1)));
        assert_eq!((replaced.by(id(0)), replaced.by(id(2))), (None, Some(id(3))), "the oldest is forgotten");
        assert_eq!((replaced.by.len(), replaced.order.len()), (REMEMBERED, REMEMBERED));
        let mut replaced = Replaced::default();
        for (old, new) in [(2, 3), (3, 5), (3, 7)] {
            replaced.note(id(old), id(new));
        }
        assert_eq!((replaced.by(id(2)), replaced.order.len()), (Some(id(7)), 2));
        // A reorganisation may give the place back: that must not turn round for ever.
        replaced.note(id(7), id(3));
        assert!(replaced.by(id(2)).is_some());
    }
}

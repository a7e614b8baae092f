//! Names of transactions: an epoch of a leader, and a counter in it (ZAB-1).

use std::fmt;

use serde::{Deserialize, Serialize};
use synod_types::Slot;

/// One leader's time. Each has at most one leader; 0 is before all of them. It is not the committee's epoch, within
/// which all of these lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ZabEpoch(pub u64);

impl fmt::Display for ZabEpoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A transaction's name, in the total order of (epoch, counter).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Zxid {
    /// Whose leader proposed it.
    pub epoch: ZabEpoch,
    /// From 1 in each epoch; an epoch whose counter is used up makes room for the next.
    pub counter: u32,
}

impl Zxid {
    /// The first of an epoch.
    pub fn first_of(epoch: ZabEpoch) -> Self {
        Self { epoch, counter: 1 }
    }

    /// What a leader of `epoch` proposes after this one; `None` when the counter is used up.
    pub fn next_in(self, epoch: ZabEpoch, limit: u32) -> Option<Self> {
        if self.epoch != epoch {
            return Some(Self::first_of(epoch));
        }
        let counter = self.counter.checked_add(1).filter(|counter| *counter <= limit)?;
        Some(Self { epoch, counter })
    }

    /// Whether nothing can lie between the two (ZAB-7): the next of an epoch, or the first of a later one.
    pub fn is_followed_by(self, next: Self) -> bool {
        let is_same = next.epoch == self.epoch && Some(next.counter) == self.counter.checked_add(1);
        is_same || (next.epoch > self.epoch && next.counter == 1)
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.epoch, self.counter)
    }
}

/// A point of a log: the transaction there, and how many lie up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Point {
    /// Its place in the committee's order.
    pub slot: Slot,
    /// Its name.
    pub zxid: Zxid,
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at slot {}", self.zxid, self.slot)
    }
}

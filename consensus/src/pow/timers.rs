//! The machine's deadlines, by time.

use std::collections::BTreeSet;

use synod_types::BlockHash;

use crate::protocol::Peer;
use crate::time::Time;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Ask peers for their tips.
    Tips,
    /// A peer has not sent the headers.
    Headers(Peer),
    /// A peer has not sent the body.
    Body(BlockHash),
    /// A body that nobody gave may be asked for again.
    Retry(BlockHash),
    /// A newcomer from the future may have come of age.
    Early,
    /// The template is old.
    Template,
}

/// A set of deadlines; setting and clearing name the same time.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Time, Timer)>);

impl Timers {
    pub(super) fn set(&mut self, at: Time, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(super) fn clear(&mut self, at: Time, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes the first deadline that has come.
    pub(super) fn take_due(&mut self, now: Time) -> Option<Timer> {
        let first = *self.0.first()?;
        if first.0 > now {
            return None;
        }
        self.0.remove(&first);
        Some(first.1)
    }
}

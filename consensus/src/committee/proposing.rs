//! What a leader has proposed and not yet seen executed; the same under every protocol with a leader.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use synod_types::{Slot, mutant};

use crate::time::Time;

/// What waits in the pool, as far as this member heard.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Demand {
    /// Since when the oldest transaction waits.
    pub(crate) oldest_since: Option<Time>,
    /// Bytes that no offer of ours holds.
    pub(crate) bytes: u64,
    /// Heard since the pool was asked for a payload, or before.
    is_newer: bool,
}

impl Demand {
    /// The pool says what waits.
    pub(crate) fn hear(&mut self, oldest_since: Option<Time>, bytes: u64) {
        *self = Self { oldest_since, bytes, is_newer: true };
    }

    /// The pool is asked for a payload: what is known so far holds what it will give.
    pub(crate) fn asked(&mut self) {
        self.is_newer = false;
    }

    /// The pool gave so many bytes, or nothing. A word that came meanwhile may speak of what is left or of what was
    /// there before; it stands, since to ask once too often costs little, and once too few leaves a payload waiting.
    pub(crate) fn given(&mut self, bytes: Option<u64>) {
        if !self.is_newer || mutant!("demand-newer-word-lost") {
            self.bytes = bytes.map_or(0, |bytes| self.bytes.saturating_sub(bytes));
        }
    }
}

/// The leader's side.
#[derive(Debug, Clone)]
pub(crate) struct Proposing {
    /// The next slot.
    pub(crate) next: Slot,
    /// The pool is being asked.
    pub(crate) is_assembling: bool,
    /// Own proposals that are not executed.
    pub(crate) own: BTreeMap<Slot, B256>,
}

impl Proposing {
    pub(crate) fn starting_at(next: Slot) -> Self {
        Self { next, is_assembling: false, own: BTreeMap::new() }
    }

    /// Slots up to here were filled by blocks from elsewhere.
    pub(crate) fn skipped(&mut self, slot: Slot) -> Vec<B256> {
        self.retain(|own, _| own > slot)
    }

    /// Gives up what is not kept.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(Slot, B256) -> bool) -> Vec<B256> {
        let lost = self.own.extract_if(.., |slot, digest| !is_kept(*slot, *digest));
        lost.map(|(_, digest)| digest).collect()
    }

    /// The slot is executed; whether a payload of ours was lost at it.
    pub(crate) fn executed(&mut self, slot: Slot, decided: Option<B256>) -> Option<B256> {
        self.own.remove(&slot).filter(|digest| Some(*digest) != decided)
    }
}

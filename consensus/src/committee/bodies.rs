//! Payloads as a member holds them: by digest, journalled once, and those that are missing.
//!
//! A body that a vote of this member stands on stays until its slot is executed and certified, whatever is
//! decided later: it may be the last copy that somebody needs.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use synod_types::{Slot, mutant};

use super::{MemberIndex, Payload};
use crate::protocol::Peer;
use crate::time::Time;

/// Bodies that no vote stands on are held for at most so many slots.
const LOOSE: usize = 64;

#[derive(Debug, Clone)]
struct Held {
    payload: Payload,
    /// The highest slot that it was proposed for.
    slot: Slot,
    /// A vote of this member stands on it.
    is_voted_for: bool,
    /// The journal holds it, as that is now: one that began anew left out what was not needed any more.
    is_journalled: bool,
}

/// A body that is missing.
#[derive(Debug, Clone, Default)]
struct Wanted {
    slots: BTreeSet<Slot>,
    /// Whom it was asked of so far.
    asked: usize,
}

/// What one member was sent in one timeout's time.
#[derive(Debug, Clone)]
struct Share {
    since: Time,
    bytes: usize,
    bodies: BTreeSet<B256>,
}

/// All bodies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bodies {
    held: BTreeMap<B256, Held>,
    wanted: BTreeMap<B256, Wanted>,
    shares: BTreeMap<Peer, Share>,
}

impl Bodies {
    /// Keeps a body. Those that no vote stands on are few.
    ///
    /// Gives the slots that waited for it: they go on from here, whichever way the body came, for it is not asked
    /// for again.
    #[must_use]
    pub(crate) fn hold(&mut self, payload: Payload, slot: Slot) -> BTreeSet<Slot> {
        let digest = payload.digest();
        let waited = self.wanted.remove(&digest).map(|wanted| wanted.slots).unwrap_or_default();
        if let Some(held) = self.held.get_mut(&digest) {
            held.slot = held.slot.max(slot);
            return waited;
        }
        let loose = self.held.iter().filter(|(_, held)| !held.is_voted_for);
        if loose.clone().count() >= LOOSE
            && let Some(last) = loose.max_by_key(|(_, held)| held.slot).map(|(digest, _)| *digest)
        {
            self.held.remove(&last);
        }
        self.held.insert(digest, Held { payload, slot, is_voted_for: false, is_journalled: false });
        waited
    }

    /// Keeps a body that was asked for, and gives the slots that waited for it; one that nobody asked for is dropped.
    pub(crate) fn hold_wanted(&mut self, payload: Payload) -> BTreeSet<Slot> {
        let last = self.wanted_for(payload.digest()).last();
        last.map(|slot| self.hold(payload, slot)).unwrap_or_default()
    }

    pub(crate) fn get(&self, digest: B256) -> Option<&Payload> {
        self.held.get(&digest).map(|held| &held.payload)
    }

    /// The body is needed for this slot, too.
    pub(crate) fn extend_to(&mut self, digest: B256, slot: Slot) {
        if let Some(held) = self.held.get_mut(&digest) {
            held.slot = held.slot.max(slot);
        }
    }

    /// The body, unless the journal has it already.
    pub(crate) fn begin_journalling(&mut self, digest: B256) -> Option<Payload> {
        let held = self.held.get_mut(&digest)?;
        held.is_voted_for = true;
        let was_journalled = std::mem::replace(&mut held.is_journalled, true);
        if was_journalled {
            return None;
        }
        Some(held.payload.clone())
    }

    /// The journal kept it.
    pub(crate) fn restore(&mut self, payload: Payload, slot: Slot) {
        let held = Held { slot, is_voted_for: true, is_journalled: true, payload };
        self.held.insert(held.payload.digest(), held);
    }

    /// The journal begins anew: with the bodies that votes stand on, of slots above `slot`, and no others. A later
    /// vote for one of the others has it written again.
    pub(crate) fn begin_anew_above(&mut self, slot: Slot) -> impl Iterator<Item = (Slot, Payload)> {
        for held in self.held.values_mut() {
            let is_needed = held.is_voted_for && held.slot > slot;
            held.is_journalled = is_needed || (held.is_journalled && mutant!("gen-13-body-was-journalled"));
        }
        let needed = self.held.values().filter(move |held| held.is_voted_for && held.slot > slot);
        needed.map(|held| (held.slot, held.payload.clone()))
    }

    /// Drops what slots up to `executed` needed: all up to `floor`, and of those between as much as passes
    /// `retained` bytes, the oldest first.
    pub(crate) fn forget(&mut self, executed: Slot, floor: Slot, retained: usize) {
        self.held.retain(|_, held| held.slot > floor);
        self.wanted.retain(|_, wanted| wanted.slots.last().is_some_and(|slot| *slot > executed));
        let mut done: Vec<(Slot, usize, B256)> = self
            .held
            .iter()
            .filter(|(_, held)| held.slot <= executed)
            .map(|(digest, held)| (held.slot, held.payload.bytes().len(), *digest))
            .collect();
        done.sort_unstable();
        let mut bytes: usize = done.iter().map(|(_, length, _)| length).sum();
        for (_, length, digest) in done {
            if bytes <= retained {
                break;
            }
            bytes -= length;
            self.held.remove(&digest);
        }
    }

    /// How many are held, and how many are missing.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.held.len(), self.wanted.len())
    }

    /// Notes that a body is missing; whether nobody was asked for it so far.
    pub(crate) fn want(&mut self, digest: B256, slot: Slot) -> bool {
        let wanted = self.wanted.entry(digest).or_default();
        let is_first = wanted.slots.is_empty();
        wanted.slots.insert(slot);
        is_first
    }

    /// The slots that a missing body is for.
    pub(crate) fn wanted_for(&self, digest: B256) -> impl Iterator<Item = Slot> {
        self.wanted.get(&digest).into_iter().flat_map(|wanted| wanted.slots.iter().copied())
    }

    /// The next to ask: of those who should have it first, then of everybody in turn.
    pub(crate) fn next_holder(
        &mut self,
        digest: B256,
        mut holders: Vec<MemberIndex>,
        all: impl Iterator<Item = MemberIndex>,
        me: Option<MemberIndex>,
    ) -> Option<MemberIndex> {
        let wanted = self.wanted.get_mut(&digest)?;
        if wanted.asked >= holders.len() {
            holders.extend(all);
        }
        holders.retain(|holder| Some(*holder) != me);
        let next = holders.get(wanted.asked % holders.len().max(1)).copied();
        wanted.asked += 1;
        next
    }

    /// All that are missing.
    pub(crate) fn missing(&self) -> Vec<B256> {
        self.wanted.keys().copied().collect()
    }

    /// Nothing is missing any more: what asked for it was given up.
    pub(crate) fn want_nothing(&mut self) {
        self.wanted.clear();
    }

    /// The body for a member that asks, but no more than its share: each body once in `period_ms`, and together no
    /// more than `full` bytes. A question costs some bytes, its answer megabytes.
    pub(crate) fn serve(
        &mut self,
        digest: B256,
        to: Peer,
        now: Time,
        period_ms: u64,
        full: usize,
    ) -> Option<Payload> {
        let held = self.held.get(&digest)?;
        let fresh = || Share { since: now, bytes: 0, bodies: BTreeSet::new() };
        let share = self.shares.entry(to).or_insert_with(fresh);
        if share.since.plus_ms(period_ms) <= now {
            *share = fresh();
        }
        let is_used_up = share.bytes >= full || share.bodies.contains(&digest);
        if is_used_up && !mutant!("pbft-17-serve-all") {
            return None;
        }
        share.bytes += held.payload.bytes().len();
        share.bodies.insert(digest);
        Some(held.payload.clone())
    }
}

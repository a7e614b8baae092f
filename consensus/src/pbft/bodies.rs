//! Bodies: held by digest, journalled once, fetched from those who voted for them (PBFT-2, PBFT-10).
//!
//! A body that a vote of this member stands on stays until its slot's block is durable in the block log,
//! whatever later views decide: it may be the last copy that somebody's certificate needs.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use synod_types::Slot;

use super::messages::{Message, Record};
use super::{Cx, Pbft};
use crate::committee::{MemberIndex, Payload};
use crate::protocol::Peer;

/// Bodies that no vote stands on are held for at most so many slots.
const LOOSE: usize = 64;

#[derive(Debug)]
struct Held {
    payload: Payload,
    /// The highest slot that it was proposed for.
    slot: Slot,
    is_journalled: bool,
}

/// A body that is missing.
#[derive(Debug, Default)]
struct Wanted {
    slots: BTreeSet<Slot>,
    /// Whom it was asked of so far.
    asked: usize,
}

/// All bodies.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    held: BTreeMap<B256, Held>,
    wanted: BTreeMap<B256, Wanted>,
}

impl Bodies {
    /// Keeps a body. Those that no vote stands on are few.
    pub(super) fn hold(&mut self, payload: Payload, slot: Slot) {
        let digest = payload.digest();
        self.wanted.remove(&digest);
        if let Some(held) = self.held.get_mut(&digest) {
            held.slot = held.slot.max(slot);
            return;
        }
        let loose = self.held.iter().filter(|(_, held)| !held.is_journalled);
        if loose.clone().count() >= LOOSE
            && let Some(last) = loose.max_by_key(|(_, held)| held.slot).map(|(digest, _)| *digest)
        {
            self.held.remove(&last);
        }
        self.held.insert(digest, Held { payload, slot, is_journalled: false });
    }

    pub(super) fn get(&self, digest: B256) -> Option<&Payload> {
        self.held.get(&digest).map(|held| &held.payload)
    }

    /// The body is needed for this slot, too.
    pub(super) fn extend_to(&mut self, digest: B256, slot: Slot) {
        if let Some(held) = self.held.get_mut(&digest) {
            held.slot = held.slot.max(slot);
        }
    }

    /// The body, unless the journal has it already.
    pub(super) fn begin_journalling(&mut self, digest: B256) -> Option<Payload> {
        let held = self.held.get_mut(&digest).filter(|held| !held.is_journalled)?;
        held.is_journalled = true;
        Some(held.payload.clone())
    }

    /// The journal kept it.
    pub(super) fn restore(&mut self, payload: Payload, slot: Slot) {
        let held = Held { slot, is_journalled: true, payload };
        self.held.insert(held.payload.digest(), held);
    }

    /// The bodies that votes stand on, of slots above `slot`.
    pub(super) fn journalled_above(&self, slot: Slot) -> impl Iterator<Item = Record> {
        let needed = self.held.values().filter(move |held| held.is_journalled && held.slot > slot);
        needed.map(|held| Record::Body { slot: held.slot, payload: held.payload.clone() })
    }

    /// Drops what slots up to `executed` needed: all up to `floor`, and of those between as much as passes
    /// `retained` bytes, the oldest first.
    pub(super) fn forget(&mut self, executed: Slot, floor: Slot, retained: usize) {
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
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.held.len(), self.wanted.len())
    }
}

impl Pbft {
    /// Asks for a body, unless it was asked for already; the tick asks again.
    pub(super) fn want_body(&mut self, digest: B256, slot: Slot, cx: &mut Cx<'_>) {
        let wanted = self.bodies.wanted.entry(digest).or_default();
        let is_first = wanted.slots.is_empty();
        wanted.slots.insert(slot);
        if is_first {
            self.ask_for_body(digest, cx);
        }
    }

    /// Asks the next of those who should have it; of everybody in turn when they do not answer.
    fn ask_for_body(&mut self, digest: B256, cx: &mut Cx<'_>) {
        let me = self.config.me();
        let Some(wanted) = self.bodies.wanted.get_mut(&digest) else { return };
        let known = wanted.slots.iter().filter_map(|slot| self.slots.get(slot));
        let mut holders: Vec<MemberIndex> = known.flat_map(|state| state.holders(digest)).collect();
        if wanted.asked >= holders.len() {
            holders.extend(self.config.committee.indexes());
        }
        holders.retain(|holder| Some(*holder) != me);
        let next = holders.get(wanted.asked % holders.len().max(1)).copied();
        wanted.asked += 1;
        if let Some(holder) = next {
            cx.send(holder.peer(), Message::AskBody { digest });
        }
    }

    pub(super) fn ask_for_bodies_again(&mut self, cx: &mut Cx<'_>) {
        let missing: Vec<B256> = self.bodies.wanted.keys().copied().collect();
        for digest in missing {
            self.ask_for_body(digest, cx);
        }
    }

    pub(super) fn is_missing_bodies(&self) -> bool {
        !self.bodies.wanted.is_empty()
    }

    pub(super) fn on_ask_body(&mut self, from: Peer, digest: B256, cx: &mut Cx<'_>) {
        if let Some(body) = self.bodies.get(digest) {
            cx.send(from, Message::Body(body.clone()));
        }
    }

    /// A body that nobody asked for is dropped.
    pub(super) fn on_body(&mut self, body: Payload, cx: &mut Cx<'_>) {
        let Some(wanted) = self.bodies.wanted.remove(&body.digest()) else { return };
        for slot in wanted.slots {
            self.bodies.hold(body.clone(), slot);
            self.try_accept(slot, cx);
        }
        self.deliver(cx);
    }
}

//! Phase 1: promises, and what a new leader must propose because of them (MPX-3 to MPX-5).

use std::collections::BTreeMap;

use alloy_primitives::B256;
use synod_types::{Slot, mutant};

use super::messages::{Ballot, Message, PART_LIMIT, Promise, Record, Vote};
use super::{Cx, Paxos, Role};
use crate::committee::{Certificate, MemberIndex};
use crate::protocol::Peer;

/// The parts of one member's promise that came so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    of: u32,
    trimmed: Option<Certificate>,
    came: BTreeMap<u32, Vec<Vote>>,
}

impl Parts {
    fn take(&mut self, promise: Promise) {
        let [known, new] = [&self.trimmed, &promise.trimmed].map(|it| it.as_ref().map(Certificate::slot));
        if new < known {
            return;
        }
        if new > known || self.of != promise.parts {
            // An answer to a repetition, after more was trimmed, is cut elsewhere: parts of the two do not mix.
            *self = Self { of: promise.parts, trimmed: promise.trimmed, came: BTreeMap::new() };
        }
        self.came.insert(promise.part, promise.accepted);
    }

    fn is_whole(&self) -> bool {
        self.of > 0 && self.came.len() == self.of as usize
    }
}

impl Paxos {
    /// Phase 1b.
    pub(super) fn on_prepare(&mut self, from: Peer, ballot: Ballot, first: Slot, cx: &mut Cx<'_>) {
        if self.config.signer.is_none() || Some(ballot.member) == self.config.me() {
            return;
        }
        if ballot < self.promised {
            return self.refuse(from, ballot, cx);
        }
        if ballot > self.promised {
            self.promised = ballot;
            self.role = Role::Following;
            if !mutant!("mpx-2-forget-promised") {
                self.persist(Record::Promised(ballot), cx);
            }
        }
        // Whoever just promised gives the ballot the time that a leader gets.
        self.timers.heard_leader(&self.config.limits, cx);
        for promise in self.promise_parts(ballot, first) {
            cx.send(from, Message::Promise(promise));
        }
    }

    /// Everything accepted from a slot on, in parts. What is certified is trimmed, and said to be.
    pub(super) fn promise_parts(&self, ballot: Ballot, from: Slot) -> Vec<Promise> {
        let trimmed = self.attestations.newest().filter(|certificate| certificate.slot() >= from);
        let trimmed = trimmed.cloned().filter(|_| !mutant!("mpx-4-trimmed-is-empty"));
        let low = Slot(self.certified().0 + 1).max(from);
        let accepted: Vec<Vote> = self.slots.range(low..).filter_map(|(_, state)| state.accepted).collect();
        let length = self.config.limits.promise_part.clamp(1, PART_LIMIT);
        let mut parts: Vec<Vec<Vote>> = accepted.chunks(length).map(<[Vote]>::to_vec).collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        if mutant!("mpx-3-truncated-promise") {
            parts.truncate(1);
        }
        let count = parts.len() as u32;
        let part = |(part, accepted): (u32, Vec<Vote>)| {
            let trimmed = trimmed.clone();
            Promise { ballot, from, part, parts: count, trimmed, accepted }
        };
        (0..).zip(parts).map(part).collect()
    }

    pub(super) fn on_promise(&mut self, member: MemberIndex, promise: Promise, cx: &mut Cx<'_>) {
        let Role::Preparing { ballot, from, promises } = &mut self.role else { return };
        if *ballot != promise.ballot || *from != promise.from {
            return;
        }
        promises.entry(member).or_default().take(promise);
        let whole = promises.values().filter(|parts| parts.is_whole()).count();
        if whole >= self.config.committee.quorum() {
            self.lead(cx);
        }
    }

    /// A quorum promised: phase 2 begins, with what it must take over.
    fn lead(&mut self, cx: &mut Cx<'_>) {
        let Role::Preparing { ballot, from, promises } = std::mem::replace(&mut self.role, Role::Following)
        else {
            return;
        };
        let whole: BTreeMap<MemberIndex, Parts> =
            promises.into_iter().filter(|(_, parts)| parts.is_whole()).collect();
        let now = cx.now();
        let followers = whole.keys().filter(|member| Some(**member) != self.config.me());
        let followers = followers.map(|member| (*member, now)).collect();
        self.role = Role::Leading { ballot, followers };
        self.leader = Some(ballot);
        self.tell_leader(ballot, cx);
        // What others trimmed is settled: it comes as blocks, and nothing is proposed there (MPX-4).
        let trimmed: Vec<Certificate> = whole.values().filter_map(|parts| parts.trimmed.clone()).collect();
        let votes: Vec<Vote> =
            whole.into_values().flat_map(|parts| parts.came.into_values().flatten()).collect();
        for certificate in trimmed {
            self.adopt_certificate(certificate, cx);
        }
        let low = Slot(self.certified().0.max(from.0 - 1));
        let plan = plan(low, &votes);
        for state in self.slots.values_mut() {
            state.proposed = None;
            if !mutant!("mpx-6-mixed-ballots") {
                state.votes.clear();
            }
        }
        let last = plan.last_key_value().map_or(low, |(slot, _)| *slot);
        self.proposing.next = Slot(last.0 + 1);
        for (slot, digest) in plan {
            if mutant!("mpx-6-recovered-is-chosen") {
                self.choose(slot, digest, cx);
            }
            self.propose_vote(Vote { ballot, slot, digest }, None, cx);
        }
        self.beat(cx);
    }
}

/// For each slot above `low` up to the highest reported: the value of the highest ballot, or the no-op where
/// nobody reports one (MPX-5).
pub(super) fn plan(low: Slot, votes: &[Vote]) -> BTreeMap<Slot, Option<B256>> {
    let mut best: BTreeMap<Slot, Vote> = BTreeMap::new();
    for vote in votes.iter().filter(|vote| vote.slot > low) {
        let known = best.entry(vote.slot).or_insert(*vote);
        let is_better = if mutant!("mpx-5-lowest-ballot") {
            vote.ballot < known.ballot
        } else {
            vote.ballot > known.ballot
        };
        if is_better {
            *known = *vote;
        }
    }
    let last = best.last_key_value().map_or(low, |(slot, _)| *slot);
    (low.0 + 1..=last.0)
        .map(Slot)
        .filter(|slot| !mutant!("mpx-5-no-noop") || best.contains_key(slot))
        .map(|slot| (slot, best.get(&slot).and_then(|vote| vote.digest)))
        .collect()
}

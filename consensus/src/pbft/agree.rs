//! The three phases: pre-prepare, prepare, commit (PBFT-2, PBFT-3).
//!
//! Every vote is of the current view, and none is cast while a view change is under way (PBFT-6). A decision
//! needs q commits of one choice and no more: it is taken in whatever view this member is in (PBFT-14).

use std::collections::BTreeSet;

use synod_types::{Slot, mutant};

use super::evidence;
use super::messages::{Choice, Decision, Fault, Message, Phase, Record, Vote};
use super::slots::{Cast, SlotState, cast};
use super::{Cx, Pbft};
use crate::committee::{Event, MemberIndex, Payload};

impl Pbft {
    pub(super) fn on_pre_prepare(&mut self, vote: Vote, body: Option<Payload>, cx: &mut Cx<'_>) {
        let Choice { view, slot, .. } = vote.choice;
        if view < self.view {
            return self.show_view(vote.member.peer(), cx);
        }
        if !self.is_buffered(slot) {
            return;
        }
        let (current, now) = (self.view, cx.now());
        let state = self.slots.entry(slot).or_default();
        if view > current || !(self.is_active || mutant!("pbft-6-vote-between-views")) {
            // The lowest view above the current one is the next that can begin.
            if state.early.is_none_or(|early| early.choice.view < current || view < early.choice.view) {
                state.early = Some(vote);
                let waited = self.hold_body(slot, body);
                self.go_on(waited, cx);
            }
            return;
        }
        match state.in_view(view) {
            Some(known) if evidence::is_double(&known, &vote) && !mutant!("pbft-2-two-digests") => {
                return self.caught(&known, &vote, cx);
            }
            Some(known) if known == vote && state.accepted_in(view).is_some() => return,
            Some(known) if known.choice == vote.choice => {}
            _ => {
                state.pre_prepare = Some(vote);
                state.since = Some(now);
            }
        }
        let mut waited = self.hold_body(slot, body);
        waited.insert(slot);
        self.go_on(waited, cx);
    }

    /// Keeps a body that came with a proposal, and gives what waited for it.
    fn hold_body(&mut self, slot: Slot, body: Option<Payload>) -> BTreeSet<Slot> {
        body.map(|body| self.bodies.hold(body, slot)).unwrap_or_default()
    }

    /// Accepts the current view's proposal for a slot once nothing is missing (PBFT-2).
    pub(super) fn try_accept(&mut self, slot: Slot, cx: &mut Cx<'_>) {
        let view = self.view;
        let Some(state) = self.slots.get(&slot) else { return };
        let Some(vote) = state.in_view(view) else { return };
        let is_ready = self.is_active || mutant!("pbft-6-vote-between-views");
        let is_done = state.accepted_in(view).is_some() && !mutant!("pbft-2-two-digests");
        let is_same = state.accepted.is_some_and(|accepted| accepted.choice == vote.choice);
        if mutant!("pbft-11-not-again") && slot <= self.executed {
            return;
        }
        if !is_ready || is_done || is_same || !self.is_in_window(slot) || self.is_past_end(slot) {
            return;
        }
        let is_fresh = slot > self.replanned;
        let Some(digest) = vote.choice.digest else {
            if !is_fresh {
                self.accept(vote, cx);
            }
            return;
        };
        match self.bodies.get(digest) {
            None if !mutant!("pbft-2-vote-without-body") => self.want_body(digest, slot, cx),
            Some(body) if is_fresh && self.is_from_the_future(body, cx) => {}
            _ => {
                self.bodies.extend_to(digest, slot);
                self.accept(vote, cx);
            }
        }
    }

    /// A fresh proposal far ahead of the clock waits for its time; what a view carries over never does.
    fn is_from_the_future(&self, body: &Payload, cx: &Cx<'_>) -> bool {
        body.time().0 > cx.wall().0.saturating_add(self.config.limits.future_limit_ms)
    }

    /// Takes a stand: durable before it is said, body and all.
    pub(super) fn accept(&mut self, vote: Vote, cx: &mut Cx<'_>) {
        let Choice { slot, digest, .. } = vote.choice;
        let Some(signer) = self.config.signer.clone() else { return };
        self.anchor(slot, cx);
        if let Some(body) = digest.and_then(|digest| self.bodies.begin_journalling(digest)) {
            // Small transactions may fill a batch by their number.
            if body.bytes().len() >= self.config.limits.batch_bytes / 8 {
                self.timers.batch_was_full(cx.now());
            }
            self.persist(Record::Body { slot, payload: body }, cx);
        }
        if !mutant!("pbft-2-forget-accepted") {
            self.persist(Record::Accepted(vote), cx);
        }
        let state = self.slots.entry(slot).or_default();
        state.accepted = Some(vote);
        state.since.get_or_insert(cx.now());
        if vote.member != signer.index() || mutant!("pbft-3-primary-prepares") {
            let prepare = Vote::new(&self.config.committee, &signer, Phase::Prepare, vote.choice);
            state.prepares.insert(signer.index(), prepare);
            cx.broadcast(Message::Prepare(prepare));
        }
        self.check_prepared(slot, cx);
    }

    pub(super) fn on_prepare(&mut self, vote: Vote, cx: &mut Cx<'_>) {
        if self.take_vote(vote, |state| &mut state.prepares, cx) {
            self.check_prepared(vote.choice.slot, cx);
        }
    }

    pub(super) fn on_commit(&mut self, vote: Vote, cx: &mut Cx<'_>) {
        if self.take_vote(vote, |state| &mut state.commits, cx) {
            let change = self.view_changes.get(&vote.member);
            if let Some(change) = change.filter(|change| evidence::is_forgotten(&change.content, &vote)) {
                cx.tell(Event::Caught(evidence::of_forgotten(change, &vote)));
                cx.accuse(vote.member.peer(), Fault::Contradiction);
            }
            self.check_decided(vote.choice.slot, cx);
        }
    }

    /// Counts a vote; whether it is new.
    fn take_vote(
        &mut self,
        vote: Vote,
        votes: fn(&mut SlotState) -> &mut std::collections::BTreeMap<MemberIndex, Vote>,
        cx: &mut Cx<'_>,
    ) -> bool {
        if vote.choice.view < self.view && vote.phase == Phase::Prepare {
            self.show_view(vote.member.peer(), cx);
            return false;
        }
        if !self.is_buffered(vote.choice.slot) {
            return false;
        }
        let state = self.slots.entry(vote.choice.slot).or_default();
        match cast(votes(state), vote) {
            Cast::Counted => true,
            Cast::Old => false,
            Cast::Contradicts(known) => {
                self.caught(&known, &vote, cx);
                false
            }
        }
    }

    fn caught(&mut self, known: &Vote, vote: &Vote, cx: &mut Cx<'_>) {
        cx.tell(Event::Caught(evidence::of_votes(known, vote)));
        cx.accuse(vote.member.peer(), Fault::Contradiction);
    }

    /// q − 1 backups stand with the primary: nothing else can be prepared in this view. Says so (COMMIT).
    pub(super) fn check_prepared(&mut self, slot: Slot, cx: &mut Cx<'_>) {
        let (view, committee) = (self.view, &self.config.committee);
        let Some(signer) = self.config.signer.clone().filter(|_| self.is_active) else { return };
        let Some(state) = self.slots.get_mut(&slot) else { return };
        let Some(accepted) = state.accepted_in(view) else { return };
        if state.prepared.as_ref().is_some_and(|prepared| prepared.choice().view == view) {
            return;
        }
        let Some(prepared) = state.certificate(accepted, committee.quorum()) else { return };
        let commit = Vote::new(committee, &signer, Phase::Commit, accepted.choice);
        state.prepared = Some(prepared.clone());
        state.commits.insert(signer.index(), commit);
        if !mutant!("gen-2-forget-prepared") {
            self.persist(Record::Prepared(prepared), cx);
        }
        cx.broadcast(Message::Commit(commit));
        self.check_decided(slot, cx);
    }

    fn check_decided(&mut self, slot: Slot, cx: &mut Cx<'_>) {
        let Some(state) = self.slots.get(&slot) else { return };
        let quorum = self.config.committee.quorum();
        let needed = if mutant!("pbft-3-commit-short") { quorum - 1 } else { quorum };
        if let Some(decision) = state.quorum_of_commits(needed) {
            self.decide(decision, cx);
        }
    }

    /// A decision of any view, from this member's own count or from somebody who helps it.
    pub(super) fn decide(&mut self, decision: Decision, cx: &mut Cx<'_>) {
        let Choice { slot, digest, .. } = decision.choice;
        if !self.is_buffered(slot) {
            return;
        }
        let state = self.slots.entry(slot).or_default();
        if let Some(known) = &state.decision {
            if known.choice.digest != digest {
                let (ours, theirs) = (format!("{:?}", known.choice.digest), format!("{digest:?}"));
                self.diverge(slot, ours, theirs, cx);
            }
            return;
        }
        state.decision = Some(decision);
        match digest {
            Some(digest) if self.bodies.get(digest).is_none() => self.want_body(digest, slot, cx),
            Some(digest) => self.bodies.extend_to(digest, slot),
            None => {}
        }
        self.deliver(cx);
    }
}

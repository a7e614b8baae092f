//! Proposing: batches and the pipeline.
//!
//! A lone transaction is proposed at once. While instances are in flight batches fill, and another instance
//! begins only when a good part of a batch waits. What was proposed and is not decided in its place is given
//! up, so that its transactions go back to the pool.

use synod_types::Slot;

use super::messages::{Message, Vote};
use super::{Cx, Paxos, Role};
use crate::committee::{Event, Job, Payload};
use crate::effects::Effect;

impl Paxos {
    fn may_propose(&self) -> Option<super::messages::Ballot> {
        match &self.role {
            Role::Leading { ballot, .. } if self.ended_at.is_none() => Some(*ballot),
            _ => None,
        }
    }

    /// Whether one more instance may begin.
    fn has_room(&self) -> bool {
        let (limits, next) = (&self.config.limits, self.proposing.next.0);
        next <= self.executed.0.saturating_add(limits.in_flight)
            && next <= self.certified().0.saturating_add(limits.window)
    }

    /// Asks the pool for a payload when it is time for one.
    pub(super) fn pursue_proposals(&mut self, cx: &mut Cx<'_>) {
        let limits = &self.config.limits;
        let is_busy = self.proposing.next.0 > self.delivered.0 + 1;
        let needed = if is_busy { limits.eager_bytes } else { 1 };
        let is_early = self.proposing.is_assembling || self.timers.demand.bytes < needed;
        if is_early || self.may_propose().is_none() || !self.has_room() {
            return;
        }
        self.proposing.is_assembling = true;
        self.timers.demand.asked();
        let (max_bytes, max_transactions) = (limits.batch_bytes, limits.batch_transactions);
        cx.effect(Effect::Start(Job::Assemble { max_bytes, max_transactions }));
    }

    pub(super) fn on_assembled(&mut self, payload: Option<Payload>, cx: &mut Cx<'_>) {
        self.proposing.is_assembling = false;
        self.timers.demand.given(payload.as_ref().map(|payload| payload.bytes().len() as u64));
        let Some(payload) = payload else { return };
        let Some(ballot) = self.may_propose().filter(|_| self.has_room()) else {
            return cx.tell(Event::Abandoned { digest: payload.digest() });
        };
        let (slot, digest) = (self.proposing.next, payload.digest());
        self.proposing.next = Slot(slot.0 + 1);
        if let Some(earlier) = self.proposing.own.insert(slot, digest) {
            cx.tell(Event::Abandoned { digest: earlier });
        }
        let waited = self.bodies.hold(payload.clone(), slot);
        self.propose_vote(Vote { ballot, slot, digest: Some(digest) }, Some(payload), cx);
        self.go_on(waited, cx);
    }

    /// Phase 2a: to all, and to itself.
    pub(super) fn propose_vote(&mut self, vote: Vote, body: Option<Payload>, cx: &mut Cx<'_>) {
        let state = self.slots.entry(vote.slot).or_default();
        state.proposed = Some(vote);
        state.heard = Some(vote);
        state.since = Some(cx.now());
        cx.broadcast(Message::Accept { vote, body });
        self.try_accept(vote.slot, cx);
    }
}

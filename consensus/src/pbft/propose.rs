//! Proposing: batches and the pipeline (PBFT-22).
//!
//! A lone transaction is proposed at once. While instances are in flight batches fill, and another instance
//! begins only when a good part of a batch waits. What was proposed and will not be decided in its place is
//! given up, so that its transactions go back to the pool.

use alloy_primitives::B256;
use synod_types::Slot;

use super::messages::{Choice, Message, Phase, Vote};
use super::{Cx, Pbft};
use crate::committee::{Event, Job, Payload};
use crate::effects::Effect;

impl Pbft {
    fn is_primary(&self) -> bool {
        let leads = |me| self.view.primary(&self.config.committee) == me;
        self.is_active && self.config.me().is_some_and(leads) && self.ended_at.is_none()
    }

    /// Whether one more instance may begin (PBFT-5, PBFT-22).
    fn has_room(&self) -> bool {
        let limits = &self.config.limits;
        let next = self.proposing.next.0;
        next <= self.executed.0.saturating_add(limits.in_flight)
            && next <= self.certified().0.saturating_add(self.config.window())
    }

    /// Asks the pool for a payload when it is time for one.
    pub(super) fn pursue_proposals(&mut self, cx: &mut Cx<'_>) {
        let limits = &self.config.limits;
        let is_busy = self.proposing.next.0 > self.delivered.0 + 1;
        let needed = if is_busy { limits.eager_bytes } else { 1 };
        if self.proposing.is_assembling
            || self.timers.demand.bytes < needed
            || !self.is_primary()
            || !self.has_room()
        {
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
        if self.is_primary() && self.has_room() {
            self.propose(payload, cx);
        } else {
            cx.tell(Event::Abandoned { digest: payload.digest() });
        }
    }

    /// PRE-PREPARE. The view survives a restart, so this is a promise like any vote.
    fn propose(&mut self, payload: Payload, cx: &mut Cx<'_>) {
        let Some(signer) = self.config.signer.clone() else { return };
        let (slot, digest) = (self.proposing.next, payload.digest());
        let choice = Choice { view: self.view, slot, digest: Some(digest) };
        let vote = Vote::new(&self.config.committee, &signer, Phase::PrePrepare, choice);
        self.proposing.next = Slot(slot.0 + 1);
        self.proposing.own.insert(slot, digest);
        let waited = self.bodies.hold(payload.clone(), slot);
        let state = self.slots.entry(slot).or_default();
        state.pre_prepare = Some(vote);
        state.since = Some(cx.now());
        cx.broadcast(Message::PrePrepare { vote, body: Some(payload) });
        self.accept(vote, cx);
        self.go_on(waited, cx);
    }

    /// Gives up what this member proposed and the view does not carry over.
    pub(super) fn abandon_proposals(&mut self, cx: &mut Cx<'_>) {
        let (slots, view, low) = (&self.slots, self.view, self.certified());
        let is_kept = |slot: Slot, digest: B256| {
            let state = slots.get(&slot);
            let decided = state.and_then(|state| state.decision.as_ref()).map(|known| known.choice.digest);
            let carried = state.and_then(|state| state.in_view(view)).map(|vote| vote.choice.digest);
            slot <= low || decided.or(carried) == Some(Some(digest))
        };
        for digest in self.proposing.retain(is_kept) {
            cx.tell(Event::Abandoned { digest });
        }
    }
}

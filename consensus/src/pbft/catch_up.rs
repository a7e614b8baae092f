//! Who missed something gets it: repetitions, standings, decisions, certificates, blocks (GEN-8, PBFT-14,
//! PBFT-15).
//!
//! Each member repeats its own statements while they are pending. Now and then it says where it stands, and
//! whoever is ahead answers with the proof of a view, with decisions, or with a certificate; each answer
//! proves itself. What is older than others keep is fetched as blocks, up to a certificate.

use synod_types::{BlockHash, Position, Slot, mutant};

use super::messages::{Message, Phase, Standing, Vote};
use super::{Cx, Pbft};
use crate::committee::{Event, Job};
use crate::effects::Effect;
use crate::protocol::Peer;

/// Decisions in one answer.
const DECISIONS: u64 = 8;

impl Pbft {
    pub(super) fn standing(&self) -> Standing {
        Standing {
            view: self.view,
            is_active: self.is_active,
            executed: self.executed,
            certified: self.certified(),
        }
    }

    /// Whether something that this member said or asked still waits for others.
    pub(super) fn is_pending(&self) -> bool {
        let open = self.slots.range(Slot(self.delivered.0 + 1)..);
        let votes = open.filter(|(slot, _)| !self.is_past_end(**slot));
        !self.is_active
            || self.executed != self.certified()
            || self.is_missing_bodies()
            || votes
                .filter(|(_, state)| state.in_view(self.view).is_some())
                .any(|(_, state)| state.decision.is_none())
    }

    /// Says to `to`, or to all, what is pending.
    pub(super) fn say_again(&mut self, to: Option<Peer>, cx: &mut Cx<'_>) {
        let mut messages = vec![Message::Standing(self.standing())];
        if let Some(me) = self.config.me() {
            let own = self.view_changes.get(&me).filter(|own| !self.is_active && own.view() == self.view);
            messages.extend(own.cloned().map(Message::ViewChange));
            messages.extend(self.pending_votes(to.is_some(), cx));
            let uncertified = self.attestations.range(Slot(self.certified().0 + 1)..);
            let own = uncertified.filter_map(|(_, said)| said.get(&me));
            let limit = self.config.limits.in_flight as usize;
            messages.extend(own.take(limit).copied().map(Message::Attestation));
        }
        self.ask_for_bodies_again(cx);
        for message in messages {
            match to {
                Some(peer) => cx.send(peer, message),
                None => cx.broadcast(message),
            }
        }
    }

    /// This member's votes of the current view in undecided slots. Those just cast are on their way.
    fn pending_votes(&self, even_new: bool, cx: &Cx<'_>) -> Vec<Message> {
        let (view, limits) = (self.view, &self.config.limits);
        let Some(signer) = self.config.signer.as_ref().filter(|_| self.is_active) else { return Vec::new() };
        let age_ms = if even_new { 0 } else { limits.base_timeout_ms / 8 };
        let open = self.slots.range(Slot(self.certified().0 + 1)..);
        let undecided = open.filter(|(_, state)| state.decision.is_none());
        let old =
            undecided.filter(|(_, state)| state.since.is_some_and(|at| cx.now().ms_since(at) >= age_ms));
        let mut messages = Vec::new();
        for (_, state) in old.take(limits.in_flight as usize) {
            let Some(accepted) = state.accepted_in(view) else { continue };
            if accepted.member == signer.index() {
                messages.push(Message::PrePrepare { vote: accepted, body: None });
            } else if let Some(prepare) = state.prepares.get(&signer.index()) {
                messages.push(Message::Prepare(*prepare));
            }
            let commit = state.commits.get(&signer.index()).filter(|commit| commit.choice.view == view);
            messages.extend(commit.copied().map(Message::Commit));
        }
        messages
    }

    pub(super) fn on_standing(&mut self, from: Peer, standing: Standing, cx: &mut Cx<'_>) {
        let now = cx.now();
        let pause = self.config.limits.base_timeout_ms / 16;
        let is_soon = self.helped.get(&from).is_some_and(|at| at.plus_ms(pause) > now);
        if is_soon {
            return;
        }
        self.helped.insert(from, now);
        let is_behind = standing.view < self.view || (standing.view == self.view && !standing.is_active);
        if is_behind {
            self.show_view(from, cx);
        }
        for ahead in 1..=DECISIONS {
            let slot = Slot(standing.executed.0.saturating_add(ahead));
            let decision = self.slots.get(&slot).and_then(|state| state.decision.clone());
            let Some(decision) = decision else { break };
            cx.send(from, Message::Decided(decision));
        }
        if let Some(stable) = self.stable.clone().filter(|stable| stable.slot() > standing.certified) {
            cx.send(from, Message::Certified(stable));
        }
    }

    /// Shows a member that is in a lower view the proof of this one, or the wish for it (PBFT-14).
    pub(super) fn show_view(&mut self, to: Peer, cx: &mut Cx<'_>) {
        let now = cx.now();
        let pause = self.config.limits.base_timeout_ms / 8;
        if mutant!("pbft-14-show-nothing") {
            return;
        }
        if self.shown.get(&to).is_some_and(|at| at.plus_ms(pause) > now) {
            return;
        }
        let own = self.config.me().and_then(|me| self.view_changes.get(&me));
        let proof = if self.is_active {
            self.new_view.clone().map(Message::NewView)
        } else {
            own.filter(|own| own.view() == self.view).cloned().map(Message::ViewChange)
        };
        if let Some(proof) = proof {
            self.shown.insert(to, now);
            cx.send(to, proof);
        }
    }

    /// Certified blocks have not come by themselves: ask for them, unless the ledger is still at it.
    pub(super) fn fetch(&mut self, cx: &mut Cx<'_>) {
        let Some(certificate) = self.stable.clone().filter(|stable| stable.slot() > self.executed) else {
            return;
        };
        if self.fetching.is_some() || mutant!("pbft-15-no-fetch") {
            return;
        }
        if self.delivered > self.executed {
            return self.timers.lags_since(cx.now(), &self.config.limits);
        }
        self.fetching = Some(certificate.slot());
        cx.effect(Effect::Start(Job::Fetch { certificate }));
    }

    pub(super) fn on_installed(&mut self, position: Position, block_hash: BlockHash, cx: &mut Cx<'_>) {
        self.fetching = None;
        let slot = position.slot;
        if position.epoch == self.config.committee.epoch() && slot > self.executed {
            (self.executed, self.delivered) = (slot, slot);
            self.proposing.next = self.proposing.next.max(Slot(slot.0 + 1));
            self.timers.made_progress(cx.now(), false);
            for digest in self.proposing.skipped(slot) {
                cx.tell(Event::Abandoned { digest });
            }
            self.note_block(slot, block_hash, cx);
            self.forget_old();
        }
        if self.certified() > self.executed {
            self.timers.lags_since(cx.now(), &self.config.limits);
        }
        self.deliver(cx);
    }

    /// This member's vote again, after a start: the signature is the same.
    pub(super) fn cast_again(&self, phase: Phase, vote: &Vote) -> Option<Vote> {
        let signer = self.config.signer.as_ref()?;
        Some(Vote::new(&self.config.committee, signer, phase, vote.choice))
    }
}

//! What is chosen, and its way to the ledger: counting, the commit index, delivery in order (MPX-6 to MPX-8,
//! MPX-10).

use alloy_primitives::{B256, Bytes};
use synod_types::{BlockHash, Position, Slot, mutant};

use super::messages::{Ballot, Message, Vote};
use super::{Cx, Paxos, Role};
use crate::committee::{Event, MemberIndex};
use crate::effects::Effect;
use crate::protocol::Peer;

impl Paxos {
    /// The leader counts: only votes for its proposal in its ballot (MPX-6).
    pub(super) fn on_accepted(&mut self, member: MemberIndex, vote: Vote, cx: &mut Cx<'_>) {
        self.on_following(member, vote.ballot, cx);
        let Role::Leading { ballot, .. } = &self.role else { return };
        let ballot = *ballot;
        let Some(state) = self.slots.get_mut(&vote.slot) else { return };
        let Some(proposed) = state.proposed.filter(|proposed| proposed.ballot == ballot) else { return };
        let is_mixed = mutant!("mpx-6-mixed-ballots") && vote.digest == proposed.digest;
        if vote != proposed && !is_mixed {
            return;
        }
        state.votes.insert(member);
        if state.votes.len() >= self.config.committee.quorum() {
            self.choose(proposed.slot, proposed.digest, cx);
        }
    }

    /// The leader's index: it counts for slots whose proposal of that ballot is known here (MPX-7). The rest is
    /// asked for by this member's standing.
    pub(super) fn on_commit(&mut self, from: Peer, ballot: Ballot, through: Slot, cx: &mut Cx<'_>) {
        if !self.follow(from, ballot, cx) {
            return;
        }
        self.commit = self.commit.max((ballot, through));
        let low = Slot(self.delivered.0 + 1);
        if through < low {
            return;
        }
        let covered = self.slots.range(low..=through).filter_map(|(_, state)| state.heard);
        let covered =
            covered.filter(|heard| heard.ballot == ballot || mutant!("mpx-7-commit-across-ballots"));
        for heard in covered.collect::<Vec<Vote>>() {
            self.choose(heard.slot, heard.digest, cx);
        }
    }

    /// A value is chosen, by this member's own count or by what another knows.
    pub(super) fn choose(&mut self, slot: Slot, digest: Option<B256>, cx: &mut Cx<'_>) {
        if !self.is_buffered(slot) {
            return;
        }
        let state = self.slots.entry(slot).or_default();
        if let Some(known) = state.chosen {
            if known != digest {
                self.diverge(slot, format!("{known:?}"), format!("{digest:?}"), cx);
            }
            return;
        }
        state.chosen = Some(digest);
        match digest {
            Some(digest) if self.bodies.get(digest).is_none() && slot > self.delivered => {
                self.want_body(digest, slot, cx);
            }
            Some(digest) => self.bodies.extend_to(digest, slot),
            None => {}
        }
        self.deliver(cx);
    }

    /// Hands chosen slots to the ledger, in order (MPX-8), up to the epoch's last (MPX-10).
    pub(super) fn deliver(&mut self, cx: &mut Cx<'_>) {
        while self.fetching.is_none() && self.halted.is_none() {
            let slot = self.next_to_deliver();
            let Some(chosen) = self.slots.get(&slot).and_then(|state| state.chosen) else { return };
            if self.is_past_end(slot) && !mutant!("mpx-10-past-the-end") {
                return;
            }
            let body = match chosen {
                None => Bytes::new(),
                Some(digest) => match self.bodies.get(digest) {
                    Some(payload) => payload.bytes().clone(),
                    None => return,
                },
            };
            let position = self.position(slot);
            cx.effect(Effect::Append { position, block_hash: None, body, digest: chosen, settled: position });
            self.delivered = slot;
            self.timers.made_progress(cx.now());
        }
    }

    fn next_to_deliver(&self) -> Slot {
        let next = Slot(self.delivered.0 + 1);
        let mut later = self.slots.range(next..).filter(|(_, state)| state.chosen.is_some());
        let first = later.next().map(|(slot, _)| *slot).filter(|_| mutant!("mpx-8-any-order"));
        first.unwrap_or(next)
    }

    /// The leader tells how far it is: together with the append, once its own acceptances are durable.
    pub(super) fn announce(&mut self, cx: &mut Cx<'_>) {
        let Role::Leading { ballot, .. } = &self.role else { return };
        if self.delivered > self.announced {
            self.announced = self.delivered;
            cx.broadcast(Message::Commit { ballot: *ballot, through: self.delivered });
        }
    }

    /// The block is durable: this member attests it.
    pub(super) fn on_executed(&mut self, position: Position, block_hash: BlockHash, cx: &mut Cx<'_>) {
        let slot = position.slot;
        let is_next = slot.0 == self.executed.0 + 1 && position.epoch == self.config.committee.epoch();
        assert!(is_next, "the block log appends slots in order: {position} after slot {}", self.executed);
        self.executed = slot;
        self.delivered = self.delivered.max(slot);
        self.timers.made_progress(cx.now());
        let decided = self.slots.get(&slot).and_then(|state| state.chosen).flatten();
        if let Some(digest) = self.proposing.executed(slot, decided) {
            cx.tell(Event::Abandoned { digest });
        }
        self.note_block(slot, block_hash, cx);
        if let Some(signer) = self.config.signer.clone() {
            let attestation = self.attestations.sign(&signer, slot, block_hash);
            cx.broadcast(Message::Attestation(attestation));
            self.count_attestation(attestation, cx);
        }
        self.forget_old();
        self.deliver(cx);
    }

    /// Slots after the epoch's last block are void.
    pub(super) fn is_past_end(&self, slot: Slot) -> bool {
        self.ended_at.is_some_and(|end| slot > end)
    }
}

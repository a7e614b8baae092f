//! Who missed something gets it: repetitions, standings, chosen values, certificates, blocks (GEN-8).
//!
//! Whoever asks something repeats it while it is pending; answers are repeated when the question is. Now and
//! then each member says where it stands, and whoever is ahead answers with chosen values or a certificate.
//! What is older than others keep is fetched as blocks, up to a certificate.

use synod_types::{BlockHash, Position, Slot, mutant};

use super::messages::{Ballot, Message, Standing, Vote};
use super::{Cx, Paxos, Role};
use crate::committee::{Event, Job};
use crate::effects::Effect;
use crate::protocol::Peer;

/// Chosen values in one answer.
const CHOSEN: u64 = 8;

impl Paxos {
    fn standing(&self) -> Standing {
        Standing { executed: self.executed, certified: self.certified() }
    }

    /// Proposals of this leader that are not chosen.
    pub(super) fn open_proposals(&self) -> impl Iterator<Item = (&super::SlotState, Vote)> {
        let ballot = match &self.role {
            Role::Leading { ballot, .. } => Some(*ballot),
            _ => None,
        };
        let open = self.slots.range(Slot(self.certified().0 + 1)..).map(|(_, state)| state);
        let open = open.filter(|state| state.chosen.is_none());
        open.filter_map(move |state| state.proposed.map(|vote| (state, vote)))
            .filter(move |(_, vote)| Some(vote.ballot) == ballot && !self.is_past_end(vote.slot))
    }

    /// Whether something that this member said or asked still waits for others.
    pub(super) fn is_pending(&self) -> bool {
        let is_asking = matches!(self.role, Role::Probing { .. } | Role::Preparing { .. });
        let mut open = self.slots.range(Slot(self.delivered.0 + 1)..);
        let is_open = |state: &super::SlotState| state.heard.is_some() || state.chosen.is_some();
        is_asking
            || self.executed != self.certified()
            || self.is_missing_bodies()
            || (self.commit.1 > self.delivered && self.ended_at.is_none())
            || open.any(|(slot, state)| is_open(state) && !self.is_past_end(*slot))
    }

    /// Says to `to`, or to all, what is pending.
    pub(super) fn say_again(&mut self, to: Option<Peer>, cx: &mut Cx<'_>) {
        if to.is_none() && matches!(self.role, Role::Probing { .. }) {
            // What was heard since may ask for a higher ballot.
            self.probe(cx);
        }
        let mut messages = vec![Message::Standing(self.standing())];
        let limit = self.config.limits.in_flight as usize;
        match &self.role {
            Role::Preparing { ballot, from, .. } => {
                messages.push(Message::Prepare { ballot: *ballot, from: *from });
            }
            Role::Leading { ballot, .. } => {
                messages.extend(self.pending_proposals(*ballot, to.is_some(), cx));
            }
            Role::Following | Role::Probing { .. } => {}
        }
        if let Some(me) = self.config.me() {
            let own = self.attestations.uncertified_by(me).take(limit);
            messages.extend(own.map(Message::Attestation));
        }
        self.ask_for_bodies_again(cx);
        for message in messages {
            match to {
                Some(peer) => cx.send(peer, message),
                None => cx.broadcast(message),
            }
        }
    }

    /// The leader's open proposals. Those just made are on their way.
    fn pending_proposals(&self, ballot: Ballot, even_new: bool, cx: &Cx<'_>) -> Vec<Message> {
        let limits = &self.config.limits;
        let age_ms = if even_new { 0 } else { limits.base_timeout_ms / 8 };
        let old = self
            .open_proposals()
            .filter(|(state, _)| state.since.is_some_and(|at| cx.now().ms_since(at) >= age_ms));
        let mut messages = vec![Message::Heartbeat { ballot }];
        let length = limits.in_flight.max(limits.window) as usize;
        messages.extend(old.take(length).map(|(_, vote)| Message::Accept { vote, body: None }));
        messages
    }

    pub(super) fn on_standing(&mut self, from: Peer, standing: Standing, cx: &mut Cx<'_>) {
        let now = cx.now();
        let pause = self.config.limits.base_timeout_ms / 16;
        if self.helped.get(&from).is_some_and(|at| at.plus_ms(pause) > now) {
            return;
        }
        self.helped.insert(from, now);
        for ahead in 1..=CHOSEN {
            let slot = Slot(standing.executed.0.saturating_add(ahead));
            let Some(digest) = self.slots.get(&slot).and_then(|state| state.chosen) else { break };
            cx.send(from, Message::Chosen { slot, digest });
        }
        self.show_certificate(from, standing.certified, cx);
    }

    /// Certified blocks have not come by themselves: ask for them, unless the ledger is still at it.
    pub(super) fn fetch(&mut self, cx: &mut Cx<'_>) {
        let newest = self.attestations.newest().cloned();
        let Some(certificate) = newest.filter(|newest| newest.slot() > self.executed) else { return };
        if self.fetching.is_some() || mutant!("mpx-4-no-fetch") {
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
            self.timers.made_progress(cx.now());
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
}

//! Phase 2 as an acceptor: a vote stands on a body, and both are durable before it is said (MPX-2).

use alloy_primitives::B256;
use synod_types::{Slot, mutant};

use super::messages::{Message, Record, Vote};
use super::{Cx, Paxos};
use crate::committee::Payload;
use crate::protocol::Peer;

impl Paxos {
    pub(super) fn on_accept(&mut self, from: Peer, vote: Vote, body: Option<Payload>, cx: &mut Cx<'_>) {
        if mutant!("mpx-2-greater") && vote.ballot == self.promised {
            return self.refuse(from, vote.ballot, cx);
        }
        if !self.follow(from, vote.ballot, cx) {
            return;
        }
        if vote.slot <= self.certified() {
            // Its proposer lacks the certificate that settles the slot.
            if let Some(newest) = self.attestations.newest().cloned() {
                cx.send(from, Message::Certified(newest));
            }
            return;
        }
        if !self.is_buffered(vote.slot) {
            return;
        }
        self.slots.entry(vote.slot).or_default().heard = Some(vote);
        let mut waited = body.map(|body| self.bodies.hold(body, vote.slot)).unwrap_or_default();
        waited.insert(vote.slot);
        self.go_on(waited, cx);
        let (ballot, through) = self.commit;
        if ballot == vote.ballot && vote.slot <= through {
            self.choose(vote.slot, vote.digest, cx);
        }
    }

    /// Accepts the proposal heard for a slot once nothing is missing.
    pub(super) fn try_accept(&mut self, slot: Slot, cx: &mut Cx<'_>) {
        let Some(heard) = self.slots.get(&slot).and_then(|state| state.heard) else { return };
        let Some(me) = self.config.me() else {
            return self.want_heard_body(heard, cx);
        };
        if heard.ballot < self.promised || slot <= self.certified() || self.is_past_end(slot) {
            return;
        }
        let is_again = self.slots.get(&slot).and_then(|state| state.accepted) == Some(heard);
        if !is_again {
            if !self.has_digest(heard.digest) && !mutant!("mpx-2-vote-without-body") {
                return self.want_heard_body(heard, cx);
            }
            self.accept(heard, cx);
        }
        if heard.ballot.member == me {
            self.on_accepted(me, heard, cx);
        } else {
            cx.send(heard.ballot.member.peer(), Message::Accepted(heard));
        }
    }

    fn accept(&mut self, vote: Vote, cx: &mut Cx<'_>) {
        let slot = vote.slot;
        if let Some(digest) = vote.digest {
            self.bodies.extend_to(digest, slot);
            if let Some(payload) = self.bodies.begin_journalling(digest) {
                self.persist(Record::Body { slot, payload }, cx);
            }
        }
        if !mutant!("mpx-2-forget-accepted") {
            self.persist(Record::Accepted(vote), cx);
        }
        self.slots.entry(slot).or_default().accepted = Some(vote);
    }

    fn want_heard_body(&mut self, heard: Vote, cx: &mut Cx<'_>) {
        if let Some(digest) = heard.digest.filter(|digest| self.bodies.get(*digest).is_none()) {
            self.want_body(digest, heard.slot, cx);
        }
    }

    /// Whether the payload is here; a no-op has none.
    pub(super) fn has_digest(&self, digest: Option<B256>) -> bool {
        digest.is_none_or(|digest| self.bodies.get(digest).is_some())
    }
}

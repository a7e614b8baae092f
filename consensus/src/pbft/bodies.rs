//! Bodies that are missing: asked of those who voted for them, and served (PBFT-2, PBFT-10).

use std::collections::BTreeSet;

use alloy_primitives::B256;
use synod_types::{Slot, mutant};

use super::messages::Message;
use super::{Cx, Pbft};
use crate::committee::{MemberIndex, Payload};
use crate::protocol::Peer;

impl Pbft {
    /// Asks for a body, unless it was asked for already; the tick asks again.
    pub(super) fn want_body(&mut self, digest: B256, slot: Slot, cx: &mut Cx<'_>) {
        if self.bodies.want(digest, slot) {
            self.ask_for_body(digest, cx);
        }
    }

    fn ask_for_body(&mut self, digest: B256, cx: &mut Cx<'_>) {
        let states = self.bodies.wanted_for(digest).filter_map(|slot| self.slots.get(&slot));
        let holders: Vec<MemberIndex> = states.flat_map(|state| state.holders(digest)).collect();
        let (all, me) = (self.config.committee.indexes(), self.config.me());
        if let Some(holder) = self.bodies.next_holder(digest, holders, all, me) {
            cx.send(holder.peer(), Message::AskBody { digest });
        }
    }

    pub(super) fn ask_for_bodies_again(&mut self, cx: &mut Cx<'_>) {
        for digest in self.bodies.missing() {
            self.ask_for_body(digest, cx);
        }
    }

    pub(super) fn is_missing_bodies(&self) -> bool {
        self.bodies.sizes().1 > 0
    }

    /// Answers, but no member more than its share (PBFT-17).
    pub(super) fn on_ask_body(&mut self, from: Peer, digest: B256, cx: &mut Cx<'_>) {
        let limits = &self.config.limits;
        let full = limits.batch_bytes.saturating_mul(limits.in_flight as usize);
        if let Some(body) = self.bodies.serve(digest, from, cx.now(), limits.base_timeout_ms, full) {
            cx.send(from, Message::Body(body));
        }
    }

    /// A body that nobody asked for is dropped.
    pub(super) fn on_body(&mut self, body: Payload, cx: &mut Cx<'_>) {
        let waited = self.bodies.hold_wanted(body);
        self.go_on(waited, cx);
    }

    /// A body came, by itself or with a proposal: nobody sends it again, so that whatever waited for it goes on now.
    /// Commits may have come before it.
    pub(super) fn go_on(&mut self, waited: BTreeSet<Slot>, cx: &mut Cx<'_>) {
        for slot in waited {
            self.try_accept(slot, cx);
        }
        if !mutant!("pbft-10-body-not-delivered") {
            self.deliver(cx);
        }
    }
}

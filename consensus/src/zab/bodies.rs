//! Bodies that are missing: asked of the leader and of everybody in turn, and served.

use alloy_primitives::B256;
use synod_types::Slot;

use super::messages::Message;
use super::{Cx, Role, Zab};
use crate::committee::{MemberIndex, Payload};
use crate::protocol::Peer;

impl Zab {
    /// Asks for a body, unless it was asked for already; the tick asks again.
    pub(super) fn want_body(&mut self, digest: B256, slot: Slot, cx: &mut Cx<'_>) {
        if self.bodies.want(digest, slot) {
            self.ask_for_body(digest, cx);
        }
    }

    fn ask_for_body(&mut self, digest: B256, cx: &mut Cx<'_>) {
        let holders: Vec<MemberIndex> = match &self.role {
            Role::Following(following) => vec![following.leader],
            Role::Looking(_) | Role::Leading(_) => Vec::new(),
        };
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

    /// Answers, but no member more than its share.
    pub(super) fn on_ask_body(&mut self, from: Peer, digest: B256, cx: &mut Cx<'_>) {
        let limits = &self.config.limits;
        let full = limits.batch_bytes.saturating_mul(limits.in_flight as usize);
        if let Some(body) = self.bodies.serve(digest, from, cx.now(), limits.base_timeout_ms, full) {
            cx.send(from, Message::Body(body));
        }
    }

    /// A body that nobody asked for is dropped.
    pub(super) fn on_body(&mut self, body: Payload, cx: &mut Cx<'_>) {
        if !self.bodies.hold_wanted(body).is_empty() {
            self.go_on(cx);
        }
    }

    /// A body came, by itself or with a proposal: nobody sends it again, so that whatever waited for it goes on now.
    pub(super) fn go_on(&mut self, cx: &mut Cx<'_>) {
        self.take_history(cx);
        self.log_waiting(cx);
        self.deliver(cx);
    }
}

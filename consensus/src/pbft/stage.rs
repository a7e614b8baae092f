//! What PBFT adds to a member on paper.
#![allow(clippy::unwrap_used)]
#![cfg_attr(not(test), allow(dead_code))]

use std::sync::Arc;

use synod_types::Slot;

use super::messages::{CarriedOver, Choice, Message, Phase, Prepared, View, ViewChange, Vote};
use super::{Config, Limits, Pbft};
use crate::committee::stage::OnPaper;
use crate::committee::stage::body;
use crate::committee::{Committee, FaultModel, MemberIndex, Payload, Signatures, Signer, Validity};
use crate::protocol::Protocol;

pub(crate) type Stage = crate::committee::stage::Stage<Pbft>;

impl OnPaper for Pbft {
    const MODEL: FaultModel = FaultModel::Byzantine;
    type Limits = Limits;

    fn config(committee: Committee, signer: Signer, validity: Arc<dyn Validity>, limits: Limits) -> Config {
        Config { committee, signer: Some(signer), validity, limits, horizon: Arc::default() }
    }
}

impl Stage {
    /// A member of four.
    pub(crate) fn new(me: usize) -> Self {
        Self::with(me, Limits { window: 12, in_flight: 6, ..Limits::default() })
    }

    pub(crate) fn with(me: usize, limits: Limits) -> Self {
        Self::of(4, me, limits)
    }

    /// The same, but dropped where nothing can come of it.
    pub(crate) fn hear_if_awaited(&mut self, from: u8, message: Message) {
        if Pbft::awaits(&self.config, &message) {
            self.hear(from, message);
        }
    }

    /// The primary's proposal comes in, body and all.
    pub(crate) fn propose(&mut self, choice: Choice, payload: Payload) {
        let primary = choice.view.primary(&self.committee).0;
        let vote = self.vote(primary, Phase::PrePrepare, choice);
        self.hear(primary, Message::PrePrepare { vote, body: Some(payload) });
    }

    /// A small payload of view 0 is decided at the slot, and executed.
    pub(crate) fn decide_next(&mut self, slot: u64) {
        let payload = body(&slot.to_string());
        let next = choice(0, slot, &payload);
        self.propose(next, payload);
        for member in [0, 2, 3] {
            self.hear(member, Message::Commit(self.vote(member, Phase::Commit, next)));
        }
        self.execute(slot);
        self.hear(2, Message::Certified(self.certificate(slot)));
    }

    pub(crate) fn vote(&self, member: u8, phase: Phase, choice: Choice) -> Vote {
        Vote::new(&self.committee, &self.signers[usize::from(member)], phase, choice)
    }

    pub(crate) fn prepared(&self, choice: Choice) -> Prepared {
        let primary = choice.view.primary(&self.committee);
        let pre_prepare = self.vote(primary.0, Phase::PrePrepare, choice);
        let backups = (0..4u8).filter(|member| *member != primary.0).take(2);
        let signed = backups
            .map(|member| (MemberIndex(member), self.vote(member, Phase::Prepare, choice).signature))
            .collect();
        Prepared { pre_prepare, prepares: Signatures::new(&signed) }
    }

    pub(crate) fn change(&self, member: u8, view: u64, prepared: Vec<Prepared>) -> ViewChange {
        let content = CarriedOver { view: View(view), stable: None, prepared };
        ViewChange::new(&self.committee, &self.signers[usize::from(member)], content)
    }
}

pub(crate) fn choice(view: u64, slot: u64, body: &Payload) -> Choice {
    Choice { view: View(view), slot: Slot(slot), digest: Some(body.digest()) }
}

pub(crate) fn null(view: u64, slot: u64) -> Choice {
    Choice { view: View(view), slot: Slot(slot), digest: None }
}

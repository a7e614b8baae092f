//! What Multi-Paxos adds to a member on paper.
#![allow(clippy::unwrap_used)]
#![cfg_attr(not(test), allow(dead_code))]

use std::sync::Arc;

use synod_types::Slot;

use super::messages::{Ballot, Message, Promise, Vote};
use super::{Config, Limits, Paxos};
use crate::committee::stage::OnPaper;
use crate::committee::{Committee, FaultModel, MemberIndex, Payload, Signer, Validity};

pub(crate) type Stage = crate::committee::stage::Stage<Paxos>;

impl OnPaper for Paxos {
    const MODEL: FaultModel = FaultModel::Crash;
    type Limits = Limits;

    fn config(committee: Committee, signer: Signer, validity: Arc<dyn Validity>, limits: Limits) -> Config {
        Config { committee, signer: Some(signer), validity, limits }
    }
}

impl Stage {
    /// A member of three.
    pub(crate) fn new(me: usize) -> Self {
        Self::with(3, me, Limits { window: 12, in_flight: 6, promise_part: 2, ..Limits::default() })
    }

    pub(crate) fn with(members: u8, me: usize, limits: Limits) -> Self {
        Self::of(members, me, limits)
    }

    /// Asks, is answered, and leads with what these members report.
    pub(crate) fn lead(&mut self, reports: &[(u8, Vec<Vote>)]) -> Ballot {
        self.prepare(reports.iter().map(|(member, _)| *member));
        let ballot = self.preparing().expect("a quorum was willing");
        for (member, accepted) in reports {
            self.report(*member, ballot, accepted.clone());
        }
        ballot
    }

    /// Asks, and these are willing.
    pub(crate) fn prepare(&mut self, willing: impl Iterator<Item = u8>) {
        self.pass_ms(20_000);
        let probe = self.said.iter().rev().find_map(|(_, message)| match message {
            Message::Probe { ballot } => Some(*ballot),
            _ => None,
        });
        for member in willing {
            self.hear(member, Message::Willing { ballot: probe.expect("nobody leads") });
        }
    }

    /// The ballot of the last PREPARE.
    pub(crate) fn preparing(&self) -> Option<Ballot> {
        self.said.iter().rev().find_map(|(_, message)| match message {
            Message::Prepare { ballot, .. } => Some(*ballot),
            _ => None,
        })
    }

    /// A whole promise.
    pub(crate) fn report(&mut self, member: u8, ballot: Ballot, accepted: Vec<Vote>) {
        let promise = Promise { ballot, from: Slot(1), part: 0, parts: 1, trimmed: None, accepted };
        self.hear(member, Message::Promise(promise));
    }
}

pub(crate) fn ballot(round: u64, member: u8) -> Ballot {
    Ballot { round, member: MemberIndex(member) }
}

pub(crate) fn vote(round: u64, member: u8, slot: u64, body: &Payload) -> Vote {
    Vote { ballot: ballot(round, member), slot: Slot(slot), digest: Some(body.digest()) }
}

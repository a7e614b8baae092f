//! What Zab adds to a member on paper.
#![allow(clippy::unwrap_used)]
#![cfg_attr(not(test), allow(dead_code))]

use std::sync::Arc;

use synod_types::Slot;

use super::messages::{Basis, Entry, Message, State, Vote};
use super::zxid::{Point, ZabEpoch, Zxid};
use super::{Config, Limits, Zab};
use crate::committee::stage::OnPaper;
use crate::committee::{Committee, FaultModel, MemberIndex, Payload, Signer, Validity};

pub(crate) type Stage = crate::committee::stage::Stage<Zab>;

impl OnPaper for Zab {
    const MODEL: FaultModel = FaultModel::Crash;
    type Limits = Limits;

    fn config(committee: Committee, signer: Signer, validity: Arc<dyn Validity>, limits: Limits) -> Config {
        Config { committee, signer: Some(signer), validity, limits }
    }
}

impl Stage {
    /// A member of three.
    pub(crate) fn new(me: usize) -> Self {
        Self::of(3, me, Limits { window: 12, in_flight: 6, ..Limits::default() })
    }

    /// These look, too, and would follow this member; they begin to, and it begins an epoch.
    pub(crate) fn gather(&mut self, followers: &[u8]) -> ZabEpoch {
        let me = MemberIndex(self.replica.protocol().me().unwrap().0);
        for member in followers {
            let vote = Vote { supports: Some(me), ..Vote::default() };
            self.hear(*member, Message::Vote(vote));
        }
        for member in followers {
            self.hear(*member, Message::FollowerInfo { accepted: ZabEpoch(0), votes: true });
        }
        self.begun().unwrap()
    }

    /// The epoch that it began last.
    pub(crate) fn begun(&self) -> Option<ZabEpoch> {
        self.said.iter().rev().find_map(|(_, message)| match message {
            Message::NewEpoch { epoch } => Some(*epoch),
            _ => None,
        })
    }

    /// It leads, over followers whose history is empty, or its own.
    pub(crate) fn lead(&mut self, followers: &[u8]) -> ZabEpoch {
        let epoch = self.gather(followers);
        for member in followers {
            self.hear(*member, Message::AckEpoch { epoch, counts: true, state: State::default() });
        }
        let through = self.last().slot;
        for member in followers {
            self.hear(*member, Message::AckLeader { epoch, through });
        }
        epoch
    }

    /// It looks, hears that somebody leads, follows, and was given the epoch.
    pub(crate) fn follow(&mut self, leader: u8, epoch: u64) {
        let epoch = ZabEpoch(epoch);
        self.hear(leader, Message::Ping { epoch, through: None });
        self.hear(leader, Message::NewEpoch { epoch });
    }

    /// It follows, and has this history.
    pub(crate) fn take(&mut self, leader: u8, epoch: u64, basis: Basis, entries: Vec<Entry>) {
        self.follow(leader, epoch);
        self.hear(leader, Message::NewLeader { epoch: ZabEpoch(epoch), basis, entries });
    }

    pub(crate) fn last(&self) -> Point {
        let kept = self.replica.protocol().promises();
        kept.log.last().map_or(kept.base, Entry::point)
    }

    pub(crate) fn propose(&mut self, leader: u8, entry: Entry, payload: &Payload) {
        self.hear(leader, Message::Propose { entry, body: Some(payload.clone()) });
    }
}

pub(crate) fn zxid(epoch: u64, counter: u32) -> Zxid {
    Zxid { epoch: ZabEpoch(epoch), counter }
}

pub(crate) fn point(epoch: u64, counter: u32, slot: u64) -> Point {
    Point { slot: Slot(slot), zxid: zxid(epoch, counter) }
}

pub(crate) fn entry(epoch: u64, counter: u32, slot: u64, payload: &Payload) -> Entry {
    Entry { slot: Slot(slot), zxid: zxid(epoch, counter), digest: payload.digest() }
}

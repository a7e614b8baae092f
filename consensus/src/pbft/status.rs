//! What a member under PBFT is doing, in words and figures; and its promises, for whoever checks them.

use std::collections::BTreeMap;

use synod_types::{BlockHash, Slot};

use super::messages::{Choice, View};
use super::{Pbft, Protocol, Status};
use crate::committee::{Certificate, MemberIndex};

/// What this member stands for, as its memory has it (A10).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promises {
    /// It left all lower views.
    pub view: View,
    /// The proposal that it accepted last, by slot.
    pub accepted: BTreeMap<Slot, Choice>,
    /// What is prepared with the highest view, by slot.
    pub prepared: BTreeMap<Slot, Choice>,
    /// Everything up to here is executed or certified.
    pub settled: Slot,
}

impl Pbft {
    /// What it stands for.
    pub fn promises(&self) -> Promises {
        let accepted = self.slots.iter().filter_map(|(slot, state)| Some((*slot, state.accepted?.choice)));
        let prepared =
            self.slots.iter().filter_map(|(slot, state)| Some((*slot, state.prepared.as_ref()?.choice())));
        Promises {
            view: self.view,
            accepted: accepted.collect(),
            prepared: prepared.collect(),
            settled: self.executed.max(self.certified()),
        }
    }

    /// Whether the payload of a choice is here.
    pub fn has_body(&self, choice: Choice) -> bool {
        choice.digest.is_none_or(|digest| self.bodies.get(digest).is_some())
    }

    /// Whether a vote for this choice stands on its payload: here, or in an executed block.
    pub fn stands_on_body(&self, choice: Choice) -> bool {
        choice.slot <= self.executed.max(self.certified()) || self.has_body(choice)
    }

    /// The view, and whether it has begun here.
    pub fn view(&self) -> (View, bool) {
        (self.view, self.is_active)
    }

    /// Who leads it.
    pub fn primary(&self) -> MemberIndex {
        self.view.primary(&self.config.committee)
    }

    /// The last slot whose block is durable here.
    pub fn executed(&self) -> Slot {
        self.executed
    }

    /// The certificate of the epoch's last block, once that block is durable here, too: then this epoch is over
    /// for this member, and the next can begin.
    pub fn end_certificate(&self) -> Option<&Certificate> {
        let end = self.ended_at.filter(|end| self.executed >= *end && self.fetching.is_none())?;
        self.stable.as_ref().filter(|stable| stable.slot() == end)
    }

    /// Why it stands still, if it does.
    pub fn halted(&self) -> Option<&str> {
        self.halted.as_deref()
    }

    /// How much is kept: slots, bodies, missing bodies, slots with attestations.
    pub fn sizes(&self) -> [usize; 4] {
        let (bodies, wanted) = self.bodies.sizes();
        [self.slots.len(), bodies, wanted, self.attestations.len()]
    }

    pub(super) fn describe(&self) -> Status {
        let quorum = self.config.committee.quorum();
        Status {
            protocol: Self::NAME,
            position: self.position(self.executed),
            block_hash: self.hashes.get(&self.executed).copied().unwrap_or(BlockHash::default()),
            settled: self.position(self.executed),
            best_height: self.height(self.executed.max(self.certified())),
            waits_for: self.waits_for(),
            facts: vec![
                ("epoch", self.config.committee.epoch().to_string()),
                ("view", self.view.to_string()),
                ("primary", self.primary().to_string()),
                ("is_primary", (self.config.me() == Some(self.primary())).to_string()),
                ("view_active", self.is_active.to_string()),
                ("members", self.config.committee.len().to_string()),
                ("quorum", quorum.to_string()),
                ("votes", self.config.signer.is_some().to_string()),
                ("certified", self.certified().to_string()),
                ("decided", self.delivered.to_string()),
                ("failed_views", self.timers.failed().to_string()),
                ("timeout_ms", self.timers.timeout_ms(&self.config.limits).to_string()),
            ],
        }
    }

    fn waits_for(&self) -> String {
        let (quorum, view) = (self.config.committee.quorum(), self.view);
        if let Some(reason) = &self.halted {
            return format!("a person: {reason}");
        }
        if let Some(goal) = self.fetching {
            return format!("blocks up to slot {goal} from other members");
        }
        if self.ended_at.is_some_and(|end| self.executed >= end) {
            return "the next epoch".to_owned();
        }
        if !self.is_active {
            let wanting = self.view_changes.values().filter(|change| change.view() >= view).count();
            return if wanting < quorum {
                format!("view {view}: {wanting} of {quorum} members want it")
            } else {
                format!("member {} to begin view {view}", self.primary())
            };
        }
        if self.is_missing_bodies() {
            return "payloads that were proposed and did not come".to_owned();
        }
        if self.delivered > self.executed {
            return format!("the ledger to execute slot {}", self.executed.0 + 1);
        }
        let slot = Slot(self.executed.0 + 1);
        let Some(state) = self.slots.get(&slot).filter(|state| state.in_view(view).is_some()) else {
            return match self.timers.demand.oldest_since {
                Some(_) => format!("member {} to propose", self.primary()),
                None => "transactions".to_owned(),
            };
        };
        let count = |votes: &BTreeMap<MemberIndex, super::messages::Vote>| {
            votes.values().filter(|vote| vote.choice.view == view).count()
        };
        format!(
            "votes for slot {slot}: {} prepares of {}, {} commits of {quorum}",
            count(&state.prepares),
            quorum - 1,
            count(&state.commits)
        )
    }
}

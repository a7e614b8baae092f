//! What a member under Multi-Paxos is doing, in words and figures; and its promises, for whoever checks them.

use std::collections::BTreeMap;

use synod_types::Slot;

use super::messages::{Ballot, Vote};
use super::{Paxos, Protocol, Role, Status};
use crate::committee::{Certificate, MemberIndex};

/// What this member stands for, as its memory has it (A10).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promises {
    /// No lower ballot gets anything.
    pub promised: Ballot,
    /// What it accepted last, by slot.
    pub accepted: BTreeMap<Slot, Vote>,
    /// Everything up to here is certified.
    pub certified: Slot,
}

impl Paxos {
    /// What it stands for.
    pub fn promises(&self) -> Promises {
        let accepted = self.slots.iter().filter_map(|(slot, state)| Some((*slot, state.accepted?)));
        Promises { promised: self.promised, accepted: accepted.collect(), certified: self.certified() }
    }

    /// Whether a vote stands on its payload: here, or in a settled block.
    pub fn stands_on_body(&self, vote: Vote) -> bool {
        vote.slot <= self.executed.max(self.certified()) || self.has_digest(vote.digest)
    }

    /// This member's index; `None` for a learner.
    pub fn me(&self) -> Option<MemberIndex> {
        self.config.me()
    }

    /// The ballot that this member leads or follows, if it knows one.
    pub fn leader(&self) -> Option<Ballot> {
        self.leader
    }

    /// Whether it leads.
    pub fn is_leading(&self) -> bool {
        matches!(self.role, Role::Leading { .. })
    }

    /// The last slot whose block is durable here.
    pub fn executed(&self) -> Slot {
        self.executed
    }

    /// The certificate of the epoch's last block, once that block is durable here, too: then this epoch is over
    /// for this member, and the next can begin.
    pub fn end_certificate(&self) -> Option<&Certificate> {
        let end = self.ended_at.filter(|end| self.executed >= *end && self.fetching.is_none())?;
        self.attestations.newest().filter(|newest| newest.slot() == end)
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

    fn phase(&self) -> &'static str {
        match self.role {
            Role::Following => "following",
            Role::Probing { .. } => "probing",
            Role::Preparing { .. } => "preparing",
            Role::Leading { .. } => "leading",
        }
    }

    pub(super) fn describe(&self) -> Status {
        let or_none = |ballot: Option<String>| ballot.unwrap_or_else(|| "none".to_owned());
        Status {
            protocol: Self::NAME,
            position: self.position(self.executed),
            block_hash: self.attestations.hash_at(self.executed).unwrap_or_default(),
            settled: self.position(self.executed),
            best_height: self.height(self.executed.max(self.certified())),
            waits_for: self.waits_for(),
            facts: vec![
                ("epoch", self.config.committee.epoch().to_string()),
                ("ballot", or_none(self.leader.map(|ballot| ballot.to_string()))),
                ("leader", or_none(self.leader.map(|ballot| ballot.member.to_string()))),
                ("is_leader", self.is_leading().to_string()),
                ("phase", self.phase().to_owned()),
                ("promised", self.promised.to_string()),
                ("members", self.config.committee.len().to_string()),
                ("quorum", self.config.committee.quorum().to_string()),
                ("votes", self.config.signer.is_some().to_string()),
                ("certified", self.certified().to_string()),
                ("decided", self.delivered.to_string()),
                ("failed_ballots", self.timers.failed().to_string()),
                ("timeout_ms", self.timers.timeout_ms(&self.config.limits).to_string()),
            ],
        }
    }

    fn waits_for(&self) -> String {
        let quorum = self.config.committee.quorum();
        if let Some(reason) = &self.halted {
            return format!("a person: {reason}");
        }
        if let Some(goal) = self.fetching {
            return format!("blocks up to slot {goal} from other members");
        }
        if self.ended_at.is_some_and(|end| self.executed >= end) {
            return "the next epoch".to_owned();
        }
        match &self.role {
            Role::Probing { ballot, willing } => {
                return format!(
                    "a leader: {} of {quorum} members would follow ballot {ballot}",
                    willing.len()
                );
            }
            Role::Preparing { ballot, promises, .. } => {
                return format!("promises for ballot {ballot}: {} of {quorum} began", promises.len());
            }
            Role::Following | Role::Leading { .. } => {}
        }
        if self.is_missing_bodies() {
            return "payloads that were proposed and did not come".to_owned();
        }
        if self.delivered > self.executed {
            return format!("the ledger to execute slot {}", self.executed.0 + 1);
        }
        let slot = Slot(self.executed.0 + 1);
        let next = self.slots.get(&slot);
        if let Some(state) = next.filter(|state| state.proposed.is_some() && self.is_leading()) {
            return format!("votes for slot {slot}: {} of {quorum}", state.votes.len());
        }
        let Some(leader) = self.leader else { return "a leader".to_owned() };
        if next.is_some_and(|state| state.heard.is_some()) {
            return format!("member {} to say that slot {slot} is chosen", leader.member);
        }
        match self.timers.demand.oldest_since {
            Some(_) => format!("member {} to propose", leader.member),
            None => "transactions".to_owned(),
        }
    }
}

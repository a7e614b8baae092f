//! What a member under Zab is doing, in words and figures; and its promises, for whoever checks them.

use synod_types::Slot;

use super::messages::Entry;
use super::zxid::{Point, ZabEpoch};
use super::{Following, Protocol, Role, Status, Zab};
use crate::committee::{Certificate, MemberIndex};

/// What this member stands for, as its memory has it (A10).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promises {
    /// No earlier epoch gets anything.
    pub accepted: ZabEpoch,
    /// And this one from nobody but this member.
    pub accepted_for: MemberIndex,
    /// The epoch whose leader's history the log is.
    pub current: ZabEpoch,
    /// What lies up to here is settled.
    pub base: Point,
    /// The log above that.
    pub log: Vec<Entry>,
}

impl Zab {
    /// What it stands for.
    pub fn promises(&self) -> Promises {
        let (accepted, accepted_for) = self.accepted;
        let (current, base) = (self.current, self.log.base());
        Promises { accepted, accepted_for, current, base, log: self.log.all().collect() }
    }

    /// Whether a transaction stands on its payload: here, or in a settled block.
    pub fn stands_on_body(&self, entry: &Entry) -> bool {
        entry.slot <= self.executed.max(self.settled()) || self.bodies.get(entry.digest).is_some()
    }

    /// This member's index; `None` for an observer.
    pub fn me(&self) -> Option<MemberIndex> {
        self.config.me()
    }

    /// The established leader that this member is or follows, and its epoch.
    pub fn leader(&self) -> Option<(ZabEpoch, MemberIndex)> {
        match &self.role {
            Role::Following(Following { epoch: Some(epoch), is_active: true, leader, .. }) => {
                Some((*epoch, *leader))
            }
            Role::Leading(leading) if leading.is_established => leading.epoch.zip(self.config.me()),
            _ => None,
        }
    }

    /// The epoch that it has begun as a leader, established or not.
    pub fn leads(&self) -> Option<ZabEpoch> {
        if let Role::Leading(leading) = &self.role { leading.epoch } else { None }
    }

    /// Whether it leads.
    pub fn is_leading(&self) -> bool {
        matches!(&self.role, Role::Leading(leading) if leading.is_established)
    }

    /// The last slot whose block is durable here.
    pub fn executed(&self) -> Slot {
        self.executed
    }

    /// The last slot that is known to be committed here.
    pub fn committed(&self) -> Slot {
        self.committed
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
        let waiting = match &self.role {
            Role::Following(following) => following.waiting.len(),
            Role::Leading(leading) => leading.proposed_at.len().saturating_sub(self.log.len()),
            Role::Looking(_) => 0,
        };
        [self.log.len() + waiting, bodies, wanted, self.attestations.len()]
    }

    /// The phase, in the paper's words.
    pub fn phase(&self) -> &'static str {
        match &self.role {
            Role::Looking(_) => "election",
            Role::Following(Following { epoch: None, .. }) => "discovery",
            Role::Following(following) if !following.is_active || !following.is_synced => "synchronization",
            Role::Leading(leading) if !leading.is_syncing => "discovery",
            Role::Leading(leading) if !leading.is_established => "synchronization",
            Role::Following(_) | Role::Leading(_) => "broadcast",
        }
    }

    pub(super) fn describe(&self) -> Status {
        let or_none = |what: Option<String>| what.unwrap_or_else(|| "none".to_owned());
        let leader = self.leader();
        Status {
            protocol: Self::NAME,
            position: self.position(self.executed),
            block_hash: self.attestations.hash_at(self.executed).unwrap_or_default(),
            settled: self.position(self.executed),
            best_height: self.height(self.executed.max(self.certified())),
            waits_for: self.waits_for(),
            facts: vec![
                ("epoch", self.config.committee.epoch().to_string()),
                ("zab_epoch", or_none(leader.map(|(epoch, _)| epoch.to_string()))),
                ("zxid", self.log.last().zxid.to_string()),
                ("leader", or_none(leader.map(|(_, member)| member.to_string()))),
                ("is_leader", self.is_leading().to_string()),
                ("phase", self.phase().to_owned()),
                ("accepted_epoch", self.accepted.0.to_string()),
                ("current_epoch", self.current.to_string()),
                ("members", self.config.committee.len().to_string()),
                ("quorum", self.config.committee.quorum().to_string()),
                ("votes", self.config.signer.is_some().to_string()),
                ("certified", self.certified().to_string()),
                ("decided", self.delivered.to_string()),
                ("failed_attempts", self.timers.failed().to_string()),
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
            Role::Looking(looking) => {
                return format!("a leader: {} of {quorum} members look for one", looking.count());
            }
            Role::Following(following) if following.epoch.is_none() => {
                return format!("member {} to begin an epoch", following.leader);
            }
            Role::Following(following) if !following.is_synced || !following.is_active => {
                return format!("the history of member {}", following.leader);
            }
            Role::Leading(leading) if !leading.is_syncing => {
                return format!("promises for its epoch: {} of {quorum} came", leading.states.len());
            }
            Role::Leading(leading) if !leading.is_established => {
                let have = leading.learners.values().filter(|it| it.acked.is_some()).count();
                return format!("{quorum} members to take over its history: {have} have");
            }
            Role::Following(_) | Role::Leading(_) => {}
        }
        if self.is_missing_bodies() {
            return "payloads that were proposed and did not come".to_owned();
        }
        if self.delivered > self.executed {
            return format!("the ledger to execute slot {}", self.executed.0 + 1);
        }
        if self.log.last().slot > self.committed {
            return format!("a quorum to acknowledge slot {}", self.committed.0 + 1);
        }
        match (self.timers.demand.oldest_since, self.leader()) {
            (Some(_), Some((_, leader))) => format!("member {leader} to propose"),
            _ => "transactions".to_owned(),
        }
    }
}

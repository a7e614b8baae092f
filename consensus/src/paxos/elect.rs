//! Who leads: the question before a ballot, refusals, heartbeats, stepping down (MPX-1, MPX-12).
//!
//! A member that hears no leader asks first whether a quorum hears none either. So one that only does not
//! receive can depose nobody, however long that lasts. A ballot costs a failed one its back-off, at random.

use std::collections::BTreeMap;

use synod_types::{Slot, mutant};

use super::messages::{Ballot, Message, Record};
use super::{Cx, Paxos, Role};
use crate::committee::MemberIndex;
use crate::protocol::Peer;

impl Paxos {
    /// The lowest ballot of this member above everything that it used, promised or heard of.
    fn next_ballot(&self, member: MemberIndex) -> Ballot {
        Ballot { round: self.promised.round.max(self.seen_round).saturating_add(1), member }
    }

    /// Asks a quorum whether it lost its leader.
    pub(super) fn probe(&mut self, cx: &mut Cx<'_>) {
        let Some(me) = self.config.me().filter(|_| self.may_lead()) else {
            return self.timers.wait_for_leader(&self.config.limits, cx);
        };
        let ballot = self.next_ballot(me);
        if self.role.ballot() != Some(ballot) {
            self.role = Role::Probing { ballot, willing: BTreeMap::new() };
        }
        if mutant!("mpx-12-no-probe") {
            return self.prepare(ballot, cx);
        }
        cx.broadcast(Message::Probe { ballot });
        self.on_willing(me, ballot, cx);
    }

    /// Whoever lacks certified blocks catches up first.
    fn may_lead(&self) -> bool {
        self.fetching.is_none() && self.certified() <= self.executed && self.end_certificate().is_none()
    }

    pub(super) fn on_probe(&mut self, from: Peer, ballot: Ballot, cx: &mut Cx<'_>) {
        if self.config.signer.is_none() {
            return;
        }
        if ballot <= self.promised {
            return cx.send(from, Message::Refused { ballot, promised: self.promised });
        }
        let leads = matches!(self.role, Role::Leading { .. });
        if !leads
            && (self.timers.has_lost_leader(cx.now(), &self.config.limits) || self.is_out_of_patience(cx))
        {
            cx.send(from, Message::Willing { ballot });
        }
    }

    pub(super) fn on_willing(&mut self, member: MemberIndex, ballot: Ballot, cx: &mut Cx<'_>) {
        match &mut self.role {
            Role::Probing { ballot: ours, willing } if *ours == ballot => willing.insert(member, cx.now()),
            _ => return,
        };
        self.count_willing(cx);
    }

    /// Answers of long ago do not count: a leader may have come since.
    fn count_willing(&mut self, cx: &mut Cx<'_>) {
        let Role::Probing { ballot, willing } = &self.role else { return };
        let (now, recent_ms) = (cx.now(), self.config.limits.base_timeout_ms.saturating_mul(2));
        let recent = willing.values().filter(|at| now.ms_since(**at) < recent_ms).count();
        if recent >= self.config.committee.quorum() {
            self.prepare(*ballot, cx);
        }
    }

    /// Phase 1a: the ballot is durable before it is used.
    fn prepare(&mut self, ballot: Ballot, cx: &mut Cx<'_>) {
        let Some(me) = self.config.me() else { return };
        if ballot <= self.promised {
            self.role = Role::Following;
            return self.timers.wait_for_leader(&self.config.limits, cx);
        }
        self.promised = ballot;
        self.leader = None;
        if !mutant!("mpx-1-ballot-reuse") {
            self.persist(Record::Promised(ballot), cx);
        }
        let from = Slot(self.certified().0 + 1);
        self.role = Role::Preparing { ballot, from, promises: BTreeMap::new() };
        self.timers.attempt_began(&self.config.limits, cx);
        cx.broadcast(Message::Prepare { ballot, from });
        for promise in self.promise_parts(ballot, from) {
            self.on_promise(me, promise, cx);
        }
    }

    /// An attempt that has not come to an end is given up, and another waits at random.
    pub(super) fn attempt_failed(&mut self, cx: &mut Cx<'_>) {
        self.timers.attempt_failed();
        self.step_down(cx);
    }

    /// Leads no longer, and does not want to for a while.
    pub(super) fn step_down(&mut self, cx: &mut Cx<'_>) {
        self.role = Role::Following;
        self.timers.wait_for_leader(&self.config.limits, cx);
    }

    pub(super) fn on_refused(&mut self, ballot: Ballot, promised: Ballot, cx: &mut Cx<'_>) {
        if self.role.ballot() != Some(ballot) || promised <= ballot {
            return;
        }
        self.seen_round = self.seen_round.max(promised.round);
        match self.role {
            // It cost nothing yet: the next tick asks with a higher ballot.
            Role::Probing { .. } | Role::Following => {}
            Role::Preparing { .. } => self.attempt_failed(cx),
            Role::Leading { .. } => self.step_down(cx),
        }
    }

    /// A leader's message came: whether its ballot is to be followed. The promise rises with it (MPX-2).
    pub(super) fn follow(&mut self, from: Peer, ballot: Ballot, cx: &mut Cx<'_>) -> bool {
        if ballot < self.promised {
            self.refuse(from, ballot, cx);
            return false;
        }
        if Some(ballot.member) == self.config.me() {
            return false;
        }
        if ballot > self.promised && self.config.signer.is_some() && !mutant!("mpx-2-accept-raises-nothing") {
            self.persist(Record::Promised(ballot), cx);
        }
        if !mutant!("mpx-2-accept-raises-nothing") {
            self.promised = ballot;
        }
        self.role = Role::Following;
        self.timers.heard_leader(&self.config.limits, cx);
        if self.leader != Some(ballot) {
            self.leader = Some(ballot);
            self.tell_leader(ballot, cx);
        }
        true
    }

    pub(super) fn tell_leader(&self, ballot: Ballot, cx: &mut Cx<'_>) {
        let (view, leader) = (ballot.round, ballot.member.0.into());
        cx.tell(crate::committee::Event::LeaderChanged { view, leader });
    }

    pub(super) fn refuse(&self, to: Peer, ballot: Ballot, cx: &mut Cx<'_>) {
        if self.config.signer.is_some() {
            cx.send(to, Message::Refused { ballot, promised: self.promised });
        }
    }

    pub(super) fn on_heartbeat(&mut self, from: Peer, ballot: Ballot, cx: &mut Cx<'_>) {
        if self.follow(from, ballot, cx) && self.config.signer.is_some() {
            cx.send(from, Message::Following { ballot });
        }
    }

    pub(super) fn on_following(&mut self, member: MemberIndex, ballot: Ballot, cx: &mut Cx<'_>) {
        if let Role::Leading { ballot: ours, followers } = &mut self.role
            && *ours == ballot
        {
            followers.insert(member, cx.now());
        }
    }

    /// Whether a recovered value's body does not come: whoever reported it is gone with the last copy, and then no
    /// quorum accepted it. A ballot that its reporter does not answer is free of it.
    fn lacks_a_body_for_long(&self, cx: &Cx<'_>) -> bool {
        let patience = self.timers.timeout_ms(&self.config.limits).saturating_mul(2);
        self.open_proposals().any(|(state, vote)| {
            !self.has_digest(vote.digest) && state.since.is_some_and(|at| cx.now().ms_since(at) >= patience)
        })
    }

    /// The leader shows that it is there, and steps down when no quorum follows it.
    pub(super) fn beat(&mut self, cx: &mut Cx<'_>) {
        let Role::Leading { ballot, followers } = &self.role else { return };
        let (ballot, now) = (*ballot, cx.now());
        let patience = self.config.limits.base_timeout_ms.saturating_mul(2);
        let following = followers.values().filter(|at| now.ms_since(**at) < patience).count();
        if following + 1 < self.config.committee.quorum() && !mutant!("mpx-12-no-step-down") {
            return self.step_down(cx);
        }
        if self.lacks_a_body_for_long(cx) && !mutant!("mpx-5-wait-for-a-lost-body") {
            self.timers.attempt_failed();
            return self.prepare(self.next_ballot(ballot.member), cx);
        }
        self.timers.beat(&self.config.limits, now);
        cx.broadcast(Message::Heartbeat { ballot });
        if self.delivered.0 > 0 {
            cx.broadcast(Message::Commit { ballot, through: self.delivered });
        }
    }
}

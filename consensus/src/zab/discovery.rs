//! Phase 1: a quorum promises itself to a new epoch (ZAB-3), and the leader looks whether its history is the best
//! of that quorum (ZAB-2).

use std::collections::BTreeMap;

use synod_types::mutant;

use super::messages::{Message, Record, State};
use super::zxid::ZabEpoch;
use super::{Cx, Role, Zab};
use crate::committee::MemberIndex;

impl Zab {
    /// CEPOCH.
    pub(super) fn inform_leader(&self, cx: &mut Cx<'_>) {
        let Role::Following(following) = &self.role else { return };
        let votes = self.config.signer.is_some();
        let info = Message::FollowerInfo { accepted: self.accepted.0, votes };
        cx.send(following.leader.peer(), info);
    }

    pub(super) fn on_follower_info(
        &mut self,
        member: MemberIndex,
        accepted: ZabEpoch,
        votes: bool,
        cx: &mut Cx<'_>,
    ) {
        let now = cx.now();
        if matches!(self.role, Role::Looking(_)) && votes {
            return self.on_support(member, accepted, cx);
        }
        let Role::Leading(leading) = &mut self.role else { return };
        if votes {
            leading.observers.remove(&member);
        } else {
            leading.observers.insert(member);
        }
        match leading.epoch {
            Some(epoch) if votes && accepted > epoch => self.fall_behind(accepted, cx),
            Some(epoch) => {
                // It begins anew: nothing that it had counts before its next ACK-LD.
                leading.learners.remove(&member);
                leading.states.remove(&member);
                cx.send(member.peer(), Message::NewEpoch { epoch });
            }
            None if votes => {
                leading.heard.insert(member, now);
                leading.infos.insert(member, accepted);
                if leading.infos.len() >= self.config.committee.quorum() {
                    self.begin_epoch(cx);
                }
            }
            None => {}
        }
    }

    /// NEWEPOCH: above all that a quorum accepted, and durable before it is said.
    fn begin_epoch(&mut self, cx: &mut Cx<'_>) {
        let Some(me) = self.config.me() else { return };
        let Role::Leading(leading) = &mut self.role else { return };
        let highest = leading.infos.values().copied().max().unwrap_or_default();
        let highest = highest.max(self.accepted.0).max(self.seen_epoch);
        let epoch = ZabEpoch(highest.0.saturating_add(1));
        leading.epoch = Some(epoch);
        self.accepted = (epoch, me);
        let others: Vec<MemberIndex> = leading.infos.keys().copied().filter(|member| *member != me).collect();
        if !mutant!("zab-3-forget-accepted") {
            self.persist(Record::Accepted { epoch, leader: me }, cx);
        }
        for member in others {
            cx.send(member.peer(), Message::NewEpoch { epoch });
        }
        let state = self.state();
        self.on_ack_epoch(me, epoch, true, state, cx);
    }

    pub(super) fn on_new_epoch(&mut self, from: MemberIndex, epoch: ZabEpoch, cx: &mut Cx<'_>) {
        let Role::Following(following) = &mut self.role else { return };
        if following.leader != from || following.epoch.is_some_and(|known| known > epoch) {
            return;
        }
        if epoch < self.accepted.0 {
            let refused = Message::Refused { epoch, accepted: self.accepted.0 };
            if self.config.signer.is_some() {
                cx.send(from.peer(), refused);
            }
            return self.attempt_failed(cx);
        }
        following.epoch = Some(epoch);
        if epoch > self.accepted.0 {
            self.accepted = (epoch, from);
            if !mutant!("zab-3-forget-accepted") {
                self.persist(Record::Accepted { epoch, leader: from }, cx);
            }
        }
        self.timers.heard_leader(&self.config.limits, cx);
        self.acknowledge_epoch(cx);
    }

    /// ACK-E: it counts for the one leader that the epoch was promised to.
    pub(super) fn acknowledge_epoch(&mut self, cx: &mut Cx<'_>) {
        let Role::Following(following) = &self.role else { return };
        let Some(epoch) = following.epoch else { return self.inform_leader(cx) };
        let is_promised = self.accepted == (epoch, following.leader) || mutant!("zab-3-ack-epoch-twice");
        let counts = is_promised && self.config.signer.is_some();
        let acknowledged = Message::AckEpoch { epoch, counts, state: self.state() };
        cx.send(following.leader.peer(), acknowledged);
    }

    pub(super) fn on_ack_epoch(
        &mut self,
        member: MemberIndex,
        epoch: ZabEpoch,
        counts: bool,
        state: State,
        cx: &mut Cx<'_>,
    ) {
        let (ours, now) = (self.state(), cx.now());
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.epoch != Some(epoch) {
            return;
        }
        leading.heard.insert(member, now);
        leading.states.insert(member, (state, counts));
        if leading.is_syncing {
            return self.send_history(member, state, cx);
        }
        let counted: BTreeMap<MemberIndex, State> = leading
            .states
            .iter()
            .filter(|(_, (_, counts))| *counts)
            .map(|(member, (state, _))| (*member, *state))
            .collect();
        if counted.len() < self.config.committee.quorum() {
            return;
        }
        // A leader that is behind one of its quorum may lack what is committed: it gives way (ZAB-2).
        let is_behind = counted.values().any(|state| state.rank() > ours.rank());
        if is_behind && !mutant!("zab-2-lead-though-behind") {
            return self.attempt_failed(cx);
        }
        self.begin_synchronization(epoch, cx);
    }
}

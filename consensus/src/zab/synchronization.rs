//! Phase 2: a quorum takes over the leader's history (ZAB-4 to ZAB-8).
//!
//! The leader sends each follower the way from its history to its own. A follower goes it once every body is there:
//! TRUNC, DIFF or SNAP, then the log, then `currentEpoch`, then ACK-LD. The journal keeps that order, and what was
//! written in one step stands or falls together.

use synod_types::{Slot, mutant};

use super::messages::{Basis, Entry, Message, Record, State};
use super::zxid::{Point, ZabEpoch};
use super::{Cx, Following, Leading, Learner, Role, Staged, Zab};
use crate::committee::{Event, MemberIndex};

impl Zab {
    /// A quorum gave ACK-E. The leader's own epoch is written before anybody counts it (ZAB-5).
    pub(super) fn begin_synchronization(&mut self, epoch: ZabEpoch, cx: &mut Cx<'_>) {
        let (Some(me), last, state) = (self.config.me(), self.log.last(), self.state()) else { return };
        let Role::Leading(leading) = &mut self.role else { return };
        leading.is_syncing = true;
        leading.history = last;
        leading.learners.insert(me, Learner { state, acked: Some(last.slot) });
        let others = leading.states.iter().filter(|(member, _)| **member != me);
        let others: Vec<(MemberIndex, State)> =
            others.map(|(member, (state, _))| (*member, *state)).collect();
        self.current = epoch;
        self.is_beyond_log = false;
        if !mutant!("zab-5-leader-forgets-epoch") {
            self.persist(Record::Current(epoch), cx);
        }
        for (member, state) in others {
            self.send_history(member, state, cx);
        }
        self.establish(cx);
        self.beat(cx);
    }

    /// Whether all bodies above a slot are here.
    pub(super) fn can_serve_above(&self, slot: Slot) -> bool {
        self.log.above(slot).all(|entry| self.bodies.get(entry.digest).is_some())
    }

    /// How a follower's history becomes this one's.
    fn way_from(&self, state: &State) -> Option<Basis> {
        let common = self.log.last_up_to(state.last.zxid).filter(|point| self.can_serve_above(point.slot));
        if let Some(point) = common {
            return Some(if point == state.last { Basis::Diff(point) } else { Basis::Trunc(point) });
        }
        let certificate = self.settled.clone()?;
        let point = self.log.point(certificate.slot())?;
        Some(Basis::Snap { point, certificate })
    }

    /// NEWLEADER. From here on its receiver is sent what is proposed (ZAB-6).
    pub(super) fn send_history(&mut self, member: MemberIndex, state: State, cx: &mut Cx<'_>) {
        let Role::Leading(leading) = &mut self.role else { return };
        let learner = leading.learners.entry(member).or_insert(Learner { state, acked: None });
        learner.state = state;
        self.offer_history(member, &state, cx);
    }

    pub(super) fn offer_history(&self, member: MemberIndex, state: &State, cx: &mut Cx<'_>) {
        let Role::Leading(Leading { epoch: Some(epoch), .. }) = &self.role else { return };
        let Some(basis) = self.way_from(state) else { return };
        let entries: Vec<Entry> = self.log.above(basis.point().slot).collect();
        cx.send(member.peer(), Message::NewLeader { epoch: *epoch, basis, entries });
    }

    /// What the leader of this epoch says to a follower of it.
    pub(super) fn follows(&mut self, from: MemberIndex, epoch: ZabEpoch) -> Option<&mut Following> {
        let Role::Following(following) = &mut self.role else { return None };
        (following.leader == from && following.epoch == Some(epoch)).then_some(following)
    }

    pub(super) fn on_new_leader(
        &mut self,
        from: MemberIndex,
        epoch: ZabEpoch,
        basis: Basis,
        entries: Vec<Entry>,
        cx: &mut Cx<'_>,
    ) {
        let (last, now) = (self.log.last(), cx.now());
        let Some(following) = self.follows(from, epoch) else { return };
        let end = entries.last().map_or(basis.point(), Entry::point);
        if following.is_synced && end.slot <= last.slot {
            return cx.send(from.peer(), Message::AckLeader { epoch, through: last.slot });
        }
        // Whoever took this epoch's history over has nothing that the leader lacks, also when it begins anew with the
        // same leader: what would cut its log is an answer to what that was before.
        let has_taken = following.is_synced || self.has_taken(epoch);
        self.timers.heard_leader(&self.config.limits, cx);
        let begins_here = match &basis {
            Basis::Diff(point) => self.log.last() == *point,
            Basis::Trunc(point) => self.log.has(*point) && !has_taken,
            Basis::Snap { point, .. } => !has_taken || point.slot > last.slot,
        };
        if !begins_here {
            // An answer to what this log was before.
            return self.acknowledge_epoch(cx);
        }
        if basis.point().slot < self.committed && !mutant!("zab-8-truncate-below-commit") {
            // A quorum had this; no leader's history may lack it (ZAB-8).
            let (slot, theirs) = (self.committed, format!("a history that leaves it at {}", basis.point()));
            return self.diverge(slot, "a committed transaction".to_owned(), theirs, cx);
        }
        if mutant!("zab-4643-epoch-before-log") {
            self.current = epoch;
            self.persist(Record::Current(epoch), cx);
        }
        self.stage(Staged { basis, entries, since: now }, cx);
        self.take_history(cx);
    }

    fn has_taken(&self, epoch: ZabEpoch) -> bool {
        self.current == epoch && !mutant!("zab-8-late-truncation")
    }

    /// Asks for what the way needs: bodies, and for SNAP blocks.
    fn stage(&mut self, mut staged: Staged, cx: &mut Cx<'_>) {
        for entry in &staged.entries {
            if self.bodies.get(entry.digest).is_none() {
                self.want_body(entry.digest, entry.slot, cx);
            }
            self.bodies.extend_to(entry.digest, entry.slot);
        }
        if let Basis::Snap { point, .. } = &staged.basis
            && self.executed < point.slot
        {
            self.go_beyond_log(cx);
        }
        let Role::Following(following) = &mut self.role else { return };
        if let Some(known) = &following.staged {
            staged.since = known.since;
        }
        following.staged = Some(staged);
        self.fetch(cx);
    }

    /// Whether everything is here that the staged way needs.
    fn is_way_complete(&self) -> bool {
        let Role::Following(Following { staged: Some(staged), .. }) = &self.role else { return false };
        let has_bodies = staged.entries.iter().all(|entry| self.bodies.get(entry.digest).is_some());
        let has_blocks = match &staged.basis {
            Basis::Snap { point, .. } => self.executed >= point.slot && self.fetching.is_none(),
            Basis::Diff(_) | Basis::Trunc(_) => true,
        };
        has_bodies && has_blocks
    }

    /// Takes over the leader's history, in the order of ZAB-4.
    pub(super) fn take_history(&mut self, cx: &mut Cx<'_>) {
        if !self.is_way_complete() {
            return;
        }
        let Role::Following(following) = &mut self.role else { return };
        let (Some(staged), Some(epoch)) = (following.staged.take(), following.epoch) else { return };
        let leader = following.leader;
        let has_taken = following.is_synced || self.has_taken(epoch);
        let end = staged.entries.last().map_or(staged.basis.point(), Entry::point);
        let (last, was_beyond_log) = (self.log.last(), std::mem::take(&mut self.is_beyond_log));
        match staged.basis {
            Basis::Diff(_) => {}
            Basis::Trunc(point) => self.truncate(point, cx),
            // What was proposed since has led there, too.
            Basis::Snap { point, .. } if has_taken && last.slot >= point.slot => {}
            Basis::Snap { point, certificate } => {
                self.log.reset(point);
                self.settled = Some(certificate.clone());
                self.committed = self.committed.max(point.slot);
                self.persist(Record::Base { point, certificate }, cx);
            }
        }
        for entry in staged.entries {
            if self.log.last().slot < entry.slot {
                self.log_entry(entry, cx);
            }
        }
        self.abandon_proposals(cx);
        let is_whole = self.log.has(end) || end.slot <= self.log.base().slot;
        assert!(is_whole, "the epoch is written after the history: {end} is missing");
        if self.current != epoch || was_beyond_log || mutant!("zab-4643-epoch-before-log") {
            self.current = epoch;
            self.persist(Record::Current(epoch), cx);
        }
        if let Role::Following(following) = &mut self.role {
            following.is_synced = true;
        }
        let through = self.log.last().slot;
        cx.send(leader.peer(), Message::AckLeader { epoch, through });
        self.log_waiting(cx);
        self.take_told_commits(cx);
    }

    /// TRUNC: what is cut off was never committed.
    fn truncate(&mut self, to: Point, cx: &mut Cx<'_>) {
        assert!(
            to.slot >= self.committed || mutant!("zab-8-truncate-below-commit"),
            "slot {} is committed, and nothing below it is cut off",
            self.committed
        );
        self.log.truncate(to.slot);
        if !mutant!("zab-8-forget-truncation") {
            self.persist(Record::Truncated(to.slot), cx);
        }
    }

    /// What this member proposed as a leader, and its log holds no longer, is free again: nobody may ever propose for
    /// those slots, and a pool that takes it to be on its way would never offer it again.
    fn abandon_proposals(&mut self, cx: &mut Cx<'_>) {
        if mutant!("zab-8-cut-off-and-not-free") {
            return;
        }
        let (log, base) = (&self.log, self.log.base().slot);
        let is_kept =
            |slot, digest| slot <= base || log.get(slot).is_some_and(|entry| entry.digest == digest);
        for digest in self.proposing.retain(is_kept) {
            cx.tell(Event::Abandoned { digest });
        }
    }

    pub(super) fn on_ack_leader(
        &mut self,
        member: MemberIndex,
        epoch: ZabEpoch,
        through: Slot,
        cx: &mut Cx<'_>,
    ) {
        let now = cx.now();
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.epoch != Some(epoch) {
            return;
        }
        leading.heard.insert(member, now);
        let Some(learner) = leading.learners.get_mut(&member) else { return };
        learner.acked = learner.acked.max(Some(through));
        if leading.is_established {
            let history = leading.history.slot;
            self.advance_commit(cx);
            let through = if mutant!("zab-6-commit-of-the-history") { history } else { self.committed };
            cx.send(member.peer(), Message::CommitLeader { epoch, through });
        } else {
            self.establish(cx);
        }
    }

    /// COMMIT-LD, once a quorum has the history: all of it is committed before anything new (ZAB-5).
    fn establish(&mut self, cx: &mut Cx<'_>) {
        let quorum = self.config.committee.quorum();
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(epoch) = leading.epoch else { return };
        let have = leading.learners.iter().filter(|(member, learner)| {
            learner.acked.is_some_and(|through| through >= leading.history.slot)
                && !leading.observers.contains(member)
        });
        if have.count() < quorum {
            return;
        }
        leading.is_established = true;
        let history = leading.history;
        let synced = leading.learners.iter().filter(|(_, learner)| learner.acked.is_some());
        let synced: Vec<MemberIndex> = synced.map(|(member, _)| *member).collect();
        self.advance_commit(cx);
        assert!(self.committed >= history.slot, "the initial history is committed first");
        let Some(me) = self.config.me() else { return };
        for member in synced.into_iter().filter(|member| *member != me) {
            cx.send(member.peer(), Message::CommitLeader { epoch, through: self.committed });
        }
        self.tell_leader(epoch, me, cx);
    }

    fn tell_leader(&self, epoch: ZabEpoch, leader: MemberIndex, cx: &mut Cx<'_>) {
        cx.tell(Event::LeaderChanged { view: epoch.0, leader: leader.0.into() });
    }

    pub(super) fn on_commit_leader(
        &mut self,
        from: MemberIndex,
        epoch: ZabEpoch,
        through: Slot,
        cx: &mut Cx<'_>,
    ) {
        let Some(following) = self.follows(from, epoch) else { return };
        let is_new = !std::mem::replace(&mut following.is_active, true);
        if is_new {
            self.tell_leader(epoch, from, cx);
        }
        self.on_commit(from, epoch, through, cx);
    }
}

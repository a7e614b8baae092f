//! Phase 3: proposals, acknowledgements, commits, and their way to the ledger (ZAB-7, ZAB-10).

use synod_types::{BlockHash, Position, Slot, mutant};

use super::messages::{Entry, Message, Record};
use super::zxid::{ZabEpoch, Zxid};
use super::{Cx, Leading, Role, Zab};
use crate::committee::{Event, Job, MemberIndex, Payload};
use crate::effects::Effect;

impl Leading {
    /// What shows that its leader is there, once it has an epoch.
    pub(super) fn ping(&self, committed: Slot) -> Option<Message> {
        let epoch = self.epoch.filter(|_| self.is_syncing)?;
        Some(Message::Ping { epoch, through: self.is_established.then_some(committed) })
    }
}

impl Zab {
    /// The name of what this leader would propose now; none when its epoch is used up (ZAB-1).
    fn next_zxid(&self) -> Option<Zxid> {
        match &self.role {
            Role::Leading(Leading { epoch: Some(epoch), is_established: true, .. })
                if self.ended_at.is_none() =>
            {
                self.log.last().zxid.next_in(*epoch, self.config.limits.counter_limit)
            }
            _ => None,
        }
    }

    /// Whether one more instance may begin.
    fn has_room(&self) -> bool {
        let (limits, next) = (&self.config.limits, self.log.last().slot.0 + 1);
        next <= self.executed.0.saturating_add(limits.in_flight)
            && next <= self.certified().0.saturating_add(limits.window)
    }

    /// Asks the pool for a payload when it is time for one. A lone transaction is proposed at once; while instances
    /// are in flight batches fill.
    pub(super) fn pursue_proposals(&mut self, cx: &mut Cx<'_>) {
        let is_idle = self.log.last().slot <= self.delivered;
        self.end_epoch_if_used_up(is_idle, cx);
        let limits = &self.config.limits;
        let needed = if is_idle { 1 } else { limits.eager_bytes };
        let is_early = self.proposing.is_assembling || self.timers.demand.bytes < needed;
        if is_early || self.next_zxid().is_none() || !self.has_room() {
            return;
        }
        self.proposing.is_assembling = true;
        self.timers.demand.asked();
        let (max_bytes, max_transactions) = (limits.batch_bytes, limits.batch_transactions);
        cx.effect(Effect::Start(Job::Assemble { max_bytes, max_transactions }));
    }

    /// ZAB-1: a counter that is used up makes room for the next epoch.
    fn end_epoch_if_used_up(&mut self, is_idle: bool, cx: &mut Cx<'_>) {
        let Role::Leading(Leading { epoch: Some(epoch), is_established: true, .. }) = &self.role else {
            return;
        };
        let limit = self.config.limits.counter_limit;
        let is_used_up = self.log.last().zxid.next_in(*epoch, limit).is_none();
        if is_used_up && is_idle && !mutant!("zab-1-epoch-without-end") {
            self.look(cx);
        }
    }

    pub(super) fn on_assembled(&mut self, payload: Option<Payload>, cx: &mut Cx<'_>) {
        self.proposing.is_assembling = false;
        self.timers.demand.given(payload.as_ref().map(|payload| payload.bytes().len() as u64));
        let Some(payload) = payload else { return };
        let digest = payload.digest();
        let Some(zxid) = self.next_zxid().filter(|_| self.has_room()) else {
            return cx.tell(Event::Abandoned { digest });
        };
        let entry = Entry { slot: Slot(self.log.last().slot.0 + 1), zxid, digest };
        if let Some(earlier) = self.proposing.own.insert(entry.slot, digest) {
            cx.tell(Event::Abandoned { digest: earlier });
        }
        // A leader has every body of its log: none waits.
        drop(self.bodies.hold(payload.clone(), entry.slot));
        self.propose(entry, payload, cx);
    }

    /// PROPOSE, to all that NEWLEADER was sent to (ZAB-6), and to the leader's own log.
    fn propose(&mut self, entry: Entry, body: Payload, cx: &mut Cx<'_>) {
        let (me, now) = (self.config.me(), cx.now());
        self.log_entry(entry, cx);
        let Role::Leading(leading) = &mut self.role else { return };
        leading.proposed_at.insert(entry.slot, now);
        for (member, learner) in &mut leading.learners {
            if Some(*member) == me {
                learner.acked = Some(entry.slot);
            } else if learner.acked.is_some() || !mutant!("zab-6-forward-at-ack-leader") {
                cx.send(member.peer(), Message::Propose { entry, body: Some(body.clone()) });
            }
        }
        self.advance_commit(cx);
    }

    /// One more transaction of the log, and its body before it.
    pub(super) fn log_entry(&mut self, entry: Entry, cx: &mut Cx<'_>) {
        self.bodies.extend_to(entry.digest, entry.slot);
        if let Some(payload) = self.bodies.begin_journalling(entry.digest) {
            self.persist(Record::Body { slot: entry.slot, payload }, cx);
        }
        self.log.push(entry);
        if !mutant!("zab-10-forget-logged") {
            self.persist(Record::Logged(entry), cx);
        }
    }

    pub(super) fn on_propose(
        &mut self,
        from: MemberIndex,
        entry: Entry,
        body: Option<Payload>,
        cx: &mut Cx<'_>,
    ) {
        let epoch = entry.zxid.epoch;
        let (last, is_near) = (self.log.last().slot, self.is_near(entry.slot));
        let Some(following) = self.follows(from, epoch) else { return };
        let is_synced = following.is_synced;
        let is_again = is_synced && entry.slot <= last;
        let known = self.log.get(entry.slot).filter(|known| is_again && *known != entry);
        if let Some(known) = known {
            // One leader gives one name once (ZAB-7).
            return self.diverge(entry.slot, format!("{known:?}"), format!("{entry:?}"), cx);
        }
        let Some(following) = self.follows(from, epoch) else { return };
        if !is_again && is_near {
            following.waiting.insert(entry.slot, entry);
        }
        self.timers.heard_leader(&self.config.limits, cx);
        if is_again {
            return self.acknowledge(cx);
        }
        if !is_near {
            return;
        }
        if !is_synced && mutant!("zab-4685-ack-before-ack-leader") {
            cx.send(from.peer(), Message::Ack { epoch, through: entry.slot });
        }
        match body {
            // Whatever waited for it, all that can go on does so below.
            Some(body) => drop(self.bodies.hold(body, entry.slot)),
            None if self.bodies.get(entry.digest).is_none() => self.want_body(entry.digest, entry.slot, cx),
            None => {}
        }
        self.go_on(cx);
    }

    /// Logs what waits, in order and without holes (ZAB-7), and acknowledges it: never before ACK-LD.
    pub(super) fn log_waiting(&mut self, cx: &mut Cx<'_>) {
        let before = self.log.last().slot;
        while let Some(entry) = self.next_waiting() {
            self.log_entry(entry, cx);
        }
        if self.log.last().slot > before {
            self.acknowledge(cx);
            self.take_told_commits(cx);
        }
    }

    fn next_waiting(&mut self) -> Option<Entry> {
        let last = self.log.last().slot;
        let Role::Following(following) = &mut self.role else { return None };
        following.waiting = following.waiting.split_off(&Slot(last.0 + 1));
        let entry = following.waiting.first_key_value().map(|(_, entry)| *entry)?;
        let may_follow = self.log.is_next(&entry) || mutant!("zab-7-gap-accepted");
        let has_body = self.bodies.get(entry.digest).is_some() || mutant!("zab-10-ack-without-body");
        (following.is_synced && may_follow && has_body).then_some(entry)
    }

    /// ACK: everything up to here, durable.
    fn acknowledge(&self, cx: &mut Cx<'_>) {
        let Role::Following(following) = &self.role else { return };
        if let Some(epoch) = following.epoch.filter(|_| following.is_synced) {
            cx.send(following.leader.peer(), Message::Ack { epoch, through: self.log.last().slot });
        }
    }

    pub(super) fn on_ack(&mut self, member: MemberIndex, epoch: ZabEpoch, through: Slot, cx: &mut Cx<'_>) {
        let now = cx.now();
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.epoch != Some(epoch) {
            return;
        }
        leading.heard.insert(member, now);
        // Before its ACK-LD a follower's log is not known to be this one (ZAB-4).
        let Some(acked) = leading.learners.get_mut(&member).and_then(|learner| learner.acked.as_mut()) else {
            return;
        };
        *acked = (*acked).max(through);
        self.advance_commit(cx);
    }

    /// What a quorum of voters has is committed, in order.
    pub(super) fn advance_commit(&mut self, cx: &mut Cx<'_>) {
        let quorum = self.config.committee.quorum();
        let Role::Leading(leading) = &mut self.role else { return };
        if !leading.is_established {
            return;
        }
        let voters = leading.learners.iter().filter(|(member, _)| !leading.observers.contains(member));
        let mut acked: Vec<Slot> = voters.filter_map(|(_, learner)| learner.acked).collect();
        acked.sort_unstable_by(|one, other| other.cmp(one));
        let needed = if mutant!("zab-10-one-fewer") { quorum - 1 } else { quorum };
        let Some(through) = acked.get(needed - 1).copied() else { return };
        leading.proposed_at = leading.proposed_at.split_off(&Slot(through.0 + 1));
        self.commit(through, cx);
    }

    fn commit(&mut self, through: Slot, cx: &mut Cx<'_>) {
        let through = through.min(self.log.last().slot);
        if through > self.committed {
            self.committed = through;
            self.settle();
            self.deliver(cx);
        }
    }

    /// COMMIT: it counts for what is logged, and later for what is still to come.
    pub(super) fn on_commit(&mut self, from: MemberIndex, epoch: ZabEpoch, through: Slot, cx: &mut Cx<'_>) {
        let Some(following) = self.follows(from, epoch) else { return };
        following.told = following.told.max(through);
        self.timers.heard_leader(&self.config.limits, cx);
        self.take_told_commits(cx);
    }

    pub(super) fn take_told_commits(&mut self, cx: &mut Cx<'_>) {
        let Role::Following(following) = &self.role else { return };
        if following.is_synced || mutant!("zab-4-commit-before-synced") {
            self.commit(following.told, cx);
        }
    }

    /// Hands committed transactions to the ledger, in order, up to the epoch's last.
    pub(super) fn deliver(&mut self, cx: &mut Cx<'_>) {
        while self.fetching.is_none() && self.halted.is_none() && self.delivered < self.committed {
            let slot = Slot(self.delivered.0 + 1);
            let Some(entry) = self.log.get(slot) else { return };
            if self.is_past_end(slot) && !mutant!("zab-past-the-end") {
                return;
            }
            let Some(payload) = self.bodies.get(entry.digest) else { return };
            let (body, position) = (payload.bytes().clone(), self.position(slot));
            let digest = Some(entry.digest);
            cx.effect(Effect::Append { position, block_hash: None, body, digest, settled: position });
            self.delivered = slot;
            self.timers.made_progress();
        }
    }

    /// The leader tells how far it is: with the append, once its own log is durable.
    pub(super) fn announce(&mut self, cx: &mut Cx<'_>) {
        let Role::Leading(leading) = &self.role else { return };
        let Some(epoch) = leading.epoch.filter(|_| leading.is_established) else { return };
        if self.committed <= self.announced {
            return;
        }
        self.announced = self.committed;
        let me = self.config.me();
        let synced = leading.learners.iter().filter(|(_, learner)| learner.acked.is_some());
        for (member, _) in synced.filter(|(member, _)| Some(**member) != me) {
            cx.send(member.peer(), Message::Commit { epoch, through: self.committed });
        }
    }

    /// The block is durable: this member attests it.
    pub(super) fn on_executed(&mut self, position: Position, block_hash: BlockHash, cx: &mut Cx<'_>) {
        let slot = position.slot;
        let is_next = slot.0 == self.executed.0 + 1 && position.epoch == self.config.committee.epoch();
        assert!(is_next, "the block log appends slots in order: {position} after slot {}", self.executed);
        self.executed = slot;
        self.delivered = self.delivered.max(slot);
        self.timers.made_progress();
        let decided = self.log.get(slot).map(|entry| entry.digest);
        if let Some(digest) = self.proposing.executed(slot, decided) {
            cx.tell(Event::Abandoned { digest });
        }
        self.note_block(slot, block_hash, cx);
        if let Some(signer) = self.config.signer.clone() {
            let attestation = self.attestations.sign(&signer, slot, block_hash);
            cx.broadcast(Message::Attestation(attestation));
            self.count_attestation(attestation, cx);
        }
        self.forget_old();
        self.deliver(cx);
    }

    /// Slots after the epoch's last block are void.
    pub(super) fn is_past_end(&self, slot: Slot) -> bool {
        self.ended_at.is_some_and(|end| slot > end)
    }

    /// The leader shows that it is there, and steps down when no quorum follows it (ZAB-10).
    pub(super) fn beat(&mut self, cx: &mut Cx<'_>) {
        let (me, now) = (self.config.me(), cx.now());
        let patience = self.timers.silence_ms(&self.config.limits).saturating_mul(2);
        let quorum = self.config.committee.quorum();
        let Role::Leading(leading) = &mut self.role else { return };
        leading.heard.retain(|_, at| now.ms_since(*at) < patience);
        let others = leading.heard.keys();
        let following = others.filter(|it| Some(**it) != me && !leading.observers.contains(it)).count();
        if following + 1 < quorum && !mutant!("zab-10-no-step-down") {
            return self.attempt_failed(cx);
        }
        // Whoever is away is told nothing, and joins anew.
        leading.learners.retain(|member, _| Some(*member) == me || leading.heard.contains_key(member));
        if let Some(ping) = leading.ping(self.committed) {
            cx.broadcast(ping);
        }
        self.timers.beat(&self.config.limits, now);
    }

    pub(super) fn on_ping(
        &mut self,
        from: MemberIndex,
        epoch: ZabEpoch,
        through: Option<Slot>,
        cx: &mut Cx<'_>,
    ) {
        let accepted = self.accepted.0;
        match &self.role {
            Role::Following(following) if following.leader == from && following.epoch == Some(epoch) => {
                cx.send(from.peer(), Message::Pong { epoch });
                self.timers.heard_leader(&self.config.limits, cx);
                if let Some(through) = through {
                    self.on_commit_leader(from, epoch, through, cx);
                }
            }
            Role::Following(following) => {
                let is_later = following.epoch.is_none_or(|known| epoch > known);
                let is_other = following.leader != from || following.epoch.is_some();
                if is_later && is_other && through.is_some() && epoch >= accepted {
                    self.look(cx);
                    self.begin_to_follow(from, cx);
                }
            }
            Role::Looking(_) if epoch >= accepted => self.begin_to_follow(from, cx),
            Role::Looking(_) => {
                // Only a later epoch can have this member back: its leader should know.
                let votes = self.config.signer.is_some();
                cx.send(from.peer(), Message::FollowerInfo { accepted, votes });
            }
            Role::Leading(leading) => {
                let is_later = leading.epoch.is_none_or(|ours| epoch > ours);
                if is_later && through.is_some() && epoch >= accepted {
                    self.look(cx);
                    self.begin_to_follow(from, cx);
                }
            }
        }
    }

    pub(super) fn on_pong(&mut self, member: MemberIndex, epoch: ZabEpoch, cx: &mut Cx<'_>) {
        let now = cx.now();
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.epoch != Some(epoch) || !leading.is_syncing {
            return;
        }
        leading.heard.insert(member, now);
        if !leading.learners.contains_key(&member) {
            // It was away for so long that it must begin anew.
            cx.send(member.peer(), Message::NewEpoch { epoch });
        }
    }

    pub(super) fn on_refused(&mut self, epoch: ZabEpoch, accepted: ZabEpoch, cx: &mut Cx<'_>) {
        if let Role::Leading(leading) = &self.role
            && leading.epoch == Some(epoch)
            && accepted > epoch
        {
            self.fall_behind(accepted, cx);
        }
    }
}

//! Who missed something gets it: repetitions, standings, certificates, blocks (GEN-8).
//!
//! Whoever asks something repeats it while it is pending; answers are repeated when the question is. What a
//! follower's log misses comes from its leader. Blocks are fetched where SNAP says so, where they were lost, by
//! observers that nobody leads, and by whoever finds no leader for long: all others may be in another epoch of the
//! committee, where nobody speaks of this one's log any more.

use synod_types::{BlockHash, Position, Slot, mutant};

use super::election::Looking;
use super::messages::{Basis, Message, Record, Standing, Vote};
use super::{Cx, Following, Role, Zab};
use crate::committee::{Certificate, Event, Job, MemberIndex};
use crate::effects::Effect;
use crate::protocol::Peer;
use crate::time::Time;

/// Blocks to fetch.
struct Goal {
    /// Up to the one of this certificate.
    certificate: Certificate,
    /// No leader's history was compared with this member's log, which may lack them or have others for them.
    is_beyond_log: bool,
}

impl Zab {
    fn standing(&self) -> Standing {
        Standing { executed: self.executed, certified: self.certified() }
    }

    /// Whether something that this member said or asked still waits for others.
    pub(super) fn is_pending(&self) -> bool {
        if self.end_certificate().is_some() {
            return false;
        }
        let (last, votes) = (self.log.last().slot, self.config.signer.is_some());
        let is_role_pending = match &self.role {
            Role::Looking(_) => votes,
            Role::Following(following) => {
                !following.is_synced || !following.is_active || following.told > self.committed
            }
            Role::Leading(leading) => {
                let lags = |acked: Option<Slot>| acked.is_none_or(|acked| acked < last);
                !leading.is_established || leading.learners.values().any(|it| lags(it.acked))
            }
        };
        is_role_pending || self.executed != self.certified() || self.is_missing_bodies()
    }

    /// Says to `to`, or to all, what is pending.
    pub(super) fn say_again(&mut self, to: Option<Peer>, cx: &mut Cx<'_>) {
        match &self.role {
            Role::Looking(_) => self.vote_again(cx),
            Role::Following(_) => self.follow_again(cx),
            Role::Leading(_) => self.lead_again(to, cx),
        }
        let mut messages = vec![Message::Standing(self.standing())];
        if let Some(me) = self.config.me() {
            let limit = self.config.limits.in_flight as usize;
            let own = self.attestations.uncertified_by(me).take(limit);
            messages.extend(own.map(Message::Attestation));
        }
        self.ask_for_bodies_again(cx);
        for message in messages {
            match to {
                Some(peer) => cx.send(peer, message),
                None => cx.broadcast(message),
            }
        }
    }

    /// A follower asks for the leader's next answer.
    fn follow_again(&mut self, cx: &mut Cx<'_>) {
        let patience = self.timers.timeout_ms(&self.config.limits).saturating_mul(2);
        let (now, through) = (cx.now(), self.log.last().slot);
        let Role::Following(following) = &mut self.role else { return };
        let is_fetching = self.fetching.is_some();
        let is_stuck = |since| !is_fetching && now.ms_since(since) >= patience;
        if following.staged.as_ref().is_some_and(|staged| is_stuck(staged.since)) {
            // A body that the leader no longer has: it knows another way by now.
            following.staged = None;
        }
        match following {
            Following { epoch: None, .. } => self.inform_leader(cx),
            Following { is_synced: false, staged: None, .. } => self.acknowledge_epoch(cx),
            Following { is_synced: true, is_active: false, epoch: Some(epoch), leader, .. } => {
                cx.send(leader.peer(), Message::AckLeader { epoch: *epoch, through });
            }
            _ => {}
        }
    }

    /// A leader repeats what its phase waits for.
    fn lead_again(&mut self, to: Option<Peer>, cx: &mut Cx<'_>) {
        let Role::Leading(leading) = &self.role else { return };
        match leading.epoch {
            None => {
                let vote = self.vote_for_itself();
                cx.broadcast(Message::Vote(vote));
            }
            Some(epoch) if !leading.is_syncing => {
                let silent = leading.infos.keys().filter(|member| !leading.states.contains_key(member));
                for member in silent {
                    cx.send(member.peer(), Message::NewEpoch { epoch });
                }
            }
            Some(_) => {
                let all: Vec<MemberIndex> = leading.learners.keys().copied().collect();
                for member in all.into_iter().filter(|member| to.is_none_or(|to| to == member.peer())) {
                    self.feed_again(member, to.is_some(), cx);
                }
            }
        }
    }

    /// What a leader says while it waits for CEPOCH: those who hear of it late see that it is supported, and follow.
    pub(super) fn vote_for_itself(&self) -> Vote {
        let supports = self.config.me();
        Vote { accepted: self.accepted.0, state: Some(self.state()), supports, hears: Vote::GATHERS }
    }

    /// What one follower has not acknowledged. What was just proposed is on its way.
    fn feed_again(&self, member: MemberIndex, even_new: bool, cx: &mut Cx<'_>) {
        let (limits, now, last) = (&self.config.limits, cx.now(), self.log.last().slot);
        let Role::Leading(leading) = &self.role else { return };
        let Some(learner) = leading.learners.get(&member).filter(|_| Some(member) != self.config.me()) else {
            return;
        };
        let Some(acked) = learner.acked else {
            return self.offer_history(member, &learner.state, cx);
        };
        if acked >= last {
            return;
        }
        let Some(point) = self.log.point(acked).filter(|point| self.can_serve_above(point.slot)) else {
            // It fell behind what the log keeps.
            return self.offer_history(member, &learner.state, cx);
        };
        let age_ms = if even_new { 0 } else { limits.base_timeout_ms / 8 };
        let is_old = |slot: &Slot| leading.proposed_at.get(slot).is_none_or(|at| now.ms_since(*at) >= age_ms);
        let open = self.log.above(point.slot).filter(|entry| is_old(&entry.slot));
        for entry in open.take(limits.in_flight.max(1) as usize) {
            cx.send(member.peer(), Message::Propose { entry, body: None });
        }
    }

    pub(super) fn on_standing(&mut self, from: Peer, standing: Standing, cx: &mut Cx<'_>) {
        let now = cx.now();
        let pause = self.config.limits.base_timeout_ms / 16;
        if self.helped.get(&from).is_some_and(|at| at.plus_ms(pause) > now) {
            return;
        }
        self.helped.insert(from, now);
        self.show_certificate(from, standing.certified, cx);
    }

    /// The certificate up to which blocks are missing that the log no longer has: they were lost here.
    pub(super) fn lost_blocks(&self) -> Option<&Certificate> {
        let next = Slot(self.delivered.0 + 1);
        let settled = self.settled.as_ref().filter(|settled| settled.slot() >= next)?;
        let body = self.log.get(next).and_then(|entry| self.bodies.get(entry.digest));
        body.is_none().then_some(settled)
    }

    /// Which blocks are to be fetched, if any.
    fn goal(&self, now: Time) -> Option<Goal> {
        let within_log =
            |certificate: &Certificate| Some(Goal { certificate: certificate.clone(), is_beyond_log: false });
        if let Role::Following(Following { staged: Some(staged), .. }) = &self.role
            && let Basis::Snap { certificate, .. } = &staged.basis
            && certificate.slot() > self.executed
        {
            return within_log(certificate);
        }
        if let Some(lost) = self.lost_blocks() {
            return within_log(lost);
        }
        let newest = self.attestations.newest().filter(|newest| newest.slot() > self.executed)?;
        let is_left_alone = self.config.signer.is_none() || self.is_left_behind(now);
        let is_beyond_log = matches!(self.role, Role::Looking(_));
        is_left_alone.then(|| Goal { certificate: newest.clone(), is_beyond_log })
    }

    /// Whether it has looked for a leader for so long that those who could lead may have gone on without it.
    fn is_left_behind(&self, now: Time) -> bool {
        let patience = self.config.limits.base_timeout_ms.saturating_mul(4);
        let is_long = |looking: &Looking| looking.looks_for_ms(now) >= patience;
        matches!(&self.role, Role::Looking(looking) if is_long(looking)) && !mutant!("zab-left-behind")
    }

    /// Blocks come that the log may lack, or have others for: a start must not take it for what was executed.
    pub(super) fn go_beyond_log(&mut self, cx: &mut Cx<'_>) {
        if !self.is_beyond_log {
            self.is_beyond_log = true;
            self.persist(Record::Fetching, cx);
        }
    }

    pub(super) fn fetch(&mut self, cx: &mut Cx<'_>) {
        if self.fetching.is_some() || mutant!("zab-4-no-fetch") {
            return;
        }
        if self.delivered > self.executed {
            return self.timers.lags_since(cx.now(), &self.config.limits);
        }
        let Some(Goal { certificate, is_beyond_log }) = self.goal(cx.now()) else {
            if self.certified() > self.executed {
                self.timers.lags_since(cx.now(), &self.config.limits);
            }
            return;
        };
        if is_beyond_log {
            self.go_beyond_log(cx);
        }
        self.fetching = Some(certificate.slot());
        cx.effect(Effect::Start(Job::Fetch { certificate }));
    }

    pub(super) fn on_installed(&mut self, position: Position, block_hash: BlockHash, cx: &mut Cx<'_>) {
        self.fetching = None;
        let slot = position.slot;
        if position.epoch == self.config.committee.epoch() && slot > self.executed {
            (self.executed, self.delivered) = (slot, slot);
            self.timers.made_progress();
            for digest in self.proposing.skipped(slot) {
                cx.tell(Event::Abandoned { digest });
            }
            self.note_block(slot, block_hash, cx);
            self.forget_old();
        }
        if self.certified() > self.executed {
            self.timers.lags_since(cx.now(), &self.config.limits);
        }
        self.take_history(cx);
        self.deliver(cx);
    }
}

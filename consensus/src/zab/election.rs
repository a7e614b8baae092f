//! Phase 0: who should lead (ZAB-2), and what leaving a role means (ZAB-9).
//!
//! A member that has no leader says to all how good its history is, whom it hears, and whom it would follow: of
//! those who hear a quorum the one with the best history. Whoever is supported by a quorum gathers its followers,
//! and says so. Nothing depends on this but time: discovery looks at the histories again.
//!
//! Whoever follows takes no part, so that a member that only does not hear its leader deposes nobody. Its vote is
//! therefore missed by those who still look: what a gathering member says stands for the quorum that supported it.

use std::collections::BTreeMap;

use synod_types::mutant;

use super::messages::{Message, State, Vote};
use super::zxid::ZabEpoch;
use super::{Cx, Following, Leading, Role, Zab};
use crate::committee::MemberIndex;
use crate::time::Time;

/// What a member that looks has heard.
#[derive(Debug, Clone, Default)]
pub(super) struct Looking {
    /// Since when.
    since: Time,
    votes: BTreeMap<MemberIndex, (Vote, Time)>,
    /// What it said last.
    said: Option<Vote>,
}

impl Looking {
    pub(super) fn since(since: Time) -> Self {
        Self { since, ..Self::default() }
    }

    /// For how long, in milliseconds.
    pub(super) fn looks_for_ms(&self, now: Time) -> u64 {
        now.ms_since(self.since)
    }

    /// How many look for a leader, this member among them.
    pub(super) fn count(&self) -> usize {
        self.votes.len() + 1
    }
}

impl Zab {
    /// Whoever lacks blocks that its log no longer has catches up first.
    fn may_lead(&self) -> bool {
        self.config.signer.is_some()
            && self.fetching.is_none()
            && self.lost_blocks().is_none()
            && self.end_certificate().is_none()
    }

    /// Leaves whatever it did, and looks for a leader (ZAB-9): what was proposed and is not logged will not be, and a
    /// history that was not taken over whole is dropped. What was logged is written before the vote leaves.
    pub(super) fn look(&mut self, cx: &mut Cx<'_>) {
        let left = std::mem::replace(&mut self.role, Role::Looking(Looking::since(cx.now())));
        if let Role::Following(following) = left {
            if mutant!("zab-5094-memory-kept")
                && let Some(staged) = following.staged
            {
                // The log in memory is ahead of the one on disk.
                self.log.truncate(staged.basis.point().slot.min(self.log.last().slot));
                for entry in staged.entries {
                    if self.log.is_next(&entry) {
                        self.log.push(entry);
                    }
                }
            }
            if mutant!("zab-2845-election-from-memory") {
                // Proposals that were never logged count as this member's history.
                for entry in following.waiting.values().filter(|_| following.is_synced) {
                    if self.log.is_next(entry) {
                        self.log.push(*entry);
                    }
                }
            }
            if mutant!("zab-4712-intake-goes-on") {
                self.intake_left_behind(following.waiting, cx);
            }
        }
        self.bodies.want_nothing();
        self.renew_vote(cx);
    }

    /// Wrong: the writer of the role that was left goes on with what it had.
    fn intake_left_behind(&mut self, waiting: BTreeMap<synod_types::Slot, super::Entry>, cx: &mut Cx<'_>) {
        for entry in waiting.into_values() {
            if self.log.is_next(&entry) && mutant!("zab-4712-intake-goes-on") {
                self.log_entry(entry, cx);
            }
        }
    }

    pub(super) fn on_vote(&mut self, member: MemberIndex, vote: Vote, cx: &mut Cx<'_>) {
        let now = cx.now();
        if let Role::Looking(looking) = &mut self.role {
            looking.votes.insert(member, (vote, now));
            return self.renew_vote(cx);
        }
        match &self.role {
            Role::Looking(_) => {}
            // The leader gave up after it had begun this epoch.
            Role::Following(following)
                if following.leader == member
                    && following.epoch.is_some_and(|epoch| vote.accepted >= epoch) =>
            {
                self.look(cx);
            }
            Role::Following(_) => {}
            Role::Leading(leading)
                if !leading.is_syncing
                    && leading.epoch.is_some_and(|epoch| vote.accepted > epoch)
                    && !mutant!("zab-outdated-discovery") =>
            {
                self.fall_behind(vote.accepted, cx);
                self.on_vote(member, vote, cx);
            }
            Role::Leading(leading) if leading.epoch.is_some() => {
                if let Some(answer) = leading.ping(self.committed) {
                    cx.send(member.peer(), answer);
                }
            }
            Role::Leading(_) => self.answer_while_gathering(member, vote, cx),
        }
    }

    /// Who was taken for the best and is not looks again. Two that both gather do not answer each other for ever.
    fn answer_while_gathering(&mut self, member: MemberIndex, vote: Vote, cx: &mut Cx<'_>) {
        let quorum = self.config.committee.quorum();
        let ours = self.config.me().map(|me| (self.state().rank(), me));
        let theirs =
            vote.state.filter(|_| usize::from(vote.hears) >= quorum).map(|state| (state.rank(), member));
        if theirs > ours {
            self.look(cx);
            self.on_vote(member, vote, cx);
        } else if vote.supports != Some(member) {
            cx.send(member.peer(), Message::Vote(self.vote_for_itself()));
        }
    }

    /// Who follows this member already has said all that its vote would, and votes no more.
    pub(super) fn on_support(&mut self, member: MemberIndex, accepted: ZabEpoch, cx: &mut Cx<'_>) {
        let (me, now) = (self.config.me(), cx.now());
        let Role::Looking(looking) = &mut self.role else { return };
        let (vote, at) = looking.votes.entry(member).or_insert((Vote { accepted, ..Vote::default() }, now));
        (vote.supports, *at) = (me, now);
        self.renew_vote(cx);
    }

    /// How good this member's history is: by the durable log (ZAB-2).
    fn standing_for_election(&self) -> Option<State> {
        self.may_lead().then(|| self.state())
    }

    /// Votes by what was heard lately, says so when it is news, and goes on when a quorum agrees.
    pub(super) fn renew_vote(&mut self, cx: &mut Cx<'_>) {
        let Some(me) = self.config.me().filter(|_| self.end_certificate().is_none()) else { return };
        let (now, quorum) = (cx.now(), self.config.committee.quorum());
        let (state, accepted) = (self.standing_for_election(), self.accepted.0);
        let recent_ms = self.config.limits.base_timeout_ms.saturating_mul(2);
        let Role::Looking(looking) = &mut self.role else { return };
        looking.votes.retain(|_, (_, at)| now.ms_since(*at) < recent_ms);
        let hears = u16::try_from(looking.votes.len() + 1).unwrap_or(Vote::GATHERS - 1);
        let own = Vote { accepted, state, supports: None, hears };
        let all = looking.votes.iter().map(|(member, (vote, _))| (*member, *vote)).chain([(me, own)]);
        let can_lead = |vote: &Vote| usize::from(vote.hears) >= quorum;
        let candidates = all
            .filter(|(_, vote)| can_lead(vote))
            .filter_map(|(member, vote)| Some((vote.state?.rank(), member)));
        let best = if mutant!("zab-2-worst-history") { candidates.min() } else { candidates.max() };
        let vote = Vote { supports: best.map(|(_, member)| member), ..own };
        let supporters = looking.votes.values().filter(|(theirs, _)| theirs.supports == vote.supports);
        let supporters = supporters.count() + 1;
        let leader = vote.supports.and_then(|leader| looking.votes.get(&leader));
        let gathers = leader.is_some_and(|(theirs, _)| theirs.gathers()) && !mutant!("zab-late-supporter");
        if looking.said != Some(vote) {
            looking.said = Some(vote);
            cx.broadcast(Message::Vote(vote));
        }
        match vote.supports {
            Some(leader) if supporters >= quorum && leader == me => self.begin_to_lead(me, cx),
            Some(leader) if supporters >= quorum || gathers => self.begin_to_follow(leader, cx),
            _ => {}
        }
    }

    /// The vote as it was said, for who did not hear it.
    pub(super) fn vote_again(&mut self, cx: &mut Cx<'_>) {
        if let Role::Looking(looking) = &mut self.role {
            looking.said = None;
        }
        self.renew_vote(cx);
    }

    fn begin_to_lead(&mut self, me: MemberIndex, cx: &mut Cx<'_>) {
        self.role = Role::Leading(Leading::default());
        self.timers.attempt_began(&self.config.limits, cx);
        self.on_follower_info(me, self.accepted.0, true, cx);
    }

    /// Turns to a leader: a supported one, or one that is heard to lead.
    pub(super) fn begin_to_follow(&mut self, leader: MemberIndex, cx: &mut Cx<'_>) {
        self.role = Role::Following(Following {
            leader,
            epoch: None,
            staged: None,
            is_synced: false,
            is_active: false,
            told: synod_types::Slot(0),
            waiting: BTreeMap::new(),
        });
        self.timers.attempt_began(&self.config.limits, cx);
        self.inform_leader(cx);
    }

    /// Somebody promised itself to another that came to nothing: only an epoch later than that can have it back.
    pub(super) fn fall_behind(&mut self, accepted: ZabEpoch, cx: &mut Cx<'_>) {
        self.seen_epoch = self.seen_epoch.max(accepted);
        self.attempt_failed(cx);
    }

    /// An attempt came to nothing: another election.
    pub(super) fn attempt_failed(&mut self, cx: &mut Cx<'_>) {
        self.timers.attempt_failed(&self.config.limits, cx.now());
        self.look(cx);
    }
}

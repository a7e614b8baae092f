//! Drills of Zab: a few lines for each wrong line that needs a rare history to show in a run. Those that are named
//! after a defect of ZooKeeper tell its story.

use synod_types::{Epoch, Position, Slot};

use crate::committee::stage::body;
use crate::committee::{Event, History, Job, MemberIndex, Outcome};
use crate::protocol::{Input, Protocol};
use crate::zab::messages::{Basis, Message, Record, State, Vote};
use crate::zab::stage::{Stage, entry, point};
use crate::zab::{Limits, Point, Zab, ZabEpoch};

/// A follower of member 0 in epoch 1, with one transaction that is committed.
fn with_one_committed() -> Stage {
    let mut stage = following();
    let payload = body("one");
    stage.propose(0, entry(1, 1, 1, &payload), &payload);
    stage.hear(0, Message::Commit { epoch: ZabEpoch(1), through: Slot(1) });
    stage
}

/// A follower of member 0 in epoch 1, in broadcast, with nothing in its log.
fn following() -> Stage {
    let mut stage = Stage::new(1);
    stage.take(0, 1, Basis::Diff(Point::default()), Vec::new());
    stage.hear(0, Message::CommitLeader { epoch: ZabEpoch(1), through: Slot(0) });
    stage
}

/// The history that it would be voted for by, once its leader is lost.
fn voted_by(stage: &mut Stage) -> Option<State> {
    stage.take_said();
    stage.pass_ms(5_000);
    stage.said.iter().rev().find_map(|(_, said)| match said {
        Message::Vote(vote) => vote.state,
        _ => None,
    })
}

/// ZAB-2.
pub(crate) fn a_leader_that_is_behind_gives_way() -> bool {
    let mut stage = Stage::new(2);
    let epoch = stage.gather(&[0, 1]);
    let state = State { current: ZabEpoch(0), last: point(0, 1, 1) };
    stage.hear(0, Message::AckEpoch { epoch, counts: true, state });
    !stage.has_said(|said| matches!(said, Message::NewLeader { .. }))
}

/// ZAB-2, ZOOKEEPER-2845: what a member knows and did not write is not its history.
pub(crate) fn a_vote_speaks_of_the_log() -> bool {
    let mut stage = with_one_committed();
    let late = entry(1, 2, 2, &body("two"));
    stage.hear(0, Message::Propose { entry: late, body: None });
    voted_by(&mut stage).is_some_and(|state| state.last == point(1, 1, 1))
}

/// ZAB-3.
pub(crate) fn an_epoch_is_promised_once() -> bool {
    let mut stage = Stage::new(1);
    stage.follow(0, 4);
    stage.pass_ms(5_000);
    stage.take_said();
    stage.follow(2, 4);
    let counts = |said: &Message| matches!(said, Message::AckEpoch { counts: true, .. });
    stage.has_said(|said| matches!(said, Message::AckEpoch { .. })) && !stage.has_said(counts)
}

/// ZAB-4, ZOOKEEPER-4643: while the history is not there whole, its epoch is not written.
pub(crate) fn the_log_comes_before_the_epoch() -> bool {
    let mut stage = Stage::new(1);
    stage.take(0, 1, Basis::Diff(Point::default()), vec![entry(1, 1, 1, &body("one"))]);
    stage.restart(History::default());
    let before = stage.replica.protocol().promises().current;
    stage.take(0, 1, Basis::Diff(Point::default()), vec![entry(1, 1, 1, &body("one"))]);
    stage.hear(0, Message::Body(body("one")));
    let kinds = stage.records.iter().map(|record| match record {
        Record::Accepted { .. } => 'a',
        Record::Body { .. } => 'b',
        Record::Logged(_) => 'l',
        Record::Current(_) => 'c',
        _ => '?',
    });
    before == ZabEpoch(0) && kinds.collect::<String>().ends_with("blc")
}

/// ZAB-4, ZOOKEEPER-3911 and 4646: what acknowledges waits for the journal.
pub(crate) fn acknowledgements_wait_for_the_journal() -> bool {
    let (epoch, through) = (ZabEpoch(1), Slot(1));
    let acknowledged = [Message::Ack { epoch, through }, Message::AckLeader { epoch, through }];
    !acknowledged.iter().any(Zab::is_promise_free)
}

/// ZAB-4, ZOOKEEPER-4685: proposals that come while the history is taken over are acknowledged after it.
pub(crate) fn no_proposal_is_acknowledged_before_the_history() -> bool {
    let mut stage = Stage::new(1);
    let (one, two) = (body("one"), body("two"));
    stage.take(0, 1, Basis::Diff(Point::default()), vec![entry(1, 1, 1, &one)]);
    stage.propose(0, entry(1, 2, 2, &two), &two);
    let is_early = stage.has_said(|said| matches!(said, Message::Ack { .. }));
    stage.hear(0, Message::Body(one));
    let acknowledged: Vec<Message> = stage.take_said();
    let of = |wanted: &Message| acknowledged.iter().position(|said| said == wanted);
    let (epoch, leader) = (ZabEpoch(1), Message::AckLeader { epoch: ZabEpoch(1), through: Slot(1) });
    let proposal = Message::Ack { epoch, through: Slot(2) };
    !is_early && of(&leader).is_some() && of(&leader) < of(&proposal)
}

/// ZAB-5.
pub(crate) fn a_leader_remembers_its_epoch() -> bool {
    let mut stage = Stage::new(2);
    let epoch = stage.lead(&[0, 1]);
    stage.restart(History::default());
    stage.replica.protocol().promises().current == epoch
}

/// ZAB-6: a follower that was sent NEWLEADER is sent what is proposed while it takes the history over.
pub(crate) fn who_was_sent_the_history_is_sent_what_follows() -> bool {
    let mut stage = Stage::new(2);
    let epoch = stage.gather(&[0, 1]);
    for member in [0, 1] {
        stage.hear(member, Message::AckEpoch { epoch, counts: true, state: State::default() });
    }
    stage.hear(0, Message::AckLeader { epoch, through: Slot(0) });
    stage.take_said();
    stage.offer(&body("one"));
    let late = MemberIndex(1).peer();
    stage.said.is_empty()
        || stage.said.iter().any(|(to, said)| *to == Some(late) && matches!(said, Message::Propose { .. }))
}

/// ZAB-6: COMMIT-LD says how far the leader is by now, not only that its history is committed.
pub(crate) fn who_joins_late_is_told_how_far_the_leader_is() -> bool {
    let mut stage = Stage::new(2);
    let epoch = stage.lead(&[0]);
    stage.offer(&body("one"));
    stage.hear(0, Message::Ack { epoch, through: Slot(1) });
    stage.hear(1, Message::FollowerInfo { accepted: ZabEpoch(0), votes: true });
    stage.hear(1, Message::AckEpoch { epoch, counts: true, state: State::default() });
    stage.take_said();
    stage.hear(1, Message::AckLeader { epoch, through: Slot(1) });
    stage.has_said(|said| *said == Message::CommitLeader { epoch, through: Slot(1) })
}

/// ZAB-7, ZOOKEEPER-4925: a proposal after a hole is neither logged nor acknowledged, and a history with one is
/// refused.
pub(crate) fn a_hole_is_not_skipped() -> bool {
    let mut stage = with_one_committed();
    let (two, three) = (body("two"), body("three"));
    stage.take_said();
    stage.propose(0, entry(1, 3, 3, &three), &three);
    let is_skipped =
        stage.last() != point(1, 1, 1) || stage.has_said(|said| matches!(said, Message::Ack { .. }));
    let history = Message::NewLeader {
        epoch: ZabEpoch(1),
        basis: Basis::Diff(point(1, 1, 1)),
        entries: vec![entry(1, 3, 3, &three)],
    };
    let is_refused = stage.is_refused(0, history);
    stage.propose(0, entry(1, 2, 2, &two), &two);
    !is_skipped && is_refused && stage.last() == point(1, 3, 3)
}

/// ZAB-8: nothing that is committed is cut off.
pub(crate) fn what_is_committed_stays() -> bool {
    let mut stage = with_one_committed();
    stage.pass_ms(5_000);
    stage.take(2, 2, Basis::Trunc(Point::default()), Vec::new());
    stage.told.iter().any(|event| matches!(event, Event::Diverged { .. })) && stage.last() == point(1, 1, 1)
}

/// ZAB-8: a TRUNC that comes late, when its receiver begins anew with the leader whose history it has, cuts nothing off:
/// what follows it was acknowledged.
pub(crate) fn a_late_truncation_cuts_nothing() -> bool {
    let mut stage = Stage::new(1);
    let (one, two, three) = (body("one"), body("two"), body("three"));
    stage.take(0, 1, Basis::Diff(Point::default()), Vec::new());
    stage.propose(0, entry(1, 1, 1, &one), &one);
    stage.propose(0, entry(1, 2, 2, &two), &two);
    stage.pass_ms(5_000);
    stage.take(2, 2, Basis::Trunc(point(1, 1, 1)), Vec::new());
    stage.propose(2, entry(2, 1, 2, &three), &three);
    stage.pass_ms(5_000);
    stage.take(2, 2, Basis::Trunc(point(1, 1, 1)), Vec::new());
    stage.last() == point(2, 1, 2)
}

/// ZAB-8, ZOOKEEPER-5094: a history that was not taken over whole leaves nothing behind in memory.
pub(crate) fn half_a_history_is_dropped() -> bool {
    let mut stage = with_one_committed();
    stage.pass_ms(5_000);
    let (two, three) = (body("two"), body("three"));
    let entries = vec![entry(2, 1, 2, &two), entry(2, 2, 3, &three)];
    stage.take(2, 2, Basis::Diff(point(1, 1, 1)), entries);
    stage.hear(2, Message::Body(two));
    let kept = stage.records.clone();
    voted_by(&mut stage).is_some_and(|state| state.last == point(1, 1, 1)) && stage.records == kept
}

/// ZAB-9, ZOOKEEPER-4712: what waited for its body when the leader was lost is not logged when the body comes.
pub(crate) fn a_role_that_was_left_logs_nothing() -> bool {
    let mut stage = with_one_committed();
    let (two, three) = (body("two"), body("three"));
    stage.hear(0, Message::Propose { entry: entry(1, 2, 2, &two), body: None });
    stage.propose(0, entry(1, 3, 3, &three), &three);
    stage.pass_ms(5_000);
    stage.hear(0, Message::Body(two));
    stage.last() == point(1, 1, 1)
}

/// ZAB-9, ZOOKEEPER-4712: a vote speaks of the log, and so waits for its writer.
pub(crate) fn a_vote_waits_for_the_writer() -> bool {
    !Zab::is_promise_free(&Message::Vote(Vote::default()))
}

/// ZAB-10.
pub(crate) fn a_leader_without_followers_steps_down() -> bool {
    let mut stage = Stage::new(2);
    stage.lead(&[0, 1]);
    let did_lead = stage.replica.protocol().is_leading();
    stage.pass_ms(3_000);
    did_lead && !stage.replica.protocol().is_leading()
}

/// One of five hears of a member that gathers, and of no other that supports it: those who do follow already.
pub(crate) fn whoever_looks_late_follows_who_gathers() -> bool {
    let mut stage = Stage::of(5, 3, Limits::default());
    let supports = Some(MemberIndex(4));
    let looks = Vote { supports, state: Some(State::default()), hears: 5, ..Vote::default() };
    stage.hear(4, Message::Vote(looks));
    let informs = |stage: &Stage| stage.has_said(|said| matches!(said, Message::FollowerInfo { .. }));
    let counts = !informs(&stage);
    stage.hear(4, Message::Vote(Vote { hears: Vote::GATHERS, ..looks }));
    counts && informs(&stage)
}

/// After attempts without number a member begins to follow, and the leader is never heard again.
pub(crate) fn a_silent_leader_is_given_up_soon() -> bool {
    let limits = Limits { timeout_cap_ms: 6_400, ..Limits::default() };
    let (base, cap) = (limits.base_timeout_ms, limits.timeout_cap_ms);
    let mut stage = Stage::of(3, 1, limits);
    for epoch in 1..=12 {
        stage.follow(0, epoch);
        stage.pass_ms(2 * cap);
    }
    stage.follow(0, 13);
    stage.pass_ms(2 * base);
    let is_patient = stage.fact("phase") != "election";
    stage.pass_ms(cap / 2);
    is_patient && stage.fact("phase") == "election"
}

/// A leader that knows of no later epoch is followed again and again, and refused at once; then it is not heard.
pub(crate) fn what_ends_early_doubles_nothing() -> bool {
    let mut stage = Stage::new(1);
    stage.follow(0, 9);
    stage.pass_ms(5_000);
    let base = Limits::default().base_timeout_ms;
    for _ in 0..20 {
        stage.hear(0, Message::Ping { epoch: ZabEpoch(9), through: None });
        stage.hear(0, Message::NewEpoch { epoch: ZabEpoch(3) });
    }
    stage.hear(0, Message::Ping { epoch: ZabEpoch(9), through: None });
    let follows = stage.fact("phase") == "discovery";
    stage.pass_ms(8 * base);
    follows && stage.fact("phase") == "election"
}

/// A leader proposes and is heard by nobody; the next leader's history does not have it (seed 70006848 of three).
pub(crate) fn what_is_cut_off_is_free_again() -> bool {
    let mut stage = Stage::new(1);
    let epoch = stage.lead(&[0]);
    let payload = body("one");
    stage.offer(&payload);
    let is_logged = stage.last() == point(epoch.0, 1, 1);
    stage.pass_ms(60_000);
    stage.take(2, epoch.0 + 1, Basis::Trunc(Point::default()), Vec::new());
    let free = Event::Abandoned { digest: payload.digest() };
    is_logged && stage.last() == Point::default() && stage.told.contains(&free)
}

/// One of five gathers promises for an epoch; the one it still needs has promised itself to a later one and looks.
pub(crate) fn an_outdated_epoch_is_given_up() -> bool {
    let mut stage = Stage::of(5, 3, Limits::default());
    let epoch = stage.gather(&[0, 1]);
    let gathers = stage.fact("phase") == "discovery";
    let late = Vote { accepted: ZabEpoch(epoch.0 + 10), state: Some(State::default()), ..Vote::default() };
    stage.hear(2, Message::Vote(late));
    gathers && stage.fact("phase") == "election"
}

/// All others are in another epoch of the committee: nobody leads this one, and what it decided comes as blocks.
pub(crate) fn whoever_is_left_behind_fetches() -> bool {
    let mut stage = Stage::new(1);
    let certificate = stage.certificate(3);
    stage.hear(0, Message::Certified(certificate));
    stage.pass_ms(500);
    let is_patient = stage.jobs.is_empty();
    stage.pass_ms(5_000);
    is_patient && stage.jobs.iter().any(|job| matches!(job, Job::Fetch { .. }))
}

/// Slots after the epoch's last block are void.
pub(crate) fn slots_after_the_last_are_void() -> bool {
    let mut stage = with_one_committed();
    let two = body("two");
    stage.step(Input::Done(Outcome::Ended { position: Position { epoch: Epoch(0), slot: Slot(1) } }));
    stage.propose(0, entry(1, 2, 2, &two), &two);
    stage.hear(0, Message::Commit { epoch: ZabEpoch(1), through: Slot(2) });
    stage.appended.len() == 1
}

#[cfg(test)]
mod tests {
    use crate::sim::committee::zab_mutants::MUTANTS;
    use crate::sim::mutants::Caught;

    #[test]
    fn every_drill_holds_without_its_mutant() {
        for mutant in MUTANTS {
            if let Caught::Drill { holds, .. } = mutant.caught {
                assert!(holds(), "{}", mutant.id);
            }
        }
    }
}

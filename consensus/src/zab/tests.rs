//! Stories of one member under Zab, among them those of ZooKeeper's published defects.
#![allow(clippy::unwrap_used)]

use synod_types::Slot;

use super::messages::{Basis, Entry, Fault, Message, Record, State, Vote};
use super::stage::{Stage, entry, point, zxid};
use super::zxid::{Point, ZabEpoch};
use super::*;
use crate::committee::stage::body;
use crate::sim::committee::zab_drills as drills;

/// The published defects of ZooKeeper that these rules were paid with: each has its story here, which is also what
/// kills the wrong line of that number.
macro_rules! zookeeper {
    ($($(#[$told:meta])* $name:ident: $drill:ident;)*) => {
        $($(#[$told])* #[test] fn $name() { assert!(drills::$drill()); })*
    };
}

zookeeper! {
    /// Transactions in memory that the log did not hold took part in the election, and servers diverged.
    zookeeper_2845_a_vote_speaks_of_the_log: a_vote_speaks_of_the_log;
    /// Followers acknowledged before the log was synced: what was committed could be lost.
    zookeeper_3911_acknowledgements_wait_for_the_journal: acknowledgements_wait_for_the_journal;
    /// currentEpoch was written before the history: after a crash committed transactions were truncated.
    zookeeper_4643_the_log_comes_before_the_epoch: the_log_comes_before_the_epoch;
    /// ACK-LD left before the history was synced.
    zookeeper_4646_acknowledgements_wait_for_the_journal: acknowledgements_wait_for_the_journal;
    /// A proposal's ACK came before that of NEWLEADER.
    zookeeper_4685_no_proposal_is_acknowledged_before_the_history: no_proposal_is_acknowledged_before_the_history;
    /// Requests were logged by a role that had been left.
    zookeeper_4712_a_role_that_was_left_logs_nothing: a_role_that_was_left_logs_nothing;
    zookeeper_4712_a_vote_waits_for_the_writer: a_vote_waits_for_the_writer;
    /// A hole in what a leader sent became a hole in everybody's log.
    zookeeper_4925_a_hole_is_not_skipped: a_hole_is_not_skipped;
    /// An interrupted synchronization left half of it in memory.
    zookeeper_5094_half_a_history_is_dropped: half_a_history_is_dropped;
    /// Found by model checking in the protocol's prose: who joins in between misses proposals.
    zab_6_who_was_sent_the_history_is_sent_what_follows: who_was_sent_the_history_is_sent_what_follows;
    /// And is told of too few commits.
    zab_6_who_joins_late_is_told_how_far_the_leader_is: who_joins_late_is_told_how_far_the_leader_is;
}

/// ZAB-6, the third: a proposal that comes twice, once within the history and once by itself, is logged once.
#[test]
fn zab_6_a_proposal_that_comes_twice_is_logged_once() {
    let mut stage = Stage::new(1);
    let one = body("one");
    let first = entry(1, 1, 1, &one);
    stage.follow(0, 1);
    stage.propose(0, first, &one);
    stage.take(0, 1, Basis::Diff(Point::default()), vec![first]);
    stage.propose(0, first, &one);
    let logged = stage.records.iter().filter(|record| matches!(record, Record::Logged(_))).count();
    assert_eq!((logged, stage.last()), (1, point(1, 1, 1)));
    stage.hear(0, Message::CommitLeader { epoch: ZabEpoch(1), through: Slot(1) });
    assert_eq!(stage.appended.len(), 1);
}

/// ZAB-1: names are ordered by epoch, then counter, and a leader whose counter is used up gives way to a new epoch.
#[test]
fn zab_1_a_counter_that_is_used_up_ends_its_epoch() {
    assert!(zxid(1, u32::MAX) < zxid(2, 1) && zxid(2, 1) < zxid(2, 2));
    assert!(zxid(1, 7).is_followed_by(zxid(1, 8)) && zxid(1, 7).is_followed_by(zxid(4, 1)));
    assert!(!zxid(1, 7).is_followed_by(zxid(1, 9)) && !zxid(1, 7).is_followed_by(zxid(2, 2)));
    assert!(!zxid(1, u32::MAX).is_followed_by(zxid(1, 0)) && !zxid(2, 1).is_followed_by(zxid(1, 2)));
    let mut stage = Stage::of(3, 2, Limits { counter_limit: 2, ..Limits::default() });
    let epoch = stage.lead(&[0, 1]);
    for slot in 1..=2 {
        stage.offer(&body(&slot.to_string()));
        stage.hear(0, Message::Ack { epoch, through: Slot(slot) });
        stage.execute(slot);
    }
    assert!(!stage.replica.protocol().is_leading(), "nothing is left to name the third by");
    let state = State { current: epoch, last: stage.last() };
    let supports = Some(MemberIndex(2));
    let vote = Vote { accepted: epoch, state: Some(state), supports, hears: 2 };
    stage.hear(0, Message::Vote(vote));
    stage.hear(0, Message::FollowerInfo { accepted: epoch, votes: true });
    assert_eq!(stage.begun(), Some(ZabEpoch(epoch.0 + 1)));
}

/// ZAB-3: NEWEPOCH is above all that the quorum accepted; who accepted a later one refuses.
#[test]
fn zab_3_an_epoch_is_above_all_that_a_quorum_accepted() {
    let mut stage = Stage::new(2);
    let vote = Vote { supports: Some(MemberIndex(2)), ..Vote::default() };
    stage.hear(0, Message::Vote(vote));
    stage.hear(0, Message::FollowerInfo { accepted: ZabEpoch(7), votes: true });
    assert_eq!(stage.begun(), Some(ZabEpoch(8)));
    let mut other = Stage::new(1);
    other.follow(0, 9);
    other.pass_ms(5_000);
    other.take_said();
    other.hear(2, Message::Ping { epoch: ZabEpoch(5), through: Some(Slot(0)) });
    assert!(other.has_said(|said| *said == Message::FollowerInfo { accepted: ZabEpoch(9), votes: true }));
    assert!(!other.has_said(|said| matches!(said, Message::AckEpoch { .. })));
}

/// ZAB-4, ZAB-8: what the leader lacks is cut off, and what follows is taken over from there.
#[test]
fn zab_4_truncation_and_what_follows_are_one_step() {
    let mut stage = Stage::new(1);
    let (one, two, other) = (body("one"), body("two"), body("other"));
    stage.take(0, 1, Basis::Diff(Point::default()), Vec::new());
    stage.propose(0, entry(1, 1, 1, &one), &one);
    stage.propose(0, entry(1, 2, 2, &two), &two);
    stage.pass_ms(5_000);
    stage.hear(2, Message::Body(other.clone()));
    stage.take(2, 2, Basis::Trunc(point(1, 1, 1)), vec![entry(2, 1, 2, &other)]);
    assert_eq!(stage.last(), point(1, 2, 2), "its body is awaited, and nothing is cut off before");
    stage.hear(2, Message::Body(other));
    assert_eq!(stage.last(), point(2, 1, 2));
    let (log, current) = (stage.replica.protocol().promises().log, ZabEpoch(2));
    stage.restart(History::default());
    let kept = stage.replica.protocol().promises();
    assert_eq!((kept.log, kept.current), (log, current), "the journal says the same");
}

/// GEN-13: the journal begins anew with everything that counts.
#[test]
fn gen_13_a_journal_that_began_anew_says_the_same() {
    let limits = Limits { journal_bytes: 2_000, window: 12, in_flight: 6, ..Limits::default() };
    let mut stage = Stage::of(3, 1, limits);
    stage.take(0, 3, Basis::Diff(Point::default()), Vec::new());
    for slot in 1..=30u32 {
        let payload = body(&slot.to_string());
        stage.propose(0, entry(3, slot, slot.into(), &payload), &payload);
        stage.hear(0, Message::CommitLeader { epoch: ZabEpoch(3), through: Slot(slot.into()) });
        stage.execute(slot.into());
        stage.hear(0, Message::Certified(stage.certificate(slot.into())));
    }
    assert!(stage.records.len() < 90, "it began anew: {}", stage.records.len());
    let before = stage.replica.protocol().promises();
    let certificate = Some(stage.certificate(30));
    let history = History { executed: Slot(30), certificate, ..History::default() };
    stage.restart(history);
    let after = stage.replica.protocol().promises();
    assert_eq!((before.accepted, before.current), (after.accepted, after.current));
    assert_eq!(before.log.last(), after.log.last());
}

/// A member that follows takes no part in elections: one that is deaf deposes nobody.
#[test]
fn who_follows_is_not_disturbed_by_who_looks() {
    let mut stage = Stage::new(1);
    stage.take(0, 1, Basis::Diff(Point::default()), Vec::new());
    stage.take_said();
    let state = Some(State { current: ZabEpoch(9), last: point(9, 9, 9) });
    stage.hear(2, Message::Vote(Vote { state, hears: 3, ..Vote::default() }));
    assert_eq!(stage.take_said(), []);
    assert_eq!(stage.fact("leader"), "none", "it is not established yet");
    stage.hear(0, Message::CommitLeader { epoch: ZabEpoch(1), through: Slot(0) });
    assert_eq!((stage.fact("leader"), stage.fact("phase")), ("0".to_owned(), "broadcast".to_owned()));
}

/// What a message shows by itself is refused before the machine sees it.
#[test]
fn messages_out_of_bounds_are_refused() {
    let stage = Stage::new(1);
    let history = |entries: Vec<Entry>| Message::NewLeader {
        epoch: ZabEpoch(2),
        basis: Basis::Diff(Point::default()),
        entries,
    };
    let one = body("one");
    let refused = |message| stage.refuse(0, message);
    assert_eq!(refused(Message::NewEpoch { epoch: ZabEpoch(0) }), Fault::BadEpoch(ZabEpoch(0)));
    let far = ZabEpoch(super::messages::EPOCH_LIMIT + 1);
    assert_eq!(refused(Message::FollowerInfo { accepted: far, votes: true }), Fault::BadEpoch(far));
    assert_eq!(refused(history(vec![entry(1, 2, 2, &one)])), Fault::BadHistory("it has a hole"));
    assert_eq!(
        refused(history(vec![entry(3, 1, 1, &one)])),
        Fault::BadHistory("it is later than its leader")
    );
    let wrong = Message::Propose { entry: entry(1, 1, 1, &one), body: Some(body("other")) };
    assert_eq!(refused(wrong), Fault::WrongBody);
    let bad = body("bad");
    let invalid = Message::Propose { entry: entry(1, 1, 1, &bad), body: Some(bad) };
    assert!(matches!(refused(invalid), Fault::InvalidPayload(_)));
    let statement = stage.certificate(1).statement;
    let theirs = crate::committee::Attestation::new(&stage.committee, &stage.signers[2], statement);
    assert_eq!(refused(Message::Attestation(theirs)), Fault::Impersonation(MemberIndex(2)));
}

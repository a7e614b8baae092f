//! Stories of one member: what it says, step by step, to what it hears.
#![allow(clippy::unwrap_used)]

use synod_types::{Epoch, Position, Slot};

use super::messages::{Choice, Message, Phase, ViewChange, Vote};
use super::new_view::plan;
use super::stage::{Stage, choice, null};
use super::*;
use crate::committee::stage::{WALL, body, hash};
use crate::committee::{MemberIndex, Payload};

/// PBFT-2, PBFT-3, PBFT-4: the ordinary way of one payload, as a backup sees it.
#[test]
fn pbft_3_a_backup_prepares_commits_delivers_and_attests() {
    let mut stage = Stage::new(1);
    let payload = body("one");
    let one = choice(0, 1, &payload);
    let vote = stage.vote(0, Phase::PrePrepare, one);
    stage.take_said();
    stage.hear(0, Message::PrePrepare { vote, body: Some(payload.clone()) });
    assert!(stage.has_said(|said| matches!(said, Message::Prepare(vote) if vote.choice == one)));
    assert_eq!(stage.records.len(), 2, "the body and the acceptance are written before that");
    stage.hear(2, Message::Prepare(stage.vote(2, Phase::Prepare, one)));
    assert!(stage.has_said(|said| matches!(said, Message::Commit(vote) if vote.choice == one)));
    assert!(matches!(stage.records.last(), Some(Record::Prepared(_))));
    stage.hear(0, Message::Commit(stage.vote(0, Phase::Commit, one)));
    assert!(stage.appended.is_empty(), "two commits are no quorum");
    stage.hear(0, Message::Commit(stage.vote(0, Phase::Commit, one)));
    assert!(stage.appended.is_empty(), "and one member has one vote (GEN-7)");
    stage.hear(2, Message::Commit(stage.vote(2, Phase::Commit, one)));
    let position = Position { epoch: Epoch(0), slot: Slot(1) };
    assert_eq!(stage.appended, [(position, payload.bytes().clone())]);
    stage.take_said();
    stage.step(Input::Executed { position, block_hash: hash(1) });
    assert!(stage.has_said(|said| matches!(said, Message::Attestation(_))));
    for member in [0, 3] {
        let statement = stage.certificate(1).statement;
        let attestation = Attestation::new(&stage.committee, &stage.signers[member], statement);
        stage.hear(member as u8, Message::Attestation(attestation));
    }
    assert!(
        stage.told.iter().any(|event| matches!(event, Event::Certified(known) if known.slot() == Slot(1)))
    );
    assert_eq!(stage.fact("certified"), "1");
}

#[test]
fn pbft_2_what_is_not_to_be_accepted_is_not() {
    let mut stage = Stage::new(1);
    let (payload, other) = (body("one"), body("two"));
    let vote = stage.vote(0, Phase::PrePrepare, choice(0, 1, &payload));
    let refused = stage.refuse(0, Message::PrePrepare { vote, body: Some(other.clone()) });
    assert_eq!(refused, Fault::WrongBody);
    let bad = body("bad");
    let vote = stage.vote(0, Phase::PrePrepare, choice(0, 1, &bad));
    let refused = stage.refuse(0, Message::PrePrepare { vote, body: Some(bad) });
    assert!(matches!(refused, Fault::InvalidPayload(_)));
    let foreign = stage.vote(2, Phase::PrePrepare, choice(0, 1, &payload));
    assert_eq!(stage.refuse(2, Message::PrePrepare { vote: foreign, body: None }), Fault::WrongRole);
    let own = stage.vote(0, Phase::Prepare, choice(0, 1, &payload));
    assert_eq!(stage.refuse(0, Message::Prepare(own)), Fault::WrongRole, "the primary never prepares");
    let stolen = Vote { member: MemberIndex(3), ..stage.vote(2, Phase::Commit, choice(0, 1, &payload)) };
    assert_eq!(stage.refuse(2, Message::Commit(stolen)), Fault::Impersonation(MemberIndex(3)));
    assert_eq!(stage.refuse(3, Message::Commit(stolen)), Fault::BadSignature(MemberIndex(3)));
    // No fresh null request, and nothing from the future; neither is a crime.
    stage.hear(0, Message::PrePrepare { vote: stage.vote(0, Phase::PrePrepare, null(0, 1)), body: None });
    let late = [&(WALL.0 + 10_001).to_be_bytes()[..], b"late"].concat();
    let late = Payload::new(late.into()).unwrap();
    let vote = stage.vote(0, Phase::PrePrepare, choice(0, 2, &late));
    stage.hear(0, Message::PrePrepare { vote, body: Some(late) });
    assert!(!stage.has_said(|said| matches!(said, Message::Prepare(_))));
    assert!(stage.accused.is_empty());
}

/// PBFT-2, PBFT-10: without the body there is no vote; it is asked for, and then there is one.
#[test]
fn pbft_2_a_vote_waits_for_its_body() {
    let mut stage = Stage::new(1);
    let payload = body("one");
    let vote = stage.vote(0, Phase::PrePrepare, choice(0, 1, &payload));
    stage.hear(0, Message::PrePrepare { vote, body: None });
    assert!(stage.has_said(|said| matches!(said, Message::AskBody { .. })));
    assert!(!stage.has_said(|said| matches!(said, Message::Prepare(_))));
    stage.hear(3, Message::Body(body("unasked")));
    stage.hear(3, Message::Body(payload));
    assert!(stage.has_said(|said| matches!(said, Message::Prepare(_))));
    assert_eq!(stage.replica.protocol().sizes()[1], 1, "a body that nobody asked for is dropped");
}

/// A9: two proposals for one place are evidence, and only the first gets a vote.
#[test]
fn a9_an_equivocating_primary_is_caught_with_evidence() {
    let mut stage = Stage::new(1);
    for text in ["one", "two"] {
        let payload = body(text);
        let vote = stage.vote(0, Phase::PrePrepare, choice(0, 1, &payload));
        stage.hear(0, Message::PrePrepare { vote, body: Some(payload) });
    }
    let prepares = stage.said.iter().filter(|(_, said)| matches!(said, Message::Prepare(_)));
    assert_eq!(prepares.count(), 1);
    let Some(Event::Caught(evidence)) = stage.told.last() else { panic!("nobody was caught") };
    assert!(evidence::is_proof(evidence, &stage.committee));
    assert_eq!(stage.accused, [(Peer(0), Fault::Contradiction)]);
    let mut blamed = evidence.clone();
    blamed.member = MemberIndex(2);
    assert!(!evidence::is_proof(&blamed, &stage.committee));
}

/// PBFT-18: a silent primary is left after a timeout, but only while something waits.
#[test]
fn pbft_18_a_silent_primary_is_left_when_there_is_demand() {
    let mut stage = Stage::new(1);
    stage.pass_ms(5_000);
    assert!(!stage.has_said(|said| matches!(said, Message::ViewChange(_))), "a lull is no crime");
    stage.step(Input::Demand { oldest_since: Some(stage.now), bytes: 10 });
    stage.pass_ms(399);
    assert!(!stage.has_said(|said| matches!(said, Message::ViewChange(_))));
    stage.pass_ms(2);
    assert!(stage.has_said(|said| matches!(said, Message::ViewChange(change) if change.view() == View(1))));
    // PBFT-6: in between it votes for nothing.
    let payload = body("one");
    let vote = stage.vote(0, Phase::PrePrepare, choice(0, 1, &payload));
    stage.hear(0, Message::PrePrepare { vote, body: Some(payload) });
    assert!(!stage.has_said(|said| matches!(said, Message::Prepare(_))));
    // GEN-8: and says again what it wants.
    stage.take_said();
    stage.pass_ms(1_000);
    let repeated = stage.said.iter().filter(|(_, said)| matches!(said, Message::ViewChange(_))).count();
    assert!((4..=20).contains(&repeated), "{repeated} times");
}

/// PBFT-8, PBFT-9, PBFT-22: gaps are filled with null requests, and the highest view wins.
#[test]
fn pbft_8_a_new_primary_carries_over_what_was_prepared() {
    let mut stage = Stage::new(2);
    let (old, new) = (body("old"), body("new"));
    let first = stage.prepared(choice(0, 2, &old));
    let later = stage.prepared(choice(1, 2, &new));
    let fourth = stage.prepared(choice(0, 4, &old));
    for (member, prepared) in [(1, vec![first.clone(), fourth]), (3, vec![later])] {
        stage.hear(member, Message::ViewChange(stage.change(member, 2, prepared)));
    }
    let begun = stage.said.iter().find_map(|(_, said)| match said {
        Message::NewView(new_view) => Some(new_view.clone()),
        _ => None,
    });
    let begun = begun.expect("f + 1 joined it, and three are a quorum");
    let proposed: Vec<Choice> = begun.pre_prepares.iter().map(|vote| vote.choice).collect();
    assert_eq!(proposed, [null(2, 1), choice(2, 2, &new), null(2, 3), choice(2, 4, &old)]);
    // The same from the other side: a backup refuses anything else.
    let mut wrong = begun.clone();
    wrong.pre_prepares[1] = stage.vote(2, Phase::PrePrepare, null(2, 2));
    let content = super::messages::NewView::content(wrong.view, &wrong.view_changes, &wrong.pre_prepares);
    wrong.signature = stage.signers[2].sign(&stage.committee, super::messages::NEW_VIEW_TAG, &content);
    assert!(matches!(stage.refuse(2, Message::NewView(wrong)), Fault::BadNewView(_)));
    let mut backup = Stage::new(3);
    backup.hear(0, Message::NewView(begun));
    assert_eq!(backup.fact("view"), "2", "anybody may pass a new view on");
    let nulls = backup
        .said
        .iter()
        .filter(|(_, said)| matches!(said, Message::Prepare(vote) if vote.choice.digest.is_none()));
    assert_eq!(nulls.count(), 2);
    assert!(backup.has_said(|said| matches!(said, Message::AskBody { .. })));
}

#[test]
fn pbft_8_min_s_is_the_highest_checkpoint_of_all() {
    let stage = Stage::new(0);
    let mut changes: Vec<ViewChange> = (0..3).map(|member| stage.change(member, 1, Vec::new())).collect();
    changes[1].content.stable = Some(stage.certificate(7));
    changes[2].content.prepared = vec![stage.prepared(null(0, 3)), stage.prepared(null(0, 9))];
    let plan = plan(&changes);
    assert_eq!(plan.stable.as_ref().map(Certificate::slot), Some(Slot(7)));
    assert_eq!(plan.digests.iter().map(|(slot, _)| slot.0).collect::<Vec<_>>(), [8, 9]);
    assert_eq!(plan.last(), Slot(9));
}

/// PBFT-12, PBFT-13: f + 1 members take one along; the timer starts with the quorum, and the back-off is capped.
#[test]
fn pbft_12_f_plus_one_members_take_one_along() {
    let mut stage = Stage::new(0);
    stage.hear(2, Message::ViewChange(stage.change(2, 9, Vec::new())));
    assert_eq!(stage.fact("view"), "0", "one may be a liar");
    stage.hear(3, Message::ViewChange(stage.change(3, 5, Vec::new())));
    assert_eq!(stage.fact("view"), "5", "the smallest of them");
    stage.pass_ms(5_000);
    assert_eq!(stage.fact("view"), "6", "two others and itself are a quorum for five or more");
}

/// PBFT-14: whoever is in a lower view is shown the proof of this one.
#[test]
fn pbft_14_a_member_that_is_behind_is_shown_the_view() {
    let mut stage = Stage::new(1);
    for member in [2, 3] {
        stage.hear(member, Message::ViewChange(stage.change(member, 1, Vec::new())));
    }
    assert_eq!(stage.fact("view_active"), "true", "member 1 leads view 1");
    stage.take_said();
    stage.pass_ms(1_000);
    stage.take_said();
    let payload = body("one");
    let vote = stage.vote(0, Phase::PrePrepare, choice(0, 1, &payload));
    stage.hear(0, Message::PrePrepare { vote, body: Some(payload) });
    assert!(stage.has_said(|said| matches!(said, Message::NewView(_))));
}

/// A10, GEN-2: after a power cut everything that was said still stands, also when the journal began anew.
#[test]
fn a10_a_restart_forgets_no_promise() {
    for journal_bytes in [usize::MAX, 100] {
        let mut stage = Stage::with(1, Limits { journal_bytes, ..Limits::default() });
        for (slot, text) in [(1, "one"), (2, "two")] {
            let payload = body(text);
            let vote = stage.vote(0, Phase::PrePrepare, choice(0, slot, &payload));
            stage.hear(0, Message::PrePrepare { vote, body: Some(payload) });
        }
        let first = choice(0, 1, &body("one"));
        stage.hear(2, Message::Prepare(stage.vote(2, Phase::Prepare, first)));
        let before = stage.replica.protocol().promises();
        stage.restart(History::default());
        assert_eq!(stage.replica.protocol().promises(), before);
        assert!(stage.replica.protocol().has_body(choice(0, 2, &body("two"))));
        stage.take_said();
        stage.pass_ms(1_000);
        assert!(stage.has_said(|said| matches!(said, Message::Commit(vote) if vote.choice == first)));
        let other = body("other");
        let vote = stage.vote(0, Phase::PrePrepare, choice(0, 2, &other));
        stage.take_said();
        stage.hear(0, Message::PrePrepare { vote, body: Some(other.clone()) });
        let lapse = |said: &Message| matches!(said, Message::Prepare(vote) if vote.choice.digest == Some(other.digest()));
        assert!(!stage.has_said(lapse));
    }
}

/// PBFT-5: what lies above the window is kept until the checkpoint that its primary has seen comes here, too.
#[test]
fn pbft_5_a_proposal_above_the_window_waits_for_the_checkpoint() {
    let mut stage = Stage::new(1);
    let payload = body("far");
    let far = choice(0, 20, &payload);
    stage.hear(0, Message::PrePrepare { vote: stage.vote(0, Phase::PrePrepare, far), body: Some(payload) });
    assert!(!stage.has_said(|said| matches!(said, Message::Prepare(_))));
    stage.hear(2, Message::Certified(stage.certificate(10)));
    assert!(stage.has_said(|said| matches!(said, Message::Prepare(vote) if vote.choice == far)));
}

/// PBFT-15: certified blocks that do not come are fetched, and a certificate of another block ends everything.
#[test]
fn pbft_15_blocks_are_fetched_up_to_a_certificate() {
    let mut stage = Stage::new(1);
    stage.hear(2, Message::Certified(stage.certificate(9)));
    stage.pass_ms(200);
    let goal = stage.certificate(9);
    assert_eq!(stage.jobs, [Job::Fetch { certificate: goal.clone() }]);
    stage.step(Input::Done(Outcome::Installed { position: goal.statement.position, block_hash: hash(9) }));
    assert_eq!(stage.replica.protocol().executed(), Slot(9));
    let mut other = Stage::new(1);
    let position = goal.statement.position;
    other.step(Input::Done(Outcome::Installed { position, block_hash: hash(1) }));
    other.hear(2, Message::Certified(goal));
    assert!(other.told.iter().any(|event| matches!(event, Event::Diverged { .. })));
    assert!(other.replica.wake_at().is_none() && other.replica.protocol().halted().is_some());
}

/// PBFT-22, PBFT-4: a lone transaction at once, then batches; and nothing while nothing waits.
#[test]
fn pbft_22_the_primary_fills_its_pipeline_and_no_more() {
    let mut stage = Stage::new(0);
    assert!(stage.jobs.is_empty());
    stage.step(Input::Demand { oldest_since: Some(Time(0)), bytes: 100 });
    assert_eq!(stage.jobs.len(), 1);
    stage.step(Input::Done(Outcome::Assembled(Some(body("one")))));
    assert!(stage.has_said(|said| matches!(said, Message::PrePrepare { body: Some(_), .. })));
    stage.step(Input::Demand { oldest_since: Some(Time(0)), bytes: 100 });
    assert_eq!(stage.jobs.len(), 1, "a small rest waits for the instance in flight");
    for count in 2..=6 {
        stage.step(Input::Demand { oldest_since: Some(Time(0)), bytes: 1 << 20 });
        assert_eq!(stage.jobs.len(), count);
        stage.step(Input::Done(Outcome::Assembled(Some(body(&count.to_string())))));
    }
    stage.step(Input::Demand { oldest_since: Some(Time(0)), bytes: 1 << 20 });
    assert_eq!(stage.jobs.len(), 6, "six are in flight");
}

/// What was proposed in a view that ended, and is not carried over, goes back to the pool.
#[test]
fn proposals_that_a_view_change_loses_are_given_up() {
    let mut stage = Stage::new(0);
    stage.step(Input::Demand { oldest_since: Some(Time(0)), bytes: 100 });
    let lost = body("lost");
    stage.step(Input::Done(Outcome::Assembled(Some(lost.clone()))));
    let mut other = Stage::new(1);
    for member in [2, 3] {
        other.hear(member, Message::ViewChange(other.change(member, 1, Vec::new())));
    }
    let begun = other.take_said().into_iter().find(|said| matches!(said, Message::NewView(_))).unwrap();
    stage.hear(1, begun);
    assert!(stage.told.contains(&Event::Abandoned { digest: lost.digest() }));
}

/// The last block of an epoch is attested, and nothing after it is decided.
#[test]
fn an_epoch_ends_with_its_last_block() {
    let mut stage = Stage::new(0);
    stage.step(Input::Demand { oldest_since: Some(Time(0)), bytes: 1 << 20 });
    stage.step(Input::Done(Outcome::Assembled(Some(body("one")))));
    stage.step(Input::Demand { oldest_since: Some(Time(0)), bytes: 1 << 20 });
    stage.step(Input::Done(Outcome::Assembled(Some(body("two")))));
    let one = choice(0, 1, &body("one"));
    for member in [1, 2] {
        stage.hear(member, Message::Prepare(stage.vote(member, Phase::Prepare, one)));
        stage.hear(member, Message::Commit(stage.vote(member, Phase::Commit, one)));
    }
    let position = Position { epoch: Epoch(0), slot: Slot(1) };
    assert_eq!(stage.appended.len(), 1);
    stage.step(Input::Done(Outcome::Ended { position }));
    stage.step(Input::Executed { position, block_hash: hash(1) });
    assert!(stage.has_said(|said| matches!(said, Message::Attestation(_))));
    assert_eq!(stage.replica.status().waits_for, "the next epoch");
    let jobs = stage.jobs.len();
    stage.step(Input::Demand { oldest_since: Some(Time(0)), bytes: 1 << 20 });
    assert_eq!(stage.jobs.len(), jobs);
}

/// PBFT-18: progress alone does not excuse a primary that leaves a transaction out.
#[test]
fn pbft_18_a_censoring_primary_is_left_and_a_busy_one_is_not() {
    let mut stage = Stage::with(1, Limits { batch_bytes: 1_000, ..Limits::default() });
    stage.step(Input::Demand { oldest_since: Some(stage.now), bytes: 10 });
    for slot in 1..=7 {
        stage.pass_ms(200);
        stage.decide_next(slot);
    }
    assert!(!stage.has_said(|said| matches!(said, Message::ViewChange(_))), "four timeouts are not over");
    stage.pass_ms(250);
    assert!(stage.has_said(|said| matches!(said, Message::ViewChange(_))));
    let mut busy = Stage::with(1, Limits { batch_bytes: 8, ..Limits::default() });
    busy.step(Input::Demand { oldest_since: Some(busy.now), bytes: 10 });
    for slot in 1..=12 {
        busy.pass_ms(200);
        busy.decide_next(slot);
    }
    assert!(!busy.has_said(|said| matches!(said, Message::ViewChange(_))), "its batches are full");
}

/// GEN-3: a member without a voice follows, and says nothing that is signed.
#[test]
fn gen_3_a_learner_follows_and_does_not_vote() {
    let mut stage = Stage::new(1);
    stage.config.signer = None;
    stage.restart(History::default());
    let payload = body("one");
    let one = choice(0, 1, &payload);
    stage.take_said();
    stage.hear(0, Message::PrePrepare { vote: stage.vote(0, Phase::PrePrepare, one), body: Some(payload) });
    for member in [0, 2, 3] {
        stage.hear(member, Message::Commit(stage.vote(member, Phase::Commit, one)));
    }
    assert_eq!(stage.appended.len(), 1);
    stage.step(Input::Executed { position: stage.appended[0].0, block_hash: hash(1) });
    stage.step(Input::Demand { oldest_since: Some(Time(0)), bytes: 5 });
    stage.pass_ms(3_000);
    assert!(stage.said.iter().all(|(_, said)| matches!(
        said,
        Message::Standing(_) | Message::AskBody { .. } | Message::Decided(_)
    )));
}

/// What travels and what is kept is read back as it was written, and nothing else is.
#[test]
fn cry_4_messages_and_records_have_one_encoding() {
    let stage = Stage::new(1);
    let payload = body("one");
    let one = choice(0, 1, &payload);
    let change = stage.change(2, 1, vec![stage.prepared(one)]);
    let messages = [
        Message::PrePrepare { vote: stage.vote(0, Phase::PrePrepare, one), body: Some(payload.clone()) },
        Message::Commit(stage.vote(0, Phase::Commit, null(3, 4))),
        Message::ViewChange(change.clone()),
        Message::AskBody { digest: payload.digest() },
        Message::Certified(stage.certificate(3)),
    ];
    for message in messages {
        let bytes = synod_types::codec::encode(&message);
        let read = synod_types::codec::decode::<Message, MESSAGE_LIMIT>(&bytes).unwrap();
        assert_eq!(read, message);
        let longer = [&bytes[..], &[0]].concat();
        assert!(synod_types::codec::decode::<Message, MESSAGE_LIMIT>(&longer).is_err());
    }
    let record = Record::ViewChange(change);
    let bytes = synod_types::codec::encode(&record);
    assert_eq!(synod_types::codec::decode::<Record, MESSAGE_LIMIT>(&bytes).unwrap(), record);
    let vote = synod_types::codec::encode(&Message::Commit(stage.vote(0, Phase::Commit, null(3, 4))));
    assert_eq!(vote.len(), 4 + 4 + 8 + 8 + 1 + 1 + 64, "a vote's bytes");
}

//! Stories of one member, and of three: what they say, step by step, to what they hear.
#![allow(clippy::unwrap_used)]

use synod_types::{Epoch, Position, Slot};

use super::messages::{Message, PART_LIMIT, Promise, ROUND_LIMIT, Standing, Vote};
use super::prepare::plan;
use super::stage::{Stage, ballot, vote};
use super::*;
use crate::committee::Certificate;
use crate::committee::stage::{body, hash};

fn is_accepted(wanted: Vote) -> impl Fn(&Message) -> bool {
    move |said| *said == Message::Accepted(wanted)
}

/// MPX-2, MPX-7: the ordinary way of one payload, as a follower sees it.
#[test]
fn mpx_2_a_follower_accepts_learns_delivers_and_attests() {
    let mut stage = Stage::new(1);
    let payload = body("one");
    let one = vote(1, 0, 1, &payload);
    stage.hear(0, Message::Prepare { ballot: one.ballot, from: Slot(1) });
    assert_eq!(stage.records, [Record::Promised(one.ballot)], "before the promise is said");
    assert!(stage.has_said(|said| matches!(said, Message::Promise(_))));
    stage.hear(0, Message::Accept { vote: one, body: Some(payload.clone()) });
    assert!(stage.has_said(is_accepted(one)));
    assert_eq!(stage.records.len(), 3, "the body and the acceptance are written before that");
    assert!(stage.appended.is_empty(), "it does not know yet that it is chosen");
    stage.hear(0, Message::Commit { ballot: one.ballot, through: Slot(1) });
    let position = Position { epoch: Epoch(0), slot: Slot(1) };
    assert_eq!(stage.appended, [(position, payload.bytes().clone())]);
    stage.take_said();
    stage.execute(1);
    assert!(stage.has_said(|said| matches!(said, Message::Attestation(_))));
    let statement = stage.certificate(1).statement;
    let theirs = crate::committee::Attestation::new(&stage.committee, &stage.signers[0], statement);
    stage.hear(0, Message::Attestation(theirs));
    let is_certified = |event: &Event| matches!(event, Event::Certified(known) if known.slot() == Slot(1));
    assert!(stage.told.iter().any(is_certified), "two of three are a majority");
}

/// MPX-2: what is lower than the promise is refused, what is equal or higher accepted; the promise rises with it.
#[test]
fn mpx_2_the_promise_rises_on_accept_too() {
    let mut stage = Stage::new(1);
    let payload = body("one");
    let (low, high) = (vote(1, 0, 1, &payload), vote(2, 2, 1, &payload));
    stage.hear(2, Message::Accept { vote: high, body: Some(payload.clone()) });
    assert!(stage.has_said(is_accepted(high)));
    stage.take_said();
    let refused = |ballot| Message::Refused { ballot, promised: high.ballot };
    stage.hear(0, Message::Accept { vote: low, body: None });
    stage.hear(0, Message::Prepare { ballot: low.ballot, from: Slot(1) });
    stage.hear(0, Message::Heartbeat { ballot: low.ballot });
    assert_eq!(stage.take_said(), vec![refused(low.ballot); 3]);
    stage.hear(2, Message::Accept { vote: high, body: None });
    assert_eq!(stage.take_said(), [Message::Accepted(high)], "a repetition is answered again");
    stage.restart(History::default());
    stage.take_said();
    stage.hear(0, Message::Accept { vote: low, body: None });
    assert_eq!(stage.take_said(), [refused(low.ballot)], "and the promise survives a power cut");
}

/// A vote stands on a body: without it there is none, and it is asked for.
#[test]
fn mpx_2_a_vote_waits_for_its_body() {
    let mut stage = Stage::new(1);
    let payload = body("one");
    let one = vote(1, 0, 1, &payload);
    stage.hear(0, Message::Accept { vote: one, body: None });
    assert!(
        stage.has_said(|said| matches!(said, Message::AskBody { .. })) && !stage.has_said(is_accepted(one))
    );
    stage.hear(2, Message::Body(body("unasked")));
    stage.hear(2, Message::Body(payload));
    assert!(stage.has_said(is_accepted(one)));
    assert_eq!(stage.replica.protocol().sizes()[1], 1, "a body that nobody asked for is dropped");
}

/// MPX-1: the ballot is written before it is used, and no restart uses it again.
#[test]
fn mpx_1_a_ballot_is_never_used_twice() {
    let mut stage = Stage::new(0);
    stage.prepare([1].into_iter());
    let first = stage.preparing().unwrap();
    assert_eq!(stage.records, [Record::Promised(first)]);
    stage.restart(History::default());
    stage.take_said();
    stage.prepare([1].into_iter());
    assert!(stage.preparing().unwrap() > first);
}

/// MPX-12: a member that only does not hear the leader gets no quorum, and so takes no ballot.
#[test]
fn mpx_12_nobody_deposes_a_leader_that_a_quorum_hears() {
    let mut stage = Stage::new(1);
    stage.hear(0, Message::Heartbeat { ballot: ballot(1, 0) });
    stage.take_said();
    stage.hear(2, Message::Probe { ballot: ballot(2, 2) });
    assert!(stage.take_said().is_empty(), "it hears its leader");
    stage.pass_ms(401);
    stage.take_said();
    stage.hear(2, Message::Probe { ballot: ballot(2, 2) });
    assert!(stage.has_said(|said| matches!(said, Message::Willing { .. })));
    let mut deaf = Stage::new(2);
    deaf.pass_ms(60_000);
    assert!(deaf.has_said(|said| matches!(said, Message::Probe { .. })));
    assert!(deaf.preparing().is_none() && deaf.records.is_empty(), "it asks, and raises nothing");
}

/// MPX-12: a leader that no quorum follows steps down.
#[test]
fn mpx_12_a_leader_without_followers_steps_down() {
    let mut stage = Stage::new(0);
    let ours = stage.lead(&[(1, Vec::new())]);
    assert!(stage.replica.protocol().is_leading());
    for _ in 0..8 {
        stage.pass_ms(500);
        stage.hear(1, Message::Following { ballot: ours });
    }
    assert!(stage.replica.protocol().is_leading(), "one of two others is enough");
    stage.pass_ms(1_000);
    assert!(!stage.replica.protocol().is_leading());
}

/// MPX-12: a duel costs the loser a back-off that doubles.
#[test]
fn mpx_12_failed_ballots_back_off() {
    let mut stage = Stage::new(0);
    for failed in 1..4u64 {
        stage.take_said();
        while stage.preparing().is_none() {
            stage.prepare([1].into_iter());
        }
        let lost = stage.preparing().unwrap();
        stage.hear(2, Message::Refused { ballot: lost, promised: ballot(lost.round + 5, 2) });
        let protocol = stage.replica.protocol();
        assert_eq!(protocol.timers.failed(), failed as u32);
        assert_eq!(protocol.timers.timeout_ms(&stage.config.limits), 400 << failed);
    }
}

/// MPX-3: a promise in parts counts when it is whole, and a repetition cut elsewhere does not complete it.
#[test]
fn mpx_3_half_a_promise_is_none() {
    let mut stage = Stage::new(0);
    stage.hear(1, Message::Heartbeat { ballot: ballot(1, 1) });
    stage.prepare([1].into_iter());
    let ballot = stage.preparing().unwrap();
    let payload = body("one");
    let part = |part, slots: &[u64], trimmed: Option<Certificate>| {
        let accepted = slots.iter().map(|slot| vote(1, 1, *slot, &payload)).collect();
        Message::Promise(Promise { ballot, from: Slot(1), part, parts: 2, trimmed, accepted })
    };
    stage.hear(1, part(0, &[1, 2], None));
    stage.hear(1, part(0, &[1, 2], None));
    assert!(!stage.replica.protocol().is_leading());
    stage.hear(1, part(1, &[4], Some(stage.certificate(1))));
    assert!(!stage.replica.protocol().is_leading(), "slot 3 is in neither");
    stage.hear(1, part(0, &[2, 3], Some(stage.certificate(1))));
    assert!(stage.replica.protocol().is_leading());
    let proposed: Vec<u64> = stage.said.iter().filter_map(|(_, said)| slot_of(said)).collect();
    assert_eq!(proposed, [2, 3, 4]);
}

fn slot_of(said: &Message) -> Option<u64> {
    if let Message::Accept { vote, .. } = said { Some(vote.slot.0) } else { None }
}

/// MPX-3: an acceptor reports everything, in as many parts as it takes.
#[test]
fn mpx_3_an_acceptor_reports_everything() {
    let mut stage = Stage::new(1);
    let payload = body("one");
    for slot in 1..=5 {
        stage.hear(0, Message::Accept { vote: vote(1, 0, slot, &payload), body: Some(payload.clone()) });
    }
    stage.take_said();
    stage.hear(2, Message::Prepare { ballot: ballot(2, 2), from: Slot(2) });
    let promises = stage.take_said().into_iter().filter_map(|said| match said {
        Message::Promise(promise) => Some(promise),
        _ => None,
    });
    let parts: Vec<(u32, u32, Vec<u64>)> = promises
        .map(|it| (it.part, it.parts, it.accepted.iter().map(|vote| vote.slot.0).collect()))
        .collect();
    assert_eq!(parts, [(0, 2, vec![2, 3]), (1, 2, vec![4, 5])]);
}

/// MPX-4: what an acceptor trimmed is settled by its certificate; the leader fetches it, and proposes above.
#[test]
fn mpx_4_what_is_trimmed_is_fetched_and_not_filled() {
    let mut stage = Stage::new(0);
    stage.hear(1, Message::Heartbeat { ballot: ballot(1, 1) });
    stage.prepare([1].into_iter());
    let ballot = stage.preparing().unwrap();
    let payload = body("six");
    let accepted = vec![vote(1, 1, 6, &payload)];
    let trimmed = Some(stage.certificate(4));
    stage.take_said();
    stage.hear(1, Message::Promise(Promise { ballot, from: Slot(1), part: 0, parts: 1, trimmed, accepted }));
    let said = stage.take_said();
    let proposed: Vec<u64> = said.iter().filter_map(slot_of).collect();
    assert_eq!(proposed, [5, 6], "a no-op for the gap above, nothing below");
    stage.pass_ms(110);
    assert_eq!(stage.jobs, [Job::Fetch { certificate: stage.certificate(4) }]);
    let position = Position { epoch: Epoch(0), slot: Slot(4) };
    stage.step(Input::Done(Outcome::Installed { position, block_hash: hash(4) }));
    assert_eq!(stage.replica.protocol().executed(), Slot(4));
}

/// MPX-4: an acceptor that settled slots says so.
#[test]
fn mpx_4_an_acceptor_tells_what_it_trimmed() {
    let mut stage = Stage::new(1);
    stage.hear(0, Message::Certified(stage.certificate(3)));
    stage.take_said();
    stage.hear(2, Message::Prepare { ballot: ballot(2, 2), from: Slot(2) });
    let trimmed = stage.take_said().into_iter().find_map(|said| match said {
        Message::Promise(promise) => promise.trimmed,
        _ => None,
    });
    assert_eq!(trimmed.map(|it| it.slot()), Some(Slot(3)));
}

/// MPX-5: the value of the highest ballot; a no-op where nobody reports one below the highest; above it is free.
#[test]
fn mpx_5_the_highest_ballot_decides_and_gaps_are_filled() {
    let (old, new) = (body("old"), body("new"));
    let votes = [vote(2, 1, 2, &new), vote(1, 0, 2, &old), vote(1, 0, 4, &old), vote(9, 0, 1, &old)];
    let planned: Vec<_> = plan(Slot(1), &votes).into_iter().collect();
    let digests = [Some(new.digest()), None, Some(old.digest())];
    assert_eq!(planned, [2, 3, 4].map(Slot).into_iter().zip(digests).collect::<Vec<_>>());
    assert!(plan(Slot(7), &[]).is_empty());
}

/// MPX-5: a recovered value whose body went down with its only holder does not stop the leader: it takes another
/// ballot, and whoever answers that one knows nothing of the value.
#[test]
fn mpx_5_a_lost_body_costs_a_ballot_and_not_the_order() {
    let mut stage = Stage::new(0);
    stage.hear(1, Message::Heartbeat { ballot: ballot(1, 1) });
    let first = stage.lead(&[(1, vec![vote(1, 1, 1, &body("lost"))])]);
    stage.take_said();
    for _ in 0..4 {
        stage.pass_ms(300);
        stage.hear(2, Message::Following { ballot: first });
    }
    let second = stage.preparing().unwrap();
    assert!(second > first);
    stage.take_said();
    stage.report(2, second, Vec::new());
    assert!(stage.replica.protocol().is_leading());
    stage.offer(&body("new"));
    let is_fresh =
        |said: &Message| matches!(said, Message::Accept { vote, body: Some(_) } if vote.slot == Slot(1));
    assert!(stage.has_said(is_fresh));
}

/// MPX-6: a recovered value is chosen by a quorum of the new ballot, and votes of another ballot count for nothing.
#[test]
fn mpx_6_votes_of_two_ballots_are_never_counted_together() {
    let mut stage = Stage::with(5, 0, Limits { promise_part: 2, ..Limits::default() });
    stage.hear(1, Message::Heartbeat { ballot: ballot(1, 1) });
    let payload = body("one");
    let old = vote(1, 1, 1, &payload);
    let ours = stage.lead(&[(1, vec![old]), (2, Vec::new())]);
    stage.hear(1, Message::Body(payload.clone()));
    let again = Vote { ballot: ours, ..old };
    stage.hear(1, Message::Accepted(again));
    stage.hear(1, Message::Accepted(again));
    stage.hear(2, Message::Accepted(old));
    stage.hear(3, Message::Accepted(old));
    assert!(stage.appended.is_empty(), "two of five in this ballot");
    stage.hear(4, Message::Accepted(again));
    assert_eq!(stage.appended.len(), 1);
}

/// MPX-7: the commit index of one ballot says nothing about a proposal of another.
#[test]
fn mpx_7_a_commit_index_counts_within_its_ballot() {
    let mut stage = Stage::new(1);
    let payload = body("old");
    stage.hear(0, Message::Accept { vote: vote(1, 0, 1, &payload), body: Some(payload.clone()) });
    stage.hear(2, Message::Commit { ballot: ballot(2, 2), through: Slot(1) });
    assert!(stage.appended.is_empty());
    stage.take_said();
    stage.pass_ms(100);
    assert!(stage.has_said(|said| matches!(said, Message::Standing(_))), "it asks instead");
    let other = body("new");
    stage.hear(2, Message::Chosen { slot: Slot(1), digest: Some(other.digest()) });
    stage.hear(2, Message::Body(other.clone()));
    assert_eq!(stage.appended[0].1, *other.bytes());
}

/// MPX-7: an index that overtakes its proposal is remembered.
#[test]
fn mpx_7_a_commit_index_may_come_first() {
    let mut stage = Stage::new(1);
    let payload = body("one");
    stage.hear(0, Message::Commit { ballot: ballot(1, 0), through: Slot(1) });
    stage.hear(0, Message::Accept { vote: vote(1, 0, 1, &payload), body: Some(payload) });
    assert_eq!(stage.appended.len(), 1);
}

/// MPX-8: slots reach the ledger in order, however they are chosen.
#[test]
fn mpx_8_holes_stop_delivery() {
    let mut stage = Stage::new(1);
    for slot in [3u64, 2] {
        let payload = body(&slot.to_string());
        stage.hear(0, Message::Chosen { slot: Slot(slot), digest: Some(payload.digest()) });
        stage.hear(0, Message::Body(payload));
    }
    assert!(stage.appended.is_empty());
    stage.hear(0, Message::Chosen { slot: Slot(1), digest: None });
    let slots: Vec<u64> = stage.appended.iter().map(|(position, _)| position.slot.0).collect();
    assert_eq!(slots, [1, 2, 3]);
    assert!(stage.appended[0].1.is_empty(), "a no-op is an empty block");
}

/// MPX-10: what is decided after the epoch's last block is void, and the certificate of that block ends it.
#[test]
fn mpx_10_slots_after_the_last_are_void() {
    let mut stage = Stage::new(1);
    stage.hear(0, Message::Chosen { slot: Slot(1), digest: None });
    let position = Position { epoch: Epoch(0), slot: Slot(1) };
    stage.step(Input::Done(Outcome::Ended { position }));
    stage.execute(1);
    stage.hear(0, Message::Chosen { slot: Slot(2), digest: None });
    assert_eq!(stage.appended.len(), 1);
    assert!(stage.replica.protocol().end_certificate().is_none());
    stage.hear(0, Message::Certified(stage.certificate(1)));
    assert_eq!(stage.replica.protocol().end_certificate().map(Certificate::slot), Some(Slot(1)));
    stage.take_said();
    stage.pass_ms(5_000);
    assert!(!stage.has_said(|said| matches!(said, Message::Probe { .. })), "nobody leads it any more");
}

/// A slot whose block is here and not certified is decided again for those who lack it.
#[test]
fn an_executed_slot_is_proposed_again_until_it_is_certified() {
    let mut stage = Stage::new(0);
    let payload = body("one");
    let first = stage.lead(&[(1, Vec::new())]);
    stage.offer(&payload);
    stage.hear(1, Message::Accepted(Vote { ballot: first, slot: Slot(1), digest: Some(payload.digest()) }));
    stage.execute(1);
    stage.restart(History {
        executed: Slot(1),
        block_hash: hash(1),
        uncertified: vec![hash(1)],
        ..History::default()
    });
    stage.take_said();
    let second = stage.lead(&[(2, Vec::new())]);
    let again = Vote { ballot: second, slot: Slot(1), digest: Some(payload.digest()) };
    assert!(stage.has_said(|said| matches!(said, Message::Accept { vote, .. } if *vote == again)));
    stage.hear(2, Message::AskBody { digest: payload.digest() });
    assert!(stage.has_said(|said| matches!(said, Message::Body(_))));
}

/// A proposal leaves before the leader's own acceptance is durable; its commit index does not.
#[test]
fn gen_1_what_is_promised_waits_for_the_journal() {
    let index = Message::Commit { ballot: ballot(1, 0), through: Slot(1) };
    let proposal = Message::Accept { vote: vote(1, 0, 1, &body("one")), body: None };
    assert!(Paxos::is_promise_free(&proposal));
    let accepted = Message::Accepted(vote(1, 0, 1, &body("one")));
    let chosen = Message::Chosen { slot: Slot(1), digest: None };
    let prepare = Message::Prepare { ballot: ballot(1, 0), from: Slot(1) };
    for promise in [index, accepted, chosen, prepare] {
        assert!(!Paxos::is_promise_free(&promise), "{promise:?}");
    }
}

#[test]
fn what_is_out_of_bounds_or_another_s_is_refused() {
    let stage = Stage::new(1);
    let stolen = Message::Heartbeat { ballot: ballot(1, 2) };
    assert_eq!(stage.refuse(0, stolen), Fault::Impersonation(crate::committee::MemberIndex(2)));
    for round in [0, ROUND_LIMIT + 1, u64::MAX] {
        let refused = stage.refuse(0, Message::Probe { ballot: ballot(round, 0) });
        assert_eq!(refused, Fault::BadBallot(ballot(round, 0)));
    }
    let payload = body("one");
    let promise = |accepted, part| {
        let ballot = ballot(2, 1);
        Message::Promise(Promise { ballot, from: Slot(1), part, parts: 1, trimmed: None, accepted })
    };
    for wrong in [
        promise(Vec::new(), 1),
        promise(vec![vote(1, 0, 1, &payload); 2], 0),
        promise(vec![vote(3, 0, 1, &payload)], 0),
        promise(vec![vote(1, 0, u64::MAX, &payload)], 0),
        promise((0..=PART_LIMIT as u64).map(|slot| vote(1, 0, slot + 1, &payload)).collect(), 0),
    ] {
        assert!(matches!(stage.refuse(0, wrong), Fault::BadPromise(_)));
    }
    let bad = body("bad");
    let proposal = Message::Accept { vote: vote(1, 0, 1, &bad), body: Some(bad) };
    assert!(matches!(stage.refuse(0, proposal), Fault::InvalidPayload(_)));
    let other = Message::Accept { vote: vote(1, 0, 1, &payload), body: Some(body("two")) };
    assert_eq!(stage.refuse(0, other), Fault::WrongBody);
}

/// The journal begins anew with everything that counts, and a start reads the same from it.
#[test]
fn gen_13_a_restated_journal_keeps_what_is_promised() {
    let limits = Limits { journal_bytes: 600, ..Limits::default() };
    let mut stage = Stage::with(3, 1, limits);
    for slot in 1..=9u64 {
        let payload = body(&slot.to_string());
        stage.hear(0, Message::Accept { vote: vote(1, 0, slot, &payload), body: Some(payload) });
    }
    assert!(matches!(stage.records[0], Record::Promised(_)), "it began anew");
    let before = stage.replica.protocol().promises();
    stage.restart(History::default());
    assert_eq!(stage.replica.protocol().promises(), before);
    assert!(before.accepted.values().all(|vote| stage.replica.protocol().stands_on_body(*vote)));
}

/// Message delays from a payload to its delivery, with a one-way delay of 1 and instant disks: two at the leader
/// Whoever lags says so, and is told what is chosen.
#[test]
fn a_laggard_is_told_what_is_chosen() {
    let mut stage = Stage::new(1);
    stage.hear(0, Message::Chosen { slot: Slot(1), digest: None });
    stage.take_said();
    let standing = Standing { executed: Slot(0), certified: Slot(0) };
    stage.hear(2, Message::Standing(standing));
    assert_eq!(stage.take_said(), [Message::Chosen { slot: Slot(1), digest: None }]);
}

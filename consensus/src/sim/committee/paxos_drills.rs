//! Drills of Multi-Paxos: a few lines for each wrong line that needs a rare history to show in a run.

use synod_types::{Epoch, Position, Slot};

use crate::committee::stage::body;
use crate::committee::{History, Outcome};
use crate::paxos::Limits;
use crate::paxos::messages::{Message, Promise, Vote};
use crate::paxos::stage::{Stage, ballot, vote};
use crate::protocol::Input;

/// A leader of three, over an acceptor that reports this.
fn leading_over(accepted: Vec<Vote>) -> Stage {
    let mut stage = Stage::new(0);
    stage.hear(1, Message::Heartbeat { ballot: ballot(5, 1) });
    stage.lead(&[(1, accepted)]);
    stage
}

/// MPX-1.
pub(super) fn no_ballot_is_used_twice() -> bool {
    let mut stage = Stage::new(0);
    stage.prepare([1].into_iter());
    let first = stage.preparing();
    stage.restart(History::default());
    stage.take_said();
    stage.prepare([1].into_iter());
    first.is_some() && stage.preparing() > first
}

/// MPX-8: a slot is known to be chosen before its proposal is heard, and the body comes with that.
pub(super) fn a_body_that_comes_with_its_proposal_is_delivered() -> bool {
    let (mut stage, payload) = (Stage::new(1), body("one"));
    stage.hear(2, Message::Chosen { slot: Slot(1), digest: Some(payload.digest()) });
    let is_early = !stage.appended.is_empty();
    stage.hear(0, Message::Accept { vote: vote(1, 0, 1, &payload), body: Some(payload) });
    !is_early && stage.appended.len() == 1
}

/// MPX-2.
pub(super) fn the_promise_rises_on_accept() -> bool {
    let mut stage = Stage::new(1);
    let payload = body("one");
    stage.hear(2, Message::Accept { vote: vote(2, 2, 1, &payload), body: Some(payload.clone()) });
    stage.take_said();
    let lower = vote(1, 0, 1, &body("two"));
    stage.hear(0, Message::Accept { vote: lower, body: Some(body("two")) });
    !stage.has_said(|said| *said == Message::Accepted(lower))
}

/// MPX-3.
pub(super) fn a_promise_reports_everything() -> bool {
    let mut stage = Stage::new(1);
    let payload = body("one");
    for slot in 1..=5 {
        stage.hear(0, Message::Accept { vote: vote(1, 0, slot, &payload), body: Some(payload.clone()) });
    }
    stage.hear(2, Message::Prepare { ballot: ballot(2, 2), from: Slot(1) });
    let promised = stage.take_said().into_iter().map(|said| match said {
        Message::Promise(promise) => promise.accepted.len(),
        _ => 0,
    });
    promised.sum::<usize>() == 5
}

/// MPX-4.
pub(super) fn trimming_is_told() -> bool {
    let mut stage = Stage::new(1);
    let payload = body("one");
    for slot in 1..=3 {
        stage.hear(0, Message::Accept { vote: vote(1, 0, slot, &payload), body: Some(payload.clone()) });
    }
    stage.hear(0, Message::Certified(stage.certificate(2)));
    stage.hear(2, Message::Prepare { ballot: ballot(2, 2), from: Slot(1) });
    let tells = |said: &Message| matches!(said, Message::Promise(Promise { trimmed: Some(known), .. }) if known.slot() == Slot(2));
    stage.has_said(tells)
}

/// MPX-5.
pub(super) fn the_highest_ballot_wins() -> bool {
    let mut stage = Stage::with(5, 0, Limits::default());
    stage.hear(1, Message::Heartbeat { ballot: ballot(5, 1) });
    let (old, new) = (vote(1, 1, 1, &body("old")), vote(2, 2, 1, &body("new")));
    let ours = stage.lead(&[(1, vec![old]), (2, vec![new])]);
    let expected = Vote { ballot: ours, ..new };
    stage.has_said(|said| matches!(said, Message::Accept { vote, .. } if *vote == expected))
}

/// MPX-5.
pub(super) fn gaps_are_filled() -> bool {
    let stage = leading_over(vec![vote(1, 1, 2, &body("two"))]);
    let is_noop = |said: &Message| matches!(said, Message::Accept { vote, .. } if vote.slot == Slot(1) && vote.digest.is_none());
    stage.has_said(is_noop)
}

/// MPX-5.
pub(super) fn a_lost_body_stops_no_leader() -> bool {
    let mut stage = leading_over(vec![vote(1, 1, 1, &body("lost"))]);
    let Some(first) = stage.preparing() else { return false };
    for _ in 0..4 {
        stage.pass_ms(300);
        stage.hear(2, Message::Following { ballot: first });
    }
    stage.preparing() > Some(first)
}

/// MPX-6: two of five in the new ballot, and two that answer to an older one, in which they never were asked
/// together with these.
pub(super) fn votes_of_two_ballots_do_not_add_up() -> bool {
    let mut stage = Stage::with(5, 0, Limits::default());
    let payload = body("one");
    let old = vote(1, 1, 1, &payload);
    stage.hear(1, Message::Heartbeat { ballot: ballot(5, 1) });
    let ours = stage.lead(&[(1, vec![old]), (2, Vec::new())]);
    stage.hear(1, Message::Body(payload));
    stage.hear(1, Message::Accepted(Vote { ballot: ours, ..old }));
    stage.hear(2, Message::Accepted(old));
    stage.hear(3, Message::Accepted(old));
    stage.appended.is_empty()
}

/// MPX-6.
pub(super) fn a_recovered_value_is_not_chosen_yet() -> bool {
    let payload = body("one");
    let mut stage = leading_over(vec![vote(1, 1, 1, &payload)]);
    stage.hear(1, Message::Body(payload));
    stage.appended.is_empty()
}

/// MPX-7.
pub(super) fn an_index_counts_within_its_ballot() -> bool {
    let mut stage = Stage::new(1);
    let payload = body("old");
    stage.hear(0, Message::Accept { vote: vote(1, 0, 1, &payload), body: Some(payload) });
    stage.hear(2, Message::Commit { ballot: ballot(2, 2), through: Slot(1) });
    stage.appended.is_empty()
}

/// MPX-10.
pub(super) fn slots_after_the_last_are_void() -> bool {
    let mut stage = Stage::new(1);
    stage.hear(0, Message::Chosen { slot: Slot(1), digest: None });
    let position = Position { epoch: Epoch(0), slot: Slot(1) };
    stage.step(Input::Done(Outcome::Ended { position }));
    stage.hear(0, Message::Chosen { slot: Slot(2), digest: None });
    stage.appended.len() == 1
}

/// MPX-12.
pub(super) fn a_deaf_member_deposes_nobody() -> bool {
    let mut stage = Stage::new(2);
    stage.pass_ms(30_000);
    stage.preparing().is_none()
}

/// MPX-12.
pub(super) fn a_leader_without_followers_steps_down() -> bool {
    let mut stage = leading_over(Vec::new());
    stage.pass_ms(3_000);
    !stage.replica.protocol().is_leading()
}

#[cfg(test)]
mod tests {
    use crate::sim::committee::paxos_mutants::MUTANTS;
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

//! Short exercises of one machine, for the wrong lines that runs do not show: each says whether its rule holds.

use std::collections::BTreeMap;

use synod_types::{Epoch, Height, Position, Slot};

use super::known_committee;
use super::model::GENESIS;
use crate::committee::bodies::Bodies;
use crate::committee::reads::{ReadRound, Stand};
use crate::committee::stage::{body, hash};
use crate::committee::{
    Committee, FaultModel, History, MemberIndex, Outcome, Payload, Quorums, Signatures, Signer,
};
use crate::paxos::Paxos;
use crate::pbft::messages::{Choice, NEW_VIEW_TAG, Phase, Vote};
use crate::pbft::stage::{Stage, choice, null};
use crate::pbft::{Limits, Message, Pbft};
use crate::protocol::Input;

/// In six any two quorums share two members.
pub(super) fn quorums_share_an_honest_member() -> bool {
    Quorums::new(6, FaultModel::Byzantine).is_ok_and(|sizes| 2 * sizes.quorum > 6 + sizes.faults)
}

/// A signature repeated is one signature.
pub(super) fn one_signer_is_no_quorum() -> bool {
    let (committee, signers) = known_committee::<Pbft>(GENESIS, 4);
    let signed: BTreeMap<_, _> = [sign(&committee, &signers[0], &[7])].into();
    let signature = Signatures::new(&signed).parts().1[0];
    let repeated = Signatures::from_parts(1, vec![signature; 3]);
    repeated.verify(&committee, b"synod/drill/v1", &[7], 3).is_err()
}

fn sign(committee: &Committee, signer: &Signer, content: &[u8]) -> (MemberIndex, synod_types::Signature) {
    (signer.index(), signer.sign(committee, b"synod/drill/v1", content))
}

/// Of three members that crash, two signed a block at height 5. Who reads hears one of the two, another that has not got
/// it, and a third word, and must not read below.
fn reads_at(third: Stand) -> Option<Height> {
    let (committee, _) = known_committee::<Paxos>(GENESIS, 3);
    let mut round = ReadRound::new(committee);
    round.count(MemberIndex(2), Stand { height: Height(2), ..STAND });
    round.count(MemberIndex(1), third);
    round.height()
}

const STAND: Stand = Stand { epoch: Epoch(0), votes: true, height: Height(5) };

/// A read waits for a quorum's word, and for what the last of it has.
pub(super) fn reads_hear_a_quorum() -> bool {
    reads_at(STAND) == Some(Height(5))
}

/// Who lost what it signed says nothing of it.
pub(super) fn reads_hear_only_those_who_vote() -> bool {
    reads_at(Stand { votes: false, height: Height(0), ..STAND }).is_none()
}

/// The committee of another epoch is another.
pub(super) fn reads_hear_only_their_own_epoch() -> bool {
    reads_at(Stand { epoch: Epoch(1), height: Height(0), ..STAND }).is_none()
}

/// What was signed in one epoch is worth nothing in the next.
pub(super) fn epochs_are_told_apart() -> bool {
    let (committee, signers) = known_committee::<Pbft>(GENESIS, 4);
    let mut record = committee.record().clone();
    record.epoch = Epoch(1);
    let Ok(next) = Committee::new(committee.genesis(), record) else { return false };
    let (member, signature) = sign(&committee, &signers[0], &[7]);
    !next.verify(member, b"synod/drill/v1", &[7], &signature)
}

/// Of two proposals for one slot of a view one gets a vote.
pub(super) fn one_proposal_for_each_slot() -> bool {
    let mut stage = Stage::new(1);
    for text in ["one", "two"] {
        stage.propose(choice(0, 1, &body(text)), body(text));
    }
    stage.said.iter().filter(|(_, said)| matches!(said, Message::Prepare(_))).count() == 1
}

/// A proposal above the window is accepted once the checkpoint comes.
pub(super) fn proposals_above_the_window_wait() -> bool {
    let mut stage = Stage::new(1);
    let payload = body("far");
    let far = choice(0, 20, &payload);
    stage.propose(far, payload);
    stage.hear(2, Message::Certified(stage.certificate(10)));
    stage.has_said(|said| matches!(said, Message::Prepare(vote) if vote.choice == far))
}

/// A member whose ledger lags keeps no more than a window of slots below what is certified.
pub(super) fn a_laggard_keeps_little() -> bool {
    let mut stage = Stage::new(1);
    for slot in 1..=60 {
        let (payload, ahead) = (body(&slot.to_string()), stage.certificate(slot));
        stage.propose(choice(0, slot, &payload), payload);
        stage.hear(2, Message::Certified(ahead));
    }
    let [slots, bodies, ..] = stage.replica.protocol().sizes();
    slots <= 36 && bodies <= 36
}

/// Of two certificates for a slot the one of the higher view is carried over.
pub(super) fn highest_view_wins() -> bool {
    let mut stage = Stage::new(2);
    let (old, new) = (body("old"), body("new"));
    let first = stage.prepared(choice(0, 1, &old));
    let later = stage.prepared(choice(1, 1, &new));
    stage.hear(1, Message::ViewChange(stage.change(1, 2, vec![first])));
    stage.hear(3, Message::ViewChange(stage.change(3, 2, vec![later])));
    stage.has_said(|said| match said {
        Message::NewView(begun) => begun.pre_prepares.iter().all(|vote| vote.choice == choice(2, 1, &new)),
        _ => false,
    })
}

/// Two of four that want another view are followed.
pub(super) fn f_plus_one_take_one_along() -> bool {
    let mut stage = Stage::new(0);
    for member in [2, 3] {
        stage.hear(member, Message::ViewChange(stage.change(member, 3, Vec::new())));
    }
    stage.fact("view") == "3"
}

/// A primary that decides one thing after another and leaves one transaction waiting is left.
pub(super) fn censors_are_left() -> bool {
    let mut stage = Stage::new(1);
    stage.step(Input::Demand { oldest_since: Some(stage.now), bytes: 10 });
    for slot in 1..=12 {
        stage.pass_ms(200);
        stage.decide_next(slot);
    }
    stage.has_said(|said| matches!(said, Message::ViewChange(_)))
}

/// However many views fail, the timeout stays below its cap.
pub(super) fn back_off_is_capped() -> bool {
    let mut stage = Stage::with(0, Limits { timeout_cap_ms: 3_200, ..Limits::default() });
    for view in 1..=20 {
        for member in [2, 3] {
            stage.hear(member, Message::ViewChange(stage.change(member, view, Vec::new())));
        }
    }
    stage.fact("timeout_ms").parse().is_ok_and(|timeout: u64| timeout <= 3_200)
}

/// Between a view and the next nothing is voted for, whatever the primary to be proposes.
pub(super) fn nobody_votes_between_views() -> bool {
    let mut stage = Stage::new(3);
    for member in [0, 2] {
        stage.hear(member, Message::ViewChange(stage.change(member, 1, Vec::new())));
    }
    stage.propose(choice(1, 1, &body("early")), body("early"));
    stage.fact("view_active") == "false" && !stage.has_said(|said| matches!(said, Message::Prepare(_)))
}

/// A view change with a certificate of too few prepares is no view change.
pub(super) fn forged_certificates_are_refused() -> bool {
    let stage = Stage::new(1);
    let mut forged = stage.prepared(choice(0, 1, &body("forged")));
    let (_, signatures) = forged.prepares.parts();
    forged.prepares = Signatures::from_parts(0b10, vec![signatures[0]]);
    stage.is_refused(2, Message::ViewChange(stage.change(2, 1, vec![forged])))
}

/// What was prepared far above the checkpoint that the block log kept is carried over all the same.
pub(super) fn a_lost_certificate_loses_no_vote() -> bool {
    let mut stage = Stage::new(1);
    stage.hear(2, Message::Certified(stage.certificate(10)));
    let far = choice(0, 20, &body("far"));
    stage.propose(far, body("far"));
    stage.hear(2, Message::Prepare(stage.vote(2, Phase::Prepare, far)));
    // The block log had not written that certificate down.
    stage.restart(History::default());
    for member in [2, 3] {
        stage.hear(member, Message::ViewChange(stage.change(member, 2, Vec::new())));
    }
    stage.has_said(|said| match said {
        Message::ViewChange(change) => change.content.prepared.iter().any(|known| known.choice() == far),
        _ => false,
    })
}

/// View 1 begins with what member 2 carries over.
fn beginning_with(prepared: Option<Choice>) -> Message {
    let mut primary = Stage::new(1);
    let prepared = prepared.map(|choice| primary.prepared(choice)).into_iter().collect();
    primary.hear(2, Message::ViewChange(primary.change(2, 1, prepared)));
    primary.hear(0, Message::ViewChange(primary.change(0, 1, Vec::new())));
    let begun = primary.take_said().into_iter().find(|said| matches!(said, Message::NewView(_)));
    begun.expect("f + 1 take the primary along, and three are a quorum")
}

/// A member that starts again from a journal that began anew still knows what its view has to propose, and
/// accepts nothing else.
pub(super) fn a_restart_keeps_what_a_view_proposes() -> bool {
    let mut stage = Stage::with(3, Limits { journal_bytes: 1, ..Limits::default() });
    stage.propose(choice(0, 1, &body("first")), body("first"));
    stage.hear(1, beginning_with(Some(choice(0, 1, &body("carried over")))));
    stage.restart(History::default());
    let other = choice(1, 1, &body("other"));
    stage.propose(other, body("other"));
    !stage.has_said(|said| matches!(said, Message::Prepare(vote) if vote.choice == other))
}

/// A primary that proposes nothing where something was prepared begins no view.
pub(super) fn new_views_follow_from_their_view_changes() -> bool {
    let stage = Stage::new(3);
    let Message::NewView(honest) = beginning_with(Some(choice(0, 1, &body("prepared")))) else {
        return false;
    };
    let mut lying = honest.clone();
    lying.pre_prepares = vec![stage.vote(1, Phase::PrePrepare, null(1, 1))];
    lying.signature = stage.signers[1].sign(&stage.committee, NEW_VIEW_TAG, &lying.signed_content());
    !stage.is_refused(1, Message::NewView(honest)) && stage.is_refused(1, Message::NewView(lying))
}

/// After a power cut a member is in the view that had begun.
pub(super) fn a_restart_knows_the_view() -> bool {
    let mut stage = Stage::new(3);
    stage.hear(1, beginning_with(None));
    stage.restart(History::default());
    stage.fact("view") == "1" && stage.fact("view_active") == "true"
}

/// A vote that is not answered is cast again and again.
pub(super) fn what_is_pending_is_said_again() -> bool {
    let mut stage = Stage::new(1);
    stage.propose(choice(0, 1, &body("one")), body("one"));
    stage.take_said();
    stage.pass_ms(1_000);
    let again = stage.said.iter().filter(|(_, said)| matches!(said, Message::Prepare(_)));
    (2..=20).contains(&again.count())
}

/// A view begins where a body is missing, and the body is asked for.
pub(super) fn a_missing_body_holds_no_view_up() -> bool {
    let mut stage = Stage::new(3);
    stage.hear(1, beginning_with(Some(choice(0, 1, &body("missing")))));
    let is_asked_for = stage.has_said(|said| matches!(said, Message::AskBody { .. }));
    stage.fact("view") == "1" && is_asked_for
}

/// What is executed and not certified gets its votes in the next view, too, and is not executed again.
pub(super) fn what_is_executed_is_voted_for_again() -> bool {
    let mut stage = Stage::new(3);
    execute(&mut stage, choice(0, 1, &body("one")), body("one"), [0, 1, 2]);
    let again = choice(1, 1, &body("one"));
    stage.hear(1, beginning_with(Some(choice(0, 1, &body("one")))));
    for member in [0, 1, 2] {
        stage.hear(member, Message::Commit(stage.vote(member, Phase::Commit, again)));
    }
    let is_voted_for = stage.has_said(|said| matches!(said, Message::Prepare(vote) if vote.choice == again));
    is_voted_for && stage.appended.len() == 1
}

/// A payload is proposed, decided and executed.
fn execute(stage: &mut Stage, choice: Choice, payload: Payload, voters: [u8; 3]) {
    stage.propose(choice, payload);
    for member in voters {
        stage.hear(member, Message::Commit(stage.vote(member, Phase::Commit, choice)));
    }
    let position = Position { epoch: Epoch(0), slot: choice.slot };
    stage.step(Input::Executed { position, block_hash: hash(choice.slot.0) });
}

/// The body of an executed block stays at hand until a certificate says that a quorum has it, also when the
/// journal began anew.
pub(super) fn the_last_copy_of_a_body_is_kept() -> bool {
    let mut stage = Stage::with(1, Limits { journal_bytes: 1, ..Limits::default() });
    let payload = body("one");
    execute(&mut stage, choice(0, 1, &payload), payload.clone(), [0, 2, 3]);
    stage.propose(choice(0, 2, &body("two")), body("two"));
    let history =
        History { executed: Slot(1), block_hash: hash(1), uncertified: vec![hash(1)], ..History::default() };
    stage.restart(history);
    stage.hear(2, Message::AskBody { digest: payload.digest() });
    stage.has_said(|said| matches!(said, Message::Body(known) if *known == payload))
}

/// A body that the journal left out when it began anew is written again with the next vote for it: a liar proposes what
/// was decided once more.
pub(super) fn a_body_left_out_is_written_again() -> bool {
    let (mut bodies, payload) = (Bodies::default(), body("one"));
    let waited = bodies.hold(payload.clone(), Slot(1));
    let is_written = bodies.begin_journalling(payload.digest()).is_some();
    let is_left_out = bodies.begin_anew_above(Slot(1)).count() == 0;
    bodies.extend_to(payload.digest(), Slot(2));
    let is_written_again = bodies.begin_journalling(payload.digest()).is_some();
    let is_kept = bodies.begin_anew_above(Slot(1)).count() == 1;
    waited.is_empty()
        && is_written
        && is_left_out
        && is_written_again
        && is_kept
        && bodies.begin_journalling(payload.digest()).is_none()
}

/// PBFT-10: commits come before the proposal, and the body with it.
pub(super) fn a_body_that_comes_after_the_commits_is_delivered() -> bool {
    let (mut stage, payload) = (Stage::new(1), body("one"));
    let one = choice(0, 1, &payload);
    for member in [0, 2, 3] {
        stage.hear(member, Message::Commit(stage.vote(member, Phase::Commit, one)));
    }
    let is_early = !stage.appended.is_empty();
    stage.propose(one, payload);
    !is_early && stage.appended.len() == 1
}

/// What the pool says while it is asked for a payload is not taken for what it gave.
pub(super) fn a_word_of_the_pool_stands() -> bool {
    let (mut stage, payload) = (Stage::new(0), body("one"));
    let (oldest_since, bytes) = (Some(stage.now), payload.bytes().len() as u64);
    stage.step(Input::Demand { oldest_since, bytes });
    stage.step(Input::Demand { oldest_since, bytes });
    let first = choice(0, 1, &payload);
    stage.step(Input::Done(Outcome::Assembled(Some(payload))));
    for member in [1, 2, 3] {
        stage.hear(member, Message::Commit(stage.vote(member, Phase::Commit, first)));
    }
    stage.appended.len() == 1 && stage.jobs.len() == 2
}

/// Who is alone in wanting another view waits there for a quorum, however long.
pub(super) fn a_lone_wish_goes_no_further() -> bool {
    let mut stage = Stage::new(2);
    stage.step(Input::Demand { oldest_since: Some(stage.now), bytes: 10 });
    stage.pass_ms(60_000);
    stage.fact("view") == "1"
}

/// Who votes in a view that is over is shown the one that goes on.
pub(super) fn whoever_is_behind_is_shown_the_view() -> bool {
    let mut stage = Stage::new(3);
    stage.hear(1, beginning_with(None));
    stage.take_said();
    stage.propose(choice(0, 1, &body("late")), body("late"));
    stage.has_said(|said| matches!(said, Message::NewView(_)))
}

/// A vote under another's signature is refused.
pub(super) fn votes_are_signed() -> bool {
    let stage = Stage::new(1);
    let vote = stage.vote(2, Phase::Commit, choice(0, 1, &body("one")));
    stage.is_refused(3, Message::Commit(Vote { member: MemberIndex(3), ..vote }))
}

/// A primary that has nothing to propose is not slow.
pub(super) fn lulls_are_excused() -> bool {
    let mut stage = Stage::new(1);
    stage.pass_ms(10_000);
    !stage.has_said(|said| matches!(said, Message::ViewChange(_)))
}

/// A block committed in the current view takes the timeout back to its base.
pub(super) fn progress_ends_the_back_off() -> bool {
    let mut stage = Stage::new(3);
    for member in [0, 2] {
        stage.hear(member, Message::ViewChange(stage.change(member, 1, Vec::new())));
    }
    stage.hear(1, beginning_with(None));
    let doubled = stage.fact("timeout_ms");
    execute(&mut stage, choice(1, 1, &body("one")), body("one"), [0, 1, 2]);
    doubled == "800" && stage.fact("timeout_ms") == "400"
}

/// Votes for slots that nobody keeps are dropped before their signatures are looked at.
pub(super) fn what_comes_to_nothing_costs_nothing() -> bool {
    let mut stage = Stage::new(1);
    let far = Message::Commit(stage.vote(2, Phase::Commit, choice(0, 1_000_000, &body("far"))));
    stage.hear_if_awaited(2, far);
    stage.config.horizon.checked() == 0
}

/// A vote that comes again is known by its bytes; one that differs in its signature alone is not.
pub(super) fn a_repeated_vote_costs_nothing() -> bool {
    let mut stage = Stage::new(1);
    let vote = stage.vote(2, Phase::Commit, choice(0, 1, &body("one")));
    for _ in 0..100 {
        stage.hear_if_awaited(2, Message::Commit(vote));
    }
    let signature = stage.vote(3, Phase::Commit, vote.choice).signature;
    let is_forged = stage.is_refused(2, Message::Commit(Vote { signature, ..vote }));
    is_forged && stage.config.horizon.checked() == 2
}

/// Whoever asks for one body again and again gets it once in a timeout's time.
pub(super) fn bodies_are_sent_within_a_share() -> bool {
    let mut stage = Stage::new(1);
    let payload = body("one");
    stage.propose(choice(0, 1, &payload), payload.clone());
    let sent = |stage: &mut Stage| {
        for _ in 0..100 {
            stage.hear(2, Message::AskBody { digest: payload.digest() });
        }
        stage.take_said().iter().filter(|said| matches!(said, Message::Body(_))).count()
    };
    let first = sent(&mut stage);
    stage.pass_ms(401);
    (first, sent(&mut stage)) == (1, 1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_drill_holds_without_its_mutant() {
        for prey in crate::sim::committee::mutants::MUTANTS {
            if let crate::sim::mutants::Caught::Drill { rule, holds, .. } = prey.caught {
                assert!(holds(), "{rule}");
                assert!(!synod_types::mutant::with(prey.id, holds), "{} lives", prey.id);
            }
        }
    }
}

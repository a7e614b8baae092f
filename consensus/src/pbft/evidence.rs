//! Which statements of one member contradict each other, and what each pair proves.
//!
//! - two votes of one phase, view and slot for different digests;
//! - two VIEW-CHANGEs, or two NEW-VIEWs, of one view;
//! - a COMMIT, and a VIEW-CHANGE to a later view that carries no certificate for it: either the vote was cast
//!   after the member had left its view (PBFT-6), or the certificate was kept back (PBFT-7);
//! - two attestations of one place.

use synod_types::codec;

use super::messages::{
    CarriedOver, Choice, NEW_VIEW_TAG, NewView, Phase, VIEW_CHANGE_TAG, View, ViewChange, Vote,
};
use crate::committee::evidence::STATEMENT_LIMIT;
use crate::committee::{Committee, Evidence, SignedStatement};

impl From<&Vote> for SignedStatement {
    fn from(vote: &Vote) -> Self {
        Self {
            tag: vote.phase.tag().into(),
            content: codec::encode(&vote.choice).into(),
            signature: vote.signature,
        }
    }
}

impl From<&ViewChange> for SignedStatement {
    fn from(change: &ViewChange) -> Self {
        let content = codec::encode(&change.content).into();
        Self { tag: VIEW_CHANGE_TAG.into(), content, signature: change.signature }
    }
}

impl From<&NewView> for SignedStatement {
    fn from(new_view: &NewView) -> Self {
        let content = new_view.signed_content().into();
        Self { tag: NEW_VIEW_TAG.into(), content, signature: new_view.signature }
    }
}

/// Whether two votes contradict each other.
pub fn is_double(first: &Vote, second: &Vote) -> bool {
    let same_place = (first.member, first.phase, first.choice.view, first.choice.slot)
        == (second.member, second.phase, second.choice.view, second.choice.slot);
    same_place && first.choice.digest != second.choice.digest
}

/// Whether what a member carries over forgets this commit of its own.
pub fn is_forgotten(carried: &CarriedOver, commit: &Vote) -> bool {
    let Choice { view, slot, .. } = commit.choice;
    let keeps = |choice: Choice| choice.slot == slot && (choice.view > view || choice == commit.choice);
    commit.phase == Phase::Commit
        && view < carried.view
        && slot > carried.stable_slot()
        && !carried.prepared.iter().any(|prepared| keeps(prepared.choice()))
}

/// Evidence of two contradicting votes.
pub fn of_votes(first: &Vote, second: &Vote) -> Evidence {
    Evidence { member: first.member, first: first.into(), second: second.into() }
}

/// Evidence of two view changes to one view.
pub fn of_view_changes(first: &ViewChange, second: &ViewChange) -> Evidence {
    Evidence { member: first.member, first: first.into(), second: second.into() }
}

/// Evidence of two different beginnings of one view.
pub fn of_new_views(first: &NewView, second: &NewView, committee: &Committee) -> Evidence {
    let member = first.view.primary(committee);
    Evidence { member, first: first.into(), second: second.into() }
}

/// Evidence of a forgotten commit.
pub fn of_forgotten(change: &ViewChange, commit: &Vote) -> Evidence {
    Evidence { member: change.member, first: change.into(), second: commit.into() }
}

/// Whether the evidence proves that its member lied, to anybody who knows the committee.
pub fn is_proof(evidence: &Evidence, committee: &Committee) -> bool {
    evidence.is_double_attestation(committee)
        || is_double_vote(evidence, committee)
        || is_double_change(evidence, committee)
        || is_double_beginning(evidence, committee)
        || is_forgotten_commit(evidence, committee)
}

fn vote(
    evidence: &Evidence,
    statement: &SignedStatement,
    phase: Phase,
    committee: &Committee,
) -> Option<Vote> {
    let choice = codec::decode::<Choice, 256>(&statement.content).ok()?;
    let is_signed = statement.is_by(evidence.member, phase.tag(), committee);
    let signature = statement.signature;
    is_signed.then_some(Vote { phase, choice, member: evidence.member, signature })
}

fn carried(evidence: &Evidence, statement: &SignedStatement, committee: &Committee) -> Option<CarriedOver> {
    let is_signed = statement.is_by(evidence.member, VIEW_CHANGE_TAG, committee);
    codec::decode::<CarriedOver, STATEMENT_LIMIT>(&statement.content).ok().filter(|_| is_signed)
}

fn is_double_vote(evidence: &Evidence, committee: &Committee) -> bool {
    [Phase::PrePrepare, Phase::Prepare, Phase::Commit].into_iter().any(|phase| {
        let first = vote(evidence, &evidence.first, phase, committee);
        let second = vote(evidence, &evidence.second, phase, committee);
        first.zip(second).is_some_and(|(first, second)| is_double(&first, &second))
    })
}

fn is_double_change(evidence: &Evidence, committee: &Committee) -> bool {
    let first = carried(evidence, &evidence.first, committee);
    let second = carried(evidence, &evidence.second, committee);
    first.zip(second).is_some_and(|(first, second)| first.view == second.view && first != second)
}

fn is_double_beginning(evidence: &Evidence, committee: &Committee) -> bool {
    let (first, second) = (&evidence.first, &evidence.second);
    let are_signed = first.is_by(evidence.member, NEW_VIEW_TAG, committee)
        && second.is_by(evidence.member, NEW_VIEW_TAG, committee);
    let view = |statement: &SignedStatement| {
        statement.content.first_chunk::<8>().map(|bytes| View(u64::from_be_bytes(*bytes)))
    };
    are_signed && view(first).is_some() && view(first) == view(second) && first.content != second.content
}

fn is_forgotten_commit(evidence: &Evidence, committee: &Committee) -> bool {
    let change = carried(evidence, &evidence.first, committee);
    let commit = vote(evidence, &evidence.second, Phase::Commit, committee);
    change.zip(commit).is_some_and(|(change, commit)| is_forgotten(&change, &commit))
}

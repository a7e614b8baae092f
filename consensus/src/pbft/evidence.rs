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

/// What the evidence proves of its member, to anybody who knows the committee; `None` when it proves nothing.
pub fn proves(evidence: &Evidence, committee: &Committee) -> Option<String> {
    if evidence.is_double_attestation(committee) {
        return Some("attested two blocks at one place".to_owned());
    }
    double_vote(evidence, committee)
        .or_else(|| double_change(evidence, committee))
        .or_else(|| double_beginning(evidence, committee))
        .or_else(|| forgotten_commit(evidence, committee))
}

/// Whether the evidence proves that its member lied.
pub fn is_proof(evidence: &Evidence, committee: &Committee) -> bool {
    proves(evidence, committee).is_some()
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

fn double_vote(evidence: &Evidence, committee: &Committee) -> Option<String> {
    [Phase::PrePrepare, Phase::Prepare, Phase::Commit].into_iter().find_map(|phase| {
        let first = vote(evidence, &evidence.first, phase, committee)?;
        let second = vote(evidence, &evidence.second, phase, committee)?;
        let Choice { view, slot, .. } = first.choice;
        is_double(&first, &second).then(|| format!("sent two {phase} votes for slot {slot} of view {view}"))
    })
}

fn double_change(evidence: &Evidence, committee: &Committee) -> Option<String> {
    let first = carried(evidence, &evidence.first, committee)?;
    let second = carried(evidence, &evidence.second, committee)?;
    (first.view == second.view && first != second)
        .then(|| format!("carried two different things over into view {}", first.view))
}

fn double_beginning(evidence: &Evidence, committee: &Committee) -> Option<String> {
    let (first, second) = (&evidence.first, &evidence.second);
    let are_signed = first.is_by(evidence.member, NEW_VIEW_TAG, committee)
        && second.is_by(evidence.member, NEW_VIEW_TAG, committee);
    let view = |statement: &SignedStatement| {
        statement.content.first_chunk::<8>().map(|bytes| View(u64::from_be_bytes(*bytes)))
    };
    let (one, other) = (view(first)?, view(second)?);
    (are_signed && one == other && first.content != second.content)
        .then(|| format!("began view {one} in two ways"))
}

fn forgotten_commit(evidence: &Evidence, committee: &Committee) -> Option<String> {
    let change = carried(evidence, &evidence.first, committee)?;
    let commit = vote(evidence, &evidence.second, Phase::Commit, committee)?;
    let Choice { view, slot, .. } = commit.choice;
    is_forgotten(&change, &commit)
        .then(|| format!("left its COMMIT for slot {slot} of view {view} out of a later view change"))
}

//! What a message shows without any state: who speaks, bounds, signatures, certificates. It runs outside the
//! ordering thread, in this order: membership, cheap bounds, signatures, meaning (PBFT-17).

use synod_types::{Slot, codec, mutant};

use super::config::Config;
use super::messages::{
    Choice, Decision, Fault, Message, NEW_VIEW_TAG, NewView, Phase, Prepared, VIEW_CHANGE_TAG, ViewChange,
    Vote,
};
use super::new_view::plan;
use crate::committee::{Committee, MemberIndex, Payload};
use crate::protocol::Peer;

/// Checks one message.
pub(super) fn check(config: &Config, from: Peer, message: &Message) -> Result<(), Fault> {
    let committee = &config.committee;
    if let Message::Certified(certificate) = message {
        // It proves itself, whoever shows it.
        return Ok(certificate.verify(committee)?);
    }
    let from = committee.member(from).ok_or(Fault::NotAMember)?;
    match message {
        Message::PrePrepare { vote, body } => check_pre_prepare(config, from, vote, body.as_ref()),
        Message::Prepare(vote) => {
            let is_primary = vote.choice.view.primary(committee) == vote.member;
            if vote.phase != Phase::Prepare || (is_primary && !mutant!("pbft-3-primary-prepares")) {
                return Err(Fault::WrongRole);
            }
            check_vote(config, from, vote)
        }
        Message::Commit(vote) if vote.phase != Phase::Commit => Err(Fault::WrongRole),
        Message::Commit(vote) => check_vote(config, from, vote),
        Message::Attestation(attestation) => {
            own_statement(from, attestation.member)?;
            if attestation.is_valid(committee) { Ok(()) } else { Err(Fault::BadSignature(from)) }
        }
        Message::ViewChange(change) => {
            own_statement(from, change.member)?;
            check_view_change(config, change)
        }
        Message::NewView(new_view) => check_new_view(config, new_view),
        Message::Body(body) => check_body(config, body),
        Message::Decided(decision) => check_decision(committee, decision),
        Message::AskBody { .. } | Message::Standing(_) | Message::Certified(_) => Ok(()),
    }
}

/// Members repeat their own statements; nobody needs to pass on another's (S-B13).
fn own_statement(from: MemberIndex, member: MemberIndex) -> Result<(), Fault> {
    if from == member { Ok(()) } else { Err(Fault::Impersonation(member)) }
}

fn check_vote(config: &Config, from: MemberIndex, vote: &Vote) -> Result<(), Fault> {
    own_statement(from, vote.member)?;
    let is_signed = config.horizon.holds(vote, &config.committee) || mutant!("pbft-16-trust-links");
    if is_signed { Ok(()) } else { Err(Fault::BadSignature(vote.member)) }
}

fn check_pre_prepare(
    config: &Config,
    from: MemberIndex,
    vote: &Vote,
    body: Option<&Payload>,
) -> Result<(), Fault> {
    if vote.phase != Phase::PrePrepare || vote.choice.view.primary(&config.committee) != vote.member {
        return Err(Fault::WrongRole);
    }
    if body.is_some_and(|body| Some(body.digest()) != vote.choice.digest) {
        return Err(Fault::WrongBody);
    }
    check_vote(config, from, vote)?;
    body.map_or(Ok(()), |body| check_body(config, body))
}

fn check_body(config: &Config, body: &Payload) -> Result<(), Fault> {
    config.validity.check(body).map_err(Fault::InvalidPayload)
}

/// q commits of one choice.
pub(super) fn check_decision(committee: &Committee, decision: &Decision) -> Result<(), Fault> {
    let content = codec::encode(&decision.choice);
    Ok(decision.commits.verify(committee, Phase::Commit.tag(), &content, committee.quorum())?)
}

/// The primary's pre-prepare and q − 1 prepares of others (PBFT-3, PBFT-7).
fn check_prepared(committee: &Committee, prepared: &Prepared) -> Result<(), Fault> {
    let Prepared { pre_prepare, prepares } = prepared;
    let primary = pre_prepare.choice.view.primary(committee);
    if pre_prepare.phase != Phase::PrePrepare || pre_prepare.member != primary {
        return Err(Fault::BadViewChange("a pre-prepare is not its primary's"));
    }
    if prepares.has(primary) && !mutant!("pbft-3-primary-prepares") {
        return Err(Fault::BadViewChange("the primary prepares"));
    }
    if !pre_prepare.is_signed(committee) {
        return Err(Fault::BadSignature(primary));
    }
    let content = codec::encode(&pre_prepare.choice);
    Ok(prepares.verify(committee, Phase::Prepare.tag(), &content, committee.quorum() - 1)?)
}

fn check_view_change(config: &Config, change: &ViewChange) -> Result<(), Fault> {
    let (committee, content) = (&config.committee, &change.content);
    if !committee.has(change.member) {
        return Err(Fault::NotAMember);
    }
    let (stable, window) = (content.stable_slot(), config.window());
    if content.view.0 == 0 || content.prepared.len() as u64 > window {
        return Err(Fault::BadViewChange("its view or its length is out of bounds"));
    }
    let mut last = stable;
    for prepared in &content.prepared {
        let Choice { view, slot, .. } = prepared.choice();
        if slot <= last || slot.0 > stable.0.saturating_add(window) || view >= content.view {
            return Err(Fault::BadViewChange("a certificate's slot or view is out of place"));
        }
        last = slot;
    }
    if !committee.verify(change.member, VIEW_CHANGE_TAG, &codec::encode(content), &change.signature) {
        return Err(Fault::BadSignature(change.member));
    }
    if let Some(certificate) = &content.stable {
        certificate.verify(committee)?;
    }
    if mutant!("pbft-7-unchecked") {
        return Ok(());
    }
    content.prepared.iter().try_for_each(|prepared| check_prepared(committee, prepared))
}

/// V is a quorum of valid view changes, and O is bit for bit what follows from it (PBFT-8).
fn check_new_view(config: &Config, new_view: &NewView) -> Result<(), Fault> {
    let (committee, view) = (&config.committee, new_view.view);
    let primary = view.primary(committee);
    let changes = &new_view.view_changes;
    if changes.len() < committee.quorum() || changes.len() > committee.len() {
        return Err(Fault::BadNewView("it has no quorum of view changes"));
    }
    if changes.windows(2).any(|pair| pair[0].member >= pair[1].member)
        || changes.iter().any(|change| change.view() != view)
    {
        return Err(Fault::BadNewView("its view changes are not distinct members' for its view"));
    }
    let planned = plan(changes);
    let is_planned = planned.choices(view).eq(new_view.pre_prepares.iter().map(|vote| vote.choice));
    if !is_planned && !mutant!("pbft-8-verify-o-off") {
        return Err(Fault::BadNewView("its proposals do not follow from its view changes"));
    }
    let content = NewView::content(view, changes, &new_view.pre_prepares);
    if !committee.verify(primary, NEW_VIEW_TAG, &content, &new_view.signature) {
        return Err(Fault::BadSignature(primary));
    }
    for vote in &new_view.pre_prepares {
        if vote.phase != Phase::PrePrepare || vote.member != primary || vote.choice.slot == Slot(0) {
            return Err(Fault::BadNewView("a proposal is not its primary's"));
        }
        if !vote.is_signed(committee) {
            return Err(Fault::BadSignature(primary));
        }
    }
    changes.iter().try_for_each(|change| check_view_change(config, change))
}

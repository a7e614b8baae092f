//! What a message shows without any state: who speaks, bounds, certificates, bodies. It runs outside the
//! ordering thread.

use synod_types::Slot;

use super::config::Config;
use super::messages::{Ballot, Fault, Message, PART_LIMIT, PARTS_LIMIT, Promise, ROUND_LIMIT, SPAN};
use crate::committee::{MemberIndex, Payload};
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
        Message::Probe { ballot }
        | Message::Prepare { ballot, .. }
        | Message::Heartbeat { ballot }
        | Message::Commit { ballot, .. } => own_ballot(from, *ballot),
        Message::Accept { vote, body } => {
            own_ballot(from, vote.ballot)?;
            if body.as_ref().is_some_and(|body| Some(body.digest()) != vote.digest) {
                return Err(Fault::WrongBody);
            }
            body.as_ref().map_or(Ok(()), |body| check_body(config, body))
        }
        Message::Willing { ballot } | Message::Following { ballot } => any_ballot(config, *ballot),
        Message::Accepted(vote) => any_ballot(config, vote.ballot),
        Message::Refused { ballot, promised } => {
            any_ballot(config, *ballot)?;
            any_ballot(config, *promised)
        }
        Message::Promise(promise) => check_promise(config, promise),
        Message::Body(body) => check_body(config, body),
        Message::Attestation(attestation) => {
            if attestation.member != from {
                return Err(Fault::Impersonation(attestation.member));
            }
            if attestation.is_valid(committee) { Ok(()) } else { Err(Fault::BadSignature(from)) }
        }
        Message::Chosen { .. } | Message::AskBody { .. } | Message::Standing(_) | Message::Certified(_) => {
            Ok(())
        }
    }
}

fn own_ballot(from: MemberIndex, ballot: Ballot) -> Result<(), Fault> {
    if ballot.member != from {
        return Err(Fault::Impersonation(ballot.member));
    }
    in_bounds(ballot)
}

fn any_ballot(config: &Config, ballot: Ballot) -> Result<(), Fault> {
    if config.committee.has(ballot.member) { in_bounds(ballot) } else { Err(Fault::BadBallot(ballot)) }
}

fn in_bounds(ballot: Ballot) -> Result<(), Fault> {
    if ballot.round == 0 || ballot.round > ROUND_LIMIT { Err(Fault::BadBallot(ballot)) } else { Ok(()) }
}

fn check_body(config: &Config, body: &Payload) -> Result<(), Fault> {
    config.validity.check(body).map_err(Fault::InvalidPayload)
}

fn check_promise(config: &Config, promise: &Promise) -> Result<(), Fault> {
    any_ballot(config, promise.ballot)?;
    if promise.part >= promise.parts || promise.parts > PARTS_LIMIT || promise.accepted.len() > PART_LIMIT {
        return Err(Fault::BadPromise("its parts are out of bounds"));
    }
    let mut low = promise.from;
    for vote in &promise.accepted {
        any_ballot(config, vote.ballot)?;
        if vote.slot < low || vote.slot.0 - promise.from.0 > SPAN || vote.ballot > promise.ballot {
            return Err(Fault::BadPromise("a slot or a ballot is out of place"));
        }
        low = Slot(vote.slot.0.saturating_add(1));
    }
    promise.trimmed.as_ref().map_or(Ok(()), |certificate| Ok(certificate.verify(&config.committee)?))
}

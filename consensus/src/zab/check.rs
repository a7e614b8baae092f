//! What a message shows without any state: who speaks, bounds, certificates, bodies. It runs outside the
//! ordering thread.

use super::config::Config;
use super::messages::{Basis, ENTRIES_LIMIT, EPOCH_LIMIT, Entry, Fault, Message, State, Vote};
use super::zxid::{Point, ZabEpoch};
use crate::committee::Payload;
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
        Message::Vote(vote) => check_vote(vote),
        Message::FollowerInfo { accepted, .. } => any_epoch(*accepted),
        Message::NewEpoch { epoch }
        | Message::AckLeader { epoch, .. }
        | Message::CommitLeader { epoch, .. }
        | Message::Ack { epoch, .. }
        | Message::Commit { epoch, .. }
        | Message::Ping { epoch, .. }
        | Message::Pong { epoch } => led_epoch(*epoch),
        Message::Refused { epoch, accepted } => led_epoch(*epoch).and_then(|()| any_epoch(*accepted)),
        Message::AckEpoch { epoch, state, .. } => led_epoch(*epoch).and_then(|()| check_state(state)),
        Message::NewLeader { epoch, basis, entries } => check_history(config, *epoch, basis, entries),
        Message::Propose { entry, body } => {
            led_epoch(entry.zxid.epoch)?;
            if body.as_ref().is_some_and(|body| body.digest() != entry.digest) {
                return Err(Fault::WrongBody);
            }
            body.as_ref().map_or(Ok(()), |body| check_body(config, body))
        }
        Message::Body(body) => check_body(config, body),
        Message::Attestation(attestation) => {
            if attestation.member != from {
                return Err(Fault::Impersonation(attestation.member));
            }
            if attestation.is_valid(committee) { Ok(()) } else { Err(Fault::BadSignature(from)) }
        }
        Message::AskBody { .. } | Message::Standing(_) | Message::Certified(_) => Ok(()),
    }
}

fn any_epoch(epoch: ZabEpoch) -> Result<(), Fault> {
    if epoch.0 > EPOCH_LIMIT { Err(Fault::BadEpoch(epoch)) } else { Ok(()) }
}

fn led_epoch(epoch: ZabEpoch) -> Result<(), Fault> {
    if epoch.0 == 0 { Err(Fault::BadEpoch(epoch)) } else { any_epoch(epoch) }
}

fn check_state(state: &State) -> Result<(), Fault> {
    any_epoch(state.current)?;
    any_epoch(state.last.zxid.epoch)
}

fn check_vote(vote: &Vote) -> Result<(), Fault> {
    any_epoch(vote.accepted)?;
    vote.state.as_ref().map_or(Ok(()), check_state)
}

fn check_body(config: &Config, body: &Payload) -> Result<(), Fault> {
    config.validity.check(body).map_err(Fault::InvalidPayload)
}

/// A history is whole from its basis on (ZAB-7).
fn check_history(config: &Config, epoch: ZabEpoch, basis: &Basis, entries: &[Entry]) -> Result<(), Fault> {
    led_epoch(epoch)?;
    if entries.len() > ENTRIES_LIMIT {
        return Err(Fault::BadHistory("it is longer than any log"));
    }
    if let Basis::Snap { point, certificate } = basis {
        certificate.verify(&config.committee)?;
        if certificate.slot() != point.slot {
            return Err(Fault::BadHistory("its certificate is of another slot"));
        }
    }
    let mut last: Point = basis.point();
    for entry in entries {
        let is_next = Some(entry.slot.0) == last.slot.0.checked_add(1);
        if !is_next || !last.zxid.is_followed_by(entry.zxid) {
            return Err(Fault::BadHistory("it has a hole"));
        }
        last = entry.point();
    }
    if last.zxid.epoch > epoch {
        return Err(Fault::BadHistory("it is later than its leader"));
    }
    Ok(())
}

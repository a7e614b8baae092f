//! The shipped Multi-Paxos.

use std::sync::Arc;

use synod_consensus::Protocol;
use synod_consensus::committee::{Committee, Signer, Validity};
use synod_consensus::paxos::{Ballot, Config, Limits, Message, Paxos, Promises, Record};

use super::explored::{Explored, Vote};

impl Explored for Paxos {
    fn settings(committee: Committee, signer: Signer, validity: Arc<dyn Validity>, slots: u64) -> Config {
        let limits = Limits {
            base_timeout_ms: 1,
            timeout_cap_ms: 1,
            heartbeat_ms: 1,
            in_flight: slots,
            // While one slot is open the next may begin at once.
            eager_bytes: 1,
            // What two slots hold is promised in two parts.
            promise_part: 1,
            ..Limits::default()
        };
        Config { committee, signer: Some(signer), validity, limits }
    }

    const FILLS_GAPS: bool = true;

    fn votes(records: &[Record]) -> Vec<Vote> {
        let vote = |record: &Record| {
            let Record::Accepted(vote) = record else { return None };
            let ballot = (vote.ballot.round, vote.ballot.member.0);
            Some(Vote { ballot, slot: vote.slot, value: vote.digest })
        };
        records.iter().filter_map(vote).collect()
    }

    fn is_left_out(message: &Message) -> bool {
        matches!(
            message,
            Message::Standing(_)
                | Message::Attestation(_)
                | Message::Heartbeat { .. }
                | Message::Following { .. }
                | Message::Refused { .. }
        )
    }

    fn is_heard_at_once(message: &Message) -> bool {
        matches!(message, Message::Willing { .. })
    }

    fn is_void(&self, message: &Message) -> bool {
        let Promises { promised, accepted, .. } = self.promises();
        let has_left = |ballot: Ballot, phase: &str| {
            ballot < promised
                || (ballot == promised && !self.status().facts.contains(&("phase", phase.to_owned())))
        };
        match message {
            Message::Probe { ballot } | Message::Prepare { ballot, .. } => *ballot <= promised,
            Message::Accept { vote, .. } => vote.ballot < promised || accepted.get(&vote.slot) == Some(vote),
            Message::Commit { ballot, through } => {
                *ballot < promised || (*ballot == promised && *through <= self.executed())
            }
            Message::Promise(promise) => has_left(promise.ballot, "preparing"),
            Message::Accepted(vote) => has_left(vote.ballot, "leading") || vote.slot <= self.executed(),
            _ => false,
        }
    }
}

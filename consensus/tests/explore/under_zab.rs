//! The shipped Zab.

use std::collections::BTreeMap;
use std::sync::Arc;

use synod_consensus::committee::{Committee, Signer, Validity};
use synod_consensus::zab::{Config, Limits, Message, Record, Zab, ZabEpoch};

use super::explored::{Explored, Vote};

impl Explored for Zab {
    const FILLS_GAPS: bool = false;

    fn settings(committee: Committee, signer: Signer, validity: Arc<dyn Validity>, slots: u64) -> Config {
        let limits = Limits {
            base_timeout_ms: 1,
            timeout_cap_ms: 1,
            heartbeat_ms: 1,
            in_flight: slots,
            eager_bytes: 1,
            ..Limits::default()
        };
        Config { committee, signer: Some(signer), validity, limits }
    }

    /// Whoever has an epoch's history says by `currentEpoch` that it is that epoch's; what follows belongs to it, too.
    fn votes(records: &[Record]) -> Vec<Vote> {
        let (mut current, mut log) = (ZabEpoch(0), BTreeMap::new());
        for record in records {
            match record {
                Record::Logged(entry) => {
                    log.insert(entry.slot, entry.digest);
                }
                Record::Truncated(to) => log.retain(|slot, _| slot <= to),
                Record::Current(epoch) => current = *epoch,
                Record::Accepted { .. } | Record::Body { .. } | Record::Base { .. } | Record::Fetching => {}
            }
        }
        let vote = |(slot, digest)| Vote { ballot: (current.0, 0), slot, value: Some(digest) };
        if current.0 > 0 { log.into_iter().map(vote).collect() } else { Vec::new() }
    }

    fn is_left_out(message: &Message) -> bool {
        matches!(
            message,
            Message::Standing(_)
                | Message::Attestation(_)
                | Message::Ping { .. }
                | Message::Pong { .. }
                | Message::Refused { .. }
        )
    }

    fn is_heard_at_once(message: &Message) -> bool {
        matches!(message, Message::Vote(_))
    }

    fn is_void(&self, message: &Message) -> bool {
        let kept = self.promises();
        let is_led = |epoch: &ZabEpoch| self.leads() == Some(*epoch);
        match message {
            Message::FollowerInfo { .. } => self.leads().is_none() && self.phase() == "broadcast",
            Message::NewEpoch { epoch } => *epoch < kept.accepted || *epoch == kept.current,
            Message::NewLeader { epoch, .. } => *epoch < kept.accepted || *epoch == kept.current,
            Message::AckEpoch { epoch, .. } | Message::AckLeader { epoch, .. } => !is_led(epoch),
            Message::Ack { epoch, through } => !is_led(epoch) || *through <= self.committed(),
            Message::Propose { entry, .. } => entry.zxid.epoch < kept.accepted || kept.log.contains(entry),
            Message::CommitLeader { epoch, through } | Message::Commit { epoch, through } => {
                *epoch < kept.accepted || *through <= self.executed()
            }
            _ => false,
        }
    }
}

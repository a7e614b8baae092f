//! One member's configuration: the committee, its own voice, what a payload must be, and its bounds.

use std::sync::Arc;

use super::horizon::Horizon;
use super::messages::MESSAGE_LIMIT;
use crate::committee::{Committee, MemberIndex, Signer, Validity};

/// The configuration of one node.
#[derive(Debug, Clone)]
pub struct Config {
    /// Equal at all members.
    pub committee: Committee,
    /// This member's voice; `None` for a learner, which follows and never votes (GEN-3).
    pub signer: Option<Signer>,
    /// What payloads members may vote for.
    pub validity: Arc<dyn Validity>,
    /// This node's bounds and times.
    pub limits: Limits,
    /// Where the machine stands, for the checks. One start's own.
    pub horizon: Arc<Horizon>,
}

impl Config {
    /// This member's index.
    pub fn me(&self) -> Option<MemberIndex> {
        self.signer.as_ref().map(Signer::index)
    }

    /// L as this committee has it (PBFT-5): the limit, or less where a NEW-VIEW of members whose windows are full would
    /// not fit into a message. Equal at all members whose limits are equal.
    pub fn window(&self) -> u64 {
        let quorum = self.committee.quorum();
        // A certificate of prepared, in each of q VIEW-CHANGEs, and the proposal that follows, in bytes.
        let of_slot = quorum * (64 * quorum + 160) + 160;
        let of_changes = quorum * (64 * quorum + 512);
        let fits = MESSAGE_LIMIT.saturating_sub(of_changes) / of_slot;
        self.limits.window.min(fits as u64)
    }
}

/// A node's own bounds. Every queue and map of the machine has its cap here (A7).
#[derive(Debug, Clone)]
pub struct Limits {
    /// Milliseconds after which a view without progress is given up, at first.
    pub base_timeout_ms: u64,
    /// The back-off doubles up to here (PBFT-20); `u64::MAX` where no bound on delays is known.
    pub timeout_cap_ms: u64,
    /// W: instances that the primary has in flight.
    pub in_flight: u64,
    /// L: how far above the stable checkpoint a slot may lie (PBFT-5).
    pub window: u64,
    /// A payload's bytes.
    pub batch_bytes: usize,
    /// A payload's transactions.
    pub batch_transactions: usize,
    /// While instances are in flight another begins only when so many bytes wait: batches fill meanwhile.
    pub eager_bytes: u64,
    /// A fresh proposal's time may lie so far ahead of the local clock.
    pub future_limit_ms: u64,
    /// Executed slots whose decisions are kept for those who missed them; older ones are fetched as blocks.
    pub retained_slots: u64,
    /// Bytes of executed payloads kept for them.
    pub retained_bytes: usize,
    /// The journal begins anew after so many bytes.
    pub journal_bytes: usize,
    /// Milliseconds between two standings when nothing is pending.
    pub heartbeat_ms: u64,
    /// A primary that leaves a transaction waiting for so many timeouts, though batches had room, is slow or
    /// censors (PBFT-18).
    pub patience: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            base_timeout_ms: 400,
            timeout_cap_ms: 25_600,
            in_flight: 16,
            window: 256,
            batch_bytes: 2 * 1024 * 1024,
            batch_transactions: 4_000,
            eager_bytes: 256 * 1024,
            future_limit_ms: 10_000,
            retained_slots: 32,
            retained_bytes: 64 * 1024 * 1024,
            journal_bytes: 64 * 1024 * 1024,
            heartbeat_ms: 1_000,
            patience: 4,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use alloy_primitives::B256;
    use synod_types::{BlockHash, Epoch, Height, Position, Signature, Slot, codec};

    use super::super::messages::{
        CarriedOver, Choice, Message, NewView, Phase, Prepared, View, ViewChange, Vote,
    };
    use super::super::stage::Stage;
    use super::*;
    use crate::committee::{Attested, Certificate, Signatures};

    /// The largest that members send who follow the window: all of it prepared, at all of a quorum.
    fn largest_new_view(config: &Config) -> Message {
        let (quorum, signature) = (config.committee.quorum() as u8, Signature([7; 64]));
        let signed = |count: u8| {
            Signatures::new(
                &(0..count).map(|member| (MemberIndex(member), signature)).collect::<BTreeMap<_, _>>(),
            )
        };
        let choice = |slot| Choice { view: View(u64::MAX - 1), slot: Slot(slot), digest: Some(B256::ZERO) };
        let vote =
            |slot| Vote { phase: Phase::PrePrepare, choice: choice(slot), member: MemberIndex(0), signature };
        let statement = Attested {
            position: Position { epoch: Epoch(u64::MAX), slot: Slot(1) },
            height: Height(u64::MAX),
            block_hash: BlockHash(B256::ZERO),
        };
        let stable = Some(Certificate { statement, signatures: signed(quorum) });
        let slots = || 2..2 + config.window();
        let prepared = |slot| Prepared { pre_prepare: vote(slot), prepares: signed(quorum - 1) };
        let content = CarriedOver { view: View(u64::MAX), stable, prepared: slots().map(prepared).collect() };
        let change = |member| ViewChange { content: content.clone(), member: MemberIndex(member), signature };
        Message::NewView(NewView {
            view: View(u64::MAX),
            view_changes: (0..quorum).map(change).collect(),
            pre_prepares: slots().map(vote).collect(),
            signature,
        })
    }

    /// A7: no committee is so large that its new primary cannot say what it must.
    #[test]
    fn a_new_view_fits_into_a_message_however_many_members_there_are() {
        for members in [4, 7, 10, 16, 21, 22, 31, 40, 64] {
            let config = Stage::of(members, 0, Limits::default()).config;
            let bytes = codec::encode(&largest_new_view(&config)).len();
            println!("n = {members}: window {}, NEW-VIEW of at most {bytes} bytes", config.window());
            assert!(bytes <= MESSAGE_LIMIT, "n = {members}: {bytes} bytes");
            assert!(config.window() >= 2 * config.limits.in_flight, "n = {members}: the pipeline has room");
            assert_eq!(config.window() < 256, members > 21, "n = {members}: only large committees need less");
        }
    }
}

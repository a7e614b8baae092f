//! One member's configuration: the committee, its own voice, what a payload must be, and its bounds.

use std::sync::Arc;

use crate::committee::{Committee, MemberIndex, Signer, Validity};

/// The configuration of one node.
#[derive(Debug, Clone)]
pub struct Config {
    /// Equal at all members.
    pub committee: Committee,
    /// This member's voice; `None` for an observer, which follows and never votes (GEN-3).
    pub signer: Option<Signer>,
    /// What payloads members may vote for.
    pub validity: Arc<dyn Validity>,
    /// This node's bounds and times.
    pub limits: Limits,
}

impl Config {
    /// This member's index.
    pub fn me(&self) -> Option<MemberIndex> {
        self.signer.as_ref().map(Signer::index)
    }
}

/// A node's own bounds. Every queue and map of the machine has its cap here (A7).
#[derive(Debug, Clone)]
pub struct Limits {
    /// Milliseconds after which a silent leader is given up.
    pub base_timeout_ms: u64,
    /// The back-off after failed attempts to lead or to follow doubles up to here.
    pub timeout_cap_ms: u64,
    /// Instances that the leader has in flight.
    pub in_flight: u64,
    /// How far above the newest certificate the leader proposes.
    pub window: u64,
    /// A payload's bytes.
    pub batch_bytes: usize,
    /// A payload's transactions.
    pub batch_transactions: usize,
    /// While instances are in flight another begins only when so many bytes wait: batches fill meanwhile.
    pub eager_bytes: u64,
    /// Settled transactions that stay in the log for those who missed them; older ones are fetched as blocks.
    pub retained_slots: u64,
    /// Bytes of settled payloads kept for them.
    pub retained_bytes: usize,
    /// The journal begins anew after so many bytes.
    pub journal_bytes: usize,
    /// Milliseconds between two standings when nothing is pending.
    pub heartbeat_ms: u64,
    /// An epoch's last counter (ZAB-1).
    pub counter_limit: u32,
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
            retained_slots: 32,
            retained_bytes: 64 * 1024 * 1024,
            journal_bytes: 64 * 1024 * 1024,
            heartbeat_ms: 1_000,
            counter_limit: u32::MAX,
        }
    }
}

//! What all nodes of a network share ([`Rules`]), and what a node decides for itself ([`Limits`]).

use synod_types::Header;
use synod_types::genesis::ProofOfWork;

use super::asert::Asert;
use super::compact::{CompactError, Target};
use super::header::HashedHeader;

/// The configuration of one node.
#[derive(Debug, Clone)]
pub struct Config {
    /// Equal at all nodes of the network.
    pub rules: Rules,
    /// This node's bounds.
    pub limits: Limits,
    /// Whether this node assembles templates: it mines itself, or serves outside miners.
    pub mines: bool,
}

/// The network's rules.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The block at height 0, which needs no work.
    pub genesis: HashedHeader,
    /// The difficulty rule.
    pub asert: Asert,
    /// How far a header's seconds may lie ahead of the local clock.
    pub future_limit_seconds: u32,
    /// Depth at which a block is reported as settled.
    pub settled_depth: u64,
}

/// Why a genesis makes no rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// `pow.limit_bits` is no target.
    #[error("genesis.json: pow.limit_bits: {0}")]
    Limit(CompactError),
    /// `pow.bits` is no target within the limit.
    #[error("genesis.json: pow.bits: {0}")]
    Bits(CompactError),
}

impl Rules {
    /// The rules of a genesis document and its block's header.
    ///
    /// # Errors
    /// [`RulesError`], which names the field.
    pub fn new(parameters: &ProofOfWork, genesis: &Header) -> Result<Self, RulesError> {
        let limit = Target::from_compact(parameters.limit_bits).map_err(RulesError::Limit)?;
        let anchor = Target::from_compact_within(parameters.bits, limit).map_err(RulesError::Bits)?;
        Ok(Self {
            genesis: HashedHeader::new(*genesis),
            asert: Asert {
                anchor_height: 0,
                anchor_parent_time: i64::from(genesis.time) - i64::from(parameters.spacing_seconds),
                anchor_target: anchor,
                spacing: parameters.spacing_seconds,
                half_life: parameters.half_life_seconds,
                limit,
            },
            future_limit_seconds: parameters.future_limit_seconds,
            settled_depth: parameters.settled_depth,
        })
    }

    /// The easiest target.
    pub fn limit(&self) -> Target {
        self.asert.limit
    }
}

/// A node's own bounds. Every queue and map of the machine has its cap here (A7).
#[derive(Debug, Clone)]
pub struct Limits {
    /// Headers in one answer.
    pub headers_per_message: usize,
    /// Headers off the best chain, in all: beyond it the branches of least work are forgotten.
    pub side_headers: usize,
    /// Headers off the best chain that one peer may bring before it must bring work (POW-5).
    pub side_headers_per_peer: usize,
    /// Headers without a known parent, in all and for each peer (POW-8).
    pub orphans: usize,
    /// See `orphans`.
    pub orphans_per_peer: usize,
    /// Bytes of block bodies held in memory.
    pub body_bytes: usize,
    /// A larger block is announced by its header, and fetched.
    pub inline_body_bytes: usize,
    /// Bodies asked for at one time, in all and from one peer.
    pub requests: usize,
    /// See `requests`.
    pub requests_per_peer: usize,
    /// Appends given to the ledger and not yet answered.
    pub appends_in_flight: usize,
    /// Peers whose state is kept.
    pub peers: usize,
    /// Condemned blocks that are remembered (POW-7).
    pub condemned: usize,
    /// Milliseconds until an unanswered request goes to another peer.
    pub request_timeout_ms: u64,
    /// Milliseconds between questions for a peer's tip: what repairs a lost announcement (GEN-8).
    pub tip_interval_ms: u64,
    /// Milliseconds after which a template is made again for its time and its transactions.
    pub template_interval_ms: u64,
    /// Milliseconds that a template lives at least, however the pool changes.
    pub template_pause_ms: u64,
    /// Blocks of the executed chain kept with all their figures; deeper ones as bare headers.
    pub recent_blocks: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            headers_per_message: 2_000,
            side_headers: 20_000,
            side_headers_per_peer: 6_000,
            orphans: 128,
            orphans_per_peer: 16,
            body_bytes: 64 * 1024 * 1024,
            inline_body_bytes: 256 * 1024,
            requests: 32,
            requests_per_peer: 8,
            appends_in_flight: 16,
            peers: 256,
            condemned: 1_024,
            request_timeout_ms: 2_000,
            tip_interval_ms: 5_000,
            template_interval_ms: 3_000,
            template_pause_ms: 250,
            recent_blocks: 2_048,
        }
    }
}

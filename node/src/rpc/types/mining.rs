//! Templates for outside miners, and their solutions.

use serde::{Deserialize, Serialize};
use synod_types::{Address, B256, BlockHash, Bytes, Height, U256};

use super::text;

/// `synod_template`: what to search.
///
/// The miner writes its extra nonce, big-endian, over the last eight bytes of `commitment`, puts the
/// SHA-256 of the result at bytes 36 to 68 of `header`, its time in seconds at 68 to 72 and its nonce at 76
/// to 80 (both little-endian), and looks for SHA-256d of the header, read as a little-endian number, not
/// above `target`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateView {
    /// Names the template when a solution comes.
    pub template_id: String,
    /// The height of the block to be.
    pub height: Height,
    /// The block below.
    #[serde(with = "text")]
    pub parent: BlockHash,
    /// The target in compact form.
    pub bits: u32,
    /// The target as a number, `0x` hex.
    pub target: B256,
    /// The commitment's canonical bytes; its last eight are the extra nonce.
    pub commitment: Bytes,
    /// The 80-byte header with extra nonce and nonce 0.
    pub header: Bytes,
    /// The earliest time, in seconds since the Unix epoch, that the header may carry.
    pub min_time: u32,
    /// The latest time, in seconds, that other nodes take now.
    pub max_time: u32,
    /// When to ask for another, in milliseconds since the Unix epoch.
    pub expires_at: u64,
    /// How many transactions the block would hold.
    pub transactions: u32,
    /// What the block pays: reward and tips, in wei.
    #[serde(with = "text")]
    pub pays: U256,
    /// To whom.
    #[serde(with = "text::checksummed")]
    pub reward_to: Address,
}

/// What became of a solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SolveOutcome {
    /// The block was taken; it is the tip unless another was faster.
    Accepted,
    /// The template is of an older tip, or unknown.
    Stale,
    /// This solution came before.
    Duplicate,
    /// The header's hash is above the target, or its time out of bounds.
    Wrong,
}

/// `synod_solve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SolveView {
    /// What became of it.
    pub outcome: SolveOutcome,
    /// The block's hash, unless the template is unknown.
    #[serde(with = "text::option")]
    pub block_hash: Option<BlockHash>,
    /// The block's height, unless the template is unknown.
    pub height: Option<Height>,
    /// One sentence when it was not accepted.
    pub reason: Option<String>,
}

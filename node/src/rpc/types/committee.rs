//! Committees and their certificates.

use serde::{Deserialize, Serialize};
use synod_types::{Address, B256, BlockHash, Bytes, Height, Position, PublicKey};

use super::text;

/// `synod_certificate`: proof that a block is final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// The certified block's height. A certificate vouches for every block below, too.
    pub height: Height,
    /// The block.
    #[serde(with = "text")]
    pub block_hash: BlockHash,
    /// Its place.
    pub position: Position,
    /// Who signed, by index.
    pub signers: Vec<u8>,
    /// How many are needed.
    pub quorum: u32,
    /// The certificate's canonical bytes.
    pub certificate: Bytes,
    /// The tip when this was read.
    pub tip_height: Height,
}

/// `synod_readIndex`: from which height on a read misses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadIndexView {
    /// This block is certified and stands here, and nothing that was final anywhere when the question came is above
    /// it.
    pub height: Height,
}

/// `synod_validators`: who orders, and what they are trusted not to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitteeView {
    /// The epoch.
    pub epoch: u64,
    /// The height of the block that it started from.
    pub base: Height,
    /// How it orders: `"pbft"`, `"paxos"`, `"zab"`.
    pub ordering: String,
    /// So many members may do anything at all, and nothing goes wrong.
    pub faults: u32,
    /// So many members decide.
    pub quorum: u32,
    /// In the order of their indexes.
    pub members: Vec<MemberView>,
    /// The height at which this was read.
    pub height: Height,
    /// Whether the block there is the epoch's last: the next one begins as soon as it is certified.
    pub ends: bool,
}

/// A member of a committee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its index.
    pub index: u8,
    /// What people call it.
    pub name: String,
    /// The key of its votes.
    pub key: PublicKey,
    /// The account of that key.
    #[serde(with = "text::checksummed")]
    pub address: Address,
    /// How often it lost its memory and was taken in again.
    pub incarnation: u32,
    /// Whether this node hears it, or is it.
    pub connected: bool,
    /// Whether it is this node.
    pub this_node: bool,
    /// The height that it told of last.
    pub height: Option<Height>,
}

/// `synod_evidence`: one of the things that went wrong among the members, as this node saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum EvidenceView {
    /// A member contradicted itself.
    Contradiction(ContradictionView),
    /// This node and the committee disagreed.
    Divergence(DivergenceView),
}

/// Two statements of one member that no honest member makes both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContradictionView {
    /// What tells it from others.
    pub id: B256,
    /// The epoch that it was in.
    pub epoch: u64,
    /// The member, by its index in that epoch.
    pub member: u8,
    /// What people call it.
    pub name: String,
    /// The key that signed both.
    pub key: Option<PublicKey>,
    /// What it did.
    pub proves: String,
    /// The tip's height when it was seen.
    pub height: Height,
    /// When that was, in milliseconds since 1970.
    pub seen_ms: u64,
    /// The two signed statements in canonical bytes.
    pub evidence: Bytes,
}

/// Two blocks at one place: this node's and the committee's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DivergenceView {
    /// Where.
    pub position: Position,
    /// The height to look at.
    pub height: Height,
    /// What is here.
    pub ours: String,
    /// What the others say.
    pub theirs: String,
    /// When it was seen, in milliseconds since 1970.
    pub seen_ms: u64,
}

//! Committees and their certificates.

use serde::{Deserialize, Serialize};
use synod_types::{Address, BlockHash, Bytes, Height, Position, PublicKey};

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

/// `synod_validators`: who orders, and what they are trusted not to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitteeView {
    /// The epoch.
    pub epoch: u64,
    /// The height of the block that it started from.
    pub base: Height,
    /// How it orders: `"pbft"`.
    pub ordering: String,
    /// So many members may do anything at all, and nothing goes wrong.
    pub faults: u32,
    /// So many members decide.
    pub quorum: u32,
    /// In the order of their indexes.
    pub members: Vec<MemberView>,
    /// The height at which this was read.
    pub height: Height,
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

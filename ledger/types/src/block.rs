//! Blocks: an 80-byte header in Bitcoin's layout, the commitment that it binds, and the transactions.
//!
//! The header is what a miner searches and what an outside miner or a header-only client knows. Everything
//! that is ours (heights, roots, fees, the proposer) is in the [`Commitment`], whose SHA-256 stands in the
//! header where Bitcoin has its Merkle root. The extra nonce is the commitment's last field, so that a
//! miner who changes it hashes only the tail again.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{Address, B256, Bloom, U256, hex};
use serde::{Deserialize, Serialize};

use crate::codec::{self, BLOCK_LIMIT, DecodeError, fixed};
use crate::hash::{list_leaf, root_of_leaves, sha256, sha256d};
use crate::number::{Gas, Height, Position, UnixMillis};
use crate::transaction::Transaction;

/// The format that [`Commitment::format`] names.
pub const FORMAT_VERSION: u32 = 1;
/// The header version that this ledger writes.
pub const HEADER_VERSION: u32 = 1;
/// Bytes of a header.
pub const HEADER_LENGTH: usize = 80;

/// A block's hash: SHA-256d of its header. Compared as a little-endian number and printed reversed, as
/// Bitcoin does, so that work shows as leading zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockHash(#[serde(with = "fixed")] pub B256);

impl BlockHash {
    /// The number that proof of work compares with the target.
    pub fn to_number(self) -> U256 {
        U256::from_le_bytes(self.0.0)
    }
}

impl fmt::Display for BlockHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reversed = self.0.0;
        reversed.reverse();
        formatter.write_str(&hex::encode_prefixed(reversed))
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for BlockHash {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes: B256 = text.parse()?;
        bytes.0.reverse();
        Ok(Self(bytes))
    }
}

/// A block header: 80 bytes in Bitcoin's layout, integers little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Header {
    /// The header's version.
    pub version: u32,
    /// The block below; the genesis block has the genesis hash here.
    pub parent: BlockHash,
    /// SHA-256 of the [`Commitment`].
    #[serde(with = "fixed")]
    pub commitment: B256,
    /// Whole seconds since the Unix epoch.
    pub time: u32,
    /// The target in compact form; 0 under a committee.
    pub bits: u32,
    /// What the miner varies; 0 under a committee.
    pub nonce: u32,
}

impl Header {
    /// The 80 bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        bytes[0..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..36].copy_from_slice(self.parent.0.as_slice());
        bytes[36..68].copy_from_slice(self.commitment.as_slice());
        bytes[68..72].copy_from_slice(&self.time.to_le_bytes());
        bytes[72..76].copy_from_slice(&self.bits.to_le_bytes());
        bytes[76..80].copy_from_slice(&self.nonce.to_le_bytes());
        bytes
    }

    /// The header of 80 bytes: every 80 bytes are one.
    pub fn from_bytes(bytes: &[u8; HEADER_LENGTH]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self {
            version: word(0),
            parent: BlockHash(B256::from_slice(&bytes[4..36])),
            commitment: B256::from_slice(&bytes[36..68]),
            time: word(68),
            bits: word(72),
            nonce: word(76),
        }
    }

    /// The block's hash.
    pub fn hash(&self) -> BlockHash {
        BlockHash(sha256d(&self.to_bytes()))
    }
}

/// Everything that a header binds beside the parent, the time in seconds and the work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commitment {
    /// [`FORMAT_VERSION`].
    pub format: u32,
    /// The block's place in the order.
    pub position: Position,
    /// Its height.
    pub height: Height,
    /// The milliseconds within the header's second, 0 to 999.
    pub millis: u16,
    /// [`list_root`](crate::hash::list_root) of the transactions' canonical bytes, witnesses included.
    #[serde(with = "fixed")]
    pub transactions_root: B256,
    /// The state tree's root after this block.
    #[serde(with = "fixed")]
    pub state_root: B256,
    /// [`list_root`](crate::hash::list_root) of the receipts' canonical bytes.
    #[serde(with = "fixed")]
    pub receipts_root: B256,
    /// Bloom filter of the receipts' logs.
    #[serde(with = "fixed")]
    pub logs_bloom: Bloom,
    /// Gas used by all transactions.
    pub gas_used: Gas,
    /// The block's gas limit.
    pub gas_limit: Gas,
    /// Wei burnt for each unit of gas.
    pub base_fee: u128,
    /// Who proposed the block.
    #[serde(with = "fixed")]
    pub proposer: Address,
    /// Who gets the tips, and under proof of work the reward.
    #[serde(with = "fixed")]
    pub fee_recipient: Address,
    /// Hash of the committee record that the next epoch starts from; zero when the epoch goes on.
    #[serde(with = "fixed")]
    pub next_committee: B256,
    /// What a miner varies when the header's nonces are used up.
    pub extra_nonce: u64,
}

impl Commitment {
    /// What stands in the header.
    pub fn digest(&self) -> B256 {
        sha256(&[&codec::encode(self)])
    }
}

/// What an ordering decides: the input of execution, from which the ledger builds the block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The block's time.
    pub time: UnixMillis,
    /// Who proposes.
    #[serde(with = "fixed")]
    pub proposer: Address,
    /// Who gets the tips and the reward.
    #[serde(with = "fixed")]
    pub fee_recipient: Address,
    /// In the order of execution.
    pub transactions: Vec<Transaction>,
}

/// A whole block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The 80 bytes that are hashed.
    pub header: Header,
    /// What the header binds.
    pub commitment: Commitment,
    /// The transactions, in order.
    pub transactions: Vec<Transaction>,
}

/// Why a block's parts do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyMismatch {
    /// The header binds another commitment.
    #[error("the header binds another commitment")]
    Commitment,
    /// The commitment binds other transactions.
    #[error("the commitment binds other transactions")]
    Transactions,
    /// The milliseconds are not below a second.
    #[error("{0} milliseconds are not within a second")]
    Millis(u16),
}

impl Block {
    /// The block's hash.
    pub fn hash(&self) -> BlockHash {
        self.header.hash()
    }

    /// The block's height.
    pub fn height(&self) -> Height {
        self.commitment.height
    }

    /// The block's time, seconds from the header and milliseconds from the commitment.
    pub fn time(&self) -> UnixMillis {
        UnixMillis(u64::from(self.header.time) * 1000 + u64::from(self.commitment.millis))
    }

    /// Whether this body is the one that the header binds (POW-6). A mismatch says nothing about the
    /// header: whoever sent the body is to blame, and another body may match.
    ///
    /// # Errors
    /// [`BodyMismatch`].
    pub fn check_body(&self) -> Result<(), BodyMismatch> {
        if self.commitment.digest() != self.header.commitment {
            return Err(BodyMismatch::Commitment);
        }
        if transactions_root(&self.transactions) != self.commitment.transactions_root {
            return Err(BodyMismatch::Transactions);
        }
        if self.commitment.millis > 999 {
            return Err(BodyMismatch::Millis(self.commitment.millis));
        }
        Ok(())
    }

    /// The payload from which the ledger builds this block again.
    pub fn payload(&self) -> Payload {
        Payload {
            time: self.time(),
            proposer: self.commitment.proposer,
            fee_recipient: self.commitment.fee_recipient,
            transactions: self.transactions.clone(),
        }
    }

    /// The canonical bytes, as logs and wires carry them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1024 + 256 * self.transactions.len());
        codec::encode_into(&mut bytes, self);
        bytes
    }

    /// Reads canonical bytes, at most [`BLOCK_LIMIT`] of them.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode::<Self, BLOCK_LIMIT>(bytes)
    }
}

/// The root over the transactions' canonical bytes.
pub fn transactions_root(transactions: &[Transaction]) -> B256 {
    let mut bytes = Vec::new();
    let leaf = |transaction: &Transaction| {
        bytes.clear();
        codec::encode_into(&mut bytes, transaction);
        list_leaf(&bytes)
    };
    root_of_leaves(transactions.iter().map(leaf).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Block {
        let commitment = Commitment {
            format: FORMAT_VERSION,
            position: Position::default(),
            height: Height(5),
            millis: 250,
            transactions_root: transactions_root(&[]),
            state_root: B256::repeat_byte(1),
            receipts_root: B256::repeat_byte(2),
            logs_bloom: Bloom::ZERO,
            gas_used: Gas(0),
            gas_limit: Gas(100),
            base_fee: 1,
            proposer: Address::repeat_byte(3),
            fee_recipient: Address::repeat_byte(4),
            next_committee: B256::ZERO,
            extra_nonce: 6,
        };
        let header = Header {
            version: HEADER_VERSION,
            parent: BlockHash(B256::repeat_byte(9)),
            commitment: commitment.digest(),
            time: 1_700_000_000,
            bits: 0x207f_ffff,
            nonce: 42,
        };
        Block { header, commitment, transactions: Vec::new() }
    }

    #[test]
    fn golden_bytes_of_a_block() {
        let bytes = sample().to_bytes();
        assert_eq!(
            (bytes.len(), sha256(&[&bytes]).to_string().as_str()),
            (582, "0xf56ebe0bd5984f39c5d5991c5082c12bc6731f5b3e53c1792403ca7036f5dc89")
        );
        assert_eq!(
            sample().hash().to_string(),
            "0xbadeecac48ea20f23f68fde485f1fcff429b231754172a1af61559fab8af0827"
        );
        assert_eq!(Block::from_bytes(&bytes), Ok(sample()));
        assert_eq!(Header::from_bytes(&sample().header.to_bytes()), sample().header);
    }

    #[test]
    fn pow_6_a_body_of_another_header_is_told_apart() {
        assert_eq!(sample().check_body(), Ok(()));
        let mut other = sample();
        other.commitment.extra_nonce += 1;
        assert_eq!(other.check_body(), Err(BodyMismatch::Commitment));
        let mut other = sample();
        other.commitment.transactions_root = B256::ZERO;
        other.header.commitment = other.commitment.digest();
        assert_eq!(other.check_body(), Err(BodyMismatch::Transactions));
    }

    #[test]
    fn hashes_are_printed_reversed_and_read_back() {
        let hash = sample().hash();
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(hash.to_string()[2..4], format!("{:02x}", hash.0[31]));
    }
}

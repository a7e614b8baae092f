//! Blocks: a summary for lists, the whole for those who ask.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use synod_types::{Address, B256, BlockHash, Bloom, Gas, Height, Position, TransactionId, U256, UnixMillis};

use super::text;
use super::transaction::TransactionView;

/// What stands in a block reference's place: `synod_block("latest")`, `synod_block(17)`, `synod_block("0x…")`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockReference {
    /// The tip.
    Latest,
    /// Six deep.
    Safe,
    /// As deep as the genesis calls settled.
    Settled,
    /// The genesis block.
    Genesis,
    /// On the best chain at this height.
    Height(Height),
    /// This block, on any branch that the node keeps.
    Hash(BlockHash),
}

impl fmt::Display for BlockReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => formatter.write_str("latest"),
            Self::Safe => formatter.write_str("safe"),
            Self::Settled => formatter.write_str("settled"),
            Self::Genesis => formatter.write_str("genesis"),
            Self::Height(height) => height.fmt(formatter),
            Self::Hash(hash) => hash.fmt(formatter),
        }
    }
}

/// Not a block reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a block is named by latest, safe, settled, genesis, its height, or 0x and the 64 hex digits of its hash"
)]
pub struct BlockReferenceError;

impl FromStr for BlockReference {
    type Err = BlockReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "latest" => Ok(Self::Latest),
            "safe" => Ok(Self::Safe),
            "settled" | "finalized" => Ok(Self::Settled),
            "genesis" => Ok(Self::Genesis),
            _ => match text.strip_prefix("0x") {
                Some(digits) if digits.len() == 64 => {
                    text.parse().map(Self::Hash).map_err(|_| BlockReferenceError)
                }
                Some(_) => Err(BlockReferenceError),
                None => {
                    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                    let height = text.parse().ok().filter(|_| digits);
                    height.map(|height| Self::Height(Height(height))).ok_or(BlockReferenceError)
                }
            },
        }
    }
}

impl Serialize for BlockReference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Height(height) => serializer.serialize_u64(height.0),
            other => serializer.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for BlockReference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        match Either::deserialize(deserializer).map_err(|_| serde::de::Error::custom(BlockReferenceError))? {
            Either::Number(height) => Ok(Self::Height(Height(height))),
            Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// A block in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockSummary {
    /// Its hash.
    #[serde(with = "text")]
    pub hash: BlockHash,
    /// Its height.
    pub height: Height,
    /// The block below.
    #[serde(with = "text")]
    pub parent: BlockHash,
    /// Its time, in milliseconds since the Unix epoch.
    pub time: UnixMillis,
    /// How many transactions it holds.
    pub transactions: u32,
    /// Gas that they used.
    pub gas_used: Gas,
    /// Who got the tips and the reward.
    #[serde(with = "text::checksummed")]
    pub fee_recipient: Address,
}

/// The 80-byte header, field by field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderView {
    /// The header's version.
    pub version: u32,
    /// The block below.
    #[serde(with = "text")]
    pub parent: BlockHash,
    /// SHA-256 of the commitment.
    pub commitment: B256,
    /// Whole seconds since the Unix epoch.
    pub time: u32,
    /// The target in compact form.
    pub bits: u32,
    /// What the miner varied.
    pub nonce: u32,
    /// The 80 bytes, `0x` hex.
    pub raw: String,
}

/// What the header binds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitmentView {
    /// The format's version.
    pub format: u32,
    /// The block's place in the order.
    pub position: Position,
    /// Milliseconds within the header's second.
    pub millis: u16,
    /// Root of the transactions' bytes.
    pub transactions_root: B256,
    /// Root of the state after the block.
    pub state_root: B256,
    /// Root of the receipts' bytes.
    pub receipts_root: B256,
    /// Filter of the logs.
    pub logs_bloom: Bloom,
    /// Gas used by all transactions.
    pub gas_used: Gas,
    /// The block's gas limit.
    pub gas_limit: Gas,
    /// Wei burnt for each unit of gas.
    #[serde(with = "text")]
    pub base_fee: u128,
    /// Who proposed the block.
    #[serde(with = "text::checksummed")]
    pub proposer: Address,
    /// Who got the tips and the reward.
    #[serde(with = "text::checksummed")]
    pub fee_recipient: Address,
    /// Hash of the next committee's record, zero when the epoch goes on.
    pub next_committee: B256,
    /// What the miner varied beside the header's nonce.
    #[serde(with = "text")]
    pub extra_nonce: u64,
}

/// A block's transactions, by id or whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BlockTransactions {
    /// Asked with `full: false`.
    #[serde(with = "text::list")]
    Ids(Vec<TransactionId>),
    /// Asked with `full: true`.
    Full(Vec<TransactionView>),
}

/// `synod_block`: the whole block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockView {
    /// Its hash.
    #[serde(with = "text")]
    pub hash: BlockHash,
    /// Its height.
    pub height: Height,
    /// Its time, in milliseconds since the Unix epoch.
    pub time: UnixMillis,
    /// The 80 bytes that are hashed.
    pub header: HeaderView,
    /// What the header binds.
    pub commitment: CommitmentView,
    /// The transactions, in order.
    pub transactions: BlockTransactions,
    /// Bytes of the whole block's canonical encoding.
    pub size: u32,
    /// 1 for the tip; 0 when it is not on the best chain.
    pub depth: u64,
    /// Whether it is as deep as the genesis calls settled. A report, never a lock (POW-14).
    pub settled: bool,
    /// Work of the chain up to and including this block, as `0x` hex.
    pub work: U256,
    /// The reward paid to the fee recipient beside the tips, in wei.
    #[serde(with = "text")]
    pub reward: U256,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_named_by_tag_height_or_hash() {
        let hash = BlockHash(B256::repeat_byte(7));
        for (json, reference) in [
            ("\"latest\"".to_owned(), BlockReference::Latest),
            ("17".to_owned(), BlockReference::Height(Height(17))),
            ("\"17\"".to_owned(), BlockReference::Height(Height(17))),
            (format!("\"{hash}\""), BlockReference::Hash(hash)),
        ] {
            assert_eq!(serde_json::from_str::<BlockReference>(&json).unwrap(), reference, "{json}");
        }
        for json in ["\"\"", "\"0x12\"", "-1", "null", "\"+5\"", "1e3", "\"tip\"", "[]"] {
            assert!(serde_json::from_str::<BlockReference>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn references_are_written_as_they_are_read() {
        for reference in [BlockReference::Settled, BlockReference::Height(Height(3)), BlockReference::Genesis]
        {
            let json = serde_json::to_string(&reference).unwrap();
            assert_eq!(serde_json::from_str::<BlockReference>(&json).unwrap(), reference);
            assert_eq!(reference.to_string().parse(), Ok(reference));
        }
    }
}

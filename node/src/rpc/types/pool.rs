//! Submitting transactions, and what waits.

use serde::{Deserialize, Serialize};
use synod_types::{Address, Height, TransactionId, U256};

use super::text;

/// What became of a submission that was not refused (RPC-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubmitOutcome {
    /// In the pool, now or before. Not final.
    Pending,
    /// In a block of the best chain already. Not final below the depth that the user wants.
    Included,
}

/// `synod_submit`: submitting the same transaction again gives its current status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitView {
    /// The transaction's id.
    #[serde(with = "text")]
    pub id: TransactionId,
    /// Where it stands.
    pub outcome: SubmitOutcome,
    /// The block's height, when included.
    pub height: Option<Height>,
    /// 1 in the tip, when included.
    pub depth: Option<u64>,
    /// The transaction of the same sender and nonce that it pushed out.
    #[serde(default, with = "text::option")]
    pub replaced: Option<TransactionId>,
    /// Why it cannot be in the next block yet.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A waiting transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolEntry {
    /// Its id.
    #[serde(with = "text")]
    pub id: TransactionId,
    /// Who pays.
    #[serde(with = "text::checksummed")]
    pub sender: Address,
    /// Its nonce.
    #[serde(with = "text::exact")]
    pub nonce: u64,
    /// Who receives; `null` creates a contract.
    #[serde(with = "text::checksummed::option")]
    pub to: Option<Address>,
    /// How much, in wei.
    #[serde(with = "text")]
    pub value: U256,
    /// The most paid for a unit of gas, in wei.
    #[serde(with = "text")]
    pub max_fee: u128,
    /// The most that the fee recipient gets for a unit of gas, in wei.
    #[serde(with = "text")]
    pub max_tip: u128,
    /// Its gas limit.
    #[serde(with = "text::exact")]
    pub gas_limit: u64,
    /// Bytes of its canonical encoding.
    pub size: u32,
    /// Milliseconds since it came.
    pub waiting_ms: u64,
    /// Submitted to this node itself.
    pub local: bool,
    /// Why it cannot be in the next block yet.
    pub reason: Option<String>,
}

/// `synod_pool`: what waits, at most 1,000 transactions of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolView {
    /// All transactions in the pool.
    pub transactions: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The pool's limit in bytes.
    pub bytes_limit: u64,
    /// How many senders wait.
    pub senders: u64,
    /// The lowest fee for a unit of gas, in wei, that a full pool takes now; 0 while it has room.
    #[serde(with = "text")]
    pub fee_to_enter: u128,
    /// The transactions, by sender and nonce.
    pub entries: Vec<PoolEntry>,
    /// Whether more wait than are listed.
    pub truncated: bool,
}

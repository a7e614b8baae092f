//! Transactions, their receipts, and where they stand.

use serde::{Deserialize, Serialize};
use synod_types::{
    Address, B256, BlockHash, Bytes, Gas, Height, Log, NativeTransaction, PublicKey, Receipt, Transaction,
    TransactionId, U256,
};

use super::contract::revert_reason;
use super::text;

/// Declared accesses to one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessView {
    /// The account.
    #[serde(with = "text::checksummed")]
    pub address: Address,
    /// Its slots.
    pub slots: Vec<B256>,
}

/// A transaction, field by field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionView {
    /// Its id.
    #[serde(with = "text")]
    pub id: TransactionId,
    /// `"native"`.
    pub kind: String,
    /// Who pays.
    #[serde(with = "text::checksummed")]
    pub sender: Address,
    /// The key that signed.
    pub public_key: PublicKey,
    /// How many transactions of the sender came before.
    #[serde(with = "text::exact")]
    pub nonce: u64,
    /// The most paid for a unit of gas, in wei, tip included.
    #[serde(with = "text")]
    pub max_fee: u128,
    /// The most that the fee recipient gets for a unit of gas, in wei.
    #[serde(with = "text")]
    pub max_tip: u128,
    /// The most gas that it may use.
    #[serde(with = "text::exact")]
    pub gas_limit: u64,
    /// Who receives; `null` creates a contract.
    #[serde(with = "text::checksummed::option")]
    pub to: Option<Address>,
    /// How much, in wei.
    #[serde(with = "text")]
    pub value: U256,
    /// The call's input, or a creation's code.
    pub data: Bytes,
    /// Declared accesses.
    pub access_list: Vec<AccessView>,
    /// The last height at which it may be included.
    #[serde(with = "text::exact::option")]
    pub valid_until: Option<u64>,
    /// Its canonical bytes, signature included: `synod_submit` takes them again.
    pub raw: Bytes,
}

impl TransactionView {
    /// How `transaction`, whose id and sender are known, is shown.
    pub fn new(transaction: &Transaction, id: TransactionId, sender: Address) -> Self {
        let raw = transaction.to_bytes().into();
        Self::native(transaction.native(), id, sender, raw)
    }

    fn native(native: &NativeTransaction, id: TransactionId, sender: Address, raw: Bytes) -> Self {
        let access = |item: &synod_types::transaction::AccessListItem| AccessView {
            address: item.address,
            slots: item.slots.clone(),
        };
        Self {
            id,
            kind: "native".to_owned(),
            sender,
            public_key: native.sender,
            nonce: native.nonce,
            max_fee: native.max_fee,
            max_tip: native.max_tip,
            gas_limit: native.gas_limit.0,
            to: native.to,
            value: native.value,
            data: native.data.clone(),
            access_list: native.access_list.iter().map(access).collect(),
            valid_until: native.valid_until.map(|height| height.0),
            raw,
        }
    }
}

/// An event of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogView {
    /// The contract.
    #[serde(with = "text::checksummed")]
    pub address: Address,
    /// At most four.
    pub topics: Vec<B256>,
    /// The rest.
    pub data: Bytes,
}

impl From<&Log> for LogView {
    fn from(log: &Log) -> Self {
        Self { address: log.address, topics: log.topics.clone(), data: log.data.clone() }
    }
}

/// What became of a transaction in its block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptView {
    /// Whether it did what it was to do; a failed one pays for its gas all the same.
    pub succeeded: bool,
    /// Gas used.
    pub gas_used: Gas,
    /// Wei paid for each unit of gas, base fee and tip together.
    #[serde(with = "text")]
    pub effective_fee: u128,
    /// The whole fee, in wei: gas used times the effective fee.
    #[serde(with = "text")]
    pub fee: U256,
    /// The contract that it created.
    #[serde(with = "text::checksummed::option")]
    pub created: Option<Address>,
    /// Returned bytes or revert data, at most 1 KiB of them.
    pub output: Bytes,
    /// Why it failed, in words, when its revert data says so; `synod_trace` knows more.
    #[serde(default)]
    pub reason: Option<String>,
    /// Events.
    pub logs: Vec<LogView>,
}

impl From<&Receipt> for ReceiptView {
    fn from(receipt: &Receipt) -> Self {
        Self {
            succeeded: receipt.succeeded,
            gas_used: receipt.gas_used,
            effective_fee: receipt.effective_fee,
            fee: U256::from(receipt.gas_used.0).saturating_mul(U256::from(receipt.effective_fee)),
            created: receipt.created,
            output: receipt.output.clone(),
            reason: if receipt.succeeded { None } else { revert_reason(&receipt.output) },
            logs: receipt.logs.iter().map(LogView::from).collect(),
        }
    }
}

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionStatus {
    /// In this node's pool.
    Pending,
    /// In a block of the best chain, which may still change.
    Included,
    /// Not known here: never seen, dropped, or older than this node's index.
    Unknown,
}

/// `synod_transaction`: where a transaction stands, read at `height`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionStatusView {
    /// The id that was asked for.
    #[serde(with = "text")]
    pub id: TransactionId,
    /// Where it stands.
    pub status: TransactionStatus,
    /// The transaction, when it is known.
    pub transaction: Option<TransactionView>,
    /// Its outcome, when it is included.
    pub receipt: Option<ReceiptView>,
    /// The block that holds it.
    #[serde(with = "text::option")]
    pub block_hash: Option<BlockHash>,
    /// That block's height.
    pub height: Option<Height>,
    /// Its place in the block, from 0.
    pub index: Option<u32>,
    /// 1 in the tip.
    pub depth: Option<u64>,
    /// Work of the blocks above its block, `0x` hex (POW-12).
    #[serde(default)]
    pub work_on_top: Option<U256>,
    /// Whether it is as deep as the genesis calls settled. A report, never a lock.
    pub settled: bool,
    /// Why a pending one is not in a block yet.
    pub reason: Option<String>,
    /// Of an unknown one: the transaction of the same sender and nonce that took its place, where the node
    /// remembers that. Only one of the two can ever be in the chain.
    #[serde(default, with = "text::option")]
    pub replaced_by: Option<TransactionId>,
    /// The tip's height when this was read.
    pub tip_height: Height,
}

//! Receipts: what became of a transaction in its block.

use alloy_primitives::{Address, B256, Bloom, BloomInput, Bytes};
use serde::{Deserialize, Serialize};

use crate::codec::fixed;
use crate::number::Gas;
use crate::transaction::TransactionId;

/// An event that a contract emitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The contract.
    #[serde(with = "fixed")]
    pub address: Address,
    /// At most four topics.
    #[serde(with = "fixed::list")]
    pub topics: Vec<B256>,
    /// The rest.
    pub data: Bytes,
}

/// The outcome of one transaction. Its canonical bytes are a leaf of the block's receipts root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Of which transaction.
    pub transaction: TransactionId,
    /// Whether it did what it was to do; a failed one pays for its gas all the same.
    pub succeeded: bool,
    /// Gas used by this transaction.
    pub gas_used: Gas,
    /// Wei paid for each unit of gas, base fee and tip together.
    pub effective_fee: u128,
    /// The contract that it created.
    #[serde(with = "fixed::option")]
    pub created: Option<Address>,
    /// Returned bytes, or the revert data of a failed transaction, at most 1 KiB of them.
    pub output: Bytes,
    /// Events, none for a failed transaction.
    pub logs: Vec<Log>,
}

/// The bloom filter over the receipts' logs: each log's address and topics.
pub fn logs_bloom(receipts: &[Receipt]) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for log in receipts.iter().flat_map(|receipt| &receipt.logs) {
        bloom.accrue(BloomInput::Raw(log.address.as_slice()));
        for topic in &log.topics {
            bloom.accrue(BloomInput::Raw(topic.as_slice()));
        }
    }
    bloom
}

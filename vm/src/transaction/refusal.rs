//! Why a transaction cannot be executed at all: it is left out of the block and pays nothing.

use alloy_primitives::U256;

/// A refusal. Each sentence says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The nonce was used already.
    #[error("nonce too low: the account is at {expected}, the transaction has {found}")]
    NonceTooLow {
        /// The account's.
        expected: u64,
        /// The transaction's.
        found: u64,
    },
    /// An earlier transaction is missing.
    #[error(
        "nonce too high: the account is at {expected}, the transaction has {found}; send those before it first"
    )]
    NonceTooHigh {
        /// The account's.
        expected: u64,
        /// The transaction's.
        found: u64,
    },
    /// The last nonce cannot be used (EIP-2681).
    #[error("the account has used up its nonces: use another account")]
    NonceUsedUp,
    /// The sender is a contract (EIP-3607).
    #[error("the sender is a contract: contracts cannot send transactions")]
    SenderIsContract,
    /// The gas limit is above the block's.
    #[error("gas limit {gas_limit} is above the block's {block_gas_limit}: lower it")]
    GasLimitAboveBlock {
        /// The transaction's.
        gas_limit: u64,
        /// The block's.
        block_gas_limit: u64,
    },
    /// The gas limit does not pay for the transaction's own bytes.
    #[error(
        "gas limit {gas_limit} is below the {needed} that the transaction costs before it runs: raise it"
    )]
    IntrinsicGasTooLow {
        /// The transaction's limit.
        gas_limit: u64,
        /// What it costs.
        needed: u64,
    },
    /// The fee does not cover the base fee (EIP-1559).
    #[error("max fee {max_fee} wei is below the block's base fee {base_fee}: raise it")]
    FeeBelowBaseFee {
        /// The transaction's, for each unit of gas.
        max_fee: U256,
        /// The block's.
        base_fee: U256,
    },
    /// The tip is above the whole fee (EIP-1559).
    #[error("the tip is above the max fee: lower the tip or raise the max fee")]
    TipAboveFee,
    /// The sender cannot pay gas limit × fee + value.
    #[error("insufficient funds: the account has {balance} wei and may need {needed}")]
    InsufficientFunds {
        /// The sender's balance.
        balance: U256,
        /// What must be at hand; `U256::MAX` where it is more than fits.
        needed: U256,
    },
    /// Init code longer than EIP-3860 allows.
    #[error("init code of {length} bytes is above the limit of {limit}: split the contract")]
    InitCodeTooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// A type 3 transaction creates a contract.
    #[error("a blob transaction cannot create a contract")]
    BlobsCreate,
    /// A type 3 transaction without blobs.
    #[error("a blob transaction needs at least one blob")]
    NoBlobs,
    /// More blobs than a block holds.
    #[error("{count} blobs are more than the {limit} that a block holds")]
    TooManyBlobs {
        /// The transaction's.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A versioned hash of an unknown version.
    #[error("a blob's versioned hash must begin with 0x01")]
    BlobHashVersion,
    /// The blob fee does not cover the block's.
    #[error("max blob fee {max_fee} wei is below the block's {base_fee}: raise it")]
    BlobFeeTooLow {
        /// The transaction's, for each unit of blob gas.
        max_fee: U256,
        /// The block's.
        base_fee: U256,
    },
}

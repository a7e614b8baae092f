//! Why the pool does not take a transaction. Each sentence says what would be taken.

use synod_types::{Gas, Height, TransactionId, U256};

/// Why the pool does not take a transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The account has used this nonce.
    #[error("nonce {nonce} is used: the account's next is {expected}")]
    NonceTooLow {
        /// The transaction's.
        nonce: u64,
        /// The account's next.
        expected: u64,
    },
    /// Too far ahead.
    #[error(
        "nonce {nonce} is too far ahead: the account's next is {expected}, and the pool holds up to {highest}"
    )]
    NonceTooHigh {
        /// The transaction's.
        nonce: u64,
        /// The account's next.
        expected: u64,
        /// The highest that would be taken.
        highest: u64,
    },
    /// The account cannot pay.
    #[error(
        "the account has {balance} wei, and this may cost {cost} beside {waiting} for what already waits before it"
    )]
    InsufficientFunds {
        /// Gas limit times fee, and the value.
        cost: U256,
        /// What the sender's waiting transactions with lower nonces may cost.
        waiting: U256,
        /// What the account can spend.
        balance: U256,
    },
    /// Below the floor of the base fee.
    #[error("the fee of {max_fee} wei for each gas is below {floor} wei, the least that any block takes")]
    FeeTooLow {
        /// The transaction's.
        max_fee: u128,
        /// The least.
        floor: u128,
    },
    /// The nonce is taken by a transaction that pays too much to be replaced by this one.
    #[error(
        "{existing} waits with this nonce: replacing it takes a fee of {fee_needed} and a tip of {tip_needed} wei for each gas"
    )]
    ReplacementUnderpriced {
        /// The one that waits.
        existing: TransactionId,
        /// The least fee that replaces it.
        fee_needed: u128,
        /// The least tip that replaces it.
        tip_needed: u128,
    },
    /// No room for this fee.
    #[error(
        "the pool is full of transactions that pay at least {cheapest} wei for each gas: pay more, or wait"
    )]
    PoolFull {
        /// The fee of the cheapest that would leave next.
        cheapest: u128,
    },
    /// `valid_until` has passed.
    #[error("valid until height {valid_until}, and the next block is {next}")]
    Expired {
        /// The last height that it allows.
        valid_until: Height,
        /// The next block's height.
        next: Height,
    },
    /// Costs more gas than it allows before it does anything.
    #[error("a gas limit of {limit} does not cover the {needed} that this costs before anything runs")]
    GasTooLow {
        /// The transaction's gas limit.
        limit: Gas,
        /// What it costs at least.
        needed: Gas,
    },
    /// Allows more gas than any block has.
    #[error("a gas limit of {limit} is more than the {block} of a block")]
    GasTooHigh {
        /// The transaction's gas limit.
        limit: Gas,
        /// A block's.
        block: Gas,
    },
    /// Longer than the pool or any block takes; or the code of a creation is.
    #[error("{bytes} bytes, where at most {limit} are taken")]
    TooLarge {
        /// The transaction's bytes.
        bytes: usize,
        /// The most.
        limit: usize,
    },
}

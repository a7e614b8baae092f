//! The pool's bounds, and what it must know of the chain's rules.

use synod_types::codec::TRANSACTION_LIMIT;
use synod_types::{Gas, Genesis, NativeTransaction};

/// What the pool may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Bytes of all transactions' canonical encodings.
    pub bytes: usize,
    /// Bytes of one transaction's canonical encoding.
    pub transaction_bytes: usize,
    /// How far ahead of its account a sender's nonces may run: a queue holds no more than so many.
    pub nonces_per_sender: u64,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { bytes: 64 * 1024 * 1024, transaction_bytes: TRANSACTION_LIMIT, nonces_per_sender: 64 }
    }
}

/// The chain's rules that no transaction can wait its way around.
#[derive(Debug, Clone, Copy)]
pub struct ChainRules {
    /// A block's gas: a transaction with a higher gas limit fits into none.
    pub block_gas: Gas,
    /// A block's bytes of transactions.
    pub block_bytes: usize,
    /// The base fee never falls below this, in wei for each gas.
    pub fee_floor: u128,
    /// The gas that a transaction costs before anything runs.
    pub intrinsic_gas: fn(&NativeTransaction) -> Gas,
}

impl ChainRules {
    /// The rules of a genesis, with the ledger's own count of intrinsic gas.
    pub fn of(genesis: &Genesis, intrinsic_gas: fn(&NativeTransaction) -> Gas) -> Self {
        Self {
            block_gas: genesis.limits.block_gas,
            block_bytes: genesis.limits.block_bytes as usize,
            fee_floor: u128::from(genesis.fees.base_fee_floor),
            intrinsic_gas,
        }
    }
}

/// What a block has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRoom {
    /// The sum of gas limits.
    pub gas: Gas,
    /// The sum of bytes.
    pub bytes: usize,
    /// How many transactions.
    pub transactions: usize,
}

impl BlockRoom {
    /// A whole block of this genesis.
    pub fn of(genesis: &Genesis) -> Self {
        Self {
            gas: genesis.limits.block_gas,
            bytes: genesis.limits.block_bytes as usize,
            transactions: genesis.limits.block_transactions as usize,
        }
    }
}

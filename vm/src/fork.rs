//! The fork that the machine runs, chosen in one place: [`FORK`].
//!
//! A later fork is another constant of type [`Fork`] (and rows in [`crate::opcode`]). The set of
//! precompiles is part of it, and so frozen in genesis with it (EVM-14).

use crate::precompile::{self, Precompile};
use alloy_primitives::U256;

/// The rules that differ between forks.
#[derive(Debug)]
pub struct Fork {
    /// The name that the official tests use.
    pub name: &'static str,
    /// Longest contract code, in bytes (EIP-170).
    pub code_limit_bytes: usize,
    /// Longest init code, in bytes (EIP-3860).
    pub init_code_limit_bytes: usize,
    /// At most gas used divided by this is refunded (EIP-3529).
    pub refund_quotient: u64,
    /// Most blobs in one block, and so in one transaction (EIP-4844).
    pub blobs_per_block: usize,
    /// How slowly the blob base fee moves (EIP-4844, `BLOB_BASE_FEE_UPDATE_FRACTION`).
    pub blob_fee_update_fraction: U256,
    /// Precompiled contracts: the one at index `i` has address `i + 1`.
    pub precompiles: &'static [Precompile],
}

/// The fork in force.
pub const FORK: Fork = CANCUN;

/// Cancun, March 2024.
pub const CANCUN: Fork = Fork {
    name: "Cancun",
    code_limit_bytes: 24_576,
    init_code_limit_bytes: 49_152,
    refund_quotient: 5,
    blobs_per_block: 6,
    blob_fee_update_fraction: U256::from_limbs([3_338_477, 0, 0, 0]),
    precompiles: &precompile::CANCUN,
};

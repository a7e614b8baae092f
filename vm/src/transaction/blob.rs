//! Blobs (EIP-4844): their base fee and the rules of a type 3 transaction.

use super::{Blobs, Block, Refusal, Transaction};
use crate::fork::FORK;
use crate::gas;
use alloy_primitives::U256;

/// The first byte of a versioned hash: the KZG version.
const HASH_VERSION: u8 = 1;

impl Blobs {
    /// Their blob gas.
    pub(super) fn gas(&self) -> U256 {
        U256::from(self.hashes.len()) * U256::from(gas::BLOB)
    }
}

/// Checks what a type 3 transaction says of its blobs; others pass.
pub(super) fn check(transaction: &Transaction, block: &Block) -> Result<(), Refusal> {
    let Some(blobs) = &transaction.blobs else { return Ok(()) };
    if transaction.to.is_none() {
        return Err(Refusal::BlobsCreate);
    }
    if blobs.hashes.is_empty() {
        return Err(Refusal::NoBlobs);
    }
    let (count, limit) = (blobs.hashes.len(), FORK.blobs_per_block);
    if count > limit {
        return Err(Refusal::TooManyBlobs { count, limit });
    }
    if blobs.hashes.iter().any(|hash| hash[0] != HASH_VERSION) {
        return Err(Refusal::BlobHashVersion);
    }
    let (max_fee, base_fee) = (blobs.max_fee_per_gas, block.blob_base_fee);
    if max_fee < base_fee {
        return Err(Refusal::BlobFeeTooLow { max_fee, base_fee });
    }
    Ok(())
}

/// The blob base fee in wei, from the excess blob gas in the header: e^(excess / fraction) by its Taylor
/// series, in integers (EIP-4844, `fake_exponential` with a least fee of 1). Saturates, far beyond any
/// fee that could be paid.
pub fn blob_base_fee(excess_blob_gas: u64) -> U256 {
    let fraction = FORK.blob_fee_update_fraction;
    let excess = U256::from(excess_blob_gas);
    let mut sum = U256::ZERO;
    let mut term = fraction;
    let mut n = U256::ONE;
    while !term.is_zero() {
        sum = sum.saturating_add(term);
        let Some(product) = term.checked_mul(excess) else { return U256::MAX };
        term = product / (fraction * n);
        n += U256::ONE;
    }
    sum / fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of EIP-4844: the fee is 1 with no excess and begins to grow after 2,314,057.
    #[test]
    fn blob_base_fee_grows_exponentially() {
        let fees = [(0, 1), (2_314_057, 1), (2_314_058, 2), (10 * 1024 * 1024, 23)];
        for (excess, fee) in fees {
            assert_eq!(blob_base_fee(excess), U256::from(fee), "{excess}");
        }
        assert_eq!(blob_base_fee(u64::MAX), U256::MAX);
    }
}

//! 2, 3 and 4: SHA-256, RIPEMD-160, identity.

use crate::gas::{charge, per_word};
use crate::halt::Halt;
use ripemd::Ripemd160;
use sha2::{Digest, Sha256};

/// SHA-256: 60 gas and 12 for each word.
pub(super) fn sha256(input: &[u8], gas: u64, output: &mut Vec<u8>) -> Result<u64, Halt> {
    let left = charge(gas, 60 + per_word(input.len(), 12))?;
    output.extend_from_slice(&Sha256::digest(input));
    Ok(left)
}

/// RIPEMD-160, left-padded to a word: 600 gas and 120 for each word.
pub(super) fn ripemd160(input: &[u8], gas: u64, output: &mut Vec<u8>) -> Result<u64, Halt> {
    let left = charge(gas, 600 + per_word(input.len(), 120))?;
    output.extend_from_slice(&[0; 12]);
    output.extend_from_slice(&Ripemd160::digest(input));
    Ok(left)
}

/// The input again: 15 gas and 3 for each word.
pub(super) fn identity(input: &[u8], gas: u64, output: &mut Vec<u8>) -> Result<u64, Halt> {
    let left = charge(gas, 15 + per_word(input.len(), 3))?;
    output.extend_from_slice(input);
    Ok(left)
}

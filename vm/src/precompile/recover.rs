//! 1: the address that signed a hash with secp256k1.

use super::padded;
use crate::gas::charge;
use crate::halt::Halt;
use alloy_primitives::keccak256;
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};

const GAS: u64 = 3_000;

/// Input: hash, v (27 or 28 as a word), r, s. A signature that recovers to nothing gives no output, and
/// is no failure.
pub(super) fn ecrecover(input: &[u8], gas: u64, output: &mut Vec<u8>) -> Result<u64, Halt> {
    let left = charge(gas, GAS)?;
    if let Some(address) = recover(&padded(input, 0)) {
        output.extend_from_slice(&[0; 12]);
        output.extend_from_slice(&address);
    }
    Ok(left)
}

fn recover(input: &[u8; 128]) -> Option<[u8; 20]> {
    let (hash, rest) = input.split_at(32);
    let (v, signature) = rest.split_at(32);
    if v[..31] != [0; 31] {
        return None;
    }
    let mut odd = v[31].checked_sub(27).filter(|&odd| odd <= 1)?;
    let mut signature = Signature::from_slice(signature).ok()?;
    // The crate takes the low s only; the high one belongs to the mirrored point.
    if let Some(low) = signature.normalize_s() {
        signature = low;
        odd ^= 1;
    }
    let key = VerifyingKey::recover_from_prehash(hash, &signature, RecoveryId::from_byte(odd)?).ok()?;
    let point = key.to_encoded_point(false);
    let hash = keccak256(&point.as_bytes()[1..]);
    hash[12..].try_into().ok()
}

//! 6, 7 and 8: the curve alt_bn128 (EIP-196, EIP-197), at EIP-1108's prices.
//!
//! Coordinates are 32-byte big-endian numbers below the field's modulus; the point at infinity is written
//! as zeros. A point that is not on the curve, or not in the right subgroup, is refused.

use super::padded;
use crate::gas::charge;
use crate::halt::Halt;
use ark_bn254::{Bn254, Fq, Fq2, Fr, G1Affine, G1Projective, G2Affine};
use ark_ec::pairing::Pairing;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInt, BigInteger, One, PrimeField, Zero};

const ADD_GAS: u64 = 150;
const MULTIPLY_GAS: u64 = 6_000;
const PAIRING_GAS: u64 = 45_000;
const PAIR_GAS: u64 = 34_000;
/// A point of each group.
const PAIR_BYTES: usize = 192;

/// Adds two points.
pub(super) fn add(input: &[u8], gas: u64, output: &mut Vec<u8>) -> Result<u64, Halt> {
    let left = charge(gas, ADD_GAS)?;
    let [a, b] = [g1(&padded(input, 0))?, g1(&padded(input, 64))?];
    write(a + b, output);
    Ok(left)
}

/// Multiplies a point by a number, which may be above the group's order.
pub(super) fn multiply(input: &[u8], gas: u64, output: &mut Vec<u8>) -> Result<u64, Halt> {
    let left = charge(gas, MULTIPLY_GAS)?;
    let point = g1(&padded(input, 0))?;
    let factor = Fr::from_be_bytes_mod_order(&padded::<32>(input, 64));
    write(point * factor, output);
    Ok(left)
}

/// Whether the product of the pairings is one.
pub(super) fn pairing(input: &[u8], gas: u64, output: &mut Vec<u8>) -> Result<u64, Halt> {
    let pairs = input.len() / PAIR_BYTES;
    let left = charge(gas, PAIRING_GAS + PAIR_GAS * pairs as u64)?;
    if !input.len().is_multiple_of(PAIR_BYTES) {
        return Err(Halt::PrecompileFailed);
    }
    let (mut left_points, mut right_points) = (Vec::new(), Vec::new());
    for pair in input.chunks_exact(PAIR_BYTES) {
        let (a, b) = (g1(&padded(pair, 0))?, g2(&padded(pair, 64))?);
        // Infinity on either side contributes a factor of one.
        if !a.is_zero() && !b.is_zero() {
            left_points.push(a);
            right_points.push(b);
        }
    }
    let is_one = Bn254::multi_pairing(left_points, right_points).0.is_one();
    output.resize(31, 0);
    output.push(u8::from(is_one));
    Ok(left)
}

/// A field element; numbers from the modulus up are refused.
fn field(bytes: &[u8]) -> Result<Fq, Halt> {
    let mut limbs = [0u64; 4];
    for (limb, chunk) in limbs.iter_mut().rev().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_be_bytes(*chunk.first_chunk().expect("chunks of eight"));
    }
    Fq::from_bigint(BigInt(limbs)).ok_or(Halt::PrecompileFailed)
}

fn g1(bytes: &[u8; 64]) -> Result<G1Affine, Halt> {
    let (x, y) = (field(&bytes[..32])?, field(&bytes[32..])?);
    if x.is_zero() && y.is_zero() {
        return Ok(G1Affine::zero());
    }
    let point = G1Affine::new_unchecked(x, y);
    // The whole curve is one group, so being on it is enough.
    if point.is_on_curve() { Ok(point) } else { Err(Halt::PrecompileFailed) }
}

/// The imaginary parts come first.
fn g2(bytes: &[u8; 128]) -> Result<G2Affine, Halt> {
    let x = Fq2::new(field(&bytes[32..64])?, field(&bytes[..32])?);
    let y = Fq2::new(field(&bytes[96..])?, field(&bytes[64..96])?);
    if x.is_zero() && y.is_zero() {
        return Ok(G2Affine::zero());
    }
    let point = G2Affine::new_unchecked(x, y);
    let good = point.is_on_curve() && point.is_in_correct_subgroup_assuming_on_curve();
    if good { Ok(point) } else { Err(Halt::PrecompileFailed) }
}

fn write(point: G1Projective, output: &mut Vec<u8>) {
    match point.into_affine().xy() {
        Some((x, y)) => {
            output.extend_from_slice(&x.into_bigint().to_bytes_be());
            output.extend_from_slice(&y.into_bigint().to_bytes_be());
        }
        None => output.resize(64, 0),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloy_primitives::{U256, hex};

    fn words(words: &[&str]) -> Vec<u8> {
        words.iter().flat_map(|word| word.parse::<U256>().unwrap().to_be_bytes::<32>()).collect()
    }

    /// The generator is (1, 2); doubling it by both ways gives the same point.
    #[test]
    fn adding_and_multiplying_agree() {
        let (mut sum, mut product) = (Vec::new(), Vec::new());
        assert_eq!(add(&words(&["1", "2", "1", "2"]), 150, &mut sum), Ok(0));
        assert_eq!(multiply(&words(&["1", "2", "2"]), 6_000, &mut product), Ok(0));
        assert_eq!(sum, product);
        let doubled = "030644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd3\
                       15ed738c0e0a7c92e7845f96b2ae9c0a68a6a449e3538fc7ff3ebf7a5a18a2c4";
        assert_eq!(hex::encode(sum), doubled);
    }

    /// The empty product is one; points off the curve and broken lengths are refused.
    #[test]
    fn pairing_corners() {
        let mut output = Vec::new();
        assert_eq!(pairing(&[], 45_000, &mut output), Ok(0));
        assert_eq!(U256::from_be_slice(&output), U256::ONE);
        assert_eq!(pairing(&[0; 191], 200_000, &mut Vec::new()), Err(Halt::PrecompileFailed));
        assert_eq!(pairing(&[1; 192], 200_000, &mut Vec::new()), Err(Halt::PrecompileFailed));
        assert_eq!(add(&words(&["1", "3"]), 150, &mut Vec::new()), Err(Halt::PrecompileFailed));
    }
}

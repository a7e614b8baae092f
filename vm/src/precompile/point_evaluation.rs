//! 10: checks a KZG proof that a blob's polynomial has the value y at z (EIP-4844).
//!
//! The proof stands when e(C − \[y\]G₁, G₂) = e(proof, \[τ\]G₂ − \[z\]G₂), where τ is the ceremony's secret.

use crate::gas::charge;
use crate::halt::Halt;
use alloy_primitives::hex;
use ark_bls12_381::{Bls12_381, Fr, G1Affine, G2Affine};
use ark_ec::pairing::Pairing;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInt, One, PrimeField};
use ark_serialize::CanonicalDeserialize;
use sha2::{Digest, Sha256};

const GAS: u64 = 50_000;
/// Versioned hash, z, y, commitment, proof.
const INPUT_BYTES: usize = 32 + 32 + 32 + 48 + 48;
/// The first byte of a versioned hash of a KZG commitment.
const HASH_VERSION: u8 = 1;

/// \[τ\]G₂ of Ethereum's ceremony: `g2_monomial[1]` of `trusted_setup_4096.json` in the consensus specs.
const TAU_G2: [u8; 96] = hex!(
    "b5bfd7dd8cdeb128843bc287230af38926187075cbfbefa81009a2ce615ac53d2914e5870cb452d2afaaab24f3499f72"
    "185cbfee53492714734429b7b38608e23926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2"
);

/// What a valid proof returns: the number of field elements in a blob, and the field's modulus.
const RETURN: [u8; 64] = hex!(
    "0000000000000000000000000000000000000000000000000000000000001000"
    "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001"
);

/// Refuses a proof that does not stand.
pub(super) fn verify(input: &[u8], gas: u64, output: &mut Vec<u8>) -> Result<u64, Halt> {
    let left = charge(gas, GAS)?;
    let input: &[u8; INPUT_BYTES] = input.try_into().map_err(|_| Halt::PrecompileFailed)?;
    if stands(input) != Some(true) {
        return Err(Halt::PrecompileFailed);
    }
    output.extend_from_slice(&RETURN);
    Ok(left)
}

/// Whether the proof stands; `None` where a part of the input is malformed.
fn stands(input: &[u8; INPUT_BYTES]) -> Option<bool> {
    let (hash, rest) = input.split_at(32);
    let (z, rest) = rest.split_at(32);
    let (y, rest) = rest.split_at(32);
    let (commitment, proof) = rest.split_at(48);
    if hash != versioned_hash(commitment) {
        return Some(false);
    }
    let (z, y) = (scalar(z)?, scalar(y)?);
    let (commitment, proof) = (g1(commitment)?, g1(proof)?);
    let tau = G2Affine::deserialize_compressed_unchecked(&TAU_G2[..]).expect("the constant is a point");

    let value = (commitment - G1Affine::generator() * y).into_affine();
    let divisor = (tau - G2Affine::generator() * z).into_affine();
    let product = Bls12_381::multi_pairing([value, -proof], [G2Affine::generator(), divisor]);
    Some(product.0.is_one())
}

fn versioned_hash(commitment: &[u8]) -> [u8; 32] {
    let mut hash: [u8; 32] = Sha256::digest(commitment).into();
    hash[0] = HASH_VERSION;
    hash
}

/// A number below the group's order.
fn scalar(bytes: &[u8]) -> Option<Fr> {
    let mut limbs = [0u64; 4];
    for (limb, chunk) in limbs.iter_mut().rev().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_be_bytes(*chunk.first_chunk()?);
    }
    Fr::from_bigint(BigInt(limbs))
}

/// A point of the right subgroup, in its compressed form.
fn g1(bytes: &[u8]) -> Option<G1Affine> {
    G1Affine::deserialize_compressed(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::BigInteger;
    use ark_serialize::CanonicalSerialize;

    fn input(commitment: G1Affine, z: u64, y: Fr, proof: G1Affine) -> Vec<u8> {
        let point = |point: G1Affine| {
            let mut bytes = Vec::new();
            point.serialize_compressed(&mut bytes).expect("memory takes all");
            bytes
        };
        let commitment = point(commitment);
        let mut input = versioned_hash(&commitment).to_vec();
        input.extend_from_slice(&Fr::from(z).into_bigint().to_bytes_be());
        input.extend_from_slice(&y.into_bigint().to_bytes_be());
        input.extend_from_slice(&commitment);
        input.extend_from_slice(&point(proof));
        input
    }

    /// A constant polynomial needs no secret: its commitment is \[c\]G₁, and its proof is infinity.
    #[test]
    fn a_constant_polynomial_has_its_value_everywhere() {
        let constant = Fr::from(7u64);
        let commitment = (G1Affine::generator() * constant).into_affine();
        let proof = G1Affine::zero();
        let mut output = Vec::new();
        assert_eq!(verify(&input(commitment, 5, constant, proof), 50_001, &mut output), Ok(1));
        assert_eq!(output, RETURN);
        let wrong = input(commitment, 5, Fr::from(8u64), proof);
        assert_eq!(verify(&wrong, 50_000, &mut Vec::new()), Err(Halt::PrecompileFailed));
        let mut other_hash = input(commitment, 5, constant, proof);
        other_hash[5] ^= 1;
        assert_eq!(verify(&other_hash, 50_000, &mut Vec::new()), Err(Halt::PrecompileFailed));
    }
}

//! The one verification rule: ZIP-215, single and in batches (CRY-1).
//!
//! ZIP-215 is cofactored, demands S < ℓ and accepts non-canonical encodings of A and R, so that a batch and
//! a single check can never disagree. `ed25519-dalek` signs but never verifies here: its three verifications
//! disagree with each other on crafted signatures, and a disagreement splits the chain.

use std::fmt;

use ed25519_zebra::{VerificationKey, VerificationKeyBytes, batch};
use serde::{Deserialize, Serialize};

use crate::codec::fixed;
use crate::keys::PublicKey;

/// An ed25519 signature, 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signature(#[serde(with = "fixed")] pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&alloy_primitives::hex::encode_prefixed(self.0))
    }
}

/// A statement to check: `signature` by `key` over `message`.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Who is said to have signed.
    pub key: PublicKey,
    /// What.
    pub message: &'a [u8],
    /// The signature.
    pub signature: Signature,
}

/// Whether `signature` by `key` over `message` is valid under ZIP-215.
pub fn verify(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    ReadyKey::new(key).verify(message, signature)
}

/// A key whose point is computed once, for whoever checks many signatures by it. Bytes that are no point stay
/// what they are: nothing is signed by them.
#[derive(Debug, Clone, Copy)]
pub struct ReadyKey(Option<VerificationKey>);

impl ReadyKey {
    /// Computes the point.
    pub fn new(key: &PublicKey) -> Self {
        Self(VerificationKey::try_from(key.0).ok())
    }

    /// The same verdict as [`verify`]'s with the key that it was made of.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_zebra::Signature::from_bytes(&signature.0);
        self.0.is_some_and(|key| key.verify(&signature, message).is_ok())
    }
}

/// The verdict on each claim, equal to [`verify`]'s in every composition of the batch.
///
/// One batch equation covers all; where it fails, halves are tried, down to single checks. `randomness`
/// must be unpredictable to whoever made the signatures: it weighs the batch equation.
pub fn verify_batch<R: rand_core::CryptoRng>(claims: &[Claim<'_>], randomness: &mut R) -> Vec<bool> {
    let mut verdicts = vec![true; claims.len()];
    check_range(claims, &mut verdicts, randomness);
    verdicts
}

/// Below this many claims single checks are as fast as bisecting further.
const SINGLY: usize = 4;

fn check_range<R: rand_core::CryptoRng>(claims: &[Claim<'_>], verdicts: &mut [bool], randomness: &mut R) {
    if claims.len() <= SINGLY {
        for (claim, verdict) in claims.iter().zip(verdicts) {
            *verdict = verify(&claim.key, claim.message, &claim.signature);
        }
        return;
    }
    if holds(claims, randomness) {
        return;
    }
    let middle = claims.len() / 2;
    check_range(&claims[..middle], &mut verdicts[..middle], randomness);
    check_range(&claims[middle..], &mut verdicts[middle..], randomness);
}

fn holds<R: rand_core::CryptoRng>(claims: &[Claim<'_>], randomness: &mut R) -> bool {
    let mut verifier = batch::Verifier::new();
    for claim in claims {
        let signature = ed25519_zebra::Signature::from_bytes(&claim.signature.0);
        verifier.queue((VerificationKeyBytes::from(claim.key.0), signature, &claim.message));
    }
    verifier.verify(randomness).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};

    fn vectors(file: &str) -> Option<serde_json::Value> {
        let Some(folder) = std::env::var_os("SYNOD_VECTORS") else {
            eprintln!("skipped: SYNOD_VECTORS is not set, so {file} was not read");
            return None;
        };
        let path = std::path::Path::new(&folder).join("ed25519").join(file);
        let text = std::fs::read_to_string(&path).expect("the vectors are readable");
        Some(serde_json::from_str(&text).expect("the vectors are JSON"))
    }

    fn bytes(value: &serde_json::Value) -> Vec<u8> {
        alloy_primitives::hex::decode(value.as_str().expect("hex text")).expect("hex")
    }

    /// Single and batch verdicts on `claims`, in several random compositions, must be one.
    fn assert_one_verdict(claims: &[Claim<'_>], seed: u64) -> Vec<bool> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let single: Vec<bool> =
            claims.iter().map(|claim| verify(&claim.key, claim.message, &claim.signature)).collect();
        assert_eq!(verify_batch(claims, &mut rng), single);
        for _ in 0..20 {
            let chosen: Vec<usize> =
                (0..(rng.next_u32() % 40) + 1).map(|_| rng.next_u32() as usize % claims.len()).collect();
            let batch: Vec<Claim<'_>> = chosen.iter().map(|&index| claims[index]).collect();
            let expected: Vec<bool> = chosen.iter().map(|&index| single[index]).collect();
            assert_eq!(verify_batch(&batch, &mut rng), expected);
        }
        single
    }

    #[test]
    fn cry_1_the_crafted_edge_cases_have_one_verdict() {
        let Some(cases) = vectors("speccheck_cases.json") else { return };
        let cases: Vec<(Vec<u8>, PublicKey, Signature)> = cases
            .as_array()
            .expect("a list")
            .iter()
            .map(|case| {
                let key = PublicKey(bytes(&case["pub_key"]).try_into().expect("32 bytes"));
                let signature = Signature(bytes(&case["signature"]).try_into().expect("64 bytes"));
                (bytes(&case["message"]), key, signature)
            })
            .collect();
        let mut mutated = cases.clone();
        for (index, (message, key, signature)) in cases.iter().enumerate() {
            let mut changed = *signature;
            changed.0[(index * 7) % 64] ^= 1 << (index % 8);
            mutated.push((message.clone(), *key, changed));
            let mut longer = message.clone();
            longer.push(0);
            mutated.push((longer, *key, *signature));
        }
        let claims: Vec<Claim<'_>> = mutated
            .iter()
            .map(|(message, key, signature)| Claim { key: *key, message, signature: *signature })
            .collect();
        let verdicts = assert_one_verdict(&claims, 1);
        // ZIP-215 accepts cases 0 to 5 and 9 to 11 of the collection, and refuses S out of range (6 to 8).
        let expected = [true, true, true, true, true, true, false, false, false, true, true, true];
        assert_eq!(verdicts[..12], expected);
    }

    #[test]
    fn cry_1_the_published_signatures_verify_and_the_bad_ones_do_not() {
        let Some(suite) = vectors("wycheproof_ed25519_test.json") else { return };
        let mut messages = Vec::new();
        for group in suite["testGroups"].as_array().expect("groups") {
            let key = bytes(&group["publicKey"]["pk"]);
            for test in group["tests"].as_array().expect("tests") {
                let Ok(signature) = <[u8; 64]>::try_from(bytes(&test["sig"])) else { continue };
                let key = PublicKey(key.clone().try_into().expect("32 bytes"));
                messages.push((bytes(&test["msg"]), key, Signature(signature), test["result"] == "valid"));
            }
        }
        assert!(messages.len() > 80);
        let claims: Vec<Claim<'_>> = messages
            .iter()
            .map(|(message, key, signature, _)| Claim { key: *key, message, signature: *signature })
            .collect();
        let verdicts = assert_one_verdict(&claims, 2);
        // RFC 8032 and ZIP-215 part where R = (0, 1) is encoded with the sign bit of x set.
        let mut non_canonical_one = [0; 32];
        (non_canonical_one[0], non_canonical_one[31]) = (1, 0x80);
        for ((_, _, signature, valid), verdict) in messages.iter().zip(verdicts) {
            assert_eq!(*valid || signature.0[..32] == non_canonical_one, verdict);
        }
    }

    #[test]
    fn cry_1_bernsteins_signatures_are_made_and_verified() {
        let Some(folder) = std::env::var_os("SYNOD_VECTORS") else {
            eprintln!("skipped: SYNOD_VECTORS is not set, so sign.input was not read");
            return;
        };
        let path = std::path::Path::new(&folder).join("ed25519/sign.input");
        let text = std::fs::read_to_string(path).expect("readable");
        for line in text.lines() {
            let fields: Vec<Vec<u8>> = line
                .split(':')
                .take(4)
                .map(|field| alloy_primitives::hex::decode(field).expect("hex"))
                .collect();
            let key = SecretKey::from_seed(&fields[0][..32].try_into().expect("32 bytes"));
            assert_eq!(key.public().0, fields[1][..]);
            assert_eq!(key.sign(&fields[2]).0, fields[3][..64]);
            assert!(verify(&key.public(), &fields[2], &key.sign(&fields[2])));
        }
    }

    #[test]
    fn cry_1_one_bad_signature_in_a_batch_is_found_wherever_it_stands() {
        let key = SecretKey::from_seed(&[3; 32]);
        let messages: Vec<[u8; 4]> = (0..33u32).map(u32::to_be_bytes).collect();
        for bad in 0..messages.len() {
            let claims: Vec<Claim<'_>> = messages
                .iter()
                .enumerate()
                .map(|(index, message)| {
                    let mut signature = key.sign(message);
                    signature.0[0] ^= u8::from(index == bad);
                    Claim { key: key.public(), message, signature }
                })
                .collect();
            let verdicts = verify_batch(&claims, &mut ChaCha20Rng::seed_from_u64(bad as u64));
            let refused: Vec<usize> = (0..verdicts.len()).filter(|&index| !verdicts[index]).collect();
            assert_eq!(refused, [bad]);
        }
    }
}

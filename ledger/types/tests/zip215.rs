//! CRY-1: one verdict. Crafted and mutated signatures in random batches: the batch says of each what the single
//! check says, and both say what ZIP-215 says, computed here from its equation.
//!
//! `SYNOD_HOSTILE_INPUTS` says how many signatures; `SYNOD_VECTORS` adds the published edge cases to what is mutated.

#![allow(clippy::print_stderr, clippy::unwrap_used)]

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sha2::{Digest, Sha512};
use synod_types::hostile::Mutator;
use synod_types::signature::{Claim, verify, verify_batch};
use synod_types::{PublicKey, SecretKey, Signature};

/// The order of the prime-order subgroup, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[derive(Clone)]
struct Case {
    key: [u8; 32],
    message: Vec<u8>,
    signature: [u8; 64],
}

impl Case {
    fn claim(&self) -> Claim<'_> {
        Claim { key: PublicKey(self.key), message: &self.message, signature: Signature(self.signature) }
    }
}

fn challenge(r: &[u8], key: &[u8], message: &[u8]) -> Scalar {
    let mut hash = Sha512::new();
    hash.update(r);
    hash.update(key);
    hash.update(message);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

/// ZIP-215: A and R are any encodings of points, S is below the order, and 8·S·B = 8·R + 8·k·A.
fn holds(case: &Case) -> bool {
    let point = |bytes: &[u8]| CompressedEdwardsY(bytes.try_into().unwrap()).decompress();
    let (r, s) = case.signature.split_at(32);
    let (Some(key), Some(r_point)) = (point(&case.key), point(r)) else { return false };
    let Some(s) = Option::<Scalar>::from(Scalar::from_canonical_bytes(s.try_into().unwrap())) else {
        return false;
    };
    let k = challenge(r, &case.key, &case.message);
    (EdwardsPoint::mul_base(&s) - r_point - k * key).mul_by_cofactor().is_identity()
}

/// Encodings of every point of small order, canonical or not, and others that are not canonical.
fn strange_points() -> Vec<[u8; 32]> {
    let mut points: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
    let mut low_half = |first: u8, rest: u8, top: u8| {
        let mut bytes = [rest; 32];
        (bytes[0], bytes[31]) = (first, top);
        points.extend([bytes, {
            bytes[31] |= 0x80;
            bytes
        }]);
    };
    for small in 0..=1 {
        low_half(small, 0, 0);
    }
    // 2^255 - 20 to 2^255 - 1: minus one, and the nineteen values that are not reduced.
    for first in 0xec..=0xff {
        low_half(first, 0xff, 0x7f);
    }
    points
}

fn scalar(mutator: &mut Mutator) -> Scalar {
    let bytes: [u8; 32] = std::array::from_fn(|_| mutator.roll() as u8);
    Scalar::from_bytes_mod_order(bytes)
}

fn message(mutator: &mut Mutator) -> Vec<u8> {
    mutator.noise(40)
}

fn honest(mutator: &mut Mutator) -> Case {
    let key = SecretKey::from_seed(&[mutator.below(16) as u8; 32]);
    let message = message(mutator);
    Case { key: key.public().0, signature: key.sign(&message).0, message }
}

/// A signature that holds although key and commitment have parts of small order.
fn mixed(mutator: &mut Mutator) -> Case {
    let (secret, nonce, message) = (scalar(mutator), scalar(mutator), message(mutator));
    let torsion = |mutator: &mut Mutator| *mutator.pick(&EIGHT_TORSION);
    let key = (EdwardsPoint::mul_base(&secret) + torsion(mutator)).compress().to_bytes();
    let r = (EdwardsPoint::mul_base(&nonce) + torsion(mutator)).compress().to_bytes();
    let s = nonce + challenge(&r, &key, &message) * secret;
    Case { key, message, signature: join(r, s.to_bytes()) }
}

/// Key and commitment of small order or strangely written: S = 0 makes many of them hold.
fn strange(mutator: &mut Mutator, points: &[[u8; 32]]) -> Case {
    let (key, r) = (*mutator.pick(points), *mutator.pick(points));
    let s = if mutator.below(3) == 0 { scalar(mutator).to_bytes() } else { [0; 32] };
    Case { key, message: message(mutator), signature: join(r, s) }
}

fn join(r: [u8; 32], s: [u8; 32]) -> [u8; 64] {
    std::array::from_fn(|at| if at < 32 { r[at] } else { s[at - 32] })
}

/// S and the order of the group: the same number, not below the order any more.
fn beyond_the_order(case: &mut Case) {
    let mut carry = 0;
    for (byte, order) in case.signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
}

fn spoil(case: &mut Case, mutator: &mut Mutator, points: &[[u8; 32]]) {
    let bit = 1 << mutator.below(8);
    match mutator.below(7) {
        0 => case.signature[mutator.below(64)] ^= bit,
        1 => case.key[mutator.below(32)] ^= bit,
        2 => case.message.push(0),
        3 => beyond_the_order(case),
        4 => case.signature[..32].copy_from_slice(&mutator.pick(points)[..]),
        5 => case.key = *mutator.pick(points),
        _ => case.signature[63] ^= 0x80,
    }
}

/// The edge cases of `vectors/ed25519`, where they are.
fn published() -> Vec<Case> {
    let Some(folder) = std::env::var_os("SYNOD_VECTORS") else {
        eprintln!("SYNOD_VECTORS is not set: the published edge cases are not among the inputs");
        return Vec::new();
    };
    let read = |file: &str| -> serde_json::Value {
        let path = std::path::Path::new(&folder).join("ed25519").join(file);
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let hex = |value: &serde_json::Value| alloy_primitives::hex::decode(value.as_str().unwrap()).unwrap();
    let mut cases = Vec::new();
    for case in read("speccheck_cases.json").as_array().unwrap() {
        let signature = hex(&case["signature"]).try_into().unwrap();
        cases.push(Case {
            key: hex(&case["pub_key"]).try_into().unwrap(),
            message: hex(&case["message"]),
            signature,
        });
    }
    for group in read("wycheproof_ed25519_test.json")["testGroups"].as_array().unwrap() {
        let key: [u8; 32] = hex(&group["publicKey"]["pk"]).try_into().unwrap();
        for test in group["tests"].as_array().unwrap() {
            let Ok(signature) = hex(&test["sig"]).try_into() else { continue };
            cases.push(Case { key, message: hex(&test["msg"]), signature });
        }
    }
    assert!(cases.len() > 90);
    cases
}

fn case(mutator: &mut Mutator, points: &[[u8; 32]], published: &[Case]) -> Case {
    let mut case = match mutator.below(4) {
        0 => mixed(mutator),
        1 => strange(mutator, points),
        2 if !published.is_empty() => mutator.pick(published).clone(),
        _ => honest(mutator),
    };
    if mutator.below(3) == 0 {
        spoil(&mut case, mutator, points);
    }
    case
}

#[test]
fn cry_1_one_verdict_in_every_batch_composition() {
    let total: usize =
        std::env::var("SYNOD_HOSTILE_INPUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000);
    let (points, published) = (strange_points(), published());
    let (mut mutator, mut randomness) = (Mutator::new(215), ChaCha20Rng::seed_from_u64(215));
    let (mut tried, mut held, mut batches) = (0, 0, 0);
    // Every published case as it is comes first, in batches of every size.
    let mut first = published.clone();
    while tried < total || !first.is_empty() {
        let size = match mutator.below(4) {
            0 => mutator.below(9),
            1 => mutator.below(33),
            _ => mutator.below(300),
        };
        // Now and then all hold, or all but one: the bisecting's extremes.
        let flavour = mutator.below(4);
        let mut cases: Vec<Case> = (0..size)
            .map(|at| match flavour {
                0 => mixed(&mut mutator),
                1 if at > 0 => honest(&mut mutator),
                _ => first.pop().unwrap_or_else(|| case(&mut mutator, &points, &published)),
            })
            .collect();
        if flavour == 1 && size > 1 {
            let at = mutator.below(size);
            cases.swap(0, at);
        }
        let claims: Vec<Claim<'_>> = cases.iter().map(Case::claim).collect();
        let batch = verify_batch(&claims, &mut randomness);
        for (number, (case, in_batch)) in cases.iter().zip(&batch).enumerate() {
            let alone = verify(&PublicKey(case.key), &case.message, &Signature(case.signature));
            let expected = holds(case);
            let what =
                || format!("signature {number} of batch {batches}: {:?} {:?}", case.key, case.signature);
            assert_eq!(alone, expected, "single and ZIP-215 differ on {}", what());
            assert_eq!(*in_batch, expected, "batch and ZIP-215 differ on {}", what());
            held += usize::from(expected);
        }
        (tried, batches) = (tried + size, batches + 1);
    }
    println!("{tried} signatures in {batches} batches had one verdict each; {held} held");
    assert!(held * 4 > tried && held * 10 < tried * 9, "both verdicts are common");
}

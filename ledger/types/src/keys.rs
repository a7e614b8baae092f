//! ed25519 keys: how they are made, written and used for signing. Checking signatures is in
//! [`crate::signature`].

use std::fmt;

use ed25519_dalek::Signer;
use serde::{Deserialize, Serialize};

use crate::codec::fixed;
use crate::signature::Signature;

/// An ed25519 public key, 32 bytes, not yet known to be a valid point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(#[serde(with = "fixed")] pub [u8; 32]);

impl PublicKey {
    /// Whether this key may own an account: a canonical encoding of a point that is not of small order
    /// (CRY-2). Signatures of other keys can verify under ZIP-215, so such keys are refused when an account
    /// first appears.
    pub fn may_own_account(&self) -> bool {
        let compressed = curve25519_point(&self.0);
        compressed.is_some_and(|point| !point.is_weak() && point.to_bytes() == self.0)
            && !is_non_canonical(&self.0)
    }

    /// What of that can be told from the bytes alone, without looking for the point: everything but whether there is
    /// one. Where there is none no signature verifies either, so that this is enough beside a check of a signature.
    pub fn is_encoded_as_an_owner(&self) -> bool {
        !SMALL_ORDER.contains(&self.0) && !is_non_canonical(&self.0)
    }
}

/// The canonical encodings of the eight points of small order.
const SMALL_ORDER: [[u8; 32]; 8] = {
    const ONE: [u8; 32] = ends(1, 0, 0);
    const MINUS_ONE: [u8; 32] = ends(0xec, 0xff, 0x7f);
    const EIGHTH: [u8; 32] = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ];
    const OTHER_EIGHTH: [u8; 32] = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ];
    [
        ONE,
        MINUS_ONE,
        ends(0, 0, 0),
        ends(0, 0, 0x80),
        EIGHTH,
        negative(EIGHTH),
        OTHER_EIGHTH,
        negative(OTHER_EIGHTH),
    ]
};

/// Bytes with the first, the last and all between set.
const fn ends(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut bytes = [between; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// The encoding of the point whose x has the other sign.
const fn negative(mut bytes: [u8; 32]) -> [u8; 32] {
    bytes[31] |= 0x80;
    bytes
}

fn curve25519_point(bytes: &[u8; 32]) -> Option<ed25519_dalek::VerifyingKey> {
    ed25519_dalek::VerifyingKey::from_bytes(bytes).ok()
}

/// Whether the y coordinate is not below the field's prime 2^255 − 19, or the sign bit is set on x = 0.
fn is_non_canonical(bytes: &[u8; 32]) -> bool {
    let mut y = *bytes;
    y[31] &= 0x7f;
    let high = y[31] == 0x7f && y[1..31].iter().all(|&byte| byte == 0xff) && y[0] >= 0xed;
    let one = y[0] == 1 && y[1..].iter().all(|&byte| byte == 0);
    let minus_one = y[31] == 0x7f && y[1..31].iter().all(|&byte| byte == 0xff) && y[0] == 0xec;
    high || ((one || minus_one) && bytes[31] & 0x80 != 0)
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&alloy_primitives::hex::encode_prefixed(self.0))
    }
}

/// An ed25519 secret key. It is wiped when dropped and never printed.
#[derive(Clone)]
pub struct SecretKey(ed25519_dalek::SigningKey);

impl SecretKey {
    /// The key of a 32-byte seed (RFC 8032's secret key).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The 32-byte seed, for keystores alone.
    pub fn seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`, which must begin with a domain tag (CRY-4).
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretKey(of {})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least significant byte first, as encodings are.
    fn key(hex: &str) -> PublicKey {
        PublicKey(alloy_primitives::hex::decode(hex).expect("hex").try_into().expect("32 bytes"))
    }

    #[test]
    fn cry_2_a_key_is_a_canonical_point_that_is_not_of_small_order() {
        let honest = (0..100).map(|seed| SecretKey::from_seed(&[seed; 32]).public());
        let mut honest = honest.into_iter();
        assert!(honest.all(|key| key.may_own_account() && key.is_encoded_as_an_owner()));
        let small_orders = [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        ];
        let (mut refused, mut points): (Vec<_>, u32) = (small_orders.map(key).to_vec(), 0);
        // A sign on x = 0, and y at or above the prime, with either sign.
        refused.push(key("0100000000000000000000000000000000000000000000000000000000000080"));
        refused.push(key("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"));
        for (low, high) in (0xed..=0xff).flat_map(|low| [(low, 0x7f), (low, 0xff)]) {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            points += u32::from(curve25519_point(&bytes).is_some());
            refused.push(PublicKey(bytes));
        }
        assert!(points > 10, "many of them decode: it is the rule that refuses them");
        for key in refused {
            assert!(!key.may_own_account() && !key.is_encoded_as_an_owner(), "{key}");
        }
    }

    #[test]
    fn cry_2_the_bytes_tell_as_much_as_the_point() {
        let mut points = 0;
        for number in 0..4_000_u32 {
            let key = PublicKey(crate::hash::sha256(&[&number.to_be_bytes()]).0);
            if curve25519_point(&key.0).is_some() {
                points += 1;
                assert_eq!(key.may_own_account(), key.is_encoded_as_an_owner(), "{key}");
            } else {
                assert!(!crate::signature::verify(&key, b"", &crate::Signature([0; 64])), "{key}");
            }
        }
        assert!(points > 1_000, "half of all bytes are points");
    }
}

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
        assert!(honest.into_iter().all(|key| key.may_own_account()));
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
            assert!(!key.may_own_account(), "{key}");
        }
    }
}

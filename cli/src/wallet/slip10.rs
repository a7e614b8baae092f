//! SLIP-0010 for ed25519: from a seed to keys, by hardened steps alone.
//!
//! The path of this wallet's accounts is `m/44'/501'/i'`.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use zeroize::Zeroizing;

const HARDENED: u32 = 1 << 31;

/// The path of account number `index`: `m/44'/501'/index'`. Every step is hardened, so the marks are not
/// part of the numbers.
pub(crate) fn account_path(index: u32) -> [u32; 3] {
    [44, 501, index]
}

/// The private key at `path` (hardened at every step) below the master key of `seed`.
///
/// # Panics
/// When a step is 2^31 or more, which no caller offers.
pub(crate) fn derive(seed: &[u8], path: &[u32]) -> Zeroizing<[u8; 32]> {
    let mut node = Node::master(seed);
    for step in path {
        node = node.child(*step);
    }
    node.key
}

/// A private key and its chain code.
struct Node {
    key: Zeroizing<[u8; 32]>,
    chain_code: Zeroizing<[u8; 32]>,
}

impl Node {
    fn master(seed: &[u8]) -> Self {
        Self::split(b"ed25519 seed", &[seed])
    }

    fn child(&self, step: u32) -> Self {
        assert!(step < HARDENED, "the step is hardened here, not by the caller");
        let number = (step | HARDENED).to_be_bytes();
        Self::split(self.chain_code.as_slice(), &[&[0], self.key.as_slice(), &number])
    }

    fn split(mac_key: &[u8], parts: &[&[u8]]) -> Self {
        let mut mac = Hmac::<Sha512>::new_from_slice(mac_key).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        let digest = Zeroizing::new(<[u8; 64]>::from(mac.finalize().into_bytes()));
        let mut node = Self { key: Zeroizing::default(), chain_code: Zeroizing::default() };
        node.key.copy_from_slice(&digest[..32]);
        node.chain_code.copy_from_slice(&digest[32..]);
        node
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::hex;
    use synod_types::SecretKey;

    /// Every ed25519 vector of the specification: the path in its heading, the private and public keys below.
    #[test]
    fn the_official_vectors() {
        let Some(text) = crate::wallet::vectors("slip-0010.md") else { return };
        let mut checked = 0;
        for part in text
            .split("### Test vector ")
            .filter(|part| part.lines().next().unwrap().ends_with("for ed25519"))
        {
            let seed =
                hex::decode(part.split("Seed (hex): ").nth(1).unwrap().lines().next().unwrap()).unwrap();
            for chain in part.split("* Chain m").skip(1) {
                let value =
                    |name: &str| chain.split(&format!("{name}: ")).nth(1).unwrap().lines().next().unwrap();
                let heading = chain.lines().next().unwrap().replace("<sub>H</sub>", "");
                let path: Vec<u32> = heading.split('/').skip(1).map(|step| step.parse().unwrap()).collect();
                let key = derive(&seed, &path);
                assert_eq!(hex::encode(key.as_slice()), value("private"));
                assert_eq!(
                    format!("00{}", hex::encode(SecretKey::from_seed(&key).public().0)),
                    value("public")
                );
                checked += 1;
            }
        }
        assert_eq!(checked, 12);
    }
}

//! Addresses: how they follow from keys, and how people write them.
//!
//! A native account's address is the last 20 bytes of SHA-256("synod/address/v1" ‖ scheme ‖ public key)
//! (CRY-2). On paper an address is `0x` and 40 hex digits whose letters' case is a checksum (EIP-55); a
//! mixed-case address with a wrong checksum is refused, since it is a typing error that would lose money.

use alloy_primitives::Address;

use crate::hash::sha256;
use crate::keys::PublicKey;

/// The scheme byte of ed25519 in an address's preimage.
pub const SCHEME_ED25519: u8 = 0;

/// The account that `key` owns.
pub fn address_of(key: &PublicKey) -> Address {
    let digest = sha256(&[b"synod/address/v1", &[SCHEME_ED25519], &key.0]);
    Address::from_slice(&digest[12..])
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not `0x` and 40 hex digits.
    #[error("an address is 0x followed by 40 hex digits")]
    Form,
    /// The letters' case does not match EIP-55.
    #[error("the address's checksum is wrong: one of its characters was mistyped; expected {expected}")]
    Checksum {
        /// The same digits with the right case.
        expected: String,
    },
}

/// Reads an address. All-lower and all-upper digits carry no checksum and are accepted.
///
/// # Errors
/// [`AddressError`].
pub fn parse_address(text: &str) -> Result<Address, AddressError> {
    let digits = text.strip_prefix("0x").ok_or(AddressError::Form)?;
    let address: Address = digits.parse().map_err(|_| AddressError::Form)?;
    if digits.len() != 40 {
        return Err(AddressError::Form);
    }
    let has_upper = digits.bytes().any(|byte| byte.is_ascii_uppercase());
    let has_lower = digits.bytes().any(|byte| byte.is_ascii_lowercase());
    let expected = format_address(&address);
    if has_upper && has_lower && text != expected {
        return Err(AddressError::Checksum { expected });
    }
    Ok(address)
}

/// Writes an address with its EIP-55 checksum.
pub fn format_address(address: &Address) -> String {
    address.to_checksum(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    #[test]
    fn checksums_of_eip_55_are_accepted_and_mistyped_ones_refused() {
        assert_eq!(format_address(&parse_address(GOOD).expect("the EIP's own example")), GOOD);
        assert!(parse_address(&GOOD.to_lowercase()).is_ok());
        let mistyped = GOOD.replace("aAeb", "AAeb");
        assert_eq!(parse_address(&mistyped), Err(AddressError::Checksum { expected: GOOD.to_owned() }));
    }

    #[test]
    fn other_texts_are_no_addresses() {
        for text in ["", "0x", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aAeb6053F3E", "0xzz", "0x0x00"]
        {
            assert_eq!(parse_address(text), Err(AddressError::Form), "{text}");
        }
    }

    #[test]
    fn cry_2_golden_address_of_a_key() {
        let key = crate::SecretKey::from_seed(&[7; 32]).public();
        assert_eq!(format_address(&address_of(&key)), "0x305498f8e08BC65DBacb4514475E01AFbE03f575");
    }
}

//! Serde adapters for what JSON cannot hold exactly, or what people read in another form than bytes.
//!
//! - [`text`](self): any value as the text of its `Display`, read back by `FromStr`: amounts in wei as
//!   decimal strings, block hashes reversed as Bitcoin prints them.
//! - [`option`], [`list`]: the same for `Option` and `Vec`.
//! - [`checksummed`]: addresses with their EIP-55 checksum; a wrong one is refused.
//! - [`exact`]: numbers that a sender chooses freely: JSON numbers up to 2^53 − 1, decimal strings beyond,
//!   since many readers of JSON round there (RPC-6).
//!
//! The adapters are for JSON alone.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes the value's `Display`.
pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Reads the text through `FromStr`.
pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

/// `null` or the text.
pub mod option {
    use super::*;

    /// Writes `null` or the value's `Display`.
    pub fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    /// Reads what [`serialize`] writes.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

/// A list of texts.
pub mod list {
    use super::*;

    /// Writes each value's `Display`.
    pub fn serialize<T: Display, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    /// Reads what [`serialize`] writes.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let texts = Vec::<Cow<'de, str>>::deserialize(deserializer)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}

/// Addresses as people write them.
pub mod checksummed {
    use super::*;
    use synod_types::Address;
    use synod_types::address::{format_address, parse_address};

    /// Writes the address with its checksum.
    pub fn serialize<S: Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_address(address))
    }

    /// Reads an address; a mixed-case one must carry the right checksum.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        parse_address(&Cow::<'de, str>::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    /// `null` or an address.
    pub mod option {
        use super::*;

        /// Writes `null` or the address with its checksum.
        pub fn serialize<S: Serializer>(address: &Option<Address>, serializer: S) -> Result<S::Ok, S::Error> {
            match address {
                Some(address) => super::serialize(address, serializer),
                None => serializer.serialize_none(),
            }
        }

        /// Reads what [`serialize`] writes.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
            let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
            text.map(|text| parse_address(&text).map_err(D::Error::custom)).transpose()
        }
    }

    /// A list of addresses.
    pub mod list {
        use super::*;

        /// Writes each address with its checksum.
        pub fn serialize<S: Serializer>(addresses: &[Address], serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(addresses.iter().map(format_address))
        }

        /// Reads what [`serialize`] writes.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Address>, D::Error> {
            let texts = Vec::<Cow<'de, str>>::deserialize(deserializer)?;
            texts.iter().map(|text| parse_address(text).map_err(D::Error::custom)).collect()
        }
    }
}

/// Numbers of 64 bits that may pass what JSON readers keep exactly.
pub mod exact {
    use super::*;

    /// The largest integer that every reader of JSON keeps exactly.
    pub const LARGEST_NUMBER: u64 = (1 << 53) - 1;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<'a> {
        Number(u64),
        #[serde(borrow)]
        Text(Cow<'a, str>),
    }

    /// Writes a number, or a decimal string beyond [`LARGEST_NUMBER`].
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        if *value <= LARGEST_NUMBER {
            serializer.serialize_u64(*value)
        } else {
            serializer.collect_str(value)
        }
    }

    /// Reads either form.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        match Either::deserialize(deserializer)? {
            Either::Number(value) => Ok(value),
            Either::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }

    /// `null` or such a number.
    pub mod option {
        use super::*;

        /// Writes `null`, a number, or a decimal string.
        pub fn serialize<S: Serializer>(value: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => super::serialize(value, serializer),
                None => serializer.serialize_none(),
            }
        }

        /// Reads what [`serialize`] writes.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
            match Option::<Either<'de>>::deserialize(deserializer)? {
                None => Ok(None),
                Some(Either::Number(value)) => Ok(Some(value)),
                Some(Either::Text(text)) => text.parse().map(Some).map_err(D::Error::custom),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde::Serialize;
    use synod_types::{Address, B256, BlockHash, U256};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        #[serde(with = "super")]
        wei: U256,
        #[serde(with = "super")]
        block: BlockHash,
        #[serde(with = "super::checksummed")]
        account: Address,
        #[serde(with = "super::exact")]
        nonce: u64,
        #[serde(with = "super::exact::option")]
        until: Option<u64>,
    }

    #[test]
    fn rpc_6_money_and_large_numbers_are_strings_and_block_hashes_reversed() {
        let mut hash = [0u8; 32];
        hash[0] = 0xab;
        let sample = Sample {
            wei: U256::from(1_u64) << 200usize,
            block: BlockHash(B256::new(hash)),
            account: Address::repeat_byte(0xab),
            nonce: exact::LARGEST_NUMBER,
            until: Some(u64::MAX),
        };
        let value = serde_json::to_value(&sample).unwrap();
        assert_eq!(value["wei"], (U256::from(1_u64) << 200usize).to_string());
        assert!(value["block"].as_str().unwrap().ends_with("ab"));
        assert_eq!(value["account"], synod_types::address::format_address(&sample.account));
        assert_eq!(value["nonce"], 9_007_199_254_740_991_u64);
        assert_eq!(value["until"], "18446744073709551615");
        let text = value.to_string();
        assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), sample);
    }

    #[test]
    fn a_mistyped_checksum_is_refused() {
        let mut value = serde_json::json!({
            "wei": "1", "block": BlockHash::default().to_string(), "nonce": 0, "until": null,
            "account": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        });
        assert!(serde_json::from_str::<Sample>(&value.to_string()).is_ok());
        value["account"] = "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".into();
        assert!(serde_json::from_str::<Sample>(&value.to_string()).is_err());
    }
}

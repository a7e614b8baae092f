//! How values become bytes, and bytes values.
//!
//! One bincode configuration for everything that is hashed, signed, stored or sent: big endian, integers of
//! fixed width, so that one value has one encoding. Decoding is bounded by a limit that the caller names,
//! refuses trailing bytes, and encodes again to compare, so that a decoder can never accept two spellings
//! of one value.
//!
//! Hashes, addresses and 256-bit numbers encode as their bare bytes through [`fixed`] (serde's own form of
//! them would put a length before each); in JSON the same adapters write `0x` hex.

use bincode::config::{BigEndian, Configuration, Fixint, Limit, NoLimit};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest encoding of one transaction, in bytes (`DEFAULTS`: mempool, 128 KiB a transaction).
pub const TRANSACTION_LIMIT: usize = 128 * 1024;
/// The largest encoding of one block, in bytes: 4 MiB of transactions, and room for its header and commitment.
pub const BLOCK_LIMIT: usize = 4 * 1024 * 1024 + 64 * 1024;

const ENCODE: Configuration<BigEndian, Fixint, NoLimit> =
    bincode::config::standard().with_big_endian().with_fixed_int_encoding();

/// Why bytes are not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes do not follow the type's layout, or pass the limit.
    #[error("malformed bytes: {0}")]
    Malformed(String),
    /// The value ended before the bytes did.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// The bytes are another spelling of the value than the one this codec writes.
    #[error("not the canonical encoding")]
    NotCanonical,
    /// More bytes than the limit allows.
    #[error("{length} bytes, where at most {limit} are allowed")]
    TooLong {
        /// How many bytes were offered.
        length: usize,
        /// How many are allowed.
        limit: usize,
    },
}

/// The canonical bytes of `value`.
///
/// # Panics
/// Only when a type's own `Serialize` fails, which none of ours does.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_LENGTH);
    encode_into(&mut bytes, value);
    bytes
}

/// Appends the canonical bytes of `value`: many values through one buffer cost no allocation each.
///
/// # Panics
/// Only when a type's own `Serialize` fails, which none of ours does.
pub fn encode_into<T: Serialize + ?Sized>(bytes: &mut Vec<u8>, value: &T) {
    bincode::serde::encode_into_writer(value, Appending(bytes), ENCODE).expect("our types always serialize");
}

/// Room for a transfer, the value that is encoded most.
const USUAL_LENGTH: usize = 256;

struct Appending<'a>(&'a mut Vec<u8>);

impl Writer for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// The value whose canonical encoding is exactly `bytes`, at most `LIMIT` of them.
///
/// # Errors
/// Every way in which the bytes can be something else; nothing is allocated beyond `LIMIT`.
pub fn decode<T: Serialize + DeserializeOwned, const LIMIT: usize>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > LIMIT {
        return Err(DecodeError::TooLong { length: bytes.len(), limit: LIMIT });
    }
    let config: Configuration<BigEndian, Fixint, Limit<LIMIT>> = ENCODE.with_limit::<LIMIT>();
    let (value, read): (T, usize) = bincode::serde::decode_from_slice(bytes, config)
        .map_err(|error| DecodeError::Malformed(told(&error)))?;
    if read != bytes.len() {
        return Err(DecodeError::Trailing(bytes.len() - read));
    }
    if encode(&value) != bytes {
        return Err(DecodeError::NotCanonical);
    }
    Ok(value)
}

/// The decoder's commonest complaints come as Rust's debug output; people get a sentence.
fn told(error: &bincode::error::DecodeError) -> String {
    match error {
        bincode::error::DecodeError::UnexpectedEnd { .. } => "they end too early".to_owned(),
        bincode::error::DecodeError::LimitExceeded => {
            "they say that they are longer than they may be".to_owned()
        }
        bincode::error::DecodeError::OtherString(text) => text.clone(),
        error => error.to_string(),
    }
}

/// Serde adapters (`#[serde(with = "codec::fixed")]`) for values that are a fixed number of bytes.
pub mod fixed {
    use std::fmt;
    use std::marker::PhantomData;

    use alloy_primitives::{Address, B256, Bloom, U256, hex};
    use serde::de::{Error, SeqAccess, Visitor};
    use serde::ser::SerializeTuple;
    use serde::{Deserializer, Serializer};

    /// A value that is exactly `N` bytes.
    pub trait Fixed: Sized {
        /// The bytes.
        type Array: AsRef<[u8]> + AsMut<[u8]> + Zeroed;
        /// The value's bytes.
        fn to_array(&self) -> Self::Array;
        /// The value of these bytes.
        fn from_array(array: Self::Array) -> Self;
    }

    /// An array of zeros.
    pub trait Zeroed {
        /// All zeros.
        fn zeroed() -> Self;
    }

    impl<const N: usize> Zeroed for [u8; N] {
        fn zeroed() -> Self {
            [0; N]
        }
    }

    macro_rules! fixed {
        ($type:ty, $length:literal, $to:expr, $from:expr) => {
            impl Fixed for $type {
                type Array = [u8; $length];
                fn to_array(&self) -> Self::Array {
                    let to: fn(&Self) -> [u8; $length] = $to;
                    to(self)
                }
                fn from_array(array: Self::Array) -> Self {
                    let from: fn([u8; $length]) -> Self = $from;
                    from(array)
                }
            }
        };
    }
    fixed!(B256, 32, |value| value.0, |array| B256::new(array));
    fixed!(Address, 20, |value| value.into_array(), |array| Address::new(array));
    fixed!(U256, 32, |value| value.to_be_bytes(), |array| U256::from_be_bytes(array));
    fixed!(Bloom, 256, |value| value.0.0, |array| Bloom::new(array));
    fixed!([u8; 32], 32, |value| *value, |array| array);
    fixed!([u8; 64], 64, |value| *value, |array| array);

    /// Writes the bytes bare, or as `0x` hex where a person reads.
    pub fn serialize<T: Fixed, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        let array = value.to_array();
        if serializer.is_human_readable() {
            return serializer.serialize_str(&hex::encode_prefixed(array.as_ref()));
        }
        let (words, halves, single) = pieces(array.as_ref());
        let mut tuple = serializer.serialize_tuple(words.len() + halves.len() + single.len())?;
        words.iter().try_for_each(|word| tuple.serialize_element(&u128::from_be_bytes(*word)))?;
        halves.iter().try_for_each(|half| tuple.serialize_element(&u32::from_be_bytes(*half)))?;
        single.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }

    /// Bare bytes go through the codec as big-endian numbers, which it writes and reads as those very bytes:
    /// two steps for a hash where there would be 32.
    fn pieces(bytes: &[u8]) -> (&[[u8; 16]], &[[u8; 4]], &[u8]) {
        let (words, rest) = bytes.as_chunks();
        let (halves, single) = rest.as_chunks();
        (words, halves, single)
    }

    /// Reads what [`serialize`] writes.
    pub fn deserialize<'de, T: Fixed, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
            let mut array = T::Array::zeroed();
            hex::decode_to_slice(text.as_ref(), array.as_mut()).map_err(D::Error::custom)?;
            return Ok(T::from_array(array));
        }
        let array = T::Array::zeroed();
        let (words, halves, single) = pieces(array.as_ref());
        let length = words.len() + halves.len() + single.len();
        deserializer.deserialize_tuple(length, BareBytes::<T>(PhantomData))
    }

    struct BareBytes<T>(PhantomData<T>);

    impl<'de, T: Fixed> Visitor<'de> for BareBytes<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "{} bytes", T::Array::zeroed().as_ref().len())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<T, A::Error> {
            let mut array = T::Array::zeroed();
            let few = || A::Error::custom("too few bytes");
            let (words, rest) = array.as_mut().as_chunks_mut();
            let (halves, single) = rest.as_chunks_mut();
            for word in words {
                *word = sequence.next_element::<u128>()?.ok_or_else(few)?.to_be_bytes();
            }
            for half in halves {
                *half = sequence.next_element::<u32>()?.ok_or_else(few)?.to_be_bytes();
            }
            for byte in single {
                *byte = sequence.next_element()?.ok_or_else(few)?;
            }
            Ok(T::from_array(array))
        }
    }

    /// One value under the adapter above, so that containers of it can be written.
    struct Bare<T>(T);

    impl<T: Fixed> serde::Serialize for Bare<&T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serialize(self.0, serializer)
        }
    }

    impl<'de, T: Fixed> serde::Deserialize<'de> for Bare<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserialize(deserializer).map(Bare)
        }
    }

    /// The same adapter for `Option<T>`.
    pub mod option {
        use super::{Bare, Fixed};
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        /// Writes a one-byte tag and the bytes, or `null` and hex.
        pub fn serialize<T: Fixed, S: Serializer>(
            value: &Option<T>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            value.as_ref().map(Bare).serialize(serializer)
        }

        /// Reads what [`serialize`] writes.
        pub fn deserialize<'de, T: Fixed, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<T>, D::Error> {
            Ok(Option::<Bare<T>>::deserialize(deserializer)?.map(|bare| bare.0))
        }
    }

    /// The same adapter for `Vec<T>`.
    pub mod list {
        use super::{Bare, Fixed};
        use serde::{Deserialize, Deserializer, Serializer};

        /// Writes the count and each value's bytes.
        pub fn serialize<T: Fixed, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(values.iter().map(Bare))
        }

        /// Reads what [`serialize`] writes.
        pub fn deserialize<'de, T: Fixed, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
            Ok(Vec::<Bare<T>>::deserialize(deserializer)?.into_iter().map(|bare| bare.0).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{B256, U256};

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Sample {
        number: u32,
        #[serde(with = "fixed")]
        hash: B256,
        #[serde(with = "fixed::option")]
        maybe: Option<U256>,
        #[serde(with = "fixed::list")]
        many: Vec<B256>,
    }

    fn sample() -> Sample {
        Sample { number: 7, hash: B256::repeat_byte(1), maybe: Some(U256::from(9)), many: vec![B256::ZERO] }
    }

    #[test]
    fn cry_4_values_have_one_bare_encoding() {
        let bytes = encode(&sample());
        assert_eq!(bytes.len(), 4 + 32 + (1 + 32) + (8 + 32));
        assert_eq!(decode::<Sample, 1024>(&bytes), Ok(sample()));
    }

    #[test]
    fn sto_9_trailing_bytes_and_long_inputs_are_refused() {
        let mut bytes = encode(&sample());
        bytes.push(0);
        assert_eq!(decode::<Sample, 1024>(&bytes), Err(DecodeError::Trailing(1)));
        assert!(matches!(decode::<Sample, 16>(&bytes), Err(DecodeError::TooLong { limit: 16, .. })));
    }

    #[test]
    fn sto_9_a_huge_count_is_refused_before_it_is_allocated() {
        let mut bytes = encode(&sample());
        let count = bytes.len() - 32 - 8;
        bytes[count..count + 8].fill(0xff);
        assert!(matches!(decode::<Sample, 1024>(&bytes), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn people_read_hex() {
        let text = serde_json::to_string(&sample()).expect("serializes");
        assert!(text.contains("\"0x0101"));
        assert_eq!(serde_json::from_str::<Sample>(&text).expect("reads back"), sample());
    }
}

//! A payload as a committee sees it: bytes that begin with a time, named by their hash.
//!
//! What the bytes mean is the ledger's affair ([`super::Validity`]); they are the canonical encoding of
//! [`synod_types::Payload`], whose first field is the block's time.

use std::fmt;

use alloy_primitives::{B256, Bytes};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use synod_types::UnixMillis;
use synod_types::codec::BLOCK_LIMIT;
use synod_types::hash::sha256;

/// The domain tag of a payload's digest.
const PAYLOAD_TAG: &[u8] = b"synod/payload/v1";

/// The bytes and their digest; a clone shares them.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    bytes: Bytes,
    digest: B256,
    time: UnixMillis,
}

/// Why bytes are no payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// No time.
    #[error("{0} bytes are too few for a payload's time")]
    TooShort(usize),
    /// More than a block holds.
    #[error("{0} bytes are more than a block holds")]
    TooLong(usize),
}

impl Payload {
    /// The payload of these bytes.
    ///
    /// # Errors
    /// [`PayloadError`].
    pub fn new(bytes: Bytes) -> Result<Self, PayloadError> {
        if bytes.len() > BLOCK_LIMIT {
            return Err(PayloadError::TooLong(bytes.len()));
        }
        let Some(time) = bytes.first_chunk::<8>() else { return Err(PayloadError::TooShort(bytes.len())) };
        let time = UnixMillis(u64::from_be_bytes(*time));
        Ok(Self { digest: sha256(&[PAYLOAD_TAG, &bytes]), time, bytes })
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What members vote on.
    pub fn digest(&self) -> B256 {
        self.digest
    }

    /// The time that its block gets, unless the parent's is later.
    pub fn time(&self) -> UnixMillis {
        self.time
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "payload {} ({} bytes)", self.digest, self.bytes.len())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Bytes::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

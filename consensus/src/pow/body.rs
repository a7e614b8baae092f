//! A block's whole content, as bytes for the log and the wire, and as facts for the machine.
//!
//! The fork choice never looks into a block: it needs the header, and whether the content is the one that
//! the header binds (POW-6). Both are found once, where the bytes are read, outside the ordering thread.

use std::fmt;
use std::sync::Arc;

use alloy_primitives::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use synod_types::block::BodyMismatch;
use synod_types::codec::DecodeError;
use synod_types::{Block, BlockHash, Height};

use super::header::HashedHeader;

/// The canonical bytes of a block and what they say; a clone shares them.
#[derive(Clone)]
pub struct Body(Arc<Facts>);

struct Facts {
    bytes: Bytes,
    header: HashedHeader,
    height: Height,
    /// Why the content is not what the header binds.
    mismatch: Option<BodyMismatch>,
}

impl Body {
    /// Reads the bytes of one block.
    ///
    /// # Errors
    /// [`DecodeError`] when they are no block at all.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        let block = Block::from_bytes(&bytes)?;
        Ok(Self::new(bytes, &block))
    }

    /// The body of a block.
    pub fn from_block(block: &Block) -> Self {
        Self::new(block.to_bytes().into(), block)
    }

    fn new(bytes: Bytes, block: &Block) -> Self {
        Self(Arc::new(Facts {
            bytes,
            header: HashedHeader::new(block.header),
            height: block.height(),
            mismatch: block.check_body().err(),
        }))
    }

    /// The block's canonical bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// The block's header.
    pub fn header(&self) -> &HashedHeader {
        &self.0.header
    }

    /// The block's hash.
    pub fn hash(&self) -> BlockHash {
        self.0.header.hash()
    }

    /// The height that the block claims.
    pub fn height(&self) -> Height {
        self.0.height
    }

    /// Why the content is not what the header binds: whoever sent it is to blame, and the block is not.
    pub fn mismatch(&self) -> Option<&BodyMismatch> {
        self.0.mismatch.as_ref()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "body of {} ({} bytes)", self.hash(), self.0.bytes.len())
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.bytes == other.0.bytes
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.bytes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_bytes(Bytes::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

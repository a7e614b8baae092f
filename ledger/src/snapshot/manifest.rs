//! What a snapshot is of, and what it is made of.

use serde::{Deserialize, Serialize};
use synod_types::codec::{self, fixed};
use synod_types::hash::sha256;
use synod_types::{B256, Block, BlockHash, Commitment, Genesis, Header, Height};

use super::chunk::CHUNK_LIMIT;
use crate::execution::{BLOCK_HASHES, genesis_block};

/// The format of everything here.
const FORMAT: u32 = 1;
/// The most chunks: 64 GiB of state.
const CHUNKS: usize = 65_536;
/// The largest encoding: headers, and what names 65,536 chunks.
pub const MANIFEST_LIMIT: usize = 3 * 1024 * 1024;

/// A chunk's hash and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkName {
    /// SHA-256 of its bytes.
    #[serde(with = "fixed")]
    pub hash: B256,
    /// How many bytes.
    pub length: u32,
}

impl ChunkName {
    /// Of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { hash: sha256(&[bytes]), length: u32::try_from(bytes.len()).unwrap_or(u32::MAX) }
    }
}

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    chain_id: u64,
    #[serde(with = "fixed")]
    genesis: B256,
    /// The headers of the blocks up to this one, itself the last: as many as contracts above it may ask for.
    headers: Vec<Header>,
    /// What the last header binds.
    commitment: Commitment,
    /// In order.
    chunks: Vec<ChunkName>,
}

/// Why a manifest is none of this network, or of no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untrue {
    /// Bytes that are no manifest.
    #[error("the manifest does not decode")]
    Malformed,
    /// Another version's.
    #[error("the snapshot's format is {found}, and this program reads {FORMAT}")]
    Format {
        /// Its format.
        found: u32,
    },
    /// Another network's.
    #[error("the snapshot belongs to another network")]
    OtherNetwork,
    /// Headers that do not lead to its block.
    #[error("the manifest's headers do not lead to its block")]
    Headers,
    /// No chunks, too many, or one of an impossible length.
    #[error("the manifest names chunks that no snapshot has")]
    Chunks,
}

impl Manifest {
    pub(super) fn new(
        genesis: &Genesis,
        headers: Vec<Header>,
        commitment: Commitment,
        chunks: Vec<ChunkName>,
    ) -> Self {
        Self {
            format: FORMAT,
            chain_id: genesis.chain_id,
            genesis: genesis.hash(),
            headers,
            commitment,
            chunks,
        }
    }

    /// Reads a manifest of the network of `genesis`. What it says of its block is consistent; whether that block
    /// is on the chain is for whoever knows a certificate.
    ///
    /// # Errors
    /// [`Untrue`].
    pub fn read(bytes: &[u8], genesis: &Genesis) -> Result<Self, Untrue> {
        let manifest: Self = codec::decode::<_, MANIFEST_LIMIT>(bytes).map_err(|_| Untrue::Malformed)?;
        manifest.check(genesis).map(|()| manifest)
    }

    fn check(&self, genesis: &Genesis) -> Result<(), Untrue> {
        if self.format != FORMAT {
            return Err(Untrue::Format { found: self.format });
        }
        if self.chain_id != genesis.chain_id || self.genesis != genesis.hash() {
            return Err(Untrue::OtherNetwork);
        }
        let is_linked = self.headers.windows(2).all(|pair| pair[1].parent == pair[0].hash());
        let is_long_enough = self.headers.len() as u64 == self.height().0.min(BLOCK_HASHES);
        let (Some(first), Some(last)) = (self.headers.first(), self.headers.last()) else {
            return Err(Untrue::Headers);
        };
        if !is_linked || !is_long_enough || last.commitment != self.commitment.digest() {
            return Err(Untrue::Headers);
        }
        if self.height().0 <= BLOCK_HASHES && first.parent != genesis_block(genesis).hash() {
            return Err(Untrue::OtherNetwork);
        }
        let is_possible = |chunk: &ChunkName| (1..=CHUNK_LIMIT).contains(&(chunk.length as usize));
        let are_chunks = (1..=CHUNKS).contains(&self.chunks.len()) && self.chunks.iter().all(is_possible);
        if are_chunks { Ok(()) } else { Err(Untrue::Chunks) }
    }

    /// The same that names other chunks, as liars do.
    #[cfg(test)]
    pub(super) fn naming(&self, chunks: &[&[u8]]) -> Self {
        let chunks = chunks.iter().map(|bytes| ChunkName::of(bytes)).collect();
        Self { chunks, ..self.clone() }
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The height of its block.
    pub fn height(&self) -> Height {
        self.commitment.height
    }

    /// Its block's hash.
    pub fn hash(&self) -> BlockHash {
        self.headers.last().map_or_else(BlockHash::default, Header::hash)
    }

    /// What its block's header binds.
    pub fn commitment(&self) -> &Commitment {
        &self.commitment
    }

    /// The chunks, in order.
    pub fn chunks(&self) -> &[ChunkName] {
        &self.chunks
    }

    /// Bytes of all chunks.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.length)).sum()
    }

    /// The header at a height, if it is here.
    pub fn header_at(&self, height: Height) -> Option<&Header> {
        let below = usize::try_from(self.height().0.checked_sub(height.0)?).ok()?;
        self.headers.get(self.headers.len().checked_sub(below + 1)?)
    }

    /// Its block without a body, which nothing above it needs.
    pub(crate) fn block(&self) -> Option<Block> {
        let header = *self.headers.last()?;
        Some(Block { header, commitment: self.commitment.clone(), transactions: Vec::new() })
    }
}

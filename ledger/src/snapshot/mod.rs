//! Snapshots: the whole state after one certified block, in parts that each prove themselves, so that a node that
//! was not there begins from it (PBFT-15, GEN-12).
//!
//! **What it is.** A [`Manifest`] names the block (its header, what that binds, and the headers below it that
//! `BLOCKHASH` may ask for) and the hash and the length of every chunk. The chunks hold the leaves of the state tree
//! in the order of their keys, each with what lies right of its last leaf in the tree ([`Spine`]), and after them all
//! code that the leaves name, in the order of its hashes. A proof that the block is final stands beside them; it
//! is the ordering's, and only bytes here.
//!
//! **Who lies is found at once.** A chunk is compared with the manifest's hash before anything of it is decoded, and
//! then its leaves must continue those before it to the certified state root: the first chunk that is not the state's
//! own is refused when it comes, not at the end. That costs one more hash for each leaf, and some hundreds of bytes
//! for each chunk. (Hashes of chunks alone would not do: the manifest that names them is its server's word.) So
//! chunks of one snapshot may come from anybody, and nothing but its block's hash is trusted.
//!
//! **All members make the same one**: heights are multiples of a number, leaves are sorted, and chunks are cut by
//! their length, so that what one began to give another can go on with.
//!
//! **On disk** ([`Snapshots`]) all of it are plain files of one folder, whose names begin with the height. The manifest comes
//! last, under its name in one step, once everything else is durable: it is the marker that the snapshot is whole.
//! Files without one are what an interruption left, and go at the next start.
//!
//! **Installing** is not a move of files: a whole snapshot above the block log's tip is what a start begins from
//! ([`begin_above`]). The log then begins at its block, and as long as it does, the snapshot stays: it is what the
//! state is replayed from when the index is lost (STO-4), as genesis is for a log that begins there.

mod chunk;
mod folder;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod hostile_tests;
mod intake;
mod make;
mod manifest;
mod start;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use chunk::CHUNK_LIMIT;
pub use folder::{Draft, SnapshotError, Snapshots};
pub use intake::{ChunkError, Intake};
pub use make::{MakeError, make};
pub use manifest::{ChunkName, MANIFEST_LIMIT, Manifest, Untrue};
pub use start::{Base, BeginError, begin_above};

#[cfg(doc)]
use crate::trie::spine::Spine;

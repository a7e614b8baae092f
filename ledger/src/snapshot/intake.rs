//! Taking a snapshot in, chunk by chunk, from somebody who may lie, or from a disk that may rot.

use std::collections::BTreeMap;

use synod_types::committee::{COMMITTEE_ADDRESS, EpochRecord};
use synod_types::{B256, Bytes};
use synod_vm::code::code_hash;

use super::chunk::{Chunk, Item};
use super::manifest::{ChunkName, Manifest};
use crate::state::{Loading, Record, RecordKey, State, System};
use crate::trie::spine::Spine;

/// Why a chunk is not taken. Nothing of it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Its bytes are not those that the manifest names.
    #[error("the chunk's hash is not the manifest's")]
    Hash,
    /// It decodes to nothing.
    #[error("the chunk does not decode")]
    Malformed,
    /// It holds nothing, or what no state holds.
    #[error("the chunk holds what no state holds")]
    Impossible,
    /// Its leaves do not continue those before it to the state root.
    #[error("the chunk's leaves do not lead to the certified state root")]
    Root,
    /// It is not the code that the state names next.
    #[error("the chunk's code is not what the state names")]
    Code,
    /// The manifest names no further chunk.
    #[error("there is no such chunk")]
    Beyond,
    /// Chunks are missing, or the manifest named too few for the state.
    #[error("the chunks end before the state does")]
    Incomplete,
}

/// What code is named by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// A contract.
    Contract,
    /// The slot that names the epoch's record.
    Record,
}

impl Named {
    fn holds(self, hash: B256, code: &[u8]) -> bool {
        match self {
            Self::Contract => code_hash(code) == hash,
            Self::Record => EpochRecord::from_bytes(code).is_ok_and(|record| record.hash() == hash),
        }
    }
}

/// What was taken so far.
#[derive(Debug)]
pub struct Intake {
    manifest: Manifest,
    next: usize,
    spine: Spine,
    /// Code that leaves named and that did not come yet.
    wanted: BTreeMap<B256, Named>,
}

/// What a chunk brings.
#[derive(Debug)]
enum Brought {
    Leaves(Vec<Item>),
    Code(Vec<(B256, Bytes)>),
}

impl Intake {
    /// For the snapshot of a block that is known to be final.
    pub fn new(manifest: Manifest) -> Self {
        Self { manifest, next: 0, spine: Spine::default(), wanted: BTreeMap::new() }
    }

    /// The index and the name of the chunk that is needed next; `None` when all came.
    pub fn next(&self) -> Option<(u32, ChunkName)> {
        let name = self.manifest.chunks().get(self.next)?;
        Some((u32::try_from(self.next).ok()?, *name))
    }

    /// What it is a snapshot of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Checks the next chunk, and keeps only what proves those after it.
    ///
    /// # Errors
    /// [`ChunkError`]; then another server's chunk may still be good.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), ChunkError> {
        self.bring(bytes).map(drop)
    }

    /// Whether all came, and they are the whole state.
    ///
    /// # Errors
    /// [`ChunkError::Incomplete`].
    pub fn finish(self) -> Result<Manifest, ChunkError> {
        let is_whole =
            self.next == self.manifest.chunks().len() && self.is_past_leaves() && self.wanted.is_empty();
        if is_whole { Ok(self.manifest) } else { Err(ChunkError::Incomplete) }
    }

    fn is_past_leaves(&self) -> bool {
        self.spine.root(&[]) == Some(self.manifest.commitment().state_root)
    }

    fn bring(&mut self, bytes: &[u8]) -> Result<Brought, ChunkError> {
        let (_, name) = self.next().ok_or(ChunkError::Beyond)?;
        if ChunkName::of(bytes) != name {
            return Err(ChunkError::Hash);
        }
        let brought = match Chunk::from_bytes(bytes).ok_or(ChunkError::Malformed)? {
            Chunk::Leaves { right, items } => {
                let mut spine = self.spine.clone();
                for item in &items {
                    if !spine.push(item.leaf().ok_or(ChunkError::Impossible)?) {
                        return Err(ChunkError::Root);
                    }
                }
                if items.is_empty() {
                    return Err(ChunkError::Impossible);
                }
                if spine.root(&right) != Some(self.manifest.commitment().state_root) {
                    return Err(ChunkError::Root);
                }
                self.spine = spine;
                self.wanted.extend(items.iter().filter_map(named));
                Brought::Leaves(items)
            }
            Chunk::Code(codes) => {
                if codes.is_empty() || !self.is_past_leaves() {
                    return Err(ChunkError::Impossible);
                }
                let mut wanted = self.wanted.iter();
                let mut brought = Vec::with_capacity(codes.len());
                for code in codes {
                    let (hash, named) = wanted.next().ok_or(ChunkError::Code)?;
                    if !named.holds(*hash, &code) {
                        return Err(ChunkError::Code);
                    }
                    brought.push((*hash, code));
                }
                for (hash, _) in &brought {
                    self.wanted.remove(hash);
                }
                Brought::Code(brought)
            }
        };
        self.next += 1;
        Ok(brought)
    }
}

/// The code that a leaf names.
fn named(item: &Item) -> Option<(B256, Named)> {
    match item {
        Item::Account(_, account) => {
            let hash = **account.code_hash.as_ref()?;
            (hash != code_hash(&[])).then_some((hash, Named::Contract))
        }
        Item::Record(RecordKey::Slot(address, _), Record::Slot(value)) if *address == COMMITTEE_ADDRESS => {
            Some((B256::from(*value), Named::Record))
        }
        _ => None,
    }
}

/// The code that a set of leaves names, for whoever makes a snapshot.
pub(super) fn names(item: &Item) -> Option<B256> {
    named(item).map(|(hash, _)| hash)
}

/// A state that is taken in from its chunks.
pub(super) struct StateIntake {
    intake: Intake,
    loading: Loading,
    system: Option<System>,
}

impl StateIntake {
    pub(super) fn new(manifest: Manifest) -> Self {
        Self { intake: Intake::new(manifest), loading: Loading::default(), system: None }
    }

    pub(super) fn next(&self) -> Option<u32> {
        self.intake.next().map(|(index, _)| index)
    }

    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), ChunkError> {
        match self.intake.bring(bytes)? {
            Brought::Leaves(items) => items.into_iter().for_each(|item| match item {
                Item::Account(address, account) => self.loading.account(address, account),
                Item::Record(key, record) => self.loading.record(key, Some(record)),
                Item::System(system) => self.system = Some(system),
            }),
            Brought::Code(codes) => codes.into_iter().for_each(|(hash, code)| self.loading.code(hash, code)),
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<State, ChunkError> {
        self.intake.finish()?;
        Ok(self.loading.finish(self.system.ok_or(ChunkError::Incomplete)?))
    }
}

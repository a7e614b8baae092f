//! The snapshots of a node: plain files in one folder.
//!
//! `HEIGHT.manifest`, `HEIGHT.proof` and `HEIGHT.00000`, `HEIGHT.00001`, … The manifest is written last: beside, synced, renamed,
//! the folder synced, after everything else is durable. Whoever goes loses the manifest first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use synod_types::{Genesis, Height};

use super::intake::{ChunkError, StateIntake};
use super::manifest::{ChunkName, MANIFEST_LIMIT, Manifest, Untrue};
use crate::disk::{Disk, DiskError, DiskFile};
use crate::state::State;

/// The newest ones that stay.
const KEPT: usize = 2;
/// The largest proof: what fits into an answer beside the manifest.
const PROOF_LIMIT: usize = 4 * 1024 * 1024;

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is none.
    #[error("there is no snapshot of height {0}")]
    None(Height),
    /// Its manifest is damaged or foreign.
    #[error("the snapshot of height {height}: {reason}")]
    Untrue {
        /// Which.
        height: Height,
        /// How.
        reason: Untrue,
    },
    /// A chunk is damaged.
    #[error("the snapshot of height {height}, chunk {index}: {reason}")]
    Chunk {
        /// Which.
        height: Height,
        /// Which chunk.
        index: u32,
        /// How.
        reason: ChunkError,
    },
    /// A file is longer than any such file.
    #[error("the snapshot of height {0} has a file that is longer than it can be")]
    TooLong(Height),
}

/// The folder.
#[derive(Debug)]
pub struct Snapshots<D> {
    disk: D,
    whole: Mutex<BTreeMap<Height, Manifest>>,
}

impl<D: Disk> Snapshots<D> {
    /// Opens the folder and removes what interruptions left. A snapshot whose manifest is damaged counts as none:
    /// the error says why, and its files go with the next one that is made.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(disk: D, genesis: &Genesis) -> Result<(Self, Vec<SnapshotError>), SnapshotError> {
        let (mut whole, mut damaged) = (BTreeMap::new(), Vec::new());
        let names = disk.list()?;
        for height in names.iter().filter_map(|name| name.strip_suffix(".manifest")?.parse().ok().map(Height))
        {
            let bytes = read(&disk, height, &manifest_name(height), MANIFEST_LIMIT)?;
            match Manifest::read(&bytes, genesis) {
                Ok(manifest) if manifest.height() == height => drop(whole.insert(height, manifest)),
                Ok(_) => damaged.push(SnapshotError::Untrue { height, reason: Untrue::Headers }),
                Err(reason) => damaged.push(SnapshotError::Untrue { height, reason }),
            }
        }
        let has_manifest: BTreeSet<_> =
            names.iter().filter_map(|name| name.strip_suffix(".manifest")).collect();
        let leftovers = names.iter().filter(|name| {
            height_of(name).is_some()
                && name.split_once('.').is_some_and(|(stem, _)| !has_manifest.contains(stem))
        });
        let removed = leftovers.map(|name| disk.remove(name)).collect::<Result<Vec<()>, _>>()?;
        if !removed.is_empty() {
            disk.sync_folder()?;
        }
        Ok((Self { disk, whole: Mutex::new(whole) }, damaged))
    }

    /// The manifests, lowest first.
    pub fn manifests(&self) -> Vec<Manifest> {
        self.whole().values().cloned().collect()
    }

    /// The newest one's manifest.
    pub fn newest(&self) -> Option<Manifest> {
        self.whole().last_key_value().map(|(_, manifest)| manifest.clone())
    }

    /// The manifest at a height.
    pub fn manifest(&self, height: Height) -> Option<Manifest> {
        self.whole().get(&height).cloned()
    }

    /// What proves that its block is final.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn proof(&self, height: Height) -> Result<Vec<u8>, SnapshotError> {
        read(&self.disk, height, &proof_name(height), PROOF_LIMIT)
    }

    /// A chunk, if its bytes are still those that the manifest names.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn chunk(&self, height: Height, index: u32) -> Result<Vec<u8>, SnapshotError> {
        let named = self.whole().get(&height).map(|manifest| manifest.chunks().get(index as usize).copied());
        let fail = |reason| SnapshotError::Chunk { height, index, reason };
        let name = named.ok_or(SnapshotError::None(height))?.ok_or(fail(ChunkError::Beyond))?;
        let bytes = read(&self.disk, height, &chunk_name(height, index), name.length as usize)?;
        if ChunkName::of(&bytes) == name { Ok(bytes) } else { Err(fail(ChunkError::Hash)) }
    }

    /// The whole state, every chunk of it checked against the block's state root.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn load(&self, height: Height) -> Result<State, SnapshotError> {
        let manifest = self.manifest(height).ok_or(SnapshotError::None(height))?;
        let mut intake = StateIntake::new(manifest);
        let mut at = 0;
        while let Some(index) = intake.next() {
            at = index;
            let taken = intake.take(&self.chunk(height, index)?);
            taken.map_err(|reason| SnapshotError::Chunk { height, index, reason })?;
        }
        intake.finish().map_err(|reason| SnapshotError::Chunk { height, index: at, reason })
    }

    /// Begins to write one; what stood under its height goes.
    ///
    /// # Errors
    /// The disk's.
    pub fn begin(&self, height: Height) -> Result<Draft<'_, D>, SnapshotError> {
        self.remove(height)?;
        Ok(Draft { snapshots: self, height, chunks: Vec::new() })
    }

    /// Removes all but the two newest and the one that the block log begins at.
    ///
    /// # Errors
    /// The disk's.
    pub fn keep_newest(&self, base: Option<Height>) -> Result<(), SnapshotError> {
        let heights: Vec<Height> = self.whole().keys().copied().collect();
        let newest = &heights[heights.len().saturating_sub(KEPT)..];
        let old: BTreeSet<Height> = self.disk.list()?.iter().filter_map(|name| height_of(name)).collect();
        let is_old =
            |height: &Height| newest.first().is_some_and(|lowest| height < lowest) && base != Some(*height);
        old.into_iter().filter(is_old).try_for_each(|height| self.remove(height))
    }

    /// Removes one, the manifest first.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove(&self, height: Height) -> Result<(), SnapshotError> {
        self.whole().remove(&height);
        let names: Vec<_> =
            self.disk.list()?.into_iter().filter(|name| height_of(name) == Some(height)).collect();
        if names.contains(&manifest_name(height)) {
            self.disk.remove(&manifest_name(height))?;
            self.disk.sync_folder()?;
        }
        for name in names.iter().filter(|name| **name != manifest_name(height)) {
            self.disk.remove(name)?;
        }
        if names.is_empty() { Ok(()) } else { Ok(self.disk.sync_folder()?) }
    }

    fn whole(&self) -> MutexGuard<'_, BTreeMap<Height, Manifest>> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A snapshot that is being written. Dropped unfinished, it leaves files that the next start removes.
#[derive(Debug)]
pub struct Draft<'a, D> {
    snapshots: &'a Snapshots<D>,
    height: Height,
    chunks: Vec<ChunkName>,
}

impl<D: Disk> Draft<'_, D> {
    /// Writes the next chunk.
    ///
    /// # Errors
    /// The disk's.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let index = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        write(&self.snapshots.disk, &chunk_name(self.height, index), bytes)?;
        self.chunks.push(ChunkName::of(bytes));
        Ok(())
    }

    /// The chunks so far.
    pub fn chunks(&self) -> &[ChunkName] {
        &self.chunks
    }

    /// Makes the snapshot whole, in one step.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(self, manifest: &Manifest, proof: &[u8]) -> Result<(), SnapshotError> {
        assert!(manifest.height() == self.height && manifest.chunks() == self.chunks, "it is this draft's");
        let (disk, name) = (&self.snapshots.disk, manifest_name(self.height));
        write(disk, &proof_name(self.height), proof)?;
        let beside = format!("{name}.new");
        write(disk, &beside, &manifest.to_bytes())?;
        // Everything that it names has its name for good before it has its own.
        disk.sync_folder()?;
        disk.rename(&beside, &name)?;
        disk.sync_folder()?;
        self.snapshots.whole().insert(self.height, manifest.clone());
        Ok(())
    }
}

fn write<D: Disk>(disk: &D, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
    let file = disk.create(name)?;
    file.write_at(0, bytes)?;
    file.sync_data()
}

fn read<D: Disk>(disk: &D, height: Height, name: &str, limit: usize) -> Result<Vec<u8>, SnapshotError> {
    let file = match disk.open(name) {
        Err(DiskError::NotFound { .. }) => return Err(SnapshotError::None(height)),
        file => file?,
    };
    let length = usize::try_from(file.length()?).ok().filter(|length| *length <= limit);
    let mut bytes = vec![0; length.ok_or(SnapshotError::TooLong(height))?];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

fn manifest_name(height: Height) -> String {
    format!("{}.manifest", height.0)
}

fn proof_name(height: Height) -> String {
    format!("{}.proof", height.0)
}

fn chunk_name(height: Height, index: u32) -> String {
    format!("{}.{index:05}", height.0)
}

/// The height in a name of ours.
fn height_of(name: &str) -> Option<Height> {
    let (stem, kind) = name.split_once('.')?;
    let is_ours = ["manifest", "manifest.new", "proof"].contains(&kind) || kind.parse::<u32>().is_ok();
    is_ours.then(|| stem.parse().ok().map(Height)).flatten()
}

//! Beginning from a snapshot.

use std::fmt;
use std::sync::Arc;

use super::folder::{SnapshotError, Snapshots};
use super::manifest::Manifest;
use crate::disk::Disk;
use crate::log::blocks::{BlockLog, BlockLogError, Tip};
use crate::state::State;

/// The snapshot that a block log begins at: what its blocks are replayed from.
#[derive(Clone)]
pub struct Base {
    pub(crate) manifest: Manifest,
    load: Arc<dyn Fn() -> Result<State, SnapshotError> + Send + Sync>,
}

impl fmt::Debug for Base {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Base({})", self.manifest.height())
    }
}

impl Base {
    /// The snapshot at a height, if the folder has one.
    pub fn at<D>(snapshots: &Arc<Snapshots<D>>, base: Tip) -> Option<Self>
    where
        D: Disk + Send + Sync + 'static,
    {
        let manifest = snapshots.manifest(base.height).filter(|manifest| manifest.hash() == base.hash)?;
        let snapshots = Arc::clone(snapshots);
        Some(Self { manifest, load: Arc::new(move || snapshots.load(base.height)) })
    }

    pub(crate) fn load(&self) -> Result<State, SnapshotError> {
        (self.load)()
    }
}

/// Lets the block log begin anew at the newest whole snapshot above its tip, if there is one: one that was fetched
/// before the process ended, or that outlived the log. Answers its height. A damaged one goes, and the next is
/// looked at. Blocks below the one that the log begins at go with it: their state is durable in the snapshot (GEN-13).
///
/// # Errors
/// The disks'. A start after a crash anywhere in here does the same again.
pub fn begin_above<D: Disk, L: Disk>(
    snapshots: &Snapshots<D>,
    log: &mut BlockLog<L>,
) -> Result<Option<Manifest>, BeginError> {
    let above: Vec<Manifest> = snapshots
        .manifests()
        .into_iter()
        .rev()
        .filter(|manifest| log.tip().is_none_or(|tip| tip.height < manifest.height()))
        .collect();
    let mut begun = None;
    for manifest in above {
        let height = manifest.height();
        match snapshots.load(height) {
            Ok(_) => {
                log.restart(Tip { height, hash: manifest.hash() })?;
                log.commit()?;
                begun = Some(manifest);
                break;
            }
            Err(SnapshotError::Disk(error)) => return Err(SnapshotError::Disk(error).into()),
            Err(_) => snapshots.remove(height)?,
        }
    }
    let base = log.base()?.filter(|base| snapshots.manifest(base.height).is_some());
    if base.is_some() {
        log.trim_to_base()?;
    }
    Ok(begun)
}

/// Why the block log cannot begin at a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The snapshots.
    #[error("snapshots/: {0}")]
    Snapshot(#[from] SnapshotError),
    /// The log.
    #[error("blocks/: {0}")]
    Log(#[from] BlockLogError),
}

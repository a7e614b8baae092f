//! The disk's twin: deterministic, in memory, and as unkind as a real disk may be.
//!
//! Each file has two images: what a reader sees (the page cache) and what a power cut leaves (the durable one),
//! with the unsynced writes between them. [`SimDisk::power_cut`] keeps none, all, or an arbitrary part of those
//! writes: each is lost, kept, or torn at sectors or at any byte, and overlapping ones land in any order. Names
//! have the same two images: an unsynced creation, renaming or removal may vanish alone.
//!
//! [`Faults`] adds failing syncs and writes, short writes, a full disk, and a power cut after the n-th operation
//! (so that a test can enumerate every crash point). After a **failed sync** the written bytes stay visible
//! and count as clean, but may never have reached the disk: what Linux does (faults S-D1 to S-D4). The methods
//! in `rot` damage bytes at rest (S-D5).
//!
//! [`SimDisk`] is a handle: clones and [`SimDisk::folder`] views share one machine, so that one power cut
//! hits the block log and the votes at the same operation.

mod choices;
mod faults;
mod file;
mod machine;
mod rot;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use choices::Choices;
pub use faults::{Faults, PowerCut};
pub use file::SimFile;
pub use machine::Image;

use super::{Disk, DiskError, check_name};
use machine::Machine;

/// A folder of a simulated machine.
#[derive(Debug, Clone)]
pub struct SimDisk {
    machine: Arc<Mutex<Machine>>,
    folder: String,
}

impl SimDisk {
    /// An empty machine. `seed` decides what failed syncs leave behind and when random faults strike.
    pub fn new(seed: u64) -> Self {
        SimDisk { machine: Arc::new(Mutex::new(Machine::new(seed))), folder: String::new() }
    }

    /// A folder inside this one, on the same machine.
    pub fn folder(&self, name: &str) -> Self {
        SimDisk { machine: Arc::clone(&self.machine), folder: format!("{}{name}/", self.folder) }
    }

    /// Sets which faults strike from now on. Counts go on from the machine's first operation.
    pub fn set_faults(&self, faults: Faults) {
        self.machine().faults = faults;
    }

    /// Operations so far that change the disk: writes, syncs, creations, renamings, removals.
    pub fn operations(&self) -> u64 {
        self.machine().operations
    }

    /// Syncs so far, of files and of folders, the failed ones included.
    pub fn syncs(&self) -> u64 {
        self.machine().syncs
    }

    /// Writes so far, the failed ones included.
    pub fn writes(&self) -> u64 {
        self.machine().writes
    }

    /// Cuts the power and switches it on again: open handles die, and of the unsynced writes and names
    /// what `cut` says is left. The crash point of the faults is spent.
    pub fn power_cut(&self, cut: PowerCut, choices: &mut Choices) {
        self.machine().power_cut(cut, choices);
    }

    /// Kills the process but not the machine: open handles die, and the next process sees every write.
    pub fn kill(&self) {
        self.machine().kill();
    }

    /// The durable state of the whole machine, to be put back later (fault S-C5, or to branch a search).
    pub fn image(&self) -> Image {
        self.machine().image()
    }

    /// Puts a durable state back, as a restored snapshot of a virtual machine does. Open handles die.
    pub fn restore(&self, image: &Image) {
        self.machine().restore(image);
    }

    /// Renames a folder in one step. Durable after a sync of the folder that both stand in.
    ///
    /// # Errors
    /// Also when the new name is taken, or when names inside are not synced (which no caller needs).
    pub(in crate::disk) fn rename_folder(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let folder = |name| Ok::<_, DiskError>(format!("{}/", self.full_name(name)?));
        self.machine().rename_folder(&folder(from)?, &folder(to)?)
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        // A panic in a test's thread must not hide the first failure behind a poisoned lock.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn full_name(&self, name: &str) -> Result<String, DiskError> {
        check_name(name)?;
        Ok(format!("{}{name}", self.folder))
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> Result<Vec<String>, DiskError> {
        self.machine().list(&self.folder)
    }

    fn open(&self, name: &str) -> Result<SimFile, DiskError> {
        let name = self.full_name(name)?;
        let (id, boot) = self.machine().open(&name)?;
        Ok(SimFile { machine: Arc::clone(&self.machine), id, boot, name })
    }

    fn create(&self, name: &str) -> Result<SimFile, DiskError> {
        let name = self.full_name(name)?;
        let (id, boot) = self.machine().create(&name)?;
        Ok(SimFile { machine: Arc::clone(&self.machine), id, boot, name })
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let (from, to) = (self.full_name(from)?, self.full_name(to)?);
        self.machine().rename(&from, &to)
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        let name = self.full_name(name)?;
        self.machine().remove(&name)
    }

    fn sync_folder(&self) -> Result<(), DiskError> {
        self.machine().sync_folder(&self.folder)
    }
}

//! An open file of the twin.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::machine::Machine;
use crate::disk::{DiskError, DiskFile};

/// An open file of a [`super::SimDisk`]. It dies with the process: after a power cut or a kill every
/// operation answers [`DiskError::PowerLost`].
#[derive(Debug)]
pub struct SimFile {
    pub(super) machine: Arc<Mutex<Machine>>,
    pub(super) id: u64,
    pub(super) boot: u64,
    pub(super) name: String,
}

impl SimFile {
    fn machine(&self) -> Result<MutexGuard<'_, Machine>, DiskError> {
        let machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        if machine.boot == self.boot { Ok(machine) } else { Err(DiskError::PowerLost) }
    }
}

impl DiskFile for SimFile {
    fn length(&self) -> Result<u64, DiskError> {
        self.machine()?.length(self.id)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.machine()?.read(self.id, &self.name, offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.machine()?.write(self.id, &self.name, offset, bytes)
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.machine()?.sync_data(self.id, &self.name)
    }
}

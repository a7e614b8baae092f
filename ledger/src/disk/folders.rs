//! Whole folders: what it takes to let one take another's place, on the real disk and on its twin.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use super::real::failed;
use super::{Disk, DiskError, Operation, SimDisk};

/// A folder of folders.
pub trait Folders {
    /// Whether there is such a folder.
    fn holds(&self, folder: &str) -> Result<bool, DiskError>;

    /// Moves a folder in one step to a name that is free. Durable after [`Folders::sync`].
    fn move_folder(&self, from: &str, to: &str) -> Result<(), DiskError>;

    /// Removes a folder and what is in it, if there is one. A crash may leave part of it.
    fn remove_folder(&self, folder: &str) -> Result<(), DiskError>;

    /// Makes every folder's name durable.
    fn sync(&self) -> Result<(), DiskError>;
}

/// The folders in a real one.
#[derive(Debug, Clone)]
pub struct RealFolders(
    /// Where.
    pub PathBuf,
);

impl Folders for RealFolders {
    fn holds(&self, folder: &str) -> Result<bool, DiskError> {
        let path = self.0.join(folder);
        path.try_exists().map_err(|error| failed(Operation::Open, &path, error))
    }

    fn move_folder(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let path = self.0.join(from);
        fs::rename(&path, self.0.join(to)).map_err(|error| failed(Operation::Rename, &path, error))
    }

    fn remove_folder(&self, folder: &str) -> Result<(), DiskError> {
        let path = self.0.join(folder);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed(Operation::Remove, &path, error))
            }
            _ => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), DiskError> {
        let synced = File::open(&self.0).and_then(|folder| folder.sync_all());
        synced.map_err(|error| failed(Operation::Sync, &self.0, error))
    }
}

/// A folder of the twin is there as long as a file in it has a name.
impl Folders for SimDisk {
    fn holds(&self, folder: &str) -> Result<bool, DiskError> {
        Ok(!self.folder(folder).list()?.is_empty())
    }

    fn move_folder(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.rename_folder(from, to)
    }

    fn remove_folder(&self, folder: &str) -> Result<(), DiskError> {
        let folder = self.folder(folder);
        for name in folder.list()? {
            folder.remove(&name)?;
        }
        folder.sync_folder()
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.sync_folder()
    }
}

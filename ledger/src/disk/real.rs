//! The real disk: a folder of the file system, positional reads and writes, `fdatasync`, one owner.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Disk, DiskError, DiskFile, Operation, check_name};

/// The lock file inside the folder; it is never listed.
pub const LOCK_NAME: &str = "lock";

/// A folder that this process owns for as long as the value lives.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
    folder: File,
    // Dropping the file releases the lock, also when the process is killed.
    _lock: File,
}

impl RealDisk {
    /// Opens the folder, creates it when missing (durably), and takes its lock.
    ///
    /// # Errors
    /// [`DiskError::Locked`] when another process, or another value in this one, holds the folder.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        create_folder(path)?;
        let lock = take_lock(&path.join(LOCK_NAME))?;
        let folder = File::open(path).map_err(|error| failed(Operation::Open, path, error))?;
        Ok(RealDisk { path: path.to_owned(), folder, _lock: lock })
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, operation: Operation, name: &str, options: &OpenOptions) -> Result<RealFile, DiskError> {
        check_name(name)?;
        let file =
            options.open(self.path.join(name)).map_err(|error| DiskError::from_io(operation, name, error))?;
        Ok(RealFile { file, name: name.to_owned() })
    }
}

impl Disk for RealDisk {
    type File = RealFile;

    fn list(&self) -> Result<Vec<String>, DiskError> {
        let list_failed = |error| failed(Operation::List, &self.path, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(list_failed)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.map_err(list_failed)?.file_name().into_string() {
                names.push(name);
            }
        }
        names.retain(|name| name != LOCK_NAME);
        Ok(names)
    }

    fn open(&self, name: &str) -> Result<RealFile, DiskError> {
        self.file(Operation::Open, name, OpenOptions::new().read(true).write(true))
    }

    fn create(&self, name: &str) -> Result<RealFile, DiskError> {
        self.file(Operation::Create, name, OpenOptions::new().read(true).write(true).create_new(true))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        check_name(from)?;
        check_name(to)?;
        fs::rename(self.path.join(from), self.path.join(to))
            .map_err(|error| DiskError::from_io(Operation::Rename, from, error))
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        check_name(name)?;
        fs::remove_file(self.path.join(name))
            .map_err(|error| DiskError::from_io(Operation::Remove, name, error))
    }

    fn sync_folder(&self) -> Result<(), DiskError> {
        self.folder.sync_all().map_err(|error| failed(Operation::Sync, &self.path, error))
    }
}

/// An open file of a [`RealDisk`].
#[derive(Debug)]
pub struct RealFile {
    file: File,
    name: String,
}

impl RealFile {
    /// Lets the file end there, with a hole for what was never written.
    ///
    /// # Errors
    /// The disk's.
    pub fn end_at(&self, length: u64) -> Result<(), DiskError> {
        self.file.set_len(length).map_err(|error| DiskError::from_io(Operation::Write, &self.name, error))
    }
}

impl DiskFile for RealFile {
    fn length(&self) -> Result<u64, DiskError> {
        let metadata =
            self.file.metadata().map_err(|error| DiskError::from_io(Operation::Length, &self.name, error))?;
        Ok(metadata.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => DiskError::ShortRead {
                name: self.name.clone(),
                end: offset.saturating_add(buffer.len() as u64),
            },
            _ => DiskError::from_io(Operation::Read, &self.name, error),
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|error| DiskError::from_io(Operation::Write, &self.name, error))
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(|error| DiskError::from_io(Operation::Sync, &self.name, error))
    }
}

/// Creates the folder and every missing parent, each synced into the one above it.
fn create_folder(path: &Path) -> Result<(), DiskError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_folder(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed(Operation::Create, path, error));
        }
        _ => {}
    }
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| failed(Operation::Sync, parent, error))
}

fn take_lock(path: &Path) -> Result<File, DiskError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| failed(Operation::Open, path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DiskError::Locked { name: path.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(failed(Operation::Lock, path, error)),
    }
}

pub(super) fn failed(operation: Operation, path: &Path, error: io::Error) -> DiskError {
    DiskError::from_io(operation, &path.display().to_string(), error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sto_8_a_folder_has_one_owner() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b");
        let first = RealDisk::open(&path).unwrap();
        assert!(matches!(RealDisk::open(&path), Err(DiskError::Locked { .. })));
        drop(first);
        RealDisk::open(&path).unwrap();
    }

    #[test]
    fn files_are_written_read_renamed_and_removed() {
        let home = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(home.path()).unwrap();
        let file = disk.create("one").unwrap();
        assert!(matches!(disk.create("one"), Err(DiskError::AlreadyExists { .. })));
        file.write_at(3, b"abc").unwrap();
        file.sync_data().unwrap();
        assert_eq!(file.length().unwrap(), 6);
        let mut bytes = [9; 6];
        file.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"\0\0\0abc");
        assert!(matches!(file.read_at(1, &mut bytes), Err(DiskError::ShortRead { end: 7, .. })));
        disk.rename("one", "two").unwrap();
        disk.sync_folder().unwrap();
        assert_eq!(disk.list().unwrap(), ["two"]);
        assert!(matches!(disk.open("one"), Err(DiskError::NotFound { .. })));
        disk.remove("two").unwrap();
        assert!(matches!(disk.open("../passwd"), Err(DiskError::BadName { .. })));
    }
}

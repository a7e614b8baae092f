//! The edge to storage: the few file operations that the logs need, the real disk, and its simulated twin.
//!
//! A [`Disk`] is one folder of flat names. Everything that must survive a power cut goes through it, so that
//! the same log code runs over [`RealDisk`] in a node and over [`SimDisk`] in the simulator, where unsynced
//! writes are lost, torn and reordered, syncs fail, and sectors rot.
//!
//! The rule (GEN-4): **a failed write or sync is fatal to whoever asked for it.** No implementation retries a
//! sync: after an error the kernel may have dropped the dirty pages and marked them clean, so that a second
//! sync answers "done" about bytes that never reached the disk. The only error that a caller may survive is
//! [`DiskError::NoSpace`], and only for a file that holds nothing acknowledged.
//!
//! What is durable when: bytes of a file after [`DiskFile::sync_data`] on it, names (created, renamed, removed)
//! after [`Disk::sync_folder`]. One does not imply the other.

mod folders;
mod real;
mod sim;

use std::fmt;
use std::io;

pub use folders::{Folders, RealFolders};
pub use real::{LOCK_NAME, RealDisk, RealFile};
pub use sim::{Choices, Faults, Image, PowerCut, SimDisk, SimFile};

/// A sync that stands between a write and its being durable, to be run once, without the log that wrote.
pub type PendingSync = Box<dyn FnOnce() -> Result<(), DiskError>>;

/// One folder of flat names.
pub trait Disk {
    /// An open file.
    type File: DiskFile + fmt::Debug + 'static;

    /// The names in the folder, in no particular order.
    fn list(&self) -> Result<Vec<String>, DiskError>;

    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> Result<Self::File, DiskError>;

    /// Creates an empty file; refuses a name that exists. The name is durable only after
    /// [`Disk::sync_folder`].
    fn create(&self, name: &str) -> Result<Self::File, DiskError>;

    /// Renames a file in one step, replacing a file of the new name. Durable after [`Disk::sync_folder`].
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError>;

    /// Removes a file. Durable after [`Disk::sync_folder`].
    fn remove(&self, name: &str) -> Result<(), DiskError>;

    /// Makes every creation, renaming and removal so far durable.
    fn sync_folder(&self) -> Result<(), DiskError>;
}

/// An open file, read and written by position.
pub trait DiskFile {
    /// Bytes in the file.
    fn length(&self) -> Result<u64, DiskError>;

    /// Fills `buffer` from `offset`; [`DiskError::ShortRead`] when the file ends before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError>;

    /// Writes all of `bytes` at `offset`, growing the file when they end past it. Durable only after
    /// [`DiskFile::sync_data`].
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;

    /// Lets the file grow by zeros, from its end at `offset`. Written, so that later writes in place need no new
    /// room; where nothing is ever synced a hole does as well.
    fn grow_by_zeros(&self, offset: u64, length: usize) -> Result<(), DiskError> {
        self.write_at(offset, &vec![0; length])
    }

    /// Makes every write to this file so far durable, and its length (`fdatasync`).
    fn sync_data(&self) -> Result<(), DiskError>;
}

/// What was being done to a file when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Listing a folder.
    List,
    /// Opening a file or a folder.
    Open,
    /// Creating a file or a folder.
    Create,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Asking for a length.
    Length,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Syncing a file or a folder.
    Sync,
    /// Taking the folder's lock.
    Lock,
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Operation::List => "list",
            Operation::Open => "open",
            Operation::Create => "create",
            Operation::Rename => "rename",
            Operation::Remove => "remove",
            Operation::Length => "measure",
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Sync => "sync",
            Operation::Lock => "lock",
        })
    }
}

/// Why the disk refused.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// There is no such file.
    #[error("{name} does not exist")]
    NotFound {
        /// The file.
        name: String,
    },
    /// The file exists and was to be created.
    #[error("{name} exists already")]
    AlreadyExists {
        /// The file.
        name: String,
    },
    /// The disk, or the user's share of it, is full.
    #[error("no space left to {operation} {name}: free some, then continue")]
    NoSpace {
        /// What was tried.
        operation: Operation,
        /// The file.
        name: String,
    },
    /// The file ends before the bytes that were asked for.
    #[error("{name} ends before byte {end}")]
    ShortRead {
        /// The file.
        name: String,
        /// Where the wanted bytes end.
        end: u64,
    },
    /// Another process holds the folder.
    #[error("{name} is held by another process: stop it, or use another folder")]
    Locked {
        /// The lock file.
        name: String,
    },
    /// A name that is not a plain file name.
    #[error("{name:?} is not a plain file name")]
    BadName {
        /// The name.
        name: String,
    },
    /// The device failed. What was written and not yet synced must be taken for lost.
    #[error("cannot {operation} {name}: {source}; check the device, then restart")]
    Failed {
        /// What was tried.
        operation: Operation,
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The simulated machine is off, or was restarted since this handle was opened (twin only).
    #[error("the simulated machine lost its power")]
    PowerLost,
}

impl DiskError {
    /// Whether a caller that had nothing acknowledged at stake may try again after space was freed.
    pub fn is_no_space(&self) -> bool {
        matches!(self, DiskError::NoSpace { .. })
    }

    fn from_io(operation: Operation, name: &str, source: io::Error) -> Self {
        let name = name.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => DiskError::NotFound { name },
            io::ErrorKind::AlreadyExists => DiskError::AlreadyExists { name },
            // A sync that runs out of space (delayed allocation) has lost bytes: that is a failure.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded if operation != Operation::Sync => {
                DiskError::NoSpace { operation, name }
            }
            _ => DiskError::Failed { operation, name, source },
        }
    }
}

/// Refuses names that could leave the folder.
fn check_name(name: &str) -> Result<(), DiskError> {
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    if plain { Ok(()) } else { Err(DiskError::BadName { name: name.to_owned() }) }
}

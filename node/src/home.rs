//! A node's folder: the genesis, and the lock that keeps a second process out.
//!
//! ```text
//! node.toml genesis.json node.key blocks/ votes/ index/ snapshots/ pool.log node.pid logs/ lock
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use synod_types::Genesis;

/// The genesis document's name in a node's folder.
pub const GENESIS_FILE: &str = "genesis.json";
/// The process id's name.
pub const PID_FILE: &str = "node.pid";
const LOCK_FILE: &str = "lock";

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The genesis document is refused. Its own error calls it `genesis.json`, as the path does.
    #[error("{}: {}", path.display(), source.to_string().trim_start_matches("genesis.json: "))]
    Genesis {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: synod_types::genesis::GenesisError,
    },
    /// Another process uses the folder.
    #[error("{0}: another node runs on this folder; stop it first")]
    Locked(PathBuf),
}

/// A folder that this process owns until it is dropped.
#[derive(Debug)]
pub struct Home {
    folder: PathBuf,
    genesis: Genesis,
    _lock: File,
}

impl Home {
    /// Reads the genesis and takes the lock.
    ///
    /// # Errors
    /// [`HomeError`]: the folder, the genesis, or another process.
    pub fn open(folder: &Path) -> Result<Self, HomeError> {
        let genesis = read_genesis(folder)?;
        let lock = take_lock(folder)?;
        Ok(Self { folder: folder.to_owned(), genesis, _lock: lock })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The genesis.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Writes this process's id, for whoever wants to signal it.
    ///
    /// # Errors
    /// [`HomeError::File`].
    pub fn write_pid(&self) -> Result<(), HomeError> {
        let path = self.folder.join(PID_FILE);
        let text = format!("{}\n", std::process::id());
        std::fs::write(&path, text).map_err(|source| HomeError::File { path, source })
    }

    /// Removes the process id at a graceful end.
    pub fn remove_pid(&self) {
        // A stale file is harmless: readers check that the process lives.
        let _ = std::fs::remove_file(self.folder.join(PID_FILE));
    }
}

/// Reads and checks the folder's genesis document.
///
/// # Errors
/// [`HomeError`].
pub fn read_genesis(folder: &Path) -> Result<Genesis, HomeError> {
    let path = folder.join(GENESIS_FILE);
    let text =
        std::fs::read_to_string(&path).map_err(|source| HomeError::File { path: path.clone(), source })?;
    Genesis::from_json(&text).map_err(|source| HomeError::Genesis { path, source })
}

/// Whether a process holds the folder's lock.
pub fn is_locked(folder: &Path) -> bool {
    matches!(take_lock(folder), Err(HomeError::Locked(_)))
}

fn take_lock(folder: &Path) -> Result<File, HomeError> {
    let path = folder.join(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| HomeError::File { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(HomeError::Locked(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(HomeError::File { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with_genesis() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(GENESIS_FILE), synod_ledger::testing::genesis().to_json())
            .expect("written");
        folder
    }

    #[test]
    fn a_second_process_is_told_to_wait() {
        let folder = folder_with_genesis();
        let first = Home::open(folder.path()).expect("free");
        assert!(is_locked(folder.path()));
        assert!(matches!(Home::open(folder.path()), Err(HomeError::Locked(_))));
        drop(first);
        assert!(!is_locked(folder.path()));
        assert!(Home::open(folder.path()).is_ok());
    }
}

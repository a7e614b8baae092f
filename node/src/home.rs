//! A node's folder: the genesis, the key that is its identity, and the lock that keeps a second process out.
//!
//! ```text
//! node.toml genesis.json node.key blocks/ votes/ index/ pool.log node.pid logs/ lock
//! ```
//!
//! `node.key` is 64 hex digits in plain text only where the genesis says `testnet: true`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use synod_types::{Genesis, SecretKey};
use zeroize::Zeroizing;

/// The genesis document's name in a node's folder.
pub const GENESIS_FILE: &str = "genesis.json";
/// The identity key's name.
pub const NODE_KEY_FILE: &str = "node.key";
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
    /// The genesis document is refused.
    #[error("{path}: {source}")]
    Genesis {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: synod_types::genesis::GenesisError,
    },
    /// The key file does not hold a key.
    #[error("{0}: expected 64 hex digits; restore the file, or delete it to get a new identity")]
    Key(PathBuf),
    /// The key file can be read by others.
    #[error("{0}: readable by others; run `chmod 600` on it")]
    KeyMode(PathBuf),
    /// A plain key outside a test network.
    #[error("{0}: a plain key is allowed only where genesis.json says \"testnet\": true")]
    PlainKey(PathBuf),
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

    /// The identity key; a missing one is made from `fresh_seed` on a test network.
    ///
    /// # Errors
    /// [`HomeError`]: an unreadable, malformed or exposed key file, or a plain key on a real network.
    pub fn node_key(&self, fresh_seed: &[u8; 32]) -> Result<SecretKey, HomeError> {
        let path = self.folder.join(NODE_KEY_FILE);
        if !self.genesis.testnet {
            return Err(HomeError::PlainKey(path));
        }
        if !path.exists() {
            write_key(&path, fresh_seed)?;
        }
        read_key(&path)
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

/// Writes a plain key file that only its owner can read. An existing file is not replaced.
///
/// # Errors
/// [`HomeError::File`].
pub fn write_key(path: &Path, seed: &[u8; 32]) -> Result<(), HomeError> {
    let fail = |source| HomeError::File { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(fail)?;
    let text = Zeroizing::new(format!("{}\n", alloy_primitives::hex::encode(seed)));
    file.write_all(text.as_bytes()).map_err(fail)?;
    file.sync_all().map_err(fail)
}

fn read_key(path: &Path) -> Result<SecretKey, HomeError> {
    let fail = |source| HomeError::File { path: path.to_owned(), source };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map_err(fail)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(HomeError::KeyMode(path.to_owned()));
        }
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(fail)?);
    let mut seed = Zeroizing::new([0u8; 32]);
    alloy_primitives::hex::decode_to_slice(text.trim(), seed.as_mut())
        .map_err(|_| HomeError::Key(path.to_owned()))?;
    Ok(SecretKey::from_seed(&seed))
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
        let genesis = Genesis {
            chain_id: 1,
            salt: synod_types::B256::ZERO,
            time: synod_types::UnixMillis(0),
            ordering: synod_types::genesis::Ordering::Pow,
            members: Vec::new(),
            alloc: Default::default(),
            fees: Default::default(),
            limits: Default::default(),
            pow: synod_types::genesis::ProofOfWork::testnet(0x207f_ffff),
            testnet: true,
        };
        std::fs::write(folder.path().join(GENESIS_FILE), genesis.to_json()).expect("written");
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

    #[test]
    fn the_identity_is_made_once_and_kept() {
        let folder = folder_with_genesis();
        let home = Home::open(folder.path()).expect("free");
        let first = home.node_key(&[1; 32]).expect("made").public();
        assert_eq!(home.node_key(&[2; 32]).expect("kept").public(), first);
        let path = folder.path().join(NODE_KEY_FILE);
        std::fs::write(&path, "zz").expect("spoilt");
        assert!(matches!(home.node_key(&[2; 32]), Err(HomeError::Key(_))));
    }

    #[cfg(unix)]
    #[test]
    fn an_exposed_key_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder_with_genesis();
        let home = Home::open(folder.path()).expect("free");
        home.node_key(&[1; 32]).expect("made");
        let path = folder.path().join(NODE_KEY_FILE);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changed");
        assert!(matches!(home.node_key(&[1; 32]), Err(HomeError::KeyMode(_))));
    }
}

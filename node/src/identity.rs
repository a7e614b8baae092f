//! A node's identity key on its disk, `node.key`: what its peers know it by.
//!
//! On a test network the key is 64 hex digits in plain text, and a node without one makes its own. Everywhere
//! else it is a [key file](crate::keyfile) under a password, made once by `synod init`: a plain key is
//! refused, and a missing one is not replaced, since peers dial the identity that they were told of.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use synod_types::SecretKey;
use zeroize::Zeroizing;

use crate::keyfile::{KeyFile, KeyFileError};

/// The identity key's name in a node's folder.
pub const NODE_KEY_FILE: &str = "node.key";

/// The validator key's name in a member's folder.
pub const VALIDATOR_KEY_FILE: &str = "validator.key";

/// A password, wiped when dropped.
pub type Password = Zeroizing<String>;

/// Why a node has no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds neither form of a key.
    #[error("{0}: expected 64 hex digits or a key file; restore it, or delete it to get a new identity")]
    Form(PathBuf),
    /// The file can be read by others.
    #[error("{0}: readable by others; run `chmod 600` on it")]
    Mode(PathBuf),
    /// A plain key outside a test network.
    #[error(
        "{0}: a plain key is allowed only where genesis.json says \"testnet\": true; `synod init` makes one under a password"
    )]
    Plain(PathBuf),
    /// No key outside a test network.
    #[error("{0}: there is no such file; restore it, or make the folder anew with `synod init`")]
    Missing(PathBuf),
    /// The key is under a password, and none was given.
    #[error("{0}: the key is under a password; give --password-file FILE, or set SYNOD_PASSWORD_FILE")]
    PasswordNeeded(PathBuf),
    /// The key file does not open.
    #[error("{path}: {source}")]
    Sealed {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeyFileError,
    },
}

/// What `node.key` holds.
enum Stored {
    Plain(Box<SecretKey>),
    Sealed(Box<KeyFile>),
}

/// Whether the key in `folder` opens only with a password.
///
/// # Errors
/// [`IdentityError`]: a key that is malformed, or exposed. A missing one needs no password.
pub fn needs_password(folder: &Path) -> Result<bool, IdentityError> {
    let is_sealed = |name| Ok(matches!(read(&folder.join(name))?, Some(Stored::Sealed(_))));
    Ok(is_sealed(NODE_KEY_FILE)? || is_sealed(VALIDATOR_KEY_FILE)?)
}

/// Checks, without a password, that the key in `folder` is one with which a node may run.
///
/// # Errors
/// [`IdentityError`].
pub fn check(folder: &Path, testnet: bool) -> Result<(), IdentityError> {
    let path = folder.join(NODE_KEY_FILE);
    match read(&path)? {
        Some(Stored::Plain(_)) if !testnet => Err(IdentityError::Plain(path)),
        None if !testnet => Err(IdentityError::Missing(path)),
        _ => Ok(()),
    }
}

/// The key in `folder`. On a test network a missing one is made from `fresh_seed`.
///
/// # Errors
/// [`IdentityError`].
pub fn open(
    folder: &Path,
    testnet: bool,
    fresh_seed: &[u8; 32],
    password: Option<&Password>,
) -> Result<SecretKey, IdentityError> {
    check(folder, testnet)?;
    let path = folder.join(NODE_KEY_FILE);
    match read(&path)? {
        Some(Stored::Plain(key)) => Ok(*key),
        Some(Stored::Sealed(file)) => unseal(&file, path, password),
        None => {
            write_plain(&path, fresh_seed)?;
            Ok(SecretKey::from_seed(fresh_seed))
        }
    }
}

/// The key with which this node votes; a folder without one is a learner's.
///
/// # Errors
/// [`IdentityError`].
pub fn open_validator(
    folder: &Path,
    testnet: bool,
    password: Option<&Password>,
) -> Result<Option<SecretKey>, IdentityError> {
    let path = folder.join(VALIDATOR_KEY_FILE);
    match read(&path)? {
        Some(Stored::Plain(_)) if !testnet => Err(IdentityError::Plain(path)),
        Some(Stored::Plain(key)) => Ok(Some(*key)),
        Some(Stored::Sealed(file)) => unseal(&file, path, password).map(Some),
        None => Ok(None),
    }
}

fn unseal(file: &KeyFile, path: PathBuf, password: Option<&Password>) -> Result<SecretKey, IdentityError> {
    let Some(password) = password else { return Err(IdentityError::PasswordNeeded(path)) };
    file.open(password.as_bytes()).map_err(|source| IdentityError::Sealed { path, source })
}

/// Writes a plain key that only its owner can read. An existing file is not replaced.
///
/// # Errors
/// [`IdentityError::File`].
pub fn write_plain(path: &Path, seed: &[u8; 32]) -> Result<(), IdentityError> {
    let fail = |source| IdentityError::File { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(fail)?;
    let text = Zeroizing::new(format!("{}\n", alloy_primitives::hex::encode(seed)));
    file.write_all(text.as_bytes()).map_err(fail)?;
    file.sync_all().map_err(fail)
}

fn read(path: &Path) -> Result<Option<Stored>, IdentityError> {
    let fail = |source| IdentityError::File { path: path.to_owned(), source };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            return Err(IdentityError::Form(path.to_owned()));
        }
        Err(error) => return Err(fail(error)),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map_err(fail)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(IdentityError::Mode(path.to_owned()));
        }
    }
    if text.trim_start().starts_with('{') {
        let file = KeyFile::from_json(&text)
            .map_err(|source| IdentityError::Sealed { path: path.to_owned(), source })?;
        return Ok(Some(Stored::Sealed(Box::new(file))));
    }
    let mut seed = Zeroizing::new([0u8; 32]);
    alloy_primitives::hex::decode_to_slice(text.trim(), seed.as_mut())
        .map_err(|_| IdentityError::Form(path.to_owned()))?;
    Ok(Some(Stored::Plain(Box::new(SecretKey::from_seed(&seed)))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::keyfile::Freshness;

    fn write(folder: &Path, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join(NODE_KEY_FILE);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[test]
    fn a_test_networks_identity_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), true, &[1; 32], None).unwrap().public();
        assert_eq!(open(folder.path(), true, &[2; 32], None).unwrap().public(), first);
        assert!(!needs_password(folder.path()).unwrap());
        write(folder.path(), "zz");
        assert!(matches!(open(folder.path(), true, &[2; 32], None), Err(IdentityError::Form(_))));
    }

    #[test]
    fn a_real_networks_identity_opens_with_its_password_alone() {
        let folder = tempfile::tempdir().unwrap();
        let open = |password: Option<&Password>| open(folder.path(), false, &[9; 32], password);
        assert!(matches!(open(None), Err(IdentityError::Missing(_))), "none is made in its place");
        write(folder.path(), &alloy_primitives::hex::encode([7; 32]));
        assert!(matches!(open(None), Err(IdentityError::Plain(_))));

        let fresh = Freshness { salt: [1; 16], nonce: [2; 24] };
        let sealed = KeyFile::seal(&[7; 32], b"correct horse", &fresh).unwrap();
        write(folder.path(), &sealed.to_json());
        assert!(needs_password(folder.path()).unwrap());
        assert!(check(folder.path(), false).is_ok());
        assert!(matches!(open(None), Err(IdentityError::PasswordNeeded(_))));
        let wrong = open(Some(&password("wrong")));
        assert!(matches!(wrong, Err(IdentityError::Sealed { source: KeyFileError::Password, .. })));
        let key = open(Some(&password("correct horse"))).unwrap();
        assert_eq!(key.public(), SecretKey::from_seed(&[7; 32]).public());
    }

    #[test]
    fn an_exposed_key_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), true, &[1; 32], None).unwrap();
        let path = folder.path().join(NODE_KEY_FILE);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(open(folder.path(), true, &[1; 32], None), Err(IdentityError::Mode(_))));
    }
}

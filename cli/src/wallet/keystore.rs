//! The keys of this home: `wallet/keys/NAME.json`, one key file each.

use std::path::{Path, PathBuf};

use synod_node::keyfile::{Freshness, KeyFile, KeyFileError};
use synod_types::{Address, SecretKey};
use zeroize::Zeroizing;

use super::names::Name;
use super::password::Password;
use crate::failure::{Failure, Outcome};
use crate::home::{Existing, private_folder, write_private};

/// The folder of key files.
#[derive(Debug, Clone)]
pub(crate) struct Keystore(PathBuf);

/// A key that this home holds.
#[derive(Debug, Clone)]
pub(crate) struct StoredKey {
    /// Its account's name.
    pub(crate) name: Name,
    /// Its file.
    pub(crate) file: KeyFile,
}

/// What the folder holds.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    /// Keys, by name.
    pub(crate) keys: Vec<StoredKey>,
    /// Files that are called like keys and are none, with what is wrong.
    pub(crate) damaged: Vec<(Name, Failure)>,
}

impl Keystore {
    /// The keys below the wallet's folder.
    pub(crate) fn new(wallet: &Path) -> Self {
        Self(wallet.join("keys"))
    }

    /// All keys that can be read, by name. Files of other names are none of ours.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn all(&self) -> Outcome<Vec<StoredKey>> {
        Ok(self.sorted()?.keys)
    }

    /// All keys that can be read, and why the others cannot: one damaged file must not lock the other keys up.
    ///
    /// # Errors
    /// As [`Keystore::all`].
    pub(crate) fn sorted(&self) -> Outcome<Sorted> {
        let mut names = self.names()?;
        names.sort();
        let mut sorted = Sorted::default();
        for name in names {
            match self.read(&name) {
                Ok(key) => sorted.keys.extend(key),
                Err(failure) => sorted.damaged.push((name, failure)),
            }
        }
        Ok(sorted)
    }

    /// The names of all keys, in no order.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn names(&self) -> Outcome<Vec<Name>> {
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Failure::file(&self.0, &error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = entry.map_err(|error| Failure::file(&self.0, &error))?.file_name();
            let stem = file.to_str().and_then(|file| file.strip_suffix(".json"));
            names.extend(stem.and_then(|stem| stem.parse().ok()));
        }
        Ok(names)
    }

    /// The key called `name`, if there is one.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub(crate) fn read(&self, name: &Name) -> Outcome<Option<StoredKey>> {
        let path = self.path(name);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::file(&path, &error)),
        };
        let file = KeyFile::from_json(&text).map_err(|error| failure(&error, &path))?;
        Ok(Some(StoredKey { name: name.clone(), file }))
    }

    /// Seals a new key under `password` and writes it.
    ///
    /// # Errors
    /// When the name is taken, the key is here already, or the disk fails.
    pub(crate) fn create(&self, name: &Name, seed: &[u8; 32], password: &Password) -> Outcome<StoredKey> {
        self.demand_free(name)?;
        self.insert(name, seal(seed, password)?)
    }

    /// Writes a key file that exists already, as another home made it.
    ///
    /// # Errors
    /// As [`Keystore::create`].
    pub(crate) fn insert(&self, name: &Name, file: KeyFile) -> Outcome<StoredKey> {
        self.demand_free(name)?;
        let address = file.address();
        if let Some(same) = self.all()?.into_iter().find(|key| key.file.address() == address) {
            return Err(Failure::failed("key_exists", format!("this key is here already, as {}", same.name)));
        }
        private_folder(&self.0)?;
        let path = self.path(name);
        write_private(&path, file.to_json().as_bytes(), Existing::Keep).map_err(|error| {
            match error.kind() {
                std::io::ErrorKind::AlreadyExists => taken(name),
                _ => Failure::file(&path, &error),
            }
        })?;
        Ok(StoredKey { name: name.clone(), file })
    }

    /// Says so when `name` is taken, before anything is asked of a person.
    ///
    /// # Errors
    /// When it is.
    pub(crate) fn demand_free(&self, name: &Name) -> Outcome<()> {
        if self.path(name).exists() { Err(taken(name)) } else { Ok(()) }
    }

    /// What is wrong with who may read the key called `name`: it should be its owner alone.
    pub(crate) fn exposure(&self, name: &Name) -> Option<String> {
        let path = self.path(name);
        let mode = mode_of(&path)?;
        (mode & 0o077 != 0).then(|| {
            format!(
                "{path} is open to other users of this machine (mode {mode:o}): whoever has the file needs only its \
                 password; run `chmod 600 {path}`",
                path = path.display()
            )
        })
    }

    /// Where the key called `name` lies.
    pub(crate) fn path(&self, name: &Name) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }
}

impl StoredKey {
    /// Whose key it is.
    pub(crate) fn address(&self) -> Address {
        self.file.address()
    }

    /// Opens the key.
    ///
    /// # Errors
    /// For a wrong password.
    pub(crate) fn open(&self, password: &Password) -> Outcome<SecretKey> {
        self.file.open(password.as_bytes()).map_err(|error| {
            let code = if error == KeyFileError::Password { "wrong_password" } else { "key_file" };
            Failure::failed(code, format!("{}: {error}", self.name))
        })
    }
}

/// Seals a secret under `password`, with fresh randomness.
///
/// # Errors
/// When the system has no memory or no randomness left.
pub(crate) fn seal(seed: &[u8; 32], password: &Password) -> Outcome<KeyFile> {
    let mut fresh = Freshness { salt: [0; 16], nonce: [0; 24] };
    random(&mut fresh.salt)?;
    random(&mut fresh.nonce)?;
    KeyFile::seal(seed, password.as_bytes(), &fresh)
        .map_err(|error| Failure::failed("key_file", error.to_string()))
}

/// A file's permission bits; `None` where there is no such file, or no such thing.
#[cfg(unix)]
fn mode_of(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    Some(std::fs::metadata(path).ok()?.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode_of(_: &Path) -> Option<u32> {
    None
}

/// Fresh random bytes of the operating system.
///
/// # Errors
/// When it has none.
pub(crate) fn random(bytes: &mut [u8]) -> Outcome<()> {
    getrandom::fill(bytes).map_err(|error| {
        Failure::failed("no_randomness", format!("the system gives no random bytes: {error}"))
    })
}

/// A fresh random secret.
///
/// # Errors
/// As [`random`].
pub(crate) fn random_secret() -> Outcome<Zeroizing<[u8; 32]>> {
    let mut secret = Zeroizing::new([0; 32]);
    random(secret.as_mut())?;
    Ok(secret)
}

fn failure(error: &KeyFileError, path: &Path) -> Failure {
    Failure::failed("key_file", format!("{}: {error}", path.display()))
        .hint("restore the file from a backup, or import the key's mnemonic again under another name")
}

fn taken(name: &Name) -> Failure {
    Failure::failed("name_taken", format!("there is a key called {name} already"))
        .hint("choose another name; `synod wallet list` shows all")
}

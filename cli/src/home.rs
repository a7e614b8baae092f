//! Where the command keeps its files: `$SYNOD_HOME`, else `~/.synod`.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// The home folder.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// Finds the home folder; it need not exist.
    ///
    /// # Errors
    /// When neither `SYNOD_HOME` nor `HOME` is set.
    pub(crate) fn locate() -> Outcome<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let folder = set("SYNOD_HOME")
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".synod")));
        let missing = || {
            Failure::failed("no_home", "neither SYNOD_HOME nor HOME is set, so there is no place for keys")
                .hint("set SYNOD_HOME to a folder of your own")
        };
        folder.map(Self).ok_or_else(missing)
    }

    /// A home for a test.
    #[cfg(test)]
    pub(crate) fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Keys, labels, the pinned network and signed transactions.
    pub(crate) fn wallet(&self) -> PathBuf {
        self.0.join("wallet")
    }

    /// Contracts that are known by name.
    pub(crate) fn contracts(&self) -> PathBuf {
        self.0.join("contracts")
    }

    /// The local test network.
    pub(crate) fn testnet(&self) -> PathBuf {
        self.0.join("testnet")
    }
}

/// Makes a folder that only its owner can enter.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn private_folder(path: &Path) -> Outcome<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| Failure::file(path, &error))
}

/// Whether a write may take the place of a file that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It is replaced.
    Replace,
    /// It stays, and the write fails.
    Keep,
}

/// Writes a file that only its owner can read, whole or not at all, and durable when this returns: beside
/// its place first, synced, then moved there, then the folder synced.
///
/// # Errors
/// Any failure of the disk, and an existing file under [`Existing::Keep`].
pub(crate) fn write_private(path: &Path, contents: &[u8], existing: Existing) -> std::io::Result<()> {
    write_whole(path, contents, existing, 0o600)
}

/// The same for a file that everybody may read.
///
/// # Errors
/// As [`write_private`].
pub(crate) fn write_public(path: &Path, contents: &[u8], existing: Existing) -> std::io::Result<()> {
    write_whole(path, contents, existing, 0o644)
}

fn write_whole(path: &Path, contents: &[u8], existing: Existing, mode: u32) -> std::io::Result<()> {
    let named = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = named.unwrap_or(Path::new("."));
    let beside = folder.join(format!(".{}.new", random_name()?));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let written = options.open(&beside).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()
    });
    let moved = written.and_then(|()| match existing {
        Existing::Replace => std::fs::rename(&beside, path),
        // A rename would silently take the place of another file; a link refuses to.
        Existing::Keep => std::fs::hard_link(&beside, path),
    });
    let _ = std::fs::remove_file(&beside);
    moved.and_then(|()| std::fs::File::open(folder)?.sync_all())
}

fn random_name() -> std::io::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(alloy_primitives::hex::encode(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_private_whole_and_never_overwritten_by_accident() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.json");
        write_private(&path, b"one", Existing::Keep).unwrap();
        let refused = write_private(&path, b"two", Existing::Keep).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        write_private(&path, b"three", Existing::Replace).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}

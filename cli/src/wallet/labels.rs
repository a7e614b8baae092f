//! Labels: a few words of one's own beside an account or any address, in `wallet/labels.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use synod_types::Address;
use synod_types::address::format_address;

use crate::failure::{Failure, Outcome};
use crate::home::{Existing, private_folder, write_private};

/// The longest label, in characters.
const LENGTH_LIMIT: usize = 80;

/// The labels of this home.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    path: PathBuf,
    by_address: BTreeMap<String, String>,
}

impl Labels {
    /// Reads the labels below the wallet's folder.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn read(wallet: &Path) -> Outcome<Self> {
        let path = wallet.join("labels.json");
        let by_address = match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| {
                Failure::failed("labels_damaged", format!("{}: {error}", path.display()))
                    .hint("mend or delete the file; it holds labels and nothing else")
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(Failure::file(&path, &error)),
        };
        Ok(Self { path, by_address })
    }

    /// What stands beside `address`.
    pub(crate) fn of(&self, address: Address) -> Option<&str> {
        self.by_address.get(&format_address(&address)).map(String::as_str)
    }

    /// Every labelled address, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_address.iter().map(|(address, label)| (address.as_str(), label.as_str()))
    }

    /// Puts `label` beside `address`; an empty one takes it away.
    ///
    /// # Errors
    /// For a label that would spoil a list, and when the disk fails.
    pub(crate) fn set(&mut self, address: Address, label: &str) -> Outcome<()> {
        if label.chars().count() > LENGTH_LIMIT || label.chars().any(char::is_control) {
            let message = format!("a label is one line of at most {LENGTH_LIMIT} characters");
            return Err(Failure::usage("bad_label", message));
        }
        match label.trim() {
            "" => self.by_address.remove(&format_address(&address)),
            label => self.by_address.insert(format_address(&address), label.to_owned()),
        };
        if let Some(folder) = self.path.parent() {
            private_folder(folder)?;
        }
        let text = serde_json::to_string_pretty(&self.by_address).expect("labels always serialize") + "\n";
        write_private(&self.path, text.as_bytes(), Existing::Replace)
            .map_err(|error| Failure::file(&self.path, &error))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_kept_changed_and_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::repeat_byte(1);
        Labels::read(folder.path()).unwrap().set(address, " rent ").unwrap();
        let mut labels = Labels::read(folder.path()).unwrap();
        assert_eq!(labels.of(address), Some("rent"));
        assert_eq!(labels.set(address, "a\nb").unwrap_err().code(), "bad_label");
        assert_eq!(labels.set(address, &"x".repeat(81)).unwrap_err().code(), "bad_label");
        labels.set(address, "").unwrap();
        assert_eq!(Labels::read(folder.path()).unwrap().of(address), None);
    }
}

//! Names of accounts. A name works wherever an address does.
//!
//! A name is a key of this home, or `dev0` to `dev9`, whose keys are public knowledge: they mean something
//! only on a network whose genesis says that it is a test network, and are refused everywhere else, as
//! senders and as recipients.

use std::fmt;
use std::str::FromStr;

use synod_types::address::{AddressError, address_of, format_address, parse_address};
use synod_types::{Address, SecretKey};

use super::keystore::{Keystore, StoredKey};
use crate::failure::{Failure, Outcome};
use crate::suggest;

/// An account's name: `[a-z][a-z0-9-]{0,31}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(String);

/// Not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a name begins with a letter and has at most 32 of a to z, 0 to 9 and -")]
pub(crate) struct NameError;

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        let rest =
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if first && rest && text.len() <= 32 { Ok(Self(text.to_owned())) } else { Err(NameError) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Name {
    /// The number of a `devN` account.
    pub(crate) fn dev_index(&self) -> Option<u8> {
        let digit = self.0.strip_prefix("dev").filter(|digit| digit.len() == 1)?;
        digit.parse().ok()
    }
}

/// An account: its address, and the name by which it was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// Its name, if it has one here.
    pub(crate) name: Option<Name>,
    /// Its address.
    pub(crate) address: Address,
}

impl fmt::Display for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(formatter, "{name:<8}  {}", format_address(&self.address)),
            None => formatter.write_str(&format_address(&self.address)),
        }
    }
}

impl Account {
    /// The shortest way to call it.
    pub(crate) fn short(&self) -> String {
        self.name.as_ref().map_or_else(|| format_address(&self.address), ToString::to_string)
    }
}

/// An account that this home can sign for.
#[derive(Debug, Clone)]
pub(crate) enum Signer {
    /// A key under a password.
    Stored(Box<StoredKey>),
    /// `devN` of a test network.
    Dev(Name, Box<SecretKey>),
}

impl Signer {
    /// The account that it signs for.
    pub(crate) fn account(&self) -> Account {
        match self {
            Self::Stored(key) => Account { name: Some(key.name.clone()), address: key.address() },
            Self::Dev(name, key) => Account { name: Some(name.clone()), address: address_of(&key.public()) },
        }
    }
}

/// Everything that a name can mean.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    keystore: Keystore,
    testnet: bool,
}

impl Names {
    /// The names of this home's keys, and the `devN` accounts where `testnet` says that the network is a
    /// test network.
    pub(crate) fn new(keystore: Keystore, testnet: bool) -> Self {
        Self { keystore, testnet }
    }

    /// The account that `text` means, a name or an address.
    ///
    /// # Errors
    /// When it is neither; the message says what was probably meant.
    pub(crate) fn account(&self, text: &str) -> Outcome<Account> {
        if text.starts_with("0x") {
            let address = parse_address(text).map_err(|error| bad_address(text, &error))?;
            return Ok(Account { name: self.name_of(address)?, address });
        }
        Ok(self.signer(text)?.account())
    }

    /// The account called `text`, which this home can sign for.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn signer(&self, text: &str) -> Outcome<Signer> {
        if text.starts_with("0x") {
            return self.signer_at(text);
        }
        if let Some(stored) = self.stored_as(text)? {
            return Ok(Signer::Stored(Box::new(stored)));
        }
        match text.parse::<Name>().ok().and_then(|name| Some((name.dev_index()?, name))) {
            Some((index, name)) if self.testnet => {
                Ok(Signer::Dev(name, Box::new(synod_testnet::accounts::dev_key(index))))
            }
            Some((_, name)) => Err(Failure::usage(
                "dev_account",
                format!("{name}'s key is public knowledge, and this is not a test network"),
            )
            .hint("money sent to it is anybody's; use an account of your own")),
            None => Err(self.unknown(text)),
        }
    }

    /// What `address` is called here.
    ///
    /// # Errors
    /// When the keys cannot be read.
    pub(crate) fn name_of(&self, address: Address) -> Outcome<Option<Name>> {
        let stored = self.keystore.all()?.into_iter().find(|key| key.address() == address);
        if let Some(stored) = stored {
            return Ok(Some(stored.name));
        }
        let dev = synod_testnet::accounts::dev_accounts().into_iter().find(|(_, dev)| *dev == address);
        Ok(dev.filter(|_| self.testnet).and_then(|(name, _)| name.parse().ok()))
    }

    fn stored_as(&self, text: &str) -> Outcome<Option<StoredKey>> {
        match text.parse::<Name>() {
            Ok(name) => self.keystore.read(&name),
            Err(_) => Err(self.unknown(text)),
        }
    }

    fn signer_at(&self, text: &str) -> Outcome<Signer> {
        let address = parse_address(text).map_err(|error| bad_address(text, &error))?;
        match self.name_of(address)? {
            Some(name) => self.signer(name.as_ref()),
            None => Err(self.unknown(text)),
        }
    }

    fn unknown(&self, text: &str) -> Failure {
        if text.starts_with("0x") {
            return Failure::failed("unknown_key", format!("this home has no key for {text}"))
                .hint("`synod wallet list` shows the keys that it has");
        }
        let mut known: Vec<String> =
            self.keystore.names().unwrap_or_default().iter().map(ToString::to_string).collect();
        if self.testnet {
            known.extend((0..10).map(|index| format!("dev{index}")));
        }
        let failure = Failure::failed("unknown_name", format!("there is no account called {text:?} here"));
        match suggest::nearest(text, known.iter().map(String::as_str)) {
            Some(meant) => failure.hint(format!("did you mean {meant}?")),
            None if text.parse::<Name>().is_err() => {
                failure.hint(format!("{NameError}; an address is 0x and 40 hex digits"))
            }
            None => {
                failure.hint(format!("`synod wallet new {text}` makes one; `synod wallet list` shows all"))
            }
        }
    }
}

fn bad_address(text: &str, error: &AddressError) -> Failure {
    match error {
        AddressError::Form => Failure::usage("bad_address", format!("{text}: {error}")),
        // The checksum that would fit is not told: with a mistyped digit it would be a stranger's address.
        AddressError::Checksum { .. } => Failure::usage(
            "bad_checksum",
            format!("{text}: the address's checksum is wrong: one of its characters was mistyped"),
        )
        .hint("copy it again from where it came from"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for name in ["a", "alice", "cold-storage-2", &"a".repeat(32)] {
            assert!(name.parse::<Name>().is_ok(), "{name}");
        }
        for name in ["", "Alice", "1st", "-a", "a_b", "a.b", "../a", "a b", "é", &"a".repeat(33)] {
            assert!(name.parse::<Name>().is_err(), "{name}");
        }
    }

    #[test]
    fn dev_accounts_exist_on_test_networks_alone() {
        let folder = tempfile::tempdir().unwrap();
        let names = |testnet| Names::new(Keystore::new(folder.path()), testnet);
        let dev0 = names(true).account("dev0").unwrap();
        assert_eq!(dev0.name.unwrap().to_string(), "dev0");
        assert_eq!(names(true).account(&format_address(&dev0.address)).unwrap().short(), "dev0");
        assert_eq!(names(false).account("dev0").unwrap_err().code(), "dev_account");
        assert_eq!(names(true).account("dev10").unwrap_err().code(), "unknown_name");
    }

    #[test]
    fn an_unknown_name_is_answered_with_what_was_meant() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::new(Keystore::new(folder.path()), true);
        assert_eq!(names.account("dve0").unwrap_err().next_step(), Some("did you mean dev0?"));
        assert!(names.account("mallory").unwrap_err().next_step().unwrap().contains("wallet new mallory"));
        assert!(names.account("Mallory").unwrap_err().next_step().unwrap().contains("a to z"));
        assert_eq!(names.account("0x12").unwrap_err().code(), "bad_address");
    }
}

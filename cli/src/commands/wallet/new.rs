//! `synod wallet new`: a fresh key, and the words that bring it back.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_types::address::format_address;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::wallet::keystore::{StoredKey, random_secret};
use crate::wallet::labels::Labels;
use crate::wallet::mnemonic::Words;
use crate::wallet::names::{Name, NameError};
use crate::wallet::password::PasswordSource;

/// Make a new account
///
/// The key is kept under a password. Its 24 words are shown once and never stored: whoever has them has
/// the account, and without them a lost key file or password is lost money.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  synod wallet new alice\n  synod wallet new rent --label \"flat in town\""
)]
pub(crate) struct New {
    /// What to call it: a to z, 0 to 9 and -, beginning with a letter
    name: String,
    /// A few words to remember what it is for
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    #[command(flatten)]
    password: PasswordSource,
}

/// What a new key comes to.
#[derive(Debug, Serialize)]
struct Created {
    name: String,
    address: String,
    key_file: String,
    path: &'static str,
    mnemonic: String,
    #[serde(skip)]
    columns: String,
}

impl New {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let name = new_name(&self.name)?;
        let keystore = context.keystore()?;
        keystore.demand_free(&name)?;
        let password = self.password.choose(name.as_ref(), &context.output)?;
        let words = Words::from_entropy(&*random_secret()?);
        let key = keystore.create(&name, &words.account_seed(0), &password)?;
        put_label(context, &key, self.label.as_deref())?;
        context.output.result(&Created {
            name: name.to_string(),
            address: format_address(&key.address()),
            key_file: keystore.path(&name).display().to_string(),
            path: "m/44'/501'/0'",
            mnemonic: words.as_str().to_owned(),
            columns: words.columns(),
        });
        Ok(())
    }
}

/// A name for a new key.
///
/// # Errors
/// When it is none, or one that test networks give.
pub(super) fn new_name(text: &str) -> Outcome<Name> {
    let name: Name = text.parse().map_err(|error: NameError| {
        Failure::usage("bad_name", format!("{text:?} is no name: {error}"))
            .hint("for example: alice, cold-storage-2")
    })?;
    if name.dev_index().is_some() {
        return Err(Failure::usage("bad_name", format!("{name} is a funded account of every test network"))
            .hint("choose another name"));
    }
    Ok(name)
}

/// Puts a label beside a key, if one is given.
///
/// # Errors
/// As [`Labels::set`].
pub(super) fn put_label(context: &Context, key: &StoredKey, label: Option<&str>) -> Outcome<()> {
    match label {
        Some(label) => Labels::read(&context.wallet()?)?.set(key.address(), label),
        None => Ok(()),
    }
}

impl fmt::Display for Created {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "✓ {} is {}\n", self.name, self.address)?;
        writeln!(
            formatter,
            "Write these 24 words on paper. They are shown this once, and they are the account:\n"
        )?;
        writeln!(formatter, "{}\n", self.columns)?;
        writeln!(formatter, "  key file  {}", self.key_file)?;
        write!(formatter, "  next      synod wallet balance {}", self.name)
    }
}

//! `synod wallet import`: a key that exists already.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use synod_node::keyfile::KeyFile;
use synod_types::address::format_address;
use zeroize::Zeroizing;

use super::new::{new_name, put_label};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::wallet::mnemonic::Words;
use crate::wallet::password::{PasswordSource, read_secret};

/// Bring in an account by its words, its seed or its key file
///
/// Reads 12 to 24 words, 64 hex digits, or a key file of another home: from the terminal unseen, from
/// standard input, or from a file. A key file keeps its password.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod wallet import alice\n  synod wallet import alice-2 --index 1\n  synod wallet import bob --from-file bob.json"
)]
pub(crate) struct Import {
    /// What to call it here
    name: String,
    /// Read the secret from this file
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// Which account of the words: m/44'/501'/INDEX'
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..1 << 31))]
    index: u32,
    /// A few words to remember what it is for
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    #[command(flatten)]
    password: PasswordSource,
}

/// What was read.
enum Secret {
    Seed(Zeroizing<[u8; 32]>),
    File(KeyFile),
}

#[derive(Debug, Serialize)]
struct Imported {
    name: String,
    address: String,
    key_file: String,
}

impl Import {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let name = new_name(&self.name)?;
        let keystore = context.keystore()?;
        keystore.demand_free(&name)?;
        let text = read_secret(self.from_file.as_deref(), "Words or seed (not shown): ")?;
        let key = match recognise(&text, self.index)? {
            Secret::File(file) => keystore.insert(&name, file)?,
            Secret::Seed(seed) => {
                let password = self.password.choose(name.as_ref(), &context.output)?;
                keystore.create(&name, &seed, &password)?
            }
        };
        put_label(context, &key, self.label.as_deref())?;
        context.output.result(&Imported {
            name: name.to_string(),
            address: format_address(&key.address()),
            key_file: keystore.path(&name).display().to_string(),
        });
        Ok(())
    }
}

fn recognise(text: &str, index: u32) -> Outcome<Secret> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::usage("no_secret", "nothing was given to import")
            .hint("give 12 to 24 words, 64 hex digits, or a key file"));
    }
    if text.starts_with('{') {
        let file = KeyFile::from_json(text).map_err(|error| Failure::usage("key_file", error.to_string()))?;
        return Ok(Secret::File(file));
    }
    if !text.contains(char::is_whitespace) && text.bytes().any(|byte| byte.is_ascii_digit()) {
        let mut seed = Zeroizing::new([0; 32]);
        let digits = text.strip_prefix("0x").unwrap_or(text);
        return match alloy_primitives::hex::decode_to_slice(digits, seed.as_mut()) {
            Ok(()) if index == 0 => Ok(Secret::Seed(seed)),
            Ok(()) => Err(Failure::usage(
                "bad_index",
                "--index chooses among the accounts of words; a seed is one account",
            )),
            Err(_) => Err(Failure::usage("bad_seed", "a seed is 64 hex digits")),
        };
    }
    let words = Words::parse(text).map_err(|error| {
        Failure::usage("bad_mnemonic", error.to_string())
            .hint("give 12 to 24 words, 64 hex digits, or a key file")
    })?;
    Ok(Secret::Seed(words.account_seed(index)))
}

impl fmt::Display for Imported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "✓ {} is {}", self.name, self.address)?;
        write!(formatter, "  key file  {}", self.key_file)
    }
}

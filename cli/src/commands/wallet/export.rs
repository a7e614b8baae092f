//! `synod wallet export`: the secret itself, after a warning.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_types::address::format_address;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::wallet::names::{Names, Signer};
use crate::wallet::password::PasswordSource;

/// Show an account's secret seed, or its key file
///
/// The seed is the account: whoever reads it can spend everything. The 24 words are not stored and cannot
/// be shown again; the seed brings the account back as well as they do.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod wallet export alice\n  synod wallet export alice --encrypted > alice.json"
)]
pub(crate) struct Export {
    /// Whose
    name: String,
    /// The key file, still under its password
    #[arg(long)]
    encrypted: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    password: PasswordSource,
}

#[derive(Debug, Serialize)]
struct Exported {
    name: String,
    address: String,
    seed: String,
}

impl Export {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let Signer::Stored(key) = Names::new(context.keystore()?, true).signer(&self.name)? else {
            return Err(Failure::usage("dev_account", format!("{}'s key is public knowledge", self.name)));
        };
        if self.encrypted {
            context.output.text(&key.file.to_json());
            return Ok(());
        }
        context.output.warning("whoever sees the seed can spend everything; no support ever asks for it");
        context.confirm(&format!("Show the secret seed of {} here?", key.name), self.yes)?;
        let secret = key.open(&self.password.ask(key.name.as_ref())?)?;
        context.output.result(&Exported {
            name: key.name.to_string(),
            address: format_address(&key.address()),
            seed: alloy_primitives::hex::encode(secret.seed().as_slice()),
        });
        Ok(())
    }
}

impl fmt::Display for Exported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.seed)
    }
}

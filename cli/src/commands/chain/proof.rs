//! `synod chain proof`: what an account holds, with a proof that needs no trust in the node.

use std::path::PathBuf;

use clap::Args;

use crate::client::Settle;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Fetch a proof of what an account holds, for `synod chain verify`
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  synod chain proof alice --out alice.proof.json\n  synod chain verify alice.proof.json"
)]
pub(crate) struct Proof {
    /// A name or an address
    account: String,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Proof {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let session = context.session()?;
        let account = session.names.account(&self.account)?;
        let proof = session.node.proof(account.address).settle()?;
        let text = serde_json::to_string_pretty(&proof).expect("a proof always serializes") + "\n";
        match self.out {
            Some(path) => std::fs::write(&path, text).map_err(|error| Failure::file(&path, &error)),
            None => {
                context.output.text(&text);
                Ok(())
            }
        }
    }
}

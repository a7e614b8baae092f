//! `synod chain proof`: what an account holds, with a proof that needs no trust in the node.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use synod_types::Height;
use synod_types::address::format_address;

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

/// The proof is in a file.
#[derive(Debug, Serialize)]
struct Written {
    file: String,
    address: String,
    height: Height,
    block_hash: String,
    /// What the block is to be compared with, as the flag of `synod chain verify`.
    #[serde(skip)]
    trust: String,
}

impl Proof {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let session = context.session()?;
        let account = session.names.account(&self.account)?;
        let proof = session.node.proof(account.address).settle()?;
        let text = serde_json::to_string_pretty(&proof).expect("a proof always serializes") + "\n";
        let Some(path) = self.out else {
            context.output.text(&text);
            return Ok(());
        };
        std::fs::write(&path, text).map_err(|error| Failure::file(&path, &error))?;
        let trust = match proof.certificate {
            Some(_) => {
                let local = context.home()?.testnet().join("genesis.json");
                let genesis = if local.is_file() { local } else { PathBuf::from("genesis.json") };
                format!("--genesis {}", genesis.display())
            }
            None => format!("--block {}", proof.block_hash),
        };
        context.output.result(&Written {
            file: path.display().to_string(),
            address: format_address(&account.address),
            height: proof.height,
            block_hash: proof.block_hash.to_string(),
            trust,
        });
        Ok(())
    }
}

impl fmt::Display for Written {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, address, height, trust, .. } = self;
        writeln!(formatter, "✓ {file} proves what {address} holds at block {height}")?;
        write!(formatter, "  next     synod chain verify {file} {trust}")
    }
}

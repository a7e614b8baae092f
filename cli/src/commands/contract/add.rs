//! `synod contract add`: a name for a contract that somebody else deployed.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_types::Address;
use synod_types::address::{format_address, parse_address};

use super::{Surroundings, interface_of};
use crate::client::Settle;
use crate::context::Context;
use crate::contract::book::Entry;
use crate::failure::{Failure, Outcome};
use crate::wallet::names::Name;

/// Remember a contract under a name
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  synod contract add gold 0x5FbDB2315678afecb367f032d93F642f64180aa3 vm/contracts/out/Token.json"
)]
pub(crate) struct Add {
    /// What it is called here
    name: String,
    /// Where it is
    #[arg(value_parser = |text: &str| parse_address(text).map_err(|error| error.to_string()))]
    address: Address,
    /// An artifact with its interface
    artifact: Option<String>,
}

#[derive(Debug, Serialize)]
struct Added {
    name: String,
    address: String,
}

impl Add {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let mut around = Surroundings::open(context)?;
        let name: Name = self
            .name
            .to_ascii_lowercase()
            .parse()
            .map_err(|error| Failure::usage("bad_name", format!("{}: {error}", self.name)))?;
        around.book.demand_free(&name, &around.session.names)?;
        let abi = self.artifact.as_deref().map(interface_of).transpose()?;
        if around.session.node.code(self.address).settle()?.code.is_empty() {
            context
                .output
                .warning(format_args!("there is no contract at {} yet", format_address(&self.address)));
        }
        let added = Added { name: name.to_string(), address: format_address(&self.address) };
        around.book.remember(Entry { name, address: self.address, abi, transaction: None })?;
        context.output.result(&added);
        Ok(())
    }
}

impl fmt::Display for Added {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "✓ {} is called {} here", self.address, self.name)
    }
}

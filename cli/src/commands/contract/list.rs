//! `synod contract list`: the contracts that this home knows.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_types::address::format_address;

use super::Surroundings;
use crate::context::Context;
use crate::failure::Outcome;

/// List the contracts that this home knows by name
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod contract list --json | jq -r '.contracts[].address'")]
pub(crate) struct List {}

#[derive(Debug, Serialize)]
struct Listed {
    contracts: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    address: String,
    transaction: Option<String>,
    has_interface: bool,
}

impl List {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let around = Surroundings::open(context)?;
        let line = |entry: &crate::contract::book::Entry| Line {
            name: entry.name.to_string(),
            address: format_address(&entry.address),
            transaction: entry.transaction.clone(),
            has_interface: entry.abi.is_some(),
        };
        context.output.result(&Listed { contracts: around.book.entries().iter().map(line).collect() });
        Ok(())
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.contracts.is_empty() {
            return formatter.write_str(
                "no contract is known here; `synod contract deploy --help` shows how to make one",
            );
        }
        for (index, line) in self.contracts.iter().enumerate() {
            let end = if index + 1 == self.contracts.len() { "" } else { "\n" };
            let without = if line.has_interface { "" } else { "  (without an interface)" };
            write!(formatter, "{:<16}  {}{without}{end}", line.name, line.address)?;
        }
        Ok(())
    }
}

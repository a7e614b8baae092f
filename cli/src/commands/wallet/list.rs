//! `synod wallet list`: the accounts of this home.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_types::address::format_address;

use crate::context::Context;
use crate::failure::Outcome;
use crate::wallet::labels::Labels;

/// List the accounts of this wallet
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod wallet list --json | jq -r '.accounts[].address'")]
pub(crate) struct List {}

#[derive(Debug, Serialize)]
struct Listing {
    accounts: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    address: String,
    label: Option<String>,
}

impl List {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let labels = Labels::read(&context.wallet()?)?;
        let entry = |key: &crate::wallet::keystore::StoredKey| Entry {
            name: key.name.to_string(),
            address: format_address(&key.address()),
            label: labels.of(key.address()).map(str::to_owned),
        };
        let accounts = context.keystore()?.all()?.iter().map(entry).collect();
        context.output.result(&Listing { accounts });
        Ok(())
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.accounts.is_empty() {
            return formatter.write_str("no accounts yet; make one: synod wallet new NAME");
        }
        let width = self.accounts.iter().map(|account| account.name.len()).max().unwrap_or_default();
        for account in &self.accounts {
            let label = account.label.as_deref().unwrap_or_default();
            let line = format!("{:width$}  {}  {label}", account.name, account.address);
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

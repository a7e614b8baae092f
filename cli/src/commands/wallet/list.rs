//! `synod wallet list`: the accounts of this home.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_types::address::format_address;

use crate::context::Context;
use crate::failure::Outcome;
use crate::wallet::keystore::{Sorted, StoredKey};
use crate::wallet::labels::Labels;

/// List the accounts of this wallet
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod wallet list --json | jq -r '.accounts[].address'")]
pub(crate) struct List {}

#[derive(Debug, Serialize)]
struct Listing {
    accounts: Vec<Entry>,
    /// Labels of other addresses.
    others: Vec<Other>,
    /// Key files that cannot be read.
    damaged: Vec<Damaged>,
}

#[derive(Debug, Serialize)]
struct Other {
    address: String,
    label: String,
}

#[derive(Debug, Serialize)]
struct Damaged {
    name: String,
    problem: String,
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
        let entry = |key: &StoredKey| Entry {
            name: key.name.to_string(),
            address: format_address(&key.address()),
            label: labels.of(key.address()).map(str::to_owned),
        };
        let keystore = context.keystore()?;
        let Sorted { keys, damaged } = keystore.sorted()?;
        let accounts: Vec<Entry> = keys.iter().map(entry).collect();
        let others = labels.iter().filter(|(address, _)| accounts.iter().all(|own| own.address != *address));
        let others =
            others.map(|(address, label)| Other { address: address.to_owned(), label: label.to_owned() });
        let damaged = damaged
            .into_iter()
            .map(|(name, failure)| Damaged { name: name.to_string(), problem: failure.to_string() });
        let listing = Listing { others: others.collect(), damaged: damaged.collect(), accounts };
        context.output.result(&listing);
        for Damaged { problem, .. } in &listing.damaged {
            context.output.warning(problem);
        }
        for exposure in keys.iter().filter_map(|key| keystore.exposure(&key.name)) {
            context.output.warning(exposure);
        }
        Ok(())
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.accounts.is_empty() && self.others.is_empty() && self.damaged.is_empty() {
            return formatter.write_str("no accounts yet; make one: synod wallet new NAME");
        }
        let width = self.accounts.iter().map(|account| account.name.len()).max().unwrap_or_default();
        for account in &self.accounts {
            let label = account.label.as_deref().unwrap_or_default();
            let line = format!("{:width$}  {}  {label}", account.name, account.address);
            writeln!(formatter, "{}", line.trim_end())?;
        }
        for Other { address, label } in &self.others {
            writeln!(formatter, "{:width$}  {address}  {label}", "")?;
        }
        Ok(())
    }
}

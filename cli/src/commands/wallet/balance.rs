//! `synod wallet balance`: what can be spent, what is not mature yet, what is on its way.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_node::rpc::types::{AccountView, BlockReference};
use synod_types::address::format_address;
use synod_types::amount::format_syn;

use crate::client::Settle;
use crate::context::Context;
use crate::failure::Outcome;
use crate::wallet::draft::Wei;
use crate::wallet::keystore::Sorted;
use crate::wallet::names::Account;

/// Show what accounts hold: spendable, immature, pending
///
/// Immature is mining reward that is not settled yet. Pending is what waiting transactions may cost and
/// will bring.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod wallet balance alice\n  synod wallet balance alice --linearizable\n  synod wallet balance 0x305498f8e08BC65DBacb4514475E01AFbE03f575 --json"
)]
pub(crate) struct Balance {
    /// Names or addresses; all accounts of this wallet when there are none
    #[arg(value_name = "ACCOUNT")]
    accounts: Vec<String>,
    /// What is certified, and nothing that was final anywhere before this is missing: a quorum of members is asked
    #[arg(long)]
    linearizable: bool,
}

#[derive(Debug, Serialize)]
struct Balances {
    accounts: Vec<Held>,
    height: u64,
}

#[derive(Debug, Serialize)]
struct Held {
    name: Option<String>,
    address: String,
    spendable: Wei,
    immature: Wei,
    pending_out: Wei,
    pending_in: Wei,
    nonce: u64,
    pending_nonce: u64,
}

impl Balance {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let session = context.session()?;
        let accounts: Vec<Account> = if self.accounts.is_empty() {
            let Sorted { keys, damaged } = context.keystore()?.sorted()?;
            for (_, failure) in damaged {
                context.output.warning(failure);
            }
            keys.into_iter().map(|key| Account { address: key.address(), name: Some(key.name) }).collect()
        } else {
            self.accounts.iter().map(|text| session.names.account(text)).collect::<Outcome<_>>()?
        };
        let at = match self.linearizable {
            true => Some(BlockReference::Height(session.node.read_index().settle()?.height)),
            false => None,
        };
        let mut balances = Balances { accounts: Vec::new(), height: session.status.head.height.0 };
        for account in &accounts {
            let view = match at {
                Some(at) => session.node.account_at(account.address, at),
                None => session.node.account(account.address),
            };
            let view = view.settle()?;
            balances.height = view.height.0;
            balances.accounts.push(Held::new(account, &view));
        }
        context.output.result(&balances);
        Ok(())
    }
}

impl Held {
    fn new(account: &Account, view: &AccountView) -> Self {
        Self {
            name: account.name.as_ref().map(ToString::to_string),
            address: format_address(&account.address),
            spendable: Wei(view.balance),
            immature: Wei(view.immature),
            pending_out: Wei(view.pending_out),
            pending_in: Wei(view.pending_in),
            nonce: view.nonce,
            pending_nonce: view.pending_nonce,
        }
    }
}

impl fmt::Display for Balances {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.accounts.is_empty() {
            return formatter.write_str("no accounts yet; make one: synod wallet new NAME");
        }
        for held in &self.accounts {
            writeln!(formatter, "{held}")?;
        }
        write!(formatter, "at block {}", self.height)
    }
}

impl fmt::Display for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => writeln!(formatter, "{name}  {}", self.address)?,
            None => writeln!(formatter, "{}", self.address)?,
        }
        let lines = [
            ("spendable", self.spendable, ""),
            ("immature", self.immature, ""),
            ("pending", self.pending_out, "-"),
            ("pending", self.pending_in, "+"),
        ];
        for (index, (title, Wei(amount), sign)) in lines.into_iter().enumerate() {
            if index == 0 || !amount.is_zero() {
                writeln!(formatter, "  {title:<10} {:>24} SYN", format!("{sign}{}", format_syn(amount)))?;
            }
        }
        Ok(())
    }
}

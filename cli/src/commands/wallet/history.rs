//! `synod wallet history`: what an account paid and received.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_node::rpc::types::{HistoryItem, HistoryPage, PoolEntry};
use synod_types::address::format_address;
use synod_types::amount::format_syn;
use synod_types::{Address, Height, U256};

use crate::client::{Node, Settle};
use crate::commands::chain::ago;
use crate::commands::wallet::payment::depth_words;
use crate::context::Context;
use crate::failure::Outcome;
use crate::wallet::labels::Labels;
use crate::wallet::names::{Account, Names};

/// List what an account paid and received, newest first
///
/// Mining rewards are no transactions, and are not listed: `synod wallet balance` shows them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod wallet history alice\n  synod wallet history alice --limit 100 --json"
)]
pub(crate) struct History {
    /// A name or an address
    account: String,
    /// How many entries
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Go on where an earlier list ended: its next_cursor
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Told {
    address: String,
    pending: Vec<PoolEntry>,
    #[serde(flatten)]
    page: HistoryPage,
    #[serde(skip)]
    lines: Vec<String>,
}

impl History {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let session = context.session()?;
        let account = session.names.account(&self.account)?;
        let page = session.node.history(account.address, self.cursor.as_deref(), self.limit).settle()?;
        let pending = match self.cursor {
            None => waiting(&session.node, account.address)?,
            Some(_) => Vec::new(),
        };
        let settled = session.status.settled_height;
        let book = Book {
            names: &session.names,
            labels: Labels::read(&context.wallet()?)?,
            of: account,
            final_height: if session.network_has_committee() { settled } else { Height(0) },
        };
        let waiting = pending.iter().map(|entry| book.waiting(entry));
        let done = page.items.iter().map(|item| book.done(item));
        let lines = waiting.chain(done).collect::<Outcome<Vec<String>>>()?;
        let address = format_address(&book.of.address);
        context.output.result(&Told { address, pending, page, lines });
        Ok(())
    }
}

/// What an account waits for: its own payments, and those to it as far as the node lists them. A node lists
/// the whole of one sender, and of all others the first thousand.
fn waiting(node: &Node, address: Address) -> Outcome<Vec<PoolEntry>> {
    let mut entries = node.pool(Some(address)).settle()?.entries;
    let others = node.pool(None).settle()?.entries;
    entries.extend(others.into_iter().filter(|one| one.to == Some(address) && one.sender != address));
    Ok(entries)
}

/// How entries are told: by names and labels, from one account's side.
struct Book<'a> {
    names: &'a Names,
    labels: Labels,
    of: Account,
    /// What a committee certified; 0 under proof of work.
    final_height: Height,
}

impl Book<'_> {
    fn waiting(&self, entry: &PoolEntry) -> Outcome<String> {
        let told = self.told(Some(entry.sender), entry.to, entry.value)?;
        let reason = entry.reason.as_deref().unwrap_or("in the pool");
        Ok(format!("{:>12}  {told}  {reason}  {}", "waiting", entry.id))
    }

    fn done(&self, item: &HistoryItem) -> Outcome<String> {
        let told = self.told(item.sender, item.to, item.value)?;
        let failed = if item.succeeded { "" } else { "FAILED  " };
        let depth = match item.height <= self.final_height {
            true => "final".to_owned(),
            false => depth_words(item.depth, false),
        };
        let id = item.id.map(|id| id.to_string()).unwrap_or_default();
        Ok(format!("{:>12}  {told}  {failed}block {}, {depth}  {id}", ago(item.time), item.height)
            .trim_end()
            .to_owned())
    }

    fn told(&self, sender: Option<Address>, to: Option<Address>, value: U256) -> Outcome<String> {
        let us = self.of.address;
        let (sign, other) = match (sender, to) {
            (None, _) => ("+", "mined".to_owned()),
            (Some(from), Some(to)) if from == us && to == us => (" ", "to itself".to_owned()),
            (Some(from), Some(to)) if from == us => ("-", format!("to {}", self.called(to)?)),
            (Some(from), None) if from == us => ("-", "a new contract".to_owned()),
            (Some(from), _) => ("+", format!("from {}", self.called(from)?)),
        };
        Ok(format!("{:>16} SYN  {other}", format!("{sign}{}", format_syn(value))))
    }

    fn called(&self, address: Address) -> Outcome<String> {
        let name =
            self.names.name_of(address)?.map_or_else(|| format_address(&address), |name| name.to_string());
        Ok(match self.labels.of(address) {
            Some(label) => format!("{name} ({label})"),
            None => name,
        })
    }
}

impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.page.base_height;
        if self.lines.is_empty() {
            formatter.write_str("nothing yet")?;
            return match base {
                Height(0) => Ok(()),
                _ => write!(formatter, " since block {base}; this node has pruned the blocks up to it"),
            };
        }
        for line in &self.lines {
            writeln!(formatter, "{line}")?;
        }
        match &self.page.next_cursor {
            Some(cursor) => write!(formatter, "more: --cursor {cursor}"),
            None if base > Height(0) => {
                write!(formatter, "what was before is pruned here: this node has no blocks up to {base}")
            }
            None => Ok(()),
        }
    }
}

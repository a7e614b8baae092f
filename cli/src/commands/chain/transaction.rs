//! `synod chain tx`: where a transaction stands.

use std::fmt;

use clap::Args;
use serde::Serialize;
use serde_json::json;
use synod_node::rpc::types::{StatusView, TransactionStatus, TransactionStatusView};
use synod_types::address::format_address;
use synod_types::amount::{format_gwei, format_syn};
use synod_types::{TransactionId, U256};

use crate::client::{Node, Settle};
use crate::commands::wallet::payment::{finality_words, parse_id};
use crate::context::{Context, has_committee};
use crate::failure::{Failure, Outcome};
use crate::wallet::network::Network;
use crate::wallet::outbox::Outbox;

/// Show a transaction: where it stands, what it did
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  synod chain tx 0xd5405721e9dba7f3b51da6ea30155cdf8bcdb611e3b72702da7bba4d4ce114a8"
)]
pub(crate) struct Tx {
    /// Its id
    #[arg(value_parser = parse_id)]
    id: TransactionId,
}

/// The node's own answer, for programs unchanged.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    view: TransactionStatusView,
    #[serde(skip)]
    has_committee: bool,
}

impl Tx {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let node = context.node()?;
        let view = node.transaction(self.id).settle()?;
        let status = node.status().settle()?;
        if view.status == TransactionStatus::Unknown {
            return Err(self.missing(context, &node, &status, view.replaced_by)?);
        }
        context.output.result(&Shown { view, has_committee: has_committee(&status) });
        Ok(())
    }

    /// What became of a transaction that the node does not know: one of its sender with the same nonce may have its
    /// place. The node remembers that for a while, this wallet as long as it keeps what it signed.
    fn missing(
        &self,
        context: &Context,
        node: &Node,
        status: &StatusView,
        replaced_by: Option<TransactionId>,
    ) -> Outcome<Failure> {
        let has_committee = has_committee(status);
        if let Some(rival) = replaced_by {
            return Ok(self.replaced(&node.transaction(rival).settle()?, has_committee));
        }
        let network = Network::from(status);
        for outbox in Outbox::all(&context.wallet()?, &network)? {
            for slot in outbox.slots()? {
                let Some(own) = slot.records.iter().find(|record| record.id == self.id) else { continue };
                for rival in slot.records.iter().rev().filter(|record| record.id != self.id) {
                    let view = node.transaction(rival.id).settle()?;
                    if view.status != TransactionStatus::Unknown {
                        return Ok(self.replaced(&view, has_committee));
                    }
                }
                let account = node.account(own.transaction.sender_address()).settle()?;
                if account.nonce > slot.nonce {
                    let message = format!(
                        "{} was replaced: another transaction of its sender has its nonce {}, and it can never be in a \
                         block",
                        self.id, slot.nonce
                    );
                    return Ok(Failure::failed("replaced", message)
                        .hint("`synod wallet history ACCOUNT` lists the sender's payments"));
                }
            }
        }
        Ok(Failure::failed("not_found", format!("the node does not know {}", self.id))
            .hint("it was never submitted here, was replaced or dropped, or is older than this node's index"))
    }

    fn replaced(&self, by: &TransactionStatusView, has_committee: bool) -> Failure {
        let place = match (by.status, by.height, by.depth) {
            (TransactionStatus::Included, Some(height), Some(depth)) => {
                let how_deep = finality_words(depth, by.settled, has_committee);
                format!("which is in block {height}, {how_deep}")
            }
            (TransactionStatus::Pending, ..) => "which waits for a block".to_owned(),
            _ => "which the node does not have any more either".to_owned(),
        };
        let message = format!("{} was replaced by {} of the same sender and nonce, {place}", self.id, by.id);
        Failure::failed("replaced", message)
            .hint(format!("`synod chain tx {}` shows the one that counts", by.id))
            .details(json!({ "replaced_by": by.id.to_string() }))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { view, has_committee } = self;
        match (view.status, view.height, view.depth) {
            (TransactionStatus::Included, Some(height), Some(depth)) => {
                let how_deep = finality_words(depth, view.settled, *has_committee);
                writeln!(formatter, "in block {height}, {how_deep}")?;
            }
            _ => writeln!(formatter, "pending: {}", view.reason.as_deref().unwrap_or("in the pool"))?,
        }
        if let Some(transaction) = &view.transaction {
            let to = transaction.to.map_or_else(|| "a new contract".to_owned(), |to| format_address(&to));
            writeln!(formatter, "  amount   {} SYN", format_syn(transaction.value))?;
            writeln!(formatter, "  from     {}", format_address(&transaction.sender))?;
            writeln!(formatter, "  to       {to}")?;
            writeln!(formatter, "  nonce    {}", transaction.nonce)?;
        }
        if let Some(receipt) = &view.receipt {
            let outcome =
                if receipt.succeeded { "succeeded" } else { "FAILED; the fee is paid all the same" };
            let each = format_gwei(U256::from(receipt.effective_fee));
            writeln!(formatter, "  outcome  {outcome}")?;
            writeln!(
                formatter,
                "  fee      {} SYN ({} gas at {each} gwei)",
                format_syn(receipt.fee),
                receipt.gas_used
            )?;
        }
        if let Some(hash) = &view.block_hash {
            writeln!(formatter, "  block    {hash}")?;
        }
        write!(formatter, "  id       {}", view.id)
    }
}

//! `synod chain block`: one block.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_node::rpc::types::{BlockReference, BlockTransactions, BlockView};
use synod_types::U256;
use synod_types::address::format_address;
use synod_types::amount::{format_gwei, format_syn};

use super::ago;
use crate::client::Settle;
use crate::commands::wallet::payment::finality_words;
use crate::context::{Context, has_committee};
use crate::failure::Outcome;

/// How many transactions are listed to people; programs get all.
const LISTED: usize = 20;

/// Show a block
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  synod chain block\n  synod chain block 17 --full --json")]
pub(crate) struct Block {
    /// latest, safe, settled, genesis, a height, or a hash
    #[arg(default_value = "latest")]
    reference: BlockReference,
    /// With whole transactions instead of their ids
    #[arg(long)]
    full: bool,
}

/// The node's own answer, for programs unchanged.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    block: BlockView,
    #[serde(skip)]
    has_committee: bool,
}

impl Block {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let node = context.node()?;
        let block = node.block(self.reference, self.full).settle()?;
        let has_committee = has_committee(&node.status().settle()?);
        context.output.result(&Shown { block, has_committee });
        Ok(())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { block, has_committee } = self;
        let commitment = &block.commitment;
        let depth = match block.depth {
            0 => "not on the best chain".to_owned(),
            depth => finality_words(depth, block.settled, *has_committee),
        };
        writeln!(formatter, "block {}, {depth}, {}", block.height, ago(block.time))?;
        writeln!(formatter, "  hash     {}", block.hash)?;
        writeln!(formatter, "  parent   {}", block.header.parent)?;
        if *has_committee {
            writeln!(formatter, "  proposer {}", format_address(&commitment.proposer))?;
            writeln!(formatter, "  fees to  {}", format_address(&commitment.fee_recipient))?;
        } else {
            writeln!(formatter, "  miner    {}", format_address(&commitment.fee_recipient))?;
            writeln!(formatter, "  reward   {} SYN", format_syn(block.reward))?;
        }
        let (used, limit) = (commitment.gas_used, commitment.gas_limit);
        let base_fee = format_gwei(U256::from(commitment.base_fee));
        writeln!(formatter, "  gas      {used} of {limit}, base fee {base_fee} gwei")?;
        writeln!(formatter, "  size     {} bytes", block.size)?;
        writeln!(formatter, "  state    {}", commitment.state_root)?;
        match has_committee {
            true => writeln!(formatter, "  place    {}", commitment.position)?,
            false => {
                writeln!(formatter, "  bits     {:#010x}, nonce {}", block.header.bits, block.header.nonce)?;
            }
        }
        match &block.transactions {
            BlockTransactions::Ids(ids) => list(formatter, ids.iter().map(ToString::to_string)),
            BlockTransactions::Full(whole) => list(
                formatter,
                whole.iter().map(|one| {
                    let to = one.to.map_or_else(|| "a new contract".to_owned(), |to| format_address(&to));
                    format!(
                        "{}  {} SYN  {} -> {to}",
                        one.id,
                        format_syn(one.value),
                        format_address(&one.sender)
                    )
                }),
            ),
        }
    }
}

fn list(formatter: &mut fmt::Formatter<'_>, lines: impl ExactSizeIterator<Item = String>) -> fmt::Result {
    let count = lines.len();
    write!(formatter, "  {count} transaction{}", if count == 1 { "" } else { "s" })?;
    for line in lines.take(LISTED) {
        write!(formatter, "\n    {line}")?;
    }
    if count > LISTED {
        write!(formatter, "\n    and {} more; --json shows all", count - LISTED)?;
    }
    Ok(())
}

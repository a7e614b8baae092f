//! `synod chain diff`: where two nodes' chains part, and what that comes to.
//!
//! Blocks name their parents, so the heights at which two chains agree end at one place, which is found by
//! halving. Equal blocks promise equal states; whether the nodes keep that promise is asked of the accounts
//! that the last common blocks touched.

use std::collections::BTreeSet;
use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_node::rpc::types::{AccountView, BlockReference, BlockTransactions, BlockView};
use synod_types::address::format_address;
use synod_types::amount::format_syn;
use synod_types::{Address, B256, BlockHash, Height};

use crate::client::locate::locate_named;
use crate::client::{Node, Settle};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::wallet::draft::Wei;

/// Blocks whose accounts are compared, on each side.
const BLOCKS_LOOKED_AT: u64 = 32;
/// Accounts that are compared.
const ACCOUNTS_LOOKED_AT: usize = 1_000;

/// Find the first block or account in which two nodes differ
///
/// Exit code 0 when one chain continues the other, 1 when they part (which heals, where nodes mine), 6 when
/// equal blocks left different accounts: then one of the nodes is wrong.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod chain diff node0 node3\n  synod chain diff http://127.0.0.1:8545 http://10.0.0.2:8545"
)]
pub(crate) struct Diff {
    /// A node of the local network (node0, or just 0), or http://HOST:PORT
    left: String,
    /// Another one
    right: String,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Difference {
    /// Whether one chain continues the other, and the accounts agree.
    agree: bool,
    common: Place,
    left: Tip,
    right: Tip,
    /// What differs in the first blocks that do, by name.
    first_different_fields: Vec<String>,
    accounts_compared: usize,
    accounts: Vec<DifferentAccount>,
}

#[derive(Debug, Serialize)]
struct Place {
    height: Height,
    hash: String,
}

#[derive(Debug, Serialize)]
struct Tip {
    node: String,
    height: Height,
    hash: String,
    /// The first block after the common one.
    first_own_block: Option<String>,
}

#[derive(Debug, Serialize)]
struct DifferentAccount {
    address: String,
    left: Holding,
    right: Holding,
}

#[derive(Debug, PartialEq, Serialize)]
struct Holding {
    nonce: u64,
    balance: Wei,
    /// Rewards are no part of the balance until they mature, and are what two miners' branches differ in first.
    immature: Wei,
    code_hash: Option<B256>,
}

/// One of the two nodes, with its tip as it was at the start.
struct Side {
    name: String,
    node: Node,
    height: Height,
    hash: BlockHash,
}

impl Diff {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let (left, right) = (Side::new(&self.left, context)?, Side::new(&self.right, context)?);
        let hashes = (left.node.status().settle()?.genesis_hash, right.node.status().settle()?.genesis_hash);
        if hashes.0 != hashes.1 {
            return Err(Failure::new(
                Exit::Verification,
                "wrong_network",
                format!("{} and {} are nodes of different networks", left.name, right.name),
            ));
        }
        let progress = context.output.progress("comparing blocks");
        let found = compare(&left, &right)?;
        drop(progress);
        context.output.result(&found);
        match (found.parted(), found.agree) {
            (_, true) => Ok(()),
            (true, false) => Err(Failure::failed(
                "chains_differ",
                format!("the chains part after block {}", found.common.height),
            )
            .hint("where nodes mine, the lighter chain gives way once they hear of each other")),
            (false, false) => Err(Failure::new(
                Exit::Verification,
                "state_differs",
                "equal blocks left different accounts: one of the nodes is wrong",
            )
            .hint("stop it, delete its index/ folder, and start it: its state is rebuilt from its blocks")),
        }
    }
}

impl Side {
    fn new(text: &str, context: &Context) -> Outcome<Self> {
        let (name, located) = locate_named(text, &context.home()?)?;
        let node = Node::new(located);
        let head = node.status().settle()?.head;
        Ok(Self { name, node, height: head.height, hash: head.hash })
    }

    fn block(&self, height: Height) -> Outcome<BlockView> {
        self.node.block(BlockReference::Height(height), false).settle()
    }

    /// The accounts that this side's blocks of a range of heights touched.
    fn touched(&self, heights: std::ops::RangeInclusive<u64>) -> Outcome<BTreeSet<Address>> {
        let mut touched = BTreeSet::new();
        for height in heights {
            let block = self.node.block(BlockReference::Height(Height(height)), true).settle()?;
            touched.insert(block.commitment.fee_recipient);
            if let BlockTransactions::Full(transactions) = block.transactions {
                touched.extend(transactions.iter().flat_map(|one| [Some(one.sender), one.to]).flatten());
            }
        }
        Ok(touched)
    }

    fn first_block_after(&self, height: Height) -> Outcome<Option<BlockView>> {
        (self.height > height).then(|| self.block(Height(height.0 + 1))).transpose()
    }

    fn tip(&self, first: Option<&BlockView>) -> Tip {
        Tip {
            node: self.name.clone(),
            height: self.height,
            hash: self.hash.to_string(),
            first_own_block: first.map(|block| block.hash.to_string()),
        }
    }
}

fn compare(left: &Side, right: &Side) -> Outcome<Difference> {
    let common = last_common(left, right)?;
    let (first_left, first_right) =
        (left.first_block_after(common.height)?, right.first_block_after(common.height)?);
    let parted = first_left.is_some() && first_right.is_some();
    // Up to the parting the two have the same blocks; beyond it each has its own state, at its tip.
    let (at_left, at_right) =
        if parted { (left.height, right.height) } else { (common.height, common.height) };
    let mut touched = BTreeSet::new();
    for (side, at) in [(left, at_left), (right, at_right)] {
        let lowest = if parted { common.height.0 + 1 } else { at.0.saturating_sub(BLOCKS_LOOKED_AT) };
        touched.append(&mut side.touched(lowest.max(at.0.saturating_sub(BLOCKS_LOOKED_AT))..=at.0)?);
    }
    let touched: Vec<Address> = touched.into_iter().take(ACCOUNTS_LOOKED_AT).collect();
    let mut accounts = Vec::new();
    for address in &touched {
        let holds = |side: &Side, at: Height| {
            side.node.account_at(*address, BlockReference::Height(at)).settle().map(Holding::from)
        };
        let (left, right) = (holds(left, at_left)?, holds(right, at_right)?);
        if left != right {
            accounts.push(DifferentAccount { address: format_address(address), left, right });
        }
    }
    Ok(Difference {
        agree: !parted && accounts.is_empty(),
        common: Place { height: common.height, hash: common.hash.to_string() },
        left: left.tip(first_left.as_ref()),
        right: right.tip(first_right.as_ref()),
        first_different_fields: first_left
            .zip(first_right)
            .map(|(one, other)| fields(&one, &other))
            .unwrap_or_default(),
        accounts_compared: touched.len(),
        accounts,
    })
}

/// The highest block that both have. They have the genesis block in common.
fn last_common(left: &Side, right: &Side) -> Outcome<BlockView> {
    let (mut agreed, mut parted) = (0, left.height.0.min(right.height.0) + 1);
    while agreed + 1 < parted {
        let middle = agreed + (parted - agreed) / 2;
        let equal = left.block(Height(middle))?.hash == right.block(Height(middle))?.hash;
        if equal { agreed = middle } else { parted = middle }
    }
    left.block(Height(agreed))
}

/// The names of the header's and the commitment's fields that differ.
fn fields(one: &BlockView, other: &BlockView) -> Vec<String> {
    let value =
        |block: &BlockView| serde_json::json!({"header": block.header, "commitment": block.commitment});
    let (one, other) = (value(one), value(other));
    let mut names = Vec::new();
    for part in ["header", "commitment"] {
        let members = one[part].as_object().into_iter().flatten();
        let different =
            members.filter(|(name, value)| **value != other[part][name.as_str()] && *name != "raw");
        names.extend(different.map(|(name, _)| format!("{part}.{name}")));
    }
    names
}

impl From<AccountView> for Holding {
    fn from(account: AccountView) -> Self {
        Self {
            nonce: account.nonce,
            balance: Wei(account.balance),
            immature: Wei(account.immature),
            code_hash: account.code_hash,
        }
    }
}

impl DifferentAccount {
    /// What differs, and only that.
    fn differences(&self) -> Vec<String> {
        let Self { left, right, .. } = self;
        let money = |amount: &Wei| format!("{} SYN", format_syn(amount.0));
        let code = |hash: &Option<B256>| hash.map_or_else(|| "none".to_owned(), |hash| hash.to_string());
        let sides = [
            ("nonce", left.nonce.to_string(), right.nonce.to_string()),
            ("balance", money(&left.balance), money(&right.balance)),
            ("immature", money(&left.immature), money(&right.immature)),
            ("code", code(&left.code_hash), code(&right.code_hash)),
        ];
        let differ = sides.into_iter().filter(|(_, left, right)| left != right);
        differ.map(|(what, left, right)| format!("{what} {left} and {right}")).collect()
    }
}

impl Difference {
    fn parted(&self) -> bool {
        self.left.first_own_block.is_some() && self.right.first_own_block.is_some()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "both have block {}  {}", self.common.height, self.common.hash)?;
        for tip in [&self.left, &self.right] {
            let own = tip.height.0.saturating_sub(self.common.height.0);
            match &tip.first_own_block {
                Some(first) => writeln!(formatter, "{} has {own} more, the first is {first}", tip.node)?,
                None => writeln!(formatter, "{} has no other block", tip.node)?,
            }
        }
        if !self.first_different_fields.is_empty() {
            writeln!(formatter, "the first ones differ in {}", self.first_different_fields.join(", "))?;
        }
        for account in &self.accounts {
            writeln!(formatter, "{}: {}", account.address, account.differences().join(", "))?;
        }
        let (differ, compared) = (self.accounts.len(), self.accounts_compared);
        write!(formatter, "{differ} of the {compared} accounts touched last differ")
    }
}

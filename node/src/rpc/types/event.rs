//! Subscriptions: what is told, and how one resumes without a gap.
//!
//! A subscriber's view of the chain is a path of blocks that ends somewhere: the [`Cursor`]. Every event
//! moves that end by one block, up (`block`) or down (`reverted`), and carries the cursor that holds after
//! it. Whoever resumes from a cursor is led from that block to the present one: down to the fork, then up.
//! The cursor is of the chain, not of the node: any node that knows the block can continue it, after a
//! restart too.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use synod_types::{Address, BlockHash, Height, TransactionId, U256};

use super::block::BlockSummary;
use super::contract::{LogItem, LogsFilter};
use super::text;

/// What one subscribes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The tip: each block that joins or leaves the best chain.
    Blocks,
    /// The same, with what became of the transactions in each block.
    Transactions,
    /// The tip, with the events of contracts in each block: only blocks that have such events are told.
    Logs,
    /// Blocks that become as deep as the genesis calls settled, and settled ones that are reversed.
    Settled,
}

/// The block up to which a subscriber has seen the chain: `HEIGHT:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.height, self.hash)
    }
}

/// Not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is a height, a colon and a block hash, as events carry it")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (height, hash) = text.split_once(':').ok_or(CursorError)?;
        let height = height.parse().map_err(|_| CursorError)?;
        let hash = hash.parse().map_err(|_| CursorError)?;
        Ok(Self { height: Height(height), hash })
    }
}

/// The second parameter of `synod_subscribe`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscribeOptions {
    /// Resume after this block; without it the subscription begins with the next block.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// Of the topic `transactions`: only those that these accounts sent or received, at most 64 accounts.
    #[serde(default, with = "text::checksummed::list", skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Address>,
    /// Of the topic `logs`: which events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<LogsFilter>,
}

/// What happened to the block that an event names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// It joined the best chain.
    Block,
    /// It left the best chain: what was in it is pending again, or gone.
    Reverted,
    /// It is as deep as the genesis calls settled.
    Settled,
    /// It was settled, and left the best chain all the same.
    SettledReversed,
}

/// What became of a transaction in the event's block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionOutcome {
    /// The transaction.
    #[serde(with = "text")]
    pub id: TransactionId,
    /// Its place in the block, from 0.
    pub index: u32,
    /// Who paid.
    #[serde(with = "text::checksummed")]
    pub sender: Address,
    /// Who received; `null` creates a contract.
    #[serde(with = "text::checksummed::option")]
    pub to: Option<Address>,
    /// How much, in wei.
    #[serde(with = "text")]
    pub value: U256,
    /// Whether it did what it was to do.
    pub succeeded: bool,
}

/// One step of a subscriber's view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Up or down.
    pub kind: EventKind,
    /// Where the subscriber's view ends after this event.
    #[serde(with = "text")]
    pub cursor: Cursor,
    /// The block that joined or left.
    pub block: BlockSummary,
    /// Of the topic `transactions`: those of the block that were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transactions: Option<Vec<TransactionOutcome>>,
    /// Of the topic `logs`: the events of the block that were asked for. When the block left the chain the list
    /// is empty, and all that was told of its events is void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<Vec<LogItem>>,
    /// Whether the block has more such events than are listed: `synod_logs` has them all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let cursor = Cursor { height: Height(9), hash: BlockHash::default() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "9", ":", "9:", "x:0x00", "-1:0x00"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }

    #[test]
    fn options_may_be_empty_and_unknown_ones_are_refused() {
        assert_eq!(serde_json::from_str::<SubscribeOptions>("{}").unwrap(), SubscribeOptions::default());
        assert!(serde_json::from_str::<SubscribeOptions>("{\"cursr\":\"\"}").is_err());
    }
}

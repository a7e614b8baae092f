//! What the miner tells: objects of a stream for programs, lines and one live line for people.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::commands::chain::hash_rate;
use crate::context::Context;
use crate::output::count;
use crate::progress::Progress;
use crate::wallet::draft::Wei;

/// Tells of an event: an object on a line of its own, or a sentence beside the live line.
pub(super) fn tell<T: Serialize + Display>(context: &Context, progress: Option<&Progress>, event: &T) {
    if context.output.is_json() {
        return context.output.line(event);
    }
    let write = || context.output.note(event);
    match progress {
        Some(progress) => progress.aside(write),
        None => write(),
    }
}

/// The search begins.
#[derive(Debug, Serialize)]
pub(super) struct Started {
    pub(super) event: &'static str,
    pub(super) reward_to: String,
    pub(super) threads: u16,
    pub(super) kernel: &'static str,
    /// In the order of preference.
    pub(super) nodes: Vec<String>,
}

/// Another node is mined for, or none.
#[derive(Debug, Serialize)]
pub(super) struct NodeChanged {
    pub(super) event: &'static str,
    /// Whose templates are searched; `null` while nobody gives any.
    pub(super) node: Option<String>,
    /// Why the one before is not any more.
    pub(super) reason: Option<String>,
}

/// A block was found.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    pub(super) event: &'static str,
    pub(super) height: u64,
    pub(super) block_hash: String,
    pub(super) pays: Wei,
    pub(super) seconds: u64,
    pub(super) node: String,
}

/// A solution came to nothing.
#[derive(Debug, Serialize)]
pub(super) struct Stale {
    pub(super) event: &'static str,
    pub(super) reason: String,
}

/// How it goes.
#[derive(Debug, Serialize)]
pub(super) struct Going {
    pub(super) event: &'static str,
    /// Hashes a second.
    pub(super) hash_rate: u64,
    /// The same of each thread.
    pub(super) hash_rates: Vec<u64>,
    pub(super) accepted: u64,
    pub(super) stale: u64,
    /// To the next block, on average.
    pub(super) expected_seconds: Option<u64>,
    /// Hashes a second of all miners, as the last blocks tell.
    pub(super) network_hash_rate: Option<u64>,
    /// This miner's part of them, in percent.
    pub(super) network_share: Option<f64>,
    pub(super) node: Option<String>,
}

/// How it went in all.
#[derive(Debug, Serialize)]
pub(super) struct Mined {
    pub(super) event: &'static str,
    pub(super) blocks: u64,
    pub(super) stale: u64,
    pub(super) hashes: u64,
    pub(super) hash_rate: u64,
    pub(super) seconds: u64,
    pub(super) reward_to: String,
}

impl Display for Started {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { reward_to, threads, kernel, nodes, .. } = self;
        write!(
            formatter,
            "mining to {reward_to} with {} ({kernel}) on {}",
            count(*threads, "thread"),
            nodes.join(", then ")
        )
    }
}

impl Display for NodeChanged {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        if let Some(reason) = &self.reason {
            write!(formatter, "{reason}; ")?;
        }
        match &self.node {
            Some(node) => write!(formatter, "mining for {node}"),
            None => write!(formatter, "waiting for a node"),
        }
    }
}

impl Display for Found {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "✓ block {}, {} to come  {}", self.height, self.pays, self.block_hash)
    }
}

impl Display for Stale {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "✗ a solution came to nothing: {}", self.reason)
    }
}

impl Display for Going {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {} accepted, {} stale", hash_rate(self.hash_rate), self.accepted, self.stale)?;
        if let Some(seconds) = self.expected_seconds {
            write!(formatter, ", next expected in {seconds} s")?;
        }
        if let Some(share) = self.network_share {
            write!(formatter, ", {share:.0} % of the network")?;
        }
        match &self.node {
            Some(node) => write!(formatter, ", {node}"),
            None => write!(formatter, ", waiting for a node"),
        }
    }
}

impl Display for Mined {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let (rate, Self { blocks, stale, seconds, .. }) = (hash_rate(self.hash_rate), self);
        write!(
            formatter,
            "{} accepted, {stale} stale, in {seconds} s at {rate}; rewards mature when their blocks settle",
            count(*blocks, "block")
        )
    }
}

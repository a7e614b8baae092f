//! Looking at the nodes of a local network, and stopping and starting them.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_testnet::network::{NodeStatus, Testnet};

use super::failure;
use crate::client::Node;
use crate::client::http::Url;
use crate::client::locate::Located;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::count;

/// What every node is doing
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod testnet status")]
pub(crate) struct Status {}

/// Stop one node
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  synod testnet stop 2\n  synod testnet stop node2 --kill")]
pub(crate) struct Stop {
    /// node2, or just 2
    node: String,
    /// With kill -9
    #[arg(long)]
    kill: bool,
}

/// Start one node
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod testnet start 2")]
pub(crate) struct Start {
    /// node2, or just 2
    node: String,
}

/// Add a node and start it
///
/// It follows the chain. Under a committee `synod validator add NODE` lets it vote.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod testnet join && synod validator add node4")]
pub(crate) struct Join {}

/// Stop all nodes; the chain stays
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod testnet down")]
pub(crate) struct Down {
    /// With kill -9
    #[arg(long)]
    kill: bool,
}

impl Status {
    pub(super) fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        let nodes = testnet.status().map_err(failure)?.into_iter().map(Row::new).collect();
        context.output.result(&Rows { nodes });
        Ok(())
    }
}

impl Stop {
    pub(super) fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        let ran = testnet.stop(&self.node, self.kill).map_err(failure)?;
        let name = testnet.find(&self.node).map_err(failure)?.name;
        context.output.result(&Done::new(&[name], if ran { "stopped" } else { "did not run" }));
        Ok(())
    }
}

impl Start {
    pub(super) fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        let progress = context.output.progress("starting");
        let started = testnet.start(&self.node).map_err(failure)?;
        drop(progress);
        context.output.result(&Done::new(&[started.name], "ready"));
        Ok(())
    }
}

impl Join {
    pub(super) fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        let progress = context.output.progress("starting");
        let joined = testnet.join().map_err(failure)?;
        drop(progress);
        context.output.result(&Done::new(&[joined.name], "ready"));
        Ok(())
    }
}

impl Down {
    pub(super) fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        let stopped = testnet.down(self.kill).map_err(failure)?;
        context.output.result(&Done::new(&stopped, "stopped"));
        Ok(())
    }
}

#[derive(Serialize)]
struct Rows {
    nodes: Vec<Row>,
}

/// A node's process, and what the node says of itself if it answers.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    node: NodeStatus,
    height: Option<u64>,
    block_hash: Option<String>,
    peers: Option<u64>,
}

impl Row {
    fn new(node: NodeStatus) -> Self {
        let url = node.pid.and_then(|_| Url::parse(&node.endpoint.rpc).ok());
        let told = url.and_then(|url| Node::new(Located { url, how_to_start: String::new() }).status().ok());
        let (height, block_hash, peers) = match told {
            Some(told) => {
                (Some(told.head.height.0), Some(told.head.hash.to_string()), Some(told.peers as u64))
            }
            None => (None, None, None),
        };
        Self { node, height, block_hash, peers }
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        for (index, row) in self.nodes.iter().enumerate() {
            let end = if index + 1 == self.nodes.len() { "" } else { "\n" };
            let height = column(row.height.map(|height| height.to_string()));
            let peers = column(row.peers.map(|peers| count(peers, "peer")));
            let pid = column(row.node.pid.map(|pid| pid.to_string()));
            let NodeStatus { endpoint, state, .. } = &row.node;
            write!(
                formatter,
                "{:<7} {state:<9} block {height:<8} {peers:<9} pid {pid:<8} {}{end}",
                endpoint.name, endpoint.rpc
            )?;
        }
        Ok(())
    }
}

/// Something was done to nodes.
#[derive(Serialize)]
pub(super) struct Done {
    nodes: Vec<String>,
    state: &'static str,
}

impl Done {
    pub(super) fn new(nodes: &[String], state: &'static str) -> Self {
        Self { nodes: nodes.to_vec(), state }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes.is_empty() {
            return formatter.write_str("no node was running");
        }
        write!(formatter, "{}: {}", self.nodes.join(", "), self.state)
    }
}

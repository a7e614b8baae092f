//! `synod init`: a real network's genesis, and the folders of its nodes.
//!
//! A network is made once, with as many of its nodes as are known; whoever joins later makes a folder for
//! one more node from a copy of the genesis. Nothing that exists is ever replaced: a second genesis would be
//! another network, and a second key another node.

mod allocation;
mod network;
mod nodes;

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use synod_consensus::pow::{Rules, Target};
use synod_types::Genesis;
use synod_types::amount::format_syn;

use self::network::NetworkOptions;
use self::nodes::{NodeAddress, Nodes};
use super::settings::SettingsOptions;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::wallet::draft::Wei;
use crate::wallet::password::PasswordSource;

/// Make a real network, or a node that joins one
///
/// Without --genesis it makes a new network: genesis.json, and a folder for each node with its node.toml and
/// its key under a password. With --genesis it makes the folder of one more node. For a network to play with,
/// see `synod testnet up`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  A network of one node that mines, and who owns its money:\n    synod init mainnet --alloc alice=1000000 --mine 1 --reward-to alice\n  Three nodes on machines whose addresses are known, a folder for each:\n    synod init mainnet --alloc-file owners.txt --node paris=203.0.113.5:30300 \\\n      --node oslo=198.51.100.7:30300 --node rome=192.0.2.9:30300\n  Join, with a copy of the network's genesis.json:\n    synod init node --genesis genesis.json --bootstrap /ip4/203.0.113.5/tcp/30300/p2p/12D3KooW…"
)]
pub(crate) struct Init {
    /// Where the files go; with --node a folder for each node is made in it
    folder: PathBuf,
    /// Join the network of this genesis document instead of making one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["network", "nodes"])]
    genesis: Option<PathBuf>,
    /// Make a folder for a node of this name, reachable by others at this address; may be given again
    #[arg(long = "node", id = "nodes", value_name = "NAME=IP:PORT", conflicts_with_all = ["name", "p2p_listen", "address"])]
    nodes: Vec<NodeAddress>,
    /// Where others reach this node, when that is not where it listens
    #[arg(long, value_name = "IP:PORT")]
    address: Option<std::net::SocketAddr>,
    #[command(flatten)]
    network: NetworkOptions,
    #[command(flatten)]
    settings: SettingsOptions,
    #[command(flatten)]
    password: PasswordSource,
}

/// What was made.
#[derive(Debug, Serialize)]
struct Made {
    created: bool,
    chain_id: u64,
    genesis_hash: String,
    genesis_file: String,
    bits: String,
    difficulty: String,
    spacing_seconds: u32,
    supply: Wei,
    accounts: usize,
    nodes: Vec<nodes::MadeNode>,
    warnings: Vec<String>,
    #[serde(skip)]
    measured: Option<String>,
    #[serde(skip)]
    mines: bool,
}

impl Init {
    /// Makes it.
    ///
    /// # Errors
    /// Before anything is written: options that make no network, or files that exist. Then: the disk.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        let created = self.genesis.is_none();
        let nodes = Nodes::plan(&self.folder, &self.nodes, &self.settings, self.address);
        let (genesis, measured) = match &self.genesis {
            Some(path) => (read_genesis(path)?, None),
            None => {
                let miners = nodes.count().saturating_mul(self.settings.mine.unwrap_or(1).max(1));
                self.network.build(context, miners)?
            }
        };
        let target = check(&genesis)?;
        let settings = self.settings.resolve(context, false)?;
        let nodes = nodes.configure(settings, &genesis)?;
        nodes.demand_free()?;
        let password = self.password.choose(nodes.whose(), &context.output)?;
        let progress = context.output.progress("sealing keys");
        let (made, warnings) = nodes.write(&genesis, &password)?;
        drop(progress);
        for warning in &warnings {
            context.output.warning(warning);
        }
        context.output.result(&Made {
            created,
            chain_id: genesis.chain_id,
            genesis_hash: genesis.hash().to_string(),
            genesis_file: nodes.genesis_file().display().to_string(),
            bits: format!("{:#010x}", genesis.pow.bits),
            difficulty: target.work().0.to_string(),
            spacing_seconds: genesis.pow.spacing_seconds,
            supply: Wei(genesis.supply()),
            accounts: genesis.alloc.len(),
            mines: nodes.mine(),
            nodes: made,
            warnings,
            measured,
        });
        Ok(())
    }
}

/// Reads the genesis of a network to join.
fn read_genesis(path: &Path) -> Outcome<Genesis> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::file(path, &error).hint("copy genesis.json from a node of the network that you join")
    })?;
    let refused = |problem: String| {
        let problem = problem.trim_start_matches("genesis.json: ");
        Failure::usage("genesis", format!("{}: {problem}", path.display()))
    };
    let genesis = Genesis::from_json(&text).map_err(|error| refused(error.to_string()))?;
    if genesis.testnet {
        return Err(refused("this is a test network's".to_owned())
            .hint("`synod testnet up` runs test networks; their nodes need no folders made by hand"));
    }
    Ok(genesis)
}

/// Checks what a node would check before it starts, and gives the first target.
fn check(genesis: &Genesis) -> Outcome<Target> {
    let refused = |problem: String| Failure::usage("genesis", problem);
    genesis.check().map_err(|error| refused(error.to_string()))?;
    if let Some(address) = genesis.alloc.keys().find(|address| synod_testnet::accounts::is_public(address)) {
        let address = synod_types::address::format_address(address);
        return Err(refused(format!(
            "alloc: everybody has the key of {address}: its money would be anybody's"
        )));
    }
    let block = synod_ledger::execution::genesis_block(genesis);
    let rules = Rules::new(&genesis.pow, &block.header).map_err(|error| refused(error.to_string()))?;
    Ok(rules.asert.anchor_target)
}

impl fmt::Display for Made {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.created { "a new network" } else { "a node of an existing network" };
        writeln!(formatter, "✓ {what}: chain {}, genesis {}", self.chain_id, self.genesis_hash)?;
        let measured = self.measured.as_ref().map(|measured| format!(", {measured}")).unwrap_or_default();
        writeln!(
            formatter,
            "  blocks   one every {} s; the first takes {} hashes{measured}",
            self.spacing_seconds, self.difficulty
        )?;
        let (supply, accounts) = (format_syn(self.supply.0), self.accounts);
        match accounts {
            0 => writeln!(formatter, "  money    none at the start: miners earn all of it")?,
            1 => writeln!(formatter, "  money    {supply} SYN, of one account")?,
            _ => writeln!(formatter, "  money    {supply} SYN, of {accounts} accounts")?,
        }
        for node in &self.nodes {
            writeln!(formatter, "  node     {} in {}", node.name, node.folder)?;
            writeln!(formatter, "           {}", node.shown_address())?;
        }
        self.next_steps(formatter)
    }
}

impl Made {
    fn next_steps(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "Next:")?;
        match self.nodes.as_slice() {
            [node] => {
                let mining = if self.mines || !self.created { "" } else { " --mine 1 --reward-to NAME" };
                writeln!(formatter, "  synod node --config {}{mining}", node.config)?;
            }
            _ => writeln!(
                formatter,
                "  copy each folder to its machine, and there: synod node --config NAME/node.toml"
            )?,
        }
        if !self.created {
            return write!(
                formatter,
                "  synod chain status    # in another terminal: it catches up, then it is ready"
            );
        }
        let first = self.nodes.first().map(nodes::MadeNode::shown_address).unwrap_or_default();
        write!(
            formatter,
            "  who joins needs {} and an address:\n  synod init FOLDER --genesis genesis.json --bootstrap {first}",
            self.genesis_file
        )
    }
}

//! `synod testnet up` and `reset`: a network is made once, and started as often as one likes.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;
use synod_node::miner::{Kernel, measure};
use synod_testnet::folder::Endpoints;
use synod_testnet::network::{Started, Testnet};
use synod_testnet::plan::{MINERS, Options};
use synod_types::committee::fault_model;
use synod_types::genesis::Ordering;

use super::failure;
use super::nodes::Done;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::count;

/// How long the kernel is timed before a new network's first target is set.
const CALIBRATION: Duration = Duration::from_millis(200);

/// From a node's RPC port to its port for miners, so that networks beside each other do not meet there.
const GETWORK_OFFSET: u16 = 9332 - 8545;

/// Start the network, or whatever of it does not run
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod testnet up\n  synod testnet up --nodes 7\n  synod testnet up --ordering pow --spacing 5\n  synod testnet up --ordering zab\n  synod testnet up --faults"
)]
pub(crate) struct Up {
    /// How many nodes [default: 4, or 3 under paxos and zab]
    #[arg(long)]
    nodes: Option<usize>,
    /// Who orders the transactions [default: pbft]
    #[arg(long, value_parser = PossibleValuesParser::new(Ordering::ALL.map(Ordering::name)))]
    ordering: Option<String>,
    /// Under proof of work: mining threads of each node; 0 starts nodes that do not mine [default: 1]
    #[arg(long)]
    mine: Option<usize>,
    /// Under proof of work: seconds between blocks [default: 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3600))]
    spacing: Option<u32>,
    /// Let links run through a proxy, so that `synod testnet fault` can cut them
    #[arg(long)]
    faults: bool,
    /// Make keys and salt repeatable
    #[arg(long)]
    seed: Option<u64>,
    /// The first RPC port wanted
    #[arg(long, default_value_t = 8545)]
    rpc_port: u16,
    /// The first peer port wanted
    #[arg(long, default_value_t = 30300)]
    p2p_port: u16,
    /// The first metrics and health port wanted
    #[arg(long, default_value_t = 9100)]
    web_port: u16,
    /// Under proof of work: the first port wanted for miners that speak getwork: minerd, cpuminer-opt [default: 9332, and as far from it as --rpc-port is from 8545]
    #[arg(long)]
    getwork_port: Option<u16>,
    /// Never sync to disk: faster, and a power cut loses the chain
    #[arg(long)]
    no_sync: bool,
}

/// Delete the network and start a new chain of the same shape
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  synod testnet reset\n  synod testnet reset --only")]
pub(crate) struct Reset {
    /// Only delete
    #[arg(long)]
    only: bool,
    /// Make keys and salt repeatable
    #[arg(long)]
    seed: Option<u64>,
}

impl Up {
    pub(super) fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        let progress = context.output.progress("measuring this machine, starting nodes");
        let existing = testnet.options().ok();
        self.check(existing.as_ref().map_or_else(|| self.ordering(), |existing| existing.ordering))?;
        let started = testnet.up(&self.options(existing.is_some())).map_err(failure)?;
        drop(progress);
        let ignored = existing.map(|existing| self.ignored(&existing)).unwrap_or_default();
        if !started.created && !ignored.is_empty() {
            context.output.warning(format_args!(
                "the network that exists keeps its shape, so {} changed nothing; `synod testnet reset --only` deletes it",
                ignored.join(", ")
            ));
        }
        context.output.result(&Ready::new(testnet, started));
        Ok(())
    }

    fn options(&self, exists: bool) -> Options {
        let ordering = self.ordering();
        let mining_threads = if ordering.has_committee() { 0 } else { self.mine.unwrap_or(1) };
        // An existing network has its target already.
        let hash_rate = if exists || mining_threads == 0 { 1e6 } else { hash_rate() };
        Options {
            nodes: self
                .nodes
                .unwrap_or_else(|| fault_model(ordering).map_or(4, |model| model.least_members(1))),
            ordering,
            mining_threads,
            seed: self.seed,
            rpc_port: self.rpc_port,
            p2p_port: self.p2p_port,
            web_port: self.web_port,
            getwork_port: self.getwork_port.unwrap_or(self.rpc_port.wrapping_add(GETWORK_OFFSET)),
            sync: !self.no_sync,
            faults: self.faults,
            hash_rate,
            spacing_seconds: self.spacing.unwrap_or(2),
            roomy: false,
        }
    }

    fn ordering(&self) -> Ordering {
        self.ordering.as_deref().and_then(Ordering::from_name).unwrap_or(Ordering::Pbft)
    }

    /// Refuses what only proof of work has, where it is not what orders.
    fn check(&self, ordering: Ordering) -> Outcome<()> {
        let mined = [("--mine", self.mine.is_some()), ("--spacing", self.spacing.is_some())];
        match mined.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) if ordering.has_committee() => Err(Failure::usage(
                "no_mining",
                format!("{flag} is of proof of work, and {ordering} orders this network"),
            )
            .hint("add --ordering pow")),
            _ => Ok(()),
        }
    }

    /// What was asked for and cannot be had: a network's shape is settled when it is made.
    fn ignored(&self, existing: &Options) -> Vec<String> {
        let mut ignored = Vec::new();
        if let Some(nodes) = self.nodes.filter(|nodes| *nodes != existing.nodes) {
            ignored.push(format!("--nodes {nodes} (it has {})", existing.nodes));
        }
        if self.ordering.is_some() && self.ordering() != existing.ordering {
            ignored.push(format!("--ordering {} (it has {})", self.ordering(), existing.ordering));
        }
        if let Some(mine) = self.mine.filter(|mine| *mine != existing.mining_threads) {
            ignored.push(format!("--mine {mine} (it has {})", existing.mining_threads));
        }
        if let Some(spacing) = self.spacing.filter(|spacing| *spacing != existing.spacing_seconds) {
            ignored.push(format!("--spacing {spacing} (it has {})", existing.spacing_seconds));
        }
        if self.faults && !existing.faults {
            ignored.push("--faults".to_owned());
        }
        if let Some(seed) = self.seed.filter(|seed| Some(*seed) != existing.seed) {
            ignored.push(format!("--seed {seed}"));
        }
        if self.no_sync && existing.sync {
            ignored.push("--no-sync".to_owned());
        }
        ignored
    }
}

impl Reset {
    pub(super) fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        if self.only {
            testnet.remove().map_err(failure)?;
            context.output.result(&Done::new(&["the network".to_owned()], "deleted"));
            return Ok(());
        }
        // Read first: a network whose shape is not known is not deleted for another one of that shape.
        let mut options = testnet.options().map_err(failure)?;
        testnet.remove().map_err(failure)?;
        options.seed = self.seed;
        let progress = context.output.progress("starting a new chain");
        if options.mining_threads > 0 {
            options.hash_rate = hash_rate();
        }
        let started = testnet.up(&options).map_err(failure)?;
        drop(progress);
        context.output.result(&Ready::new(testnet, started));
        Ok(())
    }
}

/// What one thread of this machine does in a second.
fn hash_rate() -> f64 {
    measure(Kernel::best(), 1, CALIBRATION).per_second()
}

/// The network is up.
#[derive(Serialize)]
struct Ready {
    #[serde(flatten)]
    started: Started,
    #[serde(skip)]
    has_committee: bool,
}

impl Ready {
    fn new(testnet: &Testnet, started: Started) -> Self {
        let has_committee = testnet.options().is_ok_and(|options| options.ordering.has_committee());
        Self { started, has_committee }
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Started { endpoints, started, created, ready_ms } = &self.started;
        let what = match (created, started.len()) {
            (true, nodes) => {
                format!("ready: a new network of {}, up in {ready_ms} ms", count(nodes as u64, "node"))
            }
            (false, 0) => "ready: every node was running".to_owned(),
            (false, nodes) => format!("ready: {} started in {ready_ms} ms", count(nodes as u64, "node")),
        };
        writeln!(formatter, "{what}")?;
        writeln!(formatter, "  chain {}  genesis {}", endpoints.chain_id, endpoints.genesis_hash)?;
        for node in &endpoints.nodes {
            writeln!(formatter, "  {:<7} {:<24} metrics {}/metrics", node.name, node.rpc, node.web)?;
        }
        if !self.has_committee {
            miners(formatter, endpoints)?;
        }
        accounts(formatter, endpoints)?;
        writeln!(formatter, "Try: synod wallet new alice && synod wallet send --from dev0 --to alice 12.5")?;
        write!(formatter, "export PATH=\"{}:$PATH\"", binary_folder())
    }
}

fn miners(formatter: &mut fmt::Formatter<'_>, endpoints: &Endpoints) -> fmt::Result {
    let Some(url) = endpoints.nodes.iter().find_map(|node| node.getwork.as_ref()) else { return Ok(()) };
    let (user, password) = MINERS;
    writeln!(
        formatter,
        "Miners: minerd -a sha256d -o {url} -u {user} -p {password}   (or -u ADDRESS, to be paid there)"
    )
}

fn accounts(formatter: &mut fmt::Formatter<'_>, endpoints: &Endpoints) -> fmt::Result {
    writeln!(formatter, "Funded accounts, 1,000,000 SYN each, whose keys everybody knows:")?;
    for account in &endpoints.accounts {
        writeln!(formatter, "  {:<5} {}", account.name, account.address)?;
    }
    Ok(())
}

/// Where this binary is: `$PWD/target/release` when it was built here, so that the line can be copied.
fn binary_folder() -> String {
    let folder = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    let folder = folder.unwrap_or_default();
    let here = std::env::current_dir().unwrap_or_default();
    match folder.strip_prefix(&here) {
        Ok(relative) if !relative.as_os_str().is_empty() => format!("$PWD/{}", relative.display()),
        _ => folder.display().to_string(),
    }
}

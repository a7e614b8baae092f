//! `synod testnet`: a local network of real nodes.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Serialize;
use synod_node::miner::{Kernel, measure};
use synod_testnet::error::TestnetError;
use synod_testnet::folder::{Endpoints, read_endpoints};
use synod_testnet::network::{NodeStatus, Started, Testnet};
use synod_testnet::plan::{MINERS, Options};
use synod_testnet::proxy::{self, Order, Rule};
use synod_testnet::soak::{SoakOptions, SoakReport, soak};
use synod_testnet::{folder, process};

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// How long the kernel is timed before a new network's first target is set.
const CALIBRATION: Duration = Duration::from_millis(200);

/// From a node's RPC port to its port for miners, so that networks beside each other do not meet there.
const GETWORK_OFFSET: u16 = 9332 - 8545;

/// A local network of real nodes
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  synod testnet up\n  synod testnet stop 2 --kill\n  synod testnet logs node0 --lines 50"
)]
pub(crate) enum TestnetCommand {
    /// Start the network, or whatever of it does not run
    Up(Up),
    /// What every node is doing
    Status,
    /// The end of a node's log
    Logs(Logs),
    /// Stop one node
    Stop(Stop),
    /// Start one node
    Start {
        /// node2, or just 2
        node: String,
    },
    /// Stop all nodes; the chain stays
    Down {
        /// With kill -9
        #[arg(long)]
        kill: bool,
    },
    /// Delete the network and start a new chain of the same shape
    Reset {
        /// Only delete
        #[arg(long)]
        only: bool,
        /// Make keys and salt repeatable
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Cut, hold or delay the links between nodes (needs `up --faults`)
    #[command(subcommand)]
    Fault(Fault),
    /// Kill nodes under load, and look for what they forgot
    Soak(Soak),
    /// The process through which faulty links run
    #[command(hide = true)]
    Proxy {
        /// The network's folder
        #[arg(long)]
        root: PathBuf,
    },
}

/// Start the network, or whatever of it does not run
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod testnet up\n  synod testnet up --nodes 7\n  synod testnet up --faults"
)]
pub(crate) struct Up {
    /// How many nodes [default: 4]
    #[arg(long)]
    nodes: Option<usize>,
    /// Who orders the transactions
    #[arg(long, default_value = "pow", value_parser = ["pow"])]
    ordering: String,
    /// Mining threads of each node; 0 starts nodes that do not mine
    #[arg(long, default_value_t = 1)]
    mine: usize,
    /// Seconds between blocks
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=3600))]
    spacing: u32,
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
    /// The first port wanted for miners that speak getwork: minerd, cpuminer-opt [default: 9332, and as far from it as --rpc-port is from 8545]
    #[arg(long)]
    getwork_port: Option<u16>,
    /// Never sync to disk: faster, and a power cut loses the chain
    #[arg(long)]
    no_sync: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// node2, or just 2; all nodes without one
    node: Option<String>,
    /// How many lines
    #[arg(long, short = 'n', default_value_t = 20)]
    lines: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// node2, or just 2
    node: String,
    /// With kill -9
    #[arg(long)]
    kill: bool,
}

/// What to do to links
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  synod testnet fault partition 0,1 2,3\n  synod testnet fault delay 200\n  synod testnet fault heal"
)]
pub(crate) enum Fault {
    /// Cut the network into groups
    Partition {
        /// Groups of node numbers: 0,1 2,3
        #[arg(required = true, num_args = 2..)]
        groups: Vec<String>,
        /// Hold the bytes instead of closing the connections
        #[arg(long)]
        hold: bool,
    },
    /// Delay every byte
    Delay {
        /// By so many milliseconds
        milliseconds: u64,
    },
    /// Everything passes again
    Heal,
    /// Which rules hold
    Show,
}

/// Kill nodes under load, and look for what they forgot
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod testnet soak --kills 20 --json")]
pub(crate) struct Soak {
    /// How many kills in all; an interrupted soak goes on where it was
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// Decides who is killed when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Funded accounts that pay
    #[arg(long, default_value_t = 4)]
    payers: u8,
}

impl TestnetCommand {
    /// Carries it out.
    ///
    /// # Errors
    /// What the network says.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        if let Self::Proxy { root } = self {
            return run_proxy(&root);
        }
        let testnet = testnet(context)?;
        match self {
            Self::Up(up) => up.run(&testnet, context),
            Self::Status => status(&testnet, context),
            Self::Logs(logs) => logs.run(&testnet, context),
            Self::Stop(stop) => {
                let ran = testnet.stop(&stop.node, stop.kill).map_err(failure)?;
                let name = testnet.find(&stop.node).map_err(failure)?.name;
                context.output.result(&Done::new(&[name], if ran { "stopped" } else { "did not run" }));
                Ok(())
            }
            Self::Start { node } => {
                let progress = context.output.progress("starting");
                let started = testnet.start(&node).map_err(failure)?;
                drop(progress);
                context.output.result(&Done::new(&[started.name], "ready"));
                Ok(())
            }
            Self::Down { kill } => {
                let stopped = testnet.down(kill).map_err(failure)?;
                context.output.result(&Done::new(&stopped, "stopped"));
                Ok(())
            }
            Self::Reset { only, seed } => reset(&testnet, context, only, seed),
            Self::Fault(fault) => fault.run(&testnet, context),
            Self::Soak(options) => options.run(&testnet, context),
            Self::Proxy { .. } => unreachable!("handled above"),
        }
    }
}

fn testnet(context: &Context) -> Outcome<Testnet> {
    let synod = std::env::current_exe()
        .map_err(|error| Failure::failed("system", format!("cannot find this very binary: {error}")))?;
    Ok(Testnet::new(&synod, &context.home()?.testnet()))
}

impl Up {
    fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        let progress = context.output.progress("measuring this machine, starting nodes");
        let options = self.options(testnet);
        let started = testnet.up(&options).map_err(failure)?;
        drop(progress);
        if !started.created && self.nodes.is_some_and(|wanted| wanted != started.endpoints.nodes.len()) {
            context.output.warning(format_args!(
                "the network that exists has {} nodes; `synod testnet reset --only` deletes it",
                started.endpoints.nodes.len()
            ));
        }
        context.output.result(&Ready { started });
        Ok(())
    }

    fn options(&self, testnet: &Testnet) -> Options {
        let exists = read_endpoints(testnet.root()).is_ok();
        // An existing network has its target already.
        let hash_rate =
            if exists || self.mine == 0 { 1e6 } else { measure(Kernel::best(), 1, CALIBRATION).per_second() };
        Options {
            nodes: self.nodes.unwrap_or(4),
            mining_threads: self.mine,
            seed: self.seed,
            rpc_port: self.rpc_port,
            p2p_port: self.p2p_port,
            web_port: self.web_port,
            getwork_port: self.getwork_port.unwrap_or(self.rpc_port.wrapping_add(GETWORK_OFFSET)),
            sync: !self.no_sync,
            faults: self.faults,
            hash_rate,
            spacing_seconds: self.spacing,
            roomy: false,
        }
    }
}

/// The network is up.
#[derive(Serialize)]
struct Ready {
    #[serde(flatten)]
    started: Started,
}

impl fmt::Display for Ready {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Started { endpoints, started, created, ready_ms } = &self.started;
        let what = match (created, started.len()) {
            (true, count) => format!("ready: a new network of {count} nodes, up in {ready_ms} ms"),
            (false, 0) => "ready: every node was running".to_owned(),
            (false, count) => format!("ready: {count} nodes started in {ready_ms} ms"),
        };
        writeln!(formatter, "{what}")?;
        writeln!(formatter, "  chain {}  genesis {}", endpoints.chain_id, endpoints.genesis_hash)?;
        for node in &endpoints.nodes {
            writeln!(formatter, "  {:<7} {:<24} metrics {}/metrics", node.name, node.rpc, node.web)?;
        }
        miners(formatter, endpoints)?;
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

fn status(testnet: &Testnet, context: &Context) -> Outcome<()> {
    let nodes = testnet.status().map_err(failure)?;
    context.output.result(&Nodes { nodes });
    Ok(())
}

#[derive(Serialize)]
struct Nodes {
    nodes: Vec<NodeStatus>,
}

impl fmt::Display for Nodes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.nodes.iter().enumerate() {
            let end = if index + 1 == self.nodes.len() { "" } else { "\n" };
            let pid = node.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
            let NodeStatus { endpoint, state, .. } = node;
            write!(formatter, "{:<7} {state:<9} pid {pid:<8} {}{end}", endpoint.name, endpoint.rpc)?;
        }
        Ok(())
    }
}

impl Logs {
    fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        let nodes = match &self.node {
            Some(name) => vec![testnet.find(name).map_err(failure)?],
            None => read_endpoints(testnet.root()).map_err(failure)?.nodes,
        };
        let nodes = nodes.into_iter().map(|node| NodeLog {
            log: process::last_lines(&process::log_file(&node), self.lines.min(100_000)),
            name: node.name,
        });
        context.output.result(&Ends { nodes: nodes.collect() });
        Ok(())
    }
}

/// The ends of logs.
#[derive(Serialize)]
struct Ends {
    nodes: Vec<NodeLog>,
}

#[derive(Serialize)]
struct NodeLog {
    name: String,
    log: String,
}

impl fmt::Display for Ends {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for NodeLog { name, log } in &self.nodes {
            if self.nodes.len() > 1 {
                writeln!(formatter, "== {name}")?;
            }
            formatter.write_str(log)?;
        }
        Ok(())
    }
}

fn reset(testnet: &Testnet, context: &Context, only: bool, seed: Option<u64>) -> Outcome<()> {
    if only {
        testnet.remove().map_err(failure)?;
        context.output.result(&Done::new(&["the network".to_owned()], "deleted"));
        return Ok(());
    }
    // Read first: a network whose shape is not known is not deleted for another one of that shape.
    let mut options = testnet.options().map_err(failure)?;
    testnet.remove().map_err(failure)?;
    options.seed = seed;
    let progress = context.output.progress("starting a new chain");
    if options.mining_threads > 0 {
        options.hash_rate = measure(Kernel::best(), 1, CALIBRATION).per_second();
    }
    let started = testnet.up(&options).map_err(failure)?;
    drop(progress);
    context.output.result(&Ready { started });
    Ok(())
}

impl Fault {
    fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        let root = testnet.root();
        let nodes = read_endpoints(root).map_err(failure)?.nodes.len();
        let control = folder::Folder::lock(root).and_then(|folder| folder.network()).map_err(failure)?;
        let control = control.proxy_control.ok_or_else(|| failure(TestnetError::NoProxy))?;
        let all: Vec<usize> = (0..nodes).collect();
        let orders = match self {
            Self::Partition { groups, hold } => {
                let groups = parse_groups(&groups, nodes)?;
                proxy::partition(&groups, if hold { Rule::Hold } else { Rule::Cut })
            }
            Self::Delay { milliseconds } => {
                vec![Order::Set { from: all.clone(), to: all, rule: Rule::Delay(milliseconds.min(60_000)) }]
            }
            Self::Heal => vec![Order::Heal],
            Self::Show => vec![Order::Rules],
        };
        let mut rules = Vec::new();
        for order in orders {
            rules = proxy::command(control, &order).map_err(failure)?.rules;
        }
        context.output.result(&Links { rules });
        Ok(())
    }
}

#[derive(Serialize)]
struct Links {
    rules: Vec<(usize, usize, Rule)>,
}

impl fmt::Display for Links {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rules.is_empty() {
            return formatter.write_str("every link passes");
        }
        for (index, (from, to, rule)) in self.rules.iter().enumerate() {
            let rule = match rule {
                Rule::Pass => "passes".to_owned(),
                Rule::Delay(milliseconds) => format!("{milliseconds} ms late"),
                Rule::Hold => "held".to_owned(),
                Rule::Cut => "cut".to_owned(),
            };
            let end = if index + 1 == self.rules.len() { "" } else { "\n" };
            write!(formatter, "node{from} → node{to}: {rule}{end}")?;
        }
        Ok(())
    }
}

/// Reads `0,1 2,3`; nodes that are not named form a group of their own.
fn parse_groups(texts: &[String], nodes: usize) -> Outcome<Vec<Vec<usize>>> {
    let wrong = |problem: String| {
        Failure::usage("groups", problem).hint("write groups of node numbers, for example: 0,1 2,3")
    };
    let mut seen = vec![false; nodes];
    let mut groups = Vec::new();
    for text in texts {
        let mut group = Vec::new();
        for number in text.split(',') {
            let node: usize =
                number.trim().parse().map_err(|_| wrong(format!("{number:?} is no node's number")))?;
            match seen.get_mut(node) {
                None => return Err(wrong(format!("there is no node {node}; they are 0 to {}", nodes - 1))),
                Some(seen) if *seen => return Err(wrong(format!("node {node} is in two groups"))),
                Some(seen) => *seen = true,
            }
            group.push(node);
        }
        groups.push(group);
    }
    let rest: Vec<usize> = (0..nodes).filter(|node| !seen[*node]).collect();
    if !rest.is_empty() {
        groups.push(rest);
    }
    Ok(groups)
}

impl Soak {
    fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        let progress = context.output.progress("soaking");
        let begun = Instant::now();
        let options = SoakOptions { kills: self.kills, seed: self.seed, payers: self.payers };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Failure::failed("system", error.to_string()))?;
        let soaked = runtime.block_on(soak(testnet, &options, |report| {
            progress.say(format!(
                "{} of {} kills, {} transfers acknowledged, height {}",
                report.kills, options.kills, report.acknowledged, report.height
            ));
        }));
        drop(progress);
        let report = soaked.map_err(failure)?;
        let violated = !report.violations.is_empty();
        context.output.result(&Soaked { report, seconds: begun.elapsed().as_secs() });
        if violated {
            return Err(Failure::new(Exit::Verification, "soak", "the soak found violations"));
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Soaked {
    #[serde(flatten)]
    report: SoakReport,
    seconds: u64,
}

impl fmt::Display for Soaked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        writeln!(
            formatter,
            "kills            {} ({} of them with all others)",
            report.kills, report.kills_of_all
        )?;
        writeln!(
            formatter,
            "transfers        {} submitted, {} acknowledged",
            report.submitted, report.acknowledged
        )?;
        writeln!(formatter, "height           {}", report.height)?;
        writeln!(formatter, "slowest return   {} ms", report.slowest_return_ms)?;
        write!(formatter, "violations       {}", report.violations.len())?;
        for violation in &report.violations {
            write!(formatter, "\n  {violation}")?;
        }
        Ok(())
    }
}

/// Something was done to nodes.
#[derive(Serialize)]
struct Done {
    nodes: Vec<String>,
    state: &'static str,
}

impl Done {
    fn new(nodes: &[String], state: &'static str) -> Self {
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

fn run_proxy(root: &Path) -> Outcome<()> {
    let network = folder::Folder::read_network(root).map_err(failure)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("system", error.to_string()))?;
    let served = runtime.block_on(proxy::serve(network.links, |control| {
        let mut stdout = std::io::stdout();
        // Whoever started us reads this one line; if it has gone, nobody can give orders.
        let _ = writeln!(stdout, "{control}").and_then(|()| stdout.flush());
    }));
    served.map_err(|error| Failure::failed("proxy", error.to_string()))
}

/// A network's error as the command's.
fn failure(error: TestnetError) -> Failure {
    let message = error.to_string();
    match error {
        TestnetError::NodeCount { .. } => Failure::usage("node_count", message),
        TestnetError::NoSuchNode { .. } => Failure::usage("no_such_node", message),
        TestnetError::NoNetwork(_) => Failure::failed("no_network", message),
        TestnetError::NoProxy => Failure::failed("no_proxy", message)
            .hint("synod testnet reset --only && synod testnet up --faults"),
        TestnetError::Rpc { .. } => Failure::new(Exit::Unreachable, "unreachable", message),
        TestnetError::Died { .. } => Failure::failed("node_died", message),
        TestnetError::Busy(_) => Failure::failed("busy", message),
        TestnetError::NoPort(_) => Failure::failed("no_port", message),
        TestnetError::File { .. } => Failure::failed("file", message),
        TestnetError::Damaged { .. } => Failure::failed("damaged", message),
        TestnetError::Slow { .. } => Failure::failed("too_slow", message),
        TestnetError::Proxy(_) => Failure::failed("proxy", message),
        _ => Failure::failed("testnet", message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_and_the_rest_stands_together() {
        let read = |texts: &[&str], nodes| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            parse_groups(&texts, nodes)
        };
        assert_eq!(read(&["0,1", "2,3"], 4), Ok(vec![vec![0, 1], vec![2, 3]]));
        assert_eq!(read(&["0", "1"], 4), Ok(vec![vec![0], vec![1], vec![2, 3]]));
        for wrong in [&["0,0", "1"][..], &["0", "4"], &["a", "1"], &["0,", "1"]] {
            assert!(read(wrong, 4).is_err(), "{wrong:?}");
        }
    }
}

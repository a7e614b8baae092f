//! `synod init`: a real network's genesis, and the folders of its nodes.
//!
//! A network is made once, with as many of its nodes as are known; whoever joins later makes a folder for
//! one more node from a copy of the genesis. Nothing that exists is ever replaced: a second genesis would be
//! another network, and a second key another node.
//!
//! Where a committee orders, each new node has a key to vote with beside its node's own, and the memory of what it
//! promised begins with its folder. Who joins a committee's network follows until the committee takes it in.
//!
//! - [`committee`]: who orders, and the first members. [`network`]: the rest of a genesis. [`allocation`]: its money.
//! - [`nodes`]: folders and configurations. [`keys`]: what lies under a password in them.

mod allocation;
mod committee;
pub(crate) mod keys;
mod network;
mod nodes;

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use synod_consensus::pow::{Rules, Target};
use synod_types::Genesis;
use synod_types::amount::format_syn;
use synod_types::committee::{Quorums, fault_model};
use synod_types::genesis::{Member, Ordering};

use self::committee::CommitteeOptions;
use self::network::{NetworkOptions, refuse_mining};
use self::nodes::{NodeAddress, Nodes};
use super::settings::SettingsOptions;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::wallet::draft::Wei;
use crate::wallet::password::PasswordSource;

/// Make a real network, or a node that joins one
///
/// Without --genesis it makes a new network: genesis.json, and a folder for each node with its node.toml and
/// its keys under a password. With --ordering pbft, or another committee's, the new nodes are its members; one whose
/// keys were made elsewhere (`synod validator key`) is named with --member. With --genesis it makes the folder of one
/// more node, which follows a committee until `synod validator add`. For a network to play with, see `synod testnet up`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  A network of one node that mines, and who owns its money:\n    synod init mainnet --alloc alice=1000000 --mine 1 --reward-to alice\n  Three nodes on machines whose addresses are known, a folder for each:\n    synod init mainnet --alloc-file owners.txt --node paris=203.0.113.5:30300 \\\n      --node oslo=198.51.100.7:30300 --node rome=192.0.2.9:30300\n  A consortium of four machines, any one of which may fail or lie:\n    synod init acme --ordering pbft --alloc alice=1000000 --node paris=203.0.113.5:30300 \\\n      --node oslo=198.51.100.7:30300 --node rome=192.0.2.9:30300 --node bonn=192.0.2.14:30300\n  Join, with a copy of the network's genesis.json:\n    synod init node --genesis genesis.json --bootstrap /ip4/203.0.113.5/tcp/30300/p2p/12D3KooW…"
)]
pub(crate) struct Init {
    /// Where the files go; with --node a folder for each node is made in it
    folder: PathBuf,
    /// Join the network of this genesis document instead of making one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["network", "committee", "nodes"])]
    genesis: Option<PathBuf>,
    /// Make a folder for a node of this name, reachable by others at this address; may be given again
    #[arg(long = "node", id = "nodes", value_name = "NAME=IP:PORT", conflicts_with_all = ["name", "p2p_listen", "address"])]
    nodes: Vec<NodeAddress>,
    /// Where others reach this node, when that is not where it listens
    #[arg(long, value_name = "IP:PORT")]
    address: Option<std::net::SocketAddr>,
    #[command(flatten)]
    committee: CommitteeOptions,
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
    ordering: Ordering,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    mining: Option<Mining>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    committee: Option<Committee>,
    supply: Wei,
    accounts: usize,
    nodes: Vec<nodes::MadeNode>,
    warnings: Vec<String>,
    #[serde(skip)]
    mines: bool,
}

/// What blocks are mined by.
#[derive(Debug, Serialize)]
struct Mining {
    bits: String,
    difficulty: String,
    spacing_seconds: u32,
    #[serde(skip)]
    measured: Option<String>,
}

/// Who decides blocks.
#[derive(Debug, Serialize)]
struct Committee {
    members: Vec<Member>,
    quorum: usize,
    faults: usize,
}

impl Init {
    /// Makes it.
    ///
    /// # Errors
    /// Before anything is written: options that make no network, or files that exist. Then: the disk.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        let created = self.genesis.is_none();
        let joined = self.genesis.as_deref().map(read_genesis).transpose()?;
        let ordering = joined.as_ref().map_or_else(|| self.committee.ordering(), |genesis| genesis.ordering);
        if ordering.has_committee() {
            refuse_mining(ordering, &self.settings.of_mining())?;
        }
        let nodes = Nodes::plan(&self.folder, &self.nodes, &self.settings, self.address);
        let nodes = nodes.with_keys(ordering.has_committee(), &self.password)?;
        let (genesis, measured) = match joined {
            Some(genesis) => (genesis, None),
            None => {
                let miners = nodes.count().saturating_mul(self.settings.mine.unwrap_or(1).max(1));
                let members = self.committee.members(nodes.voters())?;
                self.network.build(context, ordering, members, miners)?
            }
        };
        let target = check(&genesis)?;
        let settings = self.settings.resolve(context, false)?;
        let nodes = nodes.configure(settings, &genesis)?;
        nodes.demand_free()?;
        let whose = nodes.whose();
        let password =
            nodes.need_password().then(|| self.password.choose(whose, &context.output)).transpose()?;
        let progress = context.output.progress("sealing keys");
        let (made, warnings) = nodes.write(&genesis, password.as_ref())?;
        drop(progress);
        for warning in &warnings {
            context.output.warning(warning);
        }
        context.output.result(&Made {
            created,
            chain_id: genesis.chain_id,
            genesis_hash: genesis.hash().to_string(),
            genesis_file: nodes.genesis_file().display().to_string(),
            ordering,
            mining: (!ordering.has_committee()).then(|| Mining {
                bits: format!("{:#010x}", genesis.pow.bits),
                difficulty: target.work().0.to_string(),
                spacing_seconds: genesis.pow.spacing_seconds,
                measured,
            }),
            committee: Committee::first(&genesis),
            supply: Wei(genesis.supply()),
            accounts: genesis.alloc.len(),
            mines: nodes.mine(),
            nodes: made,
            warnings,
        });
        Ok(())
    }
}

impl Committee {
    /// That of the first epoch; none under proof of work.
    fn first(genesis: &Genesis) -> Option<Self> {
        let model = fault_model(genesis.ordering)?;
        let Quorums { quorum, faults, .. } = Quorums::new(genesis.members.len(), model).ok()?;
        Some(Self { members: genesis.members.clone(), quorum, faults })
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
        if let Some(mining) = &self.mining {
            let measured = mining.measured.as_ref().map(|measured| format!(", {measured}"));
            writeln!(
                formatter,
                "  blocks   one every {} s; the first takes {} hashes{}",
                mining.spacing_seconds,
                mining.difficulty,
                measured.unwrap_or_default()
            )?;
        }
        if let Some(Committee { members, quorum, faults }) = &self.committee {
            let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            writeln!(
                formatter,
                "  members  {}; {} orders: {quorum} decide, {faults} may fail",
                names.join(", "),
                self.ordering
            )?;
        }
        let (supply, accounts) = (format_syn(self.supply.0), self.accounts);
        match accounts {
            0 if self.committee.is_some() => {
                writeln!(formatter, "  money    none, and nobody earns any: --alloc gives it out")?;
            }
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
                let idle = self.created && self.mining.is_some() && !self.mines;
                let mining = if idle { " --mine 1 --reward-to NAME" } else { "" };
                writeln!(formatter, "  synod node --config {}{mining}", node.config)?;
            }
            _ => writeln!(
                formatter,
                "  copy each folder to its machine, and there: synod node --config NAME/node.toml"
            )?,
        }
        if !self.created {
            write!(
                formatter,
                "  synod chain status    # in another terminal: it catches up, then it is ready"
            )?;
            return self.wait_for_a_vote(formatter);
        }
        let first = self.nodes.first().map(nodes::MadeNode::shown_address).unwrap_or_default();
        write!(
            formatter,
            "  who joins needs {} and an address:\n  synod init FOLDER --genesis genesis.json --bootstrap {first}",
            self.genesis_file
        )
    }

    /// A node of a committee's network that is no member yet has what makes it one.
    fn wait_for_a_vote(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(committee), [node]) = (&self.committee, self.nodes.as_slice()) else { return Ok(()) };
        let Some(key) = node.validator_key else { return Ok(()) };
        if committee.members.iter().any(|member| member.key == key) {
            return Ok(());
        }
        write!(
            formatter,
            "\n  it follows without a vote; a member takes it in:\n  synod validator add {} --key {key} --out change.json --member FOLDER",
            node.name
        )
    }
}

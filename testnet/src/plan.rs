//! What a local network will be: its genesis, each node's key, ports and configuration, before anything
//! is written or started.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, U256};
use synod_consensus::pow::Target;
use synod_node::config::{
    Config, LogConfig, MiningConfig, P2pConfig, RpcConfig, StorageConfig, SyncConfig, WebConfig,
};
use synod_node::getwork::{GetworkConfig, Password};
use synod_node::network::PeerName;
use synod_types::committee::{Quorums, fault_model};
use synod_types::genesis::{CHAIN_ID_LIMIT, Fees, Genesis, Limits, Member, Ordering, ProofOfWork};
use synod_types::hash::sha256;
use synod_types::{SecretKey, UnixMillis};

use crate::accounts;
use crate::error::TestnetError;

/// The largest local network.
pub const MOST_NODES: usize = 16;

/// What the user asked for.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Options {
    /// How many nodes.
    pub nodes: usize,
    /// Who orders.
    #[serde(default = "default_ordering")]
    pub ordering: Ordering,
    /// Mining threads of each node; 0 starts nodes that do not mine.
    pub mining_threads: usize,
    /// Makes keys and salt repeatable.
    pub seed: Option<u64>,
    /// The first RPC port wanted; the others follow.
    pub rpc_port: u16,
    /// The first peer port wanted.
    pub p2p_port: u16,
    /// The first web port wanted.
    pub web_port: u16,
    /// The first port wanted for miners that speak `getwork`.
    #[serde(default = "default_getwork_port")]
    pub getwork_port: u16,
    /// Whether writes are synced.
    pub sync: bool,
    /// Whether links between nodes go through a proxy that can delay and cut them.
    pub faults: bool,
    /// Hashes per second that one thread of this machine does, as measured.
    pub hash_rate: f64,
    /// Seconds between blocks.
    pub spacing_seconds: u32,
    /// Whether block limits are set far above any load, for soaks and benches.
    pub roomy: bool,
}

/// Of networks that were made when there was no other.
fn default_ordering() -> Ordering {
    Ordering::Pow
}

/// Where minerd looks when nobody tells it.
fn default_getwork_port() -> u16 {
    9332
}

/// The user name and the password for miners on a test network, which only this machine reaches.
pub const MINERS: (&str, &str) = ("synod", "synod");

/// One node of the plan.
#[derive(Debug, Clone)]
pub struct NodePlan {
    /// `node0`, `node1`, …
    pub name: String,
    /// Its network key's seed.
    pub key_seed: [u8; 32],
    /// Its validator key's seed, under a committee.
    pub validator_seed: Option<[u8; 32]>,
    /// Its peer name.
    pub peer: PeerName,
    /// Where it listens for peers.
    pub p2p: SocketAddr,
    /// Its configuration; the peers are filled in.
    pub config: Config,
}

/// A link that goes through the proxy: whoever dials `listen` reaches `target`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Link {
    /// The dialling node's number.
    pub from: usize,
    /// The node that is dialled.
    pub to: usize,
    /// Where the proxy listens for `from`.
    pub listen: SocketAddr,
    /// Where `to` listens.
    pub target: SocketAddr,
}

/// A whole network.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its genesis.
    pub genesis: Genesis,
    /// Its nodes.
    pub nodes: Vec<NodePlan>,
    /// The proxied links; empty without faults.
    pub links: Vec<Link>,
}

impl Plan {
    /// Plans a network: draws salt and keys, finds free ports.
    ///
    /// # Errors
    /// A count out of range, no free ports, no entropy.
    pub fn new(options: &Options) -> Result<Self, TestnetError> {
        if !(1..=MOST_NODES).contains(&options.nodes) {
            return Err(TestnetError::NodeCount { wanted: options.nodes, most: MOST_NODES });
        }
        if let Some(model) = fault_model(options.ordering) {
            Quorums::new(options.nodes, model)?;
        }
        let salt = salt(options.seed)?;
        let genesis = genesis(options, salt);
        let mut ports = Ports::default();
        let mut nodes = Vec::with_capacity(options.nodes);
        for index in 0..options.nodes {
            nodes.push(node(options, salt, index, &mut ports)?);
        }
        let links = if options.faults { links(options, &nodes, &mut ports)? } else { Vec::new() };
        connect(&mut nodes, &links);
        Ok(Self { genesis, nodes, links })
    }
}

impl NodePlan {
    /// One node more, the number `index`, for the network of `genesis`: it follows until the committee takes it
    /// in. It dials `peers`.
    ///
    /// # Errors
    /// Too many nodes, or no free ports.
    pub fn joining(
        options: &Options,
        genesis: &Genesis,
        index: usize,
        peers: Vec<String>,
    ) -> Result<Self, TestnetError> {
        if index >= MOST_NODES {
            return Err(TestnetError::NodeCount { wanted: index + 1, most: MOST_NODES });
        }
        let mut node = node(options, genesis.salt, index, &mut Ports::default())?;
        node.config.p2p.peers = peers;
        Ok(node)
    }
}

fn salt(seed: Option<u64>) -> Result<B256, TestnetError> {
    if let Some(seed) = seed {
        return Ok(sha256(&[b"synod/testnet/salt/v1", &seed.to_be_bytes()]));
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| TestnetError::Entropy(error.to_string()))?;
    Ok(B256::new(bytes))
}

fn genesis(options: &Options, salt: B256) -> Genesis {
    let id_bytes: [u8; 8] = sha256(&[b"synod/testnet/chain-id/v1", salt.as_slice()])[..8]
        .try_into()
        .expect("a hash has 32 bytes");
    let chain_id = u64::from_be_bytes(id_bytes) % (CHAIN_ID_LIMIT - 1) + 1;
    let mut limits = Limits::default();
    let mut fees = Fees::default();
    if options.roomy {
        fees.target_gas_per_second = 1_000_000_000;
        limits.block_gas.0 = 1_000_000_000;
    }
    let (bits, limit_bits) = targets(options);
    let mut pow = ProofOfWork { limit_bits, ..ProofOfWork::testnet(bits) };
    pow.spacing_seconds = options.spacing_seconds;
    pow.half_life_seconds = options.spacing_seconds.saturating_mul(4);
    Genesis {
        chain_id,
        salt,
        time: now(),
        ordering: options.ordering,
        members: members(options, salt),
        alloc: accounts::funded(),
        fees,
        limits,
        pow,
        testnet: true,
    }
}

/// Every node of a committee's network is a member.
fn members(options: &Options, salt: B256) -> Vec<Member> {
    let member = |index| Member {
        name: format!("node{index}"),
        key: SecretKey::from_seed(&seed(b"synod/testnet/validator/v1", salt, index)).public(),
    };
    let count = if options.ordering.has_committee() { options.nodes } else { 0 };
    (0..count).map(member).collect()
}

/// A node's key of a kind, from the network's salt.
fn seed(kind: &[u8], salt: B256, index: usize) -> [u8; 32] {
    let number = u16::try_from(index).expect("at most 16 nodes");
    sha256(&[kind, salt.as_slice(), &number.to_be_bytes()]).0
}

/// How many times easier than at the start mining can become. ASERT makes up for lost time: a network that
/// was down for a night catches up with its schedule, and this bounds how fast.
const EASIEST: u64 = 32;

/// The compact target at which the network's miners, as many as this machine can run at a time, need
/// `spacing_seconds` for a block; and the easiest one ever.
fn targets(options: &Options) -> (u32, u32) {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = (options.nodes * options.mining_threads).clamp(1, cores);
    let rate = options.hash_rate.max(1.0) * threads as f64;
    let hashes = (rate * f64::from(options.spacing_seconds)).clamp(2.0, 1e18);
    let compact = |hashes: u64| Target::at_least_one(U256::MAX / U256::from(hashes.max(2))).to_compact();
    (compact(hashes as u64), compact(hashes as u64 / EASIEST))
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn node(options: &Options, salt: B256, index: usize, ports: &mut Ports) -> Result<NodePlan, TestnetError> {
    let number = u16::try_from(index).expect("at most 16 nodes");
    let key_seed = seed(b"synod/testnet/node/v1", salt, index);
    let is_member = options.ordering.has_committee();
    let validator_seed = is_member.then(|| seed(b"synod/testnet/validator/v1", salt, index));
    let peer = PeerName::from_bytes(SecretKey::from_seed(&key_seed).public().0);
    let p2p = ports.find(options.p2p_port, number)?;
    let reward_to = reward_address(index);
    let config = Config {
        name: format!("node{index}"),
        folder: PathBuf::from("."),
        rpc: RpcConfig { listen: ports.find(options.rpc_port, number)?, cors: Vec::new() },
        p2p: P2pConfig { listen: vec![p2p], peers: Vec::new() },
        web: WebConfig { listen: ports.find(options.web_port, number)? },
        mining: MiningConfig {
            enabled: options.mining_threads > 0 && !is_member,
            threads: options.mining_threads,
            reward_to: Some(reward_to),
        },
        getwork: GetworkConfig {
            enabled: !is_member,
            listen: ports.find(options.getwork_port, number)?,
            user: MINERS.0.to_owned(),
            password: Password::new(MINERS.1),
            reward_to: None,
        },
        sync: SyncConfig::default(),
        storage: StorageConfig { sync: options.sync },
        log: LogConfig::default(),
    };
    Ok(NodePlan { name: config.name.clone(), key_seed, validator_seed, peer, p2p, config })
}

/// The rewards of node `i` go to `dev<i>`.
fn reward_address(index: usize) -> Address {
    let mut accounts = accounts::dev_accounts();
    let index = index % accounts.len();
    accounts.swap_remove(index).1
}

/// Links listen above the nodes' own ports, where no connection that goes out can be given one of them while
/// the network is down.
fn links(options: &Options, nodes: &[NodePlan], ports: &mut Ports) -> Result<Vec<Link>, TestnetError> {
    let mut links = Vec::new();
    let mut number = u16::try_from(nodes.len()).unwrap_or(u16::MAX);
    for from in 0..nodes.len() {
        for (to, node) in nodes.iter().enumerate().filter(|(to, _)| *to != from) {
            links.push(Link { from, to, listen: ports.find(options.p2p_port, number)?, target: node.p2p });
            number = number.saturating_add(1);
        }
    }
    Ok(links)
}

/// Gives every node the address of every other: its own, or the proxy's for that pair.
fn connect(nodes: &mut [NodePlan], links: &[Link]) {
    let peers: Vec<(PeerName, SocketAddr)> = nodes.iter().map(|node| (node.peer, node.p2p)).collect();
    for (from, node) in nodes.iter_mut().enumerate() {
        for (to, (peer, direct)) in peers.iter().enumerate().filter(|(to, _)| *to != from) {
            let proxied = links.iter().find(|link| link.from == from && link.to == to);
            let address = proxied.map_or(*direct, |link| link.listen);
            node.config.p2p.peers.push(peer_address(address, &peer.to_string()));
        }
    }
}

/// How a peer is written in `node.toml`.
pub fn peer_address(address: SocketAddr, peer: &str) -> String {
    format!("/ip4/{}/tcp/{}/p2p/{peer}", address.ip(), address.port())
}

/// Finds free loopback ports, and holds them until the plan is made so that none is given twice.
#[derive(Default)]
struct Ports {
    held: Vec<TcpListener>,
}

impl Ports {
    /// `first + number` if it is free, else the next free port above it.
    fn find(&mut self, first: u16, number: u16) -> Result<SocketAddr, TestnetError> {
        let start = first.checked_add(number).ok_or(TestnetError::NoPort(first))?;
        for port in start..=start.saturating_add(200) {
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                return self.hold(listener);
            }
        }
        Err(TestnetError::NoPort(start))
    }

    fn hold(&mut self, listener: TcpListener) -> Result<SocketAddr, TestnetError> {
        let address = listener.local_addr().map_err(|_| TestnetError::NoPort(0))?;
        self.held.push(listener);
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            nodes: 4,
            ordering: Ordering::Pow,
            mining_threads: 1,
            seed: Some(1),
            rpc_port: 38_545,
            p2p_port: 40_300,
            web_port: 39_100,
            getwork_port: 39_332,
            sync: true,
            faults: false,
            hash_rate: 1e6,
            spacing_seconds: 2,
            roomy: false,
        }
    }

    #[test]
    fn every_node_knows_every_other_and_has_ports_of_its_own() {
        let plan = Plan::new(&options()).expect("free ports");
        let mut ports: Vec<u16> = plan
            .nodes
            .iter()
            .flat_map(|node| {
                [node.p2p, node.config.rpc.listen, node.config.web.listen, node.config.getwork.listen]
            })
            .map(|address| address.port())
            .collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 16);
        for (index, node) in plan.nodes.iter().enumerate() {
            assert_eq!(node.config.p2p.peers.len(), 3);
            assert!(
                !node.config.p2p.peers.iter().any(|peer| peer.contains(&plan.nodes[index].peer.to_string()))
            );
            assert_eq!(node.config.check().map_err(|error| error.to_string()), Ok(()));
        }
        assert_eq!(plan.genesis.check(), Ok(()));
    }

    #[test]
    fn a_seed_repeats_keys_and_chain_id_and_no_seed_does_not() {
        let first = Plan::new(&options()).expect("free ports");
        let second = Plan::new(&options()).expect("free ports");
        assert_eq!(first.genesis.chain_id, second.genesis.chain_id);
        assert_eq!(first.nodes[2].key_seed, second.nodes[2].key_seed);
        let unseeded = || Plan::new(&Options { seed: None, ..options() }).expect("free ports").genesis.salt;
        assert_ne!(unseeded(), unseeded());
    }

    #[test]
    fn with_faults_every_link_goes_through_the_proxy() {
        let plan = Plan::new(&Options { faults: true, ..options() }).expect("free ports");
        assert_eq!(plan.links.len(), 12);
        for link in &plan.links {
            let port = format!("/tcp/{}/", link.listen.port());
            assert!(plan.nodes[link.from].config.p2p.peers.iter().any(|peer| peer.contains(&port)));
            assert_eq!(link.target, plan.nodes[link.to].p2p);
        }
    }

    #[test]
    fn the_first_target_follows_the_measured_rate() {
        let at = |hash_rate| targets(&Options { hash_rate, ..options() });
        let work = |bits| Target::from_compact(bits).unwrap().work().0;
        assert!(work(at(1e8).0) > work(at(1e6).0) * U256::from(50));
        assert!(work(at(1e6).0) > work(at(1e6).1) * U256::from(EASIEST / 2));
    }

    #[test]
    fn counts_out_of_range_are_refused() {
        for nodes in [0, 17] {
            assert!(matches!(
                Plan::new(&Options { nodes, ..options() }),
                Err(TestnetError::NodeCount { most: 16, .. })
            ));
        }
    }
}

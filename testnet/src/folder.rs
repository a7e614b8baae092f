//! The folder of a local network, and the two files in it that describe it.
//!
//! ```text
//! $SYNOD_HOME/testnet/
//!   genesis.json     the network's genesis
//!   endpoints.json   for people and tools: where the nodes answer, who is funded
//!   network.json     for this crate: what was asked for, the proxied links
//!   lock             one command at a time
//!   node0/ node1/ …  a node's folder each
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use synod_node::config::Config;
use synod_node::driver::begin_member;
use synod_node::network::PeerName;
use synod_node::{home, identity};
use synod_types::Genesis;

use crate::accounts;
use crate::error::TestnetError;
use crate::plan::{Link, MOST_NODES, NodePlan, Options, Plan, peer_address};

/// How long another command on the same network is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// `endpoints.json`: what others may rely on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The chain's id.
    pub chain_id: u64,
    /// The network's name to machines: the genesis hash, as hex.
    pub genesis_hash: String,
    /// Who orders.
    pub ordering: String,
    /// The nodes.
    pub nodes: Vec<Endpoint>,
    /// Funded accounts whose keys the wallet knows.
    pub accounts: Vec<FundedAccount>,
}

/// One node of `endpoints.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `node0`, …
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// JSON-RPC over HTTP.
    pub rpc: String,
    /// JSON-RPC over WebSocket.
    pub ws: String,
    /// Metrics and health.
    pub web: String,
    /// Work for miners that speak `getwork`; none on networks that an older version made.
    #[serde(default)]
    pub getwork: Option<String>,
    /// Its peer address.
    pub p2p: SocketAddr,
    /// Its peer id.
    pub peer_id: String,
}

/// A funded account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FundedAccount {
    /// `dev0`, …
    pub name: String,
    /// Its address, with checksum.
    pub address: String,
}

/// `network.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Network {
    /// What the network was made from.
    pub options: Options,
    /// Links through the proxy.
    pub links: Vec<Link>,
    /// Where the proxy takes commands, while it runs.
    pub proxy_control: Option<SocketAddr>,
}

/// The folder, locked for one command.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    _lock: File,
}

impl Folder {
    /// Locks the folder at `root`, which is made if it is missing. Another command that works on it is waited
    /// for: starting a network takes a moment, and who starts it twice wants it started.
    ///
    /// # Errors
    /// [`TestnetError::Busy`] while another command goes on working on it.
    pub fn lock(root: &Path) -> Result<Self, TestnetError> {
        std::fs::create_dir_all(root).map_err(|source| file_error(root, source))?;
        let path = root.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| file_error(&path, source))?;
        let begun = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { root: root.to_owned(), _lock: lock }),
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => std::thread::sleep(POLL),
                Err(TryLockError::WouldBlock) => return Err(TestnetError::Busy(root.to_owned())),
                Err(TryLockError::Error(source)) => return Err(file_error(&path, source)),
            }
        }
    }

    /// The folder's path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a network was made here.
    pub fn has_network(&self) -> bool {
        self.root.join("network.json").exists()
    }

    /// Writes a planned network.
    ///
    /// # Errors
    /// [`TestnetError::File`].
    pub fn write(&self, plan: &Plan, options: &Options) -> Result<Endpoints, TestnetError> {
        write_text(&self.root.join(home::GENESIS_FILE), &plan.genesis.to_json())?;
        for node in &plan.nodes {
            self.write_node(&plan.genesis, node)?;
        }
        let endpoints = endpoints(&self.root, plan);
        write_json(&self.root.join("endpoints.json"), &endpoints)?;
        // Written last: a network exists once this file does.
        self.write_network(&Network {
            options: options.clone(),
            links: plan.links.clone(),
            proxy_control: None,
        })?;
        Ok(endpoints)
    }

    fn write_node(&self, genesis: &Genesis, node: &NodePlan) -> Result<(), TestnetError> {
        let damaged = |path: &Path, error: &dyn std::fmt::Display| TestnetError::Damaged {
            path: path.to_owned(),
            problem: error.to_string(),
        };
        let folder = self.root.join(&node.name);
        std::fs::create_dir_all(folder.join("logs")).map_err(|source| file_error(&folder, source))?;
        write_text(&folder.join(home::GENESIS_FILE), &genesis.to_json())?;
        write_text(&folder.join("node.toml"), &node.config.to_toml())?;
        let key = folder.join(identity::NODE_KEY_FILE);
        identity::write_plain(&key, &node.key_seed).map_err(|error| damaged(&key, &error))?;
        if let Some(seed) = &node.validator_seed {
            let key = folder.join(identity::VALIDATOR_KEY_FILE);
            identity::write_plain(&key, seed).map_err(|error| damaged(&key, &error))?;
            begin_member(&folder, 0).map_err(|error| damaged(&folder.join("votes"), &error))?;
        }
        Ok(())
    }

    /// Writes the folder of one node more.
    ///
    /// # Errors
    /// Too many nodes, no free ports, or a file.
    pub fn add_node(&self) -> Result<Endpoint, TestnetError> {
        let (network, mut known) = (self.network()?, self.endpoints()?);
        let genesis = home::read_genesis(&self.root)
            .map_err(|error| TestnetError::Damaged { path: self.root.clone(), problem: error.to_string() })?;
        let peers = known.nodes.iter().map(|node| peer_address(node.p2p, &node.peer_id)).collect();
        let node = NodePlan::joining(&network.options, &genesis, known.nodes.len(), peers)?;
        // What an interrupted attempt left is no node yet: the endpoints do not name it.
        remove(&self.root.join(&node.name))?;
        self.write_node(&genesis, &node)?;
        let endpoint = endpoint(&self.root.join(&node.name), &node.config, node.p2p, node.peer);
        known.nodes.push(endpoint.clone());
        write_json(&self.root.join("endpoints.json"), &known)?;
        Ok(endpoint)
    }

    /// Replaces `network.json`.
    ///
    /// # Errors
    /// [`TestnetError::File`].
    pub fn write_network(&self, network: &Network) -> Result<(), TestnetError> {
        write_json(&self.root.join("network.json"), network)
    }

    /// Reads `network.json`.
    ///
    /// # Errors
    /// [`TestnetError::NoNetwork`], or a damaged file.
    pub fn network(&self) -> Result<Network, TestnetError> {
        Self::read_network(&self.root)
    }

    /// Reads the `network.json` of the network at `root` without locking it.
    ///
    /// # Errors
    /// [`TestnetError::NoNetwork`], or a damaged file.
    pub fn read_network(root: &Path) -> Result<Network, TestnetError> {
        let path = root.join("network.json");
        if !path.exists() {
            return Err(TestnetError::NoNetwork(root.to_owned()));
        }
        read_json(&path)
    }

    /// Reads `endpoints.json`. One that is missing or damaged is written anew from the nodes' own folders.
    ///
    /// # Errors
    /// [`TestnetError::NoNetwork`], or a node's damaged folder.
    pub fn endpoints(&self) -> Result<Endpoints, TestnetError> {
        match read_endpoints(&self.root) {
            Err(TestnetError::NoNetwork(_) | TestnetError::Damaged { .. }) if self.has_network() => {
                let endpoints = self.recollect()?;
                write_json(&self.root.join("endpoints.json"), &endpoints)?;
                Ok(endpoints)
            }
            read => read,
        }
    }

    fn recollect(&self) -> Result<Endpoints, TestnetError> {
        let damaged = |path: &Path, problem: String| TestnetError::Damaged { path: path.to_owned(), problem };
        let genesis =
            home::read_genesis(&self.root).map_err(|error| damaged(&self.root, error.to_string()))?;
        let mut nodes = Vec::new();
        for folder in self.node_folders() {
            let config = Config::load(&folder.join("node.toml"))
                .map_err(|error| damaged(&folder, error.to_string()))?;
            if !folder.join(identity::NODE_KEY_FILE).exists() {
                return Err(damaged(&folder, "it has no node.key".to_owned()));
            }
            let key = identity::open(&folder, genesis.testnet, &[0; 32], None)
                .map_err(|error| damaged(&folder, error.to_string()))?;
            let p2p = *config.p2p.listen.first().ok_or_else(|| damaged(&folder, "p2p.listen".to_owned()))?;
            nodes.push(endpoint(&folder, &config, p2p, PeerName::from_bytes(key.public().0)));
        }
        Ok(describe(&genesis, nodes))
    }

    /// The nodes' folders, by number.
    fn node_folders(&self) -> Vec<PathBuf> {
        let folders = (0..MOST_NODES).map(|index| self.root.join(format!("node{index}")));
        folders.filter(|folder| folder.is_dir()).collect()
    }

    /// Deletes the network's files. The nodes must have stopped.
    ///
    /// # Errors
    /// [`TestnetError::File`].
    pub fn clear(&self) -> Result<(), TestnetError> {
        remove(&self.root.join("network.json"))?;
        for folder in self.node_folders() {
            remove(&folder)?;
        }
        remove(&self.root.join("endpoints.json"))?;
        remove(&self.root.join(home::GENESIS_FILE))
    }
}

/// Reads the endpoints of the network at `root` without locking it.
///
/// # Errors
/// [`TestnetError::NoNetwork`], or a damaged file.
pub fn read_endpoints(root: &Path) -> Result<Endpoints, TestnetError> {
    let path = root.join("endpoints.json");
    if !path.exists() {
        return Err(TestnetError::NoNetwork(root.to_owned()));
    }
    read_json(&path)
}

fn endpoints(root: &Path, plan: &Plan) -> Endpoints {
    let nodes =
        plan.nodes.iter().map(|node| endpoint(&root.join(&node.name), &node.config, node.p2p, node.peer));
    describe(&plan.genesis, nodes.collect())
}

fn endpoint(folder: &Path, config: &Config, p2p: SocketAddr, peer: PeerName) -> Endpoint {
    Endpoint {
        name: config.name.clone(),
        folder: folder.to_owned(),
        rpc: format!("http://{}", config.rpc.listen),
        ws: format!("ws://{}", config.rpc.listen),
        web: format!("http://{}", config.web.listen),
        getwork: Some(format!("http://{}", config.getwork.listen)),
        p2p,
        peer_id: peer.to_string(),
    }
}

fn describe(genesis: &Genesis, nodes: Vec<Endpoint>) -> Endpoints {
    let accounts = accounts::dev_accounts().into_iter().map(|(name, address)| FundedAccount {
        name,
        address: synod_types::address::format_address(&address),
    });
    Endpoints {
        chain_id: genesis.chain_id,
        genesis_hash: genesis.hash().to_string(),
        ordering: genesis.ordering.name().to_owned(),
        nodes,
        accounts: accounts.collect(),
    }
}

/// Names the file in an error.
pub(crate) fn file_error(path: &Path, source: std::io::Error) -> TestnetError {
    TestnetError::File { path: path.to_owned(), source }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, TestnetError> {
    let text = std::fs::read_to_string(path).map_err(|source| file_error(path, source))?;
    serde_json::from_str(&text)
        .map_err(|error| TestnetError::Damaged { path: path.to_owned(), problem: error.to_string() })
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), TestnetError> {
    let mut text = serde_json::to_string_pretty(value).expect("our files always serialize");
    text.push('\n');
    write_text(path, &text)
}

/// Writes beside and renames, so that a reader never sees half a file.
fn write_text(path: &Path, text: &str) -> Result<(), TestnetError> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).map_err(|source| file_error(&beside, source))?;
    std::fs::rename(&beside, path).map_err(|source| file_error(path, source))
}

fn remove(path: &Path) -> Result<(), TestnetError> {
    let result = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match result {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(file_error(path, source)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_that_are_lost_are_written_anew() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = Folder::lock(root.path()).expect("free");
        assert!(matches!(folder.endpoints(), Err(TestnetError::NoNetwork(_))));
        let options = Options {
            ordering: synod_types::genesis::Ordering::Pow,
            nodes: 2,
            mining_threads: 0,
            seed: Some(3),
            rpc_port: 37_545,
            p2p_port: 37_600,
            web_port: 37_700,
            getwork_port: 37_800,
            sync: true,
            faults: false,
            hash_rate: 1e6,
            spacing_seconds: 2,
            roomy: false,
        };
        let plan = Plan::new(&options).expect("free ports");
        let written = folder.write(&plan, &options).expect("written");
        let path = root.path().join("endpoints.json");
        for spoil in [None, Some("{\"nodes\": 5")] {
            std::fs::remove_file(&path).expect("there");
            if let Some(text) = spoil {
                std::fs::write(&path, text).expect("written");
            }
            assert_eq!(folder.endpoints().expect("from the nodes' folders"), written);
            assert_eq!(read_endpoints(root.path()).expect("written again"), written);
        }
        folder.clear().expect("deleted");
        assert!(!folder.has_network() && !root.path().join("node1").exists());
    }
}

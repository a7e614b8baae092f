//! The new nodes: their folders, keys and configurations.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;
use synod_node::config::{Config, Settings};
use synod_node::home::GENESIS_FILE;
use synod_node::network::PeerAddress;
use synod_types::{Genesis, PublicKey};

use super::keys::{KEY_FILES, NodeKeys};
use crate::commands::settings::SettingsOptions;
use crate::failure::{Failure, Outcome};
use crate::home::{Existing, private_folder, write_public};
use crate::wallet::names::{Name, NameError};
use crate::wallet::password::{Password, PasswordSource};

/// Where peers connect unless something else is said.
const PEER_PORT: u16 = 30300;
/// A node's configuration in its folder.
pub(super) const CONFIG_FILE: &str = "node.toml";

/// `NAME=IP:PORT`.
#[derive(Debug, Clone)]
pub(super) struct NodeAddress {
    name: Name,
    address: SocketAddr,
}

impl FromStr for NodeAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) =
            text.split_once('=').ok_or("write NAME=IP:PORT, for example paris=203.0.113.5:30300")?;
        let name = name.parse().map_err(|error: NameError| error.to_string())?;
        let address = address
            .parse()
            .map_err(|_| format!("{address:?} is no address and port, such as 203.0.113.5:30300"))?;
        Ok(Self { name, address })
    }
}

/// Nodes whose folders are known, before their settings are.
pub(super) struct Nodes {
    root: PathBuf,
    planned: Vec<Planned>,
    /// As many, once they are drawn.
    keys: Vec<NodeKeys>,
}

struct Planned {
    name: String,
    folder: PathBuf,
    listen: Vec<SocketAddr>,
    /// Where others reach it, as far as that is known.
    address: Option<SocketAddr>,
    /// How many nodes before it are on the same machine, and so use ports below its own.
    neighbours: u16,
}

/// Nodes that can be written.
pub(super) struct Configured {
    root: PathBuf,
    nodes: Vec<(Planned, Config, NodeKeys)>,
}

/// A node that was written.
#[derive(Debug, Serialize)]
pub(super) struct MadeNode {
    pub(super) name: String,
    pub(super) folder: String,
    pub(super) config: String,
    peer_id: String,
    /// The public key of its votes, under a committee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) validator_key: Option<PublicKey>,
    address: Option<String>,
    #[serde(skip)]
    port: u16,
}

impl MadeNode {
    /// Its peer address, with a gap for what is not known.
    pub(super) fn shown_address(&self) -> String {
        self.address.clone().unwrap_or_else(|| format!("/ip4/ADDRESS/tcp/{}/p2p/{}", self.port, self.peer_id))
    }
}

impl Nodes {
    /// The nodes that were named, each in a folder of its own; or one node, in `root` itself.
    pub(super) fn plan(
        root: &Path,
        named: &[NodeAddress],
        settings: &SettingsOptions,
        address: Option<SocketAddr>,
    ) -> Self {
        let mut planned: Vec<Planned> = Vec::new();
        for NodeAddress { name, address } in named {
            let beside =
                planned.iter().filter(|node| node.address.is_some_and(|one| one.ip() == address.ip()));
            planned.push(Planned {
                name: name.to_string(),
                folder: root.join(name.as_ref()),
                listen: vec![listen_for(*address)],
                neighbours: u16::try_from(beside.count()).unwrap_or(u16::MAX),
                address: Some(*address),
            });
        }
        if planned.is_empty() {
            let listen = match settings.p2p_listen.as_slice() {
                [] => vec![address.map_or((Ipv4Addr::UNSPECIFIED, PEER_PORT).into(), listen_for)],
                given => given.to_vec(),
            };
            let stem = root.file_name().and_then(|name| name.to_str()).unwrap_or("synod");
            planned.push(Planned {
                name: settings.name.clone().unwrap_or_else(|| stem.to_owned()),
                folder: root.to_owned(),
                address: address.or(listen.iter().copied().find(|address| !address.ip().is_unspecified())),
                listen,
                neighbours: 0,
            });
        }
        Self { root: root.to_owned(), planned, keys: Vec::new() }
    }

    /// Draws their keys, or opens those that wait in a member's folder.
    ///
    /// # Errors
    /// No randomness, or a wrong password.
    pub(super) fn with_keys(mut self, votes: bool, password: &PasswordSource) -> Outcome<Self> {
        let waiting = match self.planned.as_slice() {
            [only] if votes => NodeKeys::kept(&only.folder, password)?,
            _ => None,
        };
        self.keys = match waiting {
            Some(keys) => vec![keys],
            None => self.planned.iter().map(|_| NodeKeys::fresh(votes)).collect::<Outcome<_>>()?,
        };
        Ok(self)
    }

    /// The names of those that vote, with the keys of their votes.
    pub(super) fn voters(&self) -> impl Iterator<Item = (&str, PublicKey)> {
        let all = self.planned.iter().zip(&self.keys);
        all.filter_map(|(node, keys)| Some((node.name.as_str(), keys.validator?)))
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.planned.len()
    }

    /// Gives every node its configuration.
    ///
    /// # Errors
    /// Settings that do not go together.
    pub(super) fn configure(self, settings: Settings, genesis: &Genesis) -> Outcome<Configured> {
        let mut nodes: Vec<(Planned, Config, NodeKeys)> = Vec::with_capacity(self.planned.len());
        for (node, keys) in self.planned.into_iter().zip(self.keys) {
            if nodes.iter().any(|(other, ..)| {
                other.folder == node.folder || other.address == node.address && node.address.is_some()
            }) {
                return Err(Failure::usage(
                    "node_twice",
                    format!("--node {}: its name or its address is another node's, too", node.name),
                ));
            }
            let mut config = Config::default();
            config.rpc.listen.set_port(config.rpc.listen.port().saturating_add(node.neighbours));
            config.web.listen.set_port(config.web.listen.port().saturating_add(node.neighbours));
            config.apply(Settings {
                name: Some(node.name.clone()),
                p2p: node.listen.clone(),
                ..settings.clone()
            });
            let refused =
                |error: synod_node::config::ConfigError| Failure::usage("config", error.to_string());
            config.check().map_err(refused)?;
            config.check_with(genesis).map_err(refused)?;
            nodes.push((node, config, keys));
        }
        Ok(Configured { root: self.root, nodes })
    }
}

impl Configured {
    /// Says so when a file that would be written exists.
    ///
    /// # Errors
    /// When one does.
    pub(super) fn demand_free(&self) -> Outcome<()> {
        let files = self.nodes.iter().flat_map(|(node, _, keys)| {
            let keys = if keys.are_fresh() { &KEY_FILES[..] } else { &[] };
            keys.iter().chain(&[GENESIS_FILE, CONFIG_FILE]).map(|file| node.folder.join(file))
        });
        match files.chain([self.genesis_file()]).find(|path| path.exists()) {
            Some(path) => Err(exists(&path)),
            None => Ok(()),
        }
    }

    /// Whose password it is, for the prompt.
    pub(super) fn whose(&self) -> &'static str {
        if self.nodes.len() == 1 { "the node's key" } else { "the nodes' keys" }
    }

    /// Whether keys are to be sealed: those that waited in a folder have their password.
    pub(super) fn need_password(&self) -> bool {
        self.nodes.iter().any(|(_, _, keys)| keys.are_fresh())
    }

    /// Whether the nodes mine.
    pub(super) fn mine(&self) -> bool {
        self.nodes.iter().any(|(_, config, _)| config.mining.enabled)
    }

    /// The network's genesis document.
    pub(super) fn genesis_file(&self) -> PathBuf {
        self.root.join(GENESIS_FILE)
    }

    /// Seals the keys, tells every node of the others, and writes all files; also gives what an operator
    /// should know. A folder's genesis comes last: a node starts from a whole folder or not at all.
    ///
    /// # Errors
    /// The disk, or no randomness.
    pub(super) fn write(
        &self,
        genesis: &Genesis,
        password: Option<&Password>,
    ) -> Outcome<(Vec<MadeNode>, Vec<String>)> {
        let (mut made, mut warnings) = (Vec::new(), Vec::new());
        for (index, (node, config, keys)) in self.nodes.iter().enumerate() {
            let mut config = config.clone();
            config.p2p.peers.extend(self.others(index));
            private_folder(&node.folder)?;
            keys.write(&node.folder, password)?;
            let write = |file: &str, text: String| {
                let path = node.folder.join(file);
                write_public(&path, text.as_bytes(), Existing::Keep).map_err(|error| written(&path, &error))
            };
            write(CONFIG_FILE, config.to_toml())?;
            write(GENESIS_FILE, genesis.to_json() + "\n")?;
            warnings.extend(config.warnings(genesis).into_iter().filter(|_| index == 0));
            let name = keys.peer;
            made.push(MadeNode {
                name: config.name.clone(),
                folder: node.folder.display().to_string(),
                config: node.folder.join(CONFIG_FILE).display().to_string(),
                peer_id: name.to_string(),
                validator_key: keys.validator,
                address: node.address.map(|socket| PeerAddress { name, socket }.to_string()),
                port: node.listen.first().map_or(PEER_PORT, SocketAddr::port),
            });
        }
        let shared = self.genesis_file();
        if !shared.exists() {
            write_public(&shared, (genesis.to_json() + "\n").as_bytes(), Existing::Keep)
                .map_err(|error| written(&shared, &error))?;
        }
        Ok((made, warnings))
    }

    fn others(&self, own: usize) -> impl Iterator<Item = String> {
        let nodes = self.nodes.iter().enumerate().filter(move |(index, _)| *index != own);
        nodes.filter_map(|(_, (node, _, keys))| {
            node.address.map(|socket| PeerAddress { name: keys.peer, socket }.to_string())
        })
    }
}

/// Where to listen for others to reach an address: a machine behind a translator does not own the address
/// itself, so it listens at all of its own.
fn listen_for(address: SocketAddr) -> SocketAddr {
    let everywhere = match address.ip() {
        ip if ip.is_loopback() => ip,
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(everywhere, address.port())
}

fn exists(path: &Path) -> Failure {
    Failure::failed("exists", format!("{} is there already, and is not replaced", path.display()))
        .hint("choose another folder, or remove that one if you mean it")
}

/// Why a file that is not to be replaced was not written.
pub(super) fn written(path: &Path, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::AlreadyExists { exists(path) } else { Failure::file(path, error) }
}

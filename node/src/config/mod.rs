//! `node.toml`: what one node is told.
//!
//! Flags win over the environment, the environment over the file, the file over the defaults. Relative
//! paths are relative to the file's own folder. Unknown keys are errors: a misspelt key that is silently
//! ignored is a setting that silently does not hold.
//!
//! [`load`] takes it from the file and the environment, [`settings`] from flags, and [`check`] knows what goes
//! together.

mod check;
mod load;
mod settings;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use synod_types::Address;
use synod_types::address::{format_address, parse_address};

pub use self::load::ConfigError;
pub use self::settings::Settings;
use crate::getwork::GetworkConfig;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What people call this node.
    #[serde(default = "default_name")]
    pub name: String,
    /// Where `genesis.json`, the keys and the data are.
    #[serde(default = "default_folder")]
    pub folder: PathBuf,
    /// The JSON-RPC server.
    #[serde(default)]
    pub rpc: RpcConfig,
    /// Peers.
    #[serde(default)]
    pub p2p: P2pConfig,
    /// Metrics and health.
    #[serde(default)]
    pub web: WebConfig,
    /// The node's own miner.
    #[serde(default)]
    pub mining: MiningConfig,
    /// Miners that speak `getwork`.
    #[serde(default)]
    pub getwork: GetworkConfig,
    /// How a node that is behind catches up, and what it gives to others that are.
    #[serde(default)]
    pub sync: SyncConfig,
    /// Disks.
    #[serde(default)]
    pub storage: StorageConfig,
    /// What is logged.
    #[serde(default)]
    pub log: LogConfig,
}

/// `[rpc]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RpcConfig {
    /// Where HTTP and WebSocket requests are answered.
    pub listen: SocketAddr,
    /// Web origins whose pages may call; none by default.
    pub cors: Vec<String>,
}

/// `[p2p]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct P2pConfig {
    /// Where peers connect.
    pub listen: Vec<SocketAddr>,
    /// Whom this node connects to: multiaddresses that end in `/p2p/<peer id>`.
    pub peers: Vec<String>,
}

/// `[web]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// Where `/metrics`, `/health` and `/ready` are answered.
    pub listen: SocketAddr,
}

/// `[mining]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MiningConfig {
    /// Whether this node mines by itself.
    pub enabled: bool,
    /// With how many threads; 0 means one.
    pub threads: usize,
    /// Who gets the rewards; needed when mining is enabled.
    #[serde(with = "address_text", skip_serializing_if = "Option::is_none")]
    pub reward_to: Option<Address>,
}

/// `[sync]`. Only a network under a committee has snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyncConfig {
    /// A snapshot of the state is made for every so many blocks; 0 makes none.
    pub snapshot_every: u64,
    /// A node that is so many blocks behind begins at a snapshot of its peers, if that spares it as many.
    pub snapshot_beyond: u64,
    /// Whether this node fetches and keeps the whole chain all the same.
    pub full_history: bool,
}

/// `[storage]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// Whether writes are synced before anything depends on them. Only a test network may say `false`.
    pub sync: bool,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Text for people or JSON for machines.
    pub format: LogFormat,
    /// A filter such as `info` or `info,synod_node::network=debug`.
    pub level: String,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: default_name(),
            folder: default_folder(),
            rpc: RpcConfig::default(),
            p2p: P2pConfig::default(),
            web: WebConfig::default(),
            mining: MiningConfig::default(),
            getwork: GetworkConfig::default(),
            sync: SyncConfig::default(),
            storage: StorageConfig::default(),
            log: LogConfig::default(),
        }
    }
}

impl Default for RpcConfig {
    fn default() -> Self {
        Self { listen: loopback(8545), cors: Vec::new() }
    }
}

impl Default for P2pConfig {
    fn default() -> Self {
        Self { listen: vec![loopback(30300)], peers: Vec::new() }
    }
}

impl Default for WebConfig {
    fn default() -> Self {
        Self { listen: loopback(9100) }
    }
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self { snapshot_every: 10_000, snapshot_beyond: 10_000, full_history: false }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self { sync: true }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

fn default_name() -> String {
    "synod".to_owned()
}

fn default_folder() -> PathBuf {
    PathBuf::from(".")
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// An optional address with its checksum; an empty text is none.
pub(crate) mod address_text {
    use super::{Address, format_address, parse_address};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Address>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(address) => serializer.serialize_str(&format_address(address)),
            None => serializer.serialize_str(""),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Address>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        parse_address(&text).map(Some).map_err(D::Error::custom)
    }
}

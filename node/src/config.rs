//! `node.toml`: what one node is told.
//!
//! Flags win over the environment, the environment over the file, the file over the defaults. Relative
//! paths are relative to the file's own folder. Unknown keys are errors: a misspelt key that is silently
//! ignored is a setting that silently does not hold.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use synod_types::Address;
use synod_types::address::{format_address, parse_address};

use crate::getwork::{GetworkConfig, Password};

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

/// Fewer outbound peers than this, and a node without peer exchange is easy to surround (P2P-11).
const ENOUGH_PEERS: usize = 3;

/// Settings given as flags: they win over the file and the environment. `None`, or an empty list, leaves
/// what those say.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `name`.
    pub name: Option<String>,
    /// `rpc.listen`.
    pub rpc: Option<SocketAddr>,
    /// `rpc.cors`.
    pub cors: Vec<String>,
    /// `p2p.listen`.
    pub p2p: Vec<SocketAddr>,
    /// `p2p.peers`.
    pub peers: Vec<String>,
    /// `web.listen`.
    pub web: Option<SocketAddr>,
    /// `mining.threads`, and `mining.enabled` with it: 0 turns mining off.
    pub mine: Option<usize>,
    /// `mining.reward_to`.
    pub reward_to: Option<Address>,
    /// `getwork.listen`, and `getwork.enabled` with it.
    pub getwork: Option<SocketAddr>,
    /// `log.format`.
    pub log_format: Option<LogFormat>,
    /// `log.level`.
    pub log_level: Option<String>,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, or not of this shape.
    #[error("{path}: {problem}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What and where.
        problem: String,
    },
    /// An environment variable's value does not fit.
    #[error("{variable}={value:?}: {problem}")]
    Environment {
        /// Its name.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What would fit.
        problem: String,
    },
    /// Values that do not go together.
    #[error("node.toml: {key}: {problem}")]
    Value {
        /// The key's path.
        key: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

impl Config {
    /// Reads the file at `path`, lets the environment override it, and checks the whole.
    ///
    /// # Errors
    /// [`ConfigError`], which names the key, the variable or the line.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config = Self::read(path)?;
        config.check()?;
        Ok(config)
    }

    /// The same without the check, for whoever has [`Settings`] to apply before it.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::read_with(path, |name| std::env::var(name).ok())
    }

    fn read_with(path: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), problem: error.to_string() })?;
        let base = path.parent().unwrap_or(Path::new("."));
        // Through its components, so that `net/.` is called `net`.
        config.folder = base.join(&config.folder).components().collect();
        config.apply_environment(variable)?;
        Ok(config)
    }

    /// Lets flags override the file and the environment.
    pub fn apply(&mut self, settings: Settings) {
        let Settings { name, rpc, cors, p2p, peers, web, mine, reward_to, getwork, log_format, log_level } =
            settings;
        self.name = name.unwrap_or_else(|| std::mem::take(&mut self.name));
        self.rpc.listen = rpc.unwrap_or(self.rpc.listen);
        self.web.listen = web.unwrap_or(self.web.listen);
        self.log.format = log_format.unwrap_or(self.log.format);
        self.log.level = log_level.unwrap_or_else(|| std::mem::take(&mut self.log.level));
        self.mining.reward_to = reward_to.or(self.mining.reward_to);
        if let Some(listen) = getwork {
            self.getwork.enabled = true;
            self.getwork.listen = listen;
        }
        if let Some(threads) = mine {
            self.mining.enabled = threads > 0;
            self.mining.threads = threads;
        }
        for (list, given) in [(&mut self.rpc.cors, cors), (&mut self.p2p.peers, peers)] {
            if !given.is_empty() {
                *list = given;
            }
        }
        if !p2p.is_empty() {
            self.p2p.listen = p2p;
        }
    }

    /// What an operator should know although it keeps no node from starting.
    pub fn warnings(&self, genesis: &synod_types::Genesis) -> Vec<String> {
        let mut warnings = Vec::new();
        let peers = self.p2p.peers.len();
        if !genesis.testnet && peers < ENOUGH_PEERS {
            warnings.push(format!(
                "{peers} of the {ENOUGH_PEERS} peers that a node should dial are configured: whoever controls \
                 all of them decides what this node sees; add to p2p.peers in node.toml, or with --peer"
            ));
        }
        if !genesis.testnet && !self.rpc.listen.ip().is_loopback() {
            warnings.push(format!(
                "rpc.listen {} is reachable from other machines; anybody there may use this node",
                self.rpc.listen
            ));
        }
        warnings
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a configuration always serializes")
    }

    fn apply_environment(&mut self, variable: impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
        let parse = |name: &'static str| -> Result<Option<SocketAddr>, ConfigError> {
            let Some(value) = variable(name) else { return Ok(None) };
            let address = value.parse().map_err(|_| ConfigError::Environment {
                variable: name,
                value: value.clone(),
                problem: "is no address and port, such as 127.0.0.1:8545".to_owned(),
            })?;
            Ok(Some(address))
        };
        if let Some(listen) = parse("SYNOD_RPC_LISTEN")? {
            self.rpc.listen = listen;
        }
        if let Some(listen) = parse("SYNOD_P2P_LISTEN")? {
            self.p2p.listen = vec![listen];
        }
        if let Some(listen) = parse("SYNOD_WEB_LISTEN")? {
            self.web.listen = listen;
        }
        if let Some(listen) = parse("SYNOD_GETWORK_LISTEN")? {
            self.getwork.listen = listen;
        }
        if let Some(password) = variable("SYNOD_GETWORK_PASSWORD") {
            self.getwork.password = Password::new(password);
        }
        if let Some(level) = variable("SYNOD_LOG") {
            self.log.level = level;
        }
        Ok(())
    }

    /// Checks what can be checked without the genesis.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let demand = |holds: bool, key: &'static str, problem: &str| {
            if holds { Ok(()) } else { Err(ConfigError::Value { key, problem: problem.to_owned() }) }
        };
        let name_length = self.name.chars().count();
        demand((1..=64).contains(&name_length), "name", "must have 1 to 64 characters")?;
        demand(self.p2p.listen.len() <= 8, "p2p.listen", "at most 8 addresses")?;
        demand(self.p2p.peers.len() <= 256, "p2p.peers", "at most 256 peers")?;
        demand(
            !self.mining.enabled || self.mining.reward_to.is_some(),
            "mining.reward_to",
            "is needed when mining is enabled: the address that gets the rewards",
        )?;
        demand(self.mining.threads <= 1024, "mining.threads", "at most 1024")?;
        self.check_getwork(None)
    }

    fn check_getwork(&self, testnet: Option<bool>) -> Result<(), ConfigError> {
        let problem = self.getwork.problem(testnet);
        problem.map_or(Ok(()), |(key, problem)| Err(ConfigError::Value { key, problem }))
    }

    /// Checks what depends on the genesis: only a test network may go without syncs, and with a short password.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn check_with(&self, genesis: &synod_types::Genesis) -> Result<(), ConfigError> {
        self.check_getwork(Some(genesis.testnet))?;
        if self.storage.sync || genesis.testnet {
            return Ok(());
        }
        let problem = "false loses money at a power cut, and is refused outside test networks".to_owned();
        Err(ConfigError::Value { key: "storage.sync", problem })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node.toml");
        std::fs::write(&path, text).expect("written");
        let find =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let config = Config::read_with(&path, find).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn an_empty_file_is_a_quiet_node_on_loopback() {
        let config = load("", &[]).expect("valid");
        assert_eq!(config.rpc.listen, loopback(8545));
        assert!(config.rpc.listen.ip().is_loopback() && config.web.listen.ip().is_loopback());
        assert!(!config.mining.enabled && config.storage.sync);
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let config =
            load("[rpc]\nlisten = \"127.0.0.1:1\"", &[("SYNOD_RPC_LISTEN", "127.0.0.1:2")]).expect("valid");
        assert_eq!(config.rpc.listen, loopback(2));
        let error = load("", &[("SYNOD_RPC_LISTEN", "here")]).expect_err("no address");
        assert!(error.contains("SYNOD_RPC_LISTEN"), "{error}");
    }

    #[test]
    fn flags_win_over_both_and_leave_what_they_do_not_name() {
        let text = "name = \"one\"\n[rpc]\nlisten = \"127.0.0.1:1\"\n[mining]\nthreads = 3";
        let mut config = load(text, &[("SYNOD_RPC_LISTEN", "127.0.0.1:2")]).expect("valid");
        let before = config.clone();
        config.apply(Settings::default());
        assert_eq!(config, before);
        let reward_to = Some(Address::repeat_byte(1));
        config.apply(Settings { rpc: Some(loopback(3)), mine: Some(2), reward_to, ..Settings::default() });
        assert_eq!((config.rpc.listen, config.name.as_str()), (loopback(3), "one"));
        assert_eq!(config.mining, MiningConfig { enabled: true, threads: 2, reward_to });
        config.apply(Settings { mine: Some(0), ..Settings::default() });
        assert!(!config.mining.enabled);
    }

    #[test]
    fn p2p_11_few_peers_are_warned_of_on_real_networks_alone() {
        let mut genesis = synod_types::Genesis {
            chain_id: 1,
            salt: synod_types::B256::ZERO,
            time: synod_types::UnixMillis(0),
            ordering: synod_types::genesis::Ordering::Pow,
            members: Vec::new(),
            alloc: Default::default(),
            fees: Default::default(),
            limits: Default::default(),
            pow: synod_types::genesis::ProofOfWork::testnet(0x207f_ffff),
            testnet: false,
        };
        let mut config = load("[p2p]\npeers = [\"a\", \"b\"]", &[]).expect("valid");
        assert!(config.warnings(&genesis)[0].contains("2 of the 3"));
        config.p2p.peers.push("c".to_owned());
        assert!(config.warnings(&genesis).is_empty());
        config.p2p.peers.clear();
        genesis.testnet = true;
        assert!(config.warnings(&genesis).is_empty());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut config = load("", &[]).expect("valid");
        config.mining = MiningConfig { enabled: true, threads: 2, reward_to: Some(Address::repeat_byte(1)) };
        config.folder = PathBuf::from(".");
        let read: Config = toml::from_str(&config.to_toml()).expect("valid");
        assert_eq!(read, config);
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("nam = \"x\"", "nam"),
            ("[rpc]\nlisten = 5", "listen"),
            ("[mining]\nenabled = true", "mining.reward_to"),
            ("[mining]\nreward_to = \"0x12\"", "40 hex digits"),
            ("name = \"\"", "name"),
            ("[getwork]\nenabled = true", "getwork.password"),
        ];
        for (text, expected) in cases {
            let error = load(text, &[]).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

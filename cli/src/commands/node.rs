//! `synod node`: one node as a process.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use synod_node::config::{Config, ConfigError, LogFormat};
use synod_node::driver::{Node, NodeError};
use synod_node::home::{self, HomeError};
use synod_node::identity::{self, IdentityError};
use synod_node::keyfile::KeyFileError;
use synod_node::run::{self, RunError};
use synod_types::Genesis;

use super::settings::SettingsOptions;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::count;
use crate::wallet::password::PasswordSource;

/// Run a node
///
/// Runs until SIGINT or SIGTERM, then flushes and ends with 0. Settings come from the file; the environment
/// (SYNOD_RPC_LISTEN, SYNOD_P2P_LISTEN, SYNOD_WEB_LISTEN, SYNOD_LOG) wins over it, and flags win over both.
/// `synod init` makes the file.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod node --config node.toml --check\n  synod node --config node.toml --mine 2 --reward-to alice\n  synod node --config node.toml --password-file /run/secrets/node --log-format json"
)]
pub(crate) struct NodeCommand {
    /// Its node.toml; relative paths in it are relative to its folder
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,
    /// Only say whether it would start
    #[arg(long)]
    check: bool,
    /// Log to this file, rotated at 10 MiB and kept five times, instead of standard error
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordSource,
    #[command(flatten)]
    settings: SettingsOptions,
}

/// What to do about a configuration with a mistake in it.
const CHECK: &str = "synod node --check --config FILE checks without starting";

#[derive(Debug, Serialize)]
struct Checked {
    config: String,
    name: String,
    chain_id: u64,
    genesis_hash: String,
    rpc: String,
    mining: bool,
    peers: usize,
    warnings: Vec<String>,
}

impl NodeCommand {
    /// Runs or checks it.
    ///
    /// # Errors
    /// What keeps the node from starting, or made it stop.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        let check = self.check;
        let failure = |error: &RunError| {
            let failure = failure(error);
            // Whoever checks already needs no advice to check.
            if check { failure.without_hint(CHECK) } else { failure }
        };
        let mut config = Config::read(&self.config).map_err(|error| failure(&error.into()))?;
        let genesis =
            home::read_genesis(&config.folder).map_err(|error| failure(&NodeError::from(error).into()))?;
        let mut settings = self.settings.resolve(context, genesis.testnet)?;
        if context.output.is_json() {
            // Standard error is the log, and whoever asked for JSON reads all of it.
            settings.log_format.get_or_insert(LogFormat::Json);
        }
        config.apply(settings);
        config.check().map_err(|error| failure(&error.into()))?;
        Node::check(&config).map_err(|error| failure(&error.into()))?;
        if self.check {
            let mut checked = Checked::new(&self.config, &config, &genesis);
            if home::is_locked(&config.folder) {
                checked.warnings.push("a node runs on this folder; its addresses were not tried".to_owned());
            } else {
                config
                    .check_addresses()
                    .map_err(|error| Failure::failed("cannot_listen", error.to_string()))?;
            }
            for warning in &checked.warnings {
                context.output.warning(warning);
            }
            context.output.result(&checked);
            return Ok(());
        }
        let sealed = identity::needs_password(&config.folder)
            .map_err(|error| failure(&NodeError::from(error).into()))?;
        let password =
            sealed.then(|| self.password.ask(&format!("{}'s node.key", config.name))).transpose()?;
        run::run(config, password, self.log_file.as_deref()).map_err(|error| failure(&error))
    }
}

/// What keeps a node from running, by its stable code. What the configuration is to blame for is a usage
/// error: trying again without changing it is useless.
fn failure(error: &RunError) -> Failure {
    let message = error.to_string();
    let start = match error {
        RunError::Config(ConfigError::Read { .. }) => {
            return Failure::usage("config", message)
                .hint("--config FILE names a node's file; `synod init FOLDER` makes one");
        }
        RunError::Config(_) | RunError::Logging(_) => return misconfigured(message),
        RunError::System(_) | RunError::Stopped(_) => return Failure::failed("node", message),
        RunError::Start(start) => start,
    };
    match start {
        NodeError::Home(HomeError::Genesis { .. }) | NodeError::Rules(_) => {
            Failure::usage("genesis", message)
                .hint("all nodes of a network have the same genesis.json: copy it from another one")
        }
        NodeError::Home(HomeError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Failure::failed("file", message)
                .hint("`synod init FOLDER` makes a node's folder, with its genesis.json and node.toml")
        }
        NodeError::Home(HomeError::File { .. }) | NodeError::Folder { .. } => {
            Failure::failed("file", message)
                .hint("the node's folder must be writable for who runs it, on a disk that is not full")
        }
        NodeError::Home(HomeError::Locked(_)) => Failure::failed("node_running", message),
        NodeError::Identity(IdentityError::Sealed { source: KeyFileError::Password, .. }) => {
            Failure::failed("wrong_password", message)
        }
        NodeError::Identity(IdentityError::PasswordNeeded(_)) => Failure::usage("password_needed", message),
        NodeError::Identity(_) => Failure::usage("node_key", message),
        NodeError::Config(_) | NodeError::Peer(_) => misconfigured(message),
        NodeError::Network(_) | NodeError::Rpc(_) | NodeError::Getwork(_) | NodeError::Web(_) => {
            Failure::failed("cannot_listen", message)
        }
        NodeError::Damaged(_) => Failure::new(Exit::Failed, "blocks_damaged", message),
        _ => Failure::failed("node", message),
    }
}

fn misconfigured(message: String) -> Failure {
    Failure::usage("config", message).hint(CHECK)
}

impl Checked {
    fn new(path: &std::path::Path, config: &Config, genesis: &Genesis) -> Self {
        Self {
            config: path.display().to_string(),
            name: config.name.clone(),
            chain_id: genesis.chain_id,
            genesis_hash: genesis.hash().to_string(),
            rpc: format!("http://{}", config.rpc.listen),
            mining: config.mining.enabled,
            peers: config.p2p.peers.len(),
            warnings: config.warnings(genesis),
        }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "✓ {} is in order", self.config)?;
        writeln!(formatter, "  chain {}  genesis {}", self.chain_id, self.genesis_hash)?;
        let mining = if self.mining { "mines" } else { "does not mine" };
        let peers = count(self.peers as u64, "peer");
        write!(formatter, "  {} answers at {}, {mining} and dials {peers}", self.name, self.rpc)
    }
}

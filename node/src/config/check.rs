//! What in a configuration does not go together, and what an operator should know.

use std::net::TcpListener;

use synod_types::Genesis;

use super::{Config, ConfigError};
use crate::logging;

/// Fewer outbound peers than this, and a node without peer exchange is easy to surround (P2P-11).
const ENOUGH_PEERS: usize = 3;

impl Config {
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
        demand(self.sync.snapshot_beyond > 0, "sync.snapshot_beyond", "must be at least 1 block")?;
        demand(self.mining.threads <= 1024, "mining.threads", "at most 1024")?;
        logging::filter(&self.log.level)
            .map_err(|error| ConfigError::Value { key: "log.level", problem: error.to_string() })?;
        self.check_getwork(None)
    }

    fn check_getwork(&self, testnet: Option<bool>) -> Result<(), ConfigError> {
        let problem = self.getwork.problem(testnet);
        problem.map_or(Ok(()), |(key, problem)| Err(ConfigError::Value { key, problem }))
    }

    /// Checks what depends on the genesis: only a test network may go without syncs, and with a short password; and
    /// nobody mines where a committee orders.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn check_with(&self, genesis: &Genesis) -> Result<(), ConfigError> {
        let mines = [("mining.enabled", self.mining.enabled), ("getwork.enabled", self.getwork.enabled)];
        if let Some((key, _)) =
            mines.into_iter().find(|(_, enabled)| *enabled && genesis.ordering.has_committee())
        {
            let problem =
                format!("true, and nothing is mined here: {} orders this network", genesis.ordering);
            return Err(ConfigError::Value { key, problem });
        }
        self.check_getwork(Some(genesis.testnet))?;
        if self.storage.sync || genesis.testnet {
            return Ok(());
        }
        let problem = "false loses money at a power cut, and is refused outside test networks".to_owned();
        Err(ConfigError::Value { key: "storage.sync", problem })
    }

    /// Tries every address that the node would listen on, and lets it go again.
    ///
    /// # Errors
    /// [`ConfigError::Value`] with the first that cannot be had now.
    pub fn check_addresses(&self) -> Result<(), ConfigError> {
        let p2p = self.p2p.listen.iter().map(|address| ("p2p.listen", *address));
        let getwork = self.getwork.enabled.then_some(("getwork.listen", self.getwork.listen));
        let all = [("rpc.listen", self.rpc.listen), ("web.listen", self.web.listen)];
        for (key, address) in all.into_iter().chain(p2p).chain(getwork) {
            TcpListener::bind(address).map_err(|error| {
                let problem =
                    format!("cannot listen on {address}: {error}; free the port or choose another one");
                ConfigError::Value { key, problem }
            })?;
        }
        Ok(())
    }

    /// What an operator should know although it keeps no node from starting.
    pub fn warnings(&self, genesis: &Genesis) -> Vec<String> {
        let mut warnings = Vec::new();
        let peers = self.p2p.peers.len();
        // A small committee has no more peers than its other members.
        let others = genesis.members.len().saturating_sub(1);
        let enough = if genesis.ordering.has_committee() { ENOUGH_PEERS.min(others) } else { ENOUGH_PEERS };
        if !genesis.testnet && peers < enough {
            warnings.push(format!(
                "{peers} of the {enough} peers that a node should dial are configured: whoever controls \
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
}

//! Flags, which win over the environment and the file.

use std::net::SocketAddr;

use synod_types::Address;

use super::{Config, LogFormat};

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

impl Config {
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
}

//! What can go wrong with a local network, in one enum: each sentence says what to do.

use std::path::PathBuf;

/// Why a command on a local network failed.
#[derive(Debug, thiserror::Error)]
pub enum TestnetError {
    /// A network of this size is not offered.
    #[error("{wanted} nodes: a local network has 1 to {most}")]
    NodeCount {
        /// What was asked for.
        wanted: usize,
        /// The largest network.
        most: usize,
    },
    /// So few nodes are no committee.
    #[error(transparent)]
    Committee(#[from] synod_consensus::committee::QuorumError),
    /// No port could be bound.
    #[error("no free port from {0} upwards: stop what uses them, or choose others with --rpc-port")]
    NoPort(u16),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Entropy(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of ours does not read back.
    #[error(
        "{path}: {problem}; `synod testnet reset --only` deletes the network, and `synod testnet up` makes another"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no network.
    #[error("there is no test network in {0}; start one with ./testnet/up.sh or `synod testnet up`")]
    NoNetwork(PathBuf),
    /// Another command works on the network.
    #[error("another `synod testnet` command is at work on {0}; wait for it to end")]
    Busy(PathBuf),
    /// The network has no such node.
    #[error("there is no node {wanted:?}; the nodes are {known}")]
    NoSuchNode {
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: String,
    },
    /// The network was started without a proxy.
    #[error("this network's links cannot be cut; start it with `synod testnet up --faults`")]
    NoProxy,
    /// The proxy did not obey.
    #[error("the fault proxy: {0}")]
    Proxy(String),
    /// A process could not be started.
    #[error("cannot start {name}: {source}")]
    Spawn {
        /// Which node.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// A node ended instead of getting ready.
    #[error("{name} stopped before it was ready; {log} ends with:\n{tail}")]
    Died {
        /// Which node.
        name: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A node did not get ready or stop in time.
    #[error("{name} did not {what} within {seconds} s; see {log}")]
    Slow {
        /// Which node.
        name: String,
        /// What it should have done.
        what: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// Its log.
        log: PathBuf,
    },
    /// A command on the network failed.
    #[error("synod {command}: {problem}")]
    Command {
        /// Its arguments.
        command: String,
        /// What it said.
        problem: String,
    },
    /// A node's RPC answered with an error, or not at all.
    #[error("{node}: {problem}")]
    Rpc {
        /// Which node.
        node: String,
        /// What it said.
        problem: String,
    },
}

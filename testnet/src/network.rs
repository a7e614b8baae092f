//! Commands on a whole local network: up, stop, start, down, reset, status.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::TestnetError;
use crate::folder::{Endpoint, Endpoints, Folder, read_endpoints};
use crate::plan::{Options, Plan};
use crate::process::{self, State};
use crate::proxy;

/// A local network on this machine.
#[derive(Debug)]
pub struct Testnet {
    synod: PathBuf,
    root: PathBuf,
}

/// What `up` did.
#[derive(Debug, Clone, Serialize)]
pub struct Started {
    /// Where everything answers.
    pub endpoints: Endpoints,
    /// The nodes that were started; the others ran already.
    pub started: Vec<String>,
    /// Whether the network is new.
    pub created: bool,
    /// From the first process to the last ready node, in milliseconds.
    pub ready_ms: u64,
}

/// One line of `status`.
#[derive(Debug, Clone, Serialize)]
pub struct NodeStatus {
    /// Where it answers.
    #[serde(flatten)]
    pub endpoint: Endpoint,
    /// `ready`, `starting` or `stopped`.
    pub state: &'static str,
    /// Its process.
    pub pid: Option<i32>,
}

impl Testnet {
    /// The network in `root`, whose nodes run the binary `synod`.
    pub fn new(synod: &Path, root: &Path) -> Self {
        Self { synod: synod.to_owned(), root: root.to_owned() }
    }

    /// Where the network's files are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Starts every node that does not run, of a new network made from `options` if there is none.
    ///
    /// # Errors
    /// [`TestnetError`]; nodes that were started keep running.
    pub fn up(&self, options: &Options) -> Result<Started, TestnetError> {
        let folder = Folder::lock(&self.root)?;
        let created = !folder.has_network();
        if created {
            folder.write(&Plan::new(options)?, options)?;
        }
        self.start_all(&folder, created)
    }

    /// Makes a network without starting it.
    ///
    /// # Errors
    /// There is one already, or it cannot be written.
    pub fn make(&self, options: &Options) -> Result<Endpoints, TestnetError> {
        Folder::lock(&self.root)?.write(&Plan::new(options)?, options)
    }

    fn start_all(&self, folder: &Folder, created: bool) -> Result<Started, TestnetError> {
        let endpoints = folder.endpoints()?;
        let begun = Instant::now();
        self.start_proxy(folder)?;
        let stopped: Vec<&Endpoint> =
            endpoints.nodes.iter().filter(|node| process::running_pid(node).is_none()).collect();
        let mut children: Vec<(Child, &Endpoint)> = Vec::with_capacity(stopped.len());
        for node in &stopped {
            children.push((process::start(&self.synod, node)?, node));
        }
        for (child, node) in &mut children {
            process::wait_ready(child, node)?;
        }
        let started = stopped.iter().map(|node| node.name.clone()).collect();
        Ok(Started { started, created, ready_ms: milliseconds(begun.elapsed()), endpoints })
    }

    /// The proxied network's proxy runs before its nodes do.
    fn start_proxy(&self, folder: &Folder) -> Result<(), TestnetError> {
        let mut network = folder.network()?;
        if network.links.is_empty() || network.proxy_control.is_some_and(proxy::answers) {
            return Ok(());
        }
        network.proxy_control = Some(proxy::start(&self.synod, folder.root())?);
        folder.write_network(&network)
    }

    /// Adds a node to the network and starts it. It follows; a committee's vote it gets by a change of the
    /// committee.
    ///
    /// # Errors
    /// Too many nodes, or it does not get ready.
    pub fn join(&self) -> Result<Endpoint, TestnetError> {
        let folder = Folder::lock(&self.root)?;
        let node = folder.add_node()?;
        let mut child = process::start(&self.synod, &node)?;
        process::wait_ready(&mut child, &node)?;
        Ok(node)
    }

    /// Starts one node.
    ///
    /// # Errors
    /// No such node, or it does not get ready.
    pub fn start(&self, name: &str) -> Result<Endpoint, TestnetError> {
        let folder = Folder::lock(&self.root)?;
        self.start_proxy_if_any(&folder)?;
        let node = find(folder.endpoints()?, name)?;
        if process::running_pid(&node).is_none() {
            let mut child = process::start(&self.synod, &node)?;
            process::wait_ready(&mut child, &node)?;
        }
        Ok(node)
    }

    fn start_proxy_if_any(&self, folder: &Folder) -> Result<(), TestnetError> {
        if folder.has_network() { self.start_proxy(folder) } else { Ok(()) }
    }

    /// Stops one node, at once with `kill`; false when it did not run.
    ///
    /// # Errors
    /// No such node, or it does not stop.
    pub fn stop(&self, name: &str, kill: bool) -> Result<bool, TestnetError> {
        let folder = Folder::lock(&self.root)?;
        process::stop(&find(folder.endpoints()?, name)?, kill)
    }

    /// Stops every node and the proxy; the files stay. Returns the names of those that ran.
    ///
    /// # Errors
    /// A node does not stop.
    pub fn down(&self, kill: bool) -> Result<Vec<String>, TestnetError> {
        let folder = Folder::lock(&self.root)?;
        self.stop_all(&folder, kill)
    }

    fn stop_all(&self, folder: &Folder, kill: bool) -> Result<Vec<String>, TestnetError> {
        let endpoints = folder.endpoints()?;
        // All get the signal before any is waited for.
        let running: Vec<&Endpoint> =
            endpoints.nodes.iter().filter(|node| process::running_pid(node).is_some()).collect();
        let pids: Vec<i32> = running.iter().filter_map(|node| process::running_pid(node)).collect();
        for pid in &pids {
            let signal = if kill { rustix::process::Signal::KILL } else { rustix::process::Signal::TERM };
            process::signal(*pid, signal);
        }
        for (node, pid) in running.iter().zip(pids) {
            process::wait_gone(node, pid)?;
        }
        // A damaged file names no proxy; whoever deletes the network must still be able to.
        let mut network = folder.network().ok();
        if let Some(control) = network.as_mut().and_then(|network| network.proxy_control.take()) {
            proxy::stop(control);
            network.map_or(Ok(()), |network| folder.write_network(&network))?;
        }
        Ok(running.iter().map(|node| node.name.clone()).collect())
    }

    /// Runs a command of this network's own binary in its home, to the end.
    ///
    /// # Errors
    /// [`TestnetError::Command`] with what it said.
    pub fn synod(&self, arguments: &[&str]) -> Result<(), TestnetError> {
        let failed = |problem: String| TestnetError::Command { command: arguments.join(" "), problem };
        let mut command = std::process::Command::new(&self.synod);
        command.args(arguments).env_remove("SYNOD_RPC");
        if let Some(home) = self.root.parent() {
            command.env("SYNOD_HOME", home);
        }
        let output = command.output().map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// What the network was made from.
    ///
    /// # Errors
    /// [`TestnetError::NoNetwork`], or a damaged file.
    pub fn options(&self) -> Result<Options, TestnetError> {
        Ok(Folder::read_network(&self.root)?.options)
    }

    /// Stops the network and deletes it; the next `up` makes a new chain.
    ///
    /// # Errors
    /// A node does not stop, or a file cannot be removed.
    pub fn remove(&self) -> Result<(), TestnetError> {
        let folder = Folder::lock(&self.root)?;
        self.stop_all(&folder, true)?;
        folder.clear()
    }

    /// What every node is doing.
    ///
    /// # Errors
    /// [`TestnetError::NoNetwork`].
    pub fn status(&self) -> Result<Vec<NodeStatus>, TestnetError> {
        let nodes = read_endpoints(&self.root)?.nodes;
        Ok(nodes.into_iter().map(node_status).collect())
    }

    /// The node called `name`: `node2` or just `2`.
    ///
    /// # Errors
    /// [`TestnetError::NoSuchNode`].
    pub fn find(&self, name: &str) -> Result<Endpoint, TestnetError> {
        find(read_endpoints(&self.root)?, name)
    }
}

fn find(endpoints: Endpoints, name: &str) -> Result<Endpoint, TestnetError> {
    let nodes = endpoints.nodes;
    let known = nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ");
    let full =
        if name.bytes().all(|byte| byte.is_ascii_digit()) { format!("node{name}") } else { name.to_owned() };
    nodes
        .into_iter()
        .find(|node| node.name == full)
        .ok_or_else(|| TestnetError::NoSuchNode { wanted: name.to_owned(), known })
}

fn node_status(endpoint: Endpoint) -> NodeStatus {
    let (state, pid) = match process::state(&endpoint) {
        State::Stopped => ("stopped", None),
        State::Starting(pid) => ("starting", Some(pid)),
        State::Ready(pid) => ("ready", Some(pid)),
    };
    NodeStatus { endpoint, state, pid }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

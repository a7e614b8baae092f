//! The network that a load runs on: one of the bench's own, made for it and deleted afterwards, or one that runs.

use std::path::Path;
use std::time::Duration;

use synod_node::ports::block;
use synod_testnet::folder::Endpoint;
use synod_testnet::network::Testnet;
use synod_testnet::plan::Options;
use synod_testnet::process;
use synod_types::committee::fault_model;
use synod_types::genesis::Ordering;

use crate::client::http::Url;
use crate::client::interrupt;
use crate::failure::{Failure, Outcome};

/// Where the load goes.
pub(crate) struct Network {
    /// One address for each node that gets load.
    pub(crate) nodes: Vec<Url>,
    own: Option<Own>,
}

/// A network of the bench's own.
struct Own {
    testnet: Testnet,
    endpoints: Vec<Endpoint>,
}

impl Network {
    /// Starts the members of a committee in a folder: so many, or as many as one fault needs. They run this very
    /// binary.
    ///
    /// # Errors
    /// They do not start.
    pub(crate) fn start(
        folder: &Path,
        ordering: Ordering,
        nodes: Option<usize>,
        sync: bool,
    ) -> Outcome<Self> {
        // From now on Ctrl-C must not leave processes behind.
        interrupt::arm();
        let synod = std::env::current_exe()
            .map_err(|error| Failure::failed("bench", format!("this program cannot find itself: {error}")))?;
        let testnet = Testnet::new(&synod, &folder.join("testnet"));
        let least = || fault_model(ordering).map_or(4, |model| model.least_members(1));
        let options = options(ordering, nodes.unwrap_or_else(least), sync)?;
        let mut own = Own { testnet, endpoints: Vec::new() };
        own.endpoints = own.testnet.up(&options).map_err(failed)?.endpoints.nodes;
        let urls = own.endpoints.iter().map(|node| Url::parse(&node.rpc));
        let nodes = urls.collect::<Result<_, _>>().map_err(|error| Failure::failed("bench", error))?;
        Ok(Self { nodes, own: Some(own) })
    }

    /// One that runs.
    pub(crate) fn running(nodes: Vec<Url>) -> Self {
        interrupt::arm();
        Self { nodes, own: None }
    }

    /// Processor time that each node has taken so far, with its name; nothing of processes that are not ours.
    pub(crate) fn cpu(&self) -> Vec<(String, Duration)> {
        let endpoints = self.own.iter().flat_map(|own| &own.endpoints);
        let time = |node: &Endpoint| process::running_pid(node).and_then(process::cpu_time);
        endpoints.map(|node| (node.name.clone(), time(node).unwrap_or_default())).collect()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // What cannot be stopped or removed lies in a folder for temporary things.
        let _ = self.testnet.remove();
    }
}

/// Members with room for any load.
///
/// # Errors
/// No ports are free.
pub(crate) fn options(ordering: Ordering, nodes: usize, sync: bool) -> Outcome<Options> {
    let first = ports()?;
    Ok(Options {
        nodes,
        ordering,
        mining_threads: 0,
        seed: None,
        rpc_port: first,
        p2p_port: first + 16,
        web_port: first + 32,
        getwork_port: first + 48,
        sync,
        faults: false,
        hash_rate: 1e6,
        spacing_seconds: 2,
        roomy: true,
    })
}

/// Where the nodes listen.
fn ports() -> Outcome<u16> {
    block().map_err(|error| Failure::failed("bench", format!("there is no port for the nodes: {error}")))
}

fn failed(error: synod_testnet::error::TestnetError) -> Failure {
    Failure::failed("bench", format!("the network does not start: {error}"))
}

/// Ends the bench on Ctrl-C.
///
/// # Errors
/// It was pressed.
pub(crate) fn go_on() -> Outcome<()> {
    if interrupt::flag().load(std::sync::atomic::Ordering::Relaxed) {
        return Err(crate::client::CallError::Interrupted.into());
    }
    Ok(())
}

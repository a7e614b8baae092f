//! Brings the network up: checks the configuration, listens, spawns the driver.

use super::config::{Clocks, MESSAGE_LIMIT, NetworkConfig};
use super::driver::Driver;
use super::error::NetworkError;
use super::event::{Budget, Door, NetworkEvents};
use super::handle::{ASKING, Network, Shared};
use super::link::Links;
use super::metrics::Metrics;
use super::name;
use super::peers::Peers;
use super::swarm::{self, Stack, StackEvent};
use libp2p::Swarm;
use libp2p::core::transport::ListenerId;
use libp2p::futures::StreamExt;
use libp2p::swarm::SwarmEvent;
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// Commands that may wait for the driver.
const COMMANDS: usize = 4096;

/// Starts the network: listens on every configured address, spawns the task that owns the swarm, begins to
/// dial.
///
/// Must be called inside a tokio runtime with time and I/O. The caller reads the events, all of them and
/// soon: while they wait, peers wait.
///
/// # Errors
/// [`NetworkError`]: an address that cannot be listened on, or a configuration that contradicts itself.
pub async fn start(
    config: NetworkConfig,
    registry: &mut Registry,
) -> Result<(Network, NetworkEvents), NetworkError> {
    check(&config)?;
    let metrics = Metrics::register(registry);
    let mut swarm = swarm::build(&config, registry).map_err(NetworkError::Configuration)?;
    let (listening, early) = listen(&mut swarm, &config.listen).await?;
    let (local, limits, clocks) = (config.key.name(), config.limits, Clocks::of(config.testnet));
    let links = Arc::<Links>::default();
    let (door, events) = Door::new(limits.events, limits.gossip_bytes);
    let (sender, commands) = mpsc::channel(COMMANDS);
    let (leave, shutdown) = watch::channel(false);
    let (running, over) = watch::channel(());
    let budget = || Budget::new(limits.waiting_bytes);
    let driver = Driver {
        swarm,
        local,
        genesis: config.genesis,
        clocks,
        peers: Peers::new(local, &config.peers, &config.reserved, Arc::clone(&links), &limits, clocks),
        links: Arc::clone(&links),
        door,
        metrics: metrics.clone(),
        commands,
        shutdown,
        sessions: JoinSet::new(),
        serving: JoinSet::new(),
        turned_away: JoinSet::new(),
        places: Arc::new(Semaphore::new(limits.serving.1)),
        budgets: (budget(), budget()),
        next_round: Instant::now(),
        limits: limits.clone(),
        _running: running,
    };
    tokio::spawn(driver.run(early));
    let shared = Shared {
        name: local,
        listening,
        links,
        commands: sender,
        asking: Semaphore::new(ASKING),
        patience: limits.request_timeout,
        metrics,
        shutdown: leave,
        over,
    };
    Ok((Network(Arc::new(shared)), events))
}

fn check(config: &NetworkConfig) -> Result<(), NetworkError> {
    let refuse = |reason: &str| Err(NetworkError::Configuration(reason.to_owned()));
    let limits = &config.limits;
    if limits.waiting_bytes < MESSAGE_LIMIT || limits.outbox_bytes < MESSAGE_LIMIT {
        return refuse("waiting_bytes and outbox_bytes must hold the longest message, 8 MiB");
    }
    if config.peers.iter().any(|peer| peer.name == config.key.name()) {
        return refuse("this node is among its own peers; remove its address from the list");
    }
    Ok(())
}

/// Where we listen, and what happened before the driver was there.
type Listening = (Vec<SocketAddr>, Vec<SwarmEvent<StackEvent>>);

/// Listens everywhere and learns the real ports.
async fn listen(swarm: &mut Swarm<Stack>, sockets: &[SocketAddr]) -> Result<Listening, NetworkError> {
    let mut waiting: HashMap<ListenerId, SocketAddr> = HashMap::new();
    for address in sockets {
        let refuse = |reason: String| NetworkError::Listen { address: *address, reason };
        // libp2p lets several sockets share a port, and the system would deal our peers out among them.
        drop(TcpListener::bind(address).map_err(|error| refuse(error.to_string()))?);
        let listener =
            swarm.listen_on(name::multiaddr(*address)).map_err(|error| refuse(error.to_string()))?;
        waiting.insert(listener, *address);
    }
    let (mut listening, mut early) = (Vec::new(), Vec::new());
    while !waiting.is_empty() {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                let Some(configured) = waiting.remove(&listener_id) else { continue };
                let port = name::socket(&address).map_or(configured.port(), |socket| socket.port());
                listening.push(SocketAddr::new(configured.ip(), port));
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                if let Some(address) = waiting.remove(&listener_id) {
                    return Err(NetworkError::Listen { address, reason: format!("{reason:?}") });
                }
            }
            other => early.push(other),
        }
    }
    Ok((listening, early))
}

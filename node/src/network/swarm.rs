//! The libp2p swarm of a node: TCP, Noise, yamux, and the behaviours on top. Nothing else is compiled in.
//!
//! No identify and no discovery: the first would teach us addresses that we must not dial, the second is of
//! no use before
//! anti-eclipse exists (P2P-11). No ping: the direct stream has its own signs of life, on the very path that
//! matters.

use super::config::{Clocks, NetworkConfig};
use super::gate::Gate;
use super::gossip;
use super::kind::wire_name;
use super::streams::{Names, Streams};
use super::throttle::Throttle;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{StreamProtocol, Swarm, SwarmBuilder, memory_connection_limits, noise, tcp, yamux};
use prometheus_client::registry::Registry;
use std::collections::HashSet;

/// Streams that a peer may hold open on one connection (libp2p's own default is 512). Each may hold 256 KiB that
/// nobody reads yet. Honest peers need one for direct messages, one each way for gossip, and some for requests.
const STREAMS: usize = 32;
/// Streams of one connection whose protocol is still being agreed on.
const NEGOTIATING: usize = 16;

/// Everything that hears about connections. The first four may refuse one.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(super) struct Stack {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) memory: memory_connection_limits::Behaviour,
    pub(super) gate: Gate,
    pub(super) gossip: Throttle,
    pub(super) streams: Streams,
}

/// Builds the swarm; it neither listens nor dials yet.
pub(super) fn build(config: &NetworkConfig, registry: &mut Registry) -> Result<Swarm<Stack>, String> {
    let clocks = Clocks::of(config.testnet);
    let stack = stack(config, registry)?;
    let swarm = SwarmBuilder::with_existing_identity(config.key.keypair())
        .with_tokio()
        .with_tcp(tcp::Config::new(), noise::Config::new, multiplexer)
        .map_err(|error| error.to_string())?
        .with_behaviour(|_| stack)
        .map_err(|error| error.to_string())?
        .with_swarm_config(|swarm| swarm.with_max_negotiating_inbound_streams(NEGOTIATING))
        .with_connection_timeout(clocks.connect)
        .build();
    Ok(swarm)
}

fn multiplexer() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(STREAMS);
    config
}

fn stack(config: &NetworkConfig, registry: &mut Registry) -> Result<Stack, String> {
    let limits = &config.limits;
    let trusted = config.reserved.iter().chain(config.peers.iter().map(|address| &address.name));
    let trusted: HashSet<_> = trusted.map(super::PeerName::peer_id).collect();
    let counts = ConnectionLimits::default()
        .with_max_pending_incoming(Some(limits.pending))
        .with_max_pending_outgoing(Some(limits.pending))
        .with_max_established_incoming(Some(limits.inbound))
        .with_max_established_outgoing(Some(limits.outbound))
        .with_max_established(Some(limits.inbound.saturating_add(limits.outbound)));
    let mut counts = connection_limits::Behaviour::new(counts);
    for peer in &trusted {
        counts.bypass_peer_id(peer);
    }
    let name =
        |word| StreamProtocol::try_from_owned(wire_name(&config.genesis, word)).map_err(|e| e.to_string());
    let names = Names { direct: name("vote")?, request: name("sync")? };
    Ok(Stack {
        limits: counts,
        memory: memory_connection_limits::Behaviour::with_max_percentage(limits.memory_share),
        gate: Gate::new(trusted.clone(), limits.per_subnet),
        gossip: Throttle::new(gossip::gossip(&config.genesis, config.testnet, registry)?, trusted),
        streams: Streams::new(names),
    })
}

//! A hostile peer, for tests: a raw swarm that speaks our protocols' names and then says whatever it likes.
//!
//! Its victim is a whole node on loopback; the long searches (`flood`) have theirs in a process of its own (`apart`). After each attack the victim must still serve an honest peer, must
//! have dropped or limited
//! the attacker where the rules say so, and must hold no more memory than before, within bounds.

mod apart;
mod direct;
mod flood;
mod gossip;
mod layers;
mod requests;

use super::config::NetworkLimits;
use super::frame::Hello;
use super::gossip::{Gossip, gossip as honest_gossip};
use super::kind::{Topic, wire_name};
use super::streams::{Names, StreamEvent, Streams};
use super::{Network, NetworkConfig, NetworkEvent, NetworkEvents, NetworkKey, PeerAddress, PeerName, start};
use alloy_primitives::{B256, Bytes};
use libp2p::futures::StreamExt;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, NetworkBehaviour, SwarmEvent};
use libp2p::{PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Nothing here takes a tenth of this on an idle machine.
const BOUND: Duration = Duration::from_secs(60);
const GENESIS: B256 = B256::repeat_byte(0xaa);

fn configuration(seed: u8, peers: Vec<PeerAddress>) -> NetworkConfig {
    NetworkConfig {
        genesis: GENESIS,
        key: NetworkKey::from_bytes([seed; 32]),
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        peers,
        reserved: Vec::new(),
        limits: NetworkLimits::default(),
        testnet: true,
    }
}

/// A node under attack, with an honest peer that keeps testing whether it still works.
struct Victim {
    network: Network,
    events: NetworkEvents,
    registry: Registry,
    friend: Network,
    friend_events: NetworkEvents,
    rounds: u8,
}

impl Victim {
    async fn new() -> Self {
        Self::with(NetworkLimits::default()).await
    }

    async fn with(limits: NetworkLimits) -> Self {
        let mut registry = Registry::default();
        let config = NetworkConfig { limits, ..configuration(1, Vec::new()) };
        let (network, mut events) = start(config, &mut registry).await.unwrap();
        let config = configuration(2, network.addresses());
        let (friend, mut friend_events) = start(config, &mut Registry::default()).await.unwrap();
        connected(&mut events).await;
        connected(&mut friend_events).await;
        Self { network, events, registry, friend, friend_events, rounds: 0 }
    }

    fn address(&self) -> PeerAddress {
        self.network.addresses()[0]
    }

    async fn event(&mut self) -> NetworkEvent {
        event(&mut self.events).await
    }

    /// The honest peer's gossip and direct messages pass, both ways.
    async fn still_works(&mut self) {
        self.rounds += 1;
        let data = Bytes::from(vec![self.rounds; 1000]);
        let (victim, friend) = (self.network.name(), self.friend.name());
        assert!(self.friend.send(victim, super::Class::Vote, data.clone()));
        loop {
            match self.event().await {
                NetworkEvent::Message { from, data: heard } if from == friend => {
                    break assert_eq!(heard, data);
                }
                NetworkEvent::Disconnected { peer } => assert_ne!(peer, friend, "the honest peer stays"),
                _ => {}
            }
        }
        assert!(self.network.send(friend, super::Class::Vote, data.clone()));
        self.network.gossip(Topic::Blocks, data.clone()).unwrap();
        let (mut direct, mut gossiped) = (false, false);
        while !(direct && gossiped) {
            match event(&mut self.friend_events).await {
                NetworkEvent::Message { from, data: heard } => direct |= from == victim && heard == data,
                NetworkEvent::Gossip { from, data: heard, .. } => gossiped |= from == victim && heard == data,
                _ => {}
            }
        }
    }

    /// A figure of the victim's registry; 0 if it was never touched.
    fn figure(&self, name: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let found = text.lines().find_map(|line| line.strip_prefix(&format!("synod_network_{name} ")));
        found.map_or(0, |value| value.parse().unwrap())
    }
}

async fn event(events: &mut NetworkEvents) -> NetworkEvent {
    timeout(BOUND, events.recv()).await.expect("an event within the bound").expect("the network runs")
}

async fn connected(events: &mut NetworkEvents) -> PeerName {
    loop {
        if let NetworkEvent::Connected { peer, .. } = event(events).await {
            return peer;
        }
    }
}

/// What the hostile peer is made of: honest gossip, so that it gets in, and raw streams for everything else.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
struct Mask {
    gossip: Gossip,
    streams: Streams,
}

/// The hostile peer. It opens streams of the direct protocol and of a second one, and leaves what is said on
/// them to
/// the test.
struct Attacker {
    swarm: Swarm<Mask>,
    victim: PeerId,
    connection: ConnectionId,
    /// The victim has closed the connection.
    dropped: bool,
    direct: Option<Stream>,
}

impl Attacker {
    /// Connects with a fresh identity; `second` is the other protocol that it speaks beside the direct one.
    async fn connect(to: PeerAddress, second: &str) -> Self {
        Self::try_connect(to, second).await.expect("the victim takes the connection")
    }

    /// The same; `None` if the victim refuses the connection.
    async fn try_connect(to: PeerAddress, second: &str) -> Option<Self> {
        let name = |name: &str| StreamProtocol::try_from_owned(name.to_owned()).unwrap();
        let names = Names { direct: name(&wire_name(&GENESIS, "vote")), request: name(second) };
        let gossip = honest_gossip(&GENESIS, true, &mut Registry::default()).unwrap();
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::new(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| Mask { gossip, streams: Streams::new(names) })
            .unwrap()
            .build();
        let victim = to.name.peer_id();
        swarm.dial(DialOpts::peer_id(victim).addresses(vec![to.multiaddr()]).build()).unwrap();
        loop {
            match timeout(BOUND, swarm.select_next_some()).await.expect("an answer to the dial") {
                SwarmEvent::ConnectionEstablished { connection_id: connection, .. } => {
                    return Some(Self { swarm, victim, connection, dropped: false, direct: None });
                }
                SwarmEvent::OutgoingConnectionError { .. } => return None,
                _ => {}
            }
        }
    }

    fn note(&mut self, event: SwarmEvent<MaskEvent>) {
        match event {
            SwarmEvent::Behaviour(MaskEvent::Streams(StreamEvent::Direct { stream, .. })) => {
                self.direct = Some(stream);
            }
            SwarmEvent::ConnectionClosed { .. } => self.dropped = true,
            _ => {}
        }
    }

    async fn hear(&mut self) {
        let event = timeout(BOUND, self.swarm.select_next_some()).await.expect("something within the bound");
        self.note(event);
    }

    /// The direct stream, which the dialling side opens.
    async fn direct(&mut self) -> Stream {
        loop {
            match self.direct.take() {
                Some(stream) => return stream,
                None => self.hear().await,
            }
        }
    }

    /// The same; `None` when the victim ends the connection or says nothing.
    async fn direct_or_end(&mut self) -> Option<Stream> {
        let patience = tokio::time::Instant::now() + Duration::from_secs(5);
        while self.direct.is_none() && !self.dropped {
            let event = tokio::time::timeout_at(patience, self.swarm.select_next_some()).await.ok()?;
            self.note(event);
        }
        self.direct.take()
    }

    /// Gives the victim a moment to read what was said, at most until it ends the connection.
    async fn lingers(&mut self) {
        let patience = tokio::time::Instant::now() + Duration::from_millis(20);
        while !self.dropped {
            let Ok(event) = tokio::time::timeout_at(patience, self.swarm.select_next_some()).await else {
                return;
            };
            self.note(event);
        }
    }

    /// A fresh stream of the second protocol; `None` once the victim has closed the connection.
    async fn open(&mut self) -> Option<Stream> {
        let (waiter, opened) = oneshot::channel();
        self.swarm.behaviour_mut().streams.open(self.victim, self.connection, waiter);
        if self.dropped { None } else { self.during(opened).await.ok() }
    }

    /// Drives the swarm while `work` runs.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                event = self.swarm.select_next_some() => self.note(event),
            }
        }
    }

    /// Waits until the victim has closed the connection.
    async fn is_dropped(&mut self) {
        while !self.dropped {
            self.hear().await;
        }
    }

    /// Connects, says a good hello, and is let in: the victim's node hears `Connected`.
    async fn joined(victim: &mut Victim, second: &str) -> (Self, Stream) {
        let mut attacker = Self::connect(victim.address(), second).await;
        let mut stream = attacker.direct().await;
        attacker.during(Hello::ours(GENESIS).exchange(&mut stream, BOUND)).await.unwrap();
        let name = PeerName::of(attacker.swarm.local_peer_id());
        let let_in = connected(&mut victim.events);
        assert_eq!(Some(attacker.during(let_in).await), name);
        (attacker, stream)
    }

    /// Dials again with the same identity; says whether the victim takes the connection and keeps it.
    async fn comes_back(&mut self, to: PeerAddress) -> bool {
        self.swarm.dial(DialOpts::peer_id(self.victim).addresses(vec![to.multiaddr()]).build()).unwrap();
        loop {
            match timeout(BOUND, self.swarm.select_next_some()).await.expect("an answer to the dial") {
                SwarmEvent::Behaviour(MaskEvent::Streams(StreamEvent::Direct { .. })) => return true,
                SwarmEvent::OutgoingConnectionError { .. } | SwarmEvent::ConnectionClosed { .. } => {
                    return false;
                }
                _ => {}
            }
        }
    }
}

/// Bytes of memory that this process holds; `None` where the system does not say.
fn resident() -> Option<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split_whitespace().nth(1)?.parse::<usize>().ok()? * 4096)
}

/// Checks that an attack left no more than `limit` bytes behind.
fn grew_at_most(before: Option<usize>, limit: usize) {
    if let (Some(before), Some(after)) = (before, resident()) {
        let grown = after.saturating_sub(before);
        assert!(grown <= limit, "memory grew by {grown} bytes, at most {limit} are allowed");
    }
}

/// A small generator, so that a failure repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, up_to: usize) -> Vec<u8> {
        let length = self.roll() as usize % (up_to + 1);
        (0..length).map(|_| self.roll() as u8).collect()
    }
}

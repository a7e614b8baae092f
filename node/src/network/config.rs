//! What the network is told, and the numbers that bound it.
//!
//! A test network differs in its clocks alone: the first heartbeat, back-offs, time-outs and bans are short,
//! so that
//! four processes on one machine form a mesh within 100 ms and heal within a second.

use super::name::{NetworkKey, PeerAddress, PeerName};
use alloy_primitives::B256;
use std::net::SocketAddr;
use std::time::Duration;

/// The longest direct message, in bytes. A block body (4 MiB and what wraps it) fits.
pub const MESSAGE_LIMIT: usize = 8 * MIB;
/// The longest request, in bytes.
pub const REQUEST_LIMIT: usize = 64 * KIB;
/// The longest answer to a request, in bytes.
pub const RESPONSE_LIMIT: usize = 8 * MIB;

pub(super) const KIB: usize = 1024;
pub(super) const MIB: usize = 1024 * 1024;

/// Everything that [`start`](super::start()) needs.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// The chain that this node is on. Peers of another chain are dropped at the first message.
    pub genesis: B256,
    /// The node's network identity.
    pub key: NetworkKey,
    /// Where to listen; port 0 takes a free one (see [`Network::listening`](super::Network::listening)).
    pub listen: Vec<SocketAddr>,
    /// The peers to keep a connection to. Only these sockets are ever dialled.
    pub peers: Vec<PeerAddress>,
    /// Peers that no flood of strangers can keep out (the committee's members).
    pub reserved: Vec<PeerName>,
    /// The bounds.
    pub limits: NetworkLimits,
    /// Short clocks, for networks on one machine.
    pub testnet: bool,
}

/// The bounds of everything that a peer can make grow.
#[derive(Clone, Debug)]
pub struct NetworkLimits {
    /// Established connections that strangers opened to us.
    pub inbound: u32,
    /// Established connections that we opened.
    pub outbound: u32,
    /// Handshakes under way, each way.
    pub pending: u32,
    /// Inbound connections from one /24 (IPv4) or /48 (IPv6); loopback is exempt.
    pub per_subnet: usize,
    /// Events that wait for the node. Beyond three quarters gossiped transactions are dropped, when full
    /// blocks too.
    pub events: usize,
    /// Bytes of direct messages that strangers, and again of those that configured peers, may have waiting
    /// for the node.
    pub waiting_bytes: usize,
    /// Bytes of gossip that may wait for the node.
    pub gossip_bytes: usize,
    /// Messages queued for one peer.
    pub outbox_messages: usize,
    /// Bytes queued for one peer.
    pub outbox_bytes: usize,
    /// Bytes queued for all strangers together; votes, and 256 KiB for each, are queued beyond it.
    pub outbox_bytes_of_strangers: usize,
    /// Requests of one peer served at a time, and of all peers together.
    pub serving: (usize, usize),
    /// Requests and direct questions that a peer may make at once; each 32 KiB of answer costs as much as one.
    pub request_burst: u32,
    /// How many of them grow back in a second.
    pub requests_per_second: u32,
    /// How long a request may take from end to end.
    pub request_timeout: Duration,
    /// New connections are refused when the process holds more than this share of the machine's memory.
    pub memory_share: f64,
}

impl Default for NetworkLimits {
    fn default() -> Self {
        Self {
            inbound: 48,
            outbound: 32,
            pending: 32,
            per_subnet: 8,
            events: 1024,
            waiting_bytes: 32 * MIB,
            gossip_bytes: 32 * MIB,
            outbox_messages: 4096,
            outbox_bytes: 16 * MIB,
            outbox_bytes_of_strangers: 32 * MIB,
            serving: (4, 32),
            request_burst: 2_048,
            requests_per_second: 1_024,
            request_timeout: Duration::from_secs(10),
            memory_share: 0.85,
        }
    }
}

/// The clocks. They are no configuration: a network has one of two sets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    /// Before gossip's first heartbeat.
    pub(super) first_heartbeat: Duration,
    /// Between heartbeats.
    pub(super) heartbeat: Duration,
    /// How long a pruned peer stays out of the mesh.
    pub(super) prune: Duration,
    /// For a connection to come up, handshakes included.
    pub(super) connect: Duration,
    /// For the first message on the direct stream.
    pub(super) hello: Duration,
    /// Silence after which a sign of life is written.
    pub(super) alive: Duration,
    /// Silence after which a link is dead; also the longest wait for a write to progress.
    pub(super) dead: Duration,
    /// For one frame to arrive whole once it has begun.
    pub(super) frame: Duration,
    /// The first wait before dialling again; it doubles.
    pub(super) redial_first: Duration,
    /// The longest wait before dialling again.
    pub(super) redial_cap: Duration,
    /// How long a peer that broke the rules stays out.
    pub(super) ban: Duration,
    /// Two connections that came up within this time are one simultaneous dial.
    pub(super) simultaneous: Duration,
}

/// Members are dialled again at least this often: a committee waits for nobody longer.
pub(super) const REDIAL_RESERVED: Duration = Duration::from_millis(200);
/// How long a gossiped message may wait for its verdict.
pub(super) const VERDICT_TIME: Duration = Duration::from_secs(10);

impl Clocks {
    pub(super) const fn of(testnet: bool) -> Self {
        if testnet { Self::TESTNET } else { Self::PUBLIC }
    }

    const PUBLIC: Self = Self {
        first_heartbeat: Duration::from_millis(500),
        heartbeat: Duration::from_millis(700),
        prune: Duration::from_secs(60),
        connect: Duration::from_secs(10),
        hello: Duration::from_secs(10),
        alive: Duration::from_secs(5),
        dead: Duration::from_secs(20),
        frame: Duration::from_secs(30),
        redial_first: Duration::from_millis(250),
        redial_cap: Duration::from_secs(30),
        ban: Duration::from_secs(60),
        simultaneous: Duration::from_secs(5),
    };

    const TESTNET: Self = Self {
        first_heartbeat: Duration::from_millis(20),
        heartbeat: Duration::from_millis(200),
        prune: Duration::from_secs(1),
        connect: Duration::from_secs(2),
        hello: Duration::from_secs(3),
        alive: Duration::from_secs(1),
        dead: Duration::from_secs(5),
        frame: Duration::from_secs(10),
        redial_first: Duration::from_millis(20),
        redial_cap: Duration::from_millis(200),
        ban: Duration::from_secs(2),
        simultaneous: Duration::from_secs(1),
    };
}

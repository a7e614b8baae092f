//! The network: libp2p, behind types of our own. Only this folder names libp2p.
//!
//! Bytes go in, bytes come out; what they mean is the node's business. Three ways lead to other nodes:
//!
//! - **Gossip** ([`Network::gossip`]) carries batches of transactions and mined blocks to everybody. Content proves
//!   itself; the node judges each message ([`Network::report`]) before it travels on.
//! - **Direct messages** ([`Network::send`]) go to one peer over one long-lived stream, in order, fire and forget:
//!   votes, headers, locators, bodies. The queue to each peer is bounded and drops transactions first, votes last.
//! - **Requests** ([`Network::request`]) ask one peer and get an answer, each on a stream of its own: sync.
//!
//! | on the wire | what |
//! |---|---|
//! | `/synod/<8 hex of genesis>/vote/1` | the direct stream: a hello, then frames (`frame`, `session`) |
//! | `/synod/<8 hex of genesis>/sync/1` | one request and its answer (`request`) |
//! | `/synod/<8 hex of genesis>/batch/1`, `…/block/1` | gossip topics (`gossip`) |
//!
//! **Rules.** Peers of another genesis are told apart by the protocols' names and, finally, by the hello, and
//! dropped
//! with a line in the log. Only configured sockets are dialled, again and again with back-off (`peers`).
//! Everything that a peer can make grow
//! has a bound: connections and handshakes (`swarm`, `gate`), streams, frames, events that wait for the node
//! (`event`), gossip (`throttle`), answers that wait to be taken (`outbox`), requests and questions (`bucket`). A peer that breaks the framing is dropped and kept out for a while; one
//! that earns
//! demerits ([`Network::demote`]) or spoils its gossip score follows.
//!
//! **Not here yet.** No discovery and so no anti-eclipse (P2P-11): below three configured peers a public node
//! warns. No binding
//! of a validator's key to a peer, and no alarm when two peers claim one identity (P2P-12): a second
//! connection of the same
//! peer simply replaces the first. yamux's receive window cannot be set through libp2p 0.57; it grows only
//! while we read, and new connections are
//! refused when the process holds too much of the machine's memory (P2P-7).

mod admission;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stdout)]
mod attacks;
mod bucket;
mod config;
mod driver;
mod error;
mod event;
mod frame;
mod gate;
mod gossip;
mod handle;
mod kind;
mod link;
mod metrics;
mod name;
mod outbox;
mod peers;
mod request;
mod session;
mod start;
mod streams;
mod swarm;
mod throttle;

pub use config::{MESSAGE_LIMIT, NetworkConfig, NetworkLimits, REQUEST_LIMIT, RESPONSE_LIMIT};
pub use error::{AddressError, GossipError, NetworkError, RequestError};
pub use event::{NetworkEvent, NetworkEvents, Reply};
pub use handle::Network;
pub use kind::{Class, Demerit, GossipId, Topic, Verdict};
pub use link::PeerInfo;
pub use name::{NetworkKey, PeerAddress, PeerName};
pub use start::start;

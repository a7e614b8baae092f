//! What can go wrong at the network's edge; each sentence says what to do.

use std::net::SocketAddr;

/// The network could not start.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A listen address is taken or not ours.
    #[error("cannot listen on {address}: {reason}; free the port or choose another one for p2p")]
    Listen {
        /// The address from the configuration.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// A part of the configuration contradicts itself.
    #[error("the network configuration is refused: {0}")]
    Configuration(String),
}

/// A text names no peer or no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a libp2p peer id.
    #[error("{0:?} is not a peer id; one looks like 12D3KooW… and is printed when a node starts")]
    NotAName(String),
    /// A peer id of another kind of key.
    #[error("{0:?} does not name an ed25519 key; Synod's peers have ids that begin with 12D3KooW")]
    NotEd25519(String),
    /// Not an address that can be dialled.
    #[error("{0:?} is not a peer address; write /ip4/ADDRESS/tcp/PORT/p2p/PEER (or /ip6/…)")]
    NotAnAddress(String),
    /// An address without the identity that must answer.
    #[error("{0:?} does not end in /p2p/PEER; add the id that the peer prints when it starts")]
    NoName(String),
}

/// A gossip message was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GossipError {
    /// Larger than the topic's cap.
    #[error("the message has {bytes} bytes, the topic carries at most {limit}")]
    TooLarge {
        /// The message's length.
        bytes: usize,
        /// The topic's cap.
        limit: usize,
    },
    /// The network's queue is full; the message was dropped and counted.
    #[error("the network is busy; the message was dropped, send it again later")]
    Busy,
    /// The network has been shut down.
    #[error("the network has been shut down")]
    Stopped,
}

/// A request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No live connection to that peer.
    #[error("not connected to the peer; ask another one")]
    NotConnected,
    /// The request is larger than a request may be.
    #[error("the request has {bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// The request's length.
        bytes: usize,
        /// The cap.
        limit: usize,
    },
    /// The peer limits us, or serves too many others.
    #[error("the peer is busy or limits us; wait, or ask another one")]
    Busy,
    /// The peer has no answer to this request.
    #[error("the peer refused the request; ask another one")]
    Refused,
    /// No answer in time.
    #[error("the peer did not answer in time; ask another one")]
    TimedOut,
    /// The answer broke the protocol (too long, unknown status) or the stream broke off.
    #[error("the peer's answer was broken: {0}")]
    Broken(String),
    /// The network has been shut down.
    #[error("the network has been shut down")]
    Stopped,
}

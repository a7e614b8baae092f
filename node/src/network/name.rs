//! Who a peer is: its name, its key, its address.
//!
//! A node's network identity is an ed25519 key of its own (never a validator's key). Its public half, 32
//! bytes, is the
//! peer's name; libp2p shows the same bytes as a `12D3KooW…` text, and so do we. Other kinds of libp2p
//! identity are
//! refused: one kind is enough, and the name then has one length and one spelling.

use super::error::AddressError;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, identity};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// What an ed25519 peer id holds before the key: identity multihash, 36 bytes, key type 1, 32 bytes.
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The name of a peer: the 32 bytes of its public ed25519 network key. Shown as libp2p shows it (`12D3KooW…`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName([u8; 32]);

impl PeerName {
    /// The name with these bytes. Bytes that are no public key name a peer that can never connect.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The public key's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The name behind a libp2p id, if that id holds an ed25519 key.
    pub(super) fn of(id: &PeerId) -> Option<Self> {
        id.to_bytes().strip_prefix(&PEER_ID_PREFIX)?.try_into().ok().map(Self)
    }

    /// The libp2p id of this name.
    pub(super) fn peer_id(&self) -> PeerId {
        let bytes = [&PEER_ID_PREFIX[..], &self.0[..]].concat();
        PeerId::from_bytes(&bytes).expect("prefix and 32 bytes are a well-formed identity multihash")
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peer_id().fmt(f)
    }
}

impl fmt::Debug for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerName({self})")
    }
}

impl FromStr for PeerName {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let id = PeerId::from_str(text).map_err(|_| AddressError::NotAName(text.to_owned()))?;
        Self::of(&id).ok_or_else(|| AddressError::NotEd25519(text.to_owned()))
    }
}

/// The secret ed25519 key of a node's network identity. It signs nothing but the connection's handshake.
#[derive(Clone)]
pub struct NetworkKey(identity::ed25519::Keypair);

impl NetworkKey {
    /// The key with this 32-byte secret seed.
    pub fn from_bytes(mut secret: [u8; 32]) -> Self {
        let secret = identity::ed25519::SecretKey::try_from_bytes(&mut secret)
            .expect("any 32 bytes are an ed25519 secret seed");
        Self(identity::ed25519::Keypair::from(secret))
    }

    /// The 32-byte secret seed, for the node's key file.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.secret().as_ref().try_into().expect("an ed25519 secret seed has 32 bytes")
    }

    /// The name that peers will know this node by.
    pub fn name(&self) -> PeerName {
        PeerName(self.0.public().to_bytes())
    }

    pub(super) fn keypair(&self) -> identity::Keypair {
        identity::Keypair::from(self.0.clone())
    }
}

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkKey(of {})", self.name())
    }
}

/// Where to dial a peer, and which peer must answer there: `/ip4/127.0.0.1/tcp/30300/p2p/12D3KooW…`.
///
/// The socket may be a proxy's: nothing ever replaces it by what the peer says about itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PeerAddress {
    /// The peer that must prove its key there.
    pub name: PeerName,
    /// The socket to dial.
    pub socket: SocketAddr,
}

impl PeerAddress {
    pub(super) fn multiaddr(&self) -> Multiaddr {
        multiaddr(self.socket)
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/p2p/{}", self.multiaddr(), self.name)
    }
}

impl FromStr for PeerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let address = Multiaddr::from_str(text).map_err(|_| AddressError::NotAnAddress(text.to_owned()))?;
        let Some(Protocol::P2p(id)) = address.iter().last() else {
            return Err(AddressError::NoName(text.to_owned()));
        };
        let name = PeerName::of(&id).ok_or_else(|| AddressError::NotEd25519(text.to_owned()))?;
        let exact = address.iter().count() == 3;
        match socket(&address) {
            Some(socket) if exact => Ok(Self { name, socket }),
            _ => Err(AddressError::NotAnAddress(text.to_owned())),
        }
    }
}

/// `/ip4/…/tcp/…` for a socket.
pub(super) fn multiaddr(socket: SocketAddr) -> Multiaddr {
    Multiaddr::from(socket.ip()).with(Protocol::Tcp(socket.port()))
}

/// The socket that an address begins with, if it begins with an IP address and a TCP port.
pub(super) fn socket(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_its_text_and_its_libp2p_form() {
        let key = NetworkKey::from_bytes([7; 32]);
        let name = key.name();
        assert_eq!(PeerName::of(&key.keypair().public().to_peer_id()), Some(name));
        assert_eq!(name.peer_id(), key.keypair().public().to_peer_id());
        assert_eq!(name.to_string().parse::<PeerName>().unwrap(), name);
        assert!(name.to_string().starts_with("12D3KooW"));
        assert_eq!(NetworkKey::from_bytes(key.to_bytes()).name(), name);
    }

    #[test]
    fn an_address_survives_its_text_and_bad_ones_say_why() {
        let name = NetworkKey::from_bytes([8; 32]).name();
        for socket in ["127.0.0.1:30300", "[::1]:4"] {
            let address = PeerAddress { name, socket: socket.parse().unwrap() };
            assert_eq!(address.to_string().parse::<PeerAddress>().unwrap(), address);
        }
        let bad = |text: &str| text.parse::<PeerAddress>().unwrap_err();
        assert!(matches!(bad("127.0.0.1:30300"), AddressError::NotAnAddress(_)));
        assert!(matches!(bad("/ip4/127.0.0.1/tcp/30300"), AddressError::NoName(_)));
        assert!(matches!(bad(&format!("/ip4/1.2.3.4/udp/1/p2p/{name}")), AddressError::NotAnAddress(_)));
        assert!(matches!(bad(&format!("/dns4/example.org/tcp/1/p2p/{name}")), AddressError::NotAnAddress(_)));
        assert!(matches!(bad(&format!("/ip4/1.2.3.4/tcp/1/ws/p2p/{name}")), AddressError::NotAnAddress(_)));
        let rsa_like = "/ip4/1.2.3.4/tcp/1/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC";
        assert!(matches!(bad(rsa_like), AddressError::NotEd25519(_)));
    }
}

//! Who may hold a connection at all, beyond the plain counts of libp2p's own limits (P2P-6).
//!
//! Four rules: at most two connections for a peer (two, because a peer that restarted may come back before its
//! old connection is known to be dead), at most a few inbound ones from one /24 or /48 at a time and so many new
//! ones a second, and none for a peer that broke the rules a moment ago. A name costs its owner nothing, so that
//! bans alone would let a flood go on under ever new ones: what bounds it is the pace of its subnet. Loopback is
//! exempt from the rules on subnets; reserved peers, once their handshake has named them, from the count.

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, ListenFailure, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Instant;

use super::bucket::Bucket;
use super::name;

/// Connections that one peer may hold.
const PER_PEER: usize = 2;
/// Bans remembered; beyond that the one that ends first is forgotten.
const BANS: usize = 4096;

/// New connections from one subnet: at once, and in a second.
const PACE: (u32, u32) = (32, 2);
/// Subnets whose pace is remembered; beyond that all new ones share one.
const PACED: usize = 4096;

/// Why a connection is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the peer broke the rules a moment ago")]
    Banned,
    #[error("the peer already holds {PER_PEER} connections")]
    PerPeer,
    #[error("too many connections from its subnet")]
    PerSubnet,
    #[error("connections from its subnet come too fast")]
    TooFast,
}

/// The first 24 bits of an IPv4 address, 48 of an IPv6 one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Subnet {
    V4([u8; 3]),
    V6([u8; 6]),
}

/// The gate's books.
pub(super) struct Gate {
    reserved: HashSet<PeerId>,
    per_subnet: usize,
    banned: HashMap<PeerId, Instant>,
    /// Inbound connections, handshakes under way included, that count against a subnet.
    inbound: HashMap<ConnectionId, Subnet>,
    established: HashMap<PeerId, HashSet<ConnectionId>>,
    paces: HashMap<Option<Subnet>, Bucket>,
}

impl Gate {
    pub(super) fn new(reserved: HashSet<PeerId>, per_subnet: usize) -> Self {
        Self {
            reserved,
            per_subnet,
            banned: HashMap::new(),
            inbound: HashMap::new(),
            established: HashMap::new(),
            paces: HashMap::new(),
        }
    }

    /// Keeps a peer out until then.
    pub(super) fn ban(&mut self, peer: PeerId, until: Instant) {
        let now = Instant::now();
        self.banned.retain(|_, end| *end > now);
        if self.banned.len() >= BANS {
            let first = self.banned.iter().min_by_key(|(_, end)| **end).map(|(peer, _)| *peer);
            first.and_then(|peer| self.banned.remove(&peer));
        }
        self.banned.insert(peer, until);
    }

    fn admit(&mut self, peer: PeerId, connection: ConnectionId) -> Result<(), ConnectionDenied> {
        if self.banned.get(&peer).is_some_and(|end| *end > Instant::now()) {
            return Err(ConnectionDenied::new(Refusal::Banned));
        }
        let held = self.established.entry(peer).or_default();
        if held.len() >= PER_PEER {
            return Err(ConnectionDenied::new(Refusal::PerPeer));
        }
        held.insert(connection);
        Ok(())
    }

    fn admit_from(&mut self, connection: ConnectionId, address: &Multiaddr) -> Result<(), ConnectionDenied> {
        let Some(subnet) = subnet(address) else {
            return Ok(());
        };
        if !self.keeps_pace(subnet, Instant::now()) {
            return Err(ConnectionDenied::new(Refusal::TooFast));
        }
        if self.inbound.values().filter(|other| **other == subnet).count() >= self.per_subnet {
            return Err(ConnectionDenied::new(Refusal::PerSubnet));
        }
        self.inbound.insert(connection, subnet);
        Ok(())
    }

    /// Whether another connection from this subnet comes slowly enough.
    fn keeps_pace(&mut self, subnet: Subnet, now: Instant) -> bool {
        let mut key = Some(subnet);
        if self.paces.len() >= PACED && !self.paces.contains_key(&key) {
            self.paces.retain(|_, pace| !pace.is_full(now));
            key = key.filter(|_| self.paces.len() < PACED);
        }
        self.paces.entry(key).or_insert_with(|| Bucket::new(PACE.0, PACE.1, now)).take(now)
    }

    fn forget(&mut self, peer: Option<PeerId>, connection: ConnectionId) {
        self.inbound.remove(&connection);
        let Some(peer) = peer else { return };
        if let Some(held) = self.established.get_mut(&peer) {
            held.remove(&connection);
            if held.is_empty() {
                self.established.remove(&peer);
            }
        }
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.admit_from(connection, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(peer, connection)?;
        if self.reserved.contains(&peer) {
            self.inbound.remove(&connection);
        }
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(peer, connection)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                self.forget(Some(peer_id), connection_id);
            }
            FromSwarm::ListenFailure(ListenFailure { connection_id, peer_id, .. }) => {
                self.forget(peer_id, connection_id);
            }
            FromSwarm::DialFailure(failure) => self.forget(failure.peer_id, failure.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

/// The subnet of an address that counts; loopback does not.
fn subnet(address: &Multiaddr) -> Option<Subnet> {
    match name::socket(address)?.ip().to_canonical() {
        ip if ip.is_loopback() => None,
        IpAddr::V4(ip) => ip.octets().first_chunk().copied().map(Subnet::V4),
        IpAddr::V6(ip) => ip.octets().first_chunk().copied().map(Subnet::V6),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn address(ip: &str) -> Multiaddr {
        name::multiaddr(format!("{ip}:1").parse().unwrap())
    }

    fn inbound(gate: &mut Gate, number: usize, ip: &str) -> Result<(), ConnectionDenied> {
        gate.handle_pending_inbound_connection(
            ConnectionId::new_unchecked(number),
            &address("10.0.0.1"),
            &address(ip),
        )
    }

    #[test]
    fn p2p_6_a_subnet_takes_its_share_and_loopback_is_exempt() {
        let mut gate = Gate::new(HashSet::new(), 2);
        assert!(inbound(&mut gate, 1, "8.8.8.1").is_ok());
        assert!(inbound(&mut gate, 2, "8.8.8.2").is_ok());
        let denied = inbound(&mut gate, 3, "8.8.8.3").unwrap_err();
        assert!(matches!(denied.downcast::<Refusal>(), Ok(Refusal::PerSubnet)));
        assert!(inbound(&mut gate, 4, "8.8.9.1").is_ok());
        for number in 5..20 {
            assert!(inbound(&mut gate, number, "127.0.0.1").is_ok());
        }
        gate.forget(None, ConnectionId::new_unchecked(1));
        assert!(inbound(&mut gate, 20, "8.8.8.9").is_ok());
    }

    #[test]
    fn p2p_6_a_subnet_that_dials_without_end_is_slowed_and_the_table_of_paces_is_bounded() {
        let (mut gate, now) = (Gate::new(HashSet::new(), 2), Instant::now());
        let here = Subnet::V4([8, 8, 8]);
        let taken = (0..1000).filter(|_| gate.keeps_pace(here, now)).count();
        assert_eq!(taken, PACE.0 as usize);
        assert!(gate.keeps_pace(Subnet::V4([8, 8, 9]), now), "another subnet has a pace of its own");
        assert!(gate.keeps_pace(here, now + Duration::from_secs(1)));
        for number in 0..2 * PACED as u16 {
            let [high, low] = number.to_be_bytes();
            gate.keeps_pace(Subnet::V6([1, 2, 3, 4, high, low]), now);
        }
        assert!(gate.paces.len() <= PACED + 1);
        assert!(!gate.keeps_pace(Subnet::V4([9, 9, 9]), now), "those beyond share one");
    }

    #[test]
    fn p2p_6_a_reserved_peer_does_not_use_up_its_subnet() {
        let reserved = PeerId::random();
        let mut gate = Gate::new(HashSet::from([reserved]), 1);
        let (here, there) = (address("10.0.0.1"), address("8.8.8.1"));
        inbound(&mut gate, 1, "8.8.8.1").unwrap();
        let first = ConnectionId::new_unchecked(1);
        gate.handle_established_inbound_connection(first, reserved, &here, &there).unwrap();
        assert!(inbound(&mut gate, 2, "8.8.8.1").is_ok());
    }

    #[test]
    fn p2p_6_two_connections_a_peer_and_none_for_the_banned() {
        let mut gate = Gate::new(HashSet::new(), 2);
        let peer = PeerId::random();
        let id = ConnectionId::new_unchecked;
        assert!(gate.admit(peer, id(1)).is_ok());
        assert!(gate.admit(peer, id(2)).is_ok());
        assert!(matches!(gate.admit(peer, id(3)).unwrap_err().downcast(), Ok(Refusal::PerPeer)));
        gate.forget(Some(peer), id(1));
        assert!(gate.admit(peer, id(4)).is_ok());

        let villain = PeerId::random();
        gate.ban(villain, Instant::now() + Duration::from_secs(60));
        assert!(matches!(gate.admit(villain, id(5)).unwrap_err().downcast(), Ok(Refusal::Banned)));
    }

    #[test]
    fn the_list_of_bans_is_bounded() {
        let mut gate = Gate::new(HashSet::new(), 2);
        let start = Instant::now();
        for number in 0..BANS + 10 {
            gate.ban(PeerId::random(), start + Duration::from_secs(1000 + number as u64));
        }
        assert_eq!(gate.banned.len(), BANS);
    }
}

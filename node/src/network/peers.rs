//! The peer table: who is connected over what, who is to be dialled and when, who has lost our respect.
//!
//! The swarm never dials again by itself; this table does, with a doubling, jittered wait that a good hello
//! resets. Only
//! configured sockets are dialled: what a peer says about its own addresses is never even asked, so a proxy
//! between two nodes stays between
//! them. When two connections to one peer exist, [`survivor`] names the one that stays, the same on both sides.

use super::config::{Clocks, NetworkLimits, REDIAL_RESERVED};
use super::link::{Link, Links};
use super::name::{PeerAddress, PeerName};
use super::outbox::Crowd;
use libp2p::swarm::ConnectionId;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A live connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) outbound: bool,
    pub(super) address: SocketAddr,
    pub(super) since: Instant,
}

/// A session under way.
pub(super) struct Running {
    pub(super) connection: ConnectionId,
    /// Dropped to end it.
    pub(super) cancel: Option<oneshot::Sender<()>>,
    /// Its connection is gone: it reads what had arrived and then ends by itself.
    pub(super) draining: bool,
    /// Resolves when it is over; the next session of the peer takes it.
    pub(super) over: oneshot::Receiver<()>,
}

/// A peer that we keep a connection to.
pub(super) struct Dialling {
    pub(super) sockets: Vec<SocketAddr>,
    /// Attempts since the last good hello.
    failures: u32,
    /// When to dial; `None` while a dial is under way or a connection lives.
    due: Option<Instant>,
    cap: Duration,
    /// The larger name waits this much longer, so that two nodes rarely dial each other at the same moment.
    courtesy: Duration,
}

/// One row of the table.
pub(super) struct Peer {
    pub(super) link: Arc<Link>,
    pub(super) connections: Vec<Connection>,
    pub(super) running: Option<Running>,
    pub(super) dialling: Option<Dialling>,
    pub(super) standing: f64,
}

/// The table.
pub(super) struct Peers {
    rows: BTreeMap<PeerName, Peer>,
    reserved: BTreeSet<PeerName>,
    links: Arc<Links>,
    limits: NetworkLimits,
    clocks: Clocks,
    jitter: Jitter,
    crowd: Arc<Crowd>,
}

impl Peers {
    /// A table with a row for each configured peer, all due at once.
    pub(super) fn new(
        local: PeerName,
        configured: &[PeerAddress],
        reserved: &[PeerName],
        links: Arc<Links>,
        limits: &NetworkLimits,
        clocks: Clocks,
    ) -> Self {
        let reserved = reserved.iter().copied().collect();
        let (rows, limits) = (BTreeMap::new(), limits.clone());
        let crowd = Arc::new(Crowd::new(limits.outbox_bytes_of_strangers));
        let mut peers = Self { rows, reserved, links, limits, clocks, jitter: Jitter::default(), crowd };
        let now = Instant::now();
        for address in configured {
            let cap = peers.redial_cap(&address.name);
            let courtesy = if local < address.name { Duration::ZERO } else { 2 * clocks.redial_first };
            let due = Some(now + courtesy);
            let fresh = Dialling { sockets: Vec::new(), failures: 0, due, cap, courtesy };
            let dialling = peers.row(address.name, true).dialling.get_or_insert(fresh);
            if !dialling.sockets.contains(&address.socket) {
                dialling.sockets.push(address.socket);
            }
        }
        peers
    }

    fn redial_cap(&self, name: &PeerName) -> Duration {
        let member = if self.reserved.contains(name) { REDIAL_RESERVED } else { self.clocks.redial_cap };
        member.min(self.clocks.redial_cap)
    }

    fn row(&mut self, name: PeerName, configured: bool) -> &mut Peer {
        let trusted = configured || self.reserved.contains(&name);
        self.rows.entry(name).or_insert_with(|| {
            let link = Arc::new(Link::new(name, trusted, &self.limits, &self.crowd));
            self.links.insert(Arc::clone(&link));
            Peer { link, connections: Vec::new(), running: None, dialling: None, standing: 0.0 }
        })
    }

    /// The peer's row, if there is one.
    pub(super) fn find(&mut self, name: &PeerName) -> Option<&mut Peer> {
        self.rows.get_mut(name)
    }

    /// Every row.
    pub(super) fn all(&mut self) -> impl Iterator<Item = (&PeerName, &mut Peer)> {
        self.rows.iter_mut()
    }

    /// Notes a new connection; returns those that must be closed because of it.
    pub(super) fn connected(
        &mut self,
        local: PeerName,
        name: PeerName,
        new: Connection,
    ) -> Vec<ConnectionId> {
        let window = self.clocks.simultaneous;
        let peer = self.row(name, false);
        if let Some(dialling) = &mut peer.dialling {
            dialling.due = None;
        }
        let mut closing = Vec::new();
        let new_stays =
            peer.connections.iter().all(|old| survivor(local, name, old, &new, window) == Survivor::New);
        if new_stays {
            closing.extend(peer.connections.drain(..).map(|old| old.id));
            peer.connections.push(new);
        } else {
            closing.push(new.id);
        }
        closing
    }

    /// Notes that a connection is gone. When it was the last, the peer will be dialled again, or its row goes.
    pub(super) fn disconnected(&mut self, name: &PeerName, id: ConnectionId) {
        if let Some(peer) = self.rows.get_mut(name) {
            peer.connections.retain(|connection| connection.id != id);
            if let Some(running) = peer.running.as_mut().filter(|running| running.connection == id) {
                running.draining = true;
            }
        }
        self.settle(name);
    }

    /// Notes that a dial failed.
    pub(super) fn dial_failed(&mut self, name: &PeerName) {
        self.settle(name);
    }

    /// A peer without a connection is scheduled or, if nobody configured it and its session is over, forgotten.
    pub(super) fn settle(&mut self, name: &PeerName) {
        let Some(peer) = self.rows.get_mut(name) else { return };
        if !peer.connections.is_empty() {
            return;
        }
        peer.link.unsubscribe();
        let (first, unit) = (self.clocks.redial_first, self.jitter.next());
        match &mut peer.dialling {
            Some(dialling) if dialling.due.is_none() => dialling.schedule(Instant::now(), first, unit),
            Some(_) => {}
            None if peer.running.is_none() => {
                self.links.remove(name);
                self.rows.remove(name);
            }
            None => {}
        }
    }

    /// No dial to this peer for a while.
    pub(super) fn postpone(&mut self, name: &PeerName, until: Instant) {
        if let Some(dialling) = self.rows.get_mut(name).and_then(|peer| peer.dialling.as_mut()) {
            dialling.due = Some(until);
        }
    }

    /// The good hello that resets the wait.
    pub(super) fn greeted(&mut self, name: &PeerName) {
        if let Some(dialling) = self.rows.get_mut(name).and_then(|peer| peer.dialling.as_mut()) {
            dialling.failures = 0;
        }
    }

    /// When the next dial is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.rows.values().filter_map(|peer| peer.dialling.as_ref()?.due).min()
    }

    /// Takes the dials that are due.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(PeerName, Vec<SocketAddr>)> {
        let mut taken = Vec::new();
        for (name, peer) in &mut self.rows {
            let Some(dialling) = &mut peer.dialling else { continue };
            if dialling.due.is_some_and(|due| due <= now) {
                dialling.due = None;
                if peer.connections.is_empty() {
                    taken.push((*name, dialling.sockets.clone()));
                }
            }
        }
        taken
    }
}

impl Peer {
    /// The connection that requests and messages use.
    pub(super) fn connection(&self) -> Option<&Connection> {
        self.connections.first()
    }

    /// Ends the session, unless it ends by itself; its `over` stays for a successor.
    pub(super) fn end_session(&mut self) {
        if let Some(running) = self.running.as_mut().filter(|running| !running.draining) {
            running.cancel = None;
        }
    }
}

impl Dialling {
    fn schedule(&mut self, now: Instant, first: Duration, unit: f64) {
        let doubled = first.saturating_mul(1 << self.failures.min(16)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        // Between a half and the whole wait: two nodes that lost each other do not dial in step for ever.
        self.due = Some(now + self.courtesy + doubled.mul_f64(0.5 + unit / 2.0));
    }
}

/// Which of two connections to one peer stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Survivor {
    Old,
    New,
}

/// A node dials only when it knows of no connection, so a newer connection means that its dialler lost the
/// older one:
/// the newer stays. Unless both dialled each other at the same moment; then the one that the smaller name
/// dialled stays, which both sides
/// decide alike.
fn survivor(
    local: PeerName,
    remote: PeerName,
    old: &Connection,
    new: &Connection,
    window: Duration,
) -> Survivor {
    let opposite = old.outbound != new.outbound;
    let simultaneous = new.since.saturating_duration_since(old.since) < window;
    if opposite && simultaneous && old.outbound == (local < remote) { Survivor::Old } else { Survivor::New }
}

/// Numbers in [0, 1) that need not be secret, only different from node to node.
#[derive(Default)]
struct Jitter {
    seed: RandomState,
    count: u64,
}

impl Jitter {
    fn next(&mut self) -> f64 {
        self.count += 1;
        (self.seed.hash_one(self.count) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: PeerName = PeerName::from_bytes([1; 32]);
    const LARGE: PeerName = PeerName::from_bytes([2; 32]);
    const WINDOW: Duration = Duration::from_secs(1);

    fn connection(id: usize, outbound: bool, since: Instant) -> Connection {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Connection { id: ConnectionId::new_unchecked(id), outbound, address, since }
    }

    fn table(configured: &[PeerAddress]) -> Peers {
        let limits = NetworkLimits::default();
        Peers::new(SMALL, configured, &[], Arc::default(), &limits, Clocks::of(true))
    }

    /// Whatever the order in which each side learns of two simultaneous connections, both keep the same one.
    #[test]
    fn simultaneous_dials_leave_the_one_of_the_smaller_name_on_both_sides() {
        let now = Instant::now();
        for (local, remote) in [(SMALL, LARGE), (LARGE, SMALL)] {
            let of_small = connection(1, local == SMALL, now);
            let of_large = connection(2, local == LARGE, now);
            for (first, second) in [(of_small, of_large), (of_large, of_small)] {
                let mut peers = table(&[]);
                assert!(peers.connected(local, remote, first).is_empty());
                assert_eq!(peers.connected(local, remote, second), [of_large.id]);
                assert_eq!(peers.find(&remote).map(|peer| peer.connections.clone()), Some(vec![of_small]));
            }
        }
    }

    #[test]
    fn a_peer_that_comes_back_replaces_its_dead_connection() {
        let now = Instant::now();
        let dead = connection(1, true, now);
        let back = connection(2, false, now + WINDOW * 3);
        let mut peers = table(&[]);
        peers.connected(SMALL, LARGE, dead);
        assert_eq!(peers.connected(SMALL, LARGE, back), [dead.id]);
        let again = connection(3, false, back.since);
        assert_eq!(peers.connected(SMALL, LARGE, again), [back.id]);
    }

    #[test]
    fn a_configured_peer_is_dialled_again_with_growing_capped_waits() {
        let address = PeerAddress { name: LARGE, socket: SocketAddr::from(([127, 0, 0, 1], 9)) };
        let mut peers = table(&[address]);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let due = peers.next_due().expect("a dial is due");
            waits.push(due.saturating_duration_since(Instant::now()));
            assert_eq!(peers.take_due(due), [(LARGE, vec![address.socket])]);
            assert_eq!(peers.next_due(), None);
            peers.dial_failed(&LARGE);
        }
        let cap = Clocks::of(true).redial_cap;
        assert!(waits[1] <= Clocks::of(true).redial_first);
        assert!(waits.iter().all(|wait| *wait <= cap));
        assert!(waits[11] >= cap / 4, "{waits:?}");
    }

    #[test]
    fn a_connected_peer_is_not_dialled_and_a_stranger_is_forgotten() {
        let address = PeerAddress { name: LARGE, socket: SocketAddr::from(([127, 0, 0, 1], 9)) };
        let mut peers = table(&[address]);
        let now = Instant::now();
        let inbound = connection(1, false, now);
        peers.connected(SMALL, LARGE, inbound);
        assert_eq!(peers.next_due(), None);
        peers.disconnected(&LARGE, inbound.id);
        assert!(peers.next_due().is_some());

        let stranger = PeerName::from_bytes([3; 32]);
        peers.connected(SMALL, stranger, inbound);
        assert!(peers.links.find(&stranger).is_some());
        peers.disconnected(&stranger, inbound.id);
        assert!(peers.find(&stranger).is_none());
        assert!(peers.links.find(&stranger).is_none());
    }
}

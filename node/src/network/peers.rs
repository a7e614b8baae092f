//! The peer table: who is connected over what, who is to be dialled and when, who has lost our respect.
//!
//! The swarm never dials again by itself; this table does, with a doubling, jittered wait that a good hello
//! resets. Only
//! configured sockets are dialled: what a peer says about its own addresses is never even asked, so a proxy
//! between two nodes stays between
//! them. When two connections to one peer exist, [`survivor`] names the one that stays, the same on both sides.
//!
//! Gossip tells a peer what it subscribes to once, over its first connection. So the one that does not stay is left
//! open until the other side surely has the one that does: to a side that loses its first connection before it has the
//! second, the second is a first, over which nobody says anything again.

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

/// How long a connection that does not stay is left open, without a session.
const LINGERING: Duration = Duration::from_secs(1);

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
    /// The one that stays, if there is any.
    pub(super) connection: Option<Connection>,
    /// Those that do not, and since when.
    leaving: Vec<(ConnectionId, Instant)>,
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
            Peer { link, connection: None, leaving: Vec::new(), running: None, dialling: None, standing: 0.0 }
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
        let Some(old) = peer.connection else {
            peer.connection = Some(new);
            return Vec::new();
        };
        match survivor(local, name, &old, &new, window) {
            Some(staying) => {
                let going = if staying == old.id { new.id } else { old.id };
                peer.leaving.push((going, new.since));
                peer.connection = Some(if staying == old.id { old } else { new });
                Vec::new()
            }
            None => {
                peer.connection = None;
                let leaving = peer.leaving.drain(..).map(|(id, _)| id);
                leaving.chain([old.id, new.id]).collect()
            }
        }
    }

    /// Notes that a connection is gone. When it was the one that stays, the peer will be dialled again, or its row goes;
    /// returns those that must be closed then.
    pub(super) fn disconnected(&mut self, name: &PeerName, id: ConnectionId) -> Vec<ConnectionId> {
        let mut closing = Vec::new();
        if let Some(peer) = self.rows.get_mut(name) {
            peer.leaving.retain(|(leaving, _)| *leaving != id);
            if peer.connection.take_if(|connection| connection.id == id).is_some() {
                closing.extend(peer.leaving.drain(..).map(|(id, _)| id));
            }
            if let Some(running) = peer.running.as_mut().filter(|running| running.connection == id) {
                running.draining = true;
            }
        }
        self.settle(name);
        closing
    }

    /// Takes the connections that have been left open for long enough.
    pub(super) fn take_leaving(&mut self, now: Instant) -> Vec<ConnectionId> {
        let is_over =
            |(_, since): &mut (ConnectionId, Instant)| now.saturating_duration_since(*since) >= LINGERING;
        let leaving = self.rows.values_mut().flat_map(|peer| peer.leaving.extract_if(.., is_over));
        leaving.map(|(id, _)| id).collect()
    }

    /// Notes that a dial failed.
    pub(super) fn dial_failed(&mut self, name: &PeerName) {
        self.settle(name);
    }

    /// A peer without a connection is scheduled or, if nobody configured it and its session is over, forgotten.
    pub(super) fn settle(&mut self, name: &PeerName) {
        let Some(peer) = self.rows.get_mut(name) else { return };
        if peer.connection.is_some() {
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
                if peer.connection.is_none() {
                    taken.push((*name, dialling.sockets.clone()));
                }
            }
        }
        taken
    }
}

impl Peer {
    /// Whether this connection is only left open.
    pub(super) fn is_leaving(&self, id: ConnectionId) -> bool {
        self.leaving.iter().any(|(leaving, _)| *leaving == id)
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
///
/// If both dialled each other at the same moment it is the one that the smaller name dialled, which both sides decide
/// alike. Otherwise a node dials only when it knows of no connection, so a newer one means that its dialler lost the
/// older one and has forgotten what was said over it: neither stays, and the next one begins afresh.
fn survivor(
    local: PeerName,
    remote: PeerName,
    old: &Connection,
    new: &Connection,
    window: Duration,
) -> Option<ConnectionId> {
    let opposite = old.outbound != new.outbound;
    let simultaneous = new.since.saturating_duration_since(old.since) < window;
    let of_smaller = if old.outbound == (local < remote) { old } else { new };
    (opposite && simultaneous).then_some(of_smaller.id)
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
                assert!(peers.connected(local, remote, second).is_empty());
                let peer = peers.find(&remote).unwrap();
                assert_eq!(peer.connection, Some(of_small));
                assert!(peer.is_leaving(of_large.id) && !peer.is_leaving(of_small.id));
            }
        }
    }

    #[test]
    fn the_one_that_does_not_stay_is_closed_once_both_sides_have_the_other() {
        let now = Instant::now();
        let (staying, leaving) = (connection(1, true, now), connection(2, false, now));
        let mut peers = table(&[]);
        peers.connected(SMALL, LARGE, leaving);
        peers.connected(SMALL, LARGE, staying);
        assert!(peers.take_leaving(now + LINGERING / 2).is_empty());
        assert_eq!(peers.take_leaving(now + LINGERING), [leaving.id]);
        assert!(peers.take_leaving(now + LINGERING).is_empty());

        // Without the one that stays it is good for nothing.
        peers.connected(SMALL, LARGE, leaving);
        assert!(peers.disconnected(&LARGE, leaving.id).is_empty());
        peers.connected(SMALL, LARGE, leaving);
        assert_eq!(peers.disconnected(&LARGE, staying.id), [leaving.id]);
        assert!(peers.find(&LARGE).is_none());
    }

    #[test]
    fn a_peer_that_comes_back_while_its_dead_connection_is_known_begins_afresh() {
        let now = Instant::now();
        let dead = connection(1, true, now);
        let back = connection(2, false, now + WINDOW * 3);
        let mut peers = table(&[]);
        peers.connected(SMALL, LARGE, dead);
        assert_eq!(peers.connected(SMALL, LARGE, back), [dead.id, back.id]);
        assert_eq!(peers.find(&LARGE).unwrap().connection, None);
        // From the same side it is no simultaneous dial, however soon.
        peers.connected(SMALL, LARGE, back);
        let again = connection(3, false, back.since);
        assert_eq!(peers.connected(SMALL, LARGE, again), [back.id, again.id]);
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

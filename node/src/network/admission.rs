//! Who stays: connections made and lost, sessions begun and ended, standings, expulsions. The driver's other
//! half.

use super::driver::{Driver, Ended, ROUND};
use super::frame::{Hello, HelloError};
use super::kind::{Demerit, OUT};
use super::name::{self, PeerName};
use super::peers::{Connection, Running};
use super::session::{End, Ending, Session};
use libp2p::core::ConnectedPoint;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{PeerId, Stream};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

impl Driver {
    pub(super) fn on_connected(&mut self, peer_id: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let address = name::socket(endpoint.get_remote_address());
        let (Some(peer), Some(address)) = (PeerName::of(&peer_id), address) else {
            tracing::info!(peer = %peer_id, "dropping a peer whose identity is no ed25519 key");
            self.swarm.close_connection(id);
            return;
        };
        let outbound = endpoint.is_dialer();
        let connection = Connection { id, outbound, address, since: Instant::now() };
        for closing in self.peers.connected(self.local, peer, connection) {
            tracing::debug!(%peer, "a peer came back before its old connection was known to be dead");
            self.swarm.close_connection(closing);
        }
    }

    pub(super) fn on_dial_error(&mut self, peer_id: &PeerId, error: &DialError) {
        let Some(peer) = PeerName::of(peer_id) else { return };
        match error {
            DialError::WrongPeerId { obtained, address } => tracing::warn!(
                "{address} answered as {obtained}, not as {peer}; correct the /p2p/ part of its address, or the address"
            ),
            error => tracing::debug!(%peer, %error, "a dial failed"),
        }
        self.peers.dial_failed(&peer);
    }

    pub(super) fn start_session(&mut self, name: PeerName, id: ConnectionId, stream: Stream) {
        let Some(peer) = self.peers.find(&name) else { return };
        // A stream of a connection that lost against another one is not worth a hello.
        let Some(connection) = peer.connection.filter(|connection| connection.id == id) else { return };
        peer.end_session();
        let ((cancel, cancelled), (over, is_over)) = (oneshot::channel(), oneshot::channel());
        let running = Running { connection: id, cancel: Some(cancel), draining: false, over: is_over };
        let predecessor = peer.running.replace(running).map(|running| running.over);
        let budget = if peer.link.trusted { &self.budgets.0 } else { &self.budgets.1 };
        let session = Session {
            link: Arc::clone(&peer.link),
            address: connection.address,
            outbound: connection.outbound,
            hello: Hello::ours(self.genesis),
            clocks: self.clocks,
            door: self.door.clone(),
            budget: budget.clone(),
            metrics: self.metrics.clone(),
            predecessor,
            over,
        };
        let ending = Ending { cancel: cancelled, shutdown: self.shutdown.clone() };
        self.sessions.spawn(async move { (name, id, session.run(stream, ending).await) });
    }

    pub(super) fn on_session_end(&mut self, (name, id, end): Ended) {
        tracing::debug!(peer = %name, %end, "a session ended");
        let peer = self.peers.find(&name);
        let is_leaving = peer.is_some_and(|peer| {
            peer.running.take_if(|running| running.connection == id);
            peer.is_leaving(id)
        });
        if !is_leaving {
            self.swarm.close_connection(id);
        }
        match &end {
            End::Hello(
                error @ (HelloError::Genesis { .. } | HelloError::Version { .. } | HelloError::Malformed),
            ) => {
                self.expel(name, "hello", error);
            }
            End::Frame(error) if error.is_misbehaviour() => self.expel(name, "frame", error),
            _ => {}
        }
        self.peers.settle(&name);
    }

    pub(super) fn dial(&mut self, peer: PeerName, sockets: &[SocketAddr]) {
        let addresses = sockets.iter().copied().map(name::multiaddr).collect();
        let dial = DialOpts::peer_id(peer.peer_id())
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            // A dial from the listening port would meet the remains of earlier connections to the same pair
            // of ports.
            .allocate_new_port()
            .build();
        if let Err(error) = self.swarm.dial(dial) {
            tracing::debug!(%peer, %error, "a dial could not begin");
            self.peers.dial_failed(&peer);
        }
    }

    /// Once a second: standings grow back, scores are looked at, connections without a hello go, and whoever
    /// gossiped more than its share pays for it.
    pub(super) fn round(&mut self, now: Instant) {
        self.charge_eager_gossip();
        let (mut out, mut silent, mut greeted) = (Vec::new(), Vec::new(), Vec::new());
        for (name, peer) in self.peers.all() {
            peer.standing = (peer.standing + ROUND.as_secs_f64()).min(0.0);
            let id = name.peer_id();
            let gossip = &mut self.swarm.behaviour_mut().gossip.gossip;
            gossip.set_application_score(&id, peer.standing);
            let score = gossip.peer_score(&id).unwrap_or(peer.standing);
            peer.link.mark(peer.standing, score);
            if score <= OUT && peer.connection.is_some() {
                out.push((*name, score));
            }
            if peer.link.is_up() {
                greeted.push(*name);
            } else {
                // A session has its own clock; a connection without one has only this.
                let greeting = peer.running.as_ref().map(|running| running.connection);
                let late = |connection: &&Connection| {
                    now.saturating_duration_since(connection.since) > self.clocks.hello
                        && Some(connection.id) != greeting
                };
                silent.extend(peer.connection.iter().filter(late).map(|connection| (*name, connection.id)));
            }
        }
        for name in greeted {
            self.peers.greeted(&name);
        }
        for connection in self.peers.take_leaving(now) {
            self.swarm.close_connection(connection);
        }
        for (name, score) in out {
            self.expel(name, "score", &format_args!("its score fell to {score:.0}"));
        }
        for (peer, connection) in silent {
            tracing::info!(%peer, "dropping a peer that did not say hello in time");
            self.metrics.refused("silent");
            self.swarm.close_connection(connection);
        }
    }

    fn charge_eager_gossip(&mut self) {
        let (eager, dropped) = self.swarm.behaviour_mut().gossip.take_excess();
        self.metrics.gossip_throttled(dropped);
        for (peer, times) in eager {
            if let Some(peer) = PeerName::of(&peer) {
                self.charge(peer, Demerit::Eager.points() * f64::from(times), Demerit::Eager.label());
            }
        }
    }

    /// Lowers a peer's standing, and drops it when there is none left.
    pub(super) fn charge(&mut self, name: PeerName, points: f64, reason: &'static str) {
        self.metrics.demerit(reason);
        let Some(peer) = self.peers.find(&name) else { return };
        let before = peer.standing;
        peer.standing = (before - points).max(OUT);
        let (after, connected) = (peer.standing, peer.connection.is_some());
        self.swarm.behaviour_mut().gossip.gossip.set_application_score(&name.peer_id(), after);
        if after <= OUT && before > OUT && connected {
            self.expel(name, reason, &"its standing is used up");
        }
    }

    /// Drops a peer and keeps it out for a while.
    pub(super) fn expel(&mut self, peer: PeerName, label: &'static str, reason: &dyn std::fmt::Display) {
        let wait = self.clocks.ban;
        tracing::warn!("dropping peer {peer} and refusing it for {wait:?}: {reason}");
        self.metrics.refused(label);
        let until = Instant::now() + wait;
        self.swarm.behaviour_mut().gate.ban(peer.peer_id(), until);
        // An error means that it is not connected.
        let _ = self.swarm.disconnect_peer_id(peer.peer_id());
        self.peers.postpone(&peer, until);
    }
}

//! The one task that owns the swarm: turns commands into libp2p calls and libp2p's events into sessions and
//! gossip.
//!
//! It never waits for the node: what the node must hear about goes through the door's bounded channel, from
//! the sessions' own tasks
//! (which may wait) or, for gossip, only when there is room.

use super::config::{Clocks, NetworkLimits};
use super::event::{Budget, Door};
use super::kind::{Demerit, GossipId, Topic, Verdict};
use super::link::Links;
use super::metrics::{Carrier, Metrics};
use super::name::PeerName;
use super::peers::Peers;
use super::request::{self, Serving};
use super::session::End;
use super::streams::{StreamEvent, Waiter};
use super::swarm::{Stack, StackEvent};
use alloy_primitives::{B256, Bytes};
use libp2p::futures::StreamExt;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId, PublishError, TopicHash};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{PeerId, Stream, Swarm};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

/// Between two looks at standings, scores and silent connections.
pub(super) const ROUND: Duration = Duration::from_secs(1);
/// How long closing the last connections may take at shutdown.
const CLOSING: Duration = Duration::from_secs(1);
/// Answers of "busy" that may be on their way; beyond that a stream is reset without one.
const TURNED_AWAY: usize = 64;

/// What the handle asks for.
pub(super) enum Command {
    Publish(Topic, Bytes),
    Judge(GossipId, Verdict),
    Demote(PeerName, Demerit),
    Open(PeerName, Waiter),
}

/// A session's name and its end.
pub(super) type Ended = (PeerName, ConnectionId, End);
/// A served request's peer, and whether it broke the protocol.
type Served = (PeerName, bool);

/// The task's state.
pub(super) struct Driver {
    pub(super) swarm: Swarm<Stack>,
    pub(super) local: PeerName,
    pub(super) genesis: B256,
    pub(super) limits: NetworkLimits,
    pub(super) clocks: Clocks,
    pub(super) peers: Peers,
    pub(super) links: Arc<Links>,
    pub(super) door: Door,
    pub(super) metrics: Metrics,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) shutdown: watch::Receiver<bool>,
    pub(super) sessions: JoinSet<Ended>,
    pub(super) serving: JoinSet<Served>,
    pub(super) turned_away: JoinSet<()>,
    pub(super) places: Arc<Semaphore>,
    /// Bytes that may wait for the node: of trusted peers, and of strangers.
    pub(super) budgets: (Budget, Budget),
    pub(super) next_round: Instant,
    /// Says by its end, the last, that everything above is gone: connections, listeners, ports.
    pub(super) _running: watch::Sender<()>,
}

impl Driver {
    /// Runs until the handle shuts it down or is dropped.
    pub(super) async fn run(mut self, early: Vec<SwarmEvent<StackEvent>>) {
        for event in early {
            self.on_swarm(event);
        }
        loop {
            let wake = self.peers.next_due().map_or(self.next_round, |due| due.min(self.next_round));
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event),
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => break,
                },
                Some(ended) = self.sessions.join_next() => {
                    if let Ok(ended) = ended {
                        self.on_session_end(ended);
                    }
                }
                Some(served) = self.serving.join_next() => {
                    if let Ok((peer, true)) = served {
                        self.charge(peer, Demerit::Invalid.points(), "request");
                    }
                }
                Some(_) = self.turned_away.join_next() => {}
                () = sleep_until(wake.into()) => self.on_time(Instant::now()),
                () = left(&mut self.shutdown) => break,
            }
        }
        self.close().await;
    }

    /// Lets the sessions say what is queued, then closes every connection.
    async fn close(mut self) {
        self.commands.close();
        for (_, peer) in self.peers.all() {
            if !*self.shutdown.borrow() {
                peer.end_session();
            }
        }
        let farewell = async {
            while !self.sessions.is_empty() {
                tokio::select! {
                    _ = self.sessions.join_next() => {}
                    _ = self.swarm.select_next_some() => {}
                }
            }
        };
        let _ = timeout(CLOSING, farewell).await;
        let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in connected {
            // An error means that it is gone already.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closing = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        let _ = timeout(CLOSING, closing).await;
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Publish(topic, data) => self.publish(topic, data),
            Command::Judge(id, verdict) => self.judge(id, verdict),
            Command::Demote(peer, demerit) => self.charge(peer, demerit.points(), demerit.label()),
            Command::Open(peer, waiter) => self.open(peer, waiter),
        }
    }

    fn publish(&mut self, topic: Topic, data: Bytes) {
        let bytes = data.len();
        let published = self.swarm.behaviour_mut().gossip.gossip.publish(topic.topic(&self.genesis), data.0);
        match published {
            Ok(_) => self.metrics.sent(Carrier::Gossip(topic), bytes),
            // The same content travels already.
            Err(PublishError::Duplicate) => {}
            Err(PublishError::NoPeersSubscribedToTopic) => self.metrics.gossip_dropped(topic, "no_peers"),
            Err(PublishError::AllQueuesFull(_)) => self.metrics.gossip_dropped(topic, "queues_full"),
            Err(error) => {
                tracing::warn!(?topic, bytes, %error, "a message could not be gossiped");
                self.metrics.gossip_dropped(topic, "refused");
            }
        }
    }

    fn judge(&mut self, id: GossipId, verdict: Verdict) {
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Reject => MessageAcceptance::Reject,
            Verdict::Ignore => MessageAcceptance::Ignore,
        };
        let (message, from) = (MessageId::new(&id.content), id.from.peer_id());
        let gossip = &mut self.swarm.behaviour_mut().gossip.gossip;
        self.metrics.verdict(id.topic, verdict);
        if !gossip.report_message_validation_result(&message, &from, acceptance) {
            self.metrics.gossip_dropped(id.topic, "verdict_late");
        }
    }

    fn open(&mut self, peer: PeerName, waiter: Waiter) {
        let row = self.peers.find(&peer).filter(|row| row.link.is_up());
        if let Some(connection) = row.and_then(|row| row.connection) {
            self.swarm.behaviour_mut().streams.open(peer.peer_id(), connection.id, waiter);
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<StackEvent>) {
        match event {
            SwarmEvent::Behaviour(StackEvent::Gossip(event)) => self.on_gossip(event),
            SwarmEvent::Behaviour(StackEvent::Streams(event)) => self.on_stream(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                if let Some(peer) = PeerName::of(&peer_id) {
                    tracing::debug!(%peer, ?cause, "a connection closed");
                    for closing in self.peers.disconnected(&peer, connection_id) {
                        self.swarm.close_connection(closing);
                    }
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer_id), error, .. } => {
                self.on_dial_error(&peer_id, &error);
            }
            SwarmEvent::IncomingConnectionError { error, send_back_addr, .. } => {
                tracing::debug!(address = %send_back_addr, %error, "an incoming connection failed or was refused");
                self.metrics.refused("incoming");
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::error!(
                    ?addresses,
                    ?reason,
                    "a p2p listener closed; restart the node to listen again"
                );
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a p2p listener has trouble"),
            _ => {}
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        let (propagation_source, message_id, message) = match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                (propagation_source, message_id, message)
            }
            gossipsub::Event::Subscribed { peer_id, topic } => {
                return self.on_subscription(&peer_id, &topic, true);
            }
            gossipsub::Event::Unsubscribed { peer_id, topic } => {
                return self.on_subscription(&peer_id, &topic, false);
            }
            _ => return,
        };
        let topic = Topic::of(&message.topic, &self.genesis);
        let content = <[u8; 32]>::try_from(message_id.0.as_slice());
        let (Some(topic), Some(from), Ok(content)) = (topic, PeerName::of(&propagation_source), content)
        else {
            return;
        };
        self.metrics.received(Carrier::Gossip(topic), message.data.len());
        let id = GossipId { topic, content, from };
        if message.data.len() > topic.limit() {
            self.judge(id, Verdict::Reject);
        } else if !self.door.offer_gossip(id, message.data.into()) {
            self.metrics.gossip_dropped(topic, "node_busy");
            self.judge(id, Verdict::Ignore);
        }
    }

    fn on_subscription(&mut self, peer: &PeerId, topic: &TopicHash, now: bool) {
        let (peer, topic) = (PeerName::of(peer), Topic::of(topic, &self.genesis));
        if let (Some(link), Some(topic)) = (peer.and_then(|peer| self.links.find(&peer)), topic) {
            link.subscribed(topic, now);
        }
    }

    fn on_stream(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Direct { peer, connection, stream } => {
                if let Some(peer) = PeerName::of(&peer) {
                    self.start_session(peer, connection, stream);
                }
            }
            StreamEvent::Foreign { peer, connection } => {
                self.swarm.close_connection(connection);
                if let Some(peer) = PeerName::of(&peer) {
                    let genesis = self.genesis;
                    self.expel(
                        peer,
                        "foreign",
                        &format_args!("it does not speak the protocols of genesis {genesis}"),
                    );
                }
            }
            StreamEvent::Request { peer, stream, .. } => {
                if let Some(peer) = PeerName::of(&peer) {
                    self.serve(peer, stream);
                }
            }
        }
    }

    fn serve(&mut self, name: PeerName, stream: Stream) {
        let Some(link) = self.links.find(&name).filter(|link| link.is_up()) else { return };
        let patience = self.limits.request_timeout;
        let places = link.may_ask().then(|| {
            let own = Arc::clone(&link.serving).try_acquire_owned().ok()?;
            Some((own, Arc::clone(&self.places).try_acquire_owned().ok()?))
        });
        if let Some(places) = places.flatten() {
            let (door, metrics) = (self.door.clone(), self.metrics.clone());
            let serving = Serving { link, door, metrics, patience, _places: places };
            self.serving.spawn(async move {
                let served = serving.run(stream).await;
                (name, served.is_err_and(|error| error.is_misbehaviour()))
            });
            return;
        }
        self.metrics.request_dropped("limited");
        if self.turned_away.len() < TURNED_AWAY {
            self.turned_away.spawn(async move { drop(request::turn_away(stream, patience).await) });
        }
        self.charge(name, Demerit::Eager.points(), Demerit::Eager.label());
    }

    fn on_time(&mut self, now: Instant) {
        for (peer, sockets) in self.peers.take_due(now) {
            self.dial(peer, &sockets);
        }
        if self.next_round <= now {
            self.next_round = now + ROUND;
            self.round(now);
        }
    }
}

/// Resolves when the node shuts down, or nobody is left who could say so.
async fn left(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|leaving| *leaving).await;
}

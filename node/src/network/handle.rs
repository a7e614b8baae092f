//! The node's end of the network: a cheap, cloneable handle. Nothing here waits but `request` and `shutdown`.

use super::config::{MESSAGE_LIMIT, REQUEST_LIMIT};
use super::driver::Command;
use super::error::{GossipError, RequestError};
use super::kind::{Class, Demerit, GossipId, Topic, Verdict};
use super::link::{Links, PeerInfo};
use super::metrics::{Carrier, Metrics};
use super::name::{PeerAddress, PeerName};
use super::request;
use alloy_primitives::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

/// Requests of ours that may be under way at a time; each may bring 8 MiB.
pub(super) const ASKING: usize = 8;

/// The handle. When the last clone is dropped, the network shuts down.
#[derive(Clone)]
pub struct Network(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) name: PeerName,
    pub(super) listening: Vec<SocketAddr>,
    pub(super) links: Arc<Links>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) asking: Semaphore,
    pub(super) patience: Duration,
    pub(super) metrics: Metrics,
    pub(super) shutdown: watch::Sender<bool>,
    /// Ends with the driver.
    pub(super) over: watch::Receiver<()>,
}

impl Network {
    /// This node's name.
    pub fn name(&self) -> PeerName {
        self.0.name
    }

    /// The sockets that this node listens on, with the real ports.
    pub fn listening(&self) -> &[SocketAddr] {
        &self.0.listening
    }

    /// Direct messages that went out so far, and their bytes.
    pub fn directly_sent(&self) -> (u64, u64) {
        self.0.metrics.directly_sent()
    }

    /// What another node's configuration would say to reach this one directly.
    pub fn addresses(&self) -> Vec<PeerAddress> {
        self.0.listening.iter().map(|socket| PeerAddress { name: self.0.name, socket: *socket }).collect()
    }

    /// Publishes a message. It goes out when the network's task next runs; with no peer connected it is dropped
    /// and counted, and what the network already carries is not sent twice.
    ///
    /// # Errors
    /// [`GossipError`]: too large for the topic, queue full, shut down.
    pub fn gossip(&self, topic: Topic, data: Bytes) -> Result<(), GossipError> {
        let (bytes, limit) = (data.len(), topic.limit());
        if bytes > limit {
            return Err(GossipError::TooLarge { bytes, limit });
        }
        self.0.commands.try_send(Command::Publish(topic, data)).map_err(|error| match error {
            TrySendError::Full(_) => {
                self.0.metrics.gossip_dropped(topic, "network_busy");
                GossipError::Busy
            }
            TrySendError::Closed(_) => GossipError::Stopped,
        })
    }

    /// Queues a direct message, to arrive after those sent to this peer before. Says whether it was queued;
    /// if not
    /// (too long, unknown peer, queue full of what matters more, link down and not a vote), it was dropped
    /// and counted.
    /// What is queued may still be lost with the link: protocols repeat what they need.
    pub fn send(&self, peer: PeerName, class: Class, data: Bytes) -> bool {
        let metrics = &self.0.metrics;
        if data.is_empty() || data.len() > MESSAGE_LIMIT {
            metrics.dropped(class, "length");
            return false;
        }
        let Some(link) = self.0.links.find(&peer) else {
            metrics.dropped(class, "unknown_peer");
            return false;
        };
        let pushed = link.outbox.push(class, data);
        let reason = if link.is_up() { "queue_full" } else { "disconnected" };
        for class in pushed.dropped {
            metrics.dropped(class, reason);
        }
        pushed.queued
    }

    /// Asks a connected peer, waits for its answer.
    ///
    /// # Errors
    /// [`RequestError`]; after any of them another peer may have the answer.
    pub async fn request(&self, peer: PeerName, question: Bytes) -> Result<Bytes, RequestError> {
        let (bytes, limit) = (question.len(), REQUEST_LIMIT);
        if bytes > limit {
            return Err(RequestError::TooLarge { bytes, limit });
        }
        // The clock starts when the request may: the peer is not to blame for our other requests.
        let _place = self.0.asking.acquire().await.map_err(|_| RequestError::Stopped)?;
        let answer = timeout(self.0.patience, self.ask(peer, &question)).await;
        let answer = answer.unwrap_or(Err(RequestError::TimedOut));
        match &answer {
            Ok(answer) => self.0.metrics.received(Carrier::Response, answer.len()),
            Err(RequestError::TimedOut) => self.demote(peer, Demerit::Slow),
            Err(_) => {}
        }
        answer
    }

    async fn ask(&self, peer: PeerName, question: &[u8]) -> Result<Bytes, RequestError> {
        let (waiter, stream) = oneshot::channel();
        self.0.commands.send(Command::Open(peer, waiter)).await.map_err(|_| RequestError::Stopped)?;
        let stream = stream.await.map_err(|_| RequestError::NotConnected)?;
        self.0.metrics.sent(Carrier::Request, question.len());
        request::ask(stream, question, self.0.patience).await
    }

    /// Charges a question that came as a direct message to whoever asked. Who asks more than its share is heard
    /// again when that is paid for (P2P-5).
    pub fn charge_question(&self, peer: PeerName) {
        if let Some(link) = self.0.links.find(&peer) {
            link.charge(1);
        }
    }

    /// Charges an answer of so many bytes to whoever asked.
    pub fn charge_answer(&self, peer: PeerName, bytes: usize) {
        if let Some(link) = self.0.links.find(&peer) {
            link.charge(u32::try_from(bytes / request::BYTES_PER_TOKEN).unwrap_or(u32::MAX));
        }
    }

    /// The node's verdict on a gossiped message; every one must get one, within ten seconds.
    pub fn report(&self, id: GossipId, verdict: Verdict) {
        if self.0.commands.try_send(Command::Judge(id, verdict)).is_err() {
            self.0.metrics.gossip_dropped(id.topic, "verdict_lost");
        }
    }

    /// Tells the network that a peer did something wrong; at −80 points it is dropped and kept out for a while.
    pub fn demote(&self, peer: PeerName, demerit: Demerit) {
        if self.0.commands.try_send(Command::Demote(peer, demerit)).is_err() {
            tracing::debug!(%peer, ?demerit, "the network is busy; a demerit is forgotten");
        }
    }

    /// The connected peers, by name.
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.0.links.infos()
    }

    /// Sends what is queued, closes every connection, frees the port; returns when all is done, within seconds.
    pub async fn shutdown(&self) {
        self.0.shutdown.send_replace(true);
        let mut over = self.0.over.clone();
        // Nothing is ever said there: only the other half's end is.
        let _ = over.changed().await;
    }
}

//! What the handle, the driver and a peer's session share: one link for each peer that is connected or
//! configured.

use super::bucket::Bucket;
use super::config::NetworkLimits;
use super::event::Waiting;
use super::kind::Topic;
use super::name::PeerName;
use super::outbox::{Crowd, Outbox};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// A connected peer, for people and for the node's choices.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Who.
    pub name: PeerName,
    /// The socket on its side of the connection (or a proxy's).
    pub address: SocketAddr,
    /// Whether we dialled.
    pub outbound: bool,
    /// Whether it is configured or reserved.
    pub trusted: bool,
    /// What it calls itself.
    pub agent: String,
    /// Since its hello.
    pub connected_for: Duration,
    /// What the node's demerits left of its standing: 0 is good, −80 is out.
    pub standing: f64,
    /// Gossip's score, the standing included.
    pub score: f64,
    /// Direct messages that wait to be sent to it.
    pub queued: usize,
}

/// One peer's share.
pub(super) struct Link {
    pub(super) name: PeerName,
    /// Configured or reserved.
    pub(super) trusted: bool,
    pub(super) outbox: Outbox,
    /// What of it waits for the node.
    pub(super) waiting: Waiting,
    /// How many of its requests may be served at a time.
    pub(super) serving: Arc<Semaphore>,
    bucket: Mutex<Bucket>,
    live: Mutex<Option<Live>>,
    marks: Mutex<Marks>,
    /// The topics that the peer has subscribed to, one bit each.
    topics: watch::Sender<u8>,
}

/// What is known while the link is up.
struct Live {
    address: SocketAddr,
    outbound: bool,
    agent: String,
    since: Instant,
}

#[derive(Clone, Copy, Default)]
struct Marks {
    standing: f64,
    score: f64,
}

impl Link {
    /// A peer's link. What waits for a stranger counts among what waits for the `crowd`.
    pub(super) fn new(name: PeerName, trusted: bool, limits: &NetworkLimits, crowd: &Arc<Crowd>) -> Self {
        let crowd = (!trusted).then(|| Arc::clone(crowd));
        Self {
            name,
            trusted,
            outbox: Outbox::new(limits.outbox_messages, limits.outbox_bytes, crowd),
            waiting: Waiting::default(),
            serving: Arc::new(Semaphore::new(limits.serving.0)),
            bucket: Mutex::new(Bucket::new(limits.request_burst, limits.requests_per_second, Instant::now())),
            live: Mutex::default(),
            marks: Mutex::default(),
            topics: watch::Sender::new(0),
        }
    }

    pub(super) fn up(&self, address: SocketAddr, outbound: bool, agent: String) {
        self.outbox.open();
        *lock(&self.live) = Some(Live { address, outbound, agent, since: Instant::now() });
    }

    pub(super) fn down(&self) {
        *lock(&self.live) = None;
    }

    pub(super) fn is_up(&self) -> bool {
        lock(&self.live).is_some()
    }

    /// Notes that the peer has subscribed to a topic, or left it.
    pub(super) fn subscribed(&self, topic: Topic, now: bool) {
        let bit = 1 << topic as u8;
        self.topics.send_modify(|topics| if now { *topics |= bit } else { *topics &= !bit });
    }

    /// Forgets the subscriptions: the peer's last connection is gone.
    pub(super) fn unsubscribe(&self) {
        self.topics.send_replace(0);
    }

    /// Resolves once the peer has subscribed to every topic, so that gossip reaches it.
    pub(super) async fn reachable_by_gossip(&self) {
        let all = Topic::ALL.iter().fold(0, |bits, topic| bits | 1 << *topic as u8);
        let reached = self.topics.subscribe().wait_for(|topics| *topics == all).await.is_ok();
        assert!(reached, "the sender lives as long as the link");
    }

    /// Takes a request's token.
    pub(super) fn may_ask(&self) -> bool {
        lock(&self.bucket).take(Instant::now())
    }

    /// How long the peer has to be left unheard, because it asked more than its share.
    pub(super) fn debt(&self) -> Duration {
        lock(&self.bucket).debt(Instant::now())
    }

    /// Charges a question, or an answer's size.
    pub(super) fn charge(&self, tokens: u32) {
        lock(&self.bucket).charge(tokens);
    }

    pub(super) fn mark(&self, standing: f64, score: f64) {
        *lock(&self.marks) = Marks { standing, score };
    }

    fn info(&self) -> Option<PeerInfo> {
        let live = lock(&self.live);
        let live = live.as_ref()?;
        let marks = *lock(&self.marks);
        Some(PeerInfo {
            name: self.name,
            address: live.address,
            outbound: live.outbound,
            trusted: self.trusted,
            agent: live.agent.clone(),
            connected_for: live.since.elapsed(),
            standing: marks.standing,
            score: marks.score,
            queued: self.outbox.len(),
        })
    }
}

/// All links, by name.
#[derive(Default)]
pub(super) struct Links(Mutex<BTreeMap<PeerName, Arc<Link>>>);

impl Links {
    pub(super) fn find(&self, name: &PeerName) -> Option<Arc<Link>> {
        lock(&self.0).get(name).cloned()
    }

    pub(super) fn insert(&self, link: Arc<Link>) {
        lock(&self.0).insert(link.name, link);
    }

    pub(super) fn remove(&self, name: &PeerName) {
        lock(&self.0).remove(name);
    }

    pub(super) fn infos(&self) -> Vec<PeerInfo> {
        lock(&self.0).values().filter_map(|link| link.info()).collect()
    }
}

/// Nothing that holds these locks can fail half-way, so a poisoned one still guards a whole value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What the network tells the node, and the bounded way in which it does.
//!
//! Events wait in one channel, bounded in number; the bytes that wait in it are bounded by budgets: direct
//! messages of configured and reserved peers, those of strangers (short and long ones apart), and gossip. A direct stream whose event
//! finds no
//! room is simply not read on (back-pressure, down to the sender's queue); gossip that finds none is dropped
//! and counted,
//! transactions sooner than blocks (P2P-8). For one peer the order is `Connected`, its messages as it sent
//! them, `Disconnected`.
//!
//! The node may take direct messages where they are read, without the channel and the thread behind it
//! ([`NetworkEvents::take_directly`]): a vote then costs one hand-over less. That is done only while nothing of
//! their sender waits in the channel or is being looked at, so that the order stays.

use super::config::KIB;
use super::kind::{GossipId, Topic};
use super::name::PeerName;
use alloy_primitives::Bytes;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// A direct message up to this long is short: votes, headers, locators (`DEFAULTS`: vote 64 KiB).
const SHORT: usize = 64 * KIB;

/// What happened.
#[derive(Debug)]
pub enum NetworkEvent {
    /// A peer of our chain is there: its hello was good, messages will arrive.
    Connected {
        /// Who.
        peer: PeerName,
        /// The socket on its side of the connection (or a proxy's).
        address: SocketAddr,
        /// Whether we dialled.
        outbound: bool,
    },
    /// The peer is gone.
    Disconnected {
        /// Who.
        peer: PeerName,
    },
    /// A gossiped message that must get a verdict: [`Network::report`](super::Network::report).
    Gossip {
        /// What to report on.
        id: GossipId,
        /// Its topic.
        topic: Topic,
        /// Who brought it, not who made it.
        from: PeerName,
        /// The content.
        data: Bytes,
    },
    /// A direct message.
    Message {
        /// Who sent it.
        from: PeerName,
        /// The content.
        data: Bytes,
    },
    /// A request that waits for its answer.
    Request {
        /// Who asks.
        from: PeerName,
        /// The question.
        data: Bytes,
        /// Where the answer goes.
        reply: Reply,
    },
}

/// The way back to whoever asked. Dropping it refuses.
#[derive(Debug)]
pub struct Reply(oneshot::Sender<Bytes>);

impl Reply {
    pub(super) fn new() -> (Self, oneshot::Receiver<Bytes>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers: at most [`RESPONSE_LIMIT`](super::RESPONSE_LIMIT) bytes, or the peer is told that we refuse.
    pub fn send(self, answer: Bytes) {
        // An asker that is gone needs no answer.
        let _ = self.0.send(answer);
    }

    /// Says that there is no answer here.
    pub fn refuse(self) {}
}

/// Takes a direct message at once, on the task that read it; says whether it did.
type Shortcut = Box<dyn Fn(PeerName, &Bytes) -> bool + Send + Sync>;

/// The events, in order.
pub struct NetworkEvents {
    receiver: mpsc::Receiver<Delivery>,
    shortcut: Arc<OnceLock<Shortcut>>,
    /// The event that was handed out last: whoever reads is done with it when it comes for the next.
    last: Option<Waits>,
}

impl fmt::Debug for NetworkEvents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NetworkEvents").finish_non_exhaustive()
    }
}

impl NetworkEvents {
    /// From now on `take` is offered each direct message whose sender has nothing waiting here, and what it takes is
    /// no event. It is called on the network's own tasks: it must not wait, and leaves what takes long.
    pub fn take_directly(&self, take: impl Fn(PeerName, &Bytes) -> bool + Send + Sync + 'static) {
        // Whoever came first stays.
        let _ = self.shortcut.set(Box::new(take));
    }

    /// The next event; `None` once the network has shut down and all was read.
    pub async fn recv(&mut self) -> Option<NetworkEvent> {
        self.last = None;
        let delivery = self.receiver.recv().await?;
        Some(self.hand_out(delivery))
    }

    /// The next event, if there is one now.
    pub fn try_recv(&mut self) -> Option<NetworkEvent> {
        self.last = None;
        let delivery = self.receiver.try_recv().ok()?;
        Some(self.hand_out(delivery))
    }

    /// The next event, for a plain thread; `None` once the network has shut down and all was read.
    pub fn blocking_recv(&mut self) -> Option<NetworkEvent> {
        self.last = None;
        let delivery = self.receiver.blocking_recv()?;
        Some(self.hand_out(delivery))
    }

    fn hand_out(&mut self, delivery: Delivery) -> NetworkEvent {
        self.last = delivery.waits;
        delivery.event
    }
}

/// How many events of one peer wait for the node, or are being looked at by it.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn one_more(&self) -> Waits {
        self.0.fetch_add(1, Ordering::AcqRel);
        Waits(Self::clone(self))
    }

    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

/// One of them.
#[derive(Debug)]
struct Waits(Waiting);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An event and its share of a budget, given back when the node takes the event.
#[derive(Debug)]
struct Delivery {
    event: NetworkEvent,
    _share: Option<OwnedSemaphorePermit>,
    waits: Option<Waits>,
}

/// The way into the events' channel.
#[derive(Clone)]
pub(super) struct Door {
    sender: mpsc::Sender<Delivery>,
    gossip: Arc<Semaphore>,
    shortcut: Arc<OnceLock<Shortcut>>,
}

/// Direct messages of a kind of peer that may wait for the node, in bytes. Short ones have a share of their own: a
/// peer that announces a long frame and then stalls holds up no votes, and so many short frames as there are
/// connections may stall without using their share up.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    short: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self { short: Arc::new(Semaphore::new(bytes / 4)), long: Arc::new(Semaphore::new(bytes)) }
    }

    /// Waits for room for a frame of this length.
    pub(super) async fn take(&self, length: usize) -> OwnedSemaphorePermit {
        let share = if length <= SHORT { &self.short } else { &self.long };
        let bytes = u32::try_from(length).expect("a frame is at most a few MiB");
        let taken = Arc::clone(share).acquire_many_owned(bytes).await;
        taken.expect("the budget is never closed")
    }
}

/// The node has dropped its events.
#[derive(Debug)]
pub(super) struct NodeGone;

impl Door {
    pub(super) fn new(events: usize, gossip_bytes: usize) -> (Self, NetworkEvents) {
        let (sender, receiver) = mpsc::channel(events.max(8));
        let (gossip, shortcut) = (Arc::new(Semaphore::new(gossip_bytes)), Arc::default());
        let events = NetworkEvents { receiver, shortcut: Arc::clone(&shortcut), last: None };
        (Self { sender, gossip, shortcut }, events)
    }

    /// Waits for room: this is the back-pressure on a peer's stream.
    pub(super) async fn deliver(
        &self,
        event: NetworkEvent,
        waiting: Option<&Waiting>,
    ) -> Result<(), NodeGone> {
        self.send(event, None, waiting).await
    }

    /// Delivers a direct message that holds its share of a budget: at once, if the node takes it so, or as an event.
    pub(super) async fn deliver_message(
        &self,
        from: PeerName,
        data: Bytes,
        share: OwnedSemaphorePermit,
        waiting: &Waiting,
    ) -> Result<(), NodeGone> {
        let is_taken = waiting.is_empty() && self.shortcut.get().is_some_and(|take| take(from, &data));
        if is_taken {
            return Ok(());
        }
        self.send(NetworkEvent::Message { from, data }, Some(share), Some(waiting)).await
    }

    async fn send(
        &self,
        event: NetworkEvent,
        share: Option<OwnedSemaphorePermit>,
        waiting: Option<&Waiting>,
    ) -> Result<(), NodeGone> {
        let waits = waiting.map(Waiting::one_more);
        self.sender.send(Delivery { event, _share: share, waits }).await.map_err(|_| NodeGone)
    }

    /// Delivers if there is room now; used while shutting down.
    pub(super) fn try_deliver(&self, event: NetworkEvent) -> bool {
        self.sender.try_send(Delivery { event, _share: None, waits: None }).is_ok()
    }

    /// Delivers gossip if there is room for its topic; says whether it did.
    pub(super) fn offer_gossip(&self, id: GossipId, data: Bytes) -> bool {
        let topic = id.topic;
        let crowded = self.sender.capacity() < self.sender.max_capacity() / 4;
        if crowded && topic == Topic::Transactions {
            return false;
        }
        let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let Ok(share) = Arc::clone(&self.gossip).try_acquire_many_owned(bytes) else {
            return false;
        };
        let event = NetworkEvent::Gossip { id, topic, from: id.from, data };
        match self.sender.try_send(Delivery { event, _share: Some(share), waits: None }) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(topic: Topic) -> GossipId {
        GossipId { topic, content: [0; 32], from: PeerName::from_bytes([1; 32]) }
    }

    #[tokio::test]
    async fn p2p_8_gossip_gives_way_transactions_first() {
        let (door, mut events) = Door::new(8, 1000);
        let taken =
            |topic| (0..20).filter(|_| door.offer_gossip(id(topic), Bytes::from_static(b"x"))).count();
        assert_eq!(taken(Topic::Transactions), 7);
        assert_eq!(taken(Topic::Blocks), 1);
        assert!(events.recv().await.is_some());
        assert!(!door.offer_gossip(id(Topic::Transactions), Bytes::new()));
        assert!(door.offer_gossip(id(Topic::Blocks), Bytes::new()));
    }

    #[tokio::test]
    async fn p2p_8_long_frames_that_stall_hold_up_no_short_ones() {
        let budget = Budget::new(1024 * KIB);
        let _stalled = budget.take(1024 * KIB).await;
        let short = budget.take(SHORT).await;
        let long = tokio::time::timeout(std::time::Duration::ZERO, budget.take(SHORT + 1)).await;
        assert!(long.is_err(), "the long frames' share is used up");
        drop(short);
    }

    #[tokio::test]
    async fn p2p_8_waiting_gossip_is_bounded_in_bytes_until_the_node_takes_it() {
        let (door, mut events) = Door::new(100, 1000);
        let offer = || door.offer_gossip(id(Topic::Blocks), vec![0; 600].into());
        assert!(offer());
        assert!(!offer());
        assert!(events.recv().await.is_some());
        assert!(offer());
    }

    /// A door, its events, and what was taken without them; numbers up to 9 are short enough for that.
    fn with_shortcut() -> (Door, NetworkEvents, Arc<std::sync::Mutex<Vec<u8>>>) {
        let (door, events) = Door::new(8, 1000);
        let taken = Arc::<std::sync::Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&taken);
        events.take_directly(move |_, data| {
            let is_short = data[0] < 10;
            if is_short {
                kept.lock().unwrap().push(data[0]);
            }
            is_short
        });
        (door, events, taken)
    }

    async fn say(door: &Door, number: u8, waiting: &Waiting) {
        let share = Budget::new(1024).take(1).await;
        let data = Bytes::copy_from_slice(&[number]);
        door.deliver_message(PeerName::from_bytes([1; 32]), data, share, waiting).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_taken_directly_overtakes_nothing_of_its_sender() {
        let (door, mut events, taken) = with_shortcut();
        let (waiting, other) = (Waiting::default(), Waiting::default());
        say(&door, 1, &waiting).await;
        say(&door, 20, &waiting).await;
        say(&door, 2, &waiting).await;
        say(&door, 3, &other).await;
        assert_eq!(*taken.lock().unwrap(), [1, 3], "2 waits behind 20, and another sender does not");
        for number in [20, 2] {
            let event = events.recv().await;
            let is_next = matches!(&event, Some(NetworkEvent::Message { data, .. }) if data[0] == number);
            assert!(is_next, "{event:?}");
            say(&door, number + 1, &waiting).await;
        }
        assert_eq!(*taken.lock().unwrap(), [1, 3], "the node may still be looking at the last event");
        for number in [21, 3] {
            let event = events.recv().await;
            let is_next = matches!(&event, Some(NetworkEvent::Message { data, .. }) if data[0] == number);
            assert!(is_next, "{event:?}");
        }
        assert!(events.try_recv().is_none());
        say(&door, 4, &waiting).await;
        assert_eq!(*taken.lock().unwrap(), [1, 3, 4]);
    }
}

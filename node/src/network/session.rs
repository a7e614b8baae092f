//! One peer's direct messages over one connection: hello, then frames both ways until something ends it.
//!
//! A session is one task. It announces the peer (`Connected`) only after both hellos were good, gossip
//! reaches it, and the peer's
//! earlier session, if there was one, has said `Disconnected`; so the node sees one well-ordered story for
//! each peer.
//! Reading stops while the node has no room: the peer's own queue then fills, and drops by class. Silence for
//! longer than the
//! dead-time ends the session, because a link through a stalled proxy or to a frozen machine shows no other
//! sign.

use super::config::{Clocks, KIB, MESSAGE_LIMIT};
use super::event::{Budget, Door, NetworkEvent};
use super::frame::{self, FrameError, Hello, HelloError};
use super::link::Link;
use super::metrics::{Carrier, Metrics};
use super::outbox::Outgoing;
use libp2p::Stream;
use libp2p::futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

/// Small messages that wait together leave together, up to about this many bytes.
const GATHER: usize = 64 * KIB;
/// How long a session may take to send what is queued when the node shuts down.
const FAREWELL: Duration = Duration::from_millis(500);

/// Everything that a session needs.
pub(super) struct Session {
    pub(super) link: Arc<Link>,
    pub(super) address: SocketAddr,
    pub(super) outbound: bool,
    pub(super) hello: Hello,
    pub(super) clocks: Clocks,
    pub(super) door: Door,
    /// What may wait for the node from this kind of peer, in bytes.
    pub(super) budget: Budget,
    pub(super) metrics: Metrics,
    /// Resolves when the peer's earlier session is over.
    pub(super) predecessor: Option<oneshot::Receiver<()>>,
    /// Dropped when this session is over.
    pub(super) over: oneshot::Sender<()>,
}

/// What ends a session from outside.
pub(super) struct Ending {
    /// Resolves when the driver wants this session to end.
    pub(super) cancel: oneshot::Receiver<()>,
    /// Turns true when the node shuts down.
    pub(super) shutdown: watch::Receiver<bool>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("this node closed the connection")]
    Cancelled,
    #[error("this node is shutting down")]
    Shutdown,
    #[error("it did not subscribe to this chain's gossip in time")]
    NoGossip,
    #[error(transparent)]
    Hello(#[from] HelloError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl Session {
    /// Runs the session to its end.
    pub(super) async fn run(mut self, mut stream: Stream, mut ending: Ending) -> End {
        let theirs = tokio::select! {
            theirs = self.greet(&mut stream) => theirs,
            end = ending.now() => return end,
        };
        let theirs = match theirs {
            Ok(theirs) => theirs,
            Err(end) => return end,
        };
        if let Some(earlier) = self.predecessor.take() {
            // An error means that the earlier session is gone, which is what we wait for.
            let _ = earlier.await;
        }
        self.link.up(self.address, self.outbound, theirs.agent);
        let end = self.announced(stream, &mut ending).await;
        self.fall_silent();
        drop(self.over);
        end
    }

    /// From here on the peer's queue takes votes alone.
    fn fall_silent(&self) {
        self.link.down();
        for class in self.link.outbox.close() {
            self.metrics.dropped(class, "disconnected");
        }
    }

    /// Both hellos, and the peer's gossip subscriptions: whoever hears `Connected` can reach the peer every
    /// way.
    async fn greet(&self, stream: &mut Stream) -> Result<Hello, End> {
        let theirs = self.hello.exchange(stream, self.clocks.hello).await?;
        match timeout(self.clocks.hello, self.link.reachable_by_gossip()).await {
            Ok(()) => Ok(theirs),
            Err(_) => Err(End::NoGossip),
        }
    }

    /// Between `Connected` and `Disconnected`.
    async fn announced(&self, stream: Stream, ending: &mut Ending) -> End {
        let peer = self.link.name;
        let event = NetworkEvent::Connected { peer, address: self.address, outbound: self.outbound };
        tokio::select! {
            delivered = self.door.deliver(event, Some(&self.link.waiting)) => if delivered.is_err() { return End::Shutdown },
            end = ending.now() => return end,
        }
        self.metrics.peer(self.outbound, 1);
        let end = self.converse(stream, ending).await;
        self.metrics.peer(self.outbound, -1);
        // Whoever hears `Disconnected` must not be able to send to the dead link any more.
        self.fall_silent();
        let event = NetworkEvent::Disconnected { peer };
        if matches!(end, End::Shutdown) {
            self.door.try_deliver(event);
        } else if self.door.deliver(event, Some(&self.link.waiting)).await.is_err() {
            return End::Shutdown;
        }
        end
    }

    /// Reads and writes until one of the two ends, or somebody ends both.
    async fn converse(&self, stream: Stream, ending: &mut Ending) -> End {
        let (reader, writer) = stream.split();
        let shutdown = ending.shutdown.clone();
        tokio::select! {
            end = self.read(reader) => end,
            end = self.write(writer, shutdown) => end,
            end = ending.after_farewell() => end,
        }
    }

    async fn read(&self, mut stream: impl AsyncRead + Unpin) -> End {
        loop {
            match self.read_one(&mut stream).await {
                Ok(true) => {}
                Ok(false) => return End::Shutdown,
                Err(error) => return error.into(),
            }
        }
    }

    /// Reads one frame and delivers it; false when the node is gone.
    async fn read_one(&self, stream: &mut (impl AsyncRead + Unpin)) -> Result<bool, FrameError> {
        self.pace().await;
        let length = frame::read_length(stream, MESSAGE_LIMIT, self.clocks.dead).await?;
        if length == 0 {
            return Ok(true);
        }
        let share = self.budget.take(length).await;
        let data = frame::read_body(stream, length, self.clocks.frame).await?;
        self.metrics.received(Carrier::Direct, length);
        let link = &self.link;
        Ok(self.door.deliver_message(link.name, data.into(), share, &link.waiting).await.is_ok())
    }

    /// Leaves a peer unheard while it owes for what it asked (P2P-5). Its questions wait at their sender and none is
    /// lost, so that a new node fetches a long chain at this pace instead of running into time-outs; and never so
    /// long that it takes us for dead.
    async fn pace(&self) {
        let debt = self.link.debt();
        if !debt.is_zero() {
            self.metrics.paused();
            sleep(debt.min(self.clocks.dead / 2)).await;
        }
    }

    async fn write(&self, mut stream: impl AsyncWrite + Unpin, mut shutdown: watch::Receiver<bool>) -> End {
        let mut buffer = Vec::new();
        loop {
            let (leaving, _gathered) = self.gather(&mut buffer, &mut shutdown).await;
            if let Err(error) = frame::write(&mut stream, &buffer, self.clocks.dead).await {
                return error.into();
            }
            if leaving {
                // The connection closes right after; a failed farewell changes nothing.
                let _ = stream.close().await;
                return End::Shutdown;
            }
        }
    }

    /// Fills the buffer with what waits, or with a sign of life after a silence; true when shutting down. What
    /// is in the buffer comes with it: it waits until it is written.
    async fn gather(
        &self,
        buffer: &mut Vec<u8>,
        shutdown: &mut watch::Receiver<bool>,
    ) -> (bool, Vec<Outgoing>) {
        buffer.clear();
        buffer.shrink_to(2 * GATHER);
        let (mut leaving, mut gathered) = (false, Vec::new());
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|leaving| *leaving) => leaving = true,
            first = timeout(self.clocks.alive, self.link.outbox.next()) => match first {
                Ok(message) => self.put(buffer, message, &mut gathered),
                Err(_) => frame::append(buffer, &[]),
            }
        }
        while buffer.len() < GATHER || leaving {
            let Some(message) = self.link.outbox.try_next() else { break };
            self.put(buffer, message, &mut gathered);
        }
        (leaving, gathered)
    }

    fn put(&self, buffer: &mut Vec<u8>, message: Outgoing, gathered: &mut Vec<Outgoing>) {
        self.metrics.sent(Carrier::Direct, message.data.len());
        frame::append(buffer, &message.data);
        gathered.push(message);
    }
}

impl Ending {
    /// Resolves as soon as the driver or a shutdown ends the session.
    async fn now(&mut self) -> End {
        tokio::select! {
            _ = &mut self.cancel => End::Cancelled,
            _ = self.shutdown.wait_for(|leaving| *leaving) => End::Shutdown,
        }
    }

    /// The same, but a shutdown leaves the writer time for what is queued.
    async fn after_farewell(&mut self) -> End {
        let end = self.now().await;
        if matches!(end, End::Shutdown) {
            sleep(FAREWELL).await;
        }
        end
    }
}

//! Streams as values: opens and accepts libp2p substreams and hands each one over whole, to be read and
//! written by an
//! ordinary async task.
//!
//! One small mechanism of our own carries both the direct messages and the requests, because the ready-made
//! ones do
//! not fit. `libp2p-stream` is an alpha; it dials peers by itself (we dial only what is configured) and its
//! queue for accepted streams drops them without a word. `request-response` decodes a whole request before
//! anybody can say no, ties the
//! answer to the swarm's own task, and would be a second mechanism beside the first. Here a stream that
//! nobody wants
//! is reset before one byte of it is read, and back-pressure is simply a task that does not read.
//!
//! Rules: the side that dialled opens the one direct stream of a connection, at once; further direct streams
//! on the
//! same connection are reset. Request streams are opened on demand, one for each request; at most
//! [`OPENING_LIMIT`] wait to be opened on a connection.

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{
    ConnectionEvent, ConnectionHandler, ConnectionHandlerEvent, DialUpgradeError, FullyNegotiatedInbound,
    FullyNegotiatedOutbound, SubstreamProtocol,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, StreamUpgradeError, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{PeerId, Stream, StreamProtocol};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// How many request streams may wait to be opened on one connection.
const OPENING_LIMIT: usize = 16;

/// The two protocols' names.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The direct messages.
    pub(super) direct: StreamProtocol,
    /// The requests.
    pub(super) request: StreamProtocol,
}

/// What the behaviour tells the driver.
#[derive(Debug)]
pub(super) enum StreamEvent {
    /// The connection's direct stream is there.
    Direct { peer: PeerId, connection: ConnectionId, stream: Stream },
    /// The peer does not speak our direct protocol: another genesis, or no Synod at all.
    Foreign { peer: PeerId, connection: ConnectionId },
    /// The peer has opened a stream for a request.
    Request { peer: PeerId, stream: Stream },
}

/// Who waits for a request stream; dropped when it cannot be had.
pub(super) type Waiter = oneshot::Sender<Stream>;

/// The behaviour: forwards between the driver and the connections' handlers.
pub(super) struct Streams {
    names: Names,
    queue: VecDeque<ToSwarm<StreamEvent, Waiter>>,
}

impl Streams {
    pub(super) fn new(names: Names) -> Self {
        Self { names, queue: VecDeque::new() }
    }

    /// Opens a request stream on this connection.
    pub(super) fn open(&mut self, peer_id: PeerId, connection: ConnectionId, waiter: Waiter) {
        let handler = NotifyHandler::One(connection);
        self.queue.push_back(ToSwarm::NotifyHandler { peer_id, handler, event: waiter });
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = StreamEvent;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.names.clone(), false))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.names.clone(), true))
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.queue.push_back(ToSwarm::GenerateEvent(match event {
            Opened::Direct(stream) => StreamEvent::Direct { peer, connection, stream },
            Opened::Foreign => StreamEvent::Foreign { peer, connection },
            Opened::Request(stream) => StreamEvent::Request { peer, stream },
        }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.queue.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// What a handler tells the behaviour.
#[derive(Debug)]
pub(super) enum Opened {
    Direct(Stream),
    Foreign,
    Request(Stream),
}

/// What an outbound stream is for.
pub(super) enum Purpose {
    Direct,
    Request(Waiter),
}

/// One connection's share of the work.
pub(super) struct Handler {
    names: Names,
    /// The direct stream is there or under way.
    direct_taken: bool,
    /// Streams asked of the connection and not there yet.
    opening: usize,
    queue: VecDeque<ConnectionHandlerEvent<Offer, Purpose, Opened>>,
}

impl Handler {
    fn new(names: Names, dialler: bool) -> Self {
        let mut handler = Self { names, direct_taken: dialler, opening: 0, queue: VecDeque::new() };
        if dialler {
            handler.ask(Purpose::Direct);
        }
        handler
    }

    fn ask(&mut self, purpose: Purpose) {
        let name = match purpose {
            Purpose::Direct => self.names.direct.clone(),
            Purpose::Request(_) => self.names.request.clone(),
        };
        let protocol = SubstreamProtocol::new(Offer(vec![name]), purpose);
        self.opening += 1;
        self.queue.push_back(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
    }

    fn tell(&mut self, opened: Opened) {
        self.queue.push_back(ConnectionHandlerEvent::NotifyBehaviour(opened));
    }

    fn accepted(&mut self, stream: Stream, name: &StreamProtocol) {
        if *name == self.names.request {
            self.tell(Opened::Request(stream));
        } else if !self.direct_taken {
            self.direct_taken = true;
            self.tell(Opened::Direct(stream));
        }
        // A second direct stream would let a peer hold two sessions: it is dropped here, unread.
    }

    fn opened(&mut self, stream: Stream, purpose: Purpose) {
        self.opening -= 1;
        match purpose {
            Purpose::Direct => self.tell(Opened::Direct(stream)),
            // Whoever asked may have given up; the stream is then reset by being dropped.
            Purpose::Request(waiter) => drop(waiter.send(stream)),
        }
    }

    fn failed(&mut self, purpose: &Purpose, error: &StreamUpgradeError<Infallible>) {
        self.opening -= 1;
        if matches!(purpose, Purpose::Direct) {
            tracing::debug!(%error, "the direct stream could not be opened");
            self.tell(Opened::Foreign);
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Waiter;
    type ToBehaviour = Opened;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Purpose;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(Offer(vec![self.names.direct.clone(), self.names.request.clone()]), ())
    }

    /// The driver alone decides when a connection ends.
    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Offer, Purpose, Opened>> {
        self.queue.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    fn on_behaviour_event(&mut self, waiter: Waiter) {
        if self.opening < OPENING_LIMIT {
            self.ask(Purpose::Request(waiter));
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Offer, Offer, (), Purpose>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.accepted(protocol.0, &protocol.1);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.opened(protocol.0, info);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => self.failed(&info, &error),
            _ => {}
        }
    }
}

/// An upgrade that agrees on a name and changes nothing: its output is the raw stream and the name.
#[derive(Clone, Debug)]
pub(super) struct Offer(Vec<StreamProtocol>);

impl UpgradeInfo for Offer {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        ready(Ok((stream, name)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        ready(Ok((stream, name)))
    }
}

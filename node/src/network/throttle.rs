//! Gossip between libp2p and us, where memory needs a bound that libp2p does not set (P2P-2, P2P-3, A7).
//!
//! libp2p remembers the id of every message for minutes, twice, and keeps the content of those on topics that
//! nobody here subscribed to until its history passes; both grow as fast as a peer can write. Two things stand
//! in the way:
//!
//! - [`Sieve`] refuses messages on other topics, and longer ones than their topic takes, before anything is
//!   remembered of them.
//! - [`Throttle`] takes only so much gossip from a peer, and only so many messages from all strangers together;
//!   the rest is dropped as it arrives. What carries no message (subscriptions, the mesh's upkeep) counts for its
//!   sender alone, so that a crowd that uses up what strangers share keeps no other stranger out. Above its share
//!   a peer is not heard; blamed is only a stranger that goes on beyond what no honest load reaches.

use super::bucket::Bucket;
use super::gossip::Gossip;
use super::kind::Topic;
use alloy_primitives::B256;
use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::gossipsub::{self, DataTransform, Message, RawMessage, TopicHash};
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

/// This many bytes cost as much as a message.
const BYTES_PER_TOKEN: usize = 64 * 1024;

/// Messages at once, and in a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    burst: u32,
    per_second: u32,
}

/// A stranger's. A node under full load makes 200 batches a second, each in a frame of its own, and says as often
/// that it has what others made.
const STRANGER: Share = Share { burst: 2_048, per_second: 640 };
/// All strangers' messages together: what libp2p remembers of this rate stays within 40 MiB.
const STRANGERS: Share = Share { burst: 4_096, per_second: 1_024 };
/// More than any honest load: a configured peer's share, and how much a stranger may say unheard before it is
/// blamed. Six loaded nodes' batches, passed on one by one, are half of it.
const HONEST: Share = Share { burst: 16_384, per_second: 4_096 };

impl Share {
    fn bucket(self, now: Instant) -> Bucket {
        Bucket::new(self.burst, self.per_second, now)
    }
}

/// Lets our topics' messages pass, within their limits.
#[derive(Clone, Debug)]
pub(super) struct Sieve {
    limits: [(TopicHash, usize); 2],
}

impl Sieve {
    pub(super) fn new(genesis: &B256) -> Self {
        Self { limits: Topic::ALL.map(|topic| (topic.topic(genesis).hash(), topic.limit())) }
    }
}

impl DataTransform for Sieve {
    fn inbound_transform(&self, raw: RawMessage) -> io::Result<Message> {
        let limit = self.limits.iter().find(|(topic, _)| *topic == raw.topic).map(|(_, limit)| *limit);
        match limit {
            Some(limit) if raw.data.len() <= limit => {
                let RawMessage { source, data, sequence_number, topic, .. } = raw;
                Ok(Message { source, data, sequence_number, topic })
            }
            Some(_) => Err(io::Error::other("longer than the topic takes")),
            None => Err(io::Error::other("not a topic of this chain")),
        }
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> io::Result<Vec<u8>> {
        Ok(data)
    }
}

/// What one message of libp2p's gossip, as the wire carries it, has become.
type Heard = THandlerOutEvent<Gossip>;

/// What something said counts for: among what its sender says, and among what all strangers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    own: u32,
    messages: u32,
}

/// What one peer may still say, and a stranger beyond that before it is blamed.
struct Books {
    share: Bucket,
    patience: Bucket,
}

impl Books {
    fn new(share: Share, now: Instant) -> Self {
        Self { share: share.bucket(now), patience: HONEST.bucket(now) }
    }
}

/// Gossip within its shares.
pub(super) struct Throttle {
    pub(super) gossip: Gossip,
    trusted: HashSet<PeerId>,
    /// One for each connected peer that has said something.
    shares: HashMap<PeerId, Books>,
    strangers: Bucket,
    /// How much each stranger said beyond all patience since the last look.
    eager: BTreeMap<PeerId, u32>,
    dropped: u64,
}

impl Throttle {
    pub(super) fn new(gossip: Gossip, trusted: HashSet<PeerId>) -> Self {
        let strangers = STRANGERS.bucket(Instant::now());
        let (shares, eager) = (HashMap::new(), BTreeMap::new());
        Self { gossip, trusted, shares, strangers, eager, dropped: 0 }
    }

    /// Strangers that went on beyond all patience since the last look and how often, and how much was dropped.
    pub(super) fn take_excess(&mut self) -> (BTreeMap<PeerId, u32>, u64) {
        (std::mem::take(&mut self.eager), std::mem::take(&mut self.dropped))
    }

    /// Whether what costs so much may pass.
    fn admit(&mut self, peer: PeerId, cost: Cost, now: Instant) -> bool {
        let trusted = self.trusted.contains(&peer);
        let share = if trusted { HONEST } else { STRANGER };
        let books = self.shares.entry(peer).or_insert_with(|| Books::new(share, now));
        let mut passes = books.share.take(now);
        if passes {
            books.share.charge(cost.own - 1);
            if !trusted && cost.messages > 0 {
                passes = self.strangers.take(now);
                if passes {
                    self.strangers.charge(cost.messages - 1);
                }
            }
        } else if !trusted && !books.patience.take(now) {
            *self.eager.entry(peer).or_default() += 1;
        }
        self.dropped += u64::from(!passes);
        passes
    }
}

/// For its sender one for the whole and one for each message, for all strangers one for each message; one more
/// for each so many bytes. `None` for what is no gossip.
fn cost(event: &Heard) -> Option<Cost> {
    let Heard::Message { rpc, invalid_messages } = event else { return None };
    let invalid = invalid_messages.iter().map(|(message, _)| message);
    let (count, bytes) = rpc
        .messages
        .iter()
        .chain(invalid)
        .fold((0, 0), |(count, bytes), message| (count + 1, bytes + message.data.len()));
    let messages = u32::try_from(count + bytes / BYTES_PER_TOKEN).unwrap_or(u32::MAX);
    Some(Cost { own: messages.saturating_add(1), messages })
}

impl NetworkBehaviour for Throttle {
    type ConnectionHandler = <Gossip as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = gossipsub::Event;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.gossip.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.gossip.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.gossip.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.gossip.handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        if let FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, remaining_established: 0, .. }) = event
        {
            self.shares.remove(&peer_id);
        }
        self.gossip.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: Heard) {
        if cost(&event).is_none_or(|cost| self.admit(peer, cost, Instant::now())) {
            self.gossip.on_connection_handler_event(peer, connection, event);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.gossip.poll(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::network::gossip::gossip;
    use prometheus_client::registry::Registry;
    use std::time::Duration;

    const GENESIS: B256 = B256::repeat_byte(1);

    fn raw(topic: TopicHash, length: usize) -> RawMessage {
        let data = vec![0; length];
        RawMessage {
            source: None,
            data,
            sequence_number: None,
            topic,
            signature: None,
            key: None,
            validated: false,
        }
    }

    #[test]
    fn p2p_2_nothing_is_kept_of_other_topics_and_of_what_is_too_long() {
        let sieve = Sieve::new(&GENESIS);
        for topic in Topic::ALL {
            let hash = topic.topic(&GENESIS).hash();
            assert!(sieve.inbound_transform(raw(hash.clone(), topic.limit())).is_ok());
            assert!(sieve.inbound_transform(raw(hash, topic.limit() + 1)).is_err());
            assert!(sieve.inbound_transform(raw(topic.topic(&B256::ZERO).hash(), 1)).is_err());
        }
    }

    fn throttle(trusted: &[PeerId]) -> Throttle {
        let gossip = gossip(&GENESIS, true, &mut Registry::default()).unwrap();
        Throttle::new(gossip, trusted.iter().copied().collect())
    }

    const MESSAGE: Cost = Cost { own: 1, messages: 1 };
    const UPKEEP: Cost = Cost { own: 1, messages: 0 };

    #[test]
    fn p2p_3_a_strangers_gossip_is_bounded_and_blamed_is_only_a_flood() {
        let (mut throttle, peer) = (throttle(&[]), PeerId::random());
        let now = Instant::now();
        let patience = STRANGER.burst + HONEST.burst;
        let passed = (0..patience).filter(|_| throttle.admit(peer, MESSAGE, now)).count();
        assert_eq!(passed, STRANGER.burst as usize);
        let (eager, dropped) = throttle.take_excess();
        assert_eq!((eager.len(), dropped), (0, u64::from(HONEST.burst)), "dropped and not blamed");
        for _ in 0..9 {
            throttle.admit(peer, MESSAGE, now);
        }
        assert_eq!(throttle.take_excess().0.get(&peer), Some(&9));
        let later = now + Duration::from_secs(1);
        assert!(throttle.admit(peer, Cost { own: 64, messages: 63 }, later), "its share grows back");
        assert!(throttle.take_excess().0.is_empty());
    }

    /// Two minutes of a node that makes 200 batches a second, sends each alone, and says of as many that it has them.
    #[test]
    fn p2p_3_an_honest_stranger_under_full_load_is_heard() {
        let (mut throttle, peer, mut now) = (throttle(&[]), PeerId::random(), Instant::now());
        for _ in 0..120 * 200 {
            now += Duration::from_millis(5);
            assert!(throttle.admit(peer, Cost { own: 2, messages: 1 }, now));
            assert!(throttle.admit(peer, UPKEEP, now));
        }
        assert_eq!(throttle.take_excess().1, 0);
    }

    #[test]
    fn a7_strangers_together_are_bounded_and_none_is_blamed_or_kept_out_for_the_others() {
        let mut throttle = throttle(&[]);
        let now = Instant::now();
        let peers: Vec<PeerId> = (0..100).map(|_| PeerId::random()).collect();
        let passed =
            (0..100).flat_map(|_| &peers).filter(|peer| throttle.admit(**peer, MESSAGE, now)).count();
        assert_eq!(passed, STRANGERS.burst as usize);
        assert!(throttle.take_excess().0.is_empty());
        assert!(throttle.admit(PeerId::random(), UPKEEP, now), "another stranger's subscription is heard");
    }

    #[test]
    fn a_flood_of_strangers_takes_nothing_from_a_configured_peer() {
        let friend = PeerId::random();
        let mut throttle = throttle(&[friend]);
        let now = Instant::now();
        while throttle.admit(PeerId::random(), Cost { own: 101, messages: 100 }, now) {}
        let passed = (0..HONEST.burst + 9).filter(|_| throttle.admit(friend, MESSAGE, now)).count();
        assert_eq!(passed, HONEST.burst as usize);
        assert!(!throttle.take_excess().0.contains_key(&friend));
    }
}

//! The network's stories, told by whole nodes over real sockets on loopback: meshes, blocks, restarts, strangers.
//! Each awaits events with a generous bound; none sleeps.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use alloy_primitives::{B256, Bytes};
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use synod_node::network::*;
use tokio::time::timeout;

/// Nothing here takes a tenth of this on an idle machine.
const BOUND: Duration = Duration::from_secs(30);
const GENESIS: B256 = B256::repeat_byte(0xaa);

struct Node {
    network: Network,
    events: NetworkEvents,
}

fn configuration(seed: u8, peers: Vec<PeerAddress>) -> NetworkConfig {
    NetworkConfig {
        genesis: GENESIS,
        key: NetworkKey::from_bytes([seed; 32]),
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        peers,
        reserved: Vec::new(),
        limits: NetworkLimits::default(),
        testnet: true,
    }
}

async fn launch(config: NetworkConfig) -> Node {
    let mut registry = Registry::default();
    let (network, events) = start(config, &mut registry).await.unwrap();
    Node { network, events }
}

impl Node {
    async fn event(&mut self) -> NetworkEvent {
        timeout(BOUND, self.events.recv())
            .await
            .expect("an event within the bound")
            .expect("the network runs")
    }

    /// Reads events until one fits, dropping the others.
    async fn until<T>(&mut self, mut fits: impl FnMut(NetworkEvent) -> Option<T>) -> T {
        loop {
            if let Some(found) = fits(self.event().await) {
                return found;
            }
        }
    }

    async fn connected_to(&mut self, count: usize) {
        let mut peers = std::collections::BTreeSet::new();
        while peers.len() < count {
            match self.event().await {
                NetworkEvent::Connected { peer, .. } => drop(peers.insert(peer)),
                NetworkEvent::Disconnected { peer } => drop(peers.remove(&peer)),
                _ => {}
            }
        }
    }

    async fn disconnected(&mut self, from: PeerName) {
        self.until(|event| {
            matches!(event, NetworkEvent::Disconnected { peer } if peer == from).then_some(())
        })
        .await;
    }

    async fn message(&mut self) -> (PeerName, Bytes) {
        self.until(|event| match event {
            NetworkEvent::Message { from, data } => Some((from, data)),
            _ => None,
        })
        .await
    }

    async fn gossip(&mut self) -> (GossipId, Topic, Bytes) {
        self.until(|event| match event {
            NetworkEvent::Gossip { id, topic, data, .. } => Some((id, topic, data)),
            _ => None,
        })
        .await
    }
}

/// Nodes of which each dials all that came before it.
async fn mesh(count: u8) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for seed in 1..=count {
        let peers = nodes.iter().flat_map(|node| node.network.addresses()).collect();
        nodes.push(launch(configuration(seed, peers)).await);
    }
    for node in &mut nodes {
        node.connected_to(usize::from(count) - 1).await;
    }
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_nodes_form_a_mesh_and_every_batch_reaches_everybody() {
    let begun = Instant::now();
    let mut nodes = mesh(4).await;
    println!("a mesh of four in {:?}", begun.elapsed());
    for speaker in 0..nodes.len() {
        let data = Bytes::from(vec![speaker as u8; 40_000]);
        nodes[speaker].network.gossip(Topic::Transactions, data.clone()).unwrap();
        for (listener, node) in nodes.iter_mut().enumerate() {
            if listener == speaker {
                continue;
            }
            let (id, topic, heard) = node.gossip().await;
            assert_eq!((topic, &heard), (Topic::Transactions, &data));
            node.network.report(id, Verdict::Accept);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_dial_each_other_at_once_end_with_one_connection_and_talk() {
    let held: Vec<_> = (0..2).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let sockets: Vec<SocketAddr> = held.iter().map(|listener| listener.local_addr().unwrap()).collect();
    drop(held);
    let names: Vec<PeerName> = (1..3).map(|seed| NetworkKey::from_bytes([seed; 32]).name()).collect();
    let mut nodes = Vec::new();
    for here in 0..2 {
        let there = 1 - here;
        let peers = vec![PeerAddress { name: names[there], socket: sockets[there] }];
        let mut config = configuration(here as u8 + 1, peers);
        config.listen = vec![sockets[here]];
        nodes.push(launch(config).await);
    }
    for here in 0..2 {
        let there = 1 - here;
        // A vote pushed at any moment arrives, whichever of the two connections stays.
        assert!(nodes[here].network.send(names[there], Class::Vote, Bytes::from_static(b"vote")));
        assert_eq!(nodes[there].message().await, (names[here], Bytes::from_static(b"vote")));
        assert_eq!(nodes[there].network.peers().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_messages_keep_their_order_and_go_on_after_a_restart() {
    let mut first = launch(configuration(1, Vec::new())).await;
    let first_name = first.network.name();
    let to_first = first.network.addresses();
    let mut second = launch(configuration(2, to_first.clone())).await;
    second.connected_to(1).await;
    for life in 0..3_u32 {
        let numbers = 0..2000_u32;
        for number in numbers.clone() {
            let class = [Class::Vote, Class::Block, Class::Transaction][number as usize % 3];
            let data = [life.to_be_bytes(), number.to_be_bytes()].concat();
            assert!(second.network.send(first_name, class, data.into()));
        }
        for number in numbers {
            let (from, data) = first.message().await;
            assert_eq!(from, second.network.name());
            assert_eq!(&data[..], [life.to_be_bytes(), number.to_be_bytes()].concat());
        }
        // The same identity comes back on the same port, and is found again without a word.
        first.network.shutdown().await;
        second.disconnected(first_name).await;
        let mut config = configuration(1, Vec::new());
        config.listen = first.network.listening().to_vec();
        first = launch(config).await;
        second.connected_to(1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_refused_and_bounded() {
    let mut nodes = mesh(2).await;
    let mut server = nodes.remove(0);
    let (client, name) = (nodes.remove(0).network, server.network.name());
    let answering = tokio::spawn(async move {
        loop {
            match server.event().await {
                NetworkEvent::Request { data, reply, .. } if data.is_empty() => reply.refuse(),
                NetworkEvent::Request { data, reply, .. } => {
                    let length = u32::from_be_bytes(data[..].try_into().unwrap());
                    reply.send(vec![7; length as usize].into());
                }
                _ => {}
            }
        }
    });
    let ask = |length: u32| client.request(name, Bytes::from(length.to_be_bytes().to_vec()));
    assert_eq!(ask(0).await.unwrap().len(), 0);
    assert_eq!(ask(5_000_000).await.unwrap().len(), 5_000_000);
    assert_eq!(ask(RESPONSE_LIMIT as u32).await.unwrap().len(), RESPONSE_LIMIT);
    assert_eq!(ask(RESPONSE_LIMIT as u32 + 1).await, Err(RequestError::Refused));
    assert_eq!(client.request(name, Bytes::new()).await, Err(RequestError::Refused));
    let long = Bytes::from(vec![0; REQUEST_LIMIT + 1]);
    assert!(matches!(client.request(name, long).await, Err(RequestError::TooLarge { .. })));
    let nobody = PeerName::from_bytes([9; 32]);
    assert_eq!(client.request(nobody, Bytes::new()).await, Err(RequestError::NotConnected));
    answering.abort();
}

//! The network's stories, told by whole nodes over real sockets on loopback: meshes, blocks, restarts,
//! strangers.
//! Each awaits events with a generous bound; none sleeps.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use alloy_primitives::{B256, Bytes};
use prometheus_client::registry::Registry;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc as plain;
use std::time::{Duration, Instant};
use synod_node::network::*;
use synod_node::ports::unused;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
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
    let sockets: Vec<SocketAddr> = (0..2).map(|_| unused().unwrap()).collect();
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
    assert!(answering.await.unwrap_err().is_cancelled());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_block_reaches_everybody() {
    let mut nodes = mesh(4).await;
    let block = Bytes::from(vec![5; Topic::Blocks.limit()]);
    let begun = Instant::now();
    nodes[0].network.gossip(Topic::Blocks, block.clone()).unwrap();
    for node in &mut nodes[1..] {
        let (id, topic, heard) = node.gossip().await;
        assert!((topic, &heard) == (Topic::Blocks, &block));
        node.network.report(id, Verdict::Accept);
    }
    println!("a block of {} bytes reached three nodes in {:?}", block.len(), begun.elapsed());
    let longer = Bytes::from(vec![5; Topic::Blocks.limit() + 1]);
    let refused = nodes[0].network.gossip(Topic::Blocks, longer);
    assert!(matches!(refused, Err(GossipError::TooLarge { .. })));
}

/// P2P-2: on a line of three, the one in the middle decides what the last one hears.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2p_2_nothing_travels_on_before_its_verdict() {
    let mut left = launch(configuration(1, Vec::new())).await;
    let mut middle = launch(configuration(2, left.network.addresses())).await;
    let mut right = launch(configuration(3, middle.network.addresses())).await;
    left.connected_to(1).await;
    right.connected_to(1).await;
    middle.connected_to(2).await;
    let verdicts = [Verdict::Ignore, Verdict::Reject, Verdict::Accept];
    for (number, verdict) in verdicts.into_iter().enumerate() {
        left.network.gossip(Topic::Transactions, Bytes::from(vec![number as u8])).unwrap();
        let (id, _, data) = middle.gossip().await;
        assert_eq!(data[0], number as u8);
        middle.network.report(id, verdict);
    }
    let (_, _, data) = right.gossip().await;
    assert_eq!(&data[..], [2], "only what was accepted travels on");
}

/// Hands every formatted log line to a test.
#[derive(Clone)]
struct Lines(plain::SyncSender<String>);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A test that has heard enough is no fault of the log's.
        let _ = self.0.try_send(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One thread for all tasks, so that the test's own log is everybody's.
#[tokio::test]
async fn gen_6_nodes_of_different_chains_part_with_a_clear_line() {
    let (lines, log) = plain::sync_channel(10_000);
    let lines = Lines(lines);
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || lines.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let first = launch(configuration(1, Vec::new())).await;
    // One chain differs in the protocols' names, the other only in what the hello says.
    for last in [0, 31] {
        let mut config = configuration(2, first.network.addresses());
        config.genesis.0[last] ^= 1;
        let stranger = launch(config).await;
        let parted = async {
            loop {
                match log.try_recv() {
                    Ok(line) if line.contains("dropping peer") && line.contains("genesis") => break,
                    Ok(_) => {}
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        timeout(BOUND, parted).await.expect("a line that says why");
        assert!(stranger.network.peers().is_empty());
        assert!(first.network.peers().is_empty());
        stranger.network.shutdown().await;
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Wire {
    Open,
    /// Connections are cut and new ones refused.
    Cut,
    /// Bytes stop moving, sockets stay.
    Stalled,
}

/// A TCP proxy as a partition tool would use it.
async fn proxy(target: SocketAddr) -> (SocketAddr, watch::Sender<Wire>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, wire) = watch::channel(Wire::Open);
    tokio::spawn(async move {
        while let Ok((inside, _)) = listener.accept().await {
            if *wire.borrow() != Wire::Cut {
                tokio::spawn(relay(inside, target, wire.clone()));
            }
        }
    });
    (address, sender)
}

async fn relay(mut inside: TcpStream, target: SocketAddr, mut wire: watch::Receiver<Wire>) -> Option<()> {
    let mut outside = TcpStream::connect(target).await.ok()?;
    loop {
        let now = *wire.borrow_and_update();
        match now {
            Wire::Cut => return None,
            Wire::Stalled => wire.changed().await.ok()?,
            Wire::Open => tokio::select! {
                _ = copy_bidirectional(&mut inside, &mut outside) => return None,
                changed = wire.changed() => changed.ok()?,
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_between_two_nodes_can_part_them_and_they_heal() {
    let mut far = launch(configuration(1, Vec::new())).await;
    let (name, socket) = (far.network.name(), far.network.listening()[0]);
    let (address, wire) = proxy(socket).await;
    let mut near = launch(configuration(2, vec![PeerAddress { name, socket: address }])).await;
    for parted in [Wire::Cut, Wire::Stalled, Wire::Cut] {
        let outbound_address = near
            .until(|event| match event {
                NetworkEvent::Connected { address, outbound: true, .. } => Some(address),
                _ => None,
            })
            .await;
        assert_eq!(outbound_address, address, "only the configured socket is dialled");
        far.connected_to(1).await;
        wire.send_replace(parted);
        near.disconnected(name).await;
        far.disconnected(near.network.name()).await;
        // A vote that is sent while the link is down waits for it; a block would be stale.
        assert!(near.network.send(name, Class::Vote, Bytes::from_static(b"waiting")));
        assert!(!near.network.send(name, Class::Block, Bytes::from_static(b"stale")));
        let begun = Instant::now();
        wire.send_replace(Wire::Open);
        assert_eq!(far.message().await.1, Bytes::from_static(b"waiting"));
        println!("healed in {:?}", begun.elapsed());
        // Start the next round from a fresh announcement.
        wire.send_replace(Wire::Cut);
        near.disconnected(name).await;
        far.disconnected(near.network.name()).await;
        wire.send_replace(Wire::Open);
    }
}

/// Both speak again and again until each has heard so many words; how often each lost the other meanwhile.
async fn talk(nodes: &mut [Node; 2], words: usize) -> [usize; 2] {
    let names = [nodes[1].network.name(), nodes[0].network.name()];
    let (mut lost, mut heard) = ([0; 2], [0; 2]);
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    while heard.iter().any(|heard| *heard < words) {
        let [one, two] = &mut *nodes;
        let (at, event) = tokio::select! {
            event = one.event() => (0, event),
            event = two.event() => (1, event),
            _ = ticks.tick() => {
                for (node, name) in nodes.iter().zip(names) {
                    node.network.send(name, Class::Vote, Bytes::from_static(b"word"));
                }
                continue;
            }
        };
        match event {
            NetworkEvent::Message { .. } => heard[at] += 1,
            NetworkEvent::Disconnected { .. } => lost[at] += 1,
            _ => {}
        }
    }
    lost
}

/// Gossip tells a peer what it subscribes to once, not once for each connection: of two connections neither may go before
/// both sides have the other, or one of them waits in vain for what was said, and then gives the peer up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_dial_each_other_neither_waits_in_vain_for_gossip() {
    let rounds = std::env::var("SYNOD_DIALS").map_or(8, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let sockets = [unused().unwrap(), unused().unwrap()];
        let (mut nodes, mut wires) = (Vec::new(), Vec::new());
        for (here, seed) in [1_u8, 2].into_iter().enumerate() {
            let (socket, wire) = proxy(sockets[1 - here]).await;
            wire.send_replace(Wire::Stalled);
            let name = NetworkKey::from_bytes([3 - seed; 32]).name();
            let config = configuration(seed, vec![PeerAddress { name, socket }]);
            nodes.push(launch(NetworkConfig { listen: vec![sockets[here]], ..config }).await);
            wires.push(wire);
        }
        // Both are being dialled, and neither knows.
        while wires.iter().any(|wire| wire.receiver_count() < 2) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for wire in &wires {
            wire.send_replace(Wire::Open);
        }
        let (begun, mut nodes) = (Instant::now(), <[Node; 2]>::try_from(nodes).ok().unwrap());
        let lost = talk(&mut nodes, 20).await;
        println!("round {round}: {:?}, lost {lost:?}", begun.elapsed());
        assert!(
            lost.iter().all(|lost| *lost <= 1),
            "only the connection that does not stay is lost: {lost:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_shutdown_sends_what_is_queued_and_frees_the_port() {
    let mut nodes = mesh(2).await;
    let leaving = nodes.remove(1);
    let mut staying = nodes.remove(0);
    for number in 0..1000_u32 {
        assert!(leaving.network.send(
            staying.network.name(),
            Class::Vote,
            number.to_be_bytes().to_vec().into()
        ));
    }
    timeout(BOUND, leaving.network.shutdown()).await.expect("a shutdown within the bound");
    for number in 0..1000_u32 {
        assert_eq!(staying.message().await.1, Bytes::from(number.to_be_bytes().to_vec()));
    }
    staying.disconnected(leaving.network.name()).await;
    std::net::TcpListener::bind(leaving.network.listening()[0]).expect("the port is free again");
    let mut events = leaving.events;
    while timeout(BOUND, events.recv()).await.expect("the events end").is_some() {}
    assert_eq!(leaving.network.gossip(Topic::Blocks, Bytes::new()), Err(GossipError::Stopped));
    let asked = leaving.network.request(staying.network.name(), Bytes::new()).await;
    assert_eq!(asked, Err(RequestError::Stopped));
    assert!(leaving.network.peers().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_reported() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = configuration(1, Vec::new());
    config.listen = vec![taken.local_addr().unwrap()];
    let error = start(config, &mut Registry::default()).await.err().expect("the port is taken");
    assert!(error.to_string().contains(&taken.local_addr().unwrap().to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seven_nodes_that_all_dial_each_other_form_a_mesh() {
    let addresses: Vec<PeerAddress> = (1..=7)
        .map(|seed| PeerAddress {
            name: NetworkKey::from_bytes([seed; 32]).name(),
            socket: unused().unwrap(),
        })
        .collect();
    let begun = Instant::now();
    let mut nodes = Vec::new();
    for (here, own) in addresses.iter().enumerate() {
        let others = addresses.iter().filter(|address| address.name != own.name).copied().collect();
        let mut config = configuration(here as u8 + 1, others);
        config.listen = vec![own.socket];
        nodes.push(launch(config).await);
    }
    for node in &mut nodes {
        node.connected_to(6).await;
    }
    println!("seven nodes that all dial each other in {:?}", begun.elapsed());
    nodes[6].network.gossip(Topic::Blocks, Bytes::from_static(b"block")).unwrap();
    for node in &mut nodes[..6] {
        let (id, _, _) = node.gossip().await;
        node.network.report(id, Verdict::Accept);
    }
}

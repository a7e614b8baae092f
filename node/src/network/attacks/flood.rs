//! Hostile inputs by the hundred thousand, over real connections, against a victim in a process of its own
//! (`apart`): garbage and half-truths at every layer and in every protocol, from several attackers at once, each
//! coming back under another name when it was dropped (P2P-1 to P2P-8, S-N4, R14).
//!
//! `SYNOD_HOSTILE_INPUTS` says how many. The honest peer keeps its connection, nothing panics, and the victim's
//! process stays within 64 MiB of where it was.

use super::apart::Apart;
use super::gossip::{field, graft, ihave, iwant, number_field, prune, publish, subscribe, topic, varint};
use super::layers::{header, try_instead_of_yamux};
use super::*;
use crate::mempool::tests::fixture::{Terms, signed};
use crate::network::config::{MESSAGE_LIMIT, MIB, REQUEST_LIMIT};
use crate::network::frame;
use libp2p::futures::{AsyncWrite, AsyncWriteExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use synod_consensus::pow::{Body, Message, Work};
use synod_ledger::hostile::{inputs, seed};
use synod_types::hostile::Mutator;
use synod_types::{BlockHash, Height, U256, codec};
use tokio::net::TcpStream;

const MESHSUB: &str = "/meshsub/1.1.0";
/// An attacker gives a step this long; what takes longer has been refused in its own way.
const STEP: Duration = Duration::from_secs(5);
const ATTACKERS: u64 = 4;

/// What is attacked, and its share of all inputs in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Front {
    Gossip,
    Direct,
    Requests,
    Socket,
    Hello,
    Yamux,
}

const FRONTS: [(Front, u64); 6] = [
    (Front::Gossip, 50),
    (Front::Direct, 22),
    (Front::Requests, 10),
    (Front::Socket, 13),
    (Front::Hello, 2),
    (Front::Yamux, 3),
];

/// How many inputs each front has seen.
#[derive(Default)]
struct Tally([AtomicU64; FRONTS.len()]);

impl Tally {
    fn count(&self, front: Front, inputs: u64) {
        let at = FRONTS.iter().position(|(one, _)| *one == front).unwrap();
        self.0[at].fetch_add(inputs, Ordering::Relaxed);
    }

    fn total(&self) -> u64 {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The front that is furthest behind its share.
    fn next(&self) -> Front {
        let behind = |at: &usize| self.0[*at].load(Ordering::Relaxed) * 1_000 / FRONTS[*at].1;
        FRONTS[(0..FRONTS.len()).min_by_key(behind).unwrap()].0
    }
}

/// The samples that inputs are made from.
struct Samples {
    messages: Vec<Vec<u8>>,
    gossip: Vec<Vec<u8>>,
    questions: Vec<Vec<u8>>,
    hellos: Vec<Vec<u8>>,
    frames: Vec<Vec<u8>>,
    sockets: Vec<Vec<u8>>,
}

impl Samples {
    fn new() -> Self {
        let block = synod_ledger::execution::genesis_block(&synod_ledger::testing::genesis());
        let (body, hash) = (Body::from_block(&block), BlockHash::default());
        let messages: Vec<Vec<u8>> = [
            Message::AskTip,
            Message::Tip { block_hash: hash, height: Height(u64::MAX), work: Work(U256::MAX) },
            Message::AskHeaders { locator: vec![hash; 30] },
            Message::Headers { headers: vec![*body.header(); 20] },
            Message::AskBody { block_hash: hash },
            Message::Body(body.clone()),
            Message::NoBody { block_hash: hash },
            Message::NewBlock(body.clone()),
            Message::NewHeader(*body.header()),
        ]
        .iter()
        .map(Message::to_bytes)
        .collect();
        let transactions = (0..3).map(|nonce| signed(&Terms { nonce, ..Terms::default() }).to_bytes().into());
        let batch = codec::encode(&transactions.collect::<Vec<Bytes>>());
        let (batches, blocks) = (topic(Topic::Transactions), topic(Topic::Blocks));
        let mut gossip: Vec<Vec<u8>> = messages.iter().map(|message| publish(&blocks, message)).collect();
        gossip.extend([
            publish(&batches, &batch),
            publish("/nobody/listens", &batch),
            subscribe(&blocks, true),
            subscribe(&batches, false),
            subscribe("/nobody/listens", true),
            graft(&blocks),
            prune(&batches, u64::MAX),
            ihave(&blocks, &[[7; 32]; 20]),
            iwant(&[[7; 32]; 20]),
            // IDONTWANT, and a message that claims an author.
            field(3, &field(5, &field(1, &[9; 32]))),
            field(
                2,
                &[field(1, &[1; 38]), field(2, b"data"), field(3, &[0; 8]), field(4, blocks.as_bytes())]
                    .concat(),
            ),
            number_field(9, u64::MAX),
        ]);
        let hello = Hello::ours(GENESIS).encode();
        let frames = vec![
            [header(0, 1, 1, 4), vec![1, 2, 3, 4]].concat(),
            header(1, 1, 3, 0),
            header(1, 0, 1, u32::MAX),
            header(2, 1, 0, 99),
            header(3, 0, 0, 0),
            [header(0, 1, 5, 20), b"\x13/multistream/1.0.0\n".to_vec()].concat(),
        ];
        let sockets = vec![
            b"\x13/multistream/1.0.0\n\x07/noise\n".to_vec(),
            [&b"\x13/multistream/1.0.0\n\x07/noise\n\0\x20"[..], &[5; 32]].concat(),
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        ];
        let questions = vec![b"question".to_vec(), messages[2].clone(), vec![0; 1000]];
        Self { messages, gossip, questions, hellos: vec![hello], frames, sockets }
    }
}

/// One hostile peer among several.
struct Flooder {
    addresses: Arc<Vec<PeerAddress>>,
    samples: Arc<Samples>,
    tally: Arc<Tally>,
    mutator: Mutator,
}

impl Flooder {
    fn to(&mut self) -> PeerAddress {
        *self.mutator.pick(&self.addresses)
    }

    /// Goes on until all inputs are said.
    async fn run(mut self, total: u64) {
        while self.tally.total() < total {
            match self.tally.next() {
                Front::Gossip => self.gossip().await,
                Front::Direct => self.direct().await,
                Front::Requests => self.requests().await,
                Front::Socket => self.socket().await,
                Front::Hello => self.hello().await,
                Front::Yamux => self.yamux().await,
            }
        }
    }

    /// Connects and says a good hello; nothing when the victim has no place.
    async fn enter(&mut self, second: &str) -> Option<(Attacker, Stream)> {
        let mut attacker = Attacker::try_connect(self.to(), second).await?;
        let mut stream = attacker.direct_or_end().await?;
        attacker.during(Hello::ours(GENESIS).exchange(&mut stream, STEP)).await.ok()?;
        Some((attacker, stream))
    }

    /// A session's worth of gossip: protobuf that is lawful and says hostile things, and protobuf that is not.
    async fn gossip(&mut self) {
        let Some((mut attacker, _direct)) = self.enter(MESHSUB).await else { return };
        let Some(mut stream) = attacker.open().await else { return };
        for _ in 0..64 {
            let (mut buffer, count) = (Vec::new(), 32);
            for _ in 0..count {
                let content = self.gossip_content();
                varint(&mut buffer, content.len() as u64);
                buffer.extend_from_slice(&content);
            }
            if !written(&mut attacker, &mut stream, &buffer).await {
                // Bad framing costs the stream; libp2p takes a few more of them.
                match attacker.open().await {
                    Some(another) => stream = another,
                    None => return,
                }
            }
            self.tally.count(Front::Gossip, count);
            if attacker.dropped {
                return;
            }
        }
    }

    fn gossip_content(&mut self) -> Vec<u8> {
        let samples = Arc::clone(&self.samples);
        match self.mutator.below(8) {
            0 => self.mutator.bytes(&samples.gossip),
            1 => {
                let data = self.mutator.bytes(&samples.messages);
                publish(&topic(Topic::Blocks), &data)
            }
            2 => publish(&format!("/topic/{}", self.mutator.roll()), &self.mutator.noise(200)),
            3 => (0..8).flat_map(|_| graft(&format!("/topic/{}", self.mutator.roll()))).collect(),
            4 => prune(&topic(Topic::Transactions), self.mutator.roll()),
            5 => (0..8).flat_map(|_| subscribe(&format!("/topic/{}", self.mutator.roll()), true)).collect(),
            6 => {
                let ids: Vec<[u8; 32]> =
                    (0..16).map(|_| std::array::from_fn(|_| self.mutator.roll() as u8)).collect();
                if self.mutator.below(2) == 0 { ihave(&topic(Topic::Blocks), &ids) } else { iwant(&ids) }
            }
            _ => self.mutator.pick(&samples.gossip).clone(),
        }
    }

    /// A few direct frames; the second invalid one ends it, and what was written with it is refused with it.
    async fn direct(&mut self) {
        let Some((mut attacker, mut stream)) = self.enter("/nothing/1").await else { return };
        let (mut buffer, count) = (Vec::new(), 6);
        for _ in 0..count {
            let body = self.mutator.bytes(&self.samples.messages);
            match self.mutator.below(10) {
                // A length that lies: too long, or more than follows.
                0 => buffer.extend_from_slice(&(MESSAGE_LIMIT as u32 + 1).to_be_bytes()),
                1 => buffer.extend_from_slice(&(body.len() as u32 * 2 + 1).to_be_bytes()),
                _ => frame::append(&mut buffer, &body),
            }
        }
        written(&mut attacker, &mut stream, &buffer).await;
        attacker.lingers().await;
        self.tally.count(Front::Direct, count);
    }

    async fn requests(&mut self) {
        let Some((mut attacker, _direct)) = self.enter(&wire_name(&GENESIS, "sync")).await else { return };
        for _ in 0..32 {
            let Some(mut stream) = attacker.open().await else { return };
            let mut buffer = Vec::new();
            match self.mutator.below(8) {
                0 => buffer.extend_from_slice(&(REQUEST_LIMIT as u32 + 1).to_be_bytes()),
                1 => buffer = self.mutator.noise(100),
                _ => frame::append(&mut buffer, &self.mutator.bytes(&self.samples.questions)),
            }
            written(&mut attacker, &mut stream, &buffer).await;
            self.tally.count(Front::Requests, 1);
            if self.mutator.below(2) == 0 {
                let answer = frame::read_length(&mut stream, MIB, Duration::from_millis(200));
                let _ = attacker.during(answer).await;
            }
        }
    }

    /// Bytes on the bare socket.
    async fn socket(&mut self) {
        let Ok(mut stream) = TcpStream::connect(self.to().socket).await else { return };
        let bytes = self.mutator.bytes(&self.samples.sockets);
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes).await;
        if self.mutator.below(4) > 0 {
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
            let mut rest = Vec::new();
            let _ = timeout(STEP, tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest)).await;
        }
        self.tally.count(Front::Socket, 1);
    }

    async fn hello(&mut self) {
        let Some(mut attacker) = Attacker::try_connect(self.to(), "/nothing/1").await else { return };
        let Some(mut stream) = attacker.direct_or_end().await else { return };
        let (mut buffer, hello) = (Vec::new(), self.mutator.bytes(&self.samples.hellos));
        frame::append(&mut buffer, &hello);
        if self.mutator.below(8) == 0 {
            buffer[..4].copy_from_slice(&(self.mutator.roll() as u32).to_be_bytes());
        }
        written(&mut attacker, &mut stream, &buffer).await;
        attacker.lingers().await;
        self.tally.count(Front::Hello, 1);
    }

    async fn yamux(&mut self) {
        let bytes: Vec<u8> = (0..4).flat_map(|_| self.mutator.bytes(&self.samples.frames)).collect();
        if try_instead_of_yamux(self.to(), bytes, true).await {
            self.tally.count(Front::Yamux, 1);
        }
    }
}

/// Writes and flushes; says whether the victim took it.
async fn written(attacker: &mut Attacker, stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
    let work = async { stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok() };
    timeout(STEP, attacker.during(work)).await.unwrap_or(false)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a7_a8_and_s_n4_hostile_inputs_over_the_network() {
    let mut victim = Apart::start().await;
    let (total, begun) = (inputs(3_000), Instant::now());
    let (tally, addresses) = (Arc::new(Tally::default()), Arc::new(victim.addresses.clone()));
    let samples = Arc::new(Samples::new());
    let mut flooders = tokio::task::JoinSet::new();
    for number in 0..ATTACKERS {
        let mutator = Mutator::new(seed().wrapping_mul(ATTACKERS).wrapping_add(number));
        let (addresses, samples) = (Arc::clone(&addresses), Arc::clone(&samples));
        flooders.spawn(Flooder { addresses, samples, tally: Arc::clone(&tally), mutator }.run(total));
    }
    while let Some(ended) = flooders.join_next().await {
        ended.unwrap();
        victim.still_works().await;
    }
    let said = FRONTS
        .iter()
        .zip(&tally.0)
        .map(|((front, _), count)| format!("{front:?} {}", count.load(Ordering::Relaxed)));
    println!("{} in {:?}: {}", tally.total(), begun.elapsed(), said.collect::<Vec<_>>().join(", "));
    victim.end(&format!("{total} hostile inputs over the network")).await;
}

/// What grows when nobody bounds it: ever new messages, messages on topics that nobody hears, long frames that
/// stall, streams full of what nobody reads, names that come and go. Each as fast as it goes, for as many inputs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a7_and_p2p_7_nothing_that_a_peer_says_piles_up() {
    let mut victim = Apart::start().await;
    let to = victim.addresses[0];
    let rounds = inputs(2_000).min(200_000);
    ever_new_messages(to, rounds).await;
    victim.still_works().await;
    long_messages_on_other_topics(to).await;
    victim.still_works().await;
    let held = stalled_frames(to).await;
    victim.still_works().await;
    streams_that_nobody_reads(to).await;
    victim.still_works().await;
    drop(held);
    victim.end(&format!("{rounds} new messages, other topics, stalled frames, unread streams")).await;
}

async fn raw_gossip(to: PeerAddress) -> Option<(Attacker, Stream, Stream)> {
    let mut attacker = Attacker::try_connect(to, MESHSUB).await?;
    let mut direct = attacker.direct_or_end().await?;
    attacker.during(Hello::ours(GENESIS).exchange(&mut direct, STEP)).await.ok()?;
    let gossip = attacker.open().await?;
    Some((attacker, direct, gossip))
}

/// Small messages, no two alike, on a topic of ours.
async fn ever_new_messages(to: PeerAddress, count: u64) {
    let (mut said, name) = (0, topic(Topic::Blocks));
    while said < count {
        let Some((mut attacker, _direct, mut stream)) = raw_gossip(to).await else { continue };
        while said < count && !attacker.dropped {
            let mut buffer = Vec::new();
            for _ in 0..256 {
                said += 1;
                let content = publish(&name, &said.to_be_bytes());
                varint(&mut buffer, content.len() as u64);
                buffer.extend_from_slice(&content);
            }
            if !written(&mut attacker, &mut stream, &buffer).await {
                break;
            }
        }
    }
}

/// 256 MiB on topics that nobody subscribed to.
async fn long_messages_on_other_topics(to: PeerAddress) {
    let mut said = 0;
    while said < 64 {
        let Some((mut attacker, _direct, mut stream)) = raw_gossip(to).await else { continue };
        while said < 64 {
            said += 1;
            let content = publish(&format!("/nobody/{said}"), &vec![said; 4 * MIB]);
            let mut buffer = Vec::new();
            varint(&mut buffer, content.len() as u64);
            buffer.extend_from_slice(&content);
            if !written(&mut attacker, &mut stream, &buffer).await {
                break;
            }
        }
    }
}

/// Frames of the longest length, announced and not sent.
async fn stalled_frames(to: PeerAddress) -> Vec<(Attacker, Stream)> {
    let mut held = Vec::new();
    for _ in 0..8 {
        let Some(mut attacker) = Attacker::try_connect(to, "/nothing/1").await else { continue };
        let Some(mut stream) = attacker.direct_or_end().await else { continue };
        if attacker.during(Hello::ours(GENESIS).exchange(&mut stream, STEP)).await.is_ok() {
            written(&mut attacker, &mut stream, &(MESSAGE_LIMIT as u32).to_be_bytes()).await;
            held.push((attacker, stream));
        }
    }
    held
}

/// As many streams as a connection takes, each with as much as fits before anybody reads, from several at once,
/// until the victim hangs up.
async fn streams_that_nobody_reads(to: PeerAddress) {
    const SYN: u16 = 1;
    const FULL: u32 = 255 * 1024;
    let open = |stream: u32| [header(0, SYN, 2 * stream + 1, FULL), vec![0x7f; FULL as usize]].concat();
    let mut attackers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let bytes: Vec<u8> = (0..30).flat_map(open).collect();
        attackers.spawn(async move { try_instead_of_yamux(to, bytes, false).await });
    }
    assert!(attackers.join_all().await.contains(&true));
}

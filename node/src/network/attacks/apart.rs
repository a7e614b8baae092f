//! A victim in a process of its own (`testing::apart`) that answers as a node does, with the real decoders behind
//! the network, and hears when to measure and when to end; and an honest peer that tests whether it still works.

use super::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use synod_consensus::pow::{self, Message, ProofOfWork};
use synod_consensus::{Peer, Protocol};
use synod_ledger::hostile::Memory;
use synod_types::{Transaction, codec, transaction};
use tokio::sync::mpsc;

use crate::network::{Demerit, Verdict};
use crate::testing::apart;

/// What an honest peer says, and the victim says back.
pub(super) const HONEST: &[u8] = b"honest ";

/// The victim, seen from outside, with its honest peer.
pub(super) struct Apart {
    process: apart::Apart,
    pub(super) addresses: Vec<PeerAddress>,
    friend: Network,
    friend_events: NetworkEvents,
    rounds: u32,
}

impl Apart {
    pub(super) async fn start() -> Self {
        let (process, at) = apart::Apart::start("network::attacks::apart::victim");
        let addresses: Vec<PeerAddress> =
            at.split_whitespace().map(|address| address.parse().unwrap()).collect();
        let config = configuration(2, addresses[..1].to_vec());
        let (friend, mut friend_events) = start(config, &mut Registry::default()).await.unwrap();
        connected(&mut friend_events).await;
        let mut apart = Self { process, addresses, friend, friend_events, rounds: 0 };
        apart.still_works().await;
        apart.process.order("measure");
        apart
    }

    /// The honest peer kept its connection and is answered.
    pub(super) async fn still_works(&mut self) {
        self.rounds += 1;
        let data = Bytes::from([HONEST, &self.rounds.to_be_bytes()].concat());
        assert!(self.friend.send(self.addresses[0].name, crate::network::Class::Vote, data.clone()));
        loop {
            match event(&mut self.friend_events).await {
                NetworkEvent::Message { data: heard, .. } if heard == data => return,
                NetworkEvent::Disconnected { .. } => panic!("the honest peer lost its connection"),
                NetworkEvent::Gossip { id, .. } => self.friend.report(id, Verdict::Ignore),
                _ => {}
            }
        }
    }

    /// The victim's own judgement of its memory, after it has served the honest peer once more.
    pub(super) async fn end(mut self, what: &str) {
        self.still_works().await;
        self.process.end(&format!("end {what}"));
    }
}

/// What stands behind a node's network: the real decoders and checks, and verdicts as a node gives them.
struct Judge {
    config: pow::Config,
    randomness: ChaCha20Rng,
}

impl Judge {
    fn new() -> Self {
        let genesis = synod_ledger::testing::genesis();
        let block = synod_ledger::execution::genesis_block(&genesis);
        let rules = pow::Rules::new(&genesis.pow, &block.header).unwrap();
        let config = pow::Config { rules, limits: pow::Limits::default(), mines: false };
        Self { config, randomness: ChaCha20Rng::seed_from_u64(7) }
    }

    fn answer(&mut self, network: &Network, event: NetworkEvent) {
        match event {
            NetworkEvent::Message { from, data } if data.starts_with(HONEST) => {
                network.send(from, crate::network::Class::Vote, data);
            }
            NetworkEvent::Message { from, data } if !self.is_sound(&data) => {
                network.demote(from, Demerit::Invalid);
            }
            NetworkEvent::Gossip { id, topic: Topic::Blocks, data, .. } => {
                let verdict = if self.is_sound(&data) { Verdict::Accept } else { Verdict::Reject };
                network.report(id, verdict);
            }
            NetworkEvent::Gossip { id, topic: Topic::Transactions, data, .. } => {
                let verdict = if self.is_batch(&data) { Verdict::Accept } else { Verdict::Reject };
                network.report(id, verdict);
            }
            NetworkEvent::Request { data, reply, .. } if data.len() % 2 == 0 => reply.send(data),
            _ => {}
        }
    }

    fn is_sound(&self, data: &[u8]) -> bool {
        let message = Message::from_bytes(data);
        message.is_ok_and(|message| ProofOfWork::check(&self.config, Peer(1), message).is_ok())
    }

    fn is_batch(&mut self, data: &[u8]) -> bool {
        let Ok(batch) = codec::decode::<Vec<Bytes>, { 256 * 1024 }>(data) else { return false };
        let read: Result<Vec<Transaction>, _> =
            batch.iter().map(|bytes| Transaction::from_bytes(bytes)).collect();
        let Ok(transactions) = read else { return false };
        let verdicts = transaction::verify_transactions(transactions, 7, GENESIS, &mut self.randomness);
        verdicts.iter().all(Result::is_ok)
    }
}

/// The victim's own process.
#[test]
#[ignore = "the attacks start it themselves, in a process of its own"]
fn victim() {
    if !apart::is_victim() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        // Eight addresses, so that a flood of short connections does not run out of ports.
        let listen = (1..=8).map(|last| SocketAddr::from(([127, 0, 0, last], 0))).collect();
        let config = NetworkConfig { listen, ..configuration(1, Vec::new()) };
        let (network, mut events) = start(config, &mut Registry::default()).await.unwrap();
        let addresses: Vec<String> = network.addresses().iter().map(ToString::to_string).collect();
        apart::announce(&addresses.join(" "));
        let (orders, mut ordered) = mpsc::channel(4);
        std::thread::spawn(move || {
            for line in std::io::stdin().lines() {
                if line.is_err() || orders.blocking_send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        let (mut judge, mut memory) = (Judge::new(), None);
        loop {
            tokio::select! {
                event = events.recv() => judge.answer(&network, event.unwrap()),
                order = ordered.recv() => match order.as_deref() {
                    Some("measure") => memory = Some(Memory::start()),
                    Some(end) => return memory.unwrap().check(end),
                    None => panic!("whoever attacks has gone"),
                },
            }
        }
    });
}

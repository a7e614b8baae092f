//! Attacks on gossip: the control messages that once crashed nodes, subscription floods, invalid content
//! (P2P-1 to P2P-3).
//!
//! The messages are encoded by hand, since libp2p would not send them.

use super::*;
use crate::network::config::MIB;
use crate::network::{GossipId, Verdict};
use libp2p::futures::AsyncWriteExt;

const MESHSUB: &str = "/meshsub/1.1.0";

pub(super) fn varint(buffer: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        buffer.push(number as u8 | 0x80);
        number >>= 7;
    }
    buffer.push(number as u8);
}

/// A length-delimited protobuf field.
pub(super) fn field(number: u64, content: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::new();
    varint(&mut buffer, number << 3 | 2);
    varint(&mut buffer, content.len() as u64);
    buffer.extend_from_slice(content);
    buffer
}

/// A varint protobuf field.
pub(super) fn number_field(number: u64, value: u64) -> Vec<u8> {
    let mut buffer = Vec::new();
    varint(&mut buffer, number << 3);
    varint(&mut buffer, value);
    buffer
}

pub(super) fn subscribe(topic: &str, subscribe: bool) -> Vec<u8> {
    field(1, &[number_field(1, subscribe.into()), field(2, topic.as_bytes())].concat())
}

pub(super) fn publish(topic: &str, data: &[u8]) -> Vec<u8> {
    field(2, &[field(2, data), field(4, topic.as_bytes())].concat())
}

pub(super) fn graft(topic: &str) -> Vec<u8> {
    field(3, &field(3, &field(1, topic.as_bytes())))
}

pub(super) fn prune(topic: &str, backoff: u64) -> Vec<u8> {
    field(3, &field(4, &[field(1, topic.as_bytes()), number_field(3, backoff)].concat()))
}

pub(super) fn ihave(topic: &str, ids: &[[u8; 32]]) -> Vec<u8> {
    let ids = ids.iter().flat_map(|id| field(2, id));
    field(3, &field(1, &field(1, topic.as_bytes()).into_iter().chain(ids).collect::<Vec<_>>()))
}

pub(super) fn iwant(ids: &[[u8; 32]]) -> Vec<u8> {
    field(3, &field(2, &ids.iter().flat_map(|id| field(1, id)).collect::<Vec<_>>()))
}

/// An attacker that is let in and holds a raw gossip stream.
struct Raw {
    attacker: Attacker,
    /// Keeps the session alive.
    _direct: Stream,
    gossip: Stream,
}

impl Raw {
    async fn joined(victim: &mut Victim) -> Self {
        let (mut attacker, direct) = Attacker::joined(victim, MESHSUB).await;
        let gossip = attacker.open().await.unwrap();
        Self { attacker, _direct: direct, gossip }
    }

    /// Sends one message; says whether the stream still takes it.
    async fn rpc(&mut self, content: &[u8]) -> bool {
        let mut buffer = Vec::new();
        varint(&mut buffer, content.len() as u64);
        buffer.extend_from_slice(content);
        let stream = &mut self.gossip;
        let work = async { stream.write_all(&buffer).await.is_ok() && stream.flush().await.is_ok() };
        timeout(BOUND, self.attacker.during(work)).await.expect("the victim reads or hangs up")
    }
}

pub(super) fn topic(topic: Topic) -> String {
    topic.topic(&GENESIS).hash().into_string()
}

#[tokio::test]
async fn p2p_1_prune_with_an_endless_backoff_does_not_crash() {
    let mut victim = Victim::new().await;
    let mut raw = Raw::joined(&mut victim).await;
    for name in Topic::ALL.map(topic) {
        for backoff in [u64::MAX, u64::MAX / 2, i64::MAX as u64, 1 << 40, 0] {
            assert!(raw.rpc(&graft(&name)).await);
            assert!(raw.rpc(&prune(&name, backoff)).await);
        }
    }
    let Raw { mut attacker, .. } = raw;
    attacker.during(victim.still_works()).await;
}

#[tokio::test]
async fn p2p_1_grafts_to_a_hundred_thousand_topics_leave_nothing_behind() {
    let mut victim = Victim::new().await;
    let before = resident();
    let mut raw = Raw::joined(&mut victim).await;
    let mut next = 0;
    while next < 100_000 {
        let grafts: Vec<u8> =
            (next..next + 400).flat_map(|number| graft(&format!("/topic/{number}"))).collect();
        next += 400;
        if !raw.rpc(&grafts).await {
            break;
        }
    }
    let Raw { mut attacker, .. } = raw;
    attacker.during(victim.still_works()).await;
    grew_at_most(before, 64 * MIB);
}

#[tokio::test]
async fn p2p_1_a_control_message_with_everything_at_once_is_refused() {
    let mut victim = Victim::new().await;
    let before = resident();
    let mut raw = Raw::joined(&mut victim).await;
    let grafts: Vec<u8> = (0..100_000).flat_map(|number| graft(&format!("/topic/{number}"))).collect();
    raw.rpc(&grafts).await;
    let Raw { mut attacker, .. } = raw;
    attacker.during(victim.still_works()).await;
    grew_at_most(before, 64 * MIB);
}

#[tokio::test]
async fn p2p_1_a_flood_of_subscriptions_is_filtered() {
    let mut victim = Victim::new().await;
    let before = resident();
    let mut raw = Raw::joined(&mut victim).await;
    let ours = topic(Topic::Blocks);
    for round in 0..300 {
        let flood: Vec<u8> = (0..300)
            .flat_map(|number| subscribe(&format!("/topic/{}", round * 300 + number), true))
            .collect();
        let flapping: Vec<u8> = [true, false, true].iter().flat_map(|now| subscribe(&ours, *now)).collect();
        if !(raw.rpc(&flood).await && raw.rpc(&flapping).await) {
            break;
        }
    }
    let Raw { mut attacker, .. } = raw;
    attacker.during(victim.still_works()).await;
    grew_at_most(before, 64 * MIB);
}

#[tokio::test]
async fn p2p_1_floods_of_ihave_and_iwant_are_bounded() {
    let mut victim = Victim::new().await;
    let before = resident();
    let mut raw = Raw::joined(&mut victim).await;
    let blocks = topic(Topic::Blocks);
    let mut dice = Dice(0xfeed);
    for _ in 0..300 {
        let ids: Vec<[u8; 32]> = (0..400).map(|_| std::array::from_fn(|_| dice.roll() as u8)).collect();
        if !(raw.rpc(&ihave(&blocks, &ids)).await && raw.rpc(&iwant(&ids)).await) {
            break;
        }
    }
    let Raw { mut attacker, .. } = raw;
    attacker.during(victim.still_works()).await;
    grew_at_most(before, 64 * MIB);
}

#[tokio::test]
async fn p2p_2_and_3_invalid_messages_cost_the_peer_its_place() {
    let mut victim = Victim::new().await;
    let mut raw = Raw::joined(&mut victim).await;
    let culprit = PeerName::of(raw.attacker.swarm.local_peer_id()).unwrap();
    for number in 0..3_u8 {
        assert!(raw.rpc(&publish(&topic(Topic::Blocks), &[number; 100])).await);
        let id: GossipId = loop {
            if let NetworkEvent::Gossip { id, from, .. } = raw.attacker.during(victim.event()).await {
                assert_eq!(from, culprit);
                break id;
            }
        };
        victim.network.report(id, Verdict::Reject);
    }
    raw.attacker.is_dropped().await;
    assert_eq!(victim.figure("refused_total{reason=\"score\"}"), 1);
    assert_eq!(victim.figure("gossip_verdicts_total{topic=\"gossip_blocks\",verdict=\"reject\"}"), 3);
    victim.still_works().await;
}

#[tokio::test]
async fn p2p_2_a_message_beyond_its_topics_cap_never_reaches_the_node() {
    let mut victim = Victim::new().await;
    let mut raw = Raw::joined(&mut victim).await;
    let (transactions, blocks) = (topic(Topic::Transactions), topic(Topic::Blocks));
    assert!(raw.rpc(&publish(&transactions, &vec![1; Topic::Transactions.limit() + 2000])).await);
    assert!(raw.rpc(&publish("/synod/other/block/1", &[2; 100])).await);
    assert!(raw.rpc(&publish(&blocks, &[3; 100])).await);
    loop {
        if let NetworkEvent::Gossip { data, .. } = raw.attacker.during(victim.event()).await {
            // The two before would have come first.
            break assert_eq!(&data[..], [3; 100]);
        }
    }
}

/// Whatever bytes come as gossip, the victim stays well.
#[tokio::test]
async fn s_n4_hostile_bytes_as_gossip_do_no_harm() {
    let mut victim = Victim::new().await;
    let before = resident();
    let mut dice = Dice(0xace);
    let mut raw = Raw::joined(&mut victim).await;
    for _ in 0..200 {
        let mut bytes = dice.bytes(200);
        if dice.roll().is_multiple_of(2) {
            // Half of them begin as something lawful and go wrong later.
            let mut lawful = publish(&topic(Topic::Transactions), &bytes);
            let at = dice.roll() as usize % lawful.len();
            lawful[at] ^= 1 << (dice.roll() % 8);
            bytes = lawful;
        }
        if !raw.rpc(&bytes).await {
            // The stream or the peer was given up; an attacker would come back under another name.
            raw = Raw::joined(&mut victim).await;
        }
    }
    let Raw { mut attacker, .. } = raw;
    attacker.during(victim.still_works()).await;
    grew_at_most(before, 64 * MIB);
}

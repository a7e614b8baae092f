//! Attacks on requests: floods, long questions, questions that never come (P2P-5).

use super::*;
use crate::network::config::{KIB, MIB, REQUEST_LIMIT};
use crate::network::frame::{self, Status};

fn sync_name() -> String {
    wire_name(&GENESIS, "sync")
}

/// Asks on a fresh stream and reads the answer's status; `None` if the stream or the connection ended.
async fn ask(attacker: &mut Attacker, question: &[u8]) -> Option<u8> {
    let mut stream = attacker.open().await?;
    let mut framed = Vec::new();
    frame::append(&mut framed, question);
    let work = async {
        frame::write(&mut stream, &framed, BOUND).await.ok()?;
        let length = frame::read_length(&mut stream, MIB, BOUND).await.ok()?;
        frame::read_body(&mut stream, length, BOUND).await.ok()?.first().copied()
    };
    attacker.during(work).await
}

#[tokio::test]
async fn p2p_5_a_flood_of_requests_is_limited_and_then_ends_the_connection() {
    let limits = NetworkLimits { request_burst: 20, requests_per_second: 1, ..NetworkLimits::default() };
    let mut victim = Victim::with(limits).await;
    let before = resident();
    let (mut attacker, _direct) = Attacker::joined(&mut victim, &sync_name()).await;
    let culprit = PeerName::of(attacker.swarm.local_peer_id()).unwrap();
    let (counted, mut count) = oneshot::channel();
    let Victim { mut events, network, friend, friend_events, registry, rounds } = victim;
    let serving = tokio::spawn(async move {
        let (mut served, mut gone) = (0, false);
        while !gone {
            match event(&mut events).await {
                NetworkEvent::Request { reply, .. } => {
                    served += 1;
                    reply.send(Bytes::from_static(b"answer"));
                }
                NetworkEvent::Disconnected { peer } => gone = peer == culprit,
                _ => {}
            }
        }
        counted.send(served).unwrap();
        events
    });
    let mut statuses = Vec::new();
    while let Some(status) = ask(&mut attacker, b"question").await {
        statuses.push(status);
        assert!(statuses.len() < 10_000, "the flood goes on");
    }
    let with = |wanted: Status| statuses.iter().filter(|status| **status == wanted as u8).count();
    let (served, busy) = (with(Status::Here), with(Status::Busy));
    assert!(busy > 50, "{busy} were limited");
    let events = timeout(BOUND, serving).await.unwrap().unwrap();
    assert_eq!(count.try_recv().unwrap(), served);
    // The burst, and what may have grown back during the test.
    assert!((20..=20 + BOUND.as_secs() as usize).contains(&served), "{served} were served");
    grew_at_most(before, 64 * MIB);
    Victim { network, events, registry, friend, friend_events, rounds }.still_works().await;
}

#[tokio::test]
async fn p2p_5_a_question_that_is_too_long_is_not_read() {
    let mut victim = Victim::new().await;
    let (mut attacker, _direct) = Attacker::joined(&mut victim, &sync_name()).await;
    assert_eq!(ask(&mut attacker, &vec![0; REQUEST_LIMIT + 1]).await, None);
    assert_eq!(ask(&mut attacker, &vec![0; REQUEST_LIMIT + 1]).await, None);
    attacker.is_dropped().await;
    victim.still_works().await;
}

#[tokio::test]
async fn p2p_5_questions_that_never_come_hold_only_their_own_peers_places() {
    let mut victim = Victim::new().await;
    let (mut attacker, _direct) = Attacker::joined(&mut victim, &sync_name()).await;
    let mut held = Vec::new();
    for _ in 0..NetworkLimits::default().serving.0 {
        held.push(attacker.open().await.unwrap());
    }
    assert_eq!(ask(&mut attacker, b"one more").await, Some(Status::Busy as u8));
    let (friend, name) = (victim.friend.clone(), victim.network.name());
    let asking = tokio::spawn(async move { friend.request(name, Bytes::from_static(b"honest")).await });
    loop {
        if let NetworkEvent::Request { data, reply, .. } = victim.event().await {
            assert_eq!(&data[..], b"honest");
            break reply.send(Bytes::from_static(b"here"));
        }
    }
    assert_eq!(asking.await.unwrap().unwrap(), Bytes::from_static(b"here"));
}

/// Questions that come as direct messages cost the same allowance, and answers what they weigh. Who asks more is
/// heard more slowly; nothing is lost and nobody is blamed, because a new node fetches a long chain like this.
#[tokio::test]
async fn p2p_5_direct_questions_beyond_the_allowance_wait_at_their_sender_and_none_is_lost() {
    const QUESTIONS: u32 = 100;
    let limits =
        NetworkLimits { request_burst: 20, requests_per_second: 200, events: 8, ..Default::default() };
    let mut victim = Victim::with(limits).await;
    let (asker, begun) = (victim.friend.name(), std::time::Instant::now());
    for number in 0..QUESTIONS {
        let question = Bytes::from(number.to_be_bytes().to_vec());
        assert!(victim.friend.send(victim.network.name(), crate::network::Class::Vote, question));
    }
    for number in 0..QUESTIONS {
        loop {
            if let NetworkEvent::Message { data, .. } = victim.event().await {
                break assert_eq!(data[..], number.to_be_bytes());
            }
        }
        victim.network.charge_question(asker);
        victim.network.charge_answer(asker, 32 * KIB);
    }
    // A token for each question and each answer, less the burst and what was under way before it was charged.
    let least = (2 * QUESTIONS - 20 - 2 * 16) / 200;
    assert!(begun.elapsed() >= Duration::from_secs(least.into()), "{:?}", begun.elapsed());
    assert!(victim.figure("paused_total") > 0);
    assert_eq!(victim.figure("demerits_total{reason=\"eager\"}"), 0);
    victim.still_works().await;
}

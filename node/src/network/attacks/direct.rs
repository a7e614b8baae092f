//! Attacks on the direct stream: bad hellos, long frames, silence, floods that nobody reads.

use super::*;
use crate::network::config::{MESSAGE_LIMIT, MIB};
use crate::network::frame;
use libp2p::futures::AsyncWriteExt;

const OTHER: &str = "/nothing/1";

/// Says these bytes instead of a hello and waits to be dropped.
async fn says(victim: &Victim, bytes: &[u8]) {
    let mut attacker = Attacker::connect(victim.address(), OTHER).await;
    let mut stream = attacker.direct().await;
    // The victim may hang up before all of it is written.
    let _ = attacker.during(frame::write(&mut stream, bytes, BOUND)).await;
    attacker.is_dropped().await;
}

#[tokio::test]
async fn gen_6_a_peer_of_another_genesis_is_dropped_at_its_hello() {
    let mut victim = Victim::new().await;
    let mut hello = Hello::ours(GENESIS);
    // The first four bytes are in the protocol's name; only the hello tells the rest.
    hello.genesis.0[31] ^= 1;
    let mut attacker = Attacker::connect(victim.address(), OTHER).await;
    let mut stream = attacker.direct().await;
    let error = attacker.during(hello.exchange(&mut stream, BOUND)).await.unwrap_err();
    assert!(matches!(error, frame::HelloError::Genesis { theirs: GENESIS, .. }), "{error}");
    attacker.is_dropped().await;
    victim.still_works().await;
    assert_eq!(victim.figure("refused_total{reason=\"hello\"}"), 1);
}

#[tokio::test]
async fn gen_6_bad_hellos_end_the_connection() {
    let mut victim = Victim::new().await;
    let mut newer = Vec::new();
    frame::append(&mut newer, b"SYND\0\x63and whatever version 99 says");
    let mut nonsense = Vec::new();
    frame::append(&mut nonsense, b"GET / HTTP/1.1");
    for bytes in [&newer[..], &nonsense[..], &u32::MAX.to_be_bytes()[..]] {
        says(&victim, bytes).await;
    }
    victim.still_works().await;
}

#[tokio::test]
async fn r14_a_peer_that_says_nothing_is_dropped_in_time() {
    let mut victim = Victim::new().await;
    let mut attacker = Attacker::connect(victim.address(), OTHER).await;
    let _silent = attacker.direct().await;
    attacker.is_dropped().await;
    victim.still_works().await;
}

#[tokio::test]
async fn s_n4_an_oversized_frame_drops_the_peer_and_keeps_it_out_for_a_while() {
    let mut victim = Victim::new().await;
    let before = resident();
    let (mut attacker, mut stream) = Attacker::joined(&mut victim, OTHER).await;
    let length = u32::try_from(MESSAGE_LIMIT + 1).unwrap().to_be_bytes();
    let _ = attacker.during(frame::write(&mut stream, &length, BOUND)).await;
    attacker.is_dropped().await;
    while !matches!(victim.event().await, NetworkEvent::Disconnected { .. }) {}
    assert_eq!(victim.figure("refused_total{reason=\"frame\"}"), 1);
    assert!(!attacker.comes_back(victim.address()).await, "the ban holds");
    victim.still_works().await;
    grew_at_most(before, 64 * MIB);
}

#[tokio::test]
async fn a_second_direct_stream_is_reset_and_the_first_lives_on() {
    let mut victim = Victim::new().await;
    let (mut attacker, mut stream) = Attacker::joined(&mut victim, &wire_name(&GENESIS, "vote")).await;
    let mut second = attacker.open().await.unwrap();
    let exchanged = attacker.during(Hello::ours(GENESIS).exchange(&mut second, BOUND)).await;
    assert!(matches!(exchanged, Err(frame::HelloError::Missing(_))), "{exchanged:?}");
    let mut message = Vec::new();
    frame::append(&mut message, b"still here");
    attacker.during(frame::write(&mut stream, &message, BOUND)).await.unwrap();
    loop {
        if let NetworkEvent::Message { data, .. } = attacker.during(victim.event()).await {
            break assert_eq!(&data[..], b"still here");
        }
    }
}

/// The node reads nothing; the attacker writes as much as it can. What waits is bounded, and when the node
/// reads again it finds
/// everything that was taken, in order.
#[tokio::test]
async fn p2p_8_a_flood_that_nobody_reads_stops_at_the_sender() {
    const FRAME: usize = 512 * 1024;
    let mut victim = Victim::new().await;
    let before = resident();
    let (mut attacker, mut stream) = Attacker::joined(&mut victim, OTHER).await;
    let mut body = vec![0; FRAME];
    let mut written = 0_u32;
    // A frame that makes no progress for a while means that the victim has stopped reading.
    loop {
        body[..4].copy_from_slice(&written.to_be_bytes());
        let mut framed = Vec::new();
        frame::append(&mut framed, &body);
        if attacker.during(frame::write(&mut stream, &framed, Duration::from_millis(500))).await.is_err() {
            break;
        }
        written += 1;
        assert!(written < 1024, "512 MiB were swallowed unread");
    }
    let waiting = NetworkLimits::default().waiting_bytes;
    assert!(written as usize * FRAME >= waiting, "the budget of {waiting} bytes was there to be used");
    println!("{} MiB were taken before the sender had to stop", written as usize * FRAME / MIB);
    grew_at_most(before, 192 * MIB);
    for number in 0..(waiting / FRAME) as u32 {
        loop {
            if let NetworkEvent::Message { data, .. } = attacker.during(victim.event()).await {
                break assert_eq!(data[..4], number.to_be_bytes());
            }
        }
    }
}

/// Whatever bytes follow a good hello, the victim stays well and the peer is served, dropped or waited for,
/// nothing else.
#[tokio::test]
async fn s_n4_hostile_bytes_after_a_good_hello_do_no_harm() {
    let mut victim = Victim::new().await;
    let before = resident();
    let mut dice = Dice(0x5eed);
    for _ in 0..40 {
        let (mut attacker, mut stream) = Attacker::joined(&mut victim, OTHER).await;
        let bytes = dice.bytes(300);
        let _ = attacker.during(frame::write(&mut stream, &bytes, BOUND)).await;
        let _ = attacker.during(stream.close()).await;
        attacker
            .during(async { while !matches!(victim.event().await, NetworkEvent::Disconnected { .. }) {} })
            .await;
    }
    victim.still_works().await;
    grew_at_most(before, 64 * MIB);
}

#[test]
fn s_n4_hellos_of_any_bytes_are_refused_or_read() {
    let mut dice = Dice(0xdecaf);
    for _ in 0..20_000 {
        let mut bytes = dice.bytes(130);
        if dice.roll().is_multiple_of(2) && bytes.len() > 6 {
            bytes[..6].copy_from_slice(b"SYND\0\x01");
        }
        if let Ok(hello) = Hello::decode(&bytes) {
            assert_eq!(hello.encode(), bytes);
        }
    }
}

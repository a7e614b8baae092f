//! Attacks below our protocols: on TCP, on Noise, on yamux, and on the count of connections.

use super::*;
use crate::network::config::MIB;
use libp2p::core::Endpoint;
use libp2p::core::transport::{DialOpts as TransportDial, PortUse, Transport};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo, Version};
use libp2p::futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::identity::Keypair;
use std::io;
use std::pin::Pin;
use tokio::net::TcpStream;

/// Says that it is yamux, then writes these bytes over the encrypted connection and reads until the victim
/// hangs up.
#[derive(Clone)]
struct NotYamux {
    bytes: Vec<u8>,
    /// Whether to end our side after the bytes, or to wait.
    ending: bool,
}

impl NotYamux {
    async fn play<C: AsyncRead + AsyncWrite + Unpin>(
        self,
        mut stream: C,
    ) -> Result<yamux::Muxer<C>, io::Error> {
        let _ = stream.write_all(&self.bytes).await;
        let _ = stream.flush().await;
        if self.ending {
            let _ = stream.close().await;
        }
        // A reset is as good as an end.
        let _ = timeout(BOUND, stream.read_to_end(&mut Vec::new())).await.expect("the victim hangs up");
        Err(io::Error::other("played"))
    }
}

impl UpgradeInfo for NotYamux {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> InboundConnectionUpgrade<C> for NotYamux {
    type Output = yamux::Muxer<C>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Output, io::Error>> + Send>>;

    fn upgrade_inbound(self, stream: C, _: &'static str) -> Self::Future {
        Box::pin(self.play(stream))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> OutboundConnectionUpgrade<C> for NotYamux {
    type Output = yamux::Muxer<C>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Output, io::Error>> + Send>>;

    fn upgrade_outbound(self, stream: C, _: &'static str) -> Self::Future {
        Box::pin(self.play(stream))
    }
}

/// Goes through the Noise handshake and then says these bytes where the victim expects yamux; returns when it
/// hung up.
async fn instead_of_yamux(to: PeerAddress, bytes: Vec<u8>, ending: bool) {
    assert!(try_instead_of_yamux(to, bytes, ending).await, "the victim takes the connection");
}

/// The same; false when the victim has no place for the connection.
pub(super) async fn try_instead_of_yamux(to: PeerAddress, bytes: Vec<u8>, ending: bool) -> bool {
    let key = Keypair::generate_ed25519();
    let mut transport = tcp::tokio::Transport::new(tcp::Config::new())
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(&key).unwrap())
        .multiplex(NotYamux { bytes, ending });
    let options = TransportDial { role: Endpoint::Dialer, port_use: PortUse::New };
    let dialled = timeout(BOUND, transport.dial(to.multiaddr(), options).unwrap()).await.unwrap();
    format!("{:?}", dialled.map(drop).expect_err("the upgrade never succeeds")).contains("played")
}

/// A yamux header: version 0, type, flags, stream, length.
pub(super) fn header(kind: u8, flags: u16, stream: u32, length: u32) -> Vec<u8> {
    [&[0, kind][..], &flags.to_be_bytes(), &stream.to_be_bytes(), &length.to_be_bytes()].concat()
}

#[tokio::test]
async fn p2p_1_a_yamux_syn_with_more_data_than_the_window_is_refused() {
    let mut victim = Victim::new().await;
    let before = resident();
    const SYN: u16 = 1;
    for length in [256 * 1024 + 1, 1 << 30, u32::MAX] {
        let body = vec![0; 300 * 1024];
        instead_of_yamux(victim.address(), [header(0, SYN, 1, length), body].concat(), false).await;
    }
    victim.still_works().await;
    grew_at_most(before, 64 * MIB);
}

#[tokio::test]
async fn s_n4_hostile_bytes_at_every_layer_do_no_harm() {
    let mut victim = Victim::new().await;
    let before = resident();
    let mut dice = Dice(0xbad);
    let socket = victim.address().socket;
    for _ in 0..60 {
        let mut stream = TcpStream::connect(socket).await.unwrap();
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &dice.bytes(200)).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
        let mut said = Vec::new();
        let hung_up = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut said);
        let _ = timeout(BOUND, hung_up).await.expect("the victim hangs up");
        instead_of_yamux(victim.address(), dice.bytes(200), true).await;
    }
    victim.still_works().await;
    grew_at_most(before, 64 * MIB);
}

/// Half-open handshakes fill the places for handshakes; they time out, and the node is as before.
#[tokio::test]
async fn p2p_6_half_open_handshakes_are_bounded_and_end() {
    let mut victim = Victim::new().await;
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(TcpStream::connect(victim.address().socket).await.unwrap());
    }
    victim.still_works().await;
    let mut byte = [0; 64];
    for mut stream in held {
        // Read whatever the victim says first, until it hangs up: at once, or when the handshake's time is
        // over.
        while !matches!(
            timeout(BOUND, tokio::io::AsyncReadExt::read(&mut stream, &mut byte)).await.expect("it hangs up"),
            Ok(0) | Err(_)
        ) {}
    }
    let (_newcomer, _direct) = Attacker::joined(&mut victim, "/nothing/1").await;
}

#[tokio::test]
async fn p2p_6_strangers_find_no_place_where_reserved_peers_do() {
    let limits = NetworkLimits { inbound: 1, ..NetworkLimits::default() };
    let reserved = NetworkKey::from_bytes([3; 32]).name();
    let mut registry = Registry::default();
    let config = NetworkConfig { limits, reserved: vec![reserved], ..configuration(1, Vec::new()) };
    let (network, mut events) = start(config, &mut registry).await.unwrap();
    let to = network.addresses()[0];
    let _first = Attacker::connect(to, "/nothing/1").await;
    for _ in 0..5 {
        if let Some(mut refused) = Attacker::try_connect(to, "/nothing/1").await {
            refused.is_dropped().await;
        }
    }
    let (member, _member_events) = start(configuration(3, vec![to]), &mut Registry::default()).await.unwrap();
    assert_eq!(connected(&mut events).await, member.name());
}

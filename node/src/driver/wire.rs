//! Between the network and ordering: bytes become checked messages, and effects become bytes.
//!
//! Reading runs on a thread of its own, so that decoding and checking (hashes, work, the body's digests)
//! never hold ordering up; each sender's order is kept. It hands messages on with a blocking send: while
//! ordering is busy the network's own bounded queues fill, and they know what to drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering as Atomic};
use std::thread::JoinHandle;

use alloy_primitives::Bytes;
use crossbeam_channel::Sender;
use synod_consensus::pow::{self, Fault, Message, ProofOfWork, Target};
use synod_consensus::{Input, Peer, Protocol};

use super::peers::PeerTable;
use crate::network::{
    Class, Demerit, GossipId, Network, NetworkEvent, NetworkEvents, PeerName, Topic, Verdict,
};

/// A gossiped block whose target is this many times easier than the tip's is not passed on: whoever can
/// make it needs next to no work.
const EASIER_LIMIT: u64 = 64;

/// The compact target of the tip, shared with whoever judges gossip.
#[derive(Debug, Clone, Default)]
pub(super) struct TipBits(Arc<AtomicU32>);

impl TipBits {
    /// Notes the tip's bits.
    pub(super) fn set(&self, bits: u32) {
        self.0.store(bits, Atomic::Relaxed);
    }

    /// Whether a header of `bits` took enough work to be passed on.
    fn allows(&self, bits: u32) -> bool {
        let (Ok(tip), Ok(theirs)) =
            (Target::from_compact(self.0.load(Atomic::Relaxed)), Target::from_compact(bits))
        else {
            return false;
        };
        theirs.to_number() / synod_types::U256::from(EASIER_LIMIT) <= tip.to_number()
    }
}

/// Takes gossiped batches of transactions; see [`crate::mempool`].
pub(super) trait TransactionDoor: Send + 'static {
    /// A batch came by gossip. Whoever takes it reports a verdict for `id`.
    fn gossiped(&self, id: GossipId, from: PeerName, data: Bytes);

    /// What this node was given and what waits here, in batches: a peer that was away has missed the gossip.
    fn waiting(&self) -> Vec<Vec<Bytes>>;

    /// A peer says what waits there.
    fn told(&self, from: PeerName, batch: Vec<Bytes>);
}

/// The reading side.
pub(super) struct Reader<D> {
    /// Where events come from.
    pub(super) events: NetworkEvents,
    /// For verdicts and demerits.
    pub(super) network: Network,
    /// Who is who.
    pub(super) peers: PeerTable,
    /// For checks.
    pub(super) config: pow::Config,
    /// The tip's difficulty.
    pub(super) tip_bits: TipBits,
    /// Into ordering.
    pub(super) ordering: Sender<Input<ProofOfWork>>,
    /// For transactions.
    pub(super) transactions: D,
}

impl<D: TransactionDoor> Reader<D> {
    /// Starts the thread. It ends with the network.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn spawn(mut self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("wire".to_owned()).spawn(move || {
            while let Some(event) = self.events.blocking_recv() {
                self.take(event);
            }
        })
    }

    fn take(&self, event: NetworkEvent) {
        match event {
            NetworkEvent::Connected { peer, address, outbound } => {
                tracing::info!(%peer, %address, outbound, "peer connected");
                let (number, replaced) = self.peers.connected(peer);
                if let Some(old) = replaced {
                    self.hand_on(Input::Disconnected(old));
                }
                self.hand_on(Input::Connected(number));
            }
            NetworkEvent::Disconnected { peer } => {
                tracing::info!(%peer, "peer disconnected");
                if let Some(number) = self.peers.disconnected(peer) {
                    self.hand_on(Input::Disconnected(number));
                }
            }
            NetworkEvent::Message { from, data } => self.direct(from, &data),
            NetworkEvent::Gossip { id, topic: Topic::Blocks, from, data } => {
                let verdict = self.gossiped_block(from, &data);
                self.network.report(id, verdict);
            }
            NetworkEvent::Gossip { id, topic: Topic::Transactions, from, data } => {
                self.transactions.gossiped(id, from, data);
            }
            // Proof of work asks by direct messages; nothing is served by request.
            NetworkEvent::Request { reply, .. } => reply.refuse(),
        }
    }

    fn direct(&self, from: PeerName, data: &[u8]) {
        let Some(number) = self.peers.number(from) else { return };
        match Message::from_bytes(data) {
            Ok(message) => {
                if is_question(&message) {
                    self.network.charge_question(from);
                }
                if let Message::Tip { height, .. } = &message {
                    self.peers.told_height(from, *height);
                }
                if let Err(fault) = self.check_and_hand_on(number, message) {
                    blame(&self.network, from, &fault);
                }
            }
            Err(error) => {
                tracing::warn!(peer = %from, %error, "a malformed message");
                self.network.demote(from, Demerit::Invalid);
            }
        }
    }

    fn gossiped_block(&self, from: PeerName, data: &[u8]) -> Verdict {
        let Ok(message) = Message::from_bytes(data) else { return Verdict::Reject };
        let bits = match &message {
            Message::NewBlock(body) => body.header().header().bits,
            Message::NewHeader(header) => header.header().bits,
            // Everything else is said to one peer, never to all.
            _ => return Verdict::Reject,
        };
        let Some(number) = self.peers.number(from) else { return Verdict::Ignore };
        if self.check_and_hand_on(number, message).is_err() {
            return Verdict::Reject;
        }
        if self.tip_bits.allows(bits) { Verdict::Accept } else { Verdict::Ignore }
    }

    fn check_and_hand_on(&self, from: Peer, message: Message) -> Result<(), Fault> {
        let message = ProofOfWork::check(&self.config, from, message)?;
        self.hand_on(Input::Message { from, message });
        Ok(())
    }

    fn hand_on(&self, input: Input<ProofOfWork>) {
        // Ordering is gone when the node stops; then nothing matters any more.
        let _ = self.ordering.send(input);
    }
}

/// The writing side: what ordering wants said.
#[derive(Clone)]
pub(super) struct Writer {
    /// Where it goes.
    pub(super) network: Network,
    /// Who is who.
    pub(super) peers: PeerTable,
}

impl Writer {
    /// Sends to one peer; lost if the peer is gone or its queue is full.
    pub(super) fn send(&self, to: Peer, message: &Message) {
        if let Some(name) = self.peers.name(to) {
            let bytes = Bytes::from(message.to_bytes());
            if matches!(message, Message::Body(_) | Message::Headers { .. }) {
                self.network.charge_answer(name, bytes.len());
            }
            self.network.send(name, class(message), bytes);
        }
    }

    /// Tells everybody: new blocks by gossip, anything else peer by peer.
    pub(super) fn broadcast(&self, message: &Message) {
        let bytes = Bytes::from(message.to_bytes());
        if matches!(message, Message::NewBlock(_) | Message::NewHeader(_)) {
            if let Err(error) = self.network.gossip(Topic::Blocks, bytes) {
                tracing::warn!(%error, "a block was not gossiped; peers that ask for our tip will fetch it");
            }
            return;
        }
        for name in self.peers.names() {
            self.network.send(name, class(message), bytes.clone());
        }
    }

    /// Lowers a peer's standing.
    pub(super) fn accuse(&self, peer: Peer, fault: &Fault) {
        if let Some(name) = self.peers.name(peer) {
            blame(&self.network, name, fault);
        }
    }
}

/// Whether a message of a few bytes wants an answer of many (P2P-5).
fn is_question(message: &Message) -> bool {
    matches!(message, Message::AskTip | Message::AskHeaders { .. } | Message::AskBody { .. })
}

fn class(message: &Message) -> Class {
    match message {
        Message::Body(_) | Message::NewBlock(_) => Class::Block,
        _ => Class::Vote,
    }
}

fn blame(network: &Network, peer: PeerName, fault: &Fault) {
    let demerit = match fault {
        Fault::TimedOut(_) => Demerit::Slow,
        Fault::Flood | Fault::EmptyPromise => Demerit::Useless,
        _ => Demerit::Invalid,
    };
    tracing::warn!(%peer, %fault, ?demerit, "a peer misbehaved");
    network.demote(peer, demerit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_far_easier_than_the_tip_are_not_passed_on() {
        let tip = TipBits::default();
        assert!(!tip.allows(0x1d00_ffff), "nothing is passed on before there is a tip");
        tip.set(0x1d00_ffff);
        assert!(tip.allows(0x1d00_ffff) && tip.allows(0x1c00_ffff));
        assert!(tip.allows(0x1d3f_0000) && !tip.allows(0x1e00_ffff));
        assert!(!tip.allows(0));
    }
}

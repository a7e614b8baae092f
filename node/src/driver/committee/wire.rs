//! Between the network and a committee's ordering: bytes become checked messages, effects become bytes.
//!
//! Reading runs on a thread of its own, where signatures are checked; each sender's order is kept. Payloads'
//! transactions are spread over the pool's checking threads. Votes go directly from member to member and are
//! never gossiped (P2P-4).

use std::sync::Arc;
use std::thread::JoinHandle;

use alloy_primitives::Bytes;
use crossbeam_channel::{Sender, TrySendError};
use serde::{Deserialize, Serialize};
use synod_consensus::committee::{Certificate, Committee, MemberIndex, Payload, Signer, Validity};
use synod_consensus::pbft::{Config, Fault, MESSAGE_LIMIT, Message, Pbft};
use synod_consensus::{Input, Peer, Protocol};
use synod_types::Height;
use synod_types::codec;
use synod_types::genesis::Limits;

use super::fetch::Question;
use super::members::{Introduction, Members, Refused};
use super::payload::check_payload;
use crate::driver::door::Door;
use crate::driver::peers::PeerTable;
use crate::driver::wire::TransactionDoor;
use crate::network::{Class, Demerit, Network, NetworkEvent, NetworkEvents, PeerName, Reply, Topic, Verdict};

/// The largest direct message.
const WIRE_LIMIT: usize = MESSAGE_LIMIT + 1024;

/// What goes directly from node to node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Wire {
    /// Who speaks here.
    Introduction(Introduction),
    /// What ordering says.
    Ordering(Message),
}

/// A payload that a member may vote for: it decodes, fits into a block, and every signature holds.
pub(super) struct Payloads {
    pub(super) door: Arc<Door>,
    pub(super) limits: Limits,
}

impl std::fmt::Debug for Payloads {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Payloads")
    }
}

impl Validity for Payloads {
    fn check(&self, payload: &Payload) -> Result<(), String> {
        check_payload(payload, &self.limits, |transactions| self.door.verifier().verify(transactions))
    }
}

/// The reading side.
pub(super) struct Reader {
    /// Where events come from.
    pub(super) events: NetworkEvents,
    /// For verdicts and demerits.
    pub(super) network: Network,
    /// Who speaks for whom.
    pub(super) members: Members,
    /// The heights that peers told of.
    pub(super) heights: PeerTable,
    /// For checks.
    pub(super) config: Config,
    /// Into ordering.
    pub(super) ordering: Sender<Input<Pbft>>,
    /// For transactions.
    pub(super) transactions: Arc<Door>,
    /// For questions about blocks.
    pub(super) questions: Sender<(PeerName, Question, Reply)>,
    /// The newest certificate.
    pub(super) newest: Box<dyn Fn() -> Option<Certificate> + Send>,
}

impl Reader {
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
                self.introduce_to(peer);
            }
            NetworkEvent::Disconnected { peer } => {
                tracing::info!(%peer, "peer disconnected");
                if let Some(member) = self.members.disconnected(peer) {
                    self.hand_on(Input::Disconnected(member.peer()));
                }
            }
            NetworkEvent::Message { from, data } => self.direct(from, &data),
            NetworkEvent::Gossip { id, topic: Topic::Blocks, .. } => self.network.report(id, Verdict::Reject),
            NetworkEvent::Gossip { id, topic: Topic::Transactions, from, data } => {
                self.transactions.gossiped(id, from, data);
            }
            NetworkEvent::Request { from, data, reply } => match Question::from_bytes(&data) {
                Some(question) => {
                    // A full queue refuses: the asker goes to another.
                    if let Err(TrySendError::Full((.., reply)) | TrySendError::Disconnected((.., reply))) =
                        self.questions.try_send((from, question, reply))
                    {
                        reply.refuse();
                    }
                }
                None => {
                    reply.refuse();
                    self.network.demote(from, Demerit::Invalid);
                }
            },
        }
    }

    fn introduce_to(&self, peer: PeerName) {
        if let Some(signer) = &self.config.signer {
            let introduction = Introduction::new(&self.config.committee, signer, self.network.name());
            send(&self.network, peer, Class::Vote, &Wire::Introduction(introduction));
            if let Some(certificate) = (self.newest)() {
                send(&self.network, peer, Class::Vote, &Wire::Ordering(Message::Certified(certificate)));
            }
        }
    }

    fn direct(&self, from: PeerName, data: &[u8]) {
        match codec::decode::<Wire, WIRE_LIMIT>(data) {
            Ok(Wire::Introduction(introduction)) => self.introduced(from, &introduction),
            Ok(Wire::Ordering(message)) => {
                // What came before the introduction is said again.
                let Some(member) = self.members.member(from) else { return };
                if let Message::Standing(standing) = &message {
                    let base = self.config.committee.record().base.0;
                    self.heights.told_height(from, Height(base.saturating_add(standing.executed.0)));
                }
                if let Err(fault) = self.check_and_hand_on(member.peer(), message) {
                    blame(&self.network, from, &fault);
                }
            }
            Err(error) => {
                tracing::warn!(peer = %from, %error, "a malformed message");
                self.network.demote(from, Demerit::Invalid);
            }
        }
    }

    fn introduced(&self, from: PeerName, introduction: &Introduction) {
        match self.members.introduced(from, introduction) {
            Ok(Some(member)) => {
                tracing::info!(peer = %from, %member, "a member is here");
                self.hand_on(Input::Connected(member.peer()));
            }
            Ok(None) => {}
            Err(Refused::Forged) => {
                tracing::warn!(peer = %from, "claims to be a member and is not");
                self.network.demote(from, Demerit::Invalid);
            }
            Err(Refused::Twin) => {
                tracing::error!(peer = %from, "TWO PEERS SPEAK FOR ONE MEMBER: its validator key is in two places");
            }
        }
    }

    fn check_and_hand_on(&self, from: Peer, message: Message) -> Result<(), Fault> {
        let message = Pbft::check(&self.config, from, message)?;
        self.hand_on(Input::Message { from, message });
        Ok(())
    }

    fn hand_on(&self, input: Input<Pbft>) {
        // Ordering is gone when the node stops; then nothing matters any more.
        let _ = self.ordering.send(input);
    }
}

/// The writing side: what ordering wants said.
#[derive(Clone)]
pub(super) struct Writer {
    /// Where it goes.
    pub(super) network: Network,
    /// Who speaks for whom.
    pub(super) members: Members,
}

impl Writer {
    /// Sends to one member; lost if it is not connected or its queue is full.
    pub(super) fn send(&self, to: Peer, message: Message) {
        let member = u8::try_from(to.0).ok().map(MemberIndex);
        if let Some(peer) = member.and_then(|member| self.members.peer(member)) {
            send(&self.network, peer, class(&message), &Wire::Ordering(message));
        }
    }

    /// Tells every other member.
    pub(super) fn broadcast(&self, message: Message) {
        let class = class(&message);
        let bytes = Bytes::from(codec::encode(&Wire::Ordering(message)));
        for peer in self.members.peers() {
            self.network.send(peer, class, bytes.clone());
        }
    }

    /// Tells those who only follow that blocks are certified; they fetch them.
    pub(super) fn tell_followers(&self, certificate: &Certificate) {
        let followers = self.network.peers().into_iter().map(|peer| peer.name);
        for peer in followers.filter(|peer| self.members.member(*peer).is_none()) {
            send(&self.network, peer, Class::Vote, &Wire::Ordering(Message::Certified(certificate.clone())));
        }
    }

    /// Lowers the standing of the peer that speaks for a member.
    pub(super) fn accuse(&self, member: Peer, fault: &Fault) {
        let member = u8::try_from(member.0).ok().map(MemberIndex);
        if let Some(peer) = member.and_then(|member| self.members.peer(member)) {
            blame(&self.network, peer, fault);
        }
    }
}

fn send(network: &Network, to: PeerName, class: Class, message: &Wire) {
    network.send(to, class, Bytes::from(codec::encode(message)));
}

fn class(message: &Message) -> Class {
    match message {
        Message::PrePrepare { body: Some(_), .. } | Message::Body(_) => Class::Block,
        _ => Class::Vote,
    }
}

fn blame(network: &Network, peer: PeerName, fault: &Fault) {
    tracing::warn!(%peer, %fault, "a member misbehaved");
    network.demote(peer, Demerit::Invalid);
}

/// This node's voice, if its key is a member's.
pub(super) fn voice(committee: &Committee, key: Option<synod_types::SecretKey>) -> Option<Signer> {
    key.and_then(|key| Signer::new(committee, key))
}

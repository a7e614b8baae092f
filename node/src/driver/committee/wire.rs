//! Between the network and a committee's ordering: bytes become checked messages, effects become bytes.
//!
//! Reading runs on a thread of its own, where signatures are checked; each sender's order is kept. Payloads'
//! transactions are spread over the pool's checking threads. Members' votes are checked by whoever reads them from
//! the stream, as long as that thread has nothing of theirs: a lone payload waits for fewer threads. Votes go directly
//! from member to member and are never gossiped (P2P-4).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alloy_primitives::Bytes;
use crossbeam_channel::{Sender, TrySendError};
use serde::{Deserialize, Serialize};
use synod_consensus::agreement::{Agreement, Fault, MESSAGE_LIMIT, Message};
use synod_consensus::committee::{Certificate, MemberIndex, Payload, Validity};
use synod_consensus::{Input, Peer, Protocol};
use synod_types::codec;
use synod_types::genesis::Limits;
use synod_types::{Epoch, Height};

use super::epoch::{Current, Known, Now};
use super::fetch::Question;
use super::members::{Introduction, Refused};
use super::payload::check_payload;
use super::reads::stand;
use crate::driver::chain::Chain;
use crate::driver::door::Door;
use crate::driver::history::NodeDisk;
use crate::driver::peers::PeerTable;
use crate::driver::stop::Stop;
use crate::driver::wire::TransactionDoor;
use crate::network::{Class, Demerit, Network, NetworkEvent, NetworkEvents, PeerName, Reply, Topic, Verdict};

/// The largest direct message.
const WIRE_LIMIT: usize = MESSAGE_LIMIT + 1024;

/// The longest message that is looked at where it is read from its stream.
const SHORT: usize = 4 * 1024;

/// Between two showings to one peer of what it lacks.
const SHOWING_PAUSE: Duration = Duration::from_millis(250);
/// Between two words about where this node is.
const SAYING_PAUSE: Duration = Duration::from_secs(2);
/// Whoever is no member.
const STRANGER: Peer = Peer(u64::MAX);

/// What goes directly from node to node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Wire {
    /// Who speaks here.
    Introduction(Introduction),
    /// What ordering says.
    Ordering {
        /// In which epoch; most of it is bound to that by its signatures.
        epoch: Epoch,
        /// What.
        message: Message,
    },
    /// Where a node is. Whoever is further shows it the next certificate that it can check.
    Where {
        /// Its epoch.
        epoch: Epoch,
        /// Its tip.
        height: Height,
    },
    /// Transactions that the sender was given and that wait: gossip tells nobody twice, and whoever was away has
    /// missed it.
    Waiting(Vec<Bytes>),
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
pub(super) struct Reader<T, K> {
    /// Where events come from.
    pub(super) events: NetworkEvents,
    /// For verdicts and demerits.
    pub(super) network: Network,
    /// The committee, who speaks for whom, and the way into ordering.
    pub(super) now: Now,
    /// The committees before it, and what proves their blocks final.
    pub(super) epochs: K,
    /// When each peer was last shown what it lacks, and in which epoch it was.
    pub(super) shown: BTreeMap<PeerName, (Epoch, Instant)>,
    /// The heights that peers told of.
    pub(super) heights: PeerTable,
    /// For transactions.
    pub(super) transactions: T,
    /// For questions about blocks.
    pub(super) questions: Sender<(PeerName, Question, Reply)>,
}

impl<T: TransactionDoor, K: Known> Reader<T, K> {
    /// Starts the thread. It ends with the network.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn spawn(mut self) -> std::io::Result<JoinHandle<()>> {
        let (now, heights) = (self.now.clone(), self.heights.clone());
        self.events.take_directly(move |from, data| take_vote(&now, &heights, from, data).is_some());
        std::thread::Builder::new().name("wire".to_owned()).spawn(move || {
            while let Some(event) = self.events.blocking_recv() {
                self.take(event);
            }
        })
    }

    fn take(&mut self, event: NetworkEvent) {
        match event {
            NetworkEvent::Connected { peer, address, outbound } => {
                tracing::info!(%peer, %address, outbound, "peer connected");
                self.introduce_to(peer);
                for batch in self.transactions.waiting() {
                    send(&self.network, peer, Class::Transaction, &Wire::Waiting(batch));
                }
            }
            NetworkEvent::Disconnected { peer } => {
                tracing::info!(%peer, "peer disconnected");
                self.shown.remove(&peer);
                let current = self.now.current();
                if let Some(member) = current.members.disconnected(peer) {
                    current.hand_on(Input::Disconnected(member.peer()));
                }
            }
            NetworkEvent::Message { from, data } => self.direct(from, &data),
            NetworkEvent::Gossip { id, topic: Topic::Blocks, .. } => self.network.report(id, Verdict::Reject),
            NetworkEvent::Gossip { id, topic: Topic::Transactions, from, data } => {
                self.transactions.gossiped(id, from, data);
            }
            NetworkEvent::Request { from, data, reply } => match Question::from_bytes(&data) {
                Some(Question::Stand) => {
                    reply.send(Bytes::from(codec::encode(&stand(&self.now, &self.epochs))));
                }
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
        let current = self.now.current();
        let Some(signer) = current.config.signer() else { return };
        let introduction = Introduction::new(current.committee(), signer, self.network.name());
        send(&self.network, peer, Class::Vote, &Wire::Introduction(introduction));
        if let Some(certificate) = self.epochs.newest() {
            self.show(peer, certificate);
        }
    }

    fn show(&self, peer: PeerName, certificate: Certificate) {
        let epoch = certificate.statement.position.epoch;
        let message = self.now.current().config.certified(certificate);
        send(&self.network, peer, Class::Vote, &Wire::Ordering { epoch, message });
    }

    fn direct(&mut self, from: PeerName, data: &[u8]) {
        let current = self.now.current();
        match codec::decode::<Wire, WIRE_LIMIT>(data) {
            Ok(Wire::Introduction(introduction)) => self.introduced(from, &introduction, &current),
            Ok(Wire::Ordering { epoch, .. }) if epoch != current.epoch() => {
                self.elsewhere(from, epoch, &current);
            }
            Ok(Wire::Ordering { message, .. }) if message.as_certified().is_some() => {
                self.certified(from, message, &current);
            }
            Ok(Wire::Ordering { message, .. }) => {
                // What came before the introduction is said again.
                let Some(member) = current.members.member(from) else { return };
                note_height(&self.heights, &current, from, &message);
                if let Err(fault) = check_and_hand_on(&current, member.peer(), message) {
                    blame(&self.network, from, &fault);
                }
            }
            Ok(Wire::Where { epoch, height }) => self.located(from, epoch, height, &current),
            Ok(Wire::Waiting(batch)) => self.transactions.told(from, batch),
            Err(error) => {
                tracing::warn!(peer = %from, %error, "a malformed message");
                self.network.demote(from, Demerit::Invalid);
            }
        }
    }

    /// A certificate proves itself: those who only follow are shown it by anybody.
    fn certified(&self, from: PeerName, message: Message, current: &Current) {
        let Some(certificate) = message.as_certified() else { return };
        let height = certificate.statement.height;
        if self.heights.height(from).is_none_or(|told| told < height) {
            self.heights.told_height(from, height);
        }
        // One of a later epoch says nothing here: a node whose blocks are gone comes through all epochs again.
        let newest = self.epochs.newest().filter(|newest| newest.statement.position.epoch == current.epoch());
        let is_known = newest.is_some_and(|newest| newest.statement.height >= height);
        if is_known {
            return;
        }
        let peer = current.members.member(from).map_or(STRANGER, MemberIndex::peer);
        if let Err(fault) = check_and_hand_on(current, peer, message) {
            blame(&self.network, from, &fault);
        }
    }

    fn introduced(&mut self, from: PeerName, introduction: &Introduction, current: &Current) {
        if introduction.epoch != current.epoch() {
            return self.elsewhere(from, introduction.epoch, current);
        }
        match current.members.introduced(from, introduction) {
            Ok(Some(member)) => {
                tracing::info!(peer = %from, %member, "a member is here");
                current.hand_on(Input::Connected(member.peer()));
                // It may have come to this epoch after ours was said.
                self.introduce_to(from);
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

    /// A peer speaks in another epoch: one of the two lags.
    fn elsewhere(&mut self, from: PeerName, epoch: Epoch, current: &Current) {
        if epoch < current.epoch() {
            self.lead_on(from, epoch);
        } else if self.may_show(from, epoch) {
            let height = self.epochs.tip();
            send(&self.network, from, Class::Vote, &Wire::Where { epoch: current.epoch(), height });
        }
    }

    fn located(&mut self, from: PeerName, epoch: Epoch, height: Height, current: &Current) {
        self.heights.told_height(from, height);
        if epoch < current.epoch() {
            return self.lead_on(from, epoch);
        }
        let newest = self
            .epochs
            .newest()
            .filter(|newest| epoch == current.epoch() && newest.statement.height > height);
        if let Some(newest) = newest.filter(|_| self.may_show(from, epoch)) {
            self.show(from, newest);
        }
    }

    /// Shows a peer the end of the epoch that it is in, and how far beyond that this node is: it may rather begin at a
    /// snapshot than come through every epoch.
    fn lead_on(&mut self, peer: PeerName, epoch: Epoch) {
        if self.may_show(peer, epoch)
            && let Some(end) = self.epochs.end_of(epoch)
        {
            let (current, height) = (self.now.current().epoch(), self.epochs.tip());
            send(&self.network, peer, Class::Vote, &Wire::Where { epoch: current, height });
            self.show(peer, end);
        }
    }

    /// A peer is shown one thing for each epoch that it comes to, and then not more than some a second.
    fn may_show(&mut self, peer: PeerName, epoch: Epoch) -> bool {
        let now = Instant::now();
        let last = self.shown.get(&peer);
        let is_soon =
            last.is_some_and(|(shown, at)| *shown >= epoch && now.duration_since(*at) < SHOWING_PAUSE);
        if !is_soon {
            self.shown.insert(peer, (epoch, now));
        }
        !is_soon
    }
}

/// Takes a member's vote, or anything else that is short and says nothing to this thread. Nothing waits here: what
/// finds no room, and what does not pass, goes the other way, where the sender is held back or blamed.
fn take_vote(now: &Now, heights: &PeerTable, from: PeerName, data: &[u8]) -> Option<()> {
    let (current, data) = (now.current(), Some(data).filter(|data| data.len() <= SHORT)?);
    let Ok(Wire::Ordering { epoch, message }) = codec::decode::<Wire, SHORT>(data) else { return None };
    if epoch != current.epoch() || message.as_certified().is_some() || message.has_body() {
        return None;
    }
    let member = current.members.member(from)?.peer();
    note_height(heights, &current, from, &message);
    if Agreement::awaits(&current.config, &message) {
        let message = Agreement::check(&current.config, member, message).ok()?;
        current.ordering.try_send(Input::Message { from: member, message }).ok()?;
    }
    Some(())
}

/// A standing says how far its member is.
fn note_height(heights: &PeerTable, current: &Current, from: PeerName, message: &Message) {
    if let Some(executed) = message.executed() {
        let base = current.committee().record().base.0;
        heights.told_height(from, Height(base.saturating_add(executed.0)));
    }
}

fn check_and_hand_on(current: &Current, from: Peer, message: Message) -> Result<(), Fault> {
    if !Agreement::awaits(&current.config, &message) {
        return Ok(());
    }
    let message = Agreement::check(&current.config, from, message)?;
    current.hand_on(Input::Message { from, message });
    Ok(())
}

/// The writing side: what ordering wants said.
#[derive(Clone)]
pub(super) struct Writer {
    /// Where it goes.
    pub(super) network: Network,
    /// In which epoch, and who speaks for whom.
    pub(super) now: Now,
}

impl Writer {
    /// Sends to one member; lost if it is not connected or its queue is full.
    pub(super) fn send(&self, to: Peer, message: Message) {
        let current = self.now.current();
        let member = u8::try_from(to.0).ok().map(MemberIndex);
        if let Some(peer) = member.and_then(|member| current.members.peer(member)) {
            let epoch = current.epoch();
            send(&self.network, peer, class(&message), &Wire::Ordering { epoch, message });
        }
    }

    /// Tells every other member.
    pub(super) fn broadcast(&self, message: Message) {
        let (current, class) = (self.now.current(), class(&message));
        let epoch = current.epoch();
        let bytes = Bytes::from(codec::encode(&Wire::Ordering { epoch, message }));
        for peer in current.members.peers() {
            self.network.send(peer, class, bytes.clone());
        }
    }

    /// Tells those who only follow that blocks are certified; they fetch them.
    pub(super) fn tell_followers(&self, certificate: &Certificate) {
        let current = self.now.current();
        let epoch = certificate.statement.position.epoch;
        let followers = self.network.peers().into_iter().map(|peer| peer.name);
        for peer in followers.filter(|peer| current.members.member(*peer).is_none()) {
            let message = current.config.certified(certificate.clone());
            send(&self.network, peer, Class::Vote, &Wire::Ordering { epoch, message });
        }
    }

    /// Tells every peer where this node is, and which member it speaks for.
    pub(super) fn say_where(&self, height: Height) {
        let current = self.now.current();
        let signer = current.config.signer();
        let introduction =
            signer.map(|signer| Introduction::new(current.committee(), signer, self.network.name()));
        for peer in self.network.peers() {
            if let Some(introduction) = &introduction {
                send(&self.network, peer.name, Class::Vote, &Wire::Introduction(introduction.clone()));
            }
            send(&self.network, peer.name, Class::Vote, &Wire::Where { epoch: current.epoch(), height });
        }
    }

    /// Says it again and again (GEN-8): a word that was lost, or came while an epoch began, must not leave
    /// anybody behind for good.
    pub(super) async fn keep_saying(self, chain: Arc<Chain<NodeDisk>>, stop: Stop) {
        let mut ticks = tokio::time::interval(SAYING_PAUSE);
        while !stop.is_stopping() {
            tokio::select! {
                _ = ticks.tick() => self.say_where(chain.reader().head().height()),
                _ = stop.stopped() => return,
            }
        }
    }

    /// Lowers the standing of the peer that speaks for a member.
    pub(super) fn accuse(&self, member: Peer, fault: &Fault) {
        let member = u8::try_from(member.0).ok().map(MemberIndex);
        if let Some(peer) = member.and_then(|member| self.now.current().members.peer(member)) {
            blame(&self.network, peer, fault);
        }
    }
}

fn send(network: &Network, to: PeerName, class: Class, message: &Wire) {
    network.send(to, class, Bytes::from(codec::encode(message)));
}

fn class(message: &Message) -> Class {
    if message.has_body() { Class::Block } else { Class::Vote }
}

fn blame(network: &Network, peer: PeerName, fault: &Fault) {
    tracing::warn!(%peer, %fault, "a member misbehaved");
    network.demote(peer, Demerit::Invalid);
}

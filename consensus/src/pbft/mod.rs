//! Practical Byzantine Fault Tolerance (Castro and Liskov 1999, 2002), with signatures.
//!
//! A committee of n members survives f = ⌊(n−1)/3⌋ that do anything at all. In each view one member, the
//! primary, proposes payloads for slots; a slot is decided by PRE-PREPARE, PREPARE and COMMIT, a silent or
//! slow primary replaced by VIEW-CHANGE and NEW-VIEW. Every block is a checkpoint, and the CHECKPOINT message
//! is the attestation that all committees share ([`crate::committee`]).
//!
//! The rules, by their ids:
//! - PBFT-1 [`synod_types::committee`]: q = ⌈(n+f+1)/2⌉.
//! - PBFT-2, PBFT-3 `agree`, `bodies`: what is accepted, body and all durable before the vote; prepared,
//!   committed.
//! - PBFT-4, PBFT-5, PBFT-11 `checkpoint`: execution in order, certificates, watermarks.
//! - PBFT-6, PBFT-12, PBFT-13 `view_change`; PBFT-7 `check`, `view_change`; PBFT-8, PBFT-9, PBFT-22 `new_view`.
//! - PBFT-10 `bodies`: a re-proposal's body is fetched; its absence blocks no proof.
//! - PBFT-14, PBFT-15 `catch_up`: proofs of views, decisions of any view, blocks up to a certificate.
//! - PBFT-16 `messages`: signatures on everything that can be passed on. PBFT-17 `check`, `horizon`: cheap checks first.
//! - PBFT-18, PBFT-20 `timers`: demand, patience, back-off. PBFT-19: fairness is the pool's affair.
//! - PBFT-21: no read-only shortcut; reads go by height and certificate. PBFT-23: no fast commit.
//! - `evidence`: which statements of one member prove that it lied.
//!
//! Where it departs from the paper: no MACs; a decision needs q commits and not this member's own prepared
//! certificate, so that one rule serves catching up, too; requests are in payloads that the primary takes from
//! its pool, so that backups watch the age of what waits rather than single requests.
//!
//! Durable are: accepted proposals and their bodies, prepared certificates, view changes, begun views
//! ([`Record`]); executed blocks are the block log's. On the way to a certificate lie four syncs: the
//! primary's proposal, the backups' acceptance, the prepared certificates, the block.

mod agree;
mod bodies;
mod catch_up;
mod check;
mod checkpoint;
pub mod config;
pub mod evidence;
mod horizon;
pub mod messages;
mod new_view;
mod propose;
mod recovery;
mod slots;
#[cfg(any(test, feature = "mutants"))]
pub(crate) mod stage;
mod status;
mod timers;
mod view_change;

use std::collections::BTreeMap;

use synod_types::{BlockHash, Slot};

pub use config::{Config, Limits};
pub use horizon::Horizon;
pub use messages::{Fault, MESSAGE_LIMIT, Message, Record, View};
pub use status::Promises;

use self::messages::{NewView, ViewChange};
use self::slots::SlotState;
use self::timers::Timers;
use crate::committee::bodies::Bodies;
use crate::committee::proposing::Proposing;
use crate::committee::{Attestation, Certificate, Event, History, Job, MemberIndex, Outcome};
use crate::effects::Context;
use crate::protocol::{Input, Peer, Protocol, Status, Verified};
use crate::time::Time;

type Cx<'a> = Context<'a, Pbft>;

/// One member's PBFT, for one epoch.
#[derive(Debug)]
pub struct Pbft {
    config: Config,
    /// The view that this member is in, or on its way to.
    view: View,
    /// The view has begun here.
    is_active: bool,
    /// The proof of the view that began last; view 0 needs none.
    new_view: Option<NewView>,
    /// Proposals up to here were carried over by that view.
    replanned: Slot,
    slots: BTreeMap<Slot, SlotState>,
    bodies: Bodies,
    /// The last slot whose block is durable.
    executed: Slot,
    /// The last slot that was handed to the ledger.
    delivered: Slot,
    /// The blocks of recent slots.
    hashes: BTreeMap<Slot, BlockHash>,
    /// The newest certificate.
    stable: Option<Certificate>,
    attestations: BTreeMap<Slot, BTreeMap<MemberIndex, Attestation>>,
    /// Each member's VIEW-CHANGE to the highest view (GEN-9).
    view_changes: BTreeMap<MemberIndex, ViewChange>,
    proposing: Proposing,
    timers: Timers,
    /// When each member was last answered.
    helped: BTreeMap<Peer, Time>,
    /// When each member was last shown the view.
    shown: BTreeMap<Peer, Time>,
    /// Blocks up to here are being fetched.
    fetching: Option<Slot>,
    /// The epoch's last slot, once it is known.
    ended_at: Option<Slot>,
    /// Bytes written since the journal last began anew.
    journalled: usize,
    /// The highest stable checkpoint that a start would find: what this member stands for lies in its window.
    anchored: Slot,
    halted: Option<String>,
}

impl Protocol for Pbft {
    const NAME: &'static str = "pbft";
    type Config = Config;
    type Message = Message;
    type Record = Record;
    type History = History;
    type Job = Job;
    type Outcome = Outcome;
    type Event = Event;
    type Fault = Fault;

    fn check(config: &Config, from: Peer, message: Message) -> Result<Verified<Message>, Fault> {
        check::check(config, from, &message)?;
        Ok(Verified::new(message))
    }

    fn awaits(config: &Config, message: &Message) -> bool {
        config.horizon.awaits(message)
    }

    /// Questions, and what proves itself. A decision holds this member's own commit, so it is a promise.
    fn is_promise_free(message: &Message) -> bool {
        matches!(
            message,
            Message::AskBody { .. } | Message::Body(_) | Message::Standing(_) | Message::Certified(_)
        )
    }

    fn recover(config: Config, records: Vec<Record>, history: History, cx: &mut Cx<'_>) -> Self {
        Self::start(config, records, history, cx)
    }

    fn step(&mut self, input: Input<Self>, cx: &mut Cx<'_>) {
        if self.halted.is_some() {
            return;
        }
        match input {
            Input::Message { from, message } => self.on_message(from, message.into_inner(), cx),
            Input::Connected(peer) => self.say_again(Some(peer), cx),
            Input::Disconnected(_) | Input::Loaded { .. } => {}
            Input::Demand { oldest_since, bytes } => self.timers.demand.hear(oldest_since, bytes),
            Input::Executed { position, block_hash } => self.on_executed(position, block_hash, cx),
            Input::Refused { reason, .. } => {
                let slot = Slot(self.executed.0 + 1);
                self.diverge(slot, format!("a refusal ({reason})"), "a decision".to_owned(), cx);
            }
            Input::Done(Outcome::Assembled(payload)) => self.on_assembled(payload, cx),
            Input::Done(Outcome::Installed { position, block_hash }) => {
                self.on_installed(position, block_hash, cx);
            }
            Input::Done(Outcome::Ended { position }) => self.ended_at = Some(position.slot),
            Input::Wake => self.on_wake(cx),
        }
        if self.halted.is_none() {
            self.pursue_proposals(cx);
            self.keep_ticking(cx);
            self.restate_if_long(cx);
            self.show_horizon();
        }
    }

    fn wake_at(&self) -> Option<Time> {
        if self.halted.is_some() { None } else { self.next_deadline() }
    }

    fn status(&self) -> Status {
        self.describe()
    }
}

impl Pbft {
    fn on_message(&mut self, from: Peer, message: Message, cx: &mut Cx<'_>) {
        match message {
            Message::PrePrepare { vote, body } => self.on_pre_prepare(vote, body, cx),
            Message::Prepare(vote) => self.on_prepare(vote, cx),
            Message::Commit(vote) => self.on_commit(vote, cx),
            Message::Attestation(attestation) => self.count_attestation(attestation, cx),
            Message::ViewChange(change) => self.on_view_change(change, cx),
            Message::NewView(new_view) => self.on_new_view(new_view, cx),
            Message::AskBody { digest } => self.on_ask_body(from, digest, cx),
            Message::Body(body) => self.on_body(body, cx),
            Message::Decided(decision) => self.decide(decision, cx),
            Message::Certified(certificate) => self.adopt_certificate(certificate, cx),
            Message::Standing(standing) => self.on_standing(from, standing, cx),
        }
    }
}

#[cfg(test)]
mod tests;

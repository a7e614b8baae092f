//! What every ordering protocol is: a deterministic state machine. Equal configuration, seed, stored records
//! and inputs give equal effects, on every machine and in every build.
//!
//! A protocol never does anything. It is told what happened ([`Input`]), and says through its
//! [`Context`](crate::effects::Context) what is to be written, sent, executed or computed
//! ([`Effect`](crate::effects::Effect)). Its timers stay inside: the driver only asks [`Protocol::wake_at`]
//! and comes back with [`Input::Wake`]. Three kinds of failure have three answers: a peer's fault is data
//! (`Accuse`), our disk's fault stops the replica ([`crate::replica`]), our own bug panics; so
//! [`Protocol::step`] returns no `Result`.
//!
//! A protocol's folder has these files in this order: `mod.rs` (the page with its rules, and the state),
//! `config.rs`, `messages.rs` (messages, records, jobs, faults), then one file for each role or phase.

use std::fmt::{Debug, Display};

use alloy_primitives::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_types::{BlockHash, Height, Position};

use crate::effects::Context;
use crate::time::Time;

/// Another node, by the number that the driver gave it: a connection under proof of work, a member's index
/// under a committee. It says nothing about who that is; the driver knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Peer(pub u64);

impl Display for Peer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Display::fmt(&self.0, formatter)
    }
}

/// An ordering protocol.
pub trait Protocol: Sized + Debug {
    /// What people call it: `--ordering NAME`, `synod sim --protocol NAME`.
    const NAME: &'static str;

    /// Parameters and limits; equal at all nodes where the protocol demands it.
    type Config: Clone;
    /// What nodes say to each other.
    type Message: Clone + Debug + PartialEq + Serialize + DeserializeOwned;
    /// What the journal keeps.
    type Record: Clone + Debug + PartialEq + Serialize + DeserializeOwned;
    /// What the block log hands over at start: where the chain stands that is durable here.
    type History;
    /// Work that takes too long for a step, or needs the ledger.
    type Job: Clone + Debug;
    /// What a finished job returns.
    type Outcome: Debug;
    /// What people and subscribers should hear of.
    type Event: Clone + Debug;
    /// Misbehaviour of a peer.
    type Fault: Clone + Debug + Display;

    /// Checks everything about a message that needs no state: bounds, signatures, work. Runs outside the
    /// ordering thread; each sender's order is kept.
    ///
    /// # Errors
    /// The sender's fault; the message must be dropped.
    fn check(
        config: &Self::Config,
        from: Peer,
        message: Self::Message,
    ) -> Result<Verified<Self::Message>, Self::Fault>;

    /// Whether this node may make anything of the message: asked before [`Protocol::check`], so that what can
    /// come to nothing costs nothing (PBFT-17). No fault of the sender.
    fn awaits(_config: &Self::Config, _message: &Self::Message) -> bool {
        true
    }

    /// Whether sending `message` promises nothing that a crash could break, so that it may leave before the
    /// records of its step are durable.
    fn is_promise_free(message: &Self::Message) -> bool;

    /// The state after a start: from nothing, or from what the journal and the block log kept.
    fn recover(
        config: Self::Config,
        records: Vec<Self::Record>,
        history: Self::History,
        context: &mut Context<'_, Self>,
    ) -> Self;

    /// Takes one input. Effects leave through `context`.
    fn step(&mut self, input: Input<Self>, context: &mut Context<'_, Self>);

    /// The nearest deadline; the driver gives [`Input::Wake`] then.
    fn wake_at(&self) -> Option<Time>;

    /// What it is doing and what it waits for.
    fn status(&self) -> Status;
}

/// A message that passed [`Protocol::check`]; only this crate's protocols make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<M>(M);

impl<M> Verified<M> {
    /// For implementations of [`Protocol::check`] alone.
    pub(crate) fn new(message: M) -> Self {
        Self(message)
    }

    /// The message.
    pub fn into_inner(self) -> M {
        self.0
    }
}

/// What can happen to a replica.
#[derive(Debug)]
pub enum Input<P: Protocol> {
    /// A peer said something.
    Message {
        /// Who.
        from: Peer,
        /// What, checked.
        message: Verified<P::Message>,
    },
    /// A peer can be reached from now on.
    Connected(Peer),
    /// A peer cannot be reached any more.
    Disconnected(Peer),
    /// The mempool changed: transactions wait (or none does, when `oldest_since` is `None`).
    Demand {
        /// Since when the oldest one waits.
        oldest_since: Option<Time>,
        /// How many bytes wait.
        bytes: u64,
    },
    /// The block was executed and is durable in the block log.
    Executed {
        /// Its place.
        position: Position,
        /// Its hash.
        block_hash: BlockHash,
    },
    /// The ledger refuses the block: it is invalid, here and everywhere.
    Refused {
        /// Its hash.
        block_hash: BlockHash,
        /// Why, for people.
        reason: String,
    },
    /// The block log's answer to `Load`.
    Loaded {
        /// The block asked for.
        block_hash: BlockHash,
        /// Its canonical bytes; `None` when the log does not keep it (any more).
        body: Option<Bytes>,
    },
    /// A job ended, or an outside worker brought its result.
    Done(P::Outcome),
    /// The time of `wake_at` has come.
    Wake,
}

/// What a replica is doing: feeds RPC, metrics and `synod doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The protocol's name.
    pub protocol: &'static str,
    /// The last position executed and durable here.
    pub position: Position,
    /// Its block.
    pub block_hash: BlockHash,
    /// The highest settled position.
    pub settled: Position,
    /// The height up to which blocks are known to exist: above the executed one while the replica catches up.
    pub best_height: Height,
    /// One sentence: what it waits for.
    pub waits_for: String,
    /// The protocol's own figures (view, leader, quorum seen; work, branches, peers), in a fixed order.
    pub facts: Vec<(&'static str, String)>,
}

//! What a step asks for, and the context in which it asks.
//!
//! A step writes its effects into its [`Context`]. They do not reach the driver from there: the
//! [`Replica`](crate::replica::Replica) seals them with the journal frame that holds the step's records.

use alloy_primitives::{B256, Bytes};
use synod_types::{BlockHash, Position, UnixMillis};

use crate::protocol::{Peer, Protocol};
use crate::random::Random;
use crate::time::Time;

/// What the driver is to do.
#[derive(Debug, Clone)]
pub enum Effect<P: Protocol> {
    /// Send to one peer; it may get lost.
    Send {
        /// To whom.
        to: Peer,
        /// What.
        message: P::Message,
    },
    /// Send to all (gossip, or every member); it may get lost.
    Broadcast(P::Message),
    /// Execute the block, append it to the block log, and answer `Executed` once that is durable, or
    /// `Refused`. Appends and rewinds are carried out in the order in which they were asked for, and
    /// answered in that order but for a refusal, which may overtake. Appends that were on their way behind a
    /// refused one do not stand on the tip: they are dropped without an answer.
    Append {
        /// The block's place: its parent is the block applied before.
        position: Position,
        /// The block's hash, where the protocol knows it before execution (proof of work); a committee decides
        /// payloads, of which the ledger builds blocks.
        block_hash: Option<BlockHash>,
        /// The block's canonical bytes (proof of work), or the payload's; empty where a committee decided
        /// nothing: an empty block with its parent's time.
        body: Bytes,
        /// The digest of the payload that a committee decided; `None` for an empty block, and under proof of work.
        digest: Option<B256>,
        /// The highest position that is settled once this block is applied.
        settled: Position,
    },
    /// Undo applied blocks until this one is the tip. The block log records it; there is no answer.
    Rewind {
        /// The place of the new tip.
        to: Position,
        /// The new tip.
        block_hash: BlockHash,
    },
    /// Read a block that was once appended from the block log; the answer is `Loaded`.
    Load {
        /// Which.
        block_hash: BlockHash,
    },
    /// Begin a job; its end is `Done`.
    Start(P::Job),
    /// Give up every job begun before; their results no longer matter.
    Cancel,
    /// A peer misbehaved: lower its score, disconnect it, keep evidence.
    Accuse {
        /// Who.
        peer: Peer,
        /// What it did.
        fault: P::Fault,
    },
    /// Something that people and subscribers should hear of.
    Tell(P::Event),
}

/// A step's surroundings: the time, the generator, and where its effects go.
pub struct Context<'a, P: Protocol> {
    now: Time,
    wall: UnixMillis,
    random: &'a mut Random,
    records: &'a mut Vec<P::Record>,
    restates: &'a mut bool,
    effects: &'a mut Vec<Effect<P>>,
}

impl<'a, P: Protocol> Context<'a, P> {
    /// For the replica alone, which owns the lists.
    pub(crate) fn new(
        now: Time,
        wall: UnixMillis,
        random: &'a mut Random,
        records: &'a mut Vec<P::Record>,
        restates: &'a mut bool,
        effects: &'a mut Vec<Effect<P>>,
    ) -> Self {
        Self { now, wall, random, records, restates, effects }
    }

    /// Monotonic time, for timers.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The wall clock, for block times; it may jump.
    pub fn wall(&self) -> UnixMillis {
        self.wall
    }

    /// The seeded generator.
    pub fn random(&mut self) -> &mut Random {
        self.random
    }

    /// Asks for `record` to be in the journal before any effect of this step that is a promise leaves.
    pub fn persist(&mut self, record: P::Record) {
        self.records.push(record);
    }

    /// Asks for the journal to begin anew with `records`, which say all that this step and those before it
    /// must remember: frames before theirs are not needed once theirs is durable (GEN-13).
    pub fn restate(&mut self, records: Vec<P::Record>) {
        *self.records = records;
        *self.restates = true;
    }

    /// Asks for `effect`.
    pub fn effect(&mut self, effect: Effect<P>) {
        self.effects.push(effect);
    }

    /// Asks for `message` to be sent to `to`.
    pub fn send(&mut self, to: Peer, message: P::Message) {
        self.effect(Effect::Send { to, message });
    }

    /// Asks for `message` to be sent to all.
    pub fn broadcast(&mut self, message: P::Message) {
        self.effect(Effect::Broadcast(message));
    }

    /// Reports a peer's misbehaviour.
    pub fn accuse(&mut self, peer: Peer, fault: P::Fault) {
        self.effect(Effect::Accuse { peer, fault });
    }

    /// Tells people and subscribers.
    pub fn tell(&mut self, event: P::Event) {
        self.effect(Effect::Tell(event));
    }
}

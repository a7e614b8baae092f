//! Multi-Paxos (Lamport, "The Part-Time Parliament" 1998, "Paxos Made Simple" 2001).
//!
//! A committee of n members survives f = ⌊(n−1)/2⌋ that stop and come back with what they had written. One
//! member leads by a ballot: it asks a quorum once for everything that was accepted (PREPARE, PROMISE), and then
//! decides slot after slot with one exchange each (ACCEPT, ACCEPTED), many at a time. Followers hear of
//! decisions by the leader's commit index (COMMIT). Every executed block is attested as under all committees
//! ([`crate::committee`]), so that a majority's certificate says: safe if members crash but do not lie.
//!
//! The rules, by their ids:
//! - MPX-1 `elect`, [`Record::Promised`]: a ballot is durable before its PREPARE, and never used twice.
//! - MPX-2 `accept`: what an acceptor promises and accepts, body and all durable before it is said.
//! - MPX-3, MPX-4 `prepare`: whole promises, trimming told by the certificate that settles it.
//! - MPX-5, MPX-6 `prepare`, `learn`: the value of the highest ballot, no-ops for gaps; what is recovered is
//!   chosen only by a quorum of the new ballot.
//! - MPX-7, MPX-8 `learn`: the commit index counts within its ballot; execution in order.
//! - MPX-9: every size comes from the epoch's committee. Both phases take a majority.
//! - MPX-10 `learn`: slots after the epoch's last block are void, and no ballot outlives its epoch.
//! - MPX-11 [`crate::committee::reads`]: reads ask a quorum where it stands; there are no leases.
//! - MPX-12 `elect`: nobody raises a ballot before a quorum has lost its leader, too; back-off at random; a
//!   leader that no quorum follows steps down.
//! - MPX-13: a journal that does not read back whole makes its member a learner until the next epoch (GEN-3): the
//!   driver starts it without a signer. A body that is missing is fetched, and no vote stands on it before.
//!
//! Where it departs from the papers: a follower asks a quorum whether its leader is lost before it takes a
//! ballot (PROBE, WILLING), as Raft's PreVote does. ACCEPT leaves before the leader's own acceptance is durable,
//! since its ballot is durable and never used again; what it knows to be chosen (COMMIT, the append) leaves
//! only after that. Phase 1 begins above the newest certificate rather than above what is executed here:
//! another member may still need a slot whose block this one has.
//! No member refuses a value for its time, however far ahead of its clock, as members under PBFT do: it cannot be told
//! what is new from what a later leader must bring to its end, and to refuse that would stop the committee for as long
//! as somebody's clock was wrong. Members do not lie here, so that only a wrong clock does harm: the blocks' time goes
//! ahead with it once, and stays there until the other clocks have come so far, since no block's time is less than its
//! parent's. Heights, balances and `valid_until` do not depend on it; base fees fall as after so long an idle time.
//!
//! Durable are: the promised ballot, accepted values and their bodies ([`Record`]); executed blocks are the
//! block log's. On the way to a certificate lie two syncs: the acceptances (the leader's at the same time as the
//! followers'), and the block.

mod accept;
mod attest;
mod bodies;
mod catch_up;
mod check;
pub mod config;
mod elect;
mod learn;
pub mod messages;
mod prepare;
mod propose;
mod recovery;
#[cfg(any(test, feature = "mutants"))]
pub(crate) mod stage;
mod status;
mod timers;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use synod_types::Slot;

pub use config::{Config, Limits};
pub use messages::{Ballot, Fault, MESSAGE_LIMIT, Message, Record};
pub use status::Promises;

use self::messages::Vote;
use self::prepare::Parts;
use self::timers::Timers;
use crate::committee::attestations::Attestations;
use crate::committee::bodies::Bodies;
use crate::committee::proposing::Proposing;
use crate::committee::{Event, History, Job, MemberIndex, Outcome};
use crate::effects::Context;
use crate::protocol::{Input, Peer, Protocol, Status, Verified};
use crate::time::Time;

type Cx<'a> = Context<'a, Paxos>;

/// What a member is doing about leadership.
#[derive(Debug, Clone)]
enum Role {
    /// It follows, or waits.
    Following,
    /// It asks whether a quorum lost its leader; who said so, and when.
    Probing { ballot: Ballot, willing: BTreeMap<MemberIndex, Time> },
    /// Phase 1.
    Preparing { ballot: Ballot, from: Slot, promises: BTreeMap<MemberIndex, Parts> },
    /// Phase 2, with when each member was last heard to follow.
    Leading { ballot: Ballot, followers: BTreeMap<MemberIndex, Time> },
}

impl Role {
    fn ballot(&self) -> Option<Ballot> {
        match self {
            Self::Following => None,
            Self::Probing { ballot, .. } | Self::Preparing { ballot, .. } | Self::Leading { ballot, .. } => {
                Some(*ballot)
            }
        }
    }
}

/// What a member knows of one place in the order.
#[derive(Debug, Clone, Default)]
struct SlotState {
    /// The proposal of the highest ballot that it heard.
    heard: Option<Vote>,
    /// What it accepted last; durable, and so is the body.
    accepted: Option<Vote>,
    /// What it proposes as leader, in its own ballot.
    proposed: Option<Vote>,
    /// Who accepted that.
    votes: BTreeSet<MemberIndex>,
    /// The chosen value.
    chosen: Option<Option<B256>>,
    /// When it proposed.
    since: Option<Time>,
}

/// One member's Multi-Paxos, for one epoch.
#[derive(Debug, Clone)]
pub struct Paxos {
    config: Config,
    /// No lower ballot gets anything from this member. Durable.
    promised: Ballot,
    /// The highest round heard of in a refusal.
    seen_round: u64,
    role: Role,
    /// The leader's ballot that was heard last.
    leader: Option<Ballot>,
    /// The newest commit index, and in which ballot.
    commit: (Ballot, Slot),
    /// The commit index that this member, as leader, told last.
    announced: Slot,
    slots: BTreeMap<Slot, SlotState>,
    bodies: Bodies,
    /// The last slot whose block is durable.
    executed: Slot,
    /// The last slot that was handed to the ledger.
    delivered: Slot,
    attestations: Attestations,
    proposing: Proposing,
    timers: Timers,
    /// When each member was last answered.
    helped: BTreeMap<Peer, Time>,
    /// Blocks up to here are being fetched.
    fetching: Option<Slot>,
    /// The epoch's last slot, once it is known.
    ended_at: Option<Slot>,
    /// Bytes written since the journal last began anew.
    journalled: usize,
    halted: Option<String>,
}

impl Protocol for Paxos {
    const NAME: &'static str = "paxos";
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

    /// Questions, what proves itself, signs of life, and proposals: a leader's ballot was durable before a quorum
    /// answered it, and is never used again. A commit index holds this member's own acceptance, so it waits.
    fn is_promise_free(message: &Message) -> bool {
        matches!(
            message,
            Message::Probe { .. }
                | Message::Willing { .. }
                | Message::Accept { .. }
                | Message::Heartbeat { .. }
                | Message::Following { .. }
                | Message::AskBody { .. }
                | Message::Body(_)
                | Message::Standing(_)
                | Message::Certified(_)
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
            self.announce(cx);
            self.keep_ticking(cx);
            self.restate_if_long(cx);
        }
    }

    fn wake_at(&self) -> Option<Time> {
        if self.halted.is_some() { None } else { self.next_deadline() }
    }

    fn status(&self) -> Status {
        self.describe()
    }
}

impl Paxos {
    fn on_message(&mut self, from: Peer, message: Message, cx: &mut Cx<'_>) {
        let Some(member) = self.config.committee.member(from) else {
            if let Message::Certified(certificate) = message {
                self.adopt_certificate(certificate, cx);
            }
            return;
        };
        match message {
            Message::Probe { ballot } => self.on_probe(from, ballot, cx),
            Message::Willing { ballot } => self.on_willing(member, ballot, cx),
            Message::Prepare { ballot, from: first } => self.on_prepare(from, ballot, first, cx),
            Message::Promise(promise) => self.on_promise(member, promise, cx),
            Message::Refused { ballot, promised } => self.on_refused(ballot, promised, cx),
            Message::Accept { vote, body } => self.on_accept(from, vote, body, cx),
            Message::Accepted(vote) => self.on_accepted(member, vote, cx),
            Message::Heartbeat { ballot } => self.on_heartbeat(from, ballot, cx),
            Message::Following { ballot } => self.on_following(member, ballot, cx),
            Message::Commit { ballot, through } => self.on_commit(from, ballot, through, cx),
            Message::Chosen { slot, digest } => self.choose(slot, digest, cx),
            Message::AskBody { digest } => self.on_ask_body(from, digest, cx),
            Message::Body(body) => self.on_body(body, cx),
            Message::Attestation(attestation) => self.count_attestation(attestation, cx),
            Message::Certified(certificate) => self.adopt_certificate(certificate, cx),
            Message::Standing(standing) => self.on_standing(from, standing, cx),
        }
    }
}

#[cfg(test)]
mod tests;

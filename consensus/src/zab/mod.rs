//! Zab, the atomic broadcast of ZooKeeper (Junqueira, Reed, Serafini, "Zab: High-performance broadcast for
//! primary-backup systems" 2011; Medeiros, "ZooKeeper's atomic broadcast protocol: theory and practice" 2012).
//!
//! A committee of n members survives f = ⌊(n−1)/2⌋ that stop and come back with what they had written. A leader
//! begins an epoch of its own, brings a quorum to its history, and then broadcasts one transaction after the
//! other, each named by (epoch, counter). Every executed block is attested as under all committees
//! ([`crate::committee`]), so that a majority's certificate says: safe if members crash but do not lie.
//!
//! The phases have their files:
//! - 0 `election`: the members look for the one with the best history that hears a quorum.
//! - 1 `discovery`: CEPOCH, NEWEPOCH, ACK-E. A quorum promises itself to the epoch.
//! - 2 `synchronization`: NEWLEADER with DIFF, TRUNC or SNAP, ACK-LD, COMMIT-LD. A quorum has the history.
//! - 3 `broadcast`: PROPOSE, ACK, COMMIT.
//!
//! The rules, by their ids:
//! - ZAB-1 `zxid`: a counter that is used up ends its epoch.
//! - ZAB-2 `election`: by the durable log; `discovery` looks again, and a leader that is behind gives way.
//! - ZAB-3 `discovery`: an epoch is promised to one leader.
//! - ZAB-4 `synchronization`: TRUNC, DIFF or SNAP, then the log, then `currentEpoch`, then ACK-LD.
//! - ZAB-5 `synchronization`: the leader's own history and epoch are durable before a quorum counts; all of its
//!   initial history is committed before it proposes.
//! - ZAB-6 `synchronization`: whoever was sent NEWLEADER is sent all that is proposed from then on.
//! - ZAB-7 `log`, `check`: logs and histories have no holes.
//! - ZAB-8 `synchronization`: nothing that is committed is cut off; what was not taken over whole is dropped.
//! - ZAB-9 `election`: on leaving a role nothing that waited is logged any more, and votes leave after what was.
//! - ZAB-10 `broadcast`: acknowledged when durable, committed in order; a leader without a quorum steps down.
//! - ZAB-11 [`crate::committee::reads`]: reads ask a quorum where it stands, and no leader.
//!
//! Where it departs from the papers: members are connected by links that lose and reorder, so that whatever waits
//! for an answer is said again, and proposals that overtake each other wait. NEWLEADER carries the history (as in
//! the paper) as its difference to the follower's (as ZooKeeper sends it), named by digests; bodies are fetched. An
//! epoch belongs to the member that it was promised to, so that an answer can be repeated. SNAP is the blocks up to
//! a certificate, fetched from anybody. A leader's PROPOSE leaves before its own log is durable: its epoch is, and is
//! never used again. As under Multi-Paxos ([`crate::paxos`]) no member refuses a transaction for its time.
//!
//! Durable are: `acceptedEpoch`, `currentEpoch`, the log and its bodies ([`Record`]); executed blocks are the
//! block log's. Records become durable in the order in which they are written, those of one step together.

mod attest;
mod bodies;
mod broadcast;
mod catch_up;
mod check;
pub mod config;
mod discovery;
mod durable;
mod election;
mod log;
pub mod messages;
#[cfg(any(test, feature = "mutants"))]
pub(crate) mod stage;
mod status;
mod synchronization;
mod timers;
pub mod zxid;

use std::collections::{BTreeMap, BTreeSet};

use synod_types::{Slot, mutant};

pub use config::{Config, Limits};
pub use messages::{Fault, MESSAGE_LIMIT, Message, Record, State};
pub use status::Promises;
pub use zxid::{Point, ZabEpoch, Zxid};

use self::election::Looking;
use self::log::Log;
use self::messages::{Basis, Entry};
use self::timers::Timers;
use crate::committee::attestations::Attestations;
use crate::committee::bodies::Bodies;
use crate::committee::proposing::Proposing;
use crate::committee::{Certificate, Event, History, Job, MemberIndex, Outcome};
use crate::effects::Context;
use crate::protocol::{Input, Peer, Protocol, Status, Verified};
use crate::time::Time;

type Cx<'a> = Context<'a, Zab>;

/// What a member is doing about leadership.
#[derive(Debug, Clone)]
enum Role {
    /// Phase 0.
    Looking(Looking),
    /// It follows.
    Following(Following),
    /// It leads, or is about to.
    Leading(Leading),
}

/// A follower's side of one leader.
#[derive(Debug, Clone)]
struct Following {
    leader: MemberIndex,
    /// The leader's, once NEWEPOCH came.
    epoch: Option<ZabEpoch>,
    /// The way to the leader's history, until all of it is here.
    staged: Option<Staged>,
    /// The leader's history is durable here.
    is_synced: bool,
    /// The leader is established.
    is_active: bool,
    /// What the leader says is committed.
    told: Slot,
    /// What was proposed and not logged yet.
    waiting: BTreeMap<Slot, Entry>,
}

/// A way to a leader's history that is not gone to its end.
#[derive(Debug, Clone)]
struct Staged {
    basis: Basis,
    entries: Vec<Entry>,
    since: Time,
}

/// A leader's side.
#[derive(Debug, Clone, Default)]
struct Leading {
    /// Its own, once a quorum said what it accepted.
    epoch: Option<ZabEpoch>,
    /// CEPOCH of those who vote.
    infos: BTreeMap<MemberIndex, ZabEpoch>,
    /// ACK-E, and which count.
    states: BTreeMap<MemberIndex, (State, bool)>,
    /// A quorum gave ACK-E: NEWLEADER is sent.
    is_syncing: bool,
    /// A quorum gave ACK-LD: it proposes.
    is_established: bool,
    /// The last of its initial history.
    history: Point,
    /// Those that NEWLEADER was sent to.
    learners: BTreeMap<MemberIndex, Learner>,
    /// When each was last heard.
    heard: BTreeMap<MemberIndex, Time>,
    /// When what is not acknowledged by all was proposed.
    proposed_at: BTreeMap<Slot, Time>,
    /// Those that do not vote.
    observers: BTreeSet<MemberIndex>,
}

/// A follower as its leader sees it.
#[derive(Debug, Clone)]
struct Learner {
    /// Its history when it gave ACK-E.
    state: State,
    /// What it has durably, since its ACK-LD.
    acked: Option<Slot>,
}

/// One member's Zab, for one epoch of its committee.
#[derive(Debug, Clone)]
pub struct Zab {
    config: Config,
    /// `acceptedEpoch`, and for whom. Durable.
    accepted: (ZabEpoch, MemberIndex),
    /// `currentEpoch`. Durable.
    current: ZabEpoch,
    /// Durable.
    log: Log,
    /// The latest epoch for which an attempt of this member was given up: heard of in a vote, a promise or a refusal.
    seen_epoch: ZabEpoch,
    role: Role,
    /// Everything up to here is committed, and in the log or below it.
    committed: Slot,
    /// What this member, as leader, told last.
    announced: Slot,
    bodies: Bodies,
    /// The last slot whose block is durable.
    executed: Slot,
    /// The last slot that was handed to the ledger.
    delivered: Slot,
    attestations: Attestations,
    /// The newest certificate of what is committed here: the log is trimmed by it.
    settled: Option<Certificate>,
    /// A certificate that is waited for with that.
    unsettled: Option<Certificate>,
    proposing: Proposing,
    timers: Timers,
    /// When each member was last answered.
    helped: BTreeMap<Peer, Time>,
    /// Blocks up to here are being fetched.
    fetching: Option<Slot>,
    /// Blocks were fetched beyond the log. Durable.
    is_beyond_log: bool,
    /// The epoch's last slot, once it is known.
    ended_at: Option<Slot>,
    /// Bytes written since the journal last began anew.
    journalled: usize,
    halted: Option<String>,
}

impl Protocol for Zab {
    const NAME: &'static str = "zab";
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

    /// Questions, what proves itself, signs of life, and proposals: a leader's epoch was durable before a quorum
    /// answered it, and is never used again. A vote speaks of the durable log, so it waits (ZAB-2, ZAB-9), as do
    /// all that acknowledge or commit.
    fn is_promise_free(message: &Message) -> bool {
        match message {
            Message::FollowerInfo { .. }
            | Message::Propose { .. }
            | Message::Pong { .. }
            | Message::AskBody { .. }
            | Message::Body(_)
            | Message::Standing(_)
            | Message::Certified(_) => true,
            Message::Vote(_) => mutant!("zab-4712-vote-while-writing"),
            Message::AckLeader { .. } => mutant!("zab-4646-ack-leader-before-sync"),
            Message::Ack { .. } => mutant!("zab-3911-ack-before-sync"),
            _ => false,
        }
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

impl Zab {
    fn on_message(&mut self, from: Peer, message: Message, cx: &mut Cx<'_>) {
        let Some(member) = self.config.committee.member(from) else {
            if let Message::Certified(certificate) = message {
                self.adopt_certificate(certificate, cx);
            }
            return;
        };
        match message {
            Message::Vote(vote) => self.on_vote(member, vote, cx),
            Message::FollowerInfo { accepted, votes } => self.on_follower_info(member, accepted, votes, cx),
            Message::NewEpoch { epoch } => self.on_new_epoch(member, epoch, cx),
            Message::AckEpoch { epoch, counts, state } => self.on_ack_epoch(member, epoch, counts, state, cx),
            Message::NewLeader { epoch, basis, entries } => {
                self.on_new_leader(member, epoch, basis, entries, cx);
            }
            Message::AckLeader { epoch, through } => self.on_ack_leader(member, epoch, through, cx),
            Message::CommitLeader { epoch, through } => self.on_commit_leader(member, epoch, through, cx),
            Message::Propose { entry, body } => self.on_propose(member, entry, body, cx),
            Message::Ack { epoch, through } => self.on_ack(member, epoch, through, cx),
            Message::Commit { epoch, through } => self.on_commit(member, epoch, through, cx),
            Message::Ping { epoch, through } => self.on_ping(member, epoch, through, cx),
            Message::Pong { epoch } => self.on_pong(member, epoch, cx),
            Message::Refused { epoch, accepted } => self.on_refused(epoch, accepted, cx),
            Message::AskBody { digest } => self.on_ask_body(from, digest, cx),
            Message::Body(body) => self.on_body(body, cx),
            Message::Attestation(attestation) => self.count_attestation(attestation, cx),
            Message::Certified(certificate) => self.adopt_certificate(certificate, cx),
            Message::Standing(standing) => self.on_standing(from, standing, cx),
        }
    }

    /// This member's history, as its journal has it.
    fn state(&self) -> State {
        State { current: self.current, last: self.log.last() }
    }
}

#[cfg(test)]
mod tests;

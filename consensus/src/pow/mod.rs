//! Proof of work (Nakamoto 2008), in Bitcoin's form, with ASERT difficulty.
//!
//! Whoever solves a puzzle proposes a block, and every node's tip is the heaviest valid chain that it holds.
//! There is no vote and no final word: `settled` is a depth, and most work always wins.
//!
//! The rules, by their ids:
//! - POW-1 [`compact`], [`header`]: one canonical form of a target, one place where a hash meets it.
//! - POW-2 [`tree`]: cumulative work in 256 bits, the first seen of equals, never height.
//! - POW-3 [`header`], [`headers`]: time above the median of eleven; the future waits and is no crime.
//! - POW-4 [`asert`]: an integer rule from a fixed anchor, clamped at the end alone.
//! - POW-5 [`sync`], [`bodies`]: headers first, bodies for the heaviest branch alone, the rest bounded.
//! - POW-6 [`body`], [`bodies`]: a wrong body blames its sender, never its header.
//! - POW-7 [`chain`]: what the ledger refuses is condemned with all that stands on it, durably, bounded.
//! - POW-8 [`orphans`]: orphans are few, and the missing parent is asked of their sender alone.
//! - POW-9 [`chain`], [`tree`], [`trunk`]: rewinds of any depth; [`History`] makes a crash amid one harmless.
//! - POW-11 [`mining`]: a template lives as long as its tip.
//! - POW-12, POW-14 [`chain`]: settled depth is a report; a deeper rewind raises an event.
//! - GEN-8, P2P-9 [`sync`]: whatever gets lost is asked for again, and claims must be shown.
//!
//! What a step decides runs in one order: the input's own handler, then the tip ([`chain`]), the bodies
//! ([`bodies`]), the template ([`mining`]).
//!
//! Limits of the model (POW-13): selfish mining pays from a third of the hash power (a quarter with a good
//! network position), and a node that only meets liars cannot know it. No machine can change that.

pub mod asert;
mod bodies;
pub mod body;
mod chain;
pub mod compact;
mod condemned;
pub mod config;
pub mod header;
mod headers;
pub mod messages;
mod mining;
mod orphans;
mod status;
mod sync;
mod timers;
mod tree;
mod trunk;

use std::collections::BTreeMap;

use synod_types::Header;

pub use body::Body;
pub use chain::position as chain_position;
pub use compact::{CompactError, Target, Work};
pub use condemned::live_records;
pub use config::{Config, Limits, Rules, RulesError};
pub use header::{HashedHeader, HeaderError};
pub use messages::{Event, Fault, Job, MESSAGE_LIMIT, Message, Outcome, Record};

use self::bodies::Bodies;
use self::chain::Chain;
use self::condemned::Condemned;
use self::mining::Mining;
use self::orphans::{Newcomer, Orphans};
use self::sync::{Claim, PeerState};
use self::timers::{Timer, Timers};
use self::tree::Tree;
use crate::effects::Context;
use crate::protocol::{Input, Peer, Protocol, Status, Verified};
use crate::time::Time;

type Cx<'a> = Context<'a, ProofOfWork>;

/// What the block log hands over at start.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The headers of the chain that is executed and durable, from height 1 to the tip.
    pub chain: Vec<Header>,
    /// Headers of other blocks that the log still holds (undone ones), each after its parent if that is
    /// among them. A node that was cut off amid a reorganisation finds the heavier branch here again.
    pub undone: Vec<Header>,
}

/// One node's proof of work.
#[derive(Debug)]
pub struct ProofOfWork {
    config: Config,
    tree: Tree,
    condemned: Condemned,
    orphans: Orphans,
    peers: BTreeMap<Peer, PeerState>,
    bodies: Bodies,
    chain: Chain,
    mining: Mining,
    timers: Timers,
    early_at: Option<Time>,
    /// The heaviest tip that was ever executed since the start.
    advertised: Claim,
}

impl Protocol for ProofOfWork {
    const NAME: &'static str = "pow";
    type Config = Config;
    type Message = Message;
    type Record = Record;
    type History = History;
    type Job = Job;
    type Outcome = Outcome;
    type Event = Event;
    type Fault = Fault;

    fn check(config: &Config, _from: Peer, message: Message) -> Result<Verified<Message>, Fault> {
        messages::check(&config.rules, &message)?;
        Ok(Verified::new(message))
    }

    /// What is served and announced is durable in the block log; the journal holds no promise to a peer.
    fn is_promise_free(_: &Message) -> bool {
        true
    }

    fn recover(config: Config, records: Vec<Record>, history: History, cx: &mut Cx<'_>) -> Self {
        let mut condemned = Condemned::new(config.limits.condemned);
        for Record::Condemned { block_hash } in records {
            condemned.insert(block_hash);
        }
        let tree = Tree::new(config.rules.genesis, &history.chain, config.limits.recent_blocks);
        let tip = tree.tip();
        let advertised = Claim { hash: tip.header.hash(), height: tip.height, work: tip.work };
        let mut machine = Self {
            orphans: Orphans::new(config.limits.orphans, config.limits.orphans_per_peer),
            chain: Chain::new(tip.height, config.rules.settled_depth),
            tree,
            condemned,
            peers: BTreeMap::new(),
            bodies: Bodies::default(),
            mining: Mining::default(),
            timers: Timers::default(),
            early_at: None,
            advertised,
            config,
        };
        machine.restore_undone(&history.undone);
        machine.timers.set(cx.now().plus_ms(machine.config.limits.tip_interval_ms), Timer::Tips);
        machine.pursue(cx);
        machine
    }

    fn step(&mut self, input: Input<Self>, cx: &mut Cx<'_>) {
        match input {
            Input::Message { from, message } => self.on_message(from, message.into_inner(), cx),
            Input::Connected(peer) => self.connected(peer, cx),
            Input::Disconnected(peer) => self.disconnected(peer, cx),
            Input::Demand { .. } => self.on_demand(cx),
            Input::Executed { block_hash, .. } => self.on_executed(block_hash, cx),
            Input::Refused { block_hash, reason } => self.on_refused(block_hash, reason, cx),
            Input::Loaded { block_hash, body } => self.on_loaded(block_hash, body, cx),
            Input::Done(Outcome::Assembled(template)) => self.on_assembled(&template, cx),
            Input::Done(Outcome::Solved(body)) => self.on_solved(body, cx),
            Input::Wake => self.on_wake(cx),
        }
        self.pursue(cx);
    }

    fn wake_at(&self) -> Option<Time> {
        self.timers.next()
    }

    fn status(&self) -> Status {
        self.describe()
    }
}

impl ProofOfWork {
    fn on_message(&mut self, from: Peer, message: Message, cx: &mut Cx<'_>) {
        let from_peer = Some(from);
        match message {
            Message::AskTip => cx.send(from, self.own_tip()),
            Message::Tip { block_hash, height, work } => {
                self.on_tip(from, Claim { hash: block_hash, height: height.0, work }, cx);
            }
            Message::AskHeaders { locator } => self.on_ask_headers(from, &locator, cx),
            Message::Headers { headers } => self.on_headers(from, &headers, cx),
            Message::AskBody { block_hash } => self.on_ask_body(from, block_hash, cx),
            Message::Body(body) => self.on_body(from, body, cx),
            Message::NoBody { block_hash } => self.on_no_body(from, block_hash, cx),
            Message::NewBlock(body) => {
                self.introduce(
                    Newcomer { header: *body.header(), body: Some(body), from: from_peer, asked: false },
                    cx,
                );
            }
            Message::NewHeader(header) => {
                self.introduce(Newcomer { header, body: None, from: from_peer, asked: false }, cx);
            }
        }
    }

    fn on_wake(&mut self, cx: &mut Cx<'_>) {
        while let Some(timer) = self.timers.take_due(cx.now()) {
            match timer {
                Timer::Tips => self.ask_tips(cx),
                Timer::Headers(peer) => self.headers_timed_out(peer, cx),
                Timer::Body(hash) => self.body_timed_out(hash, cx),
                Timer::Retry(hash) => self.tree.unstall(hash),
                Timer::Early => self.admit_due(cx),
                Timer::Template => self.template_is_old(cx),
            }
        }
    }

    /// What follows from whatever just happened.
    fn pursue(&mut self, cx: &mut Cx<'_>) {
        self.pursue_chain(cx);
        self.request_bodies(cx);
        self.mine_on_tip(cx);
    }

    /// Blocks that the log holds beside the chain can be taken up again without any peer.
    fn restore_undone(&mut self, undone: &[Header]) {
        for header in undone {
            let header = HashedHeader::new(*header);
            let is_new = !self.tree.contains(header.hash()) && self.tree.contains(header.parent());
            if is_new && !self.condemned.contains(header.hash()) {
                self.tree.insert(header, None);
                self.tree.log_body(header.hash());
            }
        }
    }

    fn accuse(&mut self, peer: Peer, fault: Fault, cx: &mut Cx<'_>) {
        cx.accuse(peer, fault);
    }
}

#[cfg(test)]
mod tests;

//! The world of proof of work: honest miners, perhaps an attacker, and an observer.
//!
//! Blocks are really mined: real headers are hashed at easy targets, a few hashes for each mining event, and
//! a hash takes the time that the miner's simulated power says. So the difficulty and work code run for real.

mod attacker;
mod audit;
mod chaos;
mod disks;
mod drive;
mod ending;
mod facts;
mod garble;
mod node;

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use alloy_primitives::{Address, B256};
use synod_types::genesis::ProofOfWork as Parameters;
use synod_types::hash::sha256d;
use synod_types::{BlockHash, Header};

use self::attacker::Attacker;
use self::ending::Stage;
use self::facts::Facts;
use self::node::{Node, NodeInput};
use super::ledger::Ledger;
use super::network::Network;
use super::report::{Options, Report, Violation};
use super::scheduler::Scheduler;
use super::swarm::{Fault, Swarm};
use super::trace::Trace;
use crate::pow::{Body, Config, Limits, Message, Rules};
use crate::protocol::Peer;
use crate::random::Random;

/// True time at virtual time 0: the genesis block's.
pub const EPOCH_MS: u64 = 1_700_000_000_000;
/// Seconds between blocks.
const SPACING: u64 = 2;
/// The genesis target: 32 hashes a block.
const GENESIS_BITS: u32 = 0x2007_ffff;
/// All honest power together, in hashes in a thousand seconds: 32 hashes in one spacing.
const POWER: u64 = 16_000;
/// Settled soon, so that reversals happen in short runs.
const SETTLED_DEPTH: u64 = 8;
/// A run has a few thousand events: far more mean that nodes keep each other busy for nothing.
const EVENTS: u64 = 1_000_000;
/// Milliseconds between the observer's audits.
const AUDIT_MS: u64 = 500;

/// What happens in the world.
enum Event {
    Deliver { from: u8, to: u8, run: u32, message: Rc<Message> },
    Garbled { from: u8, to: u8, bytes: Vec<u8> },
    Wake { node: u8, run: u32 },
    Mine { node: u8, search: u64 },
    Synced { node: u8, run: u32 },
    JournalSynced { node: u8, run: u32 },
    Crash { node: u8, run: u32 },
    Restart { node: u8 },
    Client,
    Chaos,
    Mend(chaos::Mend),
    Attack,
    AttackerMines,
    Audit,
}

/// One run.
struct World<'a, L> {
    config: Config,
    random: Random,
    swarm: Swarm,
    scheduler: Scheduler<Event>,
    network: Network,
    trace: Trace,
    facts: Facts,
    nodes: Vec<Node<L>>,
    attacker: Option<Attacker<L>>,
    /// Inputs that a node gives itself within a step: templates, loaded bodies.
    inputs: VecDeque<NodeInput>,
    coverage: BTreeMap<&'static str, u64>,
    violation: Option<Violation>,
    stage: Stage,
    /// The part of each node while the network is in two.
    sides: Vec<bool>,
    target_blocks: u64,
    setting: &'a Setting<'a, L>,
}

/// What runs are made of beside the protocol: a chain's beginning, and who keeps it.
pub struct Setting<'a, L> {
    /// The chain's parameters; [`parameters`] or something close to them.
    pub parameters: Parameters,
    /// The genesis block's header.
    pub genesis: Header,
    /// Makes an empty ledger; what is random in it follows from the number.
    pub open: &'a dyn Fn(u64) -> L,
}

/// Runs one seed.
pub fn run<L: Ledger>(options: &Options, setting: &Setting<'_, L>) -> Report {
    let mut world = World::new(options, setting);
    // A panic in the machine is a finding (A8) like any other, with the same command to see it again.
    let panicked = catch_unwind(AssertUnwindSafe(|| world.run())).err();
    // A ledger that a panic left in pieces is asked for nothing more.
    let blocks = if panicked.is_none() { world.lowest() } else { 0 };
    if let Some(cause) = panicked {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        world.violate("A8", || format!("panic: {}", text.unwrap_or_default()));
    }
    world.report(options, blocks)
}

impl<'a, L: Ledger> World<'a, L> {
    fn new(options: &Options, setting: &'a Setting<'a, L>) -> Self {
        let mut random = Random::new(options.seed);
        let drawn = random.between(3, 6) as usize;
        let count = options.nodes.unwrap_or(drawn).clamp(1, 64);
        let can_happen: fn(Fault) -> bool =
            if L::ROTS { Fault::is_of_miners } else { |fault| fault.is_of_miners() && fault != Fault::Rot };
        let drawn = Swarm::draw(&mut random, &options.without, can_happen);
        let swarm = options.only.as_ref().map_or(drawn, |only| Swarm::only(only));
        let config = config(setting);
        let network = Network::new(count + 1, &swarm, &mut random);
        let attacker = attacker::is_wanted(&swarm)
            .then(|| Attacker::new((setting.open)(random.next_u64()), &mut random));
        let mut world = Self {
            nodes: Vec::new(),
            facts: Facts::new(setting.genesis),
            config,
            swarm,
            scheduler: Scheduler::default(),
            network,
            trace: Trace::new(options.trace),
            attacker,
            inputs: VecDeque::new(),
            coverage: BTreeMap::new(),
            violation: None,
            stage: Stage::Faults,
            sides: Vec::new(),
            target_blocks: options.blocks.max(1),
            setting,
            random,
        };
        world.populate(count);
        world
    }

    fn populate(&mut self, count: usize) {
        let slow = self.swarm.has(Fault::SlowDisk);
        for index in 0..count {
            let others = (0..count + usize::from(self.attacker.is_some())).filter(|other| *other != index);
            let peers = others.map(|other| Peer(other as u64)).collect();
            let power = POWER / count as u64;
            let sync_us =
                if slow { self.random.between(10_000, 1_000_000) } else { self.random.between(100, 4_000) };
            let ledger = (self.setting.open)(self.random.next_u64());
            self.nodes.push(Node::new(ledger, power, sync_us, peers));
            self.draw_clock(index);
        }
        for index in 0..count {
            self.start(index);
        }
        let now = self.scheduler.now();
        self.scheduler.schedule(now.plus_ms(AUDIT_MS), Event::Audit);
        self.scheduler.schedule(now.plus_ms(1_000), Event::Chaos);
        if L::HAS_CLIENTS {
            self.scheduler.schedule(now.plus_ms(700), Event::Client);
        }
        if self.attacker.is_some() {
            self.scheduler.schedule(now.plus_ms(500), Event::Attack);
            self.scheduler.schedule(now.plus_ms(100), Event::AttackerMines);
        }
    }

    fn run(&mut self) {
        while self.violation.is_none()
            && let Some(event) = self.scheduler.take()
        {
            if self.trace.events() > EVENTS {
                return self.violate("A6", || format!("{EVENTS} events and no end"));
            }
            if self.stage == Stage::Over {
                return;
            }
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.scheduler.now();
        match event {
            Event::Deliver { from, to, run, message } => self.deliver(from, to, run, &message),
            Event::Garbled { from, to, bytes } => self.garbled(from, to, &bytes),
            Event::Wake { node, run } => self.wake(node, run),
            Event::Mine { node, search } => self.mine(node, search),
            Event::Synced { node, run } => self.synced(node, run),
            Event::JournalSynced { node, run } => self.journal_synced(node, run),
            Event::Restart { node } => {
                self.trace.event(now, 6, node.into(), 0);
                if self.nodes[usize::from(node)].replica.is_none() {
                    self.start(node.into());
                }
            }
            Event::Crash { node, run } => {
                self.trace.event(now, 15, node.into(), 0);
                if self.nodes[usize::from(node)].run == run {
                    self.crash(node.into());
                }
            }
            Event::Client => self.client(),
            Event::Chaos => self.chaos(),
            Event::Mend(mend) => self.mend(&mend),
            Event::Attack => self.attack(),
            Event::AttackerMines => self.attacker_mines(),
            Event::Audit => self.audit(),
        }
    }

    /// The wall clock of a node.
    fn wall(&self, node: usize) -> synod_types::UnixMillis {
        self.nodes[node].clock.wall(EPOCH_MS, self.scheduler.now())
    }

    /// The heaviest block that an honest node has executed.
    fn public_tip(&self) -> BlockHash {
        let tips = self.nodes.iter().map(|node| node.ledger.tip());
        tips.max_by_key(|tip| self.facts.work(*tip)).unwrap_or(self.facts.genesis())
    }

    /// Whether faults still strike.
    fn has_faults(&self) -> bool {
        self.stage == Stage::Faults
    }

    fn count(&mut self, name: &'static str) {
        *self.coverage.entry(name).or_default() += 1;
    }

    fn violate(&mut self, oracle: &str, message: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let at_ms = self.scheduler.now().0 / 1000;
            self.violation = Some(Violation { oracle: oracle.to_owned(), message: message(), at_ms });
        }
    }

    fn report(self, options: &Options, blocks: u64) -> Report {
        let events = self.trace.events();
        let virtual_ms = self.scheduler.now().0 / 1000;
        let (trace_hash, trace) = self.trace.finish();
        Report {
            options: options.clone(),
            nodes: self.nodes.len(),
            faults: self.swarm.faults().to_vec(),
            trace_hash,
            events,
            virtual_ms,
            blocks,
            coverage: self.coverage.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
            violation: self.violation,
            command: options.command(),
            trace,
        }
    }
}

/// The parameters of the simulated networks.
pub fn parameters() -> Parameters {
    Parameters { settled_depth: SETTLED_DEPTH, ..Parameters::testnet(GENESIS_BITS) }
}

/// The genesis header of chains on the model ledger.
pub fn genesis() -> Header {
    Header {
        version: 1,
        parent: BlockHash::default(),
        commitment: B256::repeat_byte(1),
        time: (EPOCH_MS / 1000) as u32,
        bits: GENESIS_BITS,
        nonce: 0,
    }
}

/// The network's rules, and small limits, so that runs reach them.
fn config<L>(setting: &Setting<'_, L>) -> Config {
    let limits = Limits {
        orphans: 24,
        orphans_per_peer: 8,
        side_headers: 400,
        side_headers_per_peer: 64,
        headers_per_message: 16,
        requests: 8,
        requests_per_peer: 4,
        recent_blocks: 12,
        condemned: 16,
        ..Limits::default()
    };
    let rules =
        Rules::new(&setting.parameters, &setting.genesis).expect("the simulation's parameters are valid");
    Config { rules, limits, mines: true }
}

/// Who gets a node's rewards.
fn recipient(node: usize) -> Address {
    Address::repeat_byte(node as u8 + 1)
}

/// A short name for a block.
fn short(hash: BlockHash) -> u64 {
    u64::from_le_bytes(hash.0.0[8..16].try_into().expect("eight bytes"))
}

/// A body's block again, with its header's nonce replaced until it has work; `None` after `tries` hashes.
fn grind(block: &mut synod_types::Block, first: u32, tries: u32) -> Option<Body> {
    let target = crate::pow::Target::from_compact(block.header.bits).ok()?;
    let mut bytes = block.header.to_bytes();
    for nonce in first..first.saturating_add(tries) {
        bytes[76..].copy_from_slice(&nonce.to_le_bytes());
        if target.is_met_by(BlockHash(sha256d(&bytes))) {
            block.header.nonce = nonce;
            return Some(Body::from_block(block));
        }
    }
    None
}

#[cfg(test)]
mod tests;

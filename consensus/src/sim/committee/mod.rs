//! The world of a committee: members, of whom some may lie, clients, an observer and a judge of the ordering
//! ([`ordering`]; `under_pbft`, `under_paxos`, `under_zab`).
//!
//! The replicas and the signatures are real; what lies below them is a model ([`model`]), or the real ledger
//! and logs that `testnet` brings ([`application`]). A run has a
//! safety phase in which anything goes, then a random quorum of honest members is healed and the rest is left
//! without power, then every transaction must be executed within A6's bound, (f+1)·T_cap + 8Δ. With more
//! liars than the committee survives, agreement may break, but then the auditor must name f + 1 of them.

pub mod application;
mod auditor;
mod books;
mod chaos;
#[cfg(feature = "mutants")]
mod drills;
mod drive;
mod epochs;
pub mod figures;
mod ledger;
mod liar;
mod model;
#[cfg(feature = "mutants")]
pub mod mutants;
mod observer;
pub mod ordering;
#[cfg(feature = "mutants")]
mod paxos_drills;
#[cfg(feature = "mutants")]
pub mod paxos_mutants;
mod process;
mod sync;
pub mod twins;
mod under_paxos;
mod under_pbft;
mod under_zab;
#[cfg(feature = "mutants")]
pub(crate) mod zab_drills;
#[cfg(feature = "mutants")]
pub mod zab_mutants;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use alloy_primitives::{B256, Bytes};
use synod_types::{Epoch, Height, SecretKey, UnixMillis};

use self::application::{Chain, Node};
use self::figures::Meter;
use self::model::ModelChain;
use self::observer::Observer;
use self::ordering::{Lies, Ordering};
use self::process::Process;
use self::twins::Script;
use super::network::Network;
use super::report::{Options, Report, Subject, Timing, Violation};
use super::scheduler::Scheduler;
use super::swarm::{Fault, Swarm};
use super::trace::Trace;
use crate::committee::{Committee, EpochRecord, FaultModel, Member, MemberIndex, Signer};
use crate::paxos::Paxos;
use crate::pbft::Pbft;
use crate::protocol::{Input, Peer, Protocol, Verified};
use crate::random::Random;
use crate::time::Time;
use crate::zab::Zab;

/// True time at virtual time 0.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// The machines' base timeout, which is every ordering's default.
const BASE_TIMEOUT_MS: u64 = 400;
/// No message takes longer once the network is healed: sixteen times the mean.
const DELTA_MS: u64 = 320;
/// The back-off's cap.
const TIMEOUT_CAP_MS: u64 = 3_200;
/// The safety phase ends at the latest then, in milliseconds.
const SAFETY_MS: u64 = 90_000;
/// Far more events mean that members keep each other busy for nothing.
const EVENTS: u64 = 3_000_000;
/// Milliseconds between the observer's audits.
const AUDIT_MS: u64 = 100;
/// How long evidence is waited for after a broken rule.
const EVIDENCE_MS: u64 = 10_000;
/// Clients go on for so long after healing.
const AFTER_MS: u64 = 2_000;

/// The messages of a chain's ordering.
type MessageOf<C> = <<C as Chain>::Ordering as Protocol>::Message;
/// What it accuses peers of.
type FaultOf<C> = <<C as Chain>::Ordering as Protocol>::Fault;

/// A run's own bounds: small, so that runs reach them.
#[derive(Debug, Clone)]
pub struct Bounds {
    timeout_cap_ms: u64,
    in_flight: u64,
    window: u64,
    batch_bytes: usize,
    batch_transactions: usize,
    eager_bytes: u64,
    retained_slots: u64,
    retained_bytes: usize,
    journal_bytes: usize,
}

/// What travels.
#[derive(Debug)]
enum Packet<P: Protocol> {
    Protocol(P::Message),
    AskBlocks {
        from: Height,
    },
    Blocks {
        from: Height,
        bodies: Vec<Bytes>,
    },
    /// In which epoch its sender is, as everything says.
    Where,
}

/// What travels, and whether it passes its checks, found once for all receivers.
struct Envelope<P: Protocol> {
    from: Peer,
    /// Of what is said: under another committee it means nothing.
    epoch: Epoch,
    packet: Packet<P>,
    verdict: OnceCell<Result<Verified<P::Message>, P::Fault>>,
}

/// What happens in the world.
enum Event<T, P: Protocol> {
    Deliver { from: u8, to: u8, envelope: Rc<Envelope<P>> },
    Wake { process: u8, run: u32 },
    JournalSynced { process: u8, run: u32 },
    BlocksSynced { process: u8, run: u32 },
    Installed { process: u8, run: u32 },
    AskNext { process: u8, run: u32 },
    Restart { process: u8 },
    Rejoin { process: u8 },
    Submit,
    Arrive { process: u8, transaction: T },
    Chaos,
    Mend(Vec<(usize, usize)>),
    Minds,
    Held { from: u8, to: u8, message: Rc<P::Message> },
    Audit,
    Round(usize),
}

/// One run.
struct World<C: Chain> {
    chain: C,
    seed: u64,
    /// The first. Those after it differ only in what members are counted as.
    committee: Committee,
    /// Those after it.
    committees: RefCell<Vec<Committee>>,
    /// The epoch that begins above the highest block that ended one at an honest member, and the members' incarnations
    /// in it.
    newest: (Epoch, Vec<u32>),
    bounds: Bounds,
    random: Random,
    swarm: Swarm,
    timing: Timing,
    scheduler: Scheduler<Event<C::Transaction, C::Ordering>>,
    network: Network,
    trace: Trace,
    /// Member i is process i; the twin of a lying member comes after all members.
    processes: Vec<Process<C::Node, C::Ordering>>,
    /// Which processes hear which copy of a twin, as bits: [the original, the copy].
    twins: Option<(usize, [u64; 2])>,
    inputs: VecDeque<(usize, Input<C::Ordering>)>,
    observer: Observer,
    /// One for each epoch.
    judges: BTreeMap<Epoch, <C::Ordering as Ordering>::Judge>,
    coverage: BTreeMap<&'static str, u64>,
    violation: Option<Violation>,
    submitted: BTreeMap<C::Transaction, Time>,
    healed_at: Option<Time>,
    /// When a process last came to another epoch.
    entered_at: Time,
    /// The primary is cut off until then.
    isolated_until: Time,
    /// The members that must make progress after healing.
    core: Vec<usize>,
    wiped: Option<usize>,
    is_over: bool,
    target_blocks: u64,
    /// Cuts by a script instead of by chance.
    script: Option<Script>,
    /// What was sent, where somebody counts.
    meter: Option<Meter>,
}

/// Runs one seed on the model.
pub fn run(options: &Options) -> Report {
    match options.subject {
        Subject::Paxos => run_on::<ModelChain<Paxos>>(options),
        Subject::Zab => run_on::<ModelChain<Zab>>(options),
        Subject::Pbft | Subject::Pow => run_on::<ModelChain<Pbft>>(options),
    }
}

/// Runs one seed on some chain.
pub fn run_on<C: Chain>(options: &Options) -> Report {
    let mut world = World::<C>::new(options);
    let panicked = catch_unwind(AssertUnwindSafe(|| world.run())).err();
    if let Some(cause) = panicked {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        world.violate("A8", || format!("panic: {}", text.unwrap_or_default()));
    }
    world.report(options)
}

/// Keys that everybody knows.
fn known_keys(members: usize) -> Vec<SecretKey> {
    (0..members).map(|index| SecretKey::from_seed(&[index as u8 + 1; 32])).collect()
}

/// A committee of so many of them, on the chain of this name.
pub(super) fn known_committee<P: Ordering>(genesis: B256, members: usize) -> (Committee, Vec<Signer>) {
    let keys = known_keys(members);
    let record = EpochRecord {
        epoch: Epoch(0),
        ordering: P::NAME.to_owned(),
        model: P::MODEL,
        base: Height(0),
        members: keys
            .iter()
            .zip(0..)
            .map(|(key, index): (_, u8)| Member::new(index.to_string(), key.public()))
            .collect(),
    };
    let committee = Committee::new(genesis, record).expect("a few distinct keys");
    let signers = keys.into_iter().filter_map(|key| Signer::new(&committee, key)).collect();
    (committee, signers)
}

fn bounds(timing: Timing, transaction_bytes: usize) -> Bounds {
    let is_unbounded = matches!(timing, Timing::UnknownBound | Timing::Asynchronous);
    Bounds {
        timeout_cap_ms: if is_unbounded { u64::MAX } else { TIMEOUT_CAP_MS },
        in_flight: 6,
        window: 12,
        batch_bytes: 65 * transaction_bytes,
        batch_transactions: 8,
        eager_bytes: 3 * transaction_bytes as u64,
        retained_slots: 6,
        retained_bytes: 250 * transaction_bytes,
        journal_bytes: 1_250 * transaction_bytes,
    }
}

impl<C: Chain> World<C> {
    fn new(options: &Options) -> Self {
        let mut random = Random::new(options.seed);
        let is_lying = C::Ordering::MODEL == FaultModel::Byzantine;
        let (sizes, least): (&[usize], _) =
            if is_lying { (&[4, 4, 4, 5, 6, 7], 4) } else { (&[3, 3, 3, 5, 4, 7], 1) };
        let drawn = *random.pick(sizes).expect("not empty");
        let count = options.nodes.unwrap_or(drawn).clamp(least, 32);
        let timing = *random.pick(Timing::ALL).expect("not empty");
        let timing = options.timing.unwrap_or(timing);
        let can_happen = if is_lying { Fault::is_of_committees } else { Fault::is_of_crashes };
        let drawn = Swarm::draw(&mut random, &options.without, can_happen);
        let drawn = options.only.as_ref().map_or(drawn, |only| Swarm::only(only));
        let swarm = if timing == Timing::Synchronous { drawn.without(chaos::OF_THE_NETWORK) } else { drawn };
        let keys: Vec<_> = known_keys(count).iter().map(SecretKey::public).collect();
        let chain = C::begin(&keys);
        let (committee, signers) = known_committee::<C::Ordering>(chain.genesis(), count);
        let liars = random.between(0, committee.faults() as u64) as usize;
        let liars = if is_lying { options.byzantine.unwrap_or(liars).min(count) } else { 0 };
        let network = Network::new(count + 1, &swarm, &mut random);
        let mut world = Self {
            bounds: bounds(timing, C::TRANSACTION_BYTES),
            chain,
            seed: options.seed,
            observer: Observer::default(),
            judges: BTreeMap::new(),
            committee,
            committees: RefCell::default(),
            newest: (Epoch(0), vec![0; count]),
            swarm,
            timing,
            scheduler: Scheduler::default(),
            network,
            trace: Trace::new(options.trace),
            processes: Vec::new(),
            twins: None,
            inputs: VecDeque::new(),
            coverage: BTreeMap::new(),
            violation: None,
            submitted: BTreeMap::new(),
            healed_at: None,
            entered_at: Time(0),
            isolated_until: Time(0),
            core: Vec::new(),
            wiped: None,
            is_over: false,
            target_blocks: options.blocks.max(1),
            script: None,
            meter: None,
            random,
        };
        let mut order: Vec<usize> = (0..signers.len()).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, world.random.below(at as u64 + 1) as usize);
        }
        world.populate(&signers, &order[..liars]);
        world
    }

    fn populate(&mut self, signers: &[Signer], lying: &[usize]) {
        let slow = self.swarm.has(Fault::SlowDisk);
        for (index, signer) in signers.iter().enumerate() {
            let liar = lying.contains(&index);
            let liar = liar.then(|| self.liar(signer, &self.swarm)).flatten();
            let sync_us =
                if slow { self.random.between(5_000, 300_000) } else { self.random.between(100, 4_000) };
            let node = self.chain.open(self.seed << 8 | index as u64);
            let committee = self.committee.clone();
            self.processes.push(Process::new(signer.clone(), committee, liar, node, sync_us));
        }
        if let Some(first) = lying.first().copied().filter(|_| self.swarm.has(Fault::Twins)) {
            // Both copies follow the protocol; what they do together does not.
            for twin in [first, self.processes.len()] {
                let signer = signers[first].clone();
                let honest = self.liar(&signer, &Swarm::only(&[]));
                let node = self.chain.open(self.seed << 8 | twin as u64);
                let process = Process::new(signer, self.committee.clone(), honest, node, 1_000);
                if twin == first { self.processes[first] = process } else { self.processes.push(process) }
            }
            self.twins = Some((first, [u64::MAX; 2]));
        }
        for index in 0..self.processes.len() {
            self.draw_clock(index);
            self.start(index);
        }
        let now = self.scheduler.now();
        self.scheduler.schedule(now.plus_ms(AUDIT_MS), Event::Audit);
        self.scheduler.schedule(now.plus_ms(500), Event::Chaos);
        self.scheduler.schedule(now, Event::Minds);
        self.scheduler.schedule(now.plus_ms(5), Event::Submit);
    }

    fn liar(&self, signer: &Signer, swarm: &Swarm) -> Option<<C::Ordering as Ordering>::Liar> {
        Lies::new(signer.clone(), self.committee.clone(), swarm, C::double)
    }

    fn config(&self, process: usize) -> <C::Ordering as Protocol>::Config {
        let process = &self.processes[process];
        let (committee, signer) = (process.committee.clone(), process.signer.clone());
        C::Ordering::config(committee, signer, self.chain.validity(), &self.bounds)
    }

    fn run(&mut self) {
        while !self.is_finished()
            && let Some(event) = self.scheduler.take()
        {
            if self.trace.events() > EVENTS {
                return self.violate("A6", || format!("{EVENTS} events and no end"));
            }
            self.handle(event);
        }
    }

    /// Where more lie than the committee survives, the evidence of a broken rule is waited for.
    fn is_finished(&self) -> bool {
        let broken_ms = self.violation.as_ref().map(|violation| violation.at_ms);
        let wait_ms = if self.is_beyond_budget() { EVIDENCE_MS } else { 0 };
        self.is_over || broken_ms.is_some_and(|at_ms| self.scheduler.now().0 / 1000 >= at_ms + wait_ms)
    }

    fn handle(&mut self, event: Event<C::Transaction, C::Ordering>) {
        match event {
            Event::Deliver { from, to, envelope } => self.deliver(from, to, &envelope),
            Event::Wake { process, run } => self.wake(process, run),
            Event::JournalSynced { process, run } => self.journal_synced(process, run),
            Event::BlocksSynced { process, run } => self.blocks_synced(process, run),
            Event::Installed { process, run } => self.installed(process.into(), run),
            Event::AskNext { process, run } => {
                if self.processes[usize::from(process)].run == run {
                    self.ask_next(process.into());
                }
            }
            Event::Restart { process } => self.restart(process.into()),
            Event::Rejoin { process } => self.rejoin(process.into()),
            Event::Submit => self.submit(),
            Event::Arrive { process, transaction } => self.arrive(process.into(), &transaction),
            Event::Chaos => self.chaos(),
            Event::Mend(directions) => self.mend(&directions),
            Event::Minds => self.change_minds(),
            Event::Held { from, to, message } => {
                self.post(from.into(), to.into(), Packet::Protocol(MessageOf::<C>::clone(&message)));
            }
            Event::Audit => self.audit(),
            Event::Round(round) => self.begin_round(round),
        }
    }

    /// The wall clock of a process.
    fn wall(&self, process: usize) -> UnixMillis {
        let shown = (EPOCH_MS + self.scheduler.now().0 / 1000) as i64 + self.processes[process].clock_ms;
        UnixMillis(shown.max(0) as u64)
    }

    fn is_honest(&self, member: MemberIndex) -> bool {
        self.processes.iter().filter(|process| process.member == member).all(Process::is_honest)
    }

    /// How many members lie.
    fn liars(&self) -> usize {
        self.committee.indexes().filter(|member| !self.is_honest(*member)).count()
    }

    /// Whether more lie than the committee survives.
    fn is_beyond_budget(&self) -> bool {
        self.liars() > self.committee.faults()
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

    fn report(mut self, options: &Options) -> Report {
        let named = self.named();
        if let Some(violation) = self.violation.as_mut().filter(|_| !named.is_empty()) {
            let named: Vec<String> = named.iter().map(ToString::to_string).collect();
            violation.message += &format!("; evidence proves that these members lied: {}", named.join(", "));
            self.coverage.insert("members proven to lie", named.len() as u64);
        }
        let honest = self.processes.iter().filter(|process| process.is_honest());
        let heights = honest.map(|process| process.node.length());
        let blocks = heights.max().unwrap_or(0);
        let events = self.trace.events();
        let virtual_ms = self.scheduler.now().0 / 1000;
        let (trace_hash, trace) = self.trace.finish();
        Report {
            options: options.clone(),
            nodes: self.committee.len(),
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

#[cfg(test)]
mod tests;

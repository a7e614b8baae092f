//! One honest node of the simulation: a replica, its ledger, journal, clock and miner.

use std::collections::VecDeque;

use synod_types::{Block, BlockHash, Position, UnixMillis};

use crate::pow::{Config, ProofOfWork, Record};
use crate::protocol::Peer;
use crate::random::Random;
use crate::replica::Replica;
use crate::sim::journal::ModelJournal;
use crate::sim::ledger::Ledger;
use crate::time::Time;
use crate::{Durable, Input};

/// A wall clock that is wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    /// Milliseconds ahead of true time.
    pub(super) offset_ms: i64,
    /// Microseconds gained in a second.
    pub(super) drift_ppm: i64,
}

impl Clock {
    /// What it shows at virtual time `now`, when true time is `epoch_ms` later.
    pub(super) fn wall(&self, epoch_ms: u64, now: Time) -> UnixMillis {
        let elapsed = (now.0 / 1000) as i64;
        let shown = epoch_ms as i64 + elapsed + elapsed * self.drift_ppm / 1_000_000 + self.offset_ms;
        UnixMillis(shown.max(0) as u64)
    }
}

/// A block being searched: it is solved when a nonce is found.
pub(super) struct Search {
    /// The template.
    pub(super) block: Block,
    /// The next nonce.
    pub(super) nonce: u32,
}

/// What the log has written and not yet synced.
pub(super) type Written = (Position, BlockHash);

/// One node.
pub(super) struct Node<L> {
    /// `None` while it is down.
    pub(super) replica: Option<Replica<ProofOfWork>>,
    /// Its ledger and block log.
    pub(super) ledger: L,
    /// Its journal.
    pub(super) journal: ModelJournal<Record>,
    /// Its clock.
    pub(super) clock: Clock,
    /// Counts restarts: events of an earlier life are void.
    pub(super) run: u32,
    /// The wake-up that is scheduled.
    pub(super) wake: Option<Time>,
    /// It stands still until then.
    pub(super) paused_until: Time,
    /// Hashes in a thousand seconds.
    pub(super) power: u64,
    /// What its miner searches, and which search that is.
    pub(super) search: Option<Search>,
    /// Counts searches.
    pub(super) search_number: u64,
    /// The template made last.
    pub(super) template: Option<Block>,
    /// Appended and not yet durable.
    pub(super) written: VecDeque<Written>,
    /// How many of those the running sync covers.
    pub(super) syncing: Option<usize>,
    /// Microseconds that a sync takes.
    pub(super) sync_us: u64,
    /// The heaviest block that it told anyone of.
    pub(super) told: Option<BlockHash>,
    /// The highest height that it reported as settled and did not reverse.
    pub(super) settled: u64,
    /// A rewind below that, whose event is still due.
    pub(super) owes_event: bool,
    /// The newest block that it said it condemned.
    pub(super) condemned: Option<BlockHash>,
    /// Its disk is full.
    pub(super) is_full: bool,
    /// A copy of its disk was kept, to be restored later.
    pub(super) has_image: bool,
    /// Its disk was wiped when its tip had this height.
    pub(super) wiped_at: Option<u64>,
    /// Who it talks to.
    pub(super) peers: Vec<Peer>,
}

impl<L: Ledger> Node<L> {
    /// A node that is down.
    pub(super) fn new(ledger: L, power: u64, sync_us: u64, peers: Vec<Peer>) -> Self {
        Self {
            replica: None,
            ledger,
            journal: ModelJournal::default(),
            clock: Clock::default(),
            run: 0,
            wake: None,
            paused_until: Time(0),
            power,
            search: None,
            search_number: 0,
            template: None,
            written: VecDeque::new(),
            syncing: None,
            sync_us,
            told: None,
            settled: 0,
            owes_event: false,
            condemned: None,
            is_full: false,
            has_image: false,
            wiped_at: None,
            peers,
        }
    }

    /// Starts it from what its log and journal kept.
    pub(super) fn start(&mut self, config: Config, seed: u64, now: Time, wall: UnixMillis) {
        let proof = Durable::proven_by(&self.journal);
        let history = self.ledger.history();
        self.settled = (history.chain.len() as u64).saturating_sub(config.rules.settled_depth);
        let records = self.journal.records();
        self.replica = Some(Replica::recover(config, records, history, &proof, seed, now, wall));
        self.wake = None;
    }

    /// Its power fails.
    pub(super) fn power_cut(&mut self, random: &mut Random) {
        self.replica = None;
        self.run += 1;
        self.search = None;
        self.search_number += 1;
        self.written.clear();
        self.syncing = None;
        self.owes_event = false;
        self.paused_until = Time(0);
        self.is_full = false;
        self.journal.power_cut(random);
        self.ledger.power_cut(random);
    }

    /// While it is off, its disk becomes what it was when a copy was kept; without one it is empty. What it
    /// told others since is forgotten, and nobody can hold it to that.
    pub(super) fn restore_image(&mut self) {
        self.journal.restore_image();
        self.ledger.restore_image();
        self.told = None;
        self.condemned = None;
    }

    /// Whether everything that it was told is executed and durable.
    pub(super) fn is_quiet(&self) -> bool {
        self.written.is_empty()
            && self.replica.as_ref().is_some_and(|replica| !replica.protocol().is_executing())
    }
}

/// An input for a node.
pub(super) type NodeInput = Input<ProofOfWork>;

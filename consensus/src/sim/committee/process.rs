//! One process of the simulation: a replica, its ledger, journal, clock and pool; honest, or a liar's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::B256;
use synod_types::{BlockHash, Position, Slot, UnixMillis};

use super::ledger::{ModelLedger, Transfer};
use super::liar::Liar;
use super::sync::Fetching;
use crate::committee::{MemberIndex, Signer};
use crate::journal::Durable;
use crate::pbft::messages::Choice;
use crate::pbft::{Config, Pbft, Record, View};
use crate::random::Random;
use crate::replica::Replica;
use crate::sim::journal::ModelJournal;
use crate::time::Time;

/// What the process has said, and must remember (A10).
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// The choice of the highest view that it pre-prepared or prepared, by slot.
    pub(super) accepted: BTreeMap<Slot, Choice>,
    /// The same of commits.
    pub(super) committed: BTreeMap<Slot, Choice>,
    /// The highest view that it left for, or voted in.
    pub(super) view: View,
    /// The blocks that it attested.
    pub(super) attested: BTreeMap<Slot, BlockHash>,
}

/// One process.
pub(super) struct Process {
    pub(super) member: MemberIndex,
    /// `None` for a member that lost its disk: it follows and does not vote.
    pub(super) signer: Option<Signer>,
    /// What it does to its messages, when it lies.
    pub(super) liar: Option<Liar>,
    /// `None` while it is down.
    pub(super) replica: Option<Replica<Pbft>>,
    pub(super) ledger: ModelLedger,
    pub(super) journal: ModelJournal<Record>,
    /// Milliseconds ahead of true time.
    pub(super) clock_ms: i64,
    /// Counts restarts: events of an earlier life are void.
    pub(super) run: u32,
    pub(super) wake: Option<Time>,
    pub(super) paused_until: Time,
    pub(super) sync_us: u64,
    /// Appended and not yet durable.
    pub(super) written: VecDeque<(Position, BlockHash)>,
    pub(super) syncing: Option<usize>,
    pub(super) fetching: Option<Fetching>,
    /// Transactions that are not in a block here, and since when.
    pub(super) pool: BTreeMap<Transfer, Time>,
    /// Those that are in a proposal of its own.
    pub(super) offered: BTreeSet<Transfer>,
    /// What is in each of them.
    pub(super) offers: BTreeMap<B256, Vec<Transfer>>,
    pub(super) sent: Sent,
}

impl Process {
    pub(super) fn new(signer: Signer, liar: Option<Liar>, sync_us: u64) -> Self {
        Self {
            member: signer.index(),
            signer: Some(signer),
            liar,
            replica: None,
            ledger: ModelLedger::default(),
            journal: ModelJournal::default(),
            clock_ms: 0,
            run: 0,
            wake: None,
            paused_until: Time(0),
            sync_us,
            written: VecDeque::new(),
            syncing: None,
            fetching: None,
            pool: BTreeMap::new(),
            offered: BTreeSet::new(),
            offers: BTreeMap::new(),
            sent: Sent::default(),
        }
    }

    pub(super) fn is_honest(&self) -> bool {
        self.liar.is_none()
    }

    pub(super) fn start(&mut self, config: Config, seed: u64, now: Time, wall: UnixMillis) {
        let proof = Durable::proven_by(&self.journal);
        let records = self.journal.records();
        self.run += 1;
        self.wake = None;
        let history = self.ledger.history();
        self.replica = Some(Replica::recover(config, records, history, &proof, seed, now, wall));
    }

    pub(super) fn power_cut(&mut self, random: &mut Random) {
        self.replica = None;
        self.run += 1;
        self.journal.power_cut(random);
        self.ledger.power_cut(random);
        self.written.clear();
        self.syncing = None;
        self.fetching = None;
        self.offered.clear();
    }

    /// The transactions that a block could take now, in order: each sender's, by nonce.
    pub(super) fn executable(&self) -> Vec<(Transfer, Time)> {
        let mut next = self.ledger.state().nonces;
        let mut found = Vec::new();
        // Ordered by sender, then nonce.
        for (transfer, since) in &self.pool {
            let expected = &mut next[usize::from(transfer.from)];
            if transfer.nonce == *expected {
                *expected += 1;
                found.push((*transfer, *since));
            }
        }
        found
    }

    /// Drops from the pool what the chain has overtaken.
    pub(super) fn clean_pool(&mut self) {
        let nonces = self.ledger.state().nonces;
        let is_over = |transfer: &Transfer| transfer.nonce < nonces[usize::from(transfer.from)];
        self.pool.retain(|transfer, _| !is_over(transfer));
        self.offered.retain(|transfer| !is_over(transfer));
    }

    /// A payload of ours was given up.
    pub(super) fn take_back(&mut self, transfers: &[Transfer]) {
        for transfer in transfers {
            self.offered.remove(transfer);
        }
    }
}

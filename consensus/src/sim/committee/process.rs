//! One process of the simulation: a replica, the node below it, its clock; honest, or a liar's.

use std::collections::{BTreeMap, VecDeque};

use synod_types::{BlockHash, Position, Slot, UnixMillis};

use super::application::Node;
use super::liar::Liar;
use super::sync::Fetching;
use crate::committee::{MemberIndex, Signer};
use crate::pbft::messages::Choice;
use crate::pbft::{Config, Pbft, View};
use crate::random::Random;
use crate::replica::Replica;
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
pub(super) struct Process<N> {
    pub(super) member: MemberIndex,
    /// `None` for a member that lost its disk: it follows and does not vote.
    pub(super) signer: Option<Signer>,
    /// What it does to its messages, when it lies.
    pub(super) liar: Option<Liar>,
    /// `None` while it is down.
    pub(super) replica: Option<Replica<Pbft>>,
    pub(super) node: N,
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
    pub(super) sent: Sent,
}

impl<N: Node> Process<N> {
    pub(super) fn new(signer: Signer, liar: Option<Liar>, node: N, sync_us: u64) -> Self {
        Self {
            member: signer.index(),
            signer: Some(signer),
            liar,
            replica: None,
            node,
            clock_ms: 0,
            run: 0,
            wake: None,
            paused_until: Time(0),
            sync_us,
            written: VecDeque::new(),
            syncing: None,
            fetching: None,
            sent: Sent::default(),
        }
    }

    pub(super) fn is_honest(&self) -> bool {
        self.liar.is_none()
    }

    pub(super) fn start(&mut self, config: Config, seed: u64, now: Time, wall: UnixMillis) {
        let (proof, records) = (self.node.proof(), self.node.records());
        self.run += 1;
        self.wake = None;
        let history = self.node.history();
        self.replica = Some(Replica::recover(config, records, history, &proof, seed, now, wall));
    }

    pub(super) fn power_cut(&mut self, random: &mut Random) {
        self.replica = None;
        self.run += 1;
        self.node.power_cut(random);
        self.written.clear();
        self.syncing = None;
        self.fetching = None;
    }
}

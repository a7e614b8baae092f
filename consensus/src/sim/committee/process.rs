//! One process of the simulation: a replica, the node below it, its clock; honest, or a liar's.

use std::collections::{BTreeMap, VecDeque};

use synod_types::{BlockHash, Position, Slot, UnixMillis};

use super::application::Node;
use super::ordering::Ordering;
use super::sync::Fetching;
use crate::committee::{MemberIndex, Signer};
use crate::random::Random;
use crate::replica::Replica;
use crate::time::Time;

/// One process.
pub(super) struct Process<N, P: Ordering> {
    pub(super) member: MemberIndex,
    /// `None` for a member that lost its disk: it follows and does not vote.
    pub(super) signer: Option<Signer>,
    /// What it does to its messages, when it lies.
    pub(super) liar: Option<P::Liar>,
    /// `None` while it is down.
    pub(super) replica: Option<Replica<P>>,
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
    /// What it has said, and must remember (A10).
    pub(super) sent: P::Sent,
    /// The blocks that it attested.
    pub(super) attested: BTreeMap<Slot, BlockHash>,
    /// Of its last start.
    pub(super) config: Option<P::Config>,
}

impl<N: Node<Record = P::Record>, P: Ordering> Process<N, P> {
    pub(super) fn new(signer: Signer, liar: Option<P::Liar>, node: N, sync_us: u64) -> Self {
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
            sent: P::Sent::default(),
            attested: BTreeMap::new(),
            config: None,
        }
    }

    pub(super) fn is_honest(&self) -> bool {
        self.liar.is_none()
    }

    pub(super) fn start(&mut self, config: P::Config, seed: u64, now: Time, wall: UnixMillis) {
        let (proof, records) = (self.node.proof(), self.node.records());
        self.run += 1;
        self.wake = None;
        let history = self.node.history();
        self.config = Some(config.clone());
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

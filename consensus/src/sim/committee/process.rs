//! One process of the simulation: a replica, the node below it, its clock; honest, or a liar's.

use std::collections::{BTreeMap, VecDeque};

use synod_types::{BlockHash, Epoch, Height, Position, UnixMillis};

use super::application::Node;
use super::epochs::Memory;
use super::ordering::Ordering;
use super::sync::Fetching;
use crate::committee::{Certificate, Committee, History, MemberIndex, Signer};
use crate::protocol::Peer;
use crate::random::Random;
use crate::replica::Replica;
use crate::time::Time;

/// One process.
pub(super) struct Process<N, P: Ordering> {
    pub(super) member: MemberIndex,
    /// The member's voice.
    pub(super) voice: Signer,
    /// The same, where its memory lets it vote. A member that lost its disk follows until it was taken back.
    pub(super) signer: Option<Signer>,
    /// The committee of the epoch that it is in.
    pub(super) committee: Committee,
    /// Whose promises its journal holds; none after it lost its disk.
    pub(super) memory: Option<Memory>,
    /// The certificates of the ends of the epochs that are over, durable.
    pub(super) ends: BTreeMap<Epoch, Certificate>,
    /// When it last showed a member the way to another epoch.
    pub(super) shown: BTreeMap<Peer, Time>,
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
    pub(super) attested: BTreeMap<Height, BlockHash>,
    /// Of its last start.
    pub(super) config: Option<P::Config>,
}

impl<N: Node<Record = P::Record>, P: Ordering> Process<N, P> {
    pub(super) fn new(
        signer: Signer,
        committee: Committee,
        liar: Option<P::Liar>,
        node: N,
        sync_us: u64,
    ) -> Self {
        Self {
            member: signer.index(),
            voice: signer.clone(),
            signer: Some(signer),
            memory: Some(Memory { incarnation: 0, epoch: Some(committee.epoch()) }),
            committee,
            ends: BTreeMap::new(),
            shown: BTreeMap::new(),
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

    pub(super) fn start(
        &mut self,
        config: P::Config,
        has_ended: bool,
        seed: u64,
        now: Time,
        wall: UnixMillis,
    ) {
        let (proof, records) = (self.node.proof(), self.node.records());
        self.run += 1;
        self.wake = None;
        let history = History { has_ended, ..self.node.history(&self.committee) };
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

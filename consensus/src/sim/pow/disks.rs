//! What disks do: syncs that fail, disks that are full, empty, or older than they were (S-D3, S-D4, S-C4, S-C5),
//! or worn (S-D5).
//!
//! A failed sync ends the process (GEN-4). A full disk does not: the node takes nothing new in, goes on
//! answering, and goes on where it was when there is room. Under proof of work nobody voted, so that a node
//! with an empty or an old disk owes nothing but to find the chain again, which A6 demands of it.

use super::chaos::Mend;
use super::{Event, World};
use crate::sim::ledger::{DiskState, Ledger, SyncError};
use crate::sim::swarm::Fault;

/// A full disk is tried again after so long.
const RETRY_MS: u64 = 250;
/// How long a disk stays full, in milliseconds.
const FULL_MS: (u64, u64) = (500, 20_000);
/// A disk is wiped or copied only when the chain on it is worth losing.
const WORTH_LOSING: u64 = 3;

impl<L: Ledger> World<'_, L> {
    /// The block log's sync; `false` when nothing became durable, and what follows from that is arranged.
    pub(super) fn sync(&mut self, node: usize) -> bool {
        if self.swarm.has(Fault::SyncError) && self.has_faults() && self.random.chance(10_000) {
            self.nodes[node].ledger.set_disk(DiskState::Failing);
        }
        match self.nodes[node].ledger.sync() {
            Ok(()) => true,
            Err(SyncError::Full) => {
                self.count("sync on a full disk");
                let event = Event::Synced { node: node as u8, run: self.nodes[node].run };
                self.scheduler.schedule(self.scheduler.now().plus_ms(RETRY_MS), event);
                false
            }
            Err(SyncError::Failed) => {
                self.count("sync error");
                self.stop_after_failed_sync(node)
            }
        }
    }

    /// The replica stops, and the process with it. One that does not stop would take its next sync for good.
    fn stop_after_failed_sync(&mut self, node: usize) -> bool {
        let Some(replica) = self.nodes[node].replica.as_mut() else { return false };
        replica.stop("block log: sync failed: EIO".to_owned());
        if replica.stopped().is_none() {
            return self.nodes[node].ledger.sync().is_ok();
        }
        self.crash(node);
        false
    }

    pub(super) fn fill_disk(&mut self, node: usize) {
        if self.nodes[node].replica.is_none() || self.nodes[node].is_full {
            return;
        }
        self.count("disk full");
        self.trace.line(self.scheduler.now(), || format!("the disk of {node} is full"));
        self.nodes[node].is_full = true;
        self.nodes[node].ledger.set_disk(DiskState::Full);
        let lasts = self.random.between(FULL_MS.0, FULL_MS.1);
        self.scheduler.schedule(self.scheduler.now().plus_ms(lasts), Event::Mend(Mend::Free(node)));
    }

    pub(super) fn free_disk(&mut self, node: usize) {
        self.trace.event(self.scheduler.now(), 14, node, 0);
        if !self.nodes[node].is_full {
            return;
        }
        self.nodes[node].is_full = false;
        self.nodes[node].ledger.set_disk(DiskState::Good);
        if self.nodes[node].syncing.is_some() {
            self.count("full disk freed while blocks wait");
        }
    }

    /// What was durable before the disk was full is still read, whatever became of the writes since.
    pub(super) fn check_full_disk(&mut self, node: usize) {
        if !self.nodes[node].is_full || self.nodes[node].replica.is_none() {
            return;
        }
        self.check_kept(node);
    }

    /// The power fails, and the disk that the node comes back with is empty; once in a run.
    pub(super) fn wipe(&mut self, node: usize) {
        let height = self.facts.height(self.nodes[node].ledger.tip());
        let was = self.nodes.iter().any(|node| node.wiped_at.is_some());
        if was || height < WORTH_LOSING || self.nodes[node].replica.is_none() {
            return;
        }
        self.count("disk wiped");
        self.crash(node);
        self.nodes[node].has_image = false;
        self.nodes[node].ledger.drop_image();
        self.nodes[node].journal.drop_image();
        self.nodes[node].restore_image();
        self.nodes[node].wiped_at = Some(height);
    }

    /// Keeps a copy of the disk; the next time, the power fails and the node comes back with that copy.
    pub(super) fn roll_back(&mut self, node: usize) {
        let height = self.facts.height(self.nodes[node].ledger.tip());
        if self.nodes[node].replica.is_none() || height < WORTH_LOSING {
            return;
        }
        if !self.nodes[node].has_image {
            self.nodes[node].has_image = true;
            self.nodes[node].ledger.keep_image();
            return self.nodes[node].journal.keep_image();
        }
        self.count("disk rolled back");
        self.crash(node);
        self.nodes[node].restore_image();
    }

    /// The power fails, and a bit of the disk flips meanwhile. What the node then knows to be gone it is not
    /// held to.
    pub(super) fn rot(&mut self, node: usize) {
        let height = self.facts.height(self.nodes[node].ledger.tip());
        if self.nodes[node].replica.is_none() || height < WORTH_LOSING {
            return;
        }
        self.count("disk rotted");
        self.crash(node);
        if self.nodes[node].ledger.rot(&mut self.random) {
            self.nodes[node].told = None;
        }
        self.listen_to_ledger(node);
    }

    /// The tips are together again: a node that lost its disk has the chain from others (A6).
    pub(super) fn count_wiped(&mut self) {
        if self.nodes.iter().any(|node| node.wiped_at.is_some()) {
            self.count("wiped disk filled again");
        }
    }
}

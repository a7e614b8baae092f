//! Faults as they come: partitions, clogs, crashes, pauses, wrong clocks, failing syncs; and healing.

use super::node::Clock;
use super::{Event, World};
use crate::sim::ledger::Ledger;
use crate::sim::swarm::Fault;
use crate::{Input, Peer};

/// Milliseconds between two attempts at doing harm.
const CHAOS_MS: (u64, u64) = (500, 4_000);
/// A clock may be so far behind; ahead it would leave a chain whose times come true long after the run.
const HOUR_MS: i64 = 3_600_000;
/// How long a partition lasts.
const PARTITION_MS: (u64, u64) = (1_000, 40_000);

/// The end of one fault.
pub(super) enum Mend {
    /// These directions are joined again.
    Join(Vec<(usize, usize)>),
    /// This node's disk has room again.
    Free(usize),
}

impl<L: Ledger> World<'_, L> {
    /// Does one harm, if the seed's faults have it, and comes back.
    pub(super) fn chaos(&mut self) {
        if !self.has_faults() {
            return;
        }
        let now = self.scheduler.now();
        self.trace.event(now, 10, 0, 0);
        let wait = self.random.between(CHAOS_MS.0, CHAOS_MS.1);
        self.scheduler.schedule(now.plus_ms(wait), Event::Chaos);
        let faults = self.swarm.faults().to_vec();
        let Some(fault) = self.random.pick(&faults).copied() else { return };
        let node = self.random.below(self.nodes.len() as u64) as usize;
        match fault {
            Fault::Partition => self.partition(true),
            Fault::OneWay => self.partition(false),
            Fault::Eclipse if self.attacker.is_some() => self.isolate(node),
            Fault::Clog => self.clog(),
            Fault::Crash => self.crash(node),
            Fault::PowerCut if self.random.chance(300_000) => {
                self.count("power cut");
                (0..self.nodes.len()).for_each(|node| self.crash(node));
            }
            Fault::Pause => {
                let pause = self.random.between(100, 15_000);
                self.nodes[node].paused_until = now.plus_ms(pause);
                self.count("pause");
            }
            Fault::Clock => self.draw_clock(node),
            Fault::DiskFull => self.fill_disk(node),
            Fault::Wipe => self.wipe(node),
            Fault::Rollback => self.roll_back(node),
            Fault::Rot if L::ROTS => self.rot(node),
            _ => {}
        }
    }

    fn partition(&mut self, both_ways: bool) {
        let all = self.nodes.len() + usize::from(self.attacker.is_some());
        let sides: Vec<bool> = (0..all).map(|_| self.random.chance(500_000)).collect();
        let mut cut = Vec::new();
        for from in 0..all {
            for to in 0..all {
                if sides[from] != sides[to] && (both_ways || sides[from]) {
                    cut.push((from, to));
                }
            }
        }
        self.count(if both_ways { "partition" } else { "one-way partition" });
        self.cut(cut);
    }

    /// The victim hears the attacker alone.
    fn isolate(&mut self, victim: usize) {
        let others = (0..self.nodes.len()).filter(|other| *other != victim);
        let cut = others.flat_map(|other| [(victim, other), (other, victim)]).collect();
        self.count("eclipse");
        self.cut(cut);
    }

    fn cut(&mut self, directions: Vec<(usize, usize)>) {
        for (from, to) in &directions {
            self.network.cut(*from, *to, true);
        }
        self.trace.line(self.scheduler.now(), || format!("cut {directions:?}"));
        let lasts = self.random.between(PARTITION_MS.0, PARTITION_MS.1);
        self.scheduler.schedule(self.scheduler.now().plus_ms(lasts), Event::Mend(Mend::Join(directions)));
    }

    /// A link that returns is a new connection.
    pub(super) fn mend(&mut self, mend: &Mend) {
        let directions = match mend {
            Mend::Join(directions) => directions,
            Mend::Free(node) => return self.free_disk(*node),
        };
        self.trace.event(self.scheduler.now(), 11, 0, directions.len() as u64);
        for (from, to) in directions {
            self.network.cut(*from, *to, false);
        }
        for (from, to) in directions {
            if *to < self.nodes.len() && self.nodes[*to].peers.contains(&Peer(*from as u64)) {
                self.feed(*to, Input::Disconnected(Peer(*from as u64)));
                self.feed(*to, Input::Connected(Peer(*from as u64)));
            }
        }
    }

    fn clog(&mut self) {
        let all = self.nodes.len() as u64;
        let (from, to) = (self.random.below(all) as usize, self.random.below(all) as usize);
        let until = self.scheduler.now().plus_ms(self.random.between(100, 5_000));
        self.network.clog(from, to, until);
        self.count("clog");
    }

    /// The node's power fails; it starts again after a while.
    pub(super) fn crash(&mut self, node: usize) {
        if self.nodes[node].replica.is_none() {
            return;
        }
        if !self.nodes[node].written.is_empty() {
            self.count("crash with unsynced blocks");
        }
        self.count("crash");
        self.trace.line(self.scheduler.now(), || format!("{node} loses power"));
        self.nodes[node].power_cut(&mut self.random);
        let down = self.random.between(50, 8_000);
        self.scheduler.schedule(self.scheduler.now().plus_ms(down), Event::Restart { node: node as u8 });
    }

    /// The power may fail between a write and the end of its sync (S-C1).
    pub(super) fn crash_within(&mut self, node: usize, sync_us: u64) {
        if self.swarm.has(Fault::Crash) && self.has_faults() && self.random.chance(20_000) {
            let at = self.scheduler.now().plus_us(self.random.below(sync_us));
            self.scheduler.schedule(at, Event::Crash { node: node as u8, run: self.nodes[node].run });
        }
    }

    /// Most clocks are off by less than the future limit; with the fault, some by much more, and some stand
    /// still.
    pub(super) fn draw_clock(&mut self, node: usize) {
        let is_wild = self.swarm.has(Fault::Clock) && self.random.chance(200_000);
        let (reach, drift) = match (self.swarm.has(Fault::Clock), is_wild) {
            (true, true) => (60_000, 100_000),
            (true, false) => (2_000, 10_000),
            (false, _) => (200, 100),
        };
        let mut offset_ms = self.random.between(0, 2 * reach) as i64 - reach as i64;
        let mut drift_ppm = self.random.between(0, 2 * drift) as i64 - drift as i64;
        if is_wild && self.random.chance(300_000) {
            self.count("clock an hour behind");
            offset_ms = -HOUR_MS;
        }
        if is_wild && self.random.chance(200_000) {
            self.count("clock stands still");
            drift_ppm = -1_000_000;
        }
        self.nodes[node].clock = Clock { offset_ms, drift_ppm };
    }

    /// The faults end: every link works, every node runs, clocks agree within a second, the attacker's
    /// miner stops. Liars go on lying.
    pub(super) fn heal(&mut self) {
        let now = self.scheduler.now();
        self.trace.line(now, || "healed".to_owned());
        self.network.heal();
        let true_ms = self.true_ms();
        for node in 0..self.nodes.len() {
            let offset_ms = self.random.between(0, 1_000) as i64 - 500;
            // The drift so far is taken out: from now on the clock is right but for the offset.
            self.nodes[node].clock = Clock { offset_ms, drift_ppm: 0 };
            debug_assert!(self.wall(node).0.abs_diff(true_ms) <= 500);
            self.nodes[node].paused_until = now;
            self.nodes[node].sync_us = self.nodes[node].sync_us.min(20_000);
            self.free_disk(node);
            if self.nodes[node].replica.is_none() {
                self.start(node);
            }
        }
        for node in 0..self.nodes.len() {
            for peer in self.nodes[node].peers.clone() {
                self.feed(node, Input::Disconnected(peer));
                self.feed(node, Input::Connected(peer));
            }
        }
    }
}

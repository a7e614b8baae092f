//! Harm, from the seed's classes of faults, and its end.

use super::application::{Chain, Node};
use super::ordering::{Lies, Ordering};
use super::{DELTA_MS, Event, World};
use crate::committee::MemberIndex;
use crate::sim::report::Timing;
use crate::sim::swarm::Fault;

/// Milliseconds between two attempts at doing harm.
const CHAOS_MS: (u64, u64) = (300, 3_000);
/// How long a cut lasts.
const CUT_MS: (u64, u64) = (500, 12_000);
/// How long a primary is cut off so that it is left.
const ISOLATED_MS: u64 = 3_000;
/// The mean delay that nobody was told of, at most; no delay is longer than sixteen times the mean.
pub(super) const SLOW_DELTA_MS: u64 = 16 * 60;

/// The classes that break a bound on delays.
pub(super) const OF_THE_NETWORK: &[Fault] =
    &[Fault::Delay, Fault::Loss, Fault::Partition, Fault::OneWay, Fault::Clog, Fault::Capacity];

impl<C: Chain> World<C> {
    pub(super) fn chaos(&mut self) {
        if self.healed_at.is_some() {
            return;
        }
        let now = self.scheduler.now();
        self.trace.event(now, 10, 0, 0);
        let wait = self.random.between(CHAOS_MS.0, CHAOS_MS.1);
        self.scheduler.schedule(now.plus_ms(wait), Event::Chaos);
        let faults = self.swarm.faults().to_vec();
        let Some(fault) = self.random.pick(&faults).copied() else { return };
        let at = self.random.below(self.processes.len() as u64) as usize;
        match fault {
            Fault::Partition => self.partition(true),
            Fault::OneWay => self.partition(false),
            Fault::Clog => self.clog(),
            Fault::Crash => self.crash(at),
            Fault::Amnesia => self.forget(),
            Fault::PowerCut if self.random.chance(300_000) => {
                self.count("power cut");
                (0..self.processes.len()).for_each(|at| self.crash(at));
            }
            Fault::Pause => {
                let pause = self.random.between(50, 6_000);
                self.processes[at].paused_until = now.plus_ms(pause);
                self.count("pause");
            }
            Fault::Clock => self.draw_clock(at),
            Fault::Wipe => self.wipe(at),
            _ => {}
        }
    }

    fn partition(&mut self, both_ways: bool) {
        let all = self.processes.len();
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
        let lasts = self.random.between(CUT_MS.0, CUT_MS.1);
        self.cut(cut, lasts);
    }

    /// Who leads the highest view.
    pub(super) fn leader(&self) -> Option<MemberIndex> {
        let machines = self.processes.iter().filter_map(|process| process.replica.as_ref());
        let known = machines.filter_map(|replica| replica.protocol().leadership());
        known.max().map(|(_, leader)| leader)
    }

    /// Whoever leads is cut off for a while, so that a run sees a view change.
    pub(super) fn isolate_primary(&mut self) {
        let now = self.scheduler.now();
        let Some(primary) = self.leader().filter(|_| self.isolated_until <= now) else { return };
        self.isolated_until = now.plus_ms(ISOLATED_MS);
        let at = usize::from(primary.0);
        let others = (0..self.processes.len()).filter(|other| *other != at);
        let cut = others.flat_map(|other| [(at, other), (other, at)]).collect();
        self.count("primary isolated");
        self.cut(cut, ISOLATED_MS);
    }

    fn cut(&mut self, directions: Vec<(usize, usize)>, lasts_ms: u64) {
        for (from, to) in &directions {
            self.network.cut(*from, *to, true);
        }
        let now = self.scheduler.now();
        self.trace.line(now, || format!("cut {directions:?}"));
        self.scheduler.schedule(now.plus_ms(lasts_ms), Event::Mend(directions));
    }

    /// A link that returns is a new connection.
    pub(super) fn mend(&mut self, directions: &[(usize, usize)]) {
        self.trace.event(self.scheduler.now(), 11, 0, directions.len() as u64);
        for (from, to) in directions {
            self.network.cut(*from, *to, false);
        }
        for (from, to) in directions {
            self.connect(*to, *from);
        }
    }

    fn clog(&mut self) {
        let all = self.processes.len() as u64;
        let (from, to) = (self.random.below(all) as usize, self.random.below(all) as usize);
        let until = self.scheduler.now().plus_ms(self.random.between(100, 5_000));
        self.network.clog(from, to, until);
        self.count("clog");
    }

    pub(super) fn crash(&mut self, at: usize) {
        if self.processes[at].replica.is_none() {
            return;
        }
        self.count("crash");
        self.trace.line(self.scheduler.now(), || format!("{at} loses power"));
        self.processes[at].power_cut(&mut self.random);
        let down = self.random.between(20, 5_000);
        self.scheduler.schedule(self.scheduler.now().plus_ms(down), Event::Restart { process: at as u8 });
    }

    /// A liar restarts without its journal (S-B11).
    fn forget(&mut self) {
        let liars: Vec<usize> =
            (0..self.processes.len()).filter(|at| !self.processes[*at].is_honest()).collect();
        let Some(at) = self.random.pick(&liars).copied() else { return };
        self.crash(at);
        self.processes[at].node.forget_votes();
        self.count("amnesia");
    }

    /// A member's disk is gone (S-C4). It comes back without a vote, and counts among the f until the committee took it
    /// back, if anybody asks for that.
    fn wipe(&mut self, at: usize) {
        let is_allowed = self.wiped.is_none() && self.liars() < self.committee.faults();
        if !is_allowed || !self.processes[at].is_honest() {
            return;
        }
        self.crash(at);
        let process = &mut self.processes[at];
        process.node.wipe();
        process.signer = None;
        process.memory = None;
        process.ends.clear();
        process.sent = <C::Ordering as Ordering>::Sent::default();
        process.attested.clear();
        self.wiped = Some(at);
        self.count("disk wiped");
        if self.random.chance(700_000) {
            let later = self.scheduler.now().plus_ms(self.random.between(500, 8_000));
            self.scheduler.schedule(later, Event::Rejoin { process: at as u8 });
        }
    }

    /// A sync may fail (S-D3): the replica stops, and the process with it.
    pub(super) fn sync_fails(&mut self, at: usize) -> bool {
        let fails = self.swarm.has(Fault::SyncError) && self.healed_at.is_none() && self.random.chance(3_000);
        if fails {
            self.count("sync error");
            if let Some(replica) = self.processes[at].replica.as_mut() {
                replica.stop("the journal: sync failed: EIO".to_owned());
            }
            if synod_types::mutant!("gen-4-retry-fsync") {
                // The page cache dropped the frame, and the next sync reports success.
                self.processes[at].node.lose_unsynced_votes();
                return false;
            }
            self.crash(at);
        }
        fails
    }

    pub(super) fn draw_clock(&mut self, at: usize) {
        let reach = match (self.swarm.has(Fault::Clock), self.random.chance(200_000)) {
            (true, true) => 3_600_000,
            (true, false) => 4_000,
            (false, _) => 200,
        };
        self.processes[at].clock_ms = self.random.between(0, 2 * reach) as i64 - reach as i64;
    }

    /// Liars think of something else; twins get other listeners.
    pub(super) fn change_minds(&mut self) {
        let now = self.scheduler.now();
        let wait = self.random.between(100, 2_500);
        self.scheduler.schedule(now.plus_ms(wait), Event::Minds);
        if let Some((_, sides)) = self.twins.as_mut().filter(|_| self.script.is_none()) {
            let cut = self.random.next_u64();
            let both = if self.random.chance(300_000) { self.random.next_u64() } else { 0 };
            *sides = [cut | both, !cut | both];
        }
        let mut common = None;
        let do_conspire = self.is_beyond_budget() && self.random.chance(900_000);
        let honest: Vec<MemberIndex> =
            self.committee.indexes().filter(|member| self.is_honest(*member)).collect();
        let victim = self.random.pick(&honest).copied();
        for at in 0..self.processes.len() {
            let view =
                self.processes[at].replica.as_ref().and_then(|replica| replica.protocol().leadership());
            let Some(liar) = &mut self.processes[at].liar else { continue };
            liar.change_mind(&mut self.random);
            if do_conspire {
                let lie = *common.get_or_insert(liar.lie());
                liar.conspire(lie, victim);
            }
            let said = liar.volunteer(view.map_or(0, |((view, _), _)| view), &mut self.random);
            if let Some(lie) = liar.lie() {
                self.coverage.entry(lie.name()).and_modify(|count| *count += 1).or_insert(1);
            }
            for message in said {
                for member in self.committee.indexes().collect::<Vec<MemberIndex>>() {
                    self.send_as_is(at, member, &message);
                }
            }
        }
    }

    /// A random quorum of honest voters is healed; the other honest members lose power for good. Liars go on.
    pub(super) fn heal(&mut self) {
        let now = self.scheduler.now();
        self.trace.line(now, || "healed".to_owned());
        let mut voters: Vec<usize> = (0..self.committee.len())
            .filter(|at| self.processes[*at].is_honest() && self.processes[*at].signer.is_some())
            .collect();
        while voters.len() > self.committee.quorum() {
            let at = voters.swap_remove(self.random.below(voters.len() as u64) as usize);
            self.processes[at].power_cut(&mut self.random);
        }
        voters.sort_unstable();
        self.core = voters;
        self.healed_at = Some(now);
        self.network.heal();
        if self.timing == Timing::UnknownBound {
            let mean_ms = self.random.between(5, SLOW_DELTA_MS / 16);
            self.network.slow_down(mean_ms * 1000);
        } else {
            self.network.slow_down(DELTA_MS * 1000 / 16);
        }
        for at in self.core.clone() {
            self.processes[at].clock_ms = self.random.between(0, 9_000) as i64 - 4_500;
            self.processes[at].paused_until = now;
            self.processes[at].sync_us = self.processes[at].sync_us.min(5_000);
            if self.processes[at].replica.is_none() {
                self.start(at);
            }
        }
        if self.random.chance(500_000) {
            // Nobody noticed that links had failed, so nobody is told that they work again.
            return;
        }
        for at in self.core.clone() {
            for other in self.core.clone().into_iter().filter(|other| *other != at) {
                self.connect(at, other);
            }
        }
    }
}

//! The miner: threads that search the job they are given until it is solved, exhausted or replaced.
//!
//! Whoever drives it gives commands ([`Miner::search`], [`Miner::pause`] and so on) and gets [`Report`]s. Every
//! command raises a *generation*; a thread compares it after each chunk (about a millisecond of hashing), drops
//! what it does when it has changed, and asks anew. Rest and idleness are waits on one condition variable that
//! every command wakes.

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use thiserror::Error;

use super::job::{Active, Job, JobId, Solution, Work};
use super::kernel::Kernel;
use super::pace::{Pace, Share};
use super::polite;
use super::rate::{Counter, Snapshot};

/// The most threads that a miner takes.
pub const MOST_THREADS: usize = 1024;

/// How a miner runs.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The way of hashing.
    pub kernel: Kernel,
    /// How many threads: 1 to [`MOST_THREADS`].
    pub threads: usize,
    /// Whether the threads give way to everything else on the machine.
    pub polite: bool,
    /// The part of the time in which each thread hashes.
    pub share: Share,
}

/// What a miner tells. Told on a mining thread, which searches on only when the report is taken: hand it over
/// to a bounded channel without waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A header that meets the target. One that was just being found when its job was replaced may still come;
    /// its job's name tells.
    Solved(Solution),
    /// Every nonce of every header of the job was tried, once for each job. A new job is needed.
    Exhausted(JobId),
}

/// Why a miner does not start.
#[derive(Debug, Error)]
pub enum MinerError {
    /// A number of threads that makes no sense.
    #[error("{0} mining threads asked for; use 1 to {MOST_THREADS}")]
    Threads(usize),
    /// The operating system gave no thread.
    #[error("cannot start a mining thread: {0}; use fewer")]
    Spawn(#[from] io::Error),
}

/// A running miner; stops and joins its threads when dropped.
pub struct Miner {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Miner {
    /// Starts the threads, which wait for a job.
    ///
    /// # Errors
    ///
    /// When the number of threads is out of bounds, or the operating system refuses one.
    pub fn start(
        settings: Settings,
        report: impl Fn(Report) + Send + Sync + 'static,
    ) -> Result<Self, MinerError> {
        if !(1..=MOST_THREADS).contains(&settings.threads) {
            return Err(MinerError::Threads(settings.threads));
        }
        let shared = Arc::new(Shared {
            settings,
            share: AtomicU32::new(settings.share.as_per_mille()),
            generation: AtomicU64::new(0),
            control: Mutex::new(Control { live: settings.threads, ..Control::default() }),
            changed: Condvar::new(),
            idle: Condvar::new(),
            counters: (0..settings.threads).map(|_| Counter::default()).collect(),
            report: Box::new(report),
        });
        let mut miner = Self { shared, threads: Vec::with_capacity(settings.threads) };
        for index in 0..settings.threads {
            let worker = Worker { shared: miner.shared.clone(), index, pace: Pace::new(), held: None };
            let builder = thread::Builder::new().name(format!("mine-{index}"));
            miner.threads.push(builder.spawn(move || worker.run())?);
        }
        Ok(miner)
    }

    /// Drops what is searched, and searches this instead. A job without a single header is reported as
    /// exhausted at once.
    pub fn search(&self, job: Job) {
        let active = Arc::new(Active::new(job));
        self.shared.command(|control| control.job = Some(active.clone()));
        if active.is_empty() {
            (self.shared.report)(Report::Exhausted(active.job.id));
        }
    }

    /// Drops what is searched.
    pub fn clear(&self) {
        self.shared.command(|control| control.job = None);
    }

    /// Stops hashing; what is searched is kept, to the nonce.
    pub fn pause(&self) {
        self.shared.command(|control| control.paused = true);
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.shared.command(|control| control.paused = false);
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.shared.lock().paused
    }

    /// The job that is searched, or was until it was solved or exhausted.
    pub fn job(&self) -> Option<JobId> {
        self.shared.lock().job.as_ref().map(|active| active.job.id)
    }

    /// Changes the part of the time in which each thread hashes.
    pub fn set_share(&self, share: Share) {
        self.shared.share.store(share.as_per_mille(), Ordering::Relaxed);
        self.shared.command(|_| ());
    }

    /// The part of the time in which each thread hashes.
    pub fn share(&self) -> Share {
        self.shared.share()
    }

    /// How it was started.
    pub fn settings(&self) -> Settings {
        self.shared.settings
    }

    /// How many hashes each thread has done; two snapshots make a rate.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.shared.counters)
    }

    /// Waits until no thread hashes: for the end of a pause's, a cleared or a finished job's last chunk. After
    /// it there are no more reports of that job. Never returns while a job is being searched.
    pub fn wait_until_idle(&self) {
        drop(self.shared.idle.wait_while(self.shared.lock(), |control| control.waiting < control.live));
    }

    /// How many threads run: fewer than were started only if a template or the callback panicked on one.
    pub fn live_threads(&self) -> usize {
        self.shared.lock().live
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        self.shared.command(|control| control.closing = true);
        for thread in self.threads.drain(..) {
            // A panic in a template or a callback has been printed by the panic hook; the others still join.
            drop(thread.join());
        }
    }
}

/// What the threads and the miner's owner share.
struct Shared {
    settings: Settings,
    share: AtomicU32,
    generation: AtomicU64,
    control: Mutex<Control>,
    /// A command was given.
    changed: Condvar,
    /// A thread has found nothing to do, or has ended.
    idle: Condvar,
    counters: Vec<Counter>,
    report: Box<dyn Fn(Report) + Send + Sync>,
}

#[derive(Default)]
struct Control {
    job: Option<Arc<Active>>,
    paused: bool,
    closing: bool,
    /// How many threads run.
    live: usize,
    /// How many of them have found nothing to do since the last command.
    waiting: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Control> {
        // No code that can panic runs under the lock.
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn command(&self, change: impl FnOnce(&mut Control)) {
        let mut control = self.lock();
        change(&mut control);
        control.waiting = 0;
        self.generation.fetch_add(1, Ordering::Release);
        self.changed.notify_all();
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn share(&self) -> Share {
        Share::per_mille(self.share.load(Ordering::Relaxed))
    }

    /// Waits until `duration` is over or a command comes, and says how long that was.
    fn rest(&self, duration: Duration, generation: u64) -> Duration {
        let begun = Instant::now();
        let unchanged = |_: &mut Control| self.generation() == generation;
        drop(self.changed.wait_timeout_while(self.lock(), duration, unchanged));
        begun.elapsed()
    }
}

/// One mining thread.
struct Worker {
    shared: Arc<Shared>,
    index: usize,
    pace: Pace,
    /// A unit begun and not finished, with its job.
    held: Option<(Arc<Active>, Work)>,
}

impl Worker {
    fn run(mut self) {
        if self.shared.settings.polite
            && let Err(error) = polite::give_way()
        {
            tracing::warn!(%error, thread = self.index, "mining at ordinary priority");
        }
        while let Some((generation, active)) = self.next_job() {
            let mut unit = self.held_of(&active).or_else(|| active.take());
            while let Some(mut work) = unit {
                self.hash(&active, &mut work, generation);
                if !work.nonces.is_empty() {
                    self.held = Some((active.clone(), work));
                    break;
                }
                if active.finish_unit() && !active.is_over() {
                    (self.shared.report)(Report::Exhausted(active.job.id));
                }
                unit = active.take();
            }
        }
    }

    /// Waits for a job with something left to do; `None` when the miner closes.
    fn next_job(&self) -> Option<(u64, Arc<Active>)> {
        let mut control = self.shared.lock();
        loop {
            if control.closing {
                return None;
            }
            if let Some(active) = control.job.as_ref().filter(|active| !control.paused && self.can_do(active))
            {
                return Some((self.shared.generation(), active.clone()));
            }
            control.waiting += 1;
            self.shared.idle.notify_all();
            let generation = self.shared.generation();
            let unchanged = |_: &mut Control| self.shared.generation() == generation;
            control =
                self.shared.changed.wait_while(control, unchanged).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn can_do(&self, active: &Arc<Active>) -> bool {
        !active.is_over() && (active.has_untaken() || self.holds(active))
    }

    fn holds(&self, active: &Arc<Active>) -> bool {
        self.held.as_ref().is_some_and(|(of, _)| Arc::ptr_eq(of, active))
    }

    /// The unit that a pause interrupted, if it is this job's; another job's is dropped.
    fn held_of(&mut self, active: &Arc<Active>) -> Option<Work> {
        let (of, work) = self.held.take()?;
        Arc::ptr_eq(&of, active).then_some(work)
    }

    /// Searches a unit, chunk by chunk, to its end, a solution or a command.
    fn hash(&mut self, active: &Active, work: &mut Work, generation: u64) {
        let shared = self.shared.clone();
        while !work.nonces.is_empty() && shared.generation() == generation && !active.is_over() {
            let chunk = self.pace.cut(&mut work.nonces);
            let begun = Instant::now();
            let hashes = shared.settings.kernel.scan(&work.puzzle, chunk, &mut |nonce| {
                if active.accept_solution() {
                    (shared.report)(Report::Solved(work.solution(active.job.id, nonce)));
                }
                if active.job.search_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            shared.counters[self.index].add(hashes);
            self.pace.learn(hashes, begun.elapsed(), shared.share());
            if shared.settings.polite {
                thread::yield_now();
            }
            if let Some(rest) = self.pace.rest() {
                self.pace.rested(shared.rest(rest, generation));
            }
        }
    }
}

impl Drop for Worker {
    /// Also when the thread panics, so that nobody waits for it.
    fn drop(&mut self) {
        self.shared.lock().live -= 1;
        self.shared.idle.notify_all();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use core::ops::Range;
    use std::sync::mpsc::{Receiver, sync_channel};

    use synod_types::U256;

    use super::super::pace::LARGEST_CHUNK;
    use super::super::puzzle::{NONCES, digest};
    use super::*;

    const IMPOSSIBLE: U256 = U256::ZERO;

    fn miner(threads: usize) -> (Miner, Receiver<Report>) {
        let (reports, received) = sync_channel(4096);
        let settings = Settings { kernel: Kernel::best(), threads, polite: true, share: Share::FULL };
        (Miner::start(settings, move |report| reports.try_send(report).unwrap()).unwrap(), received)
    }

    fn header(extra_nonce: u64) -> [u8; 80] {
        let mut header = [3; 80];
        header[36..44].copy_from_slice(&extra_nonce.to_le_bytes());
        header[68..72].copy_from_slice(&5000u32.to_le_bytes());
        header
    }

    fn job(id: u64, target: U256, nonces: Range<u64>) -> Job {
        let template = Arc::new(header);
        Job { id: JobId(id), template, target, nonces, extra_nonces: 0..2, time_roll_s: 1, search_on: false }
    }

    /// Every solution of [`job`] by the plain hash: (time, extra nonce, nonce), sorted.
    fn plain_solutions(target: U256, nonces: Range<u64>) -> Vec<(u32, u64, u32)> {
        let mut solutions = Vec::new();
        for (time, extra_nonce) in [(5000u32, 0), (5000, 1), (5001, 0), (5001, 1)] {
            let mut header = header(extra_nonce);
            header[68..72].copy_from_slice(&time.to_le_bytes());
            for nonce in nonces.clone() {
                header[76..].copy_from_slice(&(nonce as u32).to_le_bytes());
                if digest(&header) <= target {
                    solutions.push((time, extra_nonce, nonce as u32));
                }
            }
        }
        solutions
    }

    fn wait_for_hashes(miner: &Miner, beyond: u64) {
        while miner.snapshot().total() <= beyond {
            thread::yield_now();
        }
    }

    fn solutions_of(reports: &Receiver<Report>) -> (Vec<(u32, u64, u32)>, Vec<JobId>) {
        let (mut solutions, mut exhausted) = (Vec::new(), Vec::new());
        for report in reports.try_iter() {
            match report {
                Report::Solved(s) => solutions.push((s.time_s(), s.extra_nonce, s.nonce())),
                Report::Exhausted(id) => exhausted.push(id),
            }
        }
        solutions.sort_unstable();
        (solutions, exhausted)
    }

    #[test]
    fn a_solved_job_stops_and_is_reported_once() {
        let (miner, reports) = miner(2);
        let target = U256::MAX >> 12;
        miner.search(job(7, target, 0..NONCES));
        let Report::Solved(solution) = reports.recv().unwrap() else { panic!("not a solution") };
        assert_eq!(solution.job, JobId(7));
        assert_eq!(solution.header[36..44], solution.extra_nonce.to_le_bytes());
        assert!(digest(&solution.header) <= target);
        miner.wait_until_idle();
        assert!(reports.try_recv().is_err(), "one report");
    }

    #[test]
    fn pow_11_an_exhausted_job_says_so_once_after_every_solution() {
        let (miner, reports) = miner(2);
        let (target, nonces) = (U256::MAX >> 9, 100..20_000);
        miner.search(Job { search_on: true, ..job(1, target, nonces.clone()) });
        miner.wait_until_idle();
        let (solutions, exhausted) = solutions_of(&reports);
        assert_eq!(solutions, plain_solutions(target, nonces.clone()));
        assert_eq!(exhausted, [JobId(1)]);
        assert_eq!(miner.snapshot().total(), 4 * (nonces.end - nonces.start));
    }

    #[test]
    fn pow_11_a_job_without_a_header_is_exhausted_at_once() {
        let (miner, reports) = miner(1);
        miner.search(Job { extra_nonces: 4..4, ..job(2, IMPOSSIBLE, 0..NONCES) });
        assert_eq!(reports.recv().unwrap(), Report::Exhausted(JobId(2)));
    }

    #[test]
    fn a_new_job_replaces_the_old_one() {
        let (miner, reports) = miner(2);
        miner.search(job(1, IMPOSSIBLE, 0..NONCES));
        wait_for_hashes(&miner, 0);
        miner.search(job(2, U256::MAX >> 4, 0..NONCES));
        let Report::Solved(solution) = reports.recv().unwrap() else { panic!("not a solution") };
        assert_eq!((solution.job, miner.job()), (JobId(2), Some(JobId(2))));
    }

    #[test]
    fn after_a_command_each_thread_ends_the_chunk_in_hand_and_no_more() {
        let (miner, _reports) = miner(2);
        let commands: [fn(&Miner); 3] = [Miner::pause, Miner::clear, |miner| {
            miner.search(Job { extra_nonces: 0..0, ..job(9, IMPOSSIBLE, 0..1) })
        }];
        for stop in commands {
            miner.resume();
            miner.search(job(1, IMPOSSIBLE, 0..NONCES));
            wait_for_hashes(&miner, miner.snapshot().total());
            stop(&miner);
            let told = miner.snapshot().total();
            miner.wait_until_idle();
            let after = miner.snapshot().total() - told;
            assert!(after <= 2 * LARGEST_CHUNK, "{after} hashes after the command");
        }
    }

    #[test]
    fn nothing_is_lost_or_done_twice_over_many_pauses() {
        let (miner, reports) = miner(2);
        let (target, nonces) = (U256::MAX >> 11, 0..300_000);
        miner.search(Job { search_on: true, ..job(1, target, nonces.clone()) });
        for _ in 0..40 {
            miner.pause();
            miner.wait_until_idle();
            let paused = miner.snapshot().total();
            assert!(miner.is_paused());
            miner.set_share(Share::FULL);
            miner.wait_until_idle();
            assert_eq!(miner.snapshot().total(), paused, "a paused miner does not hash");
            miner.resume();
            thread::yield_now();
        }
        miner.wait_until_idle();
        let (solutions, exhausted) = solutions_of(&reports);
        assert_eq!(solutions, plain_solutions(target, nonces.clone()));
        assert_eq!(exhausted, [JobId(1)]);
        assert_eq!(miner.snapshot().total(), 4 * nonces.end);
    }

    #[test]
    fn a_resting_thread_wakes_for_a_command() {
        // At a thousandth a thread rests for about a second after each millisecond; the test ends in time
        // only if commands end the rests.
        let (miner, reports) = miner(1);
        miner.set_share(Share::per_mille(1));
        for id in 0..20 {
            miner.search(job(id, IMPOSSIBLE, 0..NONCES));
            wait_for_hashes(&miner, miner.snapshot().total());
        }
        miner.set_share(Share::FULL);
        miner.search(job(20, U256::MAX, 0..NONCES));
        assert!(matches!(reports.recv().unwrap(), Report::Solved(solution) if solution.job == JobId(20)));
    }

    #[test]
    fn dropping_a_miner_ends_its_threads() {
        let (miner, reports) = miner(3);
        miner.search(job(1, IMPOSSIBLE, 0..NONCES));
        wait_for_hashes(&miner, 0);
        assert_eq!(miner.live_threads(), 3);
        drop(miner);
        // The callback, which owned the other end, is gone with the last thread.
        assert!(reports.recv().is_err());
    }

    #[test]
    fn a_panic_in_a_template_ends_its_threads_and_nobody_waits_for_them() {
        let (miner, _reports) = miner(2);
        let template = Arc::new(|_: u64| -> [u8; 80] { panic!("a template's bug") });
        miner.search(Job { template, ..job(1, IMPOSSIBLE, 0..NONCES) });
        miner.wait_until_idle();
        assert_eq!(miner.live_threads(), 0);
    }

    #[test]
    fn a_senseless_number_of_threads_is_refused() {
        for threads in [0, MOST_THREADS + 1] {
            let settings = Settings { kernel: Kernel::best(), threads, polite: false, share: Share::FULL };
            assert!(matches!(Miner::start(settings, |_| ()), Err(MinerError::Threads(n)) if n == threads));
        }
    }
}

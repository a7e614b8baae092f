//! The miner: threads that search the job they are given until it is solved, exhausted or replaced.
//!
//! Whoever drives it gives commands ([`Miner::search`], [`Miner::pause`] and so on) and gets [`Report`]s. No
//! command waits for the threads; each of them sees it after the chunk in hand, about a millisecond of hashing.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use thiserror::Error;

use super::job::{Active, Job, JobId, Solution};
use super::kernel::Kernel;
use super::pace::Share;
use super::rate::Snapshot;
use super::worker::{Shared, Worker};

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

/// What a miner tells. It is told on a mining thread, which stands still until the callback returns: that should
/// do no more than hand the report to a bounded channel.
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
        let shared = Arc::new(Shared::new(settings, Box::new(report)));
        let mut miner = Self { shared, threads: Vec::with_capacity(settings.threads) };
        for index in 0..settings.threads {
            let worker = Worker::new(miner.shared.clone(), index);
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
            self.shared.report(Report::Exhausted(active.job.id));
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
        self.shared.set_share(share);
    }

    /// The part of the time in which each thread hashes.
    pub fn share(&self) -> Share {
        self.shared.share()
    }

    /// How it was started.
    pub fn settings(&self) -> Settings {
        self.shared.settings()
    }

    /// How many hashes each thread has done; two snapshots make a rate.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Waits until no thread hashes: for the end of a pause's, a cleared or a finished job's last chunk. After
    /// it there are no more reports of that job. Never returns while a job is being searched.
    pub fn wait_until_idle(&self) {
        self.shared.wait_until_idle();
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
            miner.search(Job { extra_nonces: 0..0, ..job(9, IMPOSSIBLE, 0..1) });
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

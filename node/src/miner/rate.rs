//! Hash rates: what each thread has done, and how fast a kernel is on this machine.

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use synod_types::U256;

use super::kernel::Kernel;
use super::puzzle::{NONCES, Puzzle};

/// Hashes, and the time in which they were done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashRate {
    /// How many hashes.
    pub hashes: u64,
    /// In what time.
    pub time: Duration,
}

impl HashRate {
    /// Hashes per second; 0 when no time has passed.
    pub fn per_second(self) -> f64 {
        if self.time.is_zero() { 0.0 } else { self.hashes as f64 / self.time.as_secs_f64() }
    }
}

/// How many hashes each thread had done at a moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When.
    pub at: Instant,
    /// For each thread, since it started.
    pub hashes: Vec<u64>,
}

impl Snapshot {
    pub(super) fn of(counters: &[Counter]) -> Self {
        Self { at: Instant::now(), hashes: counters.iter().map(Counter::hashes).collect() }
    }

    /// What each thread has done since an earlier snapshot of the same miner.
    pub fn since(&self, earlier: &Self) -> Vec<HashRate> {
        let time = self.at.saturating_duration_since(earlier.at);
        let counts = self.hashes.iter().zip(&earlier.hashes);
        counts.map(|(now, then)| HashRate { hashes: now.saturating_sub(*then), time }).collect()
    }

    /// What all threads together have done since an earlier snapshot of the same miner.
    pub fn total_since(&self, earlier: &Self) -> HashRate {
        let rates = self.since(earlier);
        let time = self.at.saturating_duration_since(earlier.at);
        HashRate { hashes: rates.iter().map(|rate| rate.hashes).sum(), time }
    }

    /// All hashes of all threads.
    pub fn total(&self) -> u64 {
        self.hashes.iter().sum()
    }
}

/// A thread's count, on cache lines of its own, so that counting does not slow the neighbours.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, hashes: u64) {
        self.0.fetch_add(hashes, Ordering::Relaxed);
    }

    pub(super) fn hashes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Hashes for about this long on so many threads (at least one) at ordinary priority, and measures.
pub fn measure(kernel: Kernel, threads: usize, duration: Duration) -> HashRate {
    let threads = threads.max(1);
    let start = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|i| {
                scope.spawn({
                    let start = &start;
                    move || {
                        start.wait();
                        hash_for(kernel, i, duration)
                    }
                })
            })
            .collect();
        start.wait();
        let begun = Instant::now();
        let hashes = workers.into_iter().map(|worker| worker.join().expect("the scan does not panic")).sum();
        HashRate { hashes, time: begun.elapsed() }
    })
}

/// A header of its own for each thread, a target that nothing meets, and the clock looked at now and then.
fn hash_for(kernel: Kernel, thread: usize, duration: Duration) -> u64 {
    const CHUNK: u64 = 1 << 14;
    let puzzle = Puzzle::new(&[thread as u8; 80], U256::ZERO);
    let begun = Instant::now();
    let mut hashes = 0;
    while hashes == 0 || begun.elapsed() < duration {
        let first = hashes % NONCES;
        hashes += kernel.scan(&puzzle, first..first + CHUNK, &mut |_| ControlFlow::Continue(()));
    }
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_counts_every_thread() {
        let rate = measure(Kernel::best(), 2, Duration::from_millis(1));
        // Each thread does at least one chunk before it looks at the clock.
        assert!(rate.hashes >= 2 << 14, "{rate:?}");
        assert!(rate.per_second() > 0.0);
    }

    #[test]
    fn two_snapshots_make_a_rate_for_each_thread_and_for_all() {
        let counters = [Counter::default(), Counter::default()];
        counters[0].add(5);
        let earlier = Snapshot::of(&counters);
        counters[0].add(300);
        counters[1].add(100);
        let later = Snapshot { at: earlier.at + Duration::from_secs(2), ..Snapshot::of(&counters) };
        let by_thread: Vec<f64> = later.since(&earlier).into_iter().map(HashRate::per_second).collect();
        assert_eq!(by_thread, [150.0, 50.0]);
        assert_eq!(later.total_since(&earlier).per_second(), 200.0);
        assert_eq!(later.total(), 405);
        let none = earlier.total_since(&later);
        assert_eq!((none.hashes, none.per_second()), (0, 0.0));
    }
}

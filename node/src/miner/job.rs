//! What to search: a template for headers, a target, and the space of headers that the template spans.
//!
//! The space is cut into *units*: one header (one extra nonce, one time) and a run of its nonces. Threads take
//! units from one counter, so that none is done twice and none is left out; the counter's end is the space's
//! end, and reaching it is reported (POW-11). Nonces turn over first, then extra nonces, then, where the job
//! allows it, the time, because a later time is the only one of the three that the chain's rules limit.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

use synod_types::U256;

use super::puzzle::{NONCES, Puzzle};

/// How many nonces a unit has at most: a small part of a second's work.
const UNIT_NONCES: u64 = 1 << 22;

/// Where the header keeps its time, 32 bits little-endian.
const TIME: Range<usize> = 68..72;

/// A job's name, chosen by whoever gives it; reports carry it, so that a late one is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// Gives a header for each extra nonce; the miner fills the nonce in.
///
/// Called on the mining threads, once for every few million hashes. Different extra nonces must give different
/// headers, for otherwise work is done twice.
pub trait Template: Send + Sync {
    /// The header whose commitment holds this extra nonce.
    fn header(&self, extra_nonce: u64) -> [u8; 80];
}

impl<F: Fn(u64) -> [u8; 80] + Send + Sync> Template for F {
    fn header(&self, extra_nonce: u64) -> [u8; 80] {
        self(extra_nonce)
    }
}

/// A search to be done.
#[derive(Clone)]
pub struct Job {
    /// Repeated in every report about this job.
    pub id: JobId,
    /// Where headers come from.
    pub template: Arc<dyn Template>,
    /// What a digest may not exceed.
    pub target: U256,
    /// The nonces to use in each header: `0..NONCES`, or less where miners share one template.
    pub nonces: Range<u64>,
    /// The extra nonces to use; `0..1` for a header that has none.
    pub extra_nonces: Range<u64>,
    /// By how many seconds the header's time may be moved forward once the extra nonces are used up.
    pub time_roll_s: u32,
    /// Whether to search on after a solution. A chain wants one, a pool's client all.
    pub search_on: bool,
}

/// A header that meets its job's target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// The job that it solves.
    pub job: JobId,
    /// The whole header, with the nonce and the time that were found.
    pub header: [u8; 80],
    /// The extra nonce that the template made the header for.
    pub extra_nonce: u64,
}

/// A job that is being searched, shared by the threads.
pub(super) struct Active {
    pub(super) job: Job,
    units_a_header: u64,
    units: u64,
    next: AtomicU64,
    finished: AtomicU64,
    over: AtomicBool,
}

/// A unit of work in a thread's hands: what is left of it.
pub(super) struct Work {
    pub(super) puzzle: Puzzle,
    pub(super) extra_nonce: u64,
    pub(super) nonces: Range<u64>,
}

impl Active {
    pub(super) fn new(mut job: Job) -> Self {
        job.nonces.end = job.nonces.end.min(NONCES);
        let units_a_header = job.nonces.end.saturating_sub(job.nonces.start).div_ceil(UNIT_NONCES);
        let extra_nonces = job.extra_nonces.end.saturating_sub(job.extra_nonces.start);
        let times = u64::from(job.time_roll_s) + 1;
        // Saturating keeps the counter far from its end, and no machine gets to 2^63 units.
        let units = extra_nonces.saturating_mul(times).saturating_mul(units_a_header).min(1 << 63);
        Self { job, units_a_header, units, next: 0.into(), finished: 0.into(), over: false.into() }
    }

    /// A unit that nobody has had, or `None` when all are taken.
    pub(super) fn take(&self) -> Option<Work> {
        let index = self.has_untaken().then(|| self.next.fetch_add(1, Ordering::Relaxed))?;
        (index < self.units).then(|| self.work(index))
    }

    /// Whether [`take`](Self::take) may still give something.
    pub(super) fn has_untaken(&self) -> bool {
        self.next.load(Ordering::Relaxed) < self.units
    }

    /// Whether there is nothing to search at all.
    pub(super) fn is_empty(&self) -> bool {
        self.units == 0
    }

    /// Notes that a unit was searched to its end; true for the last of all, which exhausts the job.
    pub(super) fn finish_unit(&self) -> bool {
        self.finished.fetch_add(1, Ordering::AcqRel) + 1 == self.units
    }

    /// Whether the search has ended by a solution.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Whether a solution just found counts; the first one ends the search unless the job goes on.
    pub(super) fn accept_solution(&self) -> bool {
        self.job.search_on || !self.over.swap(true, Ordering::AcqRel)
    }

    fn work(&self, index: u64) -> Work {
        let (variation, part) = (index / self.units_a_header, index % self.units_a_header);
        let extra_nonces = self.job.extra_nonces.end - self.job.extra_nonces.start;
        let extra_nonce = self.job.extra_nonces.start + variation % extra_nonces;
        let mut header = self.job.template.header(extra_nonce);
        roll_time(&mut header, (variation / extra_nonces) as u32);
        let first = self.job.nonces.start + part * UNIT_NONCES;
        let end = self.job.nonces.end.min(first + UNIT_NONCES);
        Work { puzzle: Puzzle::new(&header, self.job.target), extra_nonce, nonces: first..end }
    }
}

impl Work {
    /// What is found when this nonce solves.
    pub(super) fn solution(&self, job: JobId, nonce: u32) -> Solution {
        Solution { job, header: self.puzzle.header(nonce), extra_nonce: self.extra_nonce }
    }
}

impl Solution {
    /// The nonce, from the header's last four bytes.
    pub fn nonce(&self) -> u32 {
        little_endian(&self.header, 76)
    }

    /// The header's time in seconds.
    pub fn time_s(&self) -> u32 {
        little_endian(&self.header, TIME.start)
    }
}

fn roll_time(header: &mut [u8; 80], seconds: u32) {
    let time = little_endian(header, TIME.start).wrapping_add(seconds);
    header[TIME].copy_from_slice(&time.to_le_bytes());
}

fn little_endian(header: &[u8; 80], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn job(nonces: Range<u64>, extra_nonces: Range<u64>, time_roll_s: u32) -> Job {
        let template = |extra_nonce: u64| {
            let mut header = [7; 80];
            header[36..44].copy_from_slice(&extra_nonce.to_le_bytes());
            header[TIME].copy_from_slice(&1000u32.to_le_bytes());
            header
        };
        let template = Arc::new(template);
        Job {
            id: JobId(1),
            template,
            target: U256::ZERO,
            nonces,
            extra_nonces,
            time_roll_s,
            search_on: false,
        }
    }

    #[test]
    fn pow_11_units_cover_every_header_and_nonce_once() {
        // Two whole units and a part of one for each header.
        let nonces = 10..2 * UNIT_NONCES + 500;
        let active = Active::new(job(nonces.clone(), 5..8, 1));
        let mut expected = Vec::new();
        for time in [1000, 1001] {
            for extra_nonce in 5..8 {
                expected.push((time, extra_nonce, nonces.clone()));
            }
        }

        let mut covered: Vec<(u32, u64, Range<u64>)> = Vec::new();
        while let Some(work) = active.take() {
            let header = work.puzzle.header(0);
            assert_eq!(header[36..44], work.extra_nonce.to_le_bytes());
            let time = little_endian(&header, TIME.start);
            match covered.last_mut() {
                Some((t, x, range)) if (*t, *x) == (time, work.extra_nonce) => {
                    assert_eq!(range.end, work.nonces.start);
                    range.end = work.nonces.end;
                }
                _ => covered.push((time, work.extra_nonce, work.nonces)),
            }
        }
        assert_eq!(covered, expected);
    }

    #[test]
    fn pow_11_the_last_unit_finished_is_the_one_that_exhausts() {
        let active = Active::new(job(0..NONCES, 0..2, 0));
        let mut taken = 0;
        while active.take().is_some() {
            taken += 1;
        }
        assert_eq!(taken, 2 * NONCES / UNIT_NONCES);
        assert!(active.take().is_none() && !active.has_untaken());
        assert!((1..taken).all(|_| !active.finish_unit()));
        assert!(active.finish_unit());
    }

    #[test]
    fn a_space_without_headers_is_empty_and_an_endless_one_does_not_overflow() {
        for (nonces, extra_nonces) in
            [(0..0, 0..5), (0..NONCES, 5..5), (Range { start: 9, end: 3 }, 0..1), (NONCES..2 * NONCES, 0..1)]
        {
            let active = Active::new(job(nonces, extra_nonces, 3));
            assert!(active.is_empty() && active.take().is_none());
        }
        let endless = Active::new(job(0..u64::MAX, 0..u64::MAX, u32::MAX));
        assert_eq!(endless.units, 1 << 63);
        assert_eq!(endless.take().unwrap().nonces, 0..UNIT_NONCES);
    }

    #[test]
    fn only_the_first_solution_counts_unless_the_job_goes_on() {
        let active = Active::new(job(0..NONCES, 0..1, 0));
        assert!(active.accept_solution() && active.is_over() && !active.accept_solution());
        let active = Active::new(Job { search_on: true, ..job(0..NONCES, 0..1, 0) });
        assert!(active.accept_solution() && active.accept_solution() && !active.is_over());
    }
}

//! How much a thread hashes before it looks up, and how long it rests.
//!
//! A chunk lasts about a millisecond at the rate last measured, so that a thread sees a new job within
//! milliseconds on a fast and on a slow machine alike. With a share below one the thread owes rest for each
//! chunk, and pays when the debt is worth a sleep.

use core::ops::Range;
use core::time::Duration;

/// How long a chunk should last.
const CHUNK_TIME: Duration = Duration::from_millis(1);
/// No chunk is smaller, so that the clock and the counters cost nothing beside it.
const SMALLEST_CHUNK: u64 = 1 << 10;
/// No chunk is larger, whatever the clock says: at 50 MH/s, 2.6 ms.
pub(super) const LARGEST_CHUNK: u64 = 1 << 17;
/// A debt of rest never grows beyond this, whatever a suspended machine does to the clock.
const LARGEST_DEBT: i64 = 1_000_000_000;

/// One thread's pace.
#[derive(Debug)]
pub(super) struct Pace {
    chunk: u64,
    /// Nanoseconds of rest owed; negative when the last rest was too long.
    owed_ns: i64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { chunk: 4 * SMALLEST_CHUNK, owed_ns: 0 }
    }

    /// Cuts the next chunk off what is left.
    pub(super) fn cut(&self, left: &mut Range<u64>) -> Range<u64> {
        let end = left.end.min(left.start.saturating_add(self.chunk));
        let chunk = left.start..end;
        left.start = end;
        chunk
    }

    /// Learns from a chunk. One that was interrupted says little, so a step at most halves or doubles.
    pub(super) fn learn(&mut self, hashes: u64, took: Duration, share: Share) {
        let took_ns = took.as_nanos().clamp(1, LARGEST_DEBT as u128) as u64;
        let wanted = u128::from(hashes) * CHUNK_TIME.as_nanos() / u128::from(took_ns);
        // A chunk cut short, at a unit's end or by a solution, measures the rate as well as a full one.
        let wanted = wanted.clamp(u128::from(self.chunk / 2), u128::from(self.chunk * 2)) as u64;
        self.chunk = wanted.clamp(SMALLEST_CHUNK, LARGEST_CHUNK);

        let rest_ns = took_ns as i64 * i64::from(1000 - share.0) / i64::from(share.0);
        self.owed_ns = (self.owed_ns + rest_ns).min(LARGEST_DEBT);
    }

    /// How long to rest now, if the debt is worth it.
    pub(super) fn rest(&self) -> Option<Duration> {
        (self.owed_ns >= CHUNK_TIME.as_nanos() as i64).then(|| Duration::from_nanos(self.owed_ns as u64))
    }

    /// Pays for a rest, by the time that it took.
    pub(super) fn rested(&mut self, took: Duration) {
        let took_ns = took.as_nanos().min(LARGEST_DEBT as u128) as i64;
        self.owed_ns = (self.owed_ns - took_ns).max(-LARGEST_DEBT);
    }
}

/// The part of the time in which a thread may hash, in thousandths: 1 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// All of the time.
    pub const FULL: Self = Self(1000);

    /// A share in thousandths, brought into 1 to 1000.
    pub fn per_mille(thousandths: u32) -> Self {
        Self(thousandths.clamp(1, 1000))
    }

    /// In thousandths.
    pub fn as_per_mille(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a thread of this speed hash for a while on a clock of its own.
    fn run(pace: &mut Pace, hashes_a_second: u64, share: Share, chunks: usize) -> (Duration, Duration) {
        let (mut worked, mut rested) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..chunks {
            let chunk = pace.cut(&mut (0..1 << 32));
            let hashes = chunk.end - chunk.start;
            let took = Duration::from_nanos(hashes * 1_000_000_000 / hashes_a_second);
            pace.learn(hashes, took, share);
            worked += took;
            if let Some(rest) = pace.rest() {
                pace.rested(rest + Duration::from_micros(60));
                rested += rest + Duration::from_micros(60);
            }
        }
        (worked, rested)
    }

    #[test]
    fn a_thread_of_any_speed_looks_up_about_every_millisecond() {
        for hashes_a_second in [2_000_000, 10_000_000, 50_000_000, 120_000_000] {
            let mut pace = Pace::new();
            run(&mut pace, hashes_a_second, Share::FULL, 50);
            let chunk = pace.cut(&mut (0..1 << 32));
            let chunk_us = (chunk.end - chunk.start) * 1_000_000 / hashes_a_second;
            assert!((900..=1100).contains(&chunk_us), "{chunk_us} us at {hashes_a_second} hashes a second");
        }
    }

    #[test]
    fn one_interrupted_chunk_changes_the_pace_by_no_more_than_half() {
        let mut pace = Pace::new();
        run(&mut pace, 40_000_000, Share::FULL, 50);
        let before = pace.chunk;
        pace.learn(before, Duration::from_secs(3600), Share::FULL);
        assert_eq!(pace.chunk, before / 2);
    }

    #[test]
    fn a_share_is_kept_over_time_although_rests_run_late() {
        for per_mille in [10, 250, 500, 900] {
            let (worked, rested) = run(&mut Pace::new(), 40_000_000, Share::per_mille(per_mille), 2000);
            let share = worked.as_micros() * 1000 / (worked + rested).as_micros();
            assert!(
                share.abs_diff(u128::from(per_mille)) <= per_mille as u128 / 50 + 1,
                "{share} of {per_mille}"
            );
        }
        let (_, rested) = run(&mut Pace::new(), 40_000_000, Share::FULL, 2000);
        assert_eq!(rested, Duration::ZERO);
    }

    #[test]
    fn a_chunk_is_cut_off_what_is_left_and_never_beyond_it() {
        let pace = Pace::new();
        let mut left = 0..pace.chunk + 7;
        assert_eq!(pace.cut(&mut left), 0..pace.chunk);
        assert_eq!(pace.cut(&mut left), pace.chunk..pace.chunk + 7);
        assert!(left.is_empty());
    }

    #[test]
    fn a_share_stays_within_its_bounds() {
        assert_eq!(Share::per_mille(0).as_per_mille(), 1);
        assert_eq!(Share::per_mille(5000), Share::FULL);
    }
}

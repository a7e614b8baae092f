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

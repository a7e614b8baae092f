//! The node's clocks: the only place above the pure crates where time is read for consensus.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use synod_consensus::Time;
use synod_types::UnixMillis;

/// A monotonic clock that starts at zero with the node, and the system's wall clock beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Monotonic time.
    pub(super) fn now(&self) -> Time {
        Time(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Wall time, as the system believes it to be.
    pub(super) fn wall(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// When `time` comes, as the system counts it.
    pub(super) fn instant(&self, time: Time) -> Instant {
        self.start + Duration::from_micros(time.0)
    }
}

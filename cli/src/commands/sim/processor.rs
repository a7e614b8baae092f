//! The time that a thread was on a processor: what a search costs, however busy the machine is.

use std::time::{Duration, Instant};

/// Counts for the thread that made it.
pub(super) struct Clock {
    begun: Instant,
    on_processor: Option<Duration>,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { begun: Instant::now(), on_processor: on_processor() }
    }

    /// The time on a processor since the start; where the system does not tell it, the time on the wall.
    pub(super) fn spent(&self) -> Duration {
        let on_processor = self.on_processor.zip(on_processor());
        on_processor.map_or_else(|| self.begun.elapsed(), |(before, now)| now.saturating_sub(before))
    }
}

/// Linux counts it in nanoseconds.
fn on_processor() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_sleeps_is_on_no_processor() {
        let clock = Clock::start();
        std::thread::sleep(Duration::from_millis(50));
        let spent = clock.spent();
        assert!(clock.on_processor.is_none() || spent < Duration::from_millis(40), "{spent:?}");
    }
}

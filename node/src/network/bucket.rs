//! A token bucket: what a peer may ask of us, in bursts and on average (P2P-5).

use std::time::{Duration, Instant};

/// Tokens that grow back with time, up to a burst. Debts are allowed: an answer's size is known only
/// afterwards.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: f64,
    burst: f64,
    per_second: f64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn new(burst: u32, per_second: u32, now: Instant) -> Self {
        Self {
            tokens: f64::from(burst),
            burst: f64::from(burst),
            per_second: f64::from(per_second),
            filled: now,
        }
    }

    /// Takes one token, if one is there.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let there = self.tokens >= 1.0;
        if there {
            self.tokens -= 1.0;
        }
        there
    }

    /// Takes what an answer turned out to cost, into debt if need be.
    pub(super) fn charge(&mut self, tokens: u32) {
        self.tokens -= f64::from(tokens);
    }

    /// How long until its debt is paid; nothing if it has none.
    pub(super) fn debt(&mut self, now: Instant) -> Duration {
        self.fill(now);
        Duration::try_from_secs_f64(-self.tokens / self.per_second).unwrap_or_default()
    }

    /// Whether nothing is missing: a new bucket would be the same.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= self.burst
    }

    fn fill(&mut self, now: Instant) {
        let grown = now.saturating_duration_since(self.filled).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + grown).min(self.burst);
        self.filled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p2p_5_a_burst_is_allowed_once_and_grows_back() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, 2, start);
        assert_eq!((0..5).filter(|_| bucket.take(start)).count(), 3);
        let later = start + Duration::from_millis(1100);
        assert_eq!((0..5).filter(|_| bucket.take(later)).count(), 2);
        let much_later = start + Duration::from_secs(1000);
        assert_eq!((0..5).filter(|_| bucket.take(much_later)).count(), 3);
    }

    #[test]
    fn p2p_5_a_large_answer_is_a_debt_to_wait_out() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, 2, start);
        assert!(bucket.take(start));
        bucket.charge(4);
        assert!(!bucket.take(start + Duration::from_secs(1)));
        assert!(bucket.take(start + Duration::from_secs(2)));
    }

    #[test]
    fn p2p_5_a_debt_says_how_long_it_lasts() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, 2, start);
        bucket.charge(3);
        assert_eq!(bucket.debt(start), Duration::ZERO);
        bucket.charge(4);
        assert_eq!(bucket.debt(start), Duration::from_secs(2));
        assert_eq!(bucket.debt(start + Duration::from_secs(3)), Duration::ZERO);
    }
}

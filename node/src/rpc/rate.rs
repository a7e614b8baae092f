//! A rate for each address: a bucket of tokens, refilled with time (RPC-1).
//!
//! The table is bounded. When it is full, buckets that have filled up again are forgotten, since a new
//! one would be the same; when none has, strangers share one bucket.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::limits::Rate;

/// How many addresses have a bucket of their own.
const ADDRESSES: usize = 4096;
/// A token is this many parts, so that slow refills lose nothing to rounding.
const PARTS: u64 = 1_000_000;

/// The rates of all addresses.
#[derive(Debug)]
pub(crate) struct Rates {
    stranger: Rate,
    loopback: Rate,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    parts: u64,
    filled_at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { parts: u64::from(rate.burst) * PARTS, filled_at: now }
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let micros = u64::try_from(now.duration_since(self.filled_at).as_micros()).unwrap_or(u64::MAX);
        // One token a second is one part a microsecond.
        let gained = micros.saturating_mul(u64::from(rate.per_second));
        self.parts = self.parts.saturating_add(gained).min(u64::from(rate.burst) * PARTS);
        self.filled_at = now;
    }

    fn is_full(&self, rate: Rate, now: Instant) -> bool {
        let mut copy = *self;
        copy.refill(rate, now);
        copy.parts == u64::from(rate.burst) * PARTS
    }
}

impl Rates {
    pub(crate) fn new(stranger: Rate, loopback: Rate) -> Self {
        Self { stranger, loopback, buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes a token of this address, if it has one.
    pub(crate) fn take(&self, address: IpAddr) -> bool {
        self.take_at(address, Instant::now())
    }

    /// Whether this address has a token; none is taken.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let stranger = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let is_full = buckets.len() >= ADDRESSES;
        let key = network(address);
        let key = if is_full && !buckets.contains_key(&key) { stranger } else { key };
        let rate = self.rate_of(address);
        buckets.get_mut(&key).is_none_or(|bucket| {
            bucket.refill(rate, Instant::now());
            bucket.parts >= PARTS
        })
    }

    fn take_at(&self, address: IpAddr, now: Instant) -> bool {
        let rate = self.rate_of(address);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = network(address);
        if !buckets.contains_key(&key) && buckets.len() >= ADDRESSES {
            buckets.retain(|address, bucket| !bucket.is_full(self.rate_of(*address), now));
            if buckets.len() >= ADDRESSES {
                key = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let bucket = buckets.entry(key).or_insert_with(|| Bucket::full(rate, now));
        bucket.refill(rate, now);
        let has = bucket.parts >= PARTS;
        bucket.parts -= if has { PARTS } else { 0 };
        has
    }

    fn rate_of(&self, address: IpAddr) -> Rate {
        if address.is_loopback() { self.loopback } else { self.stranger }
    }
}

/// An IPv6 customer has a whole /64, so that is what counts as one address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))
        }
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn rates() -> Rates {
        Rates::new(Rate { per_second: 2, burst: 3 }, Rate { per_second: 1000, burst: 1000 })
    }

    fn stranger(number: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + number).to_be_bytes())
    }

    #[test]
    fn rpc_1_an_address_gets_its_burst_and_then_its_rate() {
        let (rates, start) = (rates(), Instant::now());
        let taken = |millis: u64| rates.take_at(stranger(1), start + Duration::from_millis(millis));
        assert_eq!([taken(0), taken(0), taken(0), taken(0)], [true, true, true, false]);
        assert_eq!([taken(499), taken(500), taken(501)], [false, true, false]);
        assert!(rates.take_at(stranger(2), start), "another address has a bucket of its own");
    }

    #[test]
    fn asking_takes_nothing() {
        let rates = rates();
        assert!((0..10).all(|_| rates.has(stranger(1))));
        assert!((0..3).all(|_| rates.take(stranger(1))));
        assert!(!rates.has(stranger(1)) && rates.has(stranger(2)));
    }

    #[test]
    fn loopback_is_generous_but_bounded() {
        let (rates, now) = (rates(), Instant::now());
        let home: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!((0..5000).filter(|_| rates.take_at(home, now)).count(), 1000);
    }

    #[test]
    fn the_table_is_bounded_and_strangers_beyond_share() {
        let (rates, now) = (rates(), Instant::now());
        for number in 0..ADDRESSES as u32 {
            assert!(rates.take_at(stranger(number), now));
        }
        let beyond = (0..100).filter(|number| rates.take_at(stranger(1 << 20 | number), now)).count();
        assert_eq!(beyond, 3);
        assert!(rates.buckets.lock().unwrap().len() <= ADDRESSES + 1);
        let later = now + Duration::from_secs(60);
        assert!(rates.take_at(stranger(1 << 21), later));
        assert_eq!(rates.buckets.lock().unwrap().len(), 1);
    }

    #[test]
    fn one_ipv6_customer_is_one_address() {
        let (one, other) = ("2001:db8::1".parse().unwrap(), "2001:db8::ffff:1".parse().unwrap());
        assert_eq!(network(one), network(other));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), stranger(1));
    }
}

//! The base fee rises with load and falls with time: since when a transaction can pay it.

use synod_types::UnixMillis;

/// So many falls in a row are remembered; each is by an eighth at most, so that these are a factor of thousands.
const FALLS: usize = 64;

/// The base fee now, and by what it was above that of late.
#[derive(Debug)]
pub(super) struct BaseFee {
    /// The next block's, wei for each gas.
    now: u128,
    /// Higher ones, and until when each was asked: fees fall and times rise from one to the next, since what was lower
    /// than a later one says nothing.
    above: Vec<(u128, UnixMillis)>,
}

impl BaseFee {
    pub(super) fn new(now: u128) -> Self {
        Self { now, above: Vec::new() }
    }

    pub(super) fn now(&self) -> u128 {
        self.now
    }

    /// From `time` on it is `fee`.
    pub(super) fn set(&mut self, fee: u128, time: UnixMillis) {
        let before = std::mem::replace(&mut self.now, fee);
        if before <= fee {
            self.above.retain(|(above, _)| *above > fee);
            return;
        }
        self.above.retain(|(above, _)| *above > before);
        self.above.push((before, time));
        let forgotten = self.above.len().saturating_sub(FALLS);
        self.above.drain(..forgotten);
    }

    /// Since when a block takes what pays at most `max_fee`; `None` if it does not now.
    pub(super) fn paid_since(&self, max_fee: u128) -> Option<UnixMillis> {
        let too_dear = self.above.iter().rev().find(|(fee, _)| *fee > max_fee);
        (max_fee >= self.now).then(|| too_dear.map_or(UnixMillis(0), |(_, until)| *until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_pays_too_little_waits_since_the_fee_fell() {
        let mut fee = BaseFee::new(10);
        let since = |fee: &BaseFee, max_fee| fee.paid_since(max_fee).map(|since| since.0);
        assert_eq!((since(&fee, 9), since(&fee, 10)), (None, Some(0)));
        for (time, now) in [(1, 20), (2, 30), (3, 25), (4, 25), (5, 15)] {
            fee.set(now, UnixMillis(time));
        }
        let all: Vec<_> = [14, 15, 24, 25, 29, 30].map(|max_fee| since(&fee, max_fee)).into();
        assert_eq!(all, [None, Some(5), Some(5), Some(3), Some(3), Some(0)]);
        // A second peak hides what was lower before it, and leaves what was higher.
        fee.set(28, UnixMillis(6));
        fee.set(12, UnixMillis(7));
        assert_eq!([12, 27, 28, 29, 30].map(|max_fee| since(&fee, max_fee)), [7, 7, 3, 3, 0].map(Some));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut fee = BaseFee::new(1_000);
        (0..900).for_each(|time| fee.set(999 - u128::from(time), UnixMillis(time)));
        assert_eq!(fee.above.len(), FALLS);
        assert_eq!(fee.paid_since(100), Some(UnixMillis(899)));
    }
}

//! The seeded generator that protocols and the simulator draw from: xoshiro256** (Blackman and Vigna 2018),
//! its state filled by splitmix64. It is fast and repeatable, and no secret may depend on it.

/// A generator of which equal seeds give equal draws on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut mixer = seed;
        let mut draw = || {
            mixer = mixer.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = mixer;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ (word >> 31)
        };
        Self { state: [draw(), draw(), draw(), draw()] }
    }

    /// An independent generator, so that one consumer's draws do not shift another's.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next_u64())
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `bound`; 0 when `bound` is 0. The bias is below `bound` / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included; `low` when the range is empty.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// True in `parts` of a million draws.
    pub fn chance(&mut self, parts_per_million: u64) -> bool {
        parts_per_million > 0 && self.below(1_000_000) < parts_per_million
    }

    /// One of `items`, or `None` when there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of xoshiro256** from the state 1, 2, 3, 4 (the authors' reference code).
    #[test]
    fn the_generator_is_xoshiro256_star_star() {
        let mut random = Random { state: [1, 2, 3, 4] };
        let drawn: Vec<u64> = (0..4).map(|_| random.next_u64()).collect();
        assert_eq!(drawn, [11520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
    }

    #[test]
    fn a11_equal_seeds_give_equal_draws_and_bounds_hold() {
        let (mut left, mut right) = (Random::new(9), Random::new(9));
        for _ in 0..1000 {
            let drawn = left.between(3, 7);
            assert_eq!(drawn, right.between(3, 7));
            assert!((3..=7).contains(&drawn));
        }
        assert_eq!(left.below(0), 0);
        assert!(!left.chance(0) && left.chance(1_000_000));
        assert_eq!(left.pick::<u8>(&[]), None);
    }
}

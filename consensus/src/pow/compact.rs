//! Compact targets and work (POW-1, POW-2).
//!
//! A header names its target in Bitcoin's compact form: one byte of length and three of mantissa, whose
//! highest bit is a sign. Many encodings of that form are traps (negative, zero, too large, several for one
//! number), so [`Target::from_compact`] takes exactly those that [`Target::to_compact`] writes, up to the
//! network's limit. A block's work is ⌊2^256 / (target + 1)⌋, and a chain's the sum, in 256 bits.

use alloy_primitives::U256;
use serde::{Deserialize, Serialize};
use synod_types::{BlockHash, codec::fixed, mutant};

/// The number that a block's hash must not pass. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target(U256);

/// Why compact bits are no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// The sign bit is set.
    #[error("bits {0:#010x}: negative")]
    Negative(u32),
    /// The target is zero, which no hash reaches.
    #[error("bits {0:#010x}: zero")]
    Zero(u32),
    /// The target does not fit into 256 bits.
    #[error("bits {0:#010x}: beyond 256 bits")]
    Overflow(u32),
    /// Another encoding of the same target is the canonical one.
    #[error("bits {0:#010x}: not the canonical encoding of its target")]
    NotCanonical(u32),
    /// Easier than the network allows.
    #[error("bits {0:#010x}: easier than the network's limit")]
    AboveLimit(u32),
}

impl Target {
    /// The target that `bits` name, whatever the network's limit is.
    ///
    /// # Errors
    /// [`CompactError`].
    pub fn from_compact(bits: u32) -> Result<Self, CompactError> {
        let (length, mantissa) = (bits >> 24, bits & 0x007f_ffff);
        if bits & 0x0080_0000 != 0 {
            return Err(CompactError::Negative(bits));
        }
        let target = if length <= 3 {
            U256::from(mantissa >> (8 * (3 - length)))
        } else {
            let shift = 8 * (length as usize - 3);
            let mantissa = U256::from(mantissa);
            if mantissa.bit_len() + shift > 256 && !mantissa.is_zero() {
                return Err(CompactError::Overflow(bits));
            }
            mantissa.checked_shl(shift).unwrap_or_default()
        };
        if target.is_zero() {
            return Err(CompactError::Zero(bits));
        }
        let target = Self(target);
        if target.to_compact() != bits {
            return Err(CompactError::NotCanonical(bits));
        }
        Ok(target)
    }

    /// The target that `bits` name, not easier than `limit`.
    ///
    /// # Errors
    /// [`CompactError`].
    pub fn from_compact_within(bits: u32, limit: Self) -> Result<Self, CompactError> {
        let target = Self::from_compact(bits)?;
        if target > limit { Err(CompactError::AboveLimit(bits)) } else { Ok(target) }
    }

    /// The canonical compact form: the target's three highest bytes, the rest cut off.
    pub fn to_compact(self) -> u32 {
        let mut length = self.0.bit_len().div_ceil(8) as u32;
        let mut mantissa = if length <= 3 {
            self.0.to::<u32>() << (8 * (3 - length))
        } else {
            (self.0 >> (8 * (length as usize - 3))).to::<u32>()
        };
        if mantissa & 0x0080_0000 != 0 {
            mantissa >>= 8;
            length += 1;
        }
        (length << 24) | mantissa
    }

    /// The target `number`, or 1 if it is zero.
    pub fn at_least_one(number: U256) -> Self {
        Self(number.max(U256::ONE))
    }

    /// The target as a number.
    pub fn to_number(self) -> U256 {
        self.0
    }

    /// Whether the hash is low enough: the one place where a hash meets a target.
    pub fn is_met_by(self, hash: BlockHash) -> bool {
        hash.to_number() <= self.0
    }

    /// How many hashes a block of this target takes on average: ⌊2^256 / (target + 1)⌋, computed within
    /// 256 bits as ⌊(2^256 - 1 - target) / (target + 1)⌋ + 1.
    pub fn work(self) -> Work {
        match self.0.checked_add(U256::ONE) {
            Some(divisor) => Work(!self.0 / divisor + U256::ONE),
            None => Work(U256::ONE),
        }
    }
}

/// Expected hashes, of a block or summed over a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Work(#[serde(with = "fixed")] pub U256);

impl Work {
    /// The sum. It saturates: 2^256 hashes are out of anyone's reach, so no chain can gain by it.
    pub fn plus(self, other: Self) -> Self {
        if mutant!("pow-u64-work") {
            return Self(U256::from(self.0.wrapping_to::<u64>().wrapping_add(other.0.wrapping_to::<u64>())));
        }
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, zero when `other` is more.
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bitcoin Core's table of compact forms (arith_uint256_tests, `bignum_SetCompact`), as verdicts.
    #[test]
    fn pow_1_traps_of_the_compact_form_are_refused() {
        use CompactError::{Negative, NotCanonical, Overflow, Zero};
        let cases = [
            (0x0000_0000, Zero(0x0000_0000)),
            (0x0012_3456, Zero(0x0012_3456)),
            (0x0100_3456, Zero(0x0100_3456)),
            (0x0200_0056, Zero(0x0200_0056)),
            (0x0300_0000, Zero(0x0300_0000)),
            (0x0400_0000, Zero(0x0400_0000)),
            (0x2000_0000, Zero(0x2000_0000)),
            (0xff00_0000, Zero(0xff00_0000)),
            (0x0092_3456, Negative(0x0092_3456)),
            (0x0492_3456, Negative(0x0492_3456)),
            (0x01fe_dcba, Negative(0x01fe_dcba)),
            (0x0112_3456, NotCanonical(0x0112_3456)),
            (0x0200_1200, NotCanonical(0x0200_1200)),
            (0x0400_1234, NotCanonical(0x0400_1234)),
            (0xff12_3456, Overflow(0xff12_3456)),
            (0x2112_3456, Overflow(0x2112_3456)),
            (0x2200_0100, Overflow(0x2200_0100)),
        ];
        for (bits, error) in cases {
            assert_eq!(Target::from_compact(bits), Err(error), "{bits:#010x}");
        }
    }

    #[test]
    fn pow_1_canonical_forms_are_read_as_bitcoin_reads_them() {
        let cases: [(u32, U256); 6] = [
            (0x0112_0000, U256::from(0x12)),
            (0x0200_8000, U256::from(0x80)),
            (0x0412_3456, U256::from(0x1234_5600_u64)),
            (0x0500_9234, U256::from(0x9234_0000_u64)),
            (0x1d00_ffff, U256::from(0xffff) << 208),
            (0x207f_ffff, U256::from(0x7f_ffff) << 232),
        ];
        for (bits, number) in cases {
            assert_eq!(Target(number).to_compact(), bits, "{bits:#010x}");
            let read = Target::from_compact(bits).expect("canonical");
            assert_eq!(read, Target(number), "{bits:#010x}");
        }
    }

    #[test]
    fn pow_1_every_canonical_form_round_trips_and_nothing_else_does() {
        let mut accepted = 0;
        for length in 0..=255_u32 {
            for mantissa in [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7f_ffff, 0x80_0000, 0xff_ffff]
            {
                let bits = (length << 24) | mantissa;
                let Ok(target) = Target::from_compact(bits) else { continue };
                assert_eq!(target.to_compact(), bits);
                accepted += 1;
            }
        }
        assert!(accepted > 90, "{accepted}");
    }

    #[test]
    fn pow_1_a_target_above_the_limit_is_refused() {
        let limit = Target::from_compact(0x1d00_ffff).expect("canonical");
        assert_eq!(Target::from_compact_within(0x1d00_ffff, limit), Ok(limit));
        assert_eq!(
            Target::from_compact_within(0x1d01_0000, limit),
            Err(CompactError::AboveLimit(0x1d01_0000))
        );
    }

    #[test]
    fn pow_2_work_is_two_to_the_256_over_target_plus_one() {
        let work = |bits| Target::from_compact(bits).expect("canonical").work().0;
        assert_eq!(work(0x1d00_ffff), U256::from(0x1_0001_0001_u64));
        assert_eq!(work(0x207f_ffff), U256::from(2));
        assert_eq!(Target(U256::MAX).work().0, U256::ONE);
        assert_eq!(Target(U256::ONE).work().0, U256::from(1) << 255);
    }

    #[test]
    fn pow_2_sums_pass_64_bits_and_saturate_at_256() {
        let sum = Work(U256::from(u64::MAX)).plus(Work(U256::ONE));
        assert_eq!(sum.0, U256::from(1) << 64);
        assert_eq!(Work(U256::MAX).plus(sum), Work(U256::MAX));
    }
}

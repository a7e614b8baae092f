//! The difficulty rule: ASERT, as Bitcoin Cash's aserti3-2d (POW-4).
//!
//! The next target is the anchor's, times 2^((time since the anchor - time that its descendants should have
//! taken) / half-life). It depends on the parent's time and height alone, never on a window of blocks, so
//! there is nothing to game at a window's edge; a lie about one timestamp is forgotten with that block. All
//! is integer arithmetic: the exponent in 16 fractional bits, 2^x over one octave by a cubic whose error is
//! below 0.013 %. Only the result is clamped, to [1, limit].
//!
//! Our anchor is the genesis block, as if a parent had come one spacing before it: the first block's target
//! is the genesis block's.

use alloy_primitives::{U256, aliases::U512};
use synod_types::mutant;

use super::compact::Target;

/// Fractional bits of the exponent.
const RADIX: u32 = 16;
/// A target never moves by more octaves than this before the clamp takes hold.
const SHIFT_BOUND: i64 = 300;

/// The rule, anchored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asert {
    /// Height of the anchor block.
    pub anchor_height: u64,
    /// Time of the anchor's parent, in seconds.
    pub anchor_parent_time: i64,
    /// The anchor's target.
    pub anchor_target: Target,
    /// Intended seconds between blocks.
    pub spacing: u32,
    /// Seconds of delay that double the target.
    pub half_life: u32,
    /// The easiest target.
    pub limit: Target,
}

impl Asert {
    /// The target of the block above the one at `parent_height` with `parent_time` (seconds).
    pub fn next_target(&self, parent_height: u64, parent_time: u32) -> Target {
        let heights = i128::from(parent_height) - i128::from(self.anchor_height) + 1;
        let elapsed = i128::from(parent_time) - i128::from(self.anchor_parent_time);
        let late = elapsed - i128::from(self.spacing) * heights;
        // Truncated towards zero, as the specification's own code does.
        let exponent = (late << RADIX) / i128::from(self.half_life);
        let octaves = i64::try_from(exponent >> RADIX).unwrap_or(if late < 0 { i64::MIN } else { i64::MAX });
        let fraction = (exponent & 0xffff) as u64;
        let scaled = self.anchor_target.to_number().widening_mul(U256::from(two_to_the(fraction)));
        self.clamp(shifted(scaled, octaves.clamp(-SHIFT_BOUND, SHIFT_BOUND)))
    }

    fn clamp(&self, number: U512) -> Target {
        if mutant!("pow-4-no-clamp") {
            return Target::at_least_one(number.wrapping_to::<U256>());
        }
        let limit = self.limit.to_number();
        let within = if number > U512::from(limit) { limit } else { number.to::<U256>() };
        Target::at_least_one(within)
    }
}

/// 2^(fraction / 2^16), in 16 fractional bits.
fn two_to_the(fraction: u64) -> u64 {
    let x = u128::from(fraction);
    let cubic = 195_766_423_245_049 * x + 971_821_376 * x * x + 5_127 * x * x * x + (1 << 47);
    65_536 + (cubic >> 48) as u64
}

/// `scaled` · 2^octaves without its 16 fractional bits, all ones when that passes 512 bits.
fn shifted(scaled: U512, octaves: i64) -> U512 {
    let shift = octaves - i64::from(RADIX);
    if shift <= 0 {
        return scaled >> (shift.unsigned_abs() as usize);
    }
    let shift = shift as usize;
    if scaled.bit_len() + shift > 512 { U512::MAX } else { scaled << shift }
}

#[cfg(test)]
#[path = "asert_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "asert_statistics.rs"]
mod statistics;

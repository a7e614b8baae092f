//! ASERT against the published runs, against a big-integer model of the same formula, and against the true
//! exponential.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::random::Random;

fn rule(bits: u32) -> Asert {
    Asert {
        anchor_height: 0,
        anchor_parent_time: 1_000_000 - 2,
        anchor_target: Target::from_compact(bits).unwrap(),
        spacing: 2,
        half_life: 8,
        limit: Target::from_compact(0x207f_ffff).unwrap(),
    }
}

/// A run of the specification: its anchor, then lines of (iteration, height, time, compact target).
fn replay(text: &str) -> usize {
    let named = |name: &str| {
        let line = text.lines().find(|line| line.contains(name)).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let bits = u32::from_str_radix(named("anchor nBits").trim_start_matches("0x"), 16).unwrap();
    let rule = Asert {
        anchor_height: named("anchor height").parse().unwrap(),
        anchor_parent_time: named("anchor ancestor time").parse().unwrap(),
        anchor_target: Target::from_compact(bits).unwrap(),
        spacing: 600,
        half_life: 172_800,
        limit: Target::from_compact(0x1d00_ffff).unwrap(),
    };
    let mut lines = 0;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let [_, height, time, target] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!() };
        // Times of some runs pass 32 bits; the difference of two times is all that counts.
        let time: i64 = time.parse().unwrap();
        let moved = Asert { anchor_parent_time: rule.anchor_parent_time - time, ..rule };
        let found = moved.next_target(height.parse().unwrap(), 0).to_compact();
        assert_eq!(format!("{found:#010x}"), target, "line {line:?}");
        lines += 1;
    }
    lines
}

#[test]
fn pow_4_the_published_runs_are_met_exactly() {
    let Ok(vectors) = std::env::var("SYNOD_VECTORS") else {
        eprintln!("skipped: SYNOD_VECTORS is not set");
        return;
    };
    let lines: usize = (1..=8)
        .map(|run| replay(&std::fs::read_to_string(format!("{vectors}/asert/run{run:02}")).unwrap()))
        .sum();
    assert_eq!(lines, 10 + 10 + 10 + 225 + 225 + 1000 + 1000 + 500);
}

/// Numbers of any size, little-endian in base 2^16: school arithmetic, nothing shared with the code.
mod model {
    pub(super) type Big = Vec<u64>;

    pub(super) fn big(bytes_be: &[u8]) -> Big {
        bytes_be
            .rchunks(2)
            .map(|pair| pair.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
            .collect()
    }

    pub(super) fn times(number: &Big, factor: u64) -> Big {
        let mut carry = 0;
        let mut product: Big = number
            .iter()
            .map(|digit| {
                let sum = digit * factor + carry;
                carry = sum >> 16;
                sum & 0xffff
            })
            .collect();
        while carry > 0 {
            product.push(carry & 0xffff);
            carry >>= 16;
        }
        product
    }

    pub(super) fn halved(number: &Big) -> Big {
        let mut rest = 0;
        let mut half: Big = number
            .iter()
            .rev()
            .map(|digit| {
                let digit = (rest << 16) | digit;
                rest = digit & 1;
                digit >> 1
            })
            .collect();
        half.reverse();
        half
    }

    pub(super) fn trimmed(mut number: Big) -> Big {
        while number.last() == Some(&0) {
            number.pop();
        }
        number
    }

    pub(super) fn more(left: &Big, right: &Big) -> bool {
        let (left, right) = (trimmed(left.clone()), trimmed(right.clone()));
        (left.len(), left.iter().rev().collect::<Vec<_>>()) > (right.len(), right.iter().rev().collect())
    }
}

/// The formula once more, in whole numbers of any size: no clamp on the way, one doubling at a time.
fn modelled(rule: &Asert, parent_height: u64, parent_time: u32) -> model::Big {
    let late = i128::from(parent_time)
        - i128::from(rule.anchor_parent_time)
        - i128::from(rule.spacing) * (i128::from(parent_height - rule.anchor_height) + 1);
    let magnitude = late.unsigned_abs() * 65_536 / u128::from(rule.half_life);
    let exponent = if late < 0 { -(magnitude as i128) } else { magnitude as i128 };
    let (octaves, fraction) = (exponent.div_euclid(65_536), exponent.rem_euclid(65_536) as u128);
    let cubic = 195_766_423_245_049 * fraction
        + 971_821_376 * fraction.pow(2)
        + 5_127 * fraction.pow(3)
        + 140_737_488_355_328;
    let factor = 65_536 + (cubic / 281_474_976_710_656) as u64;
    let mut number = model::times(&model::big(&rule.anchor_target.to_number().to_be_bytes::<32>()), factor);
    let limit = model::big(&rule.limit.to_number().to_be_bytes::<32>());
    // The factor's 16 fractional bits go last, so that nothing is cut off before the shift is known.
    for _ in 0..(octaves - 16).unsigned_abs().min(2_000) {
        number = if octaves > 16 { model::times(&number, 2) } else { model::halved(&number) };
    }
    let number = if model::more(&number, &limit) { limit } else { number };
    let number = model::trimmed(number);
    if number.is_empty() { vec![1] } else { number }
}

#[test]
fn pow_4_the_rule_equals_its_big_integer_model() {
    let mut random = Random::new(4);
    for round in 0..20_000 {
        let bits = [0x1f00_ffff, 0x207f_ffff, 0x1d00_ffff, 0x0101_0000, 0x1802_aee8][round % 5];
        let mut rule = rule(bits);
        rule.half_life = random.between(1, 200_000) as u32;
        let (height_bits, drift_bits) = (random.below(22), random.below(16));
        let (height, drift) = (random.below(1 << height_bits), random.below(1 << drift_bits));
        let ideal = 1_000_000 + 2 * height;
        let time = if random.chance(500_000) { ideal + drift } else { ideal.saturating_sub(drift) };
        let found = rule.next_target(height, time as u32).to_number();
        assert_eq!(
            model::trimmed(model::big(&found.to_be_bytes::<32>())),
            modelled(&rule, height, time as u32),
            "bits {bits:#x} height {height} time {time} half-life {}",
            rule.half_life
        );
    }
}

/// Every one of the 65,536 fractions, against the machine's own exponential.
#[test]
fn pow_4_the_cubic_stays_within_0_013_percent_of_two_to_the_x() {
    for fraction in 0..65_536_u64 {
        let truth = (fraction as f64 / 65_536.0).exp2() * 65_536.0;
        let error = (two_to_the(fraction) as f64 - truth).abs() / truth;
        assert!(error < 0.000_13, "{fraction}: {error}");
    }
    assert_eq!((two_to_the(0), two_to_the(65_535)), (65_536, 131_071));
}

#[test]
fn pow_4_the_first_block_has_the_genesis_target_and_the_result_is_clamped() {
    let rule = rule(0x1f00_ffff);
    assert_eq!(rule.next_target(0, 1_000_000), rule.anchor_target);
    assert_eq!(rule.next_target(10, 1_000_000 + 20), rule.anchor_target);
    assert_eq!(rule.next_target(0, 1_000_008).to_number(), rule.anchor_target.to_number() << 1);
    assert_eq!(rule.next_target(4, 1_000_000).to_number(), rule.anchor_target.to_number() >> 1);
    assert_eq!(rule.next_target(0, u32::MAX), rule.limit);
    assert_eq!(rule.next_target(u64::MAX, 0).to_number(), U256::ONE);
}

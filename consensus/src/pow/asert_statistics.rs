//! How the difficulty rule behaves under chance (`DEFAULTS`: the line on the PoW testnet): after a tenfold
//! change of the hash power, and while it is steady. Solve times are drawn from the exponential law.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::random::Random;

const SPACING: f64 = 2.0;
const GENESIS_TIME: f64 = 1_700_000_000.0;

/// A chain that is mined with given hash power, with times in fractions of a second.
struct Chain {
    rule: Asert,
    height: u64,
    time: f64,
}

impl Chain {
    fn new() -> Self {
        let anchor_target = Target::from_compact(0x1f00_ffff).unwrap();
        let limit = Target::from_compact(0x207f_ffff).unwrap();
        let anchor_parent_time = GENESIS_TIME as i64 - 2;
        let rule =
            Asert { anchor_height: 0, anchor_parent_time, anchor_target, spacing: 2, half_life: 8, limit };
        Self { rule, height: 0, time: GENESIS_TIME }
    }

    /// The next target, as a multiple of the anchor's.
    fn ease(&self) -> f64 {
        let target = self.rule.next_target(self.height, self.time as u32).to_number();
        f64::from(target) / f64::from(self.rule.anchor_target.to_number())
    }

    /// Mines a block with `power` times the power that the anchor's target fits.
    fn mine(&mut self, power: f64, random: &mut Random) {
        let uniform = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        self.time += -(1.0 - uniform).ln() * SPACING / (power * self.ease());
        self.height += 1;
    }
}

fn runs() -> u64 {
    std::env::var("SYNOD_ASERT_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(500)
}

/// The share of runs in which, within 20 blocks of the change, the target was within 2x of the right one.
fn share_recovered(factor: f64) -> f64 {
    let mut random = Random::new(7);
    let mut recovered = 0;
    for _ in 0..runs() {
        let mut chain = Chain::new();
        (0..200).for_each(|_| chain.mine(1.0, &mut random));
        recovered += u64::from((0..20).any(|_| {
            chain.mine(factor, &mut random);
            (0.5..=2.0).contains(&(chain.ease() * factor))
        }));
    }
    recovered as f64 / runs() as f64
}

#[test]
fn pow_4_a_tenfold_change_is_met_within_twenty_blocks() {
    for factor in [10.0, 0.1] {
        let share = share_recovered(factor);
        println!(
            "power x{factor}: within 2x of the right target in 20 blocks in {:.1} % of runs",
            share * 100.0
        );
        assert!(share >= 0.94, "{share}");
    }
}

#[test]
fn pow_4_steady_power_keeps_the_target_within_a_factor_of_six() {
    let (mut chain, mut random) = (Chain::new(), Random::new(8));
    let mut eases: Vec<f64> = (0..20 * runs())
        .map(|_| {
            chain.mine(1.0, &mut random);
            chain.ease()
        })
        .collect();
    eases.sort_by(f64::total_cmp);
    let (low, high) = (eases[eases.len() / 100], eases[eases.len() * 99 / 100]);
    println!("steady: p99/p1 of the target = {:.2}", high / low);
    assert!(high / low <= 6.0, "{}", high / low);
    let mean = (chain.time - GENESIS_TIME) / chain.height as f64;
    assert!((1.9..=2.1).contains(&mean), "mean spacing {mean}");
}

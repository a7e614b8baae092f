//! The base fee: EIP-1559's form, by time.
//!
//! **The rule.** Chain time is cut into periods of `period_ms`, counted from the genesis time. All blocks of a
//! period have one base fee. A block's period is its time's, or its parent's when its time goes backwards
//! (proof of work allows that a little). When a block opens a later period than its parent's, the base fee
//! moves once for the parent's period, by what was used in it, and once for each period without a block
//! between, as for a period in which nothing was used. One move from a fee F, with the gas G used in a
//! period and the target T = `target_gas_per_second · period`:
//!
//! - G > T: F grows by F · min(G − T, T) / T / 8, at least by 1;
//! - G < T: F falls by F · (T − G) / T / 8, at least by 1, never below the floor;
//! - G = T: F stands.
//!
//! **What follows.** In any stretch of time the fee changes by at most a factor of 9/8 for each period,
//! however many blocks fall into it, so a burst of fast blocks cannot price out those who wait; an idle
//! chain's fee decays to the floor by the clock alone, without blocks, so whoever pays the floor gets in; and
//! all of it is a function of the parent's [`System`] record and the block's time.

use synod_types::{Gas, U256, UnixMillis};

use super::Rules;
use crate::state::System;

/// The base fee of a block at `time` over a parent that left `system`, in wei for each gas.
pub fn base_fee_at(rules: &Rules, time: UnixMillis, system: &System) -> u128 {
    let mut system = *system;
    open_period(rules, time, &mut system)
}

/// Brings the meter to the period of a new block, and returns the block's base fee.
pub(super) fn open_period(rules: &Rules, time: UnixMillis, system: &mut System) -> u128 {
    let since_genesis = time.0.saturating_sub(rules.genesis_time.0);
    let period = since_genesis / rules.fees.period_ms;
    if period > system.period {
        let idle_periods = period - system.period - 1;
        let moved = after_period(rules, system.base_fee, system.period_gas);
        system.base_fee = after_idle_periods(rules, moved, idle_periods);
        system.period = period;
        system.period_gas = 0;
    }
    system.base_fee
}

/// Counts a block's gas.
pub(super) fn close_block(gas_used: Gas, system: &mut System) {
    system.period_gas = system.period_gas.saturating_add(gas_used.0);
}

/// The gas for one period at which the fee stands; at least 1.
pub fn target_gas(rules: &Rules) -> u64 {
    let product = u128::from(rules.fees.target_gas_per_second) * u128::from(rules.fees.period_ms);
    u64::try_from(product / 1000).unwrap_or(u64::MAX).max(1)
}

fn after_period(rules: &Rules, base_fee: u128, gas: u64) -> u128 {
    let target = target_gas(rules);
    let floor = u128::from(rules.fees.base_fee_floor);
    let share = |part: u64| {
        let moved = U256::from(base_fee) * U256::from(part) / U256::from(target) / U256::from(8);
        moved.to::<u128>().max(1)
    };
    match gas.cmp(&target) {
        std::cmp::Ordering::Equal => base_fee,
        std::cmp::Ordering::Greater => base_fee.saturating_add(share((gas - target).min(target))),
        std::cmp::Ordering::Less => base_fee.saturating_sub(share(target - gas)).max(floor),
    }
}

/// Stops at the floor, which a fee of 128 bits reaches in fewer than 800 moves of an eighth.
fn after_idle_periods(rules: &Rules, mut base_fee: u128, periods: u64) -> u128 {
    let floor = u128::from(rules.fees.base_fee_floor);
    for _ in 0..periods {
        if base_fee <= floor {
            break;
        }
        base_fee = after_period(rules, base_fee, 0);
    }
    base_fee
}

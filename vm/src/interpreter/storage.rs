//! Storage: `SLOAD` and `SSTORE`. (`TLOAD` and `TSTORE` have a fixed price and stand in the loop.)

use crate::frame::{Frame, Scope};
use crate::gas;
use crate::halt::Halt;
use alloy_primitives::U256;

/// `SLOAD`: replaces the key by the value. The warm price is charged already (EIP-2929).
#[inline(never)]
pub(super) fn sload<T>(
    scope: &mut Scope<'_, '_, T>,
    frame: &Frame,
    gas: u64,
    item: &mut U256,
) -> Result<u64, Halt> {
    let (value, was_cold) = scope.journal.read_slot(frame.account, *item);
    *item = value;
    if was_cold { gas::charge(gas, gas::COLD_SLOT - gas::WARM) } else { Ok(gas) }
}

/// `SSTORE` (EVM-6): the sentry of EIP-2200, the cold price of EIP-2929, then the table in
/// [`gas::sstore`], and its refund (EIP-3529).
#[inline(never)]
pub(super) fn sstore<T>(
    scope: &mut Scope<'_, '_, T>,
    frame: &Frame,
    gas: u64,
    key: &U256,
    value: &U256,
) -> Result<u64, Halt> {
    if gas <= gas::SSTORE_SENTRY {
        return Err(Halt::OutOfGas);
    }
    let slot = scope.journal.slot(frame.account, *key);
    let cold = if slot.was_cold { gas::COLD_SLOT } else { 0 };
    let (cost, refund) = gas::sstore(&slot.original, &slot.current, value);
    let gas = gas::charge(gas, cold + cost)?;
    scope.journal.add_refund(refund);
    if slot.current != *value {
        scope.journal.write_slot(frame.account, *key, *value);
    }
    Ok(gas)
}

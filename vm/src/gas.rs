//! The gas schedule: what the operands and the state add to an instruction's base gas.
//!
//! Names follow the Yellow Paper's appendix G and the EIPs. All sums are checked: a cost that does not
//! fit in 64 bits is more gas than anyone has.

use crate::halt::Halt;
use alloy_primitives::U256;

/// Added when an account is touched for the first time in a transaction: 2,600 in all (EIP-2929).
pub const COLD_ACCOUNT: u64 = 2_500;
/// The whole price of a cold account where no warm price is charged before (`SELFDESTRUCT`).
pub const COLD_ACCOUNT_WHOLE: u64 = 2_600;
/// A storage slot's first access in a transaction (EIP-2929).
pub const COLD_SLOT: u64 = 2_100;
/// Any later access.
pub const WARM: u64 = 100;

/// `SSTORE` that fills an empty slot.
pub const SSTORE_SET: u64 = 20_000;
/// `SSTORE` that changes a filled slot, its cold price apart (EIP-2929).
pub const SSTORE_RESET: u64 = 2_900;
/// Refund for emptying a slot (EIP-3529).
pub const SSTORE_CLEARS_REFUND: i64 = 4_800;
/// `SSTORE` fails with this much gas or less, so that a stipend cannot write (EIP-2200).
pub const SSTORE_SENTRY: u64 = 2_300;

/// A call that moves value.
pub const CALL_VALUE: u64 = 9_000;
/// Gas that such a call hands to the callee for free.
pub const CALL_STIPEND: u64 = 2_300;
/// A call or self-destruct that brings an account into being.
pub const NEW_ACCOUNT: u64 = 25_000;

/// Each byte of deployed code.
pub const CODE_DEPOSIT: u64 = 200;
/// Each word of init code (EIP-3860).
pub const INIT_CODE_WORD: u64 = 2;
/// Each word hashed.
pub const KECCAK_WORD: u64 = 6;
/// Each word copied.
pub const COPY_WORD: u64 = 3;
/// Each byte of a log's data.
pub const LOG_BYTE: u64 = 8;
/// Each byte of an exponent (EIP-160).
pub const EXP_BYTE: u64 = 50;

/// Every transaction.
pub const TRANSACTION: u64 = 21_000;
/// A transaction that creates a contract.
pub const TRANSACTION_CREATE: u64 = 32_000;
/// Each zero byte of a transaction's data.
pub const DATA_ZERO_BYTE: u64 = 4;
/// Each other byte of it (EIP-2028).
pub const DATA_BYTE: u64 = 16;
/// Each address of an access list (EIP-2930).
pub const ACCESS_LIST_ADDRESS: u64 = 2_400;
/// Each slot of an access list.
pub const ACCESS_LIST_SLOT: u64 = 1_900;
/// Blob gas of one blob (EIP-4844).
pub const BLOB: u64 = 131_072;

/// Takes `cost` from `gas`.
#[inline(always)]
pub(crate) fn charge(gas: u64, cost: u64) -> Result<u64, Halt> {
    gas.checked_sub(cost).ok_or(Halt::OutOfGas)
}

/// Words that `bytes` fill.
#[inline(always)]
pub(crate) const fn words(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(32)
}

/// The price of `bytes` at `per_word`; lengths are bounded by memory's limit, so it cannot overflow.
#[inline(always)]
pub const fn per_word(bytes: usize, per_word: u64) -> u64 {
    words(bytes).saturating_mul(per_word)
}

/// The whole price of a memory of `words`: 3w + ⌊w²/512⌋ (EVM-1).
#[inline(always)]
pub(crate) fn memory(words: u64) -> u64 {
    if synod_types::mutant!("evm-memory-without-its-square") {
        return words.saturating_mul(3);
    }
    words.saturating_mul(3).saturating_add(words.saturating_mul(words) / 512)
}

/// What a call or creation may forward at most: all but a 64th (EIP-150, EVM-2).
#[inline(always)]
pub(crate) fn forwardable(gas: u64) -> u64 {
    if synod_types::mutant!("evm-64th-kept-off") {
        return gas;
    }
    gas - gas / 64
}

/// The price of an `EXP` beyond its base.
#[inline(always)]
pub(crate) fn exponent(exponent: &U256) -> u64 {
    EXP_BYTE * exponent.byte_len() as u64
}

/// What an `SSTORE` costs and refunds: EIP-2200's table with the prices of EIP-2929 and EIP-3529.
///
/// `original` is the slot's value when the transaction began, `current` before this write, `new` after.
#[inline]
pub(crate) fn sstore(original: &U256, current: &U256, new: &U256) -> (u64, i64) {
    if new == current {
        return (WARM, 0);
    }
    if original == current {
        return match (original.is_zero(), new.is_zero()) {
            (true, _) => (SSTORE_SET, 0),
            (false, true) => (SSTORE_RESET, SSTORE_CLEARS_REFUND),
            (false, false) => (SSTORE_RESET, 0),
        };
    }
    (WARM, dirty_sstore_refund(original, current, new))
}

/// The refund of a write to a slot that this transaction has already changed.
fn dirty_sstore_refund(original: &U256, current: &U256, new: &U256) -> i64 {
    let mut refund = 0;
    if !original.is_zero() {
        if current.is_zero() {
            refund -= SSTORE_CLEARS_REFUND;
        } else if new.is_zero() {
            refund += SSTORE_CLEARS_REFUND;
        }
    }
    if original == new {
        let paid = if original.is_zero() { SSTORE_SET } else { SSTORE_RESET };
        refund += (paid - WARM) as i64;
    }
    refund
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EVM-1: the quadratic part is floored, and huge sizes saturate instead of wrapping.
    #[test]
    fn evm_1_memory_costs_three_a_word_and_a_square() {
        assert_eq!([0, 1, 22, 23, 32, 1024].map(memory), [0, 3, 66, 70, 98, 5_120]);
        assert_eq!(memory(u64::MAX), u64::MAX);
    }

    /// EVM-2: the callee gets all but the floor of a 64th.
    #[test]
    fn evm_2_a_64th_stays_with_the_caller() {
        assert_eq!([0, 1, 63, 64, 6_400].map(forwardable), [0, 1, 63, 63, 6_300]);
    }

    /// EVM-6: the table of EIP-3529's appendix, written down by hand: (original, current, new) to
    /// (gas of a warm slot, refund).
    #[test]
    fn evm_6_sstore_costs_and_refunds_follow_the_table() {
        let table = [
            ((0, 0, 0), (100, 0)),
            ((0, 0, 1), (20_000, 0)),
            ((0, 1, 0), (100, 19_900)),
            ((0, 1, 2), (100, 0)),
            ((0, 1, 1), (100, 0)),
            ((1, 0, 0), (100, 0)),
            ((1, 0, 1), (100, -2_000)),
            ((1, 0, 2), (100, -4_800)),
            ((1, 2, 0), (100, 4_800)),
            ((1, 2, 3), (100, 0)),
            ((1, 2, 1), (100, 2_800)),
            ((1, 2, 2), (100, 0)),
            ((1, 1, 0), (2_900, 4_800)),
            ((1, 1, 2), (2_900, 0)),
            ((1, 1, 1), (100, 0)),
        ];
        for ((original, current, new), expected) in table {
            let [o, c, n] = [original, current, new].map(U256::from);
            assert_eq!(sstore(&o, &c, &n), expected, "{original} {current} {new}");
        }
    }
}

//! Arithmetic on 256-bit words: what the Yellow Paper defines beyond plain wrapping operations (EVM-13).
//!
//! Division by zero gives zero; signed words are two's complement. Most operands of real programs fit in
//! one limb, so the divisions look for that first.

use alloy_primitives::U256;
use std::cmp::Ordering;

/// The value when it fits in one limb.
#[inline(always)]
fn one_limb(value: &U256) -> Option<u64> {
    match value.as_limbs() {
        [low, 0, 0, 0] => Some(*low),
        _ => None,
    }
}

#[inline(always)]
fn from_limb(value: u64) -> U256 {
    U256::from_limbs([value, 0, 0, 0])
}

/// A comparison's answer as a word.
#[inline(always)]
pub(super) fn truth(value: bool) -> U256 {
    from_limb(u64::from(value))
}

/// `DIV`
#[inline(always)]
pub(super) fn div(a: &U256, b: &U256) -> U256 {
    match (one_limb(a), one_limb(b)) {
        (_, Some(0)) => U256::ZERO,
        (Some(a), Some(b)) => from_limb(a / b),
        _ => wide_div(a, b),
    }
}

#[inline(never)]
fn wide_div(a: &U256, b: &U256) -> U256 {
    match exponent_of_two(b) {
        Some(exponent) => shr(&from_limb(exponent), a),
        None => a.wrapping_div(*b),
    }
}

/// The logarithm of a power of two. Compilers write shifts and masks as divisions by such numbers.
#[inline(always)]
fn exponent_of_two(value: &U256) -> Option<u64> {
    let is_power = (*value & value.wrapping_sub(U256::ONE)).is_zero();
    is_power.then(|| value.trailing_zeros() as u64)
}

/// `MOD`
#[inline(always)]
pub(super) fn rem(a: &U256, b: &U256) -> U256 {
    match (one_limb(a), one_limb(b)) {
        (_, Some(0)) => U256::ZERO,
        (Some(a), Some(b)) => from_limb(a % b),
        _ => wide_rem(a, b),
    }
}

#[inline(never)]
fn wide_rem(a: &U256, b: &U256) -> U256 {
    match exponent_of_two(b) {
        Some(_) => *a & b.wrapping_sub(U256::ONE),
        None => a.wrapping_rem(*b),
    }
}

#[inline(always)]
fn is_negative(value: &U256) -> bool {
    value.as_limbs()[3] >> 63 == 1
}

#[inline(always)]
fn magnitude(value: &U256) -> U256 {
    if is_negative(value) { value.wrapping_neg() } else { *value }
}

#[inline(always)]
fn with_sign(magnitude: U256, negative: bool) -> U256 {
    if negative { magnitude.wrapping_neg() } else { magnitude }
}

/// `SDIV`: truncates toward zero; the least number divided by −1 wraps to itself.
#[inline(always)]
pub(super) fn sdiv(a: &U256, b: &U256) -> U256 {
    let quotient = div(&magnitude(a), &magnitude(b));
    with_sign(quotient, is_negative(a) != is_negative(b))
}

/// `SMOD`: the sign is the dividend's.
#[inline(always)]
pub(super) fn smod(a: &U256, b: &U256) -> U256 {
    with_sign(rem(&magnitude(a), &magnitude(b)), is_negative(a))
}

/// `ADDMOD`: the sum does not wrap.
#[inline]
pub(super) fn addmod(a: &U256, b: &U256, modulus: &U256) -> U256 {
    if modulus.is_zero() {
        return U256::ZERO;
    }
    let (a, b) = (reduced(a, modulus), reduced(b, modulus));
    let (sum, carried) = a.overflowing_add(b);
    if carried || sum >= *modulus { sum.wrapping_sub(*modulus) } else { sum }
}

#[inline(always)]
fn reduced(value: &U256, modulus: &U256) -> U256 {
    if value < modulus { *value } else { rem(value, modulus) }
}

/// `MULMOD`: the product has 512 bits.
#[inline]
pub(super) fn mulmod(a: &U256, b: &U256, modulus: &U256) -> U256 {
    a.mul_mod(*b, *modulus)
}

/// `EXP`
#[inline]
pub(super) fn exp(base: &U256, exponent: &U256) -> U256 {
    if let (true, Some(exponent)) = (*base == from_limb(2), one_limb(exponent)) {
        return shl(&from_limb(exponent), &from_limb(1));
    }
    base.wrapping_pow(*exponent)
}

/// `SIGNEXTEND`: `at` is the index of the byte that holds the sign, counted from the lowest.
#[inline]
pub(super) fn signextend(at: &U256, value: &U256) -> U256 {
    let Some(at @ 0..31) = one_limb(at) else { return *value };
    let sign = at as usize * 8 + 7;
    let mask = (U256::from(1) << sign).wrapping_sub(U256::from(1));
    if value.bit(sign) { *value | !mask } else { *value & mask }
}

/// The order of two signed words: `SLT` and `SGT`.
#[inline(always)]
pub(super) fn signed_cmp(a: &U256, b: &U256) -> Ordering {
    match (is_negative(a), is_negative(b)) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        _ => a.cmp(b),
    }
}

/// `BYTE`: counted from the highest.
#[inline(always)]
pub(super) fn byte(at: &U256, value: &U256) -> U256 {
    let Some(at @ 0..32) = one_limb(at) else { return U256::ZERO };
    let from_low = 31 - at;
    let limb = value.as_limbs()[(from_low / 8) as usize & 3];
    from_limb(limb >> (from_low % 8 * 8) & 0xff)
}

/// `SHL`: a shift by 256 or more leaves nothing.
#[inline(always)]
pub(super) fn shl(shift: &U256, value: &U256) -> U256 {
    let Some(shift @ 0..256) = one_limb(shift) else { return U256::ZERO };
    let [a, b, c, d] = *value.as_limbs();
    let [a, b, c, d] = match shift / 64 {
        0 => [a, b, c, d],
        1 => [0, a, b, c],
        2 => [0, 0, a, b],
        _ => [0, 0, 0, a],
    };
    let (up, down) = (shift % 64, 63 - shift % 64);
    // Two shifts stand for one by 64 − up, which would overflow where up is 0.
    U256::from_limbs([a << up, b << up | a >> 1 >> down, c << up | b >> 1 >> down, d << up | c >> 1 >> down])
}

/// `SHR`
#[inline(always)]
pub(super) fn shr(shift: &U256, value: &U256) -> U256 {
    let Some(shift @ 0..256) = one_limb(shift) else { return U256::ZERO };
    let [a, b, c, d] = *value.as_limbs();
    let [a, b, c, d] = match shift / 64 {
        0 => [a, b, c, d],
        1 => [b, c, d, 0],
        2 => [c, d, 0, 0],
        _ => [d, 0, 0, 0],
    };
    let (down, up) = (shift % 64, 63 - shift % 64);
    U256::from_limbs([
        a >> down | b << 1 << up,
        b >> down | c << 1 << up,
        c >> down | d << 1 << up,
        d >> down,
    ])
}

/// `SAR`: the sign bit fills in from above.
#[inline]
pub(super) fn sar(shift: &U256, value: &U256) -> U256 {
    if !is_negative(value) {
        return shr(shift, value);
    }
    match one_limb(shift) {
        Some(0..=255) => !shr(shift, &!*value),
        _ => U256::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word(value: i64) -> U256 {
        with_sign(U256::from(value.unsigned_abs()), value < 0)
    }

    const MIN: U256 = U256::from_limbs([0, 0, 0, 1 << 63]);

    /// EVM-13: the corner cases that the Yellow Paper defines on its own.
    #[test]
    fn evm_13_the_corners_of_signed_division() {
        assert_eq!(sdiv(&MIN, &word(-1)), MIN);
        assert_eq!(sdiv(&word(-7), &word(2)), word(-3));
        assert_eq!(smod(&word(-7), &word(2)), word(-1));
        assert_eq!(smod(&word(7), &word(-2)), word(1));
        for f in [div, rem, sdiv, smod] {
            assert_eq!(f(&word(-5), &U256::ZERO), U256::ZERO);
            assert_eq!(f(&word(5), &U256::ZERO), U256::ZERO);
        }
    }

    /// EVM-13: sums and products of modular arithmetic are not cut to 256 bits first.
    #[test]
    fn evm_13_modular_arithmetic_is_wide() {
        assert_eq!(addmod(&U256::MAX, &U256::MAX, &U256::from(10)), U256::ZERO);
        assert_eq!(addmod(&U256::MAX, &U256::from(2), &U256::MAX), U256::from(2));
        assert_eq!(mulmod(&U256::MAX, &U256::MAX, &U256::from(12)), U256::from(9));
        assert_eq!(addmod(&U256::from(1), &U256::from(1), &U256::ZERO), U256::ZERO);
        assert_eq!(mulmod(&U256::from(1), &U256::from(1), &U256::ZERO), U256::ZERO);
    }

    /// EVM-13: shifts by 256 and more.
    #[test]
    fn evm_13_shifts_beyond_the_word() {
        for shift in [U256::from(256), U256::from(1) << 64usize, U256::MAX] {
            assert_eq!(shl(&shift, &U256::MAX), U256::ZERO);
            assert_eq!(shr(&shift, &U256::MAX), U256::ZERO);
            assert_eq!(sar(&shift, &word(-1)), U256::MAX);
            assert_eq!(sar(&shift, &word(1)), U256::ZERO);
        }
    }

    #[test]
    fn bytes_and_signs() {
        assert_eq!(byte(&U256::from(31), &U256::from(0xabcd)), U256::from(0xcd));
        assert_eq!(byte(&U256::from(30), &U256::from(0xabcd)), U256::from(0xab));
        assert_eq!(byte(&U256::from(32), &U256::MAX), U256::ZERO);
        assert_eq!(signextend(&U256::ZERO, &U256::from(0x1ff)), U256::MAX);
        assert_eq!(signextend(&U256::from(1), &U256::from(0x17fff)), U256::from(0x7fff));
        assert_eq!(signextend(&U256::from(31), &MIN), MIN);
        assert_eq!(signextend(&U256::MAX, &MIN), MIN);
        assert_eq!(signed_cmp(&word(-1), &word(0)), Ordering::Less);
        assert_eq!(signed_cmp(&word(-1), &word(-2)), Ordering::Greater);
    }

    fn any_word() -> impl Strategy<Value = U256> {
        let limbs = any::<[u64; 4]>().prop_map(U256::from_limbs);
        prop_oneof![limbs, any::<u64>().prop_map(U256::from), any::<i64>().prop_map(word)]
    }

    proptest! {
        /// An oracle that goes bit by bit: the shifts are the only arithmetic that is all our own.
        #[test]
        fn shifts_agree_with_a_bit_by_bit_oracle(value in any_word(), shift in 0usize..300) {
            let amount = U256::from(shift);
            let (mut left, mut right, mut signed) = (U256::ZERO, U256::ZERO, U256::ZERO);
            for bit in 0..256usize {
                left.set_bit(bit, bit >= shift && value.bit(bit - shift));
                right.set_bit(bit, value.bit(bit + shift));
                signed.set_bit(bit, value.bit((bit + shift).min(255)));
            }
            prop_assert_eq!(shl(&amount, &value), left);
            prop_assert_eq!(shr(&amount, &value), right);
            prop_assert_eq!(sar(&amount, &value), signed);
        }

        /// Division by a power of two takes a way of its own; the library is the oracle.
        #[test]
        fn powers_of_two_divide_as_others(a in any_word(), exponent in 0usize..256) {
            let b = U256::from(1) << exponent;
            prop_assert_eq!(div(&a, &b), a.wrapping_div(b));
            prop_assert_eq!(rem(&a, &b), a.wrapping_rem(b));
        }

        /// Division's own law: a = q·b + r with r below b, and signs as the Yellow Paper says.
        #[test]
        fn divisions_obey_their_law(a in any_word(), b in any_word(), m in any_word()) {
            if b != U256::ZERO {
                prop_assert_eq!(div(&a, &b).wrapping_mul(b).wrapping_add(rem(&a, &b)), a);
                prop_assert!(rem(&a, &b) < b);
                prop_assert_eq!(sdiv(&a, &b).wrapping_mul(b).wrapping_add(smod(&a, &b)), a);
            }
            prop_assert_eq!(addmod(&a, &b, &m), a.add_mod(b, m));
        }

        #[test]
        fn powers_of_two_agree_with_the_general_power(exponent in 0u64..600) {
            let exponent = U256::from(exponent);
            prop_assert_eq!(exp(&U256::from(2), &exponent), U256::from(2).wrapping_pow(exponent));
        }
    }
}

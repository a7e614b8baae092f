//! Whole numbers as people write them: `42`, `0x2a`, `1_000`, `12e18`, `1.5syn`, `5gwei`, `-7`.
//!
//! An argument is a raw number: a bare one is in the contract's own unit, whatever that is. Decimals and
//! exponents must come out whole.

use alloy_primitives::{I256, U256};

/// Units that may follow a number, with their decimal places.
const UNITS: [(&str, usize); 4] = [("gwei", 9), ("wei", 0), ("syn", 18), ("SYN", 18)];
/// 10^77 is the largest power of ten below 2^256.
const LARGEST_EXPONENT: usize = 77;

/// Why a text is no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NumberError {
    /// Nothing that can be read.
    #[error("is no number: write 42, 12e18, 1.5syn, 5gwei or 0x2a")]
    Form,
    /// A fraction is left.
    #[error("is no whole number")]
    Fraction,
    /// Too large, too small, or below zero where that is impossible.
    #[error("does not fit: {0}")]
    Range(String),
}

/// Reads a number of `bits` bits that has no sign.
///
/// # Errors
/// [`NumberError`].
pub(crate) fn unsigned(text: &str, bits: usize) -> Result<U256, NumberError> {
    let (negative, magnitude) = read(text)?;
    let range = || NumberError::Range(format!("a uint{bits} is 0 to 2^{bits} - 1"));
    if (negative && !magnitude.is_zero()) || magnitude.bit_len() > bits {
        return Err(range());
    }
    Ok(magnitude)
}

/// Reads a number of `bits` bits that may be below zero.
///
/// # Errors
/// [`NumberError`].
pub(crate) fn signed(text: &str, bits: usize) -> Result<I256, NumberError> {
    let (negative, magnitude) = read(text)?;
    let range = || NumberError::Range(format!("an int{bits} is -2^{0} to 2^{0} - 1", bits.saturating_sub(1)));
    // The least number's magnitude is one more than the largest's.
    let least = U256::ONE << bits.saturating_sub(1);
    let fits = if negative { magnitude <= least } else { magnitude < least };
    if !fits {
        return Err(range());
    }
    let raw = I256::from_raw(magnitude);
    Ok(if negative { raw.wrapping_neg() } else { raw })
}

/// The sign and the magnitude.
fn read(text: &str) -> Result<(bool, U256), NumberError> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let magnitude = match text.strip_prefix("0x") {
        Some(digits) => hex(digits)?,
        None => decimal(text)?,
    };
    Ok((negative, magnitude))
}

fn hex(digits: &str) -> Result<U256, NumberError> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(NumberError::Form);
    }
    U256::from_str_radix(digits, 16).map_err(|_| NumberError::Range("it has more than 256 bits".to_owned()))
}

fn decimal(text: &str) -> Result<U256, NumberError> {
    let unit = UNITS.into_iter().find_map(|(unit, places)| Some((text.strip_suffix(unit)?, places)));
    let (number, mut places) = unit.unwrap_or((text, 0));
    let (number, exponent) = match number.trim_end().split_once(['e', 'E']) {
        // A unit and an exponent together would be read wrongly by half of all readers.
        Some(_) if unit.is_some() => return Err(NumberError::Form),
        Some((number, exponent)) => (number, exponent.parse::<u8>().map_err(|_| NumberError::Form)?.into()),
        None => (number.trim_end(), 0),
    };
    places += exponent;
    if places > LARGEST_EXPONENT {
        return Err(NumberError::Range("it has more than 256 bits".to_owned()));
    }
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(a, b)| (a, Some(b)));
    let digits = |part: &str| {
        let part = part.replace('_', "");
        (!part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())).then_some(part)
    };
    let whole = digits(whole).ok_or(NumberError::Form)?;
    let fraction = fraction.map_or(Some(String::new()), digits).ok_or(NumberError::Form)?;
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places {
        return Err(NumberError::Fraction);
    }
    U256::from_str_radix(&format!("{whole}{fraction:0<places$}"), 10)
        .map_err(|_| NumberError::Range("it has more than 256 bits".to_owned()))
}

/// A number with many zeros at its end, shortly: `12e18`, `1.5e18`. `None` where that is no help.
pub(crate) fn shortly(number: U256) -> Option<String> {
    let digits = number.to_string();
    let significant = digits.trim_end_matches('0');
    if digits.len() < 10 || significant.len() + 6 > digits.len() {
        return None;
    }
    // Powers of tokens and coins are what people know by heart.
    let exponent = [18, 9, 6].into_iter().find(|exponent| digits.len() > *exponent)?;
    let (whole, fraction) = digits.split_at(digits.len() - exponent);
    let fraction = fraction.trim_end_matches('0');
    Some(if fraction.is_empty() {
        format!("{whole}e{exponent}")
    } else {
        format!("{whole}.{fraction}e{exponent}")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        let coin = U256::from(10).pow(U256::from(18));
        for (text, value) in [
            ("0", U256::ZERO),
            ("-0", U256::ZERO),
            ("42", U256::from(42)),
            ("1_000_000", U256::from(1_000_000)),
            ("0x2a", U256::from(42)),
            ("0xFF", U256::from(255)),
            ("12e18", U256::from(12) * coin),
            ("1.5e18", U256::from(15) * coin / U256::from(10)),
            ("1.5syn", U256::from(15) * coin / U256::from(10)),
            ("1.50 SYN", U256::from(15) * coin / U256::from(10)),
            ("5gwei", U256::from(5_000_000_000u64)),
            ("7wei", U256::from(7)),
            ("2.0", U256::from(2)),
            ("0e77", U256::ZERO),
        ] {
            assert_eq!(unsigned(text, 256), Ok(value), "{text}");
        }
        assert_eq!(unsigned(&U256::MAX.to_string(), 256), Ok(U256::MAX));
    }

    #[test]
    fn other_texts_are_refused_never_rounded() {
        for text in
            ["", "-", "x", "1,000", "1e", "1e-3", "0x", "0xg", ".5", "5.", "1.5.2", "1e18gwei", "1 2", "+1"]
        {
            assert_eq!(unsigned(text, 256), Err(NumberError::Form), "{text}");
        }
        for text in ["1.5", "1.23e1", "0.5wei", "1.0000000001gwei"] {
            assert_eq!(unsigned(text, 256), Err(NumberError::Fraction), "{text}");
        }
        for (text, bits) in [("-1", 256), ("256", 8), ("1e78", 256), ("2e77", 256), ("1e255", 256)] {
            assert!(matches!(unsigned(text, bits), Err(NumberError::Range(_))), "{text}");
        }
    }

    #[test]
    fn signed_numbers_reach_from_one_end_to_the_other() {
        assert_eq!(signed("-128", 8), Ok(I256::try_from(-128).unwrap()));
        assert_eq!(signed("127", 8), Ok(I256::try_from(127).unwrap()));
        assert!(signed("-129", 8).is_err() && signed("128", 8).is_err());
        assert_eq!(signed(&I256::MIN.to_string(), 256), Ok(I256::MIN));
        assert_eq!(signed("-1e3", 256), Ok(I256::try_from(-1_000).unwrap()));
    }

    #[test]
    fn long_numbers_are_told_shortly_and_read_back() {
        let number = |text: &str| unsigned(text, 256).unwrap();
        for (text, short) in
            [("12e18", "12e18"), ("1.5e18", "1.5e18"), ("5gwei", "5e9"), ("120e18", "120e18"), ("1e9", "1e9")]
        {
            assert_eq!(shortly(number(text)).as_deref(), Some(short), "{text}");
            assert_eq!(number(short), number(text));
        }
        for text in ["0", "1000000", "1234567890123", "1000000000000000001"] {
            assert_eq!(shortly(number(text)), None, "{text}");
        }
    }
}

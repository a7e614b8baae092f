//! Amounts of money as people write them.
//!
//! The coin is SYN, of 10^18 wei. A bare number is SYN; the suffixes `syn`, `gwei` and `wei` name a unit.
//! Amounts are exact: a number that is no whole count of wei is refused, never rounded.

use alloy_primitives::U256;

/// Decimal places of SYN.
pub const SYN_DECIMALS: usize = 18;
/// Decimal places of gwei.
pub const GWEI_DECIMALS: usize = 9;
/// The wei in one gwei.
pub const GWEI: u128 = 1_000_000_000;
/// The wei in one SYN.
pub const SYN: u128 = 1_000_000_000_000_000_000;

/// Why a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a plain decimal number with an optional unit.
    #[error("{0:?} is not an amount: write 12.5, 12.5syn, 3gwei or 100wei, without commas or exponents")]
    Form(String),
    /// More decimal places than the unit has.
    #[error("{text:?} has more than {places} decimal places, and amounts are exact")]
    TooFine {
        /// What was written.
        text: String,
        /// How many places the unit has.
        places: usize,
    },
    /// At least 2^256 wei.
    #[error("{0:?} is more money than an account can hold")]
    TooLarge(String),
}

/// Reads an amount, in wei.
///
/// # Errors
/// [`AmountError`].
pub fn parse_amount(text: &str) -> Result<U256, AmountError> {
    let trimmed = text.trim();
    let (number, places) = split_unit(trimmed);
    let form = || AmountError::Form(text.to_owned());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let dot_without_digits = number.contains('.') && (fraction.is_empty() || whole.is_empty());
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if number.is_empty() || dot_without_digits || !digits(whole) || !digits(fraction) {
        return Err(form());
    }
    if fraction.len() > places {
        return Err(AmountError::TooFine { text: text.to_owned(), places });
    }
    let padded = format!("{whole}{fraction:0<places$}");
    U256::from_str_radix(&padded, 10).map_err(|_| AmountError::TooLarge(text.to_owned()))
}

fn split_unit(text: &str) -> (&str, usize) {
    for (suffix, places) in
        [("gwei", GWEI_DECIMALS), ("wei", 0), ("syn", SYN_DECIMALS), ("SYN", SYN_DECIMALS)]
    {
        if let Some(number) = text.strip_suffix(suffix) {
            return (number.trim_end(), places);
        }
    }
    (text, SYN_DECIMALS)
}

/// Writes wei as SYN, exactly, without trailing zeros: `12.5`.
pub fn format_syn(wei: U256) -> String {
    format_decimal(wei, SYN_DECIMALS)
}

/// Writes wei as gwei, exactly, without trailing zeros.
pub fn format_gwei(wei: U256) -> String {
    format_decimal(wei, GWEI_DECIMALS)
}

fn format_decimal(wei: U256, places: usize) -> String {
    let digits = format!("{wei:0>width$}", wei = wei.to_string(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_their_unit() {
        let cases: [(&str, u128); 9] = [
            ("12.5", 12 * SYN + SYN / 2),
            ("12.5syn", 12 * SYN + SYN / 2),
            ("0.000000000000000001", 1),
            ("3gwei", 3 * GWEI),
            ("3 gwei", 3 * GWEI),
            ("1.5gwei", 3 * GWEI / 2),
            ("100wei", 100),
            ("0", 0),
            ("007", 7 * SYN),
        ];
        for (text, wei) in cases {
            assert_eq!(parse_amount(text), Ok(U256::from(wei)), "{text}");
        }
    }

    #[test]
    fn nothing_is_guessed_or_rounded() {
        for text in
            ["", ".", "1.", ".5", "1,000", "1e18", "-1", "+1", "0x10", "1 2", "wei", "1.2.3", "1ether"]
        {
            assert!(matches!(parse_amount(text), Err(AmountError::Form(_))), "{text}");
        }
        assert!(matches!(
            parse_amount("0.0000000000000000001"),
            Err(AmountError::TooFine { places: 18, .. })
        ));
        assert!(matches!(parse_amount("0.5wei"), Err(AmountError::TooFine { places: 0, .. })));
        assert!(matches!(parse_amount(&"9".repeat(70)), Err(AmountError::TooLarge(_))));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for wei in [0, 1, 10, SYN - 1, SYN, SYN + 1, 25 * SYN / 2, u128::MAX] {
            let wei = U256::from(wei);
            assert_eq!(parse_amount(&format_syn(wei)), Ok(wei));
            assert_eq!(parse_amount(&format!("{}gwei", format_gwei(wei))), Ok(wei));
        }
        assert_eq!(format_syn(U256::from(25 * SYN / 2)), "12.5");
    }
}

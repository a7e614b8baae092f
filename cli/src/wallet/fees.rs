//! What a transaction offers to pay: sensible by itself, adjustable by flags.
//!
//! The tip is what the node suggests. The whole fee leaves room for the base fee to double before the
//! transaction is in a block; what is not needed is not paid.

use clap::Args;
use synod_node::rpc::types::FeesView;
use synod_types::amount::{format_gwei, parse_amount};
use synod_types::{Gas, Height, NativeTransaction, U256};

use crate::failure::{Failure, Outcome};

/// What a plain transfer costs.
pub(crate) const TRANSFER_GAS: u64 = 21_000;
/// A fee for each gas above this is taken for a slip: a transfer would cost 21 SYN and more.
const MOST_SENSIBLE_FEE: u128 = 1_000_000_000_000_000;

/// The fee flags that every paying command has.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FeeOptions {
    /// The most to pay for each gas, with its unit: 3gwei
    #[arg(long, value_name = "FEE", value_parser = parse_fee, help_heading = "Fees")]
    pub(crate) max_fee: Option<u128>,
    /// The tip for whoever makes the block, for each gas, with its unit: 1gwei
    #[arg(long, value_name = "FEE", value_parser = parse_fee, help_heading = "Fees")]
    pub(crate) tip: Option<u128>,
    /// The most gas to use; by default what it needs
    #[arg(long, value_name = "GAS", help_heading = "Fees")]
    pub(crate) gas_limit: Option<u64>,
    /// Give up when it is in no block up to this height
    #[arg(long, value_name = "HEIGHT", help_heading = "Fees")]
    pub(crate) valid_until: Option<u64>,
}

/// The fees that a transaction will carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fees {
    /// Wei for each gas, tip included.
    pub(crate) max_fee: u128,
    /// Wei for each gas.
    pub(crate) max_tip: u128,
    /// The most gas.
    pub(crate) gas_limit: Gas,
    /// The last height.
    pub(crate) valid_until: Option<Height>,
}

impl Fees {
    /// What a transaction carries.
    pub(crate) fn of(transaction: &NativeTransaction) -> Self {
        let NativeTransaction { max_fee, max_tip, gas_limit, valid_until, .. } = transaction;
        Self { max_fee: *max_fee, max_tip: *max_tip, gas_limit: *gas_limit, valid_until: *valid_until }
    }

    /// The most that all gas together can cost, in wei.
    pub(crate) fn most(&self) -> U256 {
        U256::from(self.max_fee).saturating_mul(U256::from(self.gas_limit.0))
    }

    /// The least fees that replace these in the pools: an eighth more (pools ask for a tenth), and no less
    /// than what a new transaction would offer now.
    pub(crate) fn raised(&self, offer: &Self) -> Self {
        let eighth_more = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
        let max_tip = eighth_more(self.max_tip).max(offer.max_tip);
        let max_fee = eighth_more(self.max_fee).max(offer.max_fee).max(max_tip);
        Self { max_fee, max_tip, ..*self }
    }
}

impl FeeOptions {
    /// The fees to offer, given what the node sees, for `needed` gas unless more or less was asked for.
    /// Without a node both fees must be given.
    ///
    /// # Errors
    /// When the flags contradict each other or look like a slip.
    pub(crate) fn decide(&self, seen: Option<&FeesView>, needed: u64) -> Outcome<Fees> {
        let missing = || {
            Failure::usage("fee_needed", "without a node the fees must be given")
                .hint("add --max-fee 3gwei --tip 1gwei")
        };
        let suggested_tip = seen.map(|seen| seen.suggested_tip);
        let tip = self.tip.or(suggested_tip).ok_or_else(missing)?;
        let room = |seen: &FeesView| seen.next_base_fee.saturating_mul(2).saturating_add(tip);
        let max_fee = self.max_fee.or(seen.map(room)).ok_or_else(missing)?;
        let max_tip = if self.tip.is_none() { tip.min(max_fee) } else { tip };
        if max_tip > max_fee {
            let message = format!(
                "the tip of {} gwei is above the whole fee of {} gwei",
                format_gwei(U256::from(max_tip)),
                format_gwei(U256::from(max_fee))
            );
            return Err(Failure::usage("tip_above_fee", message).hint("raise --max-fee or lower --tip"));
        }
        let given = self.max_fee.into_iter().chain(self.tip);
        if given.max().is_some_and(|fee| fee > MOST_SENSIBLE_FEE) {
            return Err(Failure::usage("fee_absurd", "a fee above 1000000gwei for each gas is a slip")
                .hint("fees are for each unit of gas, and usually a few gwei"));
        }
        let gas_limit = self.gas_limit.unwrap_or(needed);
        if gas_limit < TRANSFER_GAS {
            return Err(Failure::usage("gas_too_low", format!("even a transfer uses {TRANSFER_GAS} gas")));
        }
        let valid_until = self.valid_until.map(Height);
        Ok(Fees { max_fee, max_tip, gas_limit: Gas(gas_limit), valid_until })
    }
}

/// Reads a fee for each gas. A bare number would be SYN, which nobody means here.
fn parse_fee(text: &str) -> Result<u128, String> {
    if text.ends_with(|last: char| last.is_ascii_digit()) {
        return Err(format!("write the unit: {text}gwei or {text}wei, for each gas"));
    }
    let wei = parse_amount(text).map_err(|error| error.to_string())?;
    u128::try_from(wei).map_err(|_| "more than any fee".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use synod_types::amount::GWEI;

    fn seen() -> FeesView {
        FeesView {
            base_fee: GWEI,
            next_base_fee: 2 * GWEI,
            suggested_tip: GWEI,
            gas_target_per_second: 50_000_000,
            height: Height(1),
        }
    }

    fn options() -> FeeOptions {
        FeeOptions::default()
    }

    #[test]
    fn the_defaults_leave_room_for_the_base_fee_to_double() {
        let fees = options().decide(Some(&seen()), TRANSFER_GAS).unwrap();
        assert_eq!((fees.max_fee, fees.max_tip), (5 * GWEI, GWEI));
        assert_eq!(fees.most(), U256::from(105_000 * GWEI));
        let low =
            FeeOptions { max_fee: Some(GWEI / 2), ..options() }.decide(Some(&seen()), TRANSFER_GAS).unwrap();
        assert_eq!((low.max_fee, low.max_tip), (GWEI / 2, GWEI / 2), "a suggested tip gives way");
    }

    #[test]
    fn contradictions_and_slips_are_refused() {
        let code =
            |options: FeeOptions| options.decide(Some(&seen()), TRANSFER_GAS).unwrap_err().code().to_owned();
        assert_eq!(code(FeeOptions { max_fee: Some(1), tip: Some(2), ..options() }), "tip_above_fee");
        assert_eq!(code(FeeOptions { max_fee: Some(u128::MAX), ..options() }), "fee_absurd");
        assert_eq!(code(FeeOptions { gas_limit: Some(20_999), ..options() }), "gas_too_low");
        assert_eq!(options().decide(None, TRANSFER_GAS).unwrap_err().code(), "fee_needed");
        assert!(parse_fee("3").is_err() && parse_fee("x").is_err());
        assert_eq!(parse_fee("3gwei"), Ok(3 * GWEI));
    }

    #[test]
    fn a_raise_is_always_enough_to_replace() {
        let offer = options().decide(Some(&seen()), TRANSFER_GAS).unwrap();
        for fee in [0, 1, 7, 9, 10, GWEI, 3 * GWEI + 1] {
            let old = Fees { max_fee: fee, max_tip: fee, ..offer };
            let new = old.raised(&offer);
            assert!(
                new.max_fee * 10 >= fee * 11 && new.max_tip * 10 >= fee * 11 && new.max_tip <= new.max_fee
            );
        }
    }
}

//! What is about to be signed, as people read it: each amount in SYN and in wei, each account by name and
//! by address.

use std::fmt;

use serde::Serialize;
use synod_types::amount::{format_gwei, format_syn};
use synod_types::{Bytes, NativeTransaction, PublicKey, U256};

use super::fees::Fees;
use super::names::Account;
use super::network::Network;

/// A payment before it is signed.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    /// On which chain.
    pub(crate) network: Network,
    /// Who pays.
    pub(crate) from: Account,
    /// Who receives.
    pub(crate) to: Account,
    /// How much, in wei.
    pub(crate) value: U256,
    /// What it may cost.
    pub(crate) fees: Fees,
    /// The account's next number.
    pub(crate) nonce: u64,
}

impl Draft {
    /// The transaction to sign with the key of `sender`.
    pub(crate) fn transaction(&self, sender: PublicKey) -> NativeTransaction {
        NativeTransaction {
            chain_id: self.network.chain_id,
            sender,
            nonce: self.nonce,
            max_fee: self.fees.max_fee,
            max_tip: self.fees.max_tip,
            gas_limit: self.fees.gas_limit,
            to: Some(self.to.address),
            value: self.value,
            data: Bytes::new(),
            access_list: Vec::new(),
            valid_until: self.fees.valid_until,
        }
    }
}

impl fmt::Display for Draft {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fees = &self.fees;
        let gwei = |wei: u128| format_gwei(U256::from(wei));
        writeln!(formatter, "  amount   {}", both(self.value))?;
        writeln!(formatter, "  from     {}", self.from)?;
        writeln!(formatter, "  to       {}", self.to)?;
        writeln!(formatter, "  fee      at most {}", both(fees.most()))?;
        let (max_fee, tip) = (gwei(fees.max_fee), gwei(fees.max_tip));
        writeln!(
            formatter,
            "           {} gas, at most {max_fee} gwei each, {tip} of it a tip",
            fees.gas_limit
        )?;
        if let Some(height) = fees.valid_until {
            writeln!(formatter, "  until    block {height}")?;
        }
        write!(formatter, "  nonce    {} on {}", self.nonce, self.network.title())
    }
}

/// An amount in both forms: `12.5 SYN (12500000000000000000 wei)`.
pub(crate) fn both(wei: U256) -> String {
    format!("{} SYN ({wei} wei)", format_syn(wei))
}

/// An amount as programs read it: a decimal string of wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wei(pub(crate) U256);

impl Serialize for Wei {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl fmt::Display for Wei {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{} SYN", format_syn(self.0)))
    }
}

//! What is about to be signed, as people read it: each amount in SYN and in wei, each account by name and
//! by address.

use std::fmt;

use serde::Serialize;
use synod_types::amount::{format_gwei, format_syn};
use synod_types::{Address, Bytes, NativeTransaction, PublicKey, U256};

use super::fees::Fees;
use super::names::Account;
use super::network::Network;

/// A transaction before it is signed, and the names of those whom it concerns.
#[derive(Debug, Clone)]
pub(crate) struct Draft<'a> {
    /// On which chain.
    pub(crate) network: &'a Network,
    /// Who pays.
    pub(crate) from: &'a Account,
    /// Who receives; `None` creates a contract.
    pub(crate) to: Option<&'a Account>,
    /// What it calls, in words.
    pub(crate) action: Option<&'a str>,
    /// What will be signed.
    pub(crate) transaction: &'a NativeTransaction,
}

/// A transaction of the account of `sender`: a payment, a call, or without `to` a creation.
pub(crate) fn transaction(
    network: &Network,
    sender: PublicKey,
    nonce: u64,
    to: Option<Address>,
    value: U256,
    data: Bytes,
    fees: &Fees,
) -> NativeTransaction {
    NativeTransaction {
        chain_id: network.chain_id,
        sender,
        nonce,
        max_fee: fees.max_fee,
        max_tip: fees.max_tip,
        gas_limit: fees.gas_limit,
        to,
        value,
        data,
        access_list: Vec::new(),
        valid_until: fees.valid_until,
    }
}

impl fmt::Display for Draft<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transaction = self.transaction;
        let fees = Fees::of(transaction);
        let gwei = |wei: u128| format_gwei(U256::from(wei));
        writeln!(formatter, "  amount   {}", both(transaction.value))?;
        writeln!(formatter, "  from     {}", self.from)?;
        match self.to {
            Some(to) => writeln!(formatter, "  to       {to}")?,
            None => writeln!(formatter, "  to       a new contract")?,
        }
        if let Some(action) = self.action {
            writeln!(formatter, "  does     {action}")?;
        } else if !transaction.data.is_empty() {
            writeln!(formatter, "  data     {} bytes", transaction.data.len())?;
        }
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
        write!(formatter, "  nonce    {} on {}", transaction.nonce, self.network.title())
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

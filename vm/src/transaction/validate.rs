//! Whether a transaction can be executed: checks in a fixed order, cheap ones first.

use super::{Block, Refusal, Transaction, blob, intrinsic_gas};
use crate::fork::FORK;
use crate::host::Account;
use alloy_primitives::U256;

/// How strictly a transaction is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// As consensus demands.
    Consensus,
    /// As `eth_call` does: any nonce, any sender, any gas limit; a fee of zero is free.
    Simulation,
}

/// Checks a transaction against its block and its sender's account; gives the price of gas in wei.
pub(super) fn validate(
    transaction: &Transaction,
    block: &Block,
    sender: &Account,
    rules: Rules,
) -> Result<U256, Refusal> {
    check_form(transaction)?;
    if rules == Rules::Consensus {
        check_sender(transaction, block, sender)?;
    }
    let price = price(transaction, block, rules)?;
    blob::check(transaction, block)?;
    check_funds(transaction, sender)?;
    Ok(price)
}

/// What the transaction alone shows.
fn check_form(transaction: &Transaction) -> Result<(), Refusal> {
    let (length, limit) = (transaction.data.len(), FORK.init_code_limit_bytes);
    let limit_is_off = synod_types::mutant!("evm-init-code-limit-off");
    if transaction.to.is_none() && length > limit && !limit_is_off {
        return Err(Refusal::InitCodeTooLong { length, limit });
    }
    let (gas_limit, needed) = (transaction.gas_limit, intrinsic_gas(transaction));
    if gas_limit < needed {
        return Err(Refusal::IntrinsicGasTooLow { gas_limit, needed });
    }
    Ok(())
}

fn check_sender(transaction: &Transaction, block: &Block, sender: &Account) -> Result<(), Refusal> {
    let (expected, found) = (sender.nonce, transaction.nonce);
    match found.cmp(&expected) {
        std::cmp::Ordering::Less => return Err(Refusal::NonceTooLow { expected, found }),
        std::cmp::Ordering::Greater => return Err(Refusal::NonceTooHigh { expected, found }),
        std::cmp::Ordering::Equal if found == u64::MAX => return Err(Refusal::NonceUsedUp),
        std::cmp::Ordering::Equal => {}
    }
    if sender.has_code() && !synod_types::mutant!("evm-contracts-send") {
        return Err(Refusal::SenderIsContract);
    }
    let (gas_limit, block_gas_limit) = (transaction.gas_limit, block.gas_limit);
    if gas_limit > block_gas_limit {
        return Err(Refusal::GasLimitAboveBlock { gas_limit, block_gas_limit });
    }
    Ok(())
}

/// The price of gas (EIP-1559): the base fee and the tip, within the max fee.
fn price(transaction: &Transaction, block: &Block, rules: Rules) -> Result<U256, Refusal> {
    let (max_fee, tip) = (transaction.max_fee_per_gas, transaction.max_tip_per_gas);
    if tip > max_fee {
        return Err(Refusal::TipAboveFee);
    }
    if rules == Rules::Simulation && max_fee.is_zero() {
        return Ok(U256::ZERO);
    }
    let base_fee = block.base_fee;
    if max_fee < base_fee {
        return Err(Refusal::FeeBelowBaseFee { max_fee, base_fee });
    }
    Ok(max_fee.min(base_fee.saturating_add(tip)))
}

/// The sender must have gas limit × max fee + blob gas × max blob fee + value. A sum beyond 256 bits is
/// more than anyone has, so checked arithmetic stands for wider numbers (EVM-16).
fn check_funds(transaction: &Transaction, sender: &Account) -> Result<(), Refusal> {
    let balance = sender.balance;
    match upfront(transaction) {
        Some(needed) if needed <= balance => Ok(()),
        needed => Err(Refusal::InsufficientFunds { balance, needed: needed.unwrap_or(U256::MAX) }),
    }
}

fn upfront(transaction: &Transaction) -> Option<U256> {
    let gas = U256::from(transaction.gas_limit).checked_mul(transaction.max_fee_per_gas)?;
    let blobs = match &transaction.blobs {
        Some(blobs) => blobs.gas().checked_mul(blobs.max_fee_per_gas)?,
        None => U256::ZERO,
    };
    gas.checked_add(blobs)?.checked_add(transaction.value)
}

//! One transaction: may it be charged, what does it cost, what does it move.
//!
//! Checks stand in a fixed order, cheap ones first: the block's room, what the transaction says about itself,
//! the sender's nonce, the sender's money. All of them come before any change.
//!
//! **Gas** of a plain transfer: 21,000; 4 for each zero byte of data and 16 for each other one (EIP-2028);
//! 2,400 for each declared address and 1,900 for each declared slot (EIP-2930). This chain runs no contracts
//! yet, so a creation is left out, and data sent to an account is paid for and has no effect.
//!
//! **Price** (EIP-1559): the base fee is burnt; the tip, the smaller of what was offered and what `max_fee`
//! leaves above the base fee, goes to the fee recipient.

use alloy_primitives::U512;
use synod_types::{
    Address, Bytes, Gas, Height, NativeTransaction, Receipt, TransactionId, U256, VerifiedTransaction,
};

use super::Rules;
use crate::state::{DiffBuilder, StateRead};

/// Why a transaction is not in a block. Its holder keeps it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeftOut {
    /// The block has no room for its gas limit.
    #[error("its gas limit of {wanted} does not fit into the {left} gas that the block has left")]
    BlockGas {
        /// The transaction's limit.
        wanted: Gas,
        /// What the block has left.
        left: Gas,
    },
    /// The block has no room for its bytes.
    #[error("its {wanted} bytes do not fit into the {left} bytes that the block has left")]
    BlockBytes {
        /// The transaction's canonical bytes.
        wanted: usize,
        /// What the block has left.
        left: usize,
    },
    /// The block has as many transactions as it may.
    #[error("the block has its {0} transactions already")]
    BlockCount(u32),
    /// It was to be included earlier.
    #[error("it was valid until height {valid_until}, and this is height {height}: sign it anew")]
    Expired {
        /// The last height at which it could be included.
        valid_until: Height,
        /// This block's height.
        height: Height,
    },
    /// It creates a contract.
    #[error("this chain has no contracts: give a recipient")]
    NoContracts,
    /// It cannot use as little gas as it allows.
    #[error("it needs at least {needed} gas and allows {limit}: raise its gas limit")]
    GasTooLow {
        /// The least it can use.
        needed: Gas,
        /// Its gas limit.
        limit: Gas,
    },
    /// It pays less than the base fee.
    #[error("it pays at most {max_fee} wei for a unit of gas, and the base fee is {base_fee}: raise its fee")]
    FeeTooLow {
        /// What it pays at most.
        max_fee: u128,
        /// The block's base fee.
        base_fee: u128,
    },
    /// Its nonce was used.
    #[error("its nonce {found} was used already; the next one is {expected}")]
    NonceTooLow {
        /// The sender's next nonce.
        expected: u64,
        /// The transaction's.
        found: u64,
    },
    /// An earlier transaction of its sender is missing.
    #[error("its nonce {found} is ahead of the next one, {expected}: send the missing ones first")]
    NonceTooHigh {
        /// The sender's next nonce.
        expected: u64,
        /// The transaction's.
        found: u64,
    },
    /// The sender is a contract (EIP-3607).
    #[error("its sender is a contract, which signs nothing")]
    SenderIsContract,
    /// The sender cannot pay for it.
    #[error("it may cost {needed} wei with its value, and its sender has {balance}")]
    Unaffordable {
        /// What it can cost at most, value included.
        needed: U512,
        /// What the sender has.
        balance: U256,
    },
}

impl LeftOut {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BlockGas { .. } => "block_gas_full",
            Self::BlockBytes { .. } => "block_bytes_full",
            Self::BlockCount(_) => "block_count_full",
            Self::Expired { .. } => "expired",
            Self::NoContracts => "no_contracts",
            Self::GasTooLow { .. } => "gas_too_low",
            Self::FeeTooLow { .. } => "fee_too_low",
            Self::NonceTooLow { .. } => "nonce_too_low",
            Self::NonceTooHigh { .. } => "nonce_too_high",
            Self::SenderIsContract => "sender_is_contract",
            Self::Unaffordable { .. } => "insufficient_funds",
        }
    }

    /// Whether a later block may include the transaction as it is.
    pub fn may_pass_later(&self) -> bool {
        match self {
            Self::BlockGas { .. } | Self::BlockBytes { .. } | Self::BlockCount(_) => true,
            Self::FeeTooLow { .. } | Self::NonceTooHigh { .. } | Self::Unaffordable { .. } => true,
            Self::Expired { .. } | Self::NoContracts | Self::GasTooLow { .. } => false,
            Self::NonceTooLow { .. } | Self::SenderIsContract => false,
        }
    }
}

/// The least gas that a transaction uses, saturating; what a plain transfer uses in all.
pub fn intrinsic_gas(transaction: &NativeTransaction) -> Gas {
    let zeros = transaction.data.iter().filter(|&&byte| byte == 0).count() as u64;
    let others = transaction.data.len() as u64 - zeros;
    let slots: usize = transaction.access_list.iter().map(|item| item.slots.len()).sum();
    let parts = [
        zeros.saturating_mul(4),
        others.saturating_mul(16),
        (transaction.access_list.len() as u64).saturating_mul(2_400),
        (slots as u64).saturating_mul(1_900),
    ];
    Gas(parts.into_iter().fold(21_000, u64::saturating_add))
}

/// A block that is being filled.
pub(super) struct Room<'a> {
    rules: &'a Rules,
    height: Height,
    base_fee: u128,
    fee_recipient: Address,
    gas_used: u64,
    gas_left: u64,
    bytes_left: usize,
    count: u32,
}

/// What a transaction costs, when it may be charged.
struct Cost {
    gas: u64,
    bytes: usize,
    tip: u128,
}

impl<'a> Room<'a> {
    /// An empty block.
    pub(super) fn new(rules: &'a Rules, height: Height, base_fee: u128, fee_recipient: Address) -> Self {
        Self {
            rules,
            height,
            base_fee,
            fee_recipient,
            gas_used: 0,
            gas_left: rules.limits.block_gas.0,
            bytes_left: rules.limits.block_bytes as usize,
            count: 0,
        }
    }

    /// Gas used so far.
    pub(super) fn gas_used(&self) -> Gas {
        Gas(self.gas_used)
    }

    /// Runs one transaction, or says why it cannot be charged; then nothing is changed.
    pub(super) fn run<S: StateRead + ?Sized>(
        &mut self,
        transaction: &VerifiedTransaction,
        changes: &mut DiffBuilder<'_, S>,
    ) -> Result<Receipt, LeftOut> {
        let native = transaction.native();
        let bytes = encoded_length(native);
        self.check_room(native, bytes)?;
        let gas = self.check_form(native)?;
        let sender = transaction.sender();
        check_sender(native, changes.account(&sender))?;
        let tip = native.max_tip.min(native.max_fee - self.base_fee);
        self.transfer(native, &sender, &Cost { gas, bytes, tip }, changes);
        Ok(self.receipt(transaction.id(), gas, tip))
    }

    fn check_room(&self, native: &NativeTransaction, bytes: usize) -> Result<(), LeftOut> {
        if self.count >= self.rules.limits.block_transactions {
            return Err(LeftOut::BlockCount(self.count));
        }
        if native.gas_limit.0 > self.gas_left {
            return Err(LeftOut::BlockGas { wanted: native.gas_limit, left: Gas(self.gas_left) });
        }
        if bytes > self.bytes_left {
            return Err(LeftOut::BlockBytes { wanted: bytes, left: self.bytes_left });
        }
        Ok(())
    }

    /// What the transaction says about itself; returns the gas that it uses.
    fn check_form(&self, native: &NativeTransaction) -> Result<u64, LeftOut> {
        if let Some(valid_until) = native.valid_until.filter(|&last| last < self.height) {
            return Err(LeftOut::Expired { valid_until, height: self.height });
        }
        if native.to.is_none() {
            return Err(LeftOut::NoContracts);
        }
        let needed = intrinsic_gas(native);
        if native.gas_limit < needed {
            return Err(LeftOut::GasTooLow { needed, limit: native.gas_limit });
        }
        if native.max_fee < self.base_fee {
            return Err(LeftOut::FeeTooLow { max_fee: native.max_fee, base_fee: self.base_fee });
        }
        Ok(needed.0)
    }

    fn transfer<S: StateRead + ?Sized>(
        &mut self,
        native: &NativeTransaction,
        sender: &Address,
        cost: &Cost,
        changes: &mut DiffBuilder<'_, S>,
    ) {
        let gas = U256::from(cost.gas);
        let (burnt, tips) = (gas * U256::from(self.base_fee), gas * U256::from(cost.tip));
        let recipient = native.to.expect("creations are left out");
        let account = changes.account(sender);
        account.nonce += 1;
        account.balance -= burnt + tips + native.value;
        let account = changes.account(&recipient);
        account.balance = account.balance.checked_add(native.value).expect(MONEY_FITS);
        let account = changes.account(&self.fee_recipient);
        account.balance = account.balance.checked_add(tips).expect(MONEY_FITS);
        let system = changes.system();
        system.burnt = system.burnt.checked_add(burnt).expect(MONEY_FITS);
        self.count += 1;
        self.gas_used += cost.gas;
        self.gas_left -= native.gas_limit.0;
        self.bytes_left -= cost.bytes;
    }

    fn receipt(&self, transaction: TransactionId, gas: u64, tip: u128) -> Receipt {
        Receipt {
            transaction,
            succeeded: true,
            gas_used: Gas(gas),
            effective_fee: self.base_fee + tip,
            created: None,
            output: Bytes::new(),
            logs: Vec::new(),
        }
    }
}

const MONEY_FITS: &str = "all money together is below 2^192";

/// The sender's nonce and money: everything that the transaction can cost must be there.
fn check_sender(native: &NativeTransaction, sender: &crate::state::Account) -> Result<(), LeftOut> {
    let (expected, found) = (sender.nonce, native.nonce);
    if found < expected {
        return Err(LeftOut::NonceTooLow { expected, found });
    }
    if found > expected || found == u64::MAX {
        return Err(LeftOut::NonceTooHigh { expected, found });
    }
    if sender.has_code() {
        return Err(LeftOut::SenderIsContract);
    }
    let gas = U512::from(native.gas_limit.0) * U512::from(native.max_fee);
    let needed = gas + U512::from(native.value);
    if needed > U512::from(sender.balance) {
        return Err(LeftOut::Unaffordable { needed, balance: sender.balance });
    }
    Ok(())
}

/// How many canonical bytes a transaction has, from its layout: encoding each one again only to measure it
/// would cost as much as running it.
pub(super) fn encoded_length(native: &NativeTransaction) -> usize {
    const FIXED: usize = 4 + 8 + 32 + 8 + 16 + 16 + 8 + 1 + 32 + 8 + 8 + 1 + 64;
    let to = if native.to.is_some() { 20 } else { 0 };
    let valid_until = if native.valid_until.is_some() { 8 } else { 0 };
    let access_list: usize = native.access_list.iter().map(|item| 20 + 8 + 32 * item.slots.len()).sum();
    FIXED + to + valid_until + native.data.len() + access_list
}

//! One transaction: may it be charged, what does it cost, what does it move.
//!
//! Checks stand in a fixed order, cheap ones first: the block's room, what the transaction says about itself,
//! the sender's nonce, the sender's money. All of them come before any change.
//!
//! **Gas** before anything runs: 21,000; 4 for each zero byte of data and 16 for each other one (EIP-2028);
//! 2,400 for each declared address and 1,900 for each declared slot (EIP-2930); for a creation 32,000 and 2 for
//! each word of its code (EIP-3860). That is all that a transfer to an account without code uses, and it does
//! not enter the machine; data sent to such an account is paid for and has no effect. What runs code pays for
//! it, with at most a fifth of it refunded ([`super::contract`]).
//!
//! **Price** (EIP-1559): the base fee is burnt; the tip, the smaller of what was offered and what `max_fee`
//! leaves above the base fee, goes to the fee recipient.

use alloy_primitives::U512;
use synod_types::committee::EpochRecord;
use synod_types::{
    Address, Bytes, Gas, Height, NativeTransaction, Position, Receipt, TransactionId, U256, UnixMillis,
    VerifiedTransaction,
};
use synod_vm::fork::FORK;
use synod_vm::tracer::{NoTracer, Tracer};
use synod_vm::{Execution, Vm, gas};

use super::contract::{self, BlockHost};
use super::{Parent, Rules, committee};
use crate::state::{DiffBuilder, StateRead};

/// The most bytes of a creation's code (EIP-3860).
pub const INIT_CODE_LIMIT: usize = FORK.init_code_limit_bytes;

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
    /// It creates a contract by too much code (EIP-3860).
    #[error("its init code of {length} bytes is above the limit of {limit}: split the contract")]
    InitCodeTooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
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
            Self::InitCodeTooLong { .. } => "init_code_too_long",
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
            Self::Expired { .. } | Self::InitCodeTooLong { .. } | Self::GasTooLow { .. } => false,
            Self::NonceTooLow { .. } | Self::SenderIsContract => false,
        }
    }
}

/// The gas that a transaction costs before anything runs, saturating; what a plain transfer uses in all.
pub fn intrinsic_gas(transaction: &NativeTransaction) -> Gas {
    let zeros = transaction.data.iter().filter(|&&byte| byte == 0).count() as u64;
    let others = transaction.data.len() as u64 - zeros;
    let slots: usize = transaction.access_list.iter().map(|item| item.slots.len()).sum();
    let parts = [
        zeros.saturating_mul(gas::DATA_ZERO_BYTE),
        others.saturating_mul(gas::DATA_BYTE),
        (transaction.access_list.len() as u64).saturating_mul(gas::ACCESS_LIST_ADDRESS),
        (slots as u64).saturating_mul(gas::ACCESS_LIST_SLOT),
        if transaction.to.is_none() { creation_gas(&transaction.data) } else { 0 },
    ];
    Gas(parts.into_iter().fold(gas::TRANSACTION, u64::saturating_add))
}

fn creation_gas(init_code: &Bytes) -> u64 {
    gas::TRANSACTION_CREATE.saturating_add(gas::per_word(init_code.len(), gas::INIT_CODE_WORD))
}

/// A block that is being filled.
pub(super) struct Room<'a> {
    rules: &'a Rules,
    parent: Parent<'a>,
    height: Height,
    /// The epoch's record.
    record: Option<EpochRecord>,
    /// The next epoch's, once the block has changed the committee.
    next: Option<EpochRecord>,
    base_fee: u128,
    fee_recipient: Address,
    environment: synod_vm::Block,
    gas_used: u64,
    gas_left: u64,
    bytes_left: usize,
    count: u32,
}

impl<'a> Room<'a> {
    /// An empty block.
    pub(super) fn new(
        rules: &'a Rules,
        parent: &Parent<'a>,
        record: Option<EpochRecord>,
        time: UnixMillis,
        base_fee: u128,
        fee_recipient: Address,
    ) -> Self {
        let height = parent.height.next().expect("no chain is 2^64 blocks long");
        Self {
            rules,
            parent: *parent,
            height,
            record,
            next: None,
            base_fee,
            fee_recipient,
            environment: contract::environment(rules, height, &parent.hash, time, base_fee, fee_recipient),
            gas_used: 0,
            gas_left: rules.limits.block_gas.0,
            bytes_left: rules.limits.block_bytes as usize,
            count: 0,
        }
    }

    /// The block's height.
    pub(super) fn height(&self) -> Height {
        self.height
    }

    /// Its base fee, in wei for each gas.
    pub(super) fn base_fee(&self) -> u128 {
        self.base_fee
    }

    /// Gas used so far.
    pub(super) fn gas_used(&self) -> Gas {
        Gas(self.gas_used)
    }

    /// The block's place in the order, and the next epoch's record when the block ends its own.
    pub(super) fn close(self) -> (Position, Option<EpochRecord>) {
        (committee::position_in(self.record.as_ref(), self.height), self.next)
    }

    /// Runs one transaction, or says why it cannot be charged; then nothing is changed.
    pub(super) fn run<S: StateRead + ?Sized>(
        &mut self,
        vm: &mut Vm,
        transaction: &VerifiedTransaction,
        changes: &mut DiffBuilder<'_, S>,
    ) -> Result<Receipt, LeftOut> {
        let native = transaction.native();
        let (bytes, gas) = self.check(transaction, changes)?;
        let tip = native.max_tip.min(native.max_fee - self.base_fee);
        let receipt = if committee::is_change(self.rules, native) {
            let verdict = self.change_committee(native, changes);
            self.pay(native, &transaction.sender(), gas, tip, U256::ZERO, changes);
            self.receipt_of_change(transaction.id(), gas, tip, verdict)
        } else if contract::runs_code(native.to.as_ref(), changes) {
            let execution = self.watch(vm, transaction, changes, &mut NoTracer);
            contract::take_over(&execution, changes);
            contract::receipt(transaction.id(), execution, self.base_fee + tip)
        } else {
            self.pay(native, &transaction.sender(), gas, tip, native.value, changes);
            self.receipt_of_transfer(transaction.id(), gas, tip)
        };
        self.count += 1;
        self.gas_used += receipt.gas_used.0;
        self.gas_left -= native.gas_limit.0;
        self.bytes_left -= bytes;
        Ok(receipt)
    }

    /// Whether a transaction can be charged: its bytes and its intrinsic gas if it can.
    pub(super) fn check<S: StateRead + ?Sized>(
        &self,
        transaction: &VerifiedTransaction,
        changes: &mut DiffBuilder<'_, S>,
    ) -> Result<(usize, u64), LeftOut> {
        let native = transaction.native();
        let bytes = encoded_length(native);
        self.check_room(native, bytes)?;
        let gas = self.check_form(native)?;
        check_sender(native, changes.account(&transaction.sender()))?;
        Ok((bytes, gas))
    }

    /// Lets the machine execute a transaction that may be charged; nothing is changed.
    pub(super) fn watch<S: StateRead + ?Sized, T: Tracer>(
        &self,
        vm: &mut Vm,
        transaction: &VerifiedTransaction,
        changes: &DiffBuilder<'_, S>,
        tracer: &mut T,
    ) -> Execution {
        let host = BlockHost::new(changes, self.parent.ancestors);
        let wanted = contract::for_machine(transaction.native(), transaction.sender());
        let execution = vm.execute_traced(&host, &self.environment, &wanted, tracer);
        execution.expect("whatever the machine refuses was refused before")
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

    /// What the transaction says about itself; returns its intrinsic gas.
    fn check_form(&self, native: &NativeTransaction) -> Result<u64, LeftOut> {
        if let Some(valid_until) = native.valid_until.filter(|&last| last < self.height) {
            return Err(LeftOut::Expired { valid_until, height: self.height });
        }
        let (length, limit) = (native.data.len(), INIT_CODE_LIMIT);
        if native.to.is_none() && length > limit {
            return Err(LeftOut::InitCodeTooLong { length, limit });
        }
        let change = if committee::is_change(self.rules, native) { committee::CHANGE_GAS } else { 0 };
        let needed = Gas(intrinsic_gas(native).0.saturating_add(change));
        if native.gas_limit < needed {
            return Err(LeftOut::GasTooLow { needed, limit: native.gas_limit });
        }
        if native.max_fee < self.base_fee {
            return Err(LeftOut::FeeTooLow { max_fee: native.max_fee, base_fee: self.base_fee });
        }
        Ok(needed.0)
    }

    /// Judges a change of the committee. At most one in a block is good: the next names an epoch that is over.
    fn change_committee<S: StateRead + ?Sized>(
        &mut self,
        native: &NativeTransaction,
        changes: &mut DiffBuilder<'_, S>,
    ) -> Result<(), String> {
        let current = self.next.as_ref().or(self.record.as_ref()).expect("a change needs a committee");
        let next = committee::judge(self.rules, current, native, self.height)?;
        if self.next.is_some() {
            return Err("the epoch ends in this block already: send it again in the next".to_owned());
        }
        committee::write(&next, changes);
        self.next = Some(next);
        Ok(())
    }

    /// What a transaction costs that enters no machine, and the value that it moves.
    fn pay<S: StateRead + ?Sized>(
        &self,
        native: &NativeTransaction,
        sender: &Address,
        gas: u64,
        tip: u128,
        value: U256,
        changes: &mut DiffBuilder<'_, S>,
    ) {
        let gas = U256::from(gas);
        let (burnt, tips) = (gas * U256::from(self.base_fee), gas * U256::from(tip));
        let recipient = native.to.expect("creations run code");
        let account = changes.account(sender);
        account.nonce += 1;
        account.balance -= burnt + tips + value;
        let account = changes.account(&recipient);
        account.balance = account.balance.checked_add(value).expect(MONEY_FITS);
        let account = changes.account(&self.fee_recipient);
        account.balance = account.balance.checked_add(tips).expect(MONEY_FITS);
        let system = changes.system();
        system.burnt = system.burnt.checked_add(burnt).expect(MONEY_FITS);
    }

    fn receipt_of_change(
        &self,
        transaction: TransactionId,
        gas: u64,
        tip: u128,
        verdict: Result<(), String>,
    ) -> Receipt {
        let mut receipt = self.receipt_of_transfer(transaction, gas, tip);
        if let Err(reason) = verdict {
            receipt.succeeded = false;
            receipt.output = committee::reason_bytes(&reason);
        }
        receipt
    }

    fn receipt_of_transfer(&self, transaction: TransactionId, gas: u64, tip: u128) -> Receipt {
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

pub(super) const MONEY_FITS: &str = "all money together is below 2^192";

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

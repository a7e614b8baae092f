//! Transactions that run code: creations, and calls of contracts and precompiled contracts.
//!
//! The virtual machine sees the block as it stands so far through a [`BlockHost`], and gives its changes back
//! as a value, which is then taken over into the block's diff. Money that leaves circulation (the base fee,
//! wei that go down with a self-destruct) is counted as burnt, so that the books balance whatever a contract
//! does.
//!
//! **What a contract learns of its block** (EVM-15) stands in the header, or follows from it: `COINBASE` is the
//! fee recipient, `PREVRANDAO` is SHA-256 of a tag and the parent's hash (and so predictable), `BLOCKHASH`
//! gives the last 256 blocks of this chain, the blob base fee is 1.
//!
//! **Storage goes with its account.** Only a contract has storage, a contract has a nonce of at least 1, and it
//! can be deleted only in the transaction that made it (EIP-6780), so that no slot of it ever reached the
//! state.

use synod_types::hash::sha256;
use synod_types::{
    Address, B256, BlockHash, Bytes, Gas, Height, Log, NativeTransaction, Receipt, TransactionId, U256,
    UnixMillis,
};
use synod_vm::fork::FORK;
use synod_vm::{Execution, Host, Status, Transaction, precompile};

use super::Rules;
use crate::state::{Account, DiffBuilder, StateRead};

/// The most bytes of returned or revert data that a receipt keeps.
pub const RECEIPT_OUTPUT_LIMIT: usize = 1024;
/// Contracts can ask for the hashes of this many blocks.
pub const BLOCK_HASHES: u64 = 256;
const PREV_RANDAO_TAG: &[u8] = b"synod/prevrandao/v1";

/// The hashes of the blocks below the one that is executed.
pub trait Ancestors {
    /// The hash of the block at `height` of this chain, one of the last [`BLOCK_HASHES`].
    fn block_hash(&self, height: Height) -> Option<BlockHash>;
}

/// Nothing is known of what is below: contracts read zeros.
impl Ancestors for () {
    fn block_hash(&self, _: Height) -> Option<BlockHash> {
        None
    }
}

/// Whether a transaction to `to` may run code: all others are plain transfers.
pub(super) fn runs_code<S: StateRead + ?Sized>(
    to: Option<&Address>,
    changes: &mut DiffBuilder<'_, S>,
) -> bool {
    to.is_none_or(|to| changes.account(to).has_code() || precompile::at(FORK.precompiles, to).is_some())
}

/// What a contract can learn of the block at `height` on `parent`.
pub fn environment(
    rules: &Rules,
    height: Height,
    parent: &BlockHash,
    time: UnixMillis,
    base_fee: u128,
    fee_recipient: Address,
) -> synod_vm::Block {
    synod_vm::Block {
        number: height.0,
        time_seconds: time.seconds(),
        coinbase: fee_recipient,
        gas_limit: rules.limits.block_gas.0,
        base_fee: U256::from(base_fee),
        prev_randao: sha256(&[PREV_RANDAO_TAG, parent.0.as_slice()]),
        chain_id: rules.chain_id,
        blob_base_fee: U256::ONE,
    }
}

/// A native transaction as the machine takes it.
pub(crate) fn for_machine(native: &NativeTransaction, sender: Address) -> Transaction {
    let listed = |slots: &[B256]| slots.iter().map(|slot| U256::from_be_bytes(slot.0)).collect();
    Transaction {
        sender,
        to: native.to,
        nonce: native.nonce,
        value: native.value,
        data: native.data.clone(),
        gas_limit: native.gas_limit.0,
        max_fee_per_gas: U256::from(native.max_fee),
        max_tip_per_gas: U256::from(native.max_tip),
        access_list: native.access_list.iter().map(|item| (item.address, listed(&item.slots))).collect(),
        blobs: None,
    }
}

/// The state within a block, as the machine reads it.
pub struct BlockHost<'a, 'p, S: ?Sized> {
    changes: &'a DiffBuilder<'p, S>,
    ancestors: &'a dyn Ancestors,
}

impl<'a, 'p, S: StateRead + ?Sized> BlockHost<'a, 'p, S> {
    /// The state after `changes`, over the blocks of `ancestors`.
    pub fn new(changes: &'a DiffBuilder<'p, S>, ancestors: &'a dyn Ancestors) -> Self {
        Self { changes, ancestors }
    }
}

impl<S: StateRead + ?Sized> Host for BlockHost<'_, '_, S> {
    fn account(&self, address: &Address) -> Option<synod_vm::Account> {
        let account = self.changes.look(address);
        (!account.is_empty()).then(|| {
            let code_hash = account.code_hash.as_deref().copied();
            let empty = synod_vm::Account::default();
            synod_vm::Account {
                balance: account.balance,
                nonce: account.nonce,
                code_hash: code_hash.unwrap_or(empty.code_hash),
            }
        })
    }

    fn code(&self, hash: &B256) -> Bytes {
        self.changes.code(hash).expect("an account's code is in the state with it")
    }

    fn storage(&self, address: &Address, slot: &U256) -> U256 {
        self.changes.slot(address, &B256::from(*slot))
    }

    /// Whatever has storage has a nonce, which the machine looks at first.
    fn has_storage(&self, _: &Address) -> bool {
        false
    }

    fn block_hash(&self, number: u64) -> B256 {
        self.ancestors.block_hash(Height(number)).map_or(B256::ZERO, |hash| hash.0)
    }
}

/// Takes the changes of a transaction over into its block's.
pub(super) fn take_over<S: StateRead + ?Sized>(execution: &Execution, changes: &mut DiffBuilder<'_, S>) {
    for (hash, code) in &execution.diff.code {
        changes.add_code(*hash, code.clone());
    }
    for (address, change) in &execution.diff.accounts {
        *changes.account(address) = change.after.map_or_else(Account::default, account);
        for (slot, (_, after)) in &change.storage {
            changes.set_slot(address, B256::from(*slot), *after);
        }
    }
    let system = changes.system();
    system.burnt = system.burnt.checked_add(execution.burnt.total()).expect(super::charge::MONEY_FITS);
}

fn account(account: synod_vm::Account) -> Account {
    Account {
        nonce: account.nonce,
        balance: account.balance,
        code_hash: account.has_code().then(|| Box::new(account.code_hash)),
    }
}

/// The receipt of what the machine did. A creation's output would be the code, which the state has.
pub(super) fn receipt(id: TransactionId, execution: Execution, effective_fee: u128) -> Receipt {
    let succeeded = execution.status == Status::Success;
    let output = if execution.created.is_some() { Bytes::new() } else { execution.output };
    let log = |log: alloy_primitives::Log| {
        let (topics, data) = log.data.split();
        Log { address: log.address, topics, data }
    };
    Receipt {
        transaction: id,
        succeeded,
        gas_used: Gas(execution.gas_used),
        effective_fee,
        created: execution.created,
        output: Bytes::copy_from_slice(&output[..output.len().min(RECEIPT_OUTPUT_LIMIT)]),
        logs: execution.logs.into_iter().map(log).collect(),
    }
}

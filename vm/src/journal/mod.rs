//! The journal: all state that a transaction touches, with an undo list so that a frame can be reverted.
//!
//! Accounts and slots are loaded from the [`Host`] once and kept in vectors; frames hold their numbers, so
//! that a contract's own storage needs no lookup by address. Every change pushes its inverse on the undo
//! list. [`Journal::revert`] plays the list back to a checkpoint, which restores balances, nonces, code,
//! storage, transient storage, logs, warm sets, the created and destroyed sets, touches and the refund
//! (EVM-4, EVM-5). Ordered maps, so nothing depends on hashing.

mod accounts;
mod finish;
mod storage;
mod undo;

pub(crate) use undo::Checkpoint;

use crate::code::{Code, CodeCache};
use crate::host::{Account, Host};
use alloy_primitives::{Address, Log, U256};
use std::collections::BTreeMap;
use std::sync::Arc;
use undo::Undo;

/// The number of an account within one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AccountId(u32);

/// The number of a storage slot within one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SlotId(u32);

/// The state of one transaction over a host.
pub(crate) struct Journal<'h> {
    host: &'h dyn Host,
    code_cache: &'h mut CodeCache,
    tables: &'h mut Tables,
}

/// The journal's tables. They outlive a transaction so that the next one need not allocate them again.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    accounts: Vec<Entry>,
    account_index: BTreeMap<Address, AccountId>,
    slots: Vec<Slot>,
    slot_index: BTreeMap<(AccountId, U256), SlotId>,
    /// Transient storage (EIP-1153), by slot number.
    transient: Vec<U256>,
    transient_index: BTreeMap<(AccountId, U256), u32>,
    undo: Vec<Undo>,
    logs: Vec<Log>,
    refund: i64,
    /// Wei that self-destructs have burnt so far; part of what a revert restores.
    burnt: U256,
}

/// An account as this transaction sees it.
#[derive(Debug)]
struct Entry {
    address: Address,
    /// As the host gave it.
    original: Option<Account>,
    current: Account,
    /// Loaded when first asked for, or deployed by this transaction.
    code: Option<Arc<Code>>,
    /// Touched by EIP-2929.
    warm: bool,
    /// Touched by EIP-161: removed at the end when empty.
    touched: bool,
    created: bool,
    destroyed: bool,
}

/// A storage slot as this transaction sees it.
#[derive(Debug)]
struct Slot {
    original: U256,
    current: U256,
    warm: bool,
}

impl<'h> Journal<'h> {
    /// Begins a transaction on `host`.
    pub(crate) fn new(host: &'h dyn Host, code_cache: &'h mut CodeCache, tables: &'h mut Tables) -> Self {
        tables.reset();
        Self { host, code_cache, tables }
    }

    /// Adds to the refund counter, or takes from it.
    pub(crate) fn add_refund(&mut self, refund: i64) {
        self.tables.refund += refund;
    }

    /// The refund counter; a valid transaction's is never below zero at its end.
    pub(crate) fn refund(&self) -> u64 {
        u64::try_from(self.tables.refund).unwrap_or(0)
    }

    /// Appends a log.
    pub(crate) fn log(&mut self, log: Log) {
        self.tables.logs.push(log);
    }

    /// The hash of one of the 256 blocks before the present one.
    pub(crate) fn block_hash(&self, number: u64) -> alloy_primitives::B256 {
        self.host.block_hash(number)
    }
}

impl Tables {
    /// Room that each table keeps from one transaction to the next.
    const KEPT_ENTRIES: usize = 1 << 14;

    /// Forgets the last transaction, transient storage with it (EVM-11), and gives back what only a large
    /// one needed.
    fn reset(&mut self) {
        self.accounts.clear();
        self.account_index.clear();
        self.slots.clear();
        self.slot_index.clear();
        if !synod_types::mutant!("evm-transient-not-wiped") {
            self.transient.clear();
            self.transient_index.clear();
        }
        self.undo.clear();
        self.logs.clear();
        self.accounts.shrink_to(Self::KEPT_ENTRIES);
        self.slots.shrink_to(Self::KEPT_ENTRIES);
        self.transient.shrink_to(Self::KEPT_ENTRIES);
        self.undo.shrink_to(Self::KEPT_ENTRIES);
        self.refund = 0;
        self.burnt = U256::ZERO;
    }
}

//! A whole state in memory: the simplest [`Host`], for tests, tools and examples.

use crate::code::code_hash;
use crate::diff::StateDiff;
use crate::host::{Account, Host};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use std::collections::BTreeMap;

/// Accounts, their storage and all code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Every account.
    pub accounts: BTreeMap<Address, Account>,
    /// Filled slots of each account; no zeros and no empty maps.
    pub storage: BTreeMap<Address, BTreeMap<U256, U256>>,
    /// Code by hash.
    pub code: BTreeMap<B256, Bytes>,
}

impl World {
    /// Puts an account with its code and storage in place.
    pub fn insert(
        &mut self,
        address: Address,
        balance: U256,
        nonce: u64,
        code: Bytes,
        storage: impl IntoIterator<Item = (U256, U256)>,
    ) {
        let code_hash = code_hash(&code);
        if !code.is_empty() {
            self.code.insert(code_hash, code);
        }
        self.accounts.insert(address, Account { balance, nonce, code_hash });
        for (slot, value) in storage {
            self.set_slot(address, slot, value);
        }
    }

    /// The code of an account, empty where it has none.
    pub fn code_of(&self, address: &Address) -> Bytes {
        let account = self.accounts.get(address);
        account.and_then(|account| self.code.get(&account.code_hash)).cloned().unwrap_or_default()
    }

    /// Makes the changes of one transaction.
    ///
    /// # Panics
    ///
    /// Panics when `diff` was not made on this state: each change names the value that it replaces.
    pub fn apply(&mut self, diff: &StateDiff) {
        self.code.extend(diff.code.iter().map(|(hash, code)| (*hash, code.clone())));
        for (address, change) in &diff.accounts {
            assert_eq!(self.accounts.get(address), change.before.as_ref(), "{address}: another account");
            match change.after {
                Some(account) => self.accounts.insert(*address, account),
                None => self.accounts.remove(address),
            };
            if change.after.is_none() {
                self.storage.remove(address);
                continue;
            }
            for (&slot, &(before, after)) in &change.storage {
                assert_eq!(self.storage(address, &slot), before, "{address} {slot}: another value");
                self.set_slot(*address, slot, after);
            }
        }
    }

    /// Takes the changes of one transaction back.
    ///
    /// Storage of an account that a transaction removed is not in its diff; such an account was created by
    /// the same transaction or had none.
    pub fn undo(&mut self, diff: &StateDiff) {
        for (address, change) in &diff.accounts {
            match change.before {
                Some(account) => self.accounts.insert(*address, account),
                None => self.accounts.remove(address),
            };
            for (&slot, &(before, _)) in &change.storage {
                self.set_slot(*address, slot, before);
            }
        }
    }

    /// The sum of all balances, in wei.
    pub fn total(&self) -> U256 {
        self.accounts.values().map(|account| account.balance).sum()
    }

    fn set_slot(&mut self, address: Address, slot: U256, value: U256) {
        let slots = self.storage.entry(address).or_default();
        if value.is_zero() {
            slots.remove(&slot);
        } else {
            slots.insert(slot, value);
        }
        if slots.is_empty() {
            self.storage.remove(&address);
        }
    }
}

impl Host for World {
    fn account(&self, address: &Address) -> Option<Account> {
        self.accounts.get(address).copied()
    }

    fn code(&self, hash: &B256) -> Bytes {
        self.code.get(hash).cloned().unwrap_or_default()
    }

    fn storage(&self, address: &Address, slot: &U256) -> U256 {
        self.storage.get(address).and_then(|slots| slots.get(slot)).copied().unwrap_or_default()
    }

    fn has_storage(&self, address: &Address) -> bool {
        self.storage.contains_key(address)
    }

    /// As test runners answer: the hash of the decimal number's text.
    fn block_hash(&self, number: u64) -> B256 {
        keccak256(number.to_string())
    }
}

//! Accounts in the journal: loading, warmth, balances, nonces, code, creation, self-destruction.

use super::undo::Undo;
use super::{AccountId, Entry, Journal};
use crate::code::{Code, code_hash};
use crate::fork::FORK;
use crate::host::Account;
use crate::precompile;
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use std::sync::Arc;

impl Journal<'_> {
    /// The account's number; loads it from the host the first time.
    pub(crate) fn load(&mut self, address: &Address) -> AccountId {
        if let Some(&id) = self.tables.account_index.get(address) {
            return id;
        }
        let original = self.host.account(address);
        let id = AccountId(self.tables.accounts.len() as u32);
        self.tables.accounts.push(Entry {
            address: *address,
            original,
            current: original.unwrap_or_default(),
            code: None,
            // Precompiles are warm from the start (EVM-5).
            warm: precompile::at(FORK.precompiles, address).is_some(),
            touched: false,
            created: false,
            destroyed: false,
        });
        self.tables.account_index.insert(*address, id);
        id
    }

    /// Loads and warms an account; tells whether it was cold (EIP-2929).
    pub(crate) fn access(&mut self, address: &Address) -> (AccountId, bool) {
        let id = self.load(address);
        (id, self.warm(id))
    }

    /// Warms an account; tells whether it was cold.
    pub(crate) fn warm(&mut self, id: AccountId) -> bool {
        let entry = self.entry_mut(id);
        let was_cold = !std::mem::replace(&mut entry.warm, true);
        if was_cold {
            self.tables.undo.push(Undo::Warmed(id));
        }
        was_cold
    }

    /// The account now.
    pub(crate) fn account(&self, id: AccountId) -> &Account {
        &self.entry(id).current
    }

    /// The account's address.
    pub(crate) fn address(&self, id: AccountId) -> Address {
        self.entry(id).address
    }

    /// The account's code, ready to run.
    pub(crate) fn code(&mut self, id: AccountId) -> Arc<Code> {
        let hash = match self.entry(id) {
            Entry { code: Some(code), .. } => return code.clone(),
            entry => entry.current.code_hash,
        };
        let code = self.code_by_hash(&hash);
        self.entry_mut(id).code = Some(code.clone());
        code
    }

    fn code_by_hash(&mut self, hash: &B256) -> Arc<Code> {
        if *hash == KECCAK256_EMPTY {
            return Arc::default();
        }
        let host = self.host;
        self.code_cache.code(hash, || host.code(hash))
    }

    /// Marks an account as touched, so that it goes when it ends empty (EIP-161).
    pub(crate) fn touch(&mut self, id: AccountId) {
        if !std::mem::replace(&mut self.entry_mut(id).touched, true) {
            self.tables.undo.push(Undo::Touched(id));
        }
    }

    /// Sets a balance, in wei.
    pub(crate) fn set_balance(&mut self, id: AccountId, balance: U256) {
        self.touch(id);
        let before = std::mem::replace(&mut self.entry_mut(id).current.balance, balance);
        self.tables.undo.push(Undo::Balance(id, before));
    }

    /// Moves wei; the caller has checked that `from` has them.
    ///
    /// # Panics
    ///
    /// Panics when `from` has too little: money would be made.
    pub(crate) fn transfer(&mut self, from: AccountId, to: AccountId, value: U256) {
        if value.is_zero() || from == to {
            return self.touch(to);
        }
        let left = self.account(from).balance.checked_sub(value).expect("the balance was checked");
        self.set_balance(from, left);
        self.credit(to, value);
    }

    /// Adds wei to a balance. What does not fit in 256 bits is burnt and counted: a chain that conserves
    /// its supply has no such balance, but whoever simulates a call may ask for one.
    pub(crate) fn credit(&mut self, id: AccountId, value: U256) {
        let before = self.account(id).balance;
        let sum = before.saturating_add(value);
        let lost = value - (sum - before);
        self.tables.burnt = self.tables.burnt.saturating_add(lost);
        self.set_balance(id, sum);
    }

    /// Counts a nonce up; the caller has checked that it is not the last.
    pub(crate) fn increment_nonce(&mut self, id: AccountId) {
        let nonce = self.account(id).nonce.checked_add(1).expect("the nonce was checked");
        self.set_nonce(id, nonce);
    }

    fn set_nonce(&mut self, id: AccountId, nonce: u64) {
        self.touch(id);
        let before = std::mem::replace(&mut self.entry_mut(id).current.nonce, nonce);
        self.tables.undo.push(Undo::Nonce(id, before));
    }

    /// Whether a contract may be created here: no nonce, no code, no storage (EVM-9).
    pub(crate) fn is_free(&self, id: AccountId) -> bool {
        let entry = self.entry(id);
        let used = entry.current.nonce != 0 || entry.current.has_code();
        !used && (entry.original.is_none() || !self.host.has_storage(&entry.address))
    }

    /// Makes a free account a contract with nonce 1 (EIP-161), in creation.
    pub(crate) fn create(&mut self, id: AccountId) {
        self.entry_mut(id).created = true;
        self.tables.undo.push(Undo::Created(id));
        self.set_nonce(id, 1);
    }

    /// Whether this transaction created the contract.
    pub(super) fn is_created(&self, id: AccountId) -> bool {
        self.entry(id).created
    }

    /// Deploys code on a contract in creation.
    pub(crate) fn set_code(&mut self, id: AccountId, code: &[u8]) {
        let entry = self.entry_mut(id);
        debug_assert!(!entry.current.has_code(), "code is set once");
        entry.current.code_hash = code_hash(code);
        entry.code = Some(Arc::new(Code::new(code)));
        self.tables.undo.push(Undo::Code(id));
    }

    pub(super) fn remove_code(&mut self, id: AccountId) {
        let entry = self.entry_mut(id);
        entry.current.code_hash = KECCAK256_EMPTY;
        entry.code = None;
    }

    /// `SELFDESTRUCT` by EIP-6780 (EVM-10): the balance always moves; the contract goes only when this
    /// transaction created it; wei sent to itself are then burnt.
    pub(crate) fn self_destruct(&mut self, id: AccountId, beneficiary: AccountId) {
        let goes = self.is_created(id) || synod_types::mutant!("evm-selfdestruct-always-deletes");
        let balance = self.account(id).balance;
        self.transfer(id, beneficiary, balance);
        if !goes {
            return;
        }
        if id == beneficiary {
            self.burn_balance(id);
        }
        if !std::mem::replace(&mut self.entry_mut(id).destroyed, true) {
            self.tables.undo.push(Undo::Destroyed(id));
        }
    }

    /// Burns an account's balance and counts it.
    pub(super) fn burn_balance(&mut self, id: AccountId) {
        let balance = self.account(id).balance;
        self.tables.burnt = self.tables.burnt.saturating_add(balance);
        self.set_balance(id, U256::ZERO);
    }

    pub(super) fn entry(&self, id: AccountId) -> &Entry {
        &self.tables.accounts[id.0 as usize]
    }

    pub(super) fn entry_mut(&mut self, id: AccountId) -> &mut Entry {
        &mut self.tables.accounts[id.0 as usize]
    }
}

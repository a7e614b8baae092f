//! The end of a transaction: self-destructs and EIP-158 removals take effect, and the diff is read off.

use super::{AccountId, Entry, Journal, SlotId};
use crate::diff::{AccountDiff, StateDiff};
use crate::host::Account;
use alloy_primitives::{Log, U256};
use std::collections::BTreeMap;

/// What a journal leaves behind.
pub(crate) struct Finished {
    pub(crate) diff: StateDiff,
    pub(crate) logs: Vec<Log>,
    /// Wei burnt by self-destructs.
    pub(crate) burnt: U256,
}

impl Journal<'_> {
    /// Ends the transaction.
    pub(crate) fn finish(mut self) -> Finished {
        for id in self.ids() {
            // Wei that reached a contract after it destroyed itself are burnt with it.
            if self.entry(id).destroyed {
                self.burn_balance(id);
            }
        }
        let mut diff = StateDiff::default();
        let mut storage = self.changed_slots();
        for id in self.ids() {
            let slots = storage.remove(&id).unwrap_or_default();
            self.read_off(id, slots, &mut diff);
        }
        let burnt = self.tables.burnt;
        Finished { diff, logs: std::mem::take(&mut self.tables.logs), burnt }
    }

    fn ids(&self) -> impl Iterator<Item = AccountId> + use<> {
        (0..self.tables.accounts.len() as u32).map(AccountId)
    }

    /// Slots whose value differs from the one before the transaction, by account.
    fn changed_slots(&self) -> BTreeMap<AccountId, BTreeMap<U256, (U256, U256)>> {
        let mut changed: BTreeMap<AccountId, BTreeMap<_, _>> = BTreeMap::new();
        for (&(account, key), &SlotId(id)) in &self.tables.slot_index {
            let slot = &self.tables.slots[id as usize];
            if slot.original != slot.current {
                changed.entry(account).or_default().insert(key, (slot.original, slot.current));
            }
        }
        changed
    }

    /// Adds one account to the diff when anything about it changed.
    fn read_off(&self, id: AccountId, storage: BTreeMap<U256, (U256, U256)>, diff: &mut StateDiff) {
        let entry = self.entry(id);
        let after = after(entry);
        let storage = if after.is_some() { storage } else { BTreeMap::new() };
        if entry.original == after && storage.is_empty() && !entry.destroyed {
            return;
        }
        if let (Some(code), Some(account), true) = (&entry.code, after, entry.created)
            && account.has_code()
        {
            diff.code.insert(account.code_hash, code.bytes().clone());
        }
        let change = AccountDiff {
            before: entry.original,
            after,
            storage,
            created: entry.created && after.is_some(),
            destroyed: entry.destroyed,
        };
        diff.accounts.insert(entry.address, change);
    }
}

/// The account after the transaction.
fn after(entry: &Entry) -> Option<Account> {
    if entry.destroyed || (entry.touched && entry.current.is_empty()) {
        return None;
    }
    // An absent account that was only looked at stays absent.
    if entry.touched { Some(entry.current) } else { entry.original }
}

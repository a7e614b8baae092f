//! The state's leaves in the tree: tagged, hashed keys, and the hashes of values.

use synod_types::codec;
use synod_types::hash::sha256;
use synod_types::{Address, B256, Height};

use super::{
    Account, AccountChange, Diff, Entries, Record, RecordChange, RecordKey, StateRead, System, View,
};
use crate::trie::{Change, Leaf, Trie};

/// An account's key.
pub fn account_key(address: &Address) -> B256 {
    sha256(&[b"synod/state/account/v1", address.as_slice()])
}

/// A storage slot's key.
pub fn slot_key(address: &Address, slot: &B256) -> B256 {
    sha256(&[b"synod/state/slot/v1", address.as_slice(), slot.as_slice()])
}

/// An immature reward's key.
pub fn reward_key(height: Height) -> B256 {
    sha256(&[b"synod/state/reward/v1", &height.0.to_be_bytes()])
}

/// The system record's key.
pub fn system_key() -> B256 {
    sha256(&[b"synod/state/system/v1"])
}

/// The hash of an account's value, or `None` for the empty account, which has no leaf.
pub fn account_value(account: &Account) -> Option<B256> {
    (!account.is_empty()).then(|| sha256(&[&account.to_leaf_bytes()]))
}

/// The hash of a record's value.
pub fn record_value(record: &Record) -> B256 {
    sha256(&[&codec::encode(record)])
}

/// The hash of the system record.
pub fn system_value(system: &System) -> B256 {
    sha256(&[&codec::encode(system)])
}

/// The leaf of an account that is not empty.
pub fn account_leaf(address: &Address, account: &Account) -> Option<Leaf> {
    account_value(account).map(|value| Leaf { key: account_key(address), value })
}

/// The leaf of a record.
pub fn record_leaf(key: &RecordKey, record: &Record) -> Leaf {
    Leaf { key: record_key(key), value: record_value(record) }
}

/// The leaf of the system record.
pub fn system_leaf(system: &System) -> Leaf {
    Leaf { key: system_key(), value: system_value(system) }
}

/// The batch that takes the tree from the state before a block to the state after it.
pub fn changes(diff: &Diff) -> Vec<Change> {
    batch(diff, |change| &change.after, |change| change.after, &diff.system.1)
}

/// The batch that takes the tree from the state after a block to the state before it.
pub fn changes_back(diff: &Diff) -> Vec<Change> {
    batch(diff, |change| &change.before, |change| change.before, &diff.system.0)
}

fn batch(
    diff: &Diff,
    account: impl Fn(&AccountChange) -> &Account,
    record: impl Fn(&RecordChange) -> Option<Record>,
    system: &System,
) -> Vec<Change> {
    let accounts = diff
        .accounts
        .iter()
        .map(|change| Change { key: account_key(&change.address), value: account_value(account(change)) });
    let records = diff.records.iter().map(|change| Change {
        key: record_key(&change.key),
        value: record(change).as_ref().map(record_value),
    });
    let system = Change { key: system_key(), value: Some(system_value(system)) };
    accounts.chain(records).chain([system]).collect()
}

fn record_key(key: &RecordKey) -> B256 {
    match key {
        RecordKey::Reward(height) => reward_key(*height),
        RecordKey::Slot(address, slot) => slot_key(address, slot),
    }
}

/// The tree of a whole state.
pub fn tree(view: &View) -> Trie {
    let mut leaves = vec![system_leaf(&view.system())];
    view.shards(|accounts, records| {
        leaves.extend(accounts.iter().filter_map(|(address, account)| account_leaf(address, account)));
        leaves.extend(records.iter().map(|(key, record)| record_leaf(key, record)));
    });
    Trie::from_leaves(leaves)
}

/// Every leaf of a state, for building its tree in bulk.
pub fn all(entries: &Entries) -> Vec<Leaf> {
    let accounts = entries.accounts.iter().filter_map(|(address, account)| account_leaf(address, account));
    let records = entries.records.iter().map(|(key, record)| record_leaf(key, record));
    accounts.chain(records).chain([system_leaf(&entries.system)]).collect()
}

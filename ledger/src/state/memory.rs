//! The state at the tip, in memory, and the journal that views read back through.
//!
//! One owner changes it; any number of views read at the same time. The owner links a change into the journal
//! *before* it touches the maps, and a view reads the map *before* it looks at the journal; so a view that
//! saw a changed value is certain to find the change that says what it was.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, RwLock};

use synod_types::{Address, B256, Bytes};

use super::view::View;
use super::{Account, AccountChange, Diff, Entries, Record, RecordKey, System};

/// Locks are held for one look-up, or for a block's share of a shard; this many make meetings rare.
pub(super) const SHARDS: usize = 256;

/// The maps, shared by the owner and all views.
#[derive(Debug)]
pub(super) struct Maps {
    accounts: Vec<RwLock<HashMap<Address, Account>>>,
    records: Vec<RwLock<HashMap<RecordKey, Record>>>,
    code: RwLock<HashMap<B256, Bytes>>,
}

/// An entry of the journal: a block applied, or one taken back.
#[derive(Debug)]
pub(super) struct Step {
    /// What changed; `None` for the first entry, which is where the state was loaded.
    pub(super) diff: Option<Arc<Diff>>,
    /// Whether the diff was taken back.
    pub(super) reversed: bool,
    /// The system record after this entry.
    pub(super) system: System,
    /// The entry after this one.
    pub(super) next: OnceLock<Arc<Step>>,
}

/// The owner's handle.
#[derive(Debug)]
pub struct State {
    maps: Arc<Maps>,
    tip: Arc<Step>,
}

impl State {
    /// The state with these entries.
    pub fn new(entries: Entries) -> Self {
        let mut loading = Loading::default();
        entries.accounts.into_iter().for_each(|(address, account)| loading.account(address, account));
        entries.records.into_iter().for_each(|(key, record)| loading.record(key, Some(record)));
        entries.code.into_iter().for_each(|(hash, code)| loading.code(hash, code));
        loading.finish(entries.system)
    }

    /// The state now, for good.
    pub fn view(&self) -> View {
        View { maps: self.maps.clone(), step: self.tip.clone() }
    }

    /// Applies a block's diff.
    pub fn apply(&mut self, diff: Arc<Diff>) {
        self.advance(diff.clone(), false);
        self.maps.set_accounts(&diff.accounts, |change| &change.after);
        for change in &diff.records {
            self.maps.set_record(&change.key, change.after);
        }
        self.maps.write_code(&diff.code);
    }

    /// Takes back the diff that was applied last.
    pub fn revert(&mut self, diff: Arc<Diff>) {
        self.advance(diff.clone(), true);
        self.maps.set_accounts(&diff.accounts, |change| &change.before);
        for change in &diff.records {
            self.maps.set_record(&change.key, change.before);
        }
    }

    fn advance(&mut self, diff: Arc<Diff>, reversed: bool) {
        let (before, after) = if reversed { (diff.system.1, diff.system.0) } else { diff.system };
        assert_eq!(self.tip.system, before, "a diff is applied to the state that it was made from");
        let step = Arc::new(Step { diff: Some(diff), reversed, system: after, next: OnceLock::new() });
        self.tip.next.set(step.clone()).expect("only the owner links, and only at the tip");
        self.tip = step;
    }
}

/// A state in the making: what is set later replaces what was set before.
#[derive(Debug)]
pub struct Loading(Maps);

impl Default for Loading {
    fn default() -> Self {
        Self(Maps::empty())
    }
}

impl Loading {
    /// Sets an account; the empty one removes it.
    pub fn account(&mut self, address: Address, account: Account) {
        let shard = lock_free(&mut self.0.accounts[account_shard(&address)]);
        if account.is_empty() {
            shard.remove(&address);
        } else {
            shard.insert(address, account);
        }
    }

    /// Sets or removes a record.
    pub fn record(&mut self, key: RecordKey, record: Option<Record>) {
        let shard = lock_free(&mut self.0.records[record_shard(&key)]);
        match record {
            Some(record) => drop(shard.insert(key, record)),
            None => drop(shard.remove(&key)),
        }
    }

    /// Adds code.
    pub fn code(&mut self, hash: B256, code: Bytes) {
        lock_free(&mut self.0.code).insert(hash, code);
    }

    /// The state.
    pub fn finish(self, system: System) -> State {
        let tip = Step { diff: None, reversed: false, system, next: OnceLock::new() };
        State { maps: Arc::new(self.0), tip: Arc::new(tip) }
    }
}

impl Maps {
    fn empty() -> Self {
        Self {
            accounts: (0..SHARDS).map(|_| RwLock::default()).collect(),
            records: (0..SHARDS).map(|_| RwLock::default()).collect(),
            code: RwLock::default(),
        }
    }

    pub(super) fn account(&self, address: &Address) -> Account {
        let shard = self.accounts[account_shard(address)].read().expect(UNPOISONED);
        shard.get(address).cloned().unwrap_or_default()
    }

    /// The accounts of sorted addresses, each shard's at once.
    pub(super) fn accounts(&self, sorted: &[Address]) -> Vec<Account> {
        let mut accounts = Vec::with_capacity(sorted.len());
        for some in sorted.chunk_by(|a, b| account_shard(a) == account_shard(b)) {
            let shard = self.accounts[account_shard(&some[0])].read().expect(UNPOISONED);
            accounts.extend(some.iter().map(|address| shard.get(address).cloned().unwrap_or_default()));
        }
        accounts
    }

    pub(super) fn record(&self, key: &RecordKey) -> Option<Record> {
        self.records[record_shard(key)].read().expect(UNPOISONED).get(key).copied()
    }

    pub(super) fn code(&self, hash: &B256) -> Option<Bytes> {
        self.code.read().expect(UNPOISONED).get(hash).cloned()
    }

    pub(super) fn all_code(&self) -> Vec<(B256, Bytes)> {
        self.code.read().expect(UNPOISONED).iter().map(|(hash, code)| (*hash, code.clone())).collect()
    }

    /// A copy of one shard of the accounts.
    pub(super) fn account_shard(&self, shard: usize) -> Vec<(Address, Account)> {
        let shard = self.accounts[shard].read().expect(UNPOISONED);
        shard.iter().map(|(address, account)| (*address, account.clone())).collect()
    }

    /// A copy of one shard of the records.
    pub(super) fn record_shard(&self, shard: usize) -> Vec<(RecordKey, Record)> {
        let shard = self.records[shard].read().expect(UNPOISONED);
        shard.iter().map(|(key, record)| (*key, *record)).collect()
    }

    /// Sets what sorted changes say, each shard's at once.
    fn set_accounts(&self, sorted: &[AccountChange], value: impl Fn(&AccountChange) -> &Account) {
        for some in sorted.chunk_by(|a, b| account_shard(&a.address) == account_shard(&b.address)) {
            let mut shard = self.accounts[account_shard(&some[0].address)].write().expect(UNPOISONED);
            for change in some {
                match value(change) {
                    account if account.is_empty() => drop(shard.remove(&change.address)),
                    account => drop(shard.insert(change.address, account.clone())),
                }
            }
        }
    }

    fn set_record(&self, key: &RecordKey, record: Option<Record>) {
        let mut shard = self.records[record_shard(key)].write().expect(UNPOISONED);
        match record {
            Some(record) => drop(shard.insert(*key, record)),
            None => drop(shard.remove(key)),
        }
    }

    fn write_code(&self, code: &[(B256, Bytes)]) {
        if !code.is_empty() {
            self.code.write().expect(UNPOISONED).extend(code.iter().cloned());
        }
    }
}

const UNPOISONED: &str = "nothing panics while it holds a shard";

fn lock_free<T>(lock: &mut RwLock<T>) -> &mut T {
    lock.get_mut().expect(UNPOISONED)
}

/// By the first byte, so that sorted addresses come shard by shard. Addresses are mostly hashes; where somebody
/// chooses them, all that suffers is how evenly locks are used.
pub(super) fn account_shard(address: &Address) -> usize {
    usize::from(address.0[0])
}

pub(super) fn record_shard(key: &RecordKey) -> usize {
    match key {
        RecordKey::Reward(height) => (height.0 % SHARDS as u64) as usize,
        RecordKey::Slot(address, slot) => usize::from(address.0[19] ^ slot.0[31]),
    }
}

impl Drop for Step {
    /// Lets go of a long journal one entry at a time: a view that was held for long may be the last holder
    /// of thousands, and dropping them inside each other would use up the stack.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut step) = next.and_then(Arc::into_inner) {
            next = step.next.take();
        }
    }
}

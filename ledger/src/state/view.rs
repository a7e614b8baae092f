//! The state at one block, for reading, for as long as somebody holds it.

use std::collections::BTreeMap;
use std::sync::Arc;

use synod_types::{Address, B256, Bytes, Height, U256};

use super::memory::{Maps, SHARDS, Step, account_shard, record_shard};
use super::{Account, Diff, Record, RecordKey, Reward, StateRead, System};

/// A place in the journal. Cheap to clone, and good on any thread; what it says never changes.
#[derive(Debug, Clone)]
pub struct View {
    pub(super) maps: Arc<Maps>,
    pub(super) step: Arc<Step>,
}

/// Everything in a view, sorted by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries {
    /// The accounts that are not empty.
    pub accounts: Vec<(Address, Account)>,
    /// Storage slots and immature rewards.
    pub records: Vec<(RecordKey, Record)>,
    /// Code by hash; may hold code that later blocks brought.
    pub code: Vec<(B256, Bytes)>,
    /// The books and the fee meter.
    pub system: System,
}

impl StateRead for View {
    fn account(&self, address: &Address) -> Account {
        let mut account = self.maps.account(address);
        self.undo(address, &mut account);
        account
    }

    fn accounts(&self, sorted: &[Address]) -> Vec<Account> {
        let mut accounts = self.maps.accounts(sorted);
        if self.step.next.get().is_some() {
            let at_this_place = sorted.iter().zip(&mut accounts);
            at_this_place.for_each(|(address, account)| self.undo(address, account));
        }
        accounts
    }

    fn slot(&self, address: &Address, slot: &B256) -> U256 {
        match self.record(&RecordKey::Slot(*address, *slot)) {
            Some(Record::Slot(value)) => value,
            _ => U256::ZERO,
        }
    }

    fn code(&self, hash: &B256) -> Option<Bytes> {
        self.maps.code(hash)
    }

    fn reward(&self, height: Height) -> Option<Reward> {
        match self.record(&RecordKey::Reward(height)) {
            Some(Record::Reward(reward)) => Some(reward),
            _ => None,
        }
    }

    fn system(&self) -> System {
        self.step.system
    }
}

impl View {
    /// What stands under a record's key.
    pub fn record(&self, key: &RecordKey) -> Option<Record> {
        let now = self.maps.record(key);
        let later = self.later().find_map(|(diff, reversed)| {
            diff.record(key).map(|change| if reversed { change.after } else { change.before })
        });
        later.unwrap_or(now)
    }

    /// Everything, sorted. Takes time in proportion to the whole state; the owner is never made to wait for
    /// more than one shard's copy.
    pub fn entries(&self) -> Entries {
        let (mut accounts, mut records) = (Vec::new(), Vec::new());
        self.shards(|some_accounts, some_records| {
            accounts.extend(some_accounts);
            records.extend(some_records);
        });
        accounts.sort_unstable_by_key(|entry: &(Address, Account)| entry.0);
        records.sort_unstable_by_key(|entry: &(RecordKey, Record)| entry.0);
        let mut code = self.all_code();
        code.sort_unstable_by_key(|entry| entry.0);
        Entries { accounts, records, code, system: self.step.system }
    }

    /// Everything but code, one shard after the other, in no particular order within a shard: what
    /// [`View::entries`] says, without a copy of the whole.
    pub fn shards(&self, mut each: impl FnMut(Vec<(Address, Account)>, Vec<(RecordKey, Record)>)) {
        let mut undo = Undo::new(self);
        for shard in 0..SHARDS {
            let mut accounts = self.maps.account_shard(shard);
            let mut records = self.maps.record_shard(shard);
            undo.catch_up();
            let changed = std::mem::take(&mut undo.accounts[shard]);
            accounts.retain(|(address, _)| !changed.contains_key(address));
            accounts.extend(changed.into_iter().filter(|(_, account)| !account.is_empty()));
            let changed = std::mem::take(&mut undo.records[shard]);
            records.retain(|(key, _)| !changed.contains_key(key));
            records.extend(changed.into_iter().filter_map(|(key, record)| Some((key, record?))));
            each(accounts, records);
        }
    }

    /// All code that is known, also what later blocks brought.
    pub fn all_code(&self) -> Vec<(B256, Bytes)> {
        self.maps.all_code()
    }

    /// Makes what stands in the map now what stood there at this place.
    fn undo(&self, address: &Address, account: &mut Account) {
        let later = self.later().find_map(|(diff, reversed)| {
            diff.account(address).map(|change| if reversed { &change.after } else { &change.before })
        });
        if let Some(then) = later {
            account.clone_from(then);
        }
    }

    /// The journal after this place.
    fn later(&self) -> impl Iterator<Item = (&Diff, bool)> {
        let mut step = &self.step;
        std::iter::from_fn(move || {
            step = step.next.get()?;
            let diff = step.diff.as_deref().expect(ONLY_THE_FIRST);
            Some((diff, step.reversed))
        })
    }
}

/// What was before the first later change of each key, by shard; grows while the owner goes on.
struct Undo<'a> {
    step: &'a Arc<Step>,
    accounts: Vec<BTreeMap<Address, Account>>,
    records: Vec<BTreeMap<RecordKey, Option<Record>>>,
}

impl<'a> Undo<'a> {
    fn new(view: &'a View) -> Self {
        let (accounts, records) = (vec![BTreeMap::new(); SHARDS], vec![BTreeMap::new(); SHARDS]);
        Self { step: &view.step, accounts, records }
    }

    /// Takes in the changes that were linked since the last call.
    fn catch_up(&mut self) {
        while let Some(step) = self.step.next.get() {
            self.step = step;
            let diff = step.diff.as_deref().expect(ONLY_THE_FIRST);
            for change in &diff.accounts {
                let value = if step.reversed { &change.after } else { &change.before };
                let shard = &mut self.accounts[account_shard(&change.address)];
                shard.entry(change.address).or_insert_with(|| value.clone());
            }
            for change in &diff.records {
                let value = if step.reversed { change.after } else { change.before };
                self.records[record_shard(&change.key)].entry(change.key).or_insert(value);
            }
        }
    }
}

const ONLY_THE_FIRST: &str = "only the journal's first entry has no diff";

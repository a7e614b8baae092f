//! What one block changes: for everything touched, the value before and the value after.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use synod_types::codec::fixed;
use synod_types::{Address, B256, Bytes, Height, U256};

use super::{Account, Reward, StateRead, System};

/// A block's changes, sorted by key, each key once. Applied forwards they make the state after the block from
/// the state before it, backwards the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// Accounts, sorted by address.
    pub accounts: Vec<AccountChange>,
    /// Storage slots and immature rewards, sorted by key.
    pub records: Vec<RecordChange>,
    /// The system record before and after.
    pub system: (System, System),
    /// Code that appeared, by hash. Code is never removed: its hash says everything about it.
    pub code: Vec<(B256, Bytes)>,
}

/// One account's change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountChange {
    /// Whose.
    pub address: Address,
    /// Before the block.
    pub before: Account,
    /// After it.
    pub after: Account,
}

/// The key of anything in the state that is neither an account nor the system record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RecordKey {
    /// The immature reward of the block at this height.
    Reward(Height),
    /// A contract's storage slot.
    Slot(#[serde(with = "fixed")] Address, #[serde(with = "fixed")] B256),
}

/// What stands under a [`RecordKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Under [`RecordKey::Reward`].
    Reward(Reward),
    /// Under [`RecordKey::Slot`]; never zero.
    Slot(#[serde(with = "fixed")] U256),
}

/// One record's change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordChange {
    /// Which.
    pub key: RecordKey,
    /// Before the block.
    pub before: Option<Record>,
    /// After it.
    pub after: Option<Record>,
}

impl Diff {
    /// The change of an account, if the block touched it.
    pub fn account(&self, address: &Address) -> Option<&AccountChange> {
        let at = self.accounts.binary_search_by_key(address, |change| change.address).ok()?;
        Some(&self.accounts[at])
    }

    /// The change of a record, if the block touched it.
    pub fn record(&self, key: &RecordKey) -> Option<&RecordChange> {
        let at = self.records.binary_search_by_key(key, |change| change.key).ok()?;
        Some(&self.records[at])
    }

    /// Bytes of memory, roughly.
    pub fn memory_bytes(&self) -> usize {
        self.accounts.len() * size_of::<AccountChange>()
            + self.records.len() * size_of::<RecordChange>()
            + self.code.iter().map(|(_, code)| code.len()).sum::<usize>()
    }
}

/// Changes in the making, over the state at a block's parent.
pub struct DiffBuilder<'a, S: ?Sized> {
    parent: &'a S,
    accounts: BTreeMap<Address, (Account, Account)>,
    records: BTreeMap<RecordKey, (Option<Record>, Option<Record>)>,
    system: (System, System),
    code: BTreeMap<B256, Bytes>,
}

impl<'a, S: StateRead + ?Sized> DiffBuilder<'a, S> {
    /// Nothing changed yet.
    pub fn new(parent: &'a S) -> Self {
        let system = parent.system();
        Self {
            parent,
            accounts: BTreeMap::new(),
            records: BTreeMap::new(),
            system: (system, system),
            code: BTreeMap::new(),
        }
    }

    /// Looks these accounts up at once, before anything is changed: one by one they would be waited for.
    pub(crate) fn fetch(&mut self, mut addresses: Vec<Address>) {
        debug_assert!(self.accounts.is_empty(), "nothing is changed yet");
        addresses.sort_unstable();
        addresses.dedup();
        let accounts = self.parent.accounts(&addresses);
        let unchanged = |(address, account): (Address, Account)| (address, (account.clone(), account));
        self.accounts = addresses.into_iter().zip(accounts).map(unchanged).collect();
    }

    /// The state that these are changes of.
    pub fn parent(&self) -> &'a S {
        self.parent
    }

    /// The account as it stands now.
    pub fn account(&mut self, address: &Address) -> &mut Account {
        let entry = self.accounts.entry(*address).or_insert_with(|| {
            let before = self.parent.account(address);
            (before.clone(), before)
        });
        &mut entry.1
    }

    /// The account as it stands now, without a place in the diff.
    pub fn look(&self, address: &Address) -> Account {
        match self.accounts.get(address) {
            Some((_, after)) => after.clone(),
            None => self.parent.account(address),
        }
    }

    /// A storage slot as it stands now; an absent one is zero.
    pub fn slot(&self, address: &Address, slot: &B256) -> U256 {
        match self.records.get(&RecordKey::Slot(*address, *slot)) {
            Some((_, Some(Record::Slot(value)))) => *value,
            Some(_) => U256::ZERO,
            None => self.parent.slot(address, slot),
        }
    }

    /// Sets a storage slot; zero removes it.
    pub fn set_slot(&mut self, address: &Address, slot: B256, value: U256) {
        let parent = self.parent;
        let filled = |value: U256| (!value.is_zero()).then_some(Record::Slot(value));
        let entry = self.records.entry(RecordKey::Slot(*address, slot)).or_insert_with(|| {
            let before = filled(parent.slot(address, &slot));
            (before, before)
        });
        entry.1 = filled(value);
    }

    /// The code with this hash, as the parent or this block has it.
    pub fn code(&self, hash: &B256) -> Option<Bytes> {
        self.code.get(hash).cloned().or_else(|| self.parent.code(hash))
    }

    /// Adds code that the parent may not have.
    pub fn add_code(&mut self, hash: B256, code: Bytes) {
        if self.parent.code(&hash).is_none() {
            self.code.insert(hash, code);
        }
    }

    /// The system record as it stands now.
    pub fn system(&mut self) -> &mut System {
        &mut self.system.1
    }

    /// The immature reward of a block.
    pub fn reward(&self, height: Height) -> Option<Reward> {
        match self.records.get(&RecordKey::Reward(height)) {
            Some((_, after)) => after.map(|record| match record {
                Record::Reward(reward) => reward,
                Record::Slot(_) => unreachable!("slots have keys of their own"),
            }),
            None => self.parent.reward(height),
        }
    }

    /// Sets or removes the immature reward of a block.
    pub fn set_reward(&mut self, height: Height, reward: Option<Reward>) {
        let parent = self.parent;
        let entry = self.records.entry(RecordKey::Reward(height)).or_insert_with(|| {
            let before = parent.reward(height).map(Record::Reward);
            (before, before)
        });
        entry.1 = reward.map(Record::Reward);
    }

    /// The finished diff, without what ended as it began.
    pub fn finish(self) -> Diff {
        let accounts = self.accounts.into_iter().filter(|(_, (before, after))| before != after);
        let records = self.records.into_iter().filter(|(_, (before, after))| before != after);
        Diff {
            accounts: accounts
                .map(|(address, (before, after))| AccountChange { address, before, after })
                .collect(),
            records: records.map(|(key, (before, after))| RecordChange { key, before, after }).collect(),
            system: self.system,
            code: self.code.into_iter().collect(),
        }
    }
}

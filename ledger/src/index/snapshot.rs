//! The state in pages: a base, and after it one delta for each checkpoint since.
//!
//! An entry of a delta says what stands under a key now: an empty account, or a record without value, is one
//! that is gone.

use synod_types::{Address, B256, Height, U256};

use crate::state::{Account, Record, RecordKey, Reward};
use crate::store::StoreError;

const PAGE_BYTES: usize = 16 * 1024;
const ACCOUNT: u8 = 0;
const CONTRACT: u8 = 1;
const REWARD: u8 = 2;
const NO_REWARD: u8 = 3;
const SLOT: u8 = 4;

/// Entries being cut into pages.
#[derive(Default)]
pub(super) struct PageWriter {
    pages: Vec<Vec<u8>>,
    open: Vec<u8>,
}

impl PageWriter {
    pub(super) fn account(&mut self, address: &Address, account: &Account) {
        self.open.push(if account.has_code() { CONTRACT } else { ACCOUNT });
        self.open.extend_from_slice(address.as_slice());
        self.open.extend_from_slice(&account.nonce.to_be_bytes());
        self.open.extend_from_slice(&account.balance.to_be_bytes::<32>());
        if let Some(code_hash) = &account.code_hash {
            self.open.extend_from_slice(code_hash.as_slice());
        }
        self.turn();
    }

    pub(super) fn record(&mut self, key: &RecordKey, record: Option<&Record>) {
        match (key, record) {
            (RecordKey::Reward(height), Some(Record::Reward(reward))) => {
                self.open.push(REWARD);
                self.open.extend_from_slice(&height.0.to_be_bytes());
                self.open.extend_from_slice(reward.recipient.as_slice());
                self.open.extend_from_slice(&reward.amount.to_be_bytes::<32>());
            }
            (RecordKey::Reward(height), _) => {
                self.open.push(NO_REWARD);
                self.open.extend_from_slice(&height.0.to_be_bytes());
            }
            (RecordKey::Slot(address, slot), record) => {
                let value = if let Some(Record::Slot(value)) = record { *value } else { U256::ZERO };
                self.open.push(SLOT);
                self.open.extend_from_slice(address.as_slice());
                self.open.extend_from_slice(slot.as_slice());
                self.open.extend_from_slice(&value.to_be_bytes::<32>());
            }
        }
        self.turn();
    }

    /// The pages that are full, once each.
    pub(super) fn full_pages(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.pages)
    }

    pub(super) fn finish(mut self) -> Vec<Vec<u8>> {
        if !self.open.is_empty() {
            self.pages.push(self.open);
        }
        self.pages
    }

    fn turn(&mut self) {
        if self.open.len() >= PAGE_BYTES {
            self.pages.push(std::mem::take(&mut self.open));
        }
    }
}

/// One entry of a page.
pub(super) enum Entry {
    Account(Address, Account),
    Record(RecordKey, Option<Record>),
}

/// Reads a page.
pub(super) fn read_page(mut bytes: &[u8], mut each: impl FnMut(Entry)) -> Result<(), StoreError> {
    while let Some((&kind, rest)) = bytes.split_first() {
        bytes = rest;
        each(match kind {
            ACCOUNT | CONTRACT => {
                let address = Address::new(take(&mut bytes)?);
                let nonce = u64::from_be_bytes(take(&mut bytes)?);
                let balance = U256::from_be_bytes(take::<32>(&mut bytes)?);
                let code_hash = match kind {
                    CONTRACT => Some(Box::new(B256::new(take(&mut bytes)?))),
                    _ => None,
                };
                Entry::Account(address, Account { nonce, balance, code_hash })
            }
            REWARD => {
                let height = Height(u64::from_be_bytes(take(&mut bytes)?));
                let recipient = Address::new(take(&mut bytes)?);
                let amount = U256::from_be_bytes(take::<32>(&mut bytes)?);
                Entry::Record(RecordKey::Reward(height), Some(Record::Reward(Reward { recipient, amount })))
            }
            NO_REWARD => {
                Entry::Record(RecordKey::Reward(Height(u64::from_be_bytes(take(&mut bytes)?))), None)
            }
            SLOT => {
                let key = RecordKey::Slot(Address::new(take(&mut bytes)?), B256::new(take(&mut bytes)?));
                let value = U256::from_be_bytes(take::<32>(&mut bytes)?);
                Entry::Record(key, (!value.is_zero()).then_some(Record::Slot(value)))
            }
            _ => return Err(StoreError::Damaged("an entry of an unknown kind")),
        });
    }
    Ok(())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], StoreError> {
    let (taken, rest) =
        bytes.split_first_chunk::<N>().ok_or(StoreError::Damaged("an entry that is cut off"))?;
    *bytes = rest;
    Ok(*taken)
}

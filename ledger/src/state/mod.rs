//! The state: accounts, storage, code, rewards on their way, and the books that must balance.
//!
//! **One copy and a journal.** Memory holds the state at the tip once, in sharded maps. Each block's [`Diff`]
//! keeps, for everything that it changed, the value before and after. A [`View`] is a place in the journal of
//! changes: it reads the map, and then lets the first later change of the same key say what the value was at
//! its own place. Reading at the tip is one look-up; reading d blocks back looks into d diffs.
//!
//! The design speaks of a base with layers above it. This is the same thing seen from the tip: layers are
//! undone downwards instead of merged upwards. A merge of old layers into a base would have to copy what
//! readers hold, or make them wait; here an old layer is simply let go, by the last reader that needs it, and
//! a reorganisation is one more entry in the journal, so that a view of a branch that was left stays good.
//!
//! **What the root binds.** Every account, storage slot, immature reward and the [`System`] record is a leaf
//! of the state tree under a hashed, tagged key ([`leaves`]). Code is bound through its account.

mod account;
mod diff;
pub mod leaves;
mod memory;
#[cfg(test)]
mod tests;
mod view;

pub use account::{Account, Reward, System};
pub use diff::{AccountChange, Diff, DiffBuilder, Record, RecordChange, RecordKey};
pub use memory::{Loading, State};
use synod_types::{Address, B256, Bytes, Height, U256};
pub use view::{Entries, View};

/// How execution and everything else read the state at one block.
pub trait StateRead {
    /// The account; an absent one is the empty account.
    fn account(&self, address: &Address) -> Account;
    /// The accounts of these addresses, which are sorted: the waits for memory of many look-ups overlap.
    fn accounts(&self, sorted: &[Address]) -> Vec<Account> {
        sorted.iter().map(|address| self.account(address)).collect()
    }
    /// A storage slot; an absent one is zero.
    fn slot(&self, address: &Address, slot: &B256) -> U256;
    /// The code with this hash.
    fn code(&self, hash: &B256) -> Option<Bytes>;
    /// The reward of the block at `height`, while it is immature.
    fn reward(&self, height: Height) -> Option<Reward>;
    /// The books and the fee meter.
    fn system(&self) -> System;
}

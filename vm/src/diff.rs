//! What a transaction changes, as a value: the ledger applies it, and can undo it from the same value.

use crate::host::Account;
use alloy_primitives::{Address, B256, Bytes, U256};
use std::collections::BTreeMap;

/// All changes of one transaction to the state. Only what really differs is listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateDiff {
    /// Changed accounts.
    pub accounts: BTreeMap<Address, AccountDiff>,
    /// Code that was deployed, by its hash.
    pub code: BTreeMap<B256, Bytes>,
}

/// The change of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountDiff {
    /// The account before; `None` where there was none.
    pub before: Option<Account>,
    /// The account after; `None` where it is gone.
    pub after: Option<Account>,
    /// The slots that changed, as (before, after).
    pub storage: BTreeMap<U256, (U256, U256)>,
    /// This transaction deployed a contract here.
    pub created: bool,
    /// A contract destroyed itself here, in the transaction that created it (EIP-6780): all storage goes.
    pub destroyed: bool,
}

impl AccountDiff {
    /// Whether the account was there and is gone.
    pub fn is_removed(&self) -> bool {
        self.before.is_some() && self.after.is_none()
    }
}

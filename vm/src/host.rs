//! What the machine needs from outside: a read-only view of the state before the transaction.
//!
//! The machine never writes through it. What a transaction changes comes back as a [`crate::StateDiff`].

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};

/// An account without its storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Wei.
    pub balance: U256,
    /// Transactions sent, or contracts created; a contract begins with 1.
    pub nonce: u64,
    /// Keccak-256 of the code; of nothing where there is none.
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self { balance: U256::ZERO, nonce: 0, code_hash: KECCAK256_EMPTY }
    }
}

impl Account {
    /// Empty by EIP-161: no nonce, no balance, no code. An empty account and an absent one act alike.
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && !self.has_code()
    }

    /// Whether there is code.
    pub fn has_code(&self) -> bool {
        self.code_hash != KECCAK256_EMPTY
    }
}

/// A view of accounts, code, storage and block hashes that does not change while a transaction runs.
///
/// Reads cannot fail: a view stands on state that is at hand, and a broken disk stops the node elsewhere.
pub trait Host {
    /// The account, or `None` where there is none.
    fn account(&self, address: &Address) -> Option<Account>;

    /// The code with this hash. Asked only for hashes that an account of this view carries.
    fn code(&self, hash: &B256) -> Bytes;

    /// A storage slot; zero where nothing was stored.
    fn storage(&self, address: &Address, slot: &U256) -> U256;

    /// Whether any slot of the account is filled: such an address cannot become a contract (EVM-9).
    fn has_storage(&self, address: &Address) -> bool;

    /// The hash of a block of this chain. Asked only for the 256 blocks before the present one (EVM-15).
    fn block_hash(&self, number: u64) -> B256;
}

//! Signed transactions by number, and accounts from a table.

use std::collections::BTreeMap;

use synod_types::{
    Address, B256, Bytes, Gas, Height, NativeTransaction, SecretKey, Transaction, U256, UnixMillis,
    VerifiedTransaction, address::address_of,
};

use crate::mempool::{AccountState, AccountView, BlockRoom, ChainRules, Pool, PoolLimits, Tip};

pub(crate) const CHAIN: u64 = 7;
pub(crate) const GENESIS: B256 = B256::repeat_byte(0xaa);
pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// What a test's transaction says; the rest is the same for all.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) sender: u8,
    pub(crate) nonce: u64,
    pub(crate) max_fee: u128,
    pub(crate) max_tip: u128,
    pub(crate) gas: u64,
    pub(crate) value: u64,
    pub(crate) to: u8,
    pub(crate) data: usize,
    pub(crate) valid_until: Option<u64>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            sender: 1,
            nonce: 0,
            max_fee: 100,
            max_tip: 10,
            gas: 21_000,
            value: 5,
            to: 9,
            data: 0,
            valid_until: None,
        }
    }
}

pub(crate) fn address(sender: u8) -> Address {
    address_of(&SecretKey::from_seed(&[sender; 32]).public())
}

pub(crate) fn signed(terms: &Terms) -> Transaction {
    signed_by(&SecretKey::from_seed(&[terms.sender; 32]), terms)
}

/// The same from any key.
pub(crate) fn signed_by(key: &SecretKey, terms: &Terms) -> Transaction {
    let transaction = NativeTransaction {
        chain_id: CHAIN,
        sender: key.public(),
        nonce: terms.nonce,
        max_fee: terms.max_fee,
        max_tip: terms.max_tip,
        gas_limit: Gas(terms.gas),
        to: Some(address(terms.to)),
        value: U256::from(terms.value),
        data: Bytes::from(vec![0; terms.data]),
        access_list: Vec::new(),
        valid_until: terms.valid_until.map(Height),
    };
    Transaction::Native(transaction.sign(GENESIS, key))
}

pub(crate) fn verified(terms: &Terms) -> VerifiedTransaction {
    signed(terms).verify(CHAIN, GENESIS).unwrap()
}

/// The accounts at a tip.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts(pub(crate) BTreeMap<Address, AccountState>);

impl Accounts {
    /// Every sender of the numbers 0 to 31 with this balance and nonce 0.
    pub(crate) fn rich() -> Self {
        let state = AccountState { nonce: 0, balance: U256::from(u128::MAX) };
        Self((0..32).map(|sender| (address(sender), state)).collect())
    }

    pub(crate) fn set(&mut self, sender: u8, nonce: u64, balance: u128) {
        self.0.insert(address(sender), AccountState { nonce, balance: U256::from(balance) });
    }
}

impl AccountView for Accounts {
    fn account(&self, address: &Address) -> AccountState {
        self.0.get(address).copied().unwrap_or_default()
    }
}

pub(crate) const FLOOR: u128 = 10;
pub(crate) const TIP: Tip = Tip { height: Height(10), base_fee: 50 };
pub(crate) const ROOM: BlockRoom = BlockRoom { gas: Gas(10_000_000), bytes: 4 << 20, transactions: 10_000 };

pub(crate) fn rules() -> ChainRules {
    ChainRules {
        block_gas: Gas(10_000_000),
        block_bytes: 4 << 20,
        fee_floor: FLOOR,
        intrinsic_gas: |_| Gas(21_000),
    }
}

pub(crate) fn pool(limits: PoolLimits) -> Pool {
    Pool::new(limits, rules(), TIP)
}

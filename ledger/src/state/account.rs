//! What the state is made of.

use serde::{Deserialize, Serialize};
use synod_types::codec::fixed;
use synod_types::{Address, B256, U256};

/// An account. The empty one (no nonce, no balance, no code) is the same as none (EIP-161).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Account {
    /// How many transactions it has sent.
    pub nonce: u64,
    /// In wei, spendable.
    #[serde(with = "fixed")]
    pub balance: U256,
    /// The hash of its code. Boxed because nearly all accounts have none.
    #[serde(with = "boxed")]
    pub code_hash: Option<Box<B256>>,
}

impl Account {
    /// An account that was only ever funded.
    pub fn funded(balance: U256) -> Self {
        Self { nonce: 0, balance, code_hash: None }
    }

    /// Whether this account is the same as none.
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash.is_none()
    }

    /// Whether it is a contract.
    pub fn has_code(&self) -> bool {
        self.code_hash.is_some()
    }

    /// The bytes whose hash the state tree binds: nonce, balance, code hash (zeros without code).
    pub fn to_leaf_bytes(&self) -> [u8; 72] {
        let mut bytes = [0; 72];
        bytes[..8].copy_from_slice(&self.nonce.to_be_bytes());
        bytes[8..40].copy_from_slice(&self.balance.to_be_bytes::<32>());
        if let Some(code_hash) = &self.code_hash {
            bytes[40..].copy_from_slice(code_hash.as_slice());
        }
        bytes
    }
}

/// A block's reward on its way to the fee recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reward {
    /// Who gets it at maturity.
    #[serde(with = "fixed")]
    pub recipient: Address,
    /// How much, in wei.
    #[serde(with = "fixed")]
    pub amount: U256,
}

/// What the ledger remembers about itself: the fee meter and the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct System {
    /// The number of the latest fee period in which there was a block, counted from the genesis time.
    pub period: u64,
    /// Gas used in that period so far.
    pub period_gas: u64,
    /// The base fee in that period, in wei for each gas.
    pub base_fee: u128,
    /// Rewards not yet credited, in wei.
    #[serde(with = "fixed")]
    pub immature: U256,
    /// Destroyed for good, in wei.
    #[serde(with = "fixed")]
    pub burnt: U256,
    /// All rewards since genesis, in wei.
    #[serde(with = "fixed")]
    pub issued: U256,
}

/// `Option<Box<B256>>` under the adapter of `Option<B256>`.
mod boxed {
    use serde::{Deserializer, Serializer};
    use synod_types::B256;
    use synod_types::codec::fixed::option;

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Box<B256>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        option::serialize(&value.as_deref().copied(), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Box<B256>>, D::Error> {
        Ok(option::deserialize::<B256, D>(deserializer)?.map(Box::new))
    }
}

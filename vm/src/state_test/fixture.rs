//! The JSON form of a state test.
//!
//! Numbers are hexadecimal text of any length, leading zeros allowed. A few tests hold numbers that no
//! transaction can carry; those parse to "none", and the transaction counts as refused.

use super::root::state_root;
use crate::transaction::{Blobs, Block, Transaction, blob_base_fee};
use crate::world::World;
use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// Why a text is no state test.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    /// The JSON does not have the form of a state test.
    #[error("not a state test: {0}")]
    Form(#[from] serde_json::Error),
    /// A case names a choice that the transaction does not offer.
    #[error("a case asks for {what} number {index}, which the transaction does not have")]
    Choice {
        /// Of what.
        what: &'static str,
        /// The index that is not there.
        index: usize,
    },
    /// A number of the state before is too large.
    #[error("the state before has a number beyond 256 bits at {0}")]
    Number(Address),
}

/// A number; `None` where it does not fit in 256 bits.
#[derive(Debug, Clone, Copy, Default)]
struct Number(Option<U256>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let text = text.strip_prefix("0x:bigint ").unwrap_or(&text);
        let digits = text.strip_prefix("0x").ok_or_else(|| serde::de::Error::custom("number without 0x"))?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(serde::de::Error::custom("a digit is not hexadecimal"));
        }
        let digits = digits.trim_start_matches('0');
        let value = if digits.is_empty() { Ok(U256::ZERO) } else { U256::from_str_radix(digits, 16) };
        Ok(Self(value.ok()))
    }
}

impl Number {
    fn word(self) -> Option<U256> {
        self.0
    }

    fn u64(self) -> Option<u64> {
        self.0.and_then(|value| value.try_into().ok())
    }
}

/// One test.
#[derive(Debug, Deserialize)]
pub(super) struct Test {
    env: Env,
    pre: BTreeMap<Address, PreAccount>,
    transaction: TestTransaction,
    post: BTreeMap<String, Vec<Post>>,
    config: Option<Config>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Env {
    current_coinbase: Address,
    current_gas_limit: Number,
    current_number: Number,
    current_timestamp: Number,
    current_random: Option<Number>,
    current_difficulty: Option<Number>,
    current_base_fee: Option<Number>,
    current_excess_blob_gas: Option<Number>,
}

#[derive(Debug, Deserialize)]
struct Config {
    chainid: Option<Number>,
}

#[derive(Debug, Deserialize)]
struct PreAccount {
    balance: Number,
    nonce: Number,
    code: Bytes,
    storage: BTreeMap<String, Number>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TestTransaction {
    nonce: Number,
    gas_limit: Vec<Number>,
    to: String,
    value: Vec<Number>,
    data: Vec<Bytes>,
    sender: Address,
    gas_price: Option<Number>,
    max_fee_per_gas: Option<Number>,
    max_priority_fee_per_gas: Option<Number>,
    access_lists: Option<Vec<Option<Vec<AccessListItem>>>>,
    max_fee_per_blob_gas: Option<Number>,
    blob_versioned_hashes: Option<Vec<B256>>,
    authorization_list: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessListItem {
    address: Address,
    storage_keys: Vec<Number>,
}

/// One case of one fork.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Post {
    hash: B256,
    logs: B256,
    indexes: Indexes,
    expect_exception: Option<String>,
    state: Option<BTreeMap<Address, PreAccount>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Indexes {
    data: usize,
    gas: usize,
    value: usize,
}

/// What must come out of a case.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) root: B256,
    pub(super) logs: B256,
    pub(super) exception: Option<String>,
    pub(super) accounts: Option<World>,
}

/// The tests of a file by name.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Test>, FixtureError> {
    Ok(serde_json::from_str(text)?)
}

impl Test {
    pub(super) fn posts(&self, fork: &str) -> &[Post] {
        self.post.get(fork).map_or(&[], Vec::as_slice)
    }

    pub(super) fn pre(&self) -> Result<World, FixtureError> {
        world(&self.pre)
    }

    pub(super) fn block(&self) -> Block {
        let env = &self.env;
        let number = |number: Number| number.u64().unwrap_or(u64::MAX);
        let randao = env.current_random.or(env.current_difficulty).unwrap_or_default();
        let chain_id = self.config.as_ref().and_then(|config| config.chainid).and_then(Number::u64);
        Block {
            number: number(env.current_number),
            time_seconds: number(env.current_timestamp),
            coinbase: env.current_coinbase,
            gas_limit: number(env.current_gas_limit),
            base_fee: env.current_base_fee.and_then(Number::word).unwrap_or_default(),
            prev_randao: randao.word().unwrap_or_default().into(),
            chain_id: chain_id.unwrap_or(1),
            blob_base_fee: blob_base_fee(env.current_excess_blob_gas.map_or(0, number)),
        }
    }

    /// The transaction of a case; none where a number does not fit.
    pub(super) fn transaction(&self, post: &Post) -> Result<Option<Transaction>, FixtureError> {
        let chosen = &self.transaction;
        let Indexes { data: data_index, gas, value } = post.indexes;
        let data = choose(&chosen.data, data_index, "data")?.clone();
        let gas_limit = *choose(&chosen.gas_limit, gas, "gas limit")?;
        let value = *choose(&chosen.value, value, "value")?;
        let access_list = match &chosen.access_lists {
            Some(lists) => choose(lists, data_index, "access list")?.as_deref().unwrap_or_default(),
            None => &[],
        };
        Ok(chosen.build(data, gas_limit, value, access_list))
    }
}

impl TestTransaction {
    fn build(
        &self,
        data: Bytes,
        gas_limit: Number,
        value: Number,
        access_list: &[AccessListItem],
    ) -> Option<Transaction> {
        // A type 4 transaction (EIP-7702) does not exist in this fork.
        if self.authorization_list.is_some() {
            return None;
        }
        let fee = self.max_fee_per_gas.or(self.gas_price)?.word()?;
        let tip = self.max_priority_fee_per_gas.or(self.gas_price)?.word()?;
        let access_list = access_list.iter().map(|item| {
            let slots: Option<Vec<U256>> = item.storage_keys.iter().map(|key| key.word()).collect();
            slots.map(|slots| (item.address, slots))
        });
        let blobs = match &self.max_fee_per_blob_gas {
            Some(fee) => Some(Blobs {
                hashes: self.blob_versioned_hashes.clone().unwrap_or_default(),
                max_fee_per_gas: fee.word()?,
            }),
            None => None,
        };
        Some(Transaction {
            sender: self.sender,
            to: if self.to.is_empty() { None } else { Some(self.to.parse().ok()?) },
            nonce: self.nonce.u64()?,
            value: value.word()?,
            data,
            gas_limit: gas_limit.u64()?,
            max_fee_per_gas: fee,
            max_tip_per_gas: tip,
            access_list: access_list.collect::<Option<_>>()?,
            blobs,
        })
    }
}

impl Post {
    pub(super) fn expected(&self) -> Expected {
        let accounts = self.state.as_ref().and_then(|state| world(state).ok());
        // A list that does not have the expected root is no whole state, and cannot be compared with one.
        let accounts = accounts.filter(|accounts| state_root(accounts) == self.hash);
        Expected { root: self.hash, logs: self.logs, exception: self.expect_exception.clone(), accounts }
    }
}

fn choose<'a, T>(choices: &'a [T], index: usize, what: &'static str) -> Result<&'a T, FixtureError> {
    choices.get(index).ok_or(FixtureError::Choice { what, index })
}

fn world(accounts: &BTreeMap<Address, PreAccount>) -> Result<World, FixtureError> {
    let mut world = World::default();
    for (&address, account) in accounts {
        let insert = |world: &mut World| {
            let (balance, nonce) = (account.balance.word()?, account.nonce.u64()?);
            let slots = account.storage.iter().map(|(key, value)| {
                let key = serde_json::from_value::<Number>(key.as_str().into()).ok()?.word()?;
                Some((key, value.word()?))
            });
            let slots = slots.collect::<Option<Vec<_>>>()?;
            world.insert(address, balance, nonce, account.code.clone(), slots);
            Some(())
        };
        insert(&mut world).ok_or(FixtureError::Number(address))?;
    }
    Ok(world)
}

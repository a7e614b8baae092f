//! The genesis: everything that all nodes of a network must agree on before the first block.
//!
//! It is written as JSON for people; its hash, which names the network and is bound into every signature
//! and handshake, is over the canonical encoding, so that spaces and key order do not matter.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::address::{format_address, parse_address};
use crate::amount::{GWEI, SYN};
use crate::codec::{self, fixed};
use crate::hash::sha256;
use crate::keys::PublicKey;
use crate::number::{Gas, UnixMillis};

/// The domain tag of the genesis hash.
const GENESIS_TAG: &[u8] = b"synod/genesis/v1";
/// Chain ids stay exact in JSON numbers.
pub const CHAIN_ID_LIMIT: u64 = 1 << 52;

/// The genesis document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Below 2^52, random for each network.
    pub chain_id: u64,
    /// Random, so that two networks of equal configuration differ.
    #[serde(with = "fixed")]
    pub salt: B256,
    /// The genesis block's time, in milliseconds since the Unix epoch.
    pub time: UnixMillis,
    /// Who orders transactions.
    pub ordering: Ordering,
    /// The first committee, in the order of its members' indexes; empty under proof of work, which anybody may
    /// join.
    pub members: Vec<Member>,
    /// First balances, in wei.
    #[serde(with = "allocation")]
    pub alloc: BTreeMap<Address, U256>,
    /// How fees move.
    pub fees: Fees,
    /// What fits into a block.
    pub limits: Limits,
    /// Proof of work's parameters; a committee makes no use of them.
    pub pow: ProofOfWork,
    /// Whether this is a test network: well-known keys may be funded, keys may lie in plain files.
    pub testnet: bool,
}

/// A member of the first committee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// What people call it.
    pub name: String,
    /// The key that signs its votes.
    pub key: PublicKey,
}

/// The ordering protocol that a network starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Ordering {
    /// Proof of work.
    Pow,
    /// Practical Byzantine fault tolerance, by a committee.
    Pbft,
    /// Multi-Paxos, by a committee whose members may stop, but do not lie.
    Paxos,
    /// Zab, by such a committee.
    Zab,
}

impl Ordering {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pow, Self::Pbft, Self::Paxos, Self::Zab];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pow => "pow",
            Self::Pbft => "pbft",
            Self::Paxos => "paxos",
            Self::Zab => "zab",
        }
    }

    /// The ordering that people call so.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ordering| ordering.name() == name)
    }

    /// Whether a committee orders.
    pub fn has_committee(self) -> bool {
        self != Self::Pow
    }
}

impl std::fmt::Display for Ordering {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// EIP-1559's form, by time: the base fee moves once for each period of chain time, however many blocks
/// fall into it, and decays with idle periods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fees {
    /// The first block's base fee, in wei for each gas.
    pub initial_base_fee: u64,
    /// The base fee never falls below this, in wei for each gas.
    pub base_fee_floor: u64,
    /// Gas for each second of chain time at which the base fee stands still.
    pub target_gas_per_second: u64,
    /// The period of the base fee, in milliseconds.
    pub period_ms: u64,
}

/// What fits into a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The sum of the transactions' gas limits.
    pub block_gas: Gas,
    /// The sum of the transactions' bytes.
    pub block_bytes: u32,
    /// How many transactions.
    pub block_transactions: u32,
}

/// Proof of work's parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofOfWork {
    /// The genesis target, in compact form; ASERT is anchored to it.
    pub bits: u32,
    /// The easiest target ever allowed, in compact form.
    pub limit_bits: u32,
    /// Intended seconds between blocks.
    pub spacing_seconds: u32,
    /// ASERT's half-life, in seconds.
    pub half_life_seconds: u32,
    /// How far a header's seconds may lie ahead of a node's clock.
    pub future_limit_seconds: u32,
    /// The first blocks' reward, in wei.
    #[serde(with = "decimal")]
    pub reward: u128,
    /// The reward halves every so many blocks.
    pub halving_interval: u64,
    /// Depth at which blocks are called settled, and at which rewards mature.
    pub settled_depth: u64,
}

impl ProofOfWork {
    /// The defaults of a test network whose first target is `bits`.
    pub fn testnet(bits: u32) -> Self {
        Self {
            bits,
            limit_bits: 0x207f_ffff,
            spacing_seconds: 2,
            half_life_seconds: 8,
            future_limit_seconds: 5,
            reward: 5 * SYN,
            halving_interval: 1_000_000,
            settled_depth: 100,
        }
    }

    /// The reward of the block at `height`, in wei; the genesis block has none.
    pub fn reward_at(&self, height: u64) -> U256 {
        if height == 0 {
            return U256::ZERO;
        }
        let halvings = (height - 1) / self.halving_interval;
        let shifted = if halvings < 128 { self.reward >> halvings } else { 0 };
        U256::from(shifted)
    }
}

impl Default for Fees {
    fn default() -> Self {
        Self {
            initial_base_fee: GWEI as u64,
            base_fee_floor: GWEI as u64,
            target_gas_per_second: 50_000_000,
            period_ms: 2_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { block_gas: Gas(100_000_000), block_bytes: 4 * 1024 * 1024, block_transactions: 10_000 }
    }
}

/// Why a genesis document is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Not JSON, or not of this shape.
    #[error("genesis.json: {0}")]
    Json(String),
    /// A value that cannot be.
    #[error("genesis.json: {field}: {problem}")]
    Value {
        /// The field's path.
        field: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

impl Genesis {
    /// Reads and checks the JSON form.
    ///
    /// # Errors
    /// [`GenesisError`], which names the field.
    pub fn from_json(text: &str) -> Result<Self, GenesisError> {
        let genesis: Self =
            serde_json::from_str(text).map_err(|error| GenesisError::Json(error.to_string()))?;
        genesis.check()?;
        Ok(genesis)
    }

    /// The JSON form, indented.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a genesis always serializes")
    }

    /// The hash that names the network.
    pub fn hash(&self) -> B256 {
        sha256(&[GENESIS_TAG, &codec::encode(self)])
    }

    /// The sum of all first balances, in wei.
    pub fn supply(&self) -> U256 {
        self.alloc.values().fold(U256::ZERO, |sum, balance| sum.saturating_add(*balance))
    }

    /// Checks the bounds that the rest of the system relies on.
    ///
    /// # Errors
    /// [`GenesisError::Value`].
    pub fn check(&self) -> Result<(), GenesisError> {
        let demand = |holds: bool, field: &'static str, problem: &str| {
            if holds { Ok(()) } else { Err(GenesisError::Value { field, problem: problem.to_owned() }) }
        };
        demand((1..CHAIN_ID_LIMIT).contains(&self.chain_id), "chain_id", "must be from 1 to 2^52 - 1")?;
        demand(self.supply() < U256::from(1) << 128, "alloc", "the sum must be below 2^128 wei")?;
        demand(self.time.seconds() < u64::from(u32::MAX), "time", "headers hold 32 bits of seconds")?;
        self.check_fees(demand)?;
        self.check_members(demand)?;
        self.check_pow(demand)
    }

    fn check_members<F>(&self, demand: F) -> Result<(), GenesisError>
    where
        F: Fn(bool, &'static str, &str) -> Result<(), GenesisError>,
    {
        if !self.ordering.has_committee() {
            return demand(self.members.is_empty(), "members", "must be empty under proof of work");
        }
        demand(!self.members.is_empty(), "members", "a committee needs members")?;
        demand(self.members.len() <= 64, "members", "a committee has at most 64 members")?;
        for (index, member) in self.members.iter().enumerate() {
            let others = &self.members[..index];
            demand((1..=32).contains(&member.name.len()), "members.name", "must have 1 to 32 bytes")?;
            demand(
                others.iter().all(|other| other.name != member.name),
                "members.name",
                "two members have one name",
            )?;
            demand(
                others.iter().all(|other| other.key != member.key),
                "members.key",
                "two members have one key: that would be one voter with two votes",
            )?;
        }
        Ok(())
    }

    fn check_fees<F>(&self, demand: F) -> Result<(), GenesisError>
    where
        F: Fn(bool, &'static str, &str) -> Result<(), GenesisError>,
    {
        let (fees, limits) = (&self.fees, &self.limits);
        demand(fees.base_fee_floor >= 1, "fees.base_fee_floor", "must be at least 1 wei")?;
        demand(
            fees.initial_base_fee >= fees.base_fee_floor,
            "fees.initial_base_fee",
            "must not be below fees.base_fee_floor",
        )?;
        demand(fees.target_gas_per_second >= 21_000, "fees.target_gas_per_second", "must be at least 21000")?;
        demand((1..=3_600_000).contains(&fees.period_ms), "fees.period_ms", "must be from 1 to 3600000")?;
        demand(
            (21_000..=1_000_000_000_000).contains(&limits.block_gas.0),
            "limits.block_gas",
            "must be from 21000 to 10^12",
        )?;
        demand(
            (1024..=4 * 1024 * 1024).contains(&limits.block_bytes),
            "limits.block_bytes",
            "must be from 1024 to 4194304",
        )?;
        demand(
            (1..=10_000).contains(&limits.block_transactions),
            "limits.block_transactions",
            "must be from 1 to 10000",
        )
    }

    fn check_pow<F>(&self, demand: F) -> Result<(), GenesisError>
    where
        F: Fn(bool, &'static str, &str) -> Result<(), GenesisError>,
    {
        let pow = &self.pow;
        demand(
            (1..=86_400).contains(&pow.spacing_seconds),
            "pow.spacing_seconds",
            "must be from 1 to 86400",
        )?;
        demand(
            (1..=31_536_000).contains(&pow.half_life_seconds),
            "pow.half_life_seconds",
            "must be from 1 second to a year",
        )?;
        demand(
            (1..=7_200).contains(&pow.future_limit_seconds),
            "pow.future_limit_seconds",
            "must be from 1 to 7200",
        )?;
        demand(pow.halving_interval >= 1, "pow.halving_interval", "must be at least 1")?;
        demand((1..=100_000).contains(&pow.settled_depth), "pow.settled_depth", "must be from 1 to 100000")?;
        demand(pow.reward < 1 << 120, "pow.reward", "must be below 2^120 wei")
    }
}

/// A `u128` as a decimal string in JSON.
mod decimal {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(value);
        }
        value.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(D::Error::custom);
        }
        u128::deserialize(deserializer)
    }
}

/// Addresses with checksums and decimal strings of wei in JSON; bare bytes in the canonical encoding.
mod allocation {
    use super::*;
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Entry {
        #[serde(with = "fixed")]
        address: Address,
        #[serde(with = "fixed")]
        balance: U256,
    }

    pub(super) fn serialize<S: Serializer>(
        alloc: &BTreeMap<Address, U256>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let entries =
                alloc.iter().map(|(address, balance)| (format_address(address), balance.to_string()));
            return serializer.collect_map(entries);
        }
        serializer.collect_seq(alloc.iter().map(|(&address, &balance)| Entry { address, balance }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Address, U256>, D::Error> {
        if !deserializer.is_human_readable() {
            let entries = Vec::<Entry>::deserialize(deserializer)?;
            return Ok(entries.into_iter().map(|entry| (entry.address, entry.balance)).collect());
        }
        let mut alloc = BTreeMap::new();
        for (address, balance) in BTreeMap::<String, String>::deserialize(deserializer)? {
            let address =
                parse_address(&address).map_err(|error| D::Error::custom(format!("{address}: {error}")))?;
            let balance = U256::from_str_radix(&balance, 10)
                .map_err(|_| D::Error::custom(format!("{balance:?} is no decimal number of wei")))?;
            if alloc.insert(address, balance).is_some() {
                return Err(D::Error::custom(format!("{address} is funded twice")));
            }
        }
        Ok(alloc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Genesis {
        Genesis {
            chain_id: 7,
            salt: B256::repeat_byte(1),
            time: UnixMillis(1_700_000_000_000),
            ordering: Ordering::Pow,
            members: Vec::new(),
            alloc: [(Address::repeat_byte(2), U256::from(SYN))].into(),
            fees: Fees::default(),
            limits: Limits::default(),
            pow: ProofOfWork::testnet(0x1f00_ffff),
            testnet: true,
        }
    }

    #[test]
    fn golden_hash_of_a_genesis() {
        assert_eq!(
            sample().hash().to_string(),
            "0xaa492534d1a3a7f0b04637801af12bd91ceed8df6eeee3c6161ba89d47d11174"
        );
    }

    #[test]
    fn the_hash_is_over_the_meaning_not_the_text() {
        let text = sample().to_json();
        let compact = serde_json::to_string(&sample()).expect("serializes");
        assert_ne!(text, compact);
        let read = Genesis::from_json(&compact).expect("valid");
        assert_eq!(read.hash(), Genesis::from_json(&text).expect("valid").hash());
        assert_eq!(read, sample());
    }

    #[test]
    fn impossible_values_are_refused_by_name() {
        type Spoil = fn(&mut Genesis);
        let cases: [(Spoil, &str); 6] = [
            (|genesis| genesis.chain_id = 0, "chain_id"),
            (|genesis| genesis.alloc = [(Address::ZERO, U256::from(1) << 128)].into(), "alloc"),
            (|genesis| genesis.fees.period_ms = 0, "fees.period_ms"),
            (|genesis| genesis.limits.block_gas = Gas(0), "limits.block_gas"),
            (|genesis| genesis.pow.spacing_seconds = 0, "pow.spacing_seconds"),
            (|genesis| genesis.pow.halving_interval = 0, "pow.halving_interval"),
        ];
        for (spoil, expected) in cases {
            let mut genesis = sample();
            spoil(&mut genesis);
            assert!(matches!(genesis.check(), Err(GenesisError::Value { field, .. }) if field == expected));
        }
        assert!(matches!(Genesis::from_json("{}"), Err(GenesisError::Json(_))));
        let unknown = sample().to_json().replacen("chain_id", "chainid", 1);
        assert!(matches!(Genesis::from_json(&unknown), Err(GenesisError::Json(_))));
    }

    #[test]
    fn cry_6_the_reward_halves_and_ends() {
        let pow = ProofOfWork::testnet(0x1f00_ffff);
        assert_eq!(pow.reward_at(0), U256::ZERO);
        assert_eq!(pow.reward_at(1), U256::from(5 * SYN));
        assert_eq!(pow.reward_at(1_000_000), U256::from(5 * SYN));
        assert_eq!(pow.reward_at(1_000_001), U256::from(5 * SYN / 2));
        assert_eq!(pow.reward_at(u64::MAX), U256::ZERO);
    }
}

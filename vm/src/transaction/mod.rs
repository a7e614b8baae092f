//! Transactions: what goes in ([`Transaction`], [`Block`]), what comes out ([`Execution`]), and [`Vm`],
//! which executes them.

mod blob;
mod execute;
mod intrinsic;
mod refusal;
mod simulate;
mod validate;

pub use blob::blob_base_fee;
pub use intrinsic::intrinsic_gas;
pub use refusal::Refusal;
pub use simulate::Estimate;

use crate::code::CodeCache;
use crate::diff::StateDiff;
use crate::journal::Tables;
use crate::machine::{Buffers, Status};
use alloy_primitives::{Address, B256, Bytes, Log, U256};

/// A transaction whose signature has been checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Who signed it, and pays.
    pub sender: Address,
    /// Whom it calls; `None` creates a contract.
    pub to: Option<Address>,
    /// The sender's nonce.
    pub nonce: u64,
    /// Wei to move.
    pub value: U256,
    /// Call data or init code.
    pub data: Bytes,
    /// Gas that it may use.
    pub gas_limit: u64,
    /// Most wei for each unit of gas, base fee included (a legacy transaction's gas price).
    pub max_fee_per_gas: U256,
    /// Most wei for each unit of gas that go to the coinbase (a legacy transaction's gas price).
    pub max_tip_per_gas: U256,
    /// Addresses and slots that are warm from the start (EIP-2930).
    pub access_list: Vec<(Address, Vec<U256>)>,
    /// The blobs of a type 3 transaction.
    pub blobs: Option<Blobs>,
}

/// What a type 3 transaction says of its blobs (EIP-4844).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blobs {
    /// Their versioned hashes.
    pub hashes: Vec<B256>,
    /// Most wei for each unit of blob gas.
    pub max_fee_per_gas: U256,
}

/// What a contract can learn of the block (EVM-15); all of it stands in the header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// The height.
    pub number: u64,
    /// Seconds since 1970.
    pub time_seconds: u64,
    /// Who gets the tips.
    pub coinbase: Address,
    /// Gas that all transactions of the block may use.
    pub gas_limit: u64,
    /// Wei for each unit of gas that are burnt.
    pub base_fee: U256,
    /// The block's random number.
    pub prev_randao: B256,
    /// The chain.
    pub chain_id: u64,
    /// Wei for each unit of blob gas, burnt.
    pub blob_base_fee: U256,
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// How it ended. A transaction that did not succeed is in the block all the same, and pays.
    pub status: Status,
    /// Gas that the sender pays for, the refund taken off.
    pub gas_used: u64,
    /// Gas that was refunded.
    pub gas_refunded: u64,
    /// What the call returned, the deployed code, or the reason of a revert.
    pub output: Bytes,
    /// The contract that the transaction itself made.
    pub created: Option<Address>,
    /// The logs, in order.
    pub logs: Vec<Log>,
    /// All changes to the state.
    pub diff: StateDiff,
    /// Wei that left circulation: before = after + burnt, summed over all accounts.
    pub burnt: Burnt,
    /// Wei that the coinbase got.
    pub tip: U256,
}

/// Wei that a transaction burnt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Burnt {
    /// The base fee of its gas.
    pub base_fee: U256,
    /// The fee of its blobs.
    pub blob_fee: U256,
    /// Balances of contracts that destroyed themselves with wei in them (EVM-10), and wei that would lift a
    /// balance above 256 bits.
    pub self_destruct: U256,
}

impl Burnt {
    /// All of it.
    pub fn total(&self) -> U256 {
        self.base_fee + self.blob_fee + self.self_destruct
    }
}

/// The virtual machine: executes transactions, one at a time, on any host.
///
/// It holds no state between them but analysed code and spare memory, so equal inputs give equal results
/// on every machine.
#[derive(Default)]
pub struct Vm {
    code_cache: CodeCache,
    tables: Tables,
    buffers: Buffers,
}

impl Vm {
    /// A machine with nothing in its caches.
    pub fn new() -> Self {
        Self::default()
    }
}

/// A machine may be handed from one thread to another.
const _: fn() = || {
    fn can_be_sent<T: Send>() {}
    can_be_sent::<Vm>();
};

impl std::fmt::Debug for Vm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vm").finish_non_exhaustive()
    }
}

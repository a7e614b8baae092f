//! revm 43 on the same worlds, blocks and transactions, as Cancun.

use crate::host::Account;
use crate::transaction::{Block, Transaction};
use crate::world::World;
use ::revm::context::result::{EVMError, ExecutionResult, ResultAndState};
use ::revm::context::{BlockEnv, CfgEnv, TxEnv};
use ::revm::context_interface::block::BlobExcessGasAndPrice;
use ::revm::database::{CacheDB, EmptyDB};
use ::revm::handler::MainnetEvm;
use ::revm::primitives::TxKind;
use ::revm::primitives::hardfork::SpecId;
use ::revm::state::{AccountInfo, Bytecode, EvmState};
use ::revm::{Context, ExecuteEvm, Journal, MainBuilder, MainContext};
use alloy_primitives::{Address, Bytes, Log, U256};

/// The state in revm's form.
pub type Database = CacheDB<EmptyDB>;
/// revm on a state.
pub type Evm = MainnetEvm<Context<BlockEnv, TxEnv, CfgEnv, Database, Journal<Database>>>;

/// How revm ended: the same three ways, without the reason of a halt, where the two order their checks
/// differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It did what it wanted.
    Success,
    /// It asked for its changes to be undone.
    Revert,
    /// It was stopped by force.
    Halt,
}

/// What revm made of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// Gas that is paid for.
    pub gas_used: u64,
    /// What it returned; nothing after a halt.
    pub output: Bytes,
    /// The logs; none unless it succeeded.
    pub logs: Vec<Log>,
}

/// revm on a world and in a block, as Cancun.
pub fn evm(world: &World, block: &Block) -> Evm {
    let environment = BlockEnv {
        number: U256::from(block.number),
        beneficiary: block.coinbase,
        timestamp: U256::from(block.time_seconds),
        gas_limit: block.gas_limit,
        basefee: block.base_fee.to(),
        difficulty: U256::ZERO,
        prevrandao: Some(block.prev_randao),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
            excess_blob_gas: 0,
            blob_gasprice: block.blob_base_fee.to(),
        }),
        ..Default::default()
    };
    let mut cfg = CfgEnv::new_with_spec(SpecId::CANCUN).with_chain_id(block.chain_id);
    cfg.tx_gas_limit_cap = Some(u64::MAX);
    Context::mainnet().with_db(database(world)).with_cfg(cfg).with_block(environment).build_mainnet()
}

fn database(world: &World) -> Database {
    let mut database = CacheDB::new(EmptyDB::default());
    for (&address, account) in &world.accounts {
        let info = AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            // As plain code whatever it begins with: 0xEF01 means nothing in this fork.
            code: Some(Bytecode::new_legacy(world.code_of(&address))),
            ..Default::default()
        };
        database.insert_account_info(address, info);
    }
    for (&address, slots) in &world.storage {
        for (&slot, &value) in slots {
            database.insert_account_storage(address, slot, value).unwrap();
        }
    }
    database
}

/// The transaction in revm's form.
pub fn transaction(transaction: &Transaction, chain_id: u64) -> TxEnv {
    let list =
        transaction.access_list.iter().map(|(address, slots)| ::revm::context::transaction::AccessListItem {
            address: *address,
            storage_keys: slots.iter().map(|slot| (*slot).into()).collect(),
        });
    TxEnv {
        tx_type: 2,
        caller: transaction.sender,
        gas_limit: transaction.gas_limit,
        gas_price: transaction.max_fee_per_gas.to(),
        gas_priority_fee: Some(transaction.max_tip_per_gas.to()),
        kind: transaction.to.map_or(TxKind::Create, TxKind::Call),
        value: transaction.value,
        data: transaction.data.clone(),
        nonce: transaction.nonce,
        chain_id: Some(chain_id),
        access_list: list.collect::<Vec<_>>().into(),
        ..Default::default()
    }
}

/// Executes with revm: the outcome and the world after, or `None` for a refused transaction.
///
/// # Panics
/// When revm fails in any other way.
pub fn execute(world: &World, block: &Block, tx: &Transaction) -> Option<(Outcome, World)> {
    let result = evm(world, block).transact(transaction(tx, block.chain_id));
    let ResultAndState { result, state } = match result {
        Ok(result) => result,
        Err(EVMError::Transaction(_)) => return None,
        Err(error) => panic!("revm broke: {error:?}"),
    };
    Some((outcome(result), after(world, &state)))
}

fn outcome(result: ExecutionResult) -> Outcome {
    let gas_used = result.tx_gas_used();
    match result {
        ExecutionResult::Success { logs, output, .. } => {
            Outcome { ending: Ending::Success, gas_used, output: output.into_data(), logs }
        }
        ExecutionResult::Revert { output, .. } => {
            Outcome { ending: Ending::Revert, gas_used, output, logs: Vec::new() }
        }
        ExecutionResult::Halt { .. } => {
            Outcome { ending: Ending::Halt, gas_used, output: Bytes::new(), logs: Vec::new() }
        }
    }
}

/// The world with revm's changes.
fn after(world: &World, state: &EvmState) -> World {
    let mut world = world.clone();
    for (address, account) in state.iter().filter(|(_, account)| account.is_touched()) {
        let info = &account.info;
        if account.is_selfdestructed() || info.is_empty() {
            world.accounts.remove(address);
            world.storage.remove(address);
            continue;
        }
        let now = Account { balance: info.balance, nonce: info.nonce, code_hash: info.code_hash };
        world.accounts.insert(*address, now);
        if let Some(code) = info.code.as_ref().filter(|code| !code.is_empty()) {
            world.code.insert(info.code_hash, code.original_bytes());
        }
        for (slot, value) in &account.storage {
            set_slot(&mut world, *address, *slot, value.present_value());
        }
    }
    world
}

fn set_slot(world: &mut World, address: Address, slot: U256, value: U256) {
    let slots = world.storage.entry(address).or_default();
    if value.is_zero() {
        slots.remove(&slot);
    } else {
        slots.insert(slot, value);
    }
    if slots.is_empty() {
        world.storage.remove(&address);
    }
}

//! What runs code, run by revm on a copy of the naive state.

use alloy_primitives::B256;
use revm::context::result::ExecutionResult;
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::context_interface::transaction::AccessListItem;
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::TxKind;
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode, EvmState};
use revm::{Context, ExecuteEvm, MainBuilder, MainContext};
use synod_types::address::address_of;
use synod_types::{Block, NativeTransaction, U256};

use super::{Done, Entry, Oracle, hash};

impl Oracle {
    /// Runs a transaction that can be charged. What all balances lost together was burnt.
    pub(super) fn run_code(&mut self, transaction: &NativeTransaction, block: &Block) -> Done {
        let before = self.total();
        let mut cfg = CfgEnv::new_with_spec(SpecId::CANCUN).with_chain_id(self.genesis.chain_id);
        cfg.tx_gas_limit_cap = Some(u64::MAX);
        let context = Context::mainnet().with_db(self.database()).with_cfg(cfg);
        let mut evm = context.with_block(self.environment(block)).build_mainnet();
        let ran = evm.transact(self.transaction(transaction)).expect("the naive checks passed");
        self.take_over(&ran.state);
        self.burnt += before - self.total();
        done(ran.result)
    }

    fn total(&self) -> u128 {
        self.accounts.values().map(|account| account.balance).sum()
    }

    fn environment(&self, block: &Block) -> BlockEnv {
        let random = hash(&[b"synod/prevrandao/v1", block.header.parent.0.as_slice()]);
        BlockEnv {
            number: U256::from(self.height),
            beneficiary: block.commitment.fee_recipient,
            timestamp: U256::from(block.header.time),
            gas_limit: self.genesis.limits.block_gas.0,
            basefee: self.base_fee.try_into().expect("the tests' fees are small"),
            difficulty: U256::ZERO,
            prevrandao: Some(random),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 }),
            ..Default::default()
        }
    }

    fn database(&self) -> CacheDB<EmptyDB> {
        let mut database = CacheDB::new(EmptyDB::default());
        for (address, entry) in &self.accounts {
            let code = Bytecode::new_raw(entry.code.clone().into());
            let info = AccountInfo {
                balance: U256::from(entry.balance),
                nonce: entry.nonce,
                code_hash: code.hash_slow(),
                code: Some(code),
                ..Default::default()
            };
            database.insert_account_info(*address, info);
            for (slot, value) in &entry.storage {
                database.insert_account_storage(*address, *slot, *value).expect("it is in memory");
            }
        }
        for (height, hash) in &self.hashes {
            database.cache.block_hashes.insert(U256::from(*height), *hash);
        }
        database
    }

    fn transaction(&self, wanted: &NativeTransaction) -> TxEnv {
        let list = wanted.access_list.iter();
        let list =
            list.map(|item| AccessListItem { address: item.address, storage_keys: item.slots.clone() });
        TxEnv {
            tx_type: 2,
            caller: address_of(&wanted.sender),
            gas_limit: wanted.gas_limit.0,
            gas_price: wanted.max_fee,
            gas_priority_fee: Some(wanted.max_tip),
            kind: wanted.to.map_or(TxKind::Create, TxKind::Call),
            value: wanted.value,
            data: wanted.data.clone(),
            nonce: wanted.nonce,
            chain_id: Some(self.genesis.chain_id),
            access_list: list.collect::<Vec<_>>().into(),
            ..Default::default()
        }
    }

    fn take_over(&mut self, state: &EvmState) {
        for (address, account) in state.iter().filter(|(_, account)| account.is_touched()) {
            if account.is_selfdestructed() || account.info.is_empty() {
                self.accounts.remove(address);
                continue;
            }
            let entry: &mut Entry = self.accounts.entry(*address).or_default();
            (entry.nonce, entry.balance) = (account.info.nonce, account.info.balance.to());
            if let Some(code) = account.info.code.as_ref().filter(|code| !code.is_empty()) {
                entry.code = code.original_bytes().to_vec();
            }
            for (slot, value) in &account.storage {
                entry.storage.insert(*slot, value.present_value());
            }
            entry.storage.retain(|_, value| !value.is_zero());
        }
    }
}

/// What a receipt must say: at most 1,024 bytes of output, and none of a creation.
fn done(result: ExecutionResult) -> Done {
    let gas = result.tx_gas_used();
    let cut = |output: &[u8]| output[..output.len().min(1_024)].to_vec();
    match result {
        ExecutionResult::Success { logs, output, .. } => {
            let output = if output.address().is_some() { Vec::new() } else { cut(output.data()) };
            let log = |log: alloy_primitives::Log| {
                let topics: Vec<B256> = log.data.topics().to_vec();
                (log.address, topics, log.data.data.to_vec())
            };
            Done { succeeded: true, gas, output, logs: logs.into_iter().map(log).collect() }
        }
        ExecutionResult::Revert { output, .. } => {
            Done { succeeded: false, gas, output: cut(&output), logs: Vec::new() }
        }
        ExecutionResult::Halt { .. } => Done { succeeded: false, gas, output: Vec::new(), logs: Vec::new() },
    }
}

//! A small stage for tests that are written by hand: contracts in assembly, one sender, one block.

#![allow(dead_code, unused_imports, clippy::unwrap_used, unreachable_pub)]

use alloy_primitives::{Address, Bytes, U256};
pub use synod_vm::bench::assembler;
use synod_vm::bench::assembler::assemble;
use synod_vm::tracer::Tracer;
use synod_vm::{Block, Execution, Refusal, Transaction, Vm, World};

pub const SENDER: Address = Address::with_last_byte(0xaa);
pub const COINBASE: Address = Address::with_last_byte(0xcb);

/// The address that ends with a byte.
pub const fn at(last: u8) -> Address {
    Address::with_last_byte(last)
}

/// A world, and a machine that lives through all its transactions.
pub struct Stage {
    pub world: World,
    pub block: Block,
    pub vm: Vm,
}

impl Stage {
    pub fn new() -> Self {
        let mut world = World::default();
        world.insert(SENDER, U256::from(10).pow(U256::from(30)), 0, Bytes::new(), []);
        let block = Block {
            number: 500,
            gas_limit: 1 << 46,
            base_fee: U256::from(7),
            coinbase: COINBASE,
            chain_id: 1,
            ..Default::default()
        };
        Self { world, block, vm: Vm::new() }
    }

    /// Puts a contract in place, with 1,000 wei.
    pub fn contract(self, last: u8, source: &str) -> Self {
        self.code(last, assemble(source))
    }

    pub fn code(mut self, last: u8, code: Bytes) -> Self {
        self.world.insert(at(last), U256::from(1_000), 1, code, []);
        self
    }

    pub fn slot(mut self, last: u8, key: u64, value: u64) -> Self {
        self.world.storage.entry(at(last)).or_default().insert(U256::from(key), U256::from(value));
        self
    }

    /// A transaction that calls a contract with a million gas.
    pub fn calling(&self, last: u8) -> Transaction {
        Transaction { to: Some(at(last)), ..self.creating(Bytes::new()) }
    }

    /// A transaction that creates a contract.
    pub fn creating(&self, init_code: Bytes) -> Transaction {
        Transaction {
            sender: SENDER,
            nonce: self.world.accounts[&SENDER].nonce,
            data: init_code,
            gas_limit: 1_000_000,
            max_fee_per_gas: U256::from(10),
            max_tip_per_gas: U256::from(2),
            ..Default::default()
        }
    }

    /// Executes, checks that money is conserved, and makes the changes.
    pub fn execute(&mut self, transaction: &Transaction) -> Result<Execution, Refusal> {
        let execution = self.vm.execute(&self.world, &self.block, transaction)?;
        let before = self.world.total();
        self.world.apply(&execution.diff);
        assert_eq!(before, self.world.total() + execution.burnt.total(), "money is conserved");
        Ok(execution)
    }

    /// Calls a contract.
    pub fn call(&mut self, last: u8) -> Execution {
        let transaction = self.calling(last);
        self.execute(&transaction).expect("the sender can pay")
    }

    /// Calls a contract, watched, without making the changes.
    pub fn watch<T: Tracer>(&mut self, last: u8, tracer: &mut T) -> Execution {
        let transaction = self.calling(last);
        self.vm.execute_traced(&self.world, &self.block, &transaction, tracer).expect("the sender can pay")
    }
}

/// The output as a number.
pub fn number(execution: &Execution) -> U256 {
    U256::from_be_slice(&execution.output)
}

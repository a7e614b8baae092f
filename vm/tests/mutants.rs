//! The mutants of the EVM's list: each deliberate wrong line is found by a scenario of its own.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod stage;

use alloy_primitives::{Bytes, U256};
use stage::assembler::assemble;
use stage::{Stage, at, number};
use std::panic::catch_unwind;
use synod_vm::{Halt, Refusal, Status};

/// Mutant, and the scenario that passes without it and fails with it.
const TABLE: [(&str, fn()); 8] = [
    ("evm-64th-kept-off", evm_2_the_caller_keeps_a_64th),
    ("evm-warm-set-not-reverted", evm_5_a_revert_makes_cold_again),
    ("evm-transient-not-wiped", evm_11_transient_storage_ends_with_the_transaction),
    ("evm-static-lost-in-delegatecall", evm_7_a_delegatecall_stays_static),
    ("evm-refund-half", evm_6_a_fifth_is_refunded_at_most),
    ("evm-init-code-limit-off", evm_9_init_code_is_limited),
    ("evm-return-data-not-cleared", evm_8_a_creation_empties_the_return_buffer),
    ("evm-selfdestruct-always-deletes", evm_10_an_old_contract_survives_its_selfdestruct),
];

#[test]
fn every_mutant_dies() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut survivors = Vec::new();
    for (mutant, scenario) in TABLE {
        scenario();
        let died = catch_unwind(|| synod_types::mutant::with(mutant, scenario)).is_err();
        println!("{mutant:34} {}", if died { "dies" } else { "SURVIVES" });
        if !died {
            survivors.push(mutant);
        }
    }
    let _ = std::panic::take_hook();
    assert!(survivors.is_empty(), "not found: {survivors:?}");
}

/// A callee that burns all that it gets leaves the caller a 64th to go on with.
fn evm_2_the_caller_keeps_a_64th() {
    let mut stage = Stage::new()
        .contract(1, "STOP")
        .contract(0xb0, "INVALID")
        .contract(0xc0, "0 0 0 0 0 0xb0 0xffffffffffffffff CALL GAS 0 MSTORE 32 0 RETURN");
    let execution = stage.call(0xc0);
    assert_eq!(execution.status, Status::Success);
    assert!(number(&execution) > U256::from(14_000), "about a 64th of a million is left");
}

/// An account warmed in a frame that reverts costs 2,600 again: GAS, PUSH, BALANCE, POP, GAS.
fn evm_5_a_revert_makes_cold_again() {
    let mut stage = Stage::new()
        .contract(0xb0, "0x77 BALANCE 5 SLOAD 0 0 REVERT")
        .contract(0xc0, "0 0 0 0 0 0xb0 GAS CALL GAS 0x77 BALANCE POP GAS SWAP1 SUB 0 MSTORE 32 0 RETURN");
    assert_eq!(number(&stage.call(0xc0)), U256::from(3 + 2_600 + 2 + 2));
}

/// The same contract in the next transaction of the same machine finds nothing.
fn evm_11_transient_storage_ends_with_the_transaction() {
    let mut stage = Stage::new().contract(0xc0, "0 TLOAD 0 MSTORE 1 0 TSTORE 32 0 RETURN");
    assert_eq!(number(&stage.call(0xc0)), U256::ZERO);
    assert_eq!(number(&stage.call(0xc0)), U256::ZERO);
}

/// A static call, in it a delegate call, in it a write: the write fails.
fn evm_7_a_delegatecall_stays_static() {
    let mut stage = Stage::new()
        .contract(0xb1, "1 0 SSTORE STOP")
        .contract(0xb0, "0 0 0 0 0xb1 100000 DELEGATECALL 0 MSTORE 32 0 RETURN")
        .contract(0xc0, "32 0 0 0 0xb0 GAS STATICCALL 32 0 RETURN");
    let execution = stage.call(0xc0);
    assert_eq!((execution.status, number(&execution)), (Status::Success, U256::ZERO));
    assert!(!stage.world.storage.contains_key(&at(0xb0)));
}

/// Ten emptied slots would refund 48,000.
fn evm_6_a_fifth_is_refunded_at_most() {
    let mut stage = (0..10).fold(Stage::new(), |stage, key| stage.slot(0xc0, key, 7)).contract(
        0xc0,
        "0 0 SSTORE 0 1 SSTORE 0 2 SSTORE 0 3 SSTORE 0 4 SSTORE \
         0 5 SSTORE 0 6 SSTORE 0 7 SSTORE 0 8 SSTORE 0 9 SSTORE",
    );
    let execution = stage.call(0xc0);
    let spent = 21_000 + 9 * (2 + 3 + 5_000) + (2 + 2 + 5_000);
    assert_eq!(execution.gas_refunded, spent / 5);
    assert_eq!(execution.gas_used, spent - spent / 5);
}

/// EIP-3860: one byte more than 49,152 is refused in a transaction, and halts a CREATE.
fn evm_9_init_code_is_limited() {
    let mut stage = Stage::new().contract(0xc0, "49153 0 0 CREATE STOP");
    let mut transaction = stage.creating(Bytes::from(vec![0; 49_153]));
    let refusal = Refusal::InitCodeTooLong { length: 49_153, limit: 49_152 };
    assert_eq!(stage.execute(&transaction), Err(refusal));
    transaction.data = Bytes::from(vec![0; 49_152]);
    assert_eq!(stage.execute(&transaction).unwrap().status, Status::Success);
    assert_eq!(stage.call(0xc0).status, Status::Halt(Halt::InitCodeTooLong));
}

/// A call fills the buffer, a successful creation empties it.
fn evm_8_a_creation_empties_the_return_buffer() {
    let init_code = U256::from_be_slice(&assemble("1 0 RETURN"));
    let mut stage = Stage::new().contract(0xb0, "32 0 RETURN").contract(
        0xc0,
        &format!(
            "0 0 0 0 0 0xb0 GAS CALL RETURNDATASIZE {init_code} 0 MSTORE 4 28 0 CREATE \
             RETURNDATASIZE 0 MSTORE POP 32 MSTORE 64 0 RETURN"
        ),
    );
    let execution = stage.call(0xc0);
    let (after_creation, after_call) = execution.output.split_at(32);
    assert_eq!(U256::from_be_slice(after_creation), U256::ZERO);
    assert_eq!(U256::from_be_slice(after_call), U256::from(32));
}

/// EIP-6780: the balance moves, the contract stays.
fn evm_10_an_old_contract_survives_its_selfdestruct() {
    let mut stage = Stage::new().contract(0xc0, "0xbe SELFDESTRUCT");
    stage.call(0xc0);
    assert_eq!(stage.world.accounts[&at(0xbe)].balance, U256::from(1_000));
    assert_eq!(stage.world.code_of(&at(0xc0)), assemble("0xbe SELFDESTRUCT"));
}

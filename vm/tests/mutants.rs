//! The mutants of the EVM's list, and one for most of its other rules: each deliberate wrong line is found by a
//! scenario of its own. The table, with its times:
//!
//! ```text
//! cargo test -p synod-vm --test mutants -- --nocapture
//! ```
//!
//! The ledger finds the list's mutants once more, over random chains (`ledger/tests/ledger_random_chains.rs`).

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod stage;

use alloy_primitives::{B256, Bytes, U256};
use stage::assembler::assemble;
use stage::{Stage, at, number};
use std::panic::catch_unwind;
use std::time::Instant;
use synod_vm::{Halt, Refusal, Status};

/// Mutant, and the scenario that passes without it and fails with it.
const TABLE: [(&str, fn()); 17] = [
    ("evm-64th-kept-off", evm_2_the_caller_keeps_a_64th),
    ("evm-warm-set-not-reverted", evm_5_a_revert_makes_cold_again),
    ("evm-transient-not-wiped", evm_11_transient_storage_ends_with_the_transaction),
    ("evm-static-lost-in-delegatecall", evm_7_a_delegatecall_stays_static),
    ("evm-refund-half", evm_6_a_fifth_is_refunded_at_most),
    ("evm-init-code-limit-off", evm_9_init_code_is_limited),
    ("evm-return-data-not-cleared", evm_8_a_creation_empties_the_return_buffer),
    ("evm-selfdestruct-always-deletes", evm_10_an_old_contract_survives_its_selfdestruct),
    ("evm-memory-without-its-square", evm_1_large_memory_costs_its_square),
    ("evm-one-frame-more", evm_2_the_frame_at_1024_calls_nobody),
    ("evm-logs-not-reverted", evm_4_a_revert_takes_logs_back),
    ("evm-creation-nonce-reverted", evm_9_a_failed_creation_uses_its_nonce),
    ("evm-ef-code-allowed", evm_9_code_does_not_begin_with_ef),
    ("evm-jump-into-push-data", evm_12_push_data_is_no_destination),
    ("evm-precompile-keeps-gas", evm_14_a_failing_precompile_takes_its_gas),
    ("evm-blockhash-257", evm_15_the_257th_block_has_no_hash),
    ("evm-contracts-send", evm_16_a_contract_sends_no_transaction),
];

#[test]
#[allow(clippy::disallowed_methods, reason = "the table tells times")]
fn every_mutant_dies() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut survivors = Vec::new();
    for (mutant, scenario) in TABLE {
        scenario();
        let begun = Instant::now();
        let died = catch_unwind(|| synod_types::mutant::with(mutant, scenario)).is_err();
        let time = begun.elapsed().as_secs_f64() * 1e3;
        println!("{mutant:34} {:8} {time:8.2} ms", if died { "dies" } else { "SURVIVES" });
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

/// A kilobyte of words costs a linear price and its square by 512.
fn evm_1_large_memory_costs_its_square() {
    let mut stage = Stage::new().contract(0xc0, "32736 MLOAD STOP");
    assert_eq!(stage.call(0xc0).gas_used, 21_000 + 3 + 3 + 3 * 1_024 + 1_024 * 1_024 / 512);
}

/// Each frame calls the same contract again, and tells how many there were from it on.
fn evm_2_the_frame_at_1024_calls_nobody() {
    let mut stage =
        Stage::new().contract(0xc0, "32 0 0 0 0 ADDRESS GAS CALL POP 0 MLOAD 1 ADD 0 MSTORE 32 0 RETURN");
    let mut transaction = stage.calling(0xc0);
    transaction.gas_limit = 1 << 38;
    assert_eq!(number(&stage.execute(&transaction).unwrap()), U256::from(1_025));
}

/// What a frame said is unsaid when it reverts; what its caller said stays.
fn evm_4_a_revert_takes_logs_back() {
    let mut stage = Stage::new()
        .contract(0xb0, "7 0 0 LOG1 0 0 REVERT")
        .contract(0xc0, "0 0 0 0 0 0xb0 GAS CALL POP 9 0 0 LOG1 STOP");
    let execution = stage.call(0xc0);
    assert_eq!(execution.logs.len(), 1);
    assert_eq!(execution.logs[0].topics(), [B256::with_last_byte(9)]);
}

/// Init code that fails (an invalid instruction) has used its creator's nonce all the same.
fn evm_9_a_failed_creation_uses_its_nonce() {
    let mut stage = Stage::new().contract(0xc0, "0xfe 0 MSTORE8 1 0 0 CREATE 0 MSTORE 32 0 RETURN");
    assert_eq!(number(&stage.call(0xc0)), U256::ZERO);
    assert_eq!(stage.world.accounts[&at(0xc0)].nonce, 2);
}

/// EIP-3541: code that begins with 0xEF is not deployed.
fn evm_9_code_does_not_begin_with_ef() {
    let mut stage = Stage::new();
    let transaction = stage.creating(assemble("0xef 0 MSTORE8 1 0 RETURN"));
    assert_eq!(stage.execute(&transaction).unwrap().status, Status::Halt(Halt::CodeBeginsWithEf));
}

/// The byte 0x5b inside of a PUSH is data.
fn evm_12_push_data_is_no_destination() {
    let mut stage = Stage::new().contract(0xc0, "0x5b POP 1 JUMP");
    assert_eq!(stage.call(0xc0).status, Status::Halt(Halt::BadJump));
}

/// Three bytes are no pairs of points: the 100,000 gas that came along are gone.
fn evm_14_a_failing_precompile_takes_its_gas() {
    let mut stage = Stage::new().contract(0xc0, "0 0 3 0 8 100000 STATICCALL 0 MSTORE 32 0 RETURN");
    let execution = stage.call(0xc0);
    assert_eq!(number(&execution), U256::ZERO);
    assert!(execution.gas_used > 121_000, "{}", execution.gas_used);
}

/// 256 blocks back there is a hash, one more and there is none.
fn evm_15_the_257th_block_has_no_hash() {
    let source = "256 NUMBER SUB BLOCKHASH 0 MSTORE 257 NUMBER SUB BLOCKHASH 32 MSTORE 64 0 RETURN";
    let mut stage = Stage::new().contract(0xc0, source);
    let execution = stage.call(0xc0);
    let (within, beyond) = execution.output.split_at(32);
    assert_ne!(within, B256::ZERO.as_slice());
    assert_eq!(beyond, B256::ZERO.as_slice());
}

/// EIP-3607.
fn evm_16_a_contract_sends_no_transaction() {
    let mut stage = Stage::new().contract(0xaa, "STOP");
    stage.world.accounts.get_mut(&stage::SENDER).unwrap().balance = U256::from(10).pow(U256::from(30));
    let transaction = stage.calling(0xc0);
    assert_eq!(stage.execute(&transaction), Err(Refusal::SenderIsContract));
}

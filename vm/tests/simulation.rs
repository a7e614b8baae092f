//! Calls without consequences, gas estimation, and tracers.

#![allow(clippy::unwrap_used)]

mod stage;

use alloy_primitives::{Bytes, U256};
use stage::{SENDER, Stage, at, number};
use synod_vm::tracer::{CallKind, CallTracer, StepTracer};
use synod_vm::{Estimate, Refusal, Status, Transaction};

/// `eth_call` from nobody, with any nonce and no money, within its cap.
#[test]
fn a_simulated_call_needs_no_account() {
    let mut stage = Stage::new().contract(0xc0, "CALLER 0 MSTORE 32 0 RETURN").contract(0xc1, "l: @l JUMP");
    let call = Transaction {
        sender: at(0x99),
        to: Some(at(0xc0)),
        nonce: 55,
        gas_limit: u64::MAX,
        ..Default::default()
    };
    let execution = stage.vm.call(&stage.world, &stage.block, &call, 50_000_000).unwrap();
    assert_eq!(number(&execution), U256::from(0x99));
    assert_eq!(execution.burnt.total(), U256::ZERO);
    let endless = Transaction { to: Some(at(0xc1)), ..call.clone() };
    let execution = stage.vm.call(&stage.world, &stage.block, &endless, 2_000_000).unwrap();
    assert_eq!(execution.gas_used, 2_000_000);
    let rich = Transaction { value: U256::from(1), ..call };
    let refusal = stage.vm.call(&stage.world, &stage.block, &rich, 2_000_000);
    assert_eq!(refusal, Err(Refusal::InsufficientFunds { balance: U256::ZERO, needed: U256::from(1) }));
}

/// The estimate is enough, a 64th less is not, whatever refunds and 64ths come between.
#[test]
fn an_estimate_is_enough_and_tight() {
    let sources = [
        "STOP",
        "1 0 SSTORE STOP",
        // Refunds what it spends.
        "1 0 SSTORE 0 0 SSTORE STOP",
        // Needs far more in hand than it uses: a callee that checks its gas.
        "0 0 0 0 0 0xb0 GAS CALL @fine JUMPI 0 0 REVERT fine: STOP",
        // A stipend does part of the work.
        "0 0 0 0 1 0xb1 0 CALL STOP",
    ];
    for source in sources {
        let mut stage = Stage::new()
            .contract(0xb0, "400000 GAS GT @fine JUMPI 0 0 REVERT fine: STOP")
            .contract(0xb1, "STOP")
            .contract(0xc0, source);
        let mut call = stage.calling(0xc0);
        call.gas_limit = u64::MAX;
        call.max_fee_per_gas = U256::ZERO;
        call.max_tip_per_gas = U256::ZERO;
        let estimate = stage.vm.estimate(&stage.world, &stage.block, &call, 50_000_000).unwrap();
        let Estimate::Gas(gas) = estimate else { panic!("{source}: {estimate:?}") };
        let mut status = |gas_limit| {
            let call = Transaction { gas_limit, ..call.clone() };
            stage.vm.call(&stage.world, &stage.block, &call, u64::MAX).map(|execution| execution.status)
        };
        assert_eq!(status(gas), Ok(Status::Success), "{source}");
        assert_ne!(status(gas - gas / 32), Ok(Status::Success), "{source}: {gas} is not tight");
    }
}

/// A transaction that cannot succeed is shown as it fails.
#[test]
fn an_estimate_of_a_failure_is_the_failure() {
    let mut stage = Stage::new().contract(0xc0, "0x42 0 MSTORE 32 0 REVERT");
    let call = stage.calling(0xc0);
    let estimate = stage.vm.estimate(&stage.world, &stage.block, &call, 50_000_000).unwrap();
    let Estimate::Fails(execution) = estimate else { panic!("{estimate:?}") };
    assert_eq!((execution.status, number(&execution)), (Status::Revert, U256::from(0x42)));
}

/// The call tree: who called whom, with what, how it ended, at what gas.
#[test]
fn the_call_tree_is_recorded() {
    let mut stage = Stage::new()
        .contract(0xb1, "0 0 LOG0 1 0 MSTORE 32 0 REVERT")
        .contract(0xb0, "0 0 0 0 0xb1 GAS DELEGATECALL POP 0 0 LOG0 0xbe SELFDESTRUCT")
        .contract(0xc0, "0 0 4 0 9 0xb0 100000 CALL POP 0 0 0 CREATE POP 0 0 32 0 2 GAS STATICCALL STOP");
    let mut tracer = CallTracer::default();
    let execution = stage.watch(0xc0, &mut tracer);
    let records = tracer.records();
    let shape: Vec<_> = records.iter().map(|call| (call.parent, call.kind, call.depth)).collect();
    let expected = [
        (None, CallKind::Call, 0),
        (Some(0), CallKind::Call, 1),
        (Some(1), CallKind::DelegateCall, 2),
        (Some(0), CallKind::Create, 1),
        (Some(0), CallKind::StaticCall, 1),
    ];
    assert_eq!(shape, expected);
    assert_eq!(records[0].gas_used, execution.gas_used - 21_000);
    assert_eq!((records[1].value, records[1].input.len(), records[1].gas), (U256::from(9), 4, 102_300));
    assert_eq!(records[1].self_destruct, Some((at(0xbe), U256::from(1_009))));
    assert_eq!(records[2].status, Some(Status::Revert));
    assert_eq!((records[2].address, records[2].code_address), (at(0xb0), at(0xb1)));
    assert_eq!(U256::from_be_slice(&records[2].output), U256::from(1));
    assert_eq!((records[1].logs.len(), records[2].logs.len(), execution.logs.len()), (1, 1, 1));
    assert_eq!((records[4].code_address, records[4].gas_used), (at(2), 72));
    assert!(records.iter().all(|call| call.status.is_some()));
}

/// Steps are recorded in order with what they take, up to the limit.
#[test]
fn steps_are_recorded() {
    let mut stage = Stage::new().contract(0xc0, "2 3 ADD @end JUMP end: STOP");
    let mut tracer = StepTracer::new(5);
    stage.watch(0xc0, &mut tracer);
    let names: Vec<_> = tracer.records().iter().map(|step| step.name).collect();
    assert_eq!(names, ["PUSH1", "PUSH1", "ADD", "PUSH2", "JUMP"]);
    assert_eq!(tracer.records()[2].operands, [U256::from(2), U256::from(3)]);
    assert_eq!(tracer.records()[0].gas - tracer.records()[4].gas, 3 * 4);
    assert_eq!(tracer.omitted(), 2);
}

/// EVM-15: BLOCKHASH knows the last 256 blocks and no others.
#[test]
fn evm_15_blockhash_reaches_256_blocks() {
    for (asked, known) in [(499, true), (244, true), (243, false), (500, false), (501, false)] {
        let source = format!("{asked} BLOCKHASH 0 MSTORE 32 0 RETURN");
        let execution = Stage::new().contract(0xc0, &source).call(0xc0);
        assert_eq!(!number(&execution).is_zero(), known, "{asked}");
    }
}

/// A simulation may come from a contract, and create one.
#[test]
fn a_simulated_creation_shows_the_code() {
    let mut stage = Stage::new().contract(0xc0, "STOP");
    let code = stage::assembler::assemble("0x5b 0 MSTORE 1 31 RETURN");
    let create = Transaction { sender: at(0xc0), ..stage.creating(code) };
    let create = Transaction { max_fee_per_gas: U256::ZERO, max_tip_per_gas: U256::ZERO, ..create };
    let execution = stage.vm.call(&stage.world, &stage.block, &create, 1_000_000).unwrap();
    assert_eq!(execution.output, Bytes::from_static(&[0x5b]));
    assert!(execution.created.is_some() && stage.world.accounts.contains_key(&SENDER));
}

/// Absurd balances, fees and blobs in a simulation: an answer or a refusal, never a panic.
#[test]
fn a_simulation_of_the_impossible_ends_well() {
    let mut stage = Stage::new().contract(0xc0, "0 0 0 0 500 0xb0 GAS CALL STOP");
    stage.world.insert(at(0xb0), U256::MAX, 0, Bytes::new(), []);
    stage.world.insert(stage::COINBASE, U256::MAX, 0, Bytes::new(), []);
    let call = stage.calling(0xc0);
    let execution = stage.vm.call(&stage.world, &stage.block, &call, 1_000_000).unwrap();
    assert_eq!(execution.status, Status::Success);
    assert_eq!(execution.burnt.self_destruct, U256::from(500) + execution.tip);
    let absurd = Transaction { max_fee_per_gas: U256::MAX, max_tip_per_gas: U256::MAX, ..call.clone() };
    assert!(stage.vm.call(&stage.world, &stage.block, &absurd, u64::MAX).is_err());
    stage.block.blob_base_fee = U256::MAX;
    let blobs = synod_vm::Blobs { hashes: vec![Default::default(); 3], max_fee_per_gas: U256::MAX };
    let blobs = Transaction { blobs: Some(blobs), ..call };
    assert!(stage.vm.call(&stage.world, &stage.block, &blobs, u64::MAX).is_err());
    let last_nonce = U256::from(10).pow(U256::from(20));
    stage.world.insert(SENDER, last_nonce, u64::MAX, Bytes::new(), []);
    for transaction in [stage.calling(0xc0), stage.creating(Bytes::new())] {
        assert!(stage.vm.call(&stage.world, &stage.block, &transaction, 1_000_000).is_ok());
    }
}

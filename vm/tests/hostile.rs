//! Code, data and calls made to break the machine: a clear end, in bounded time and memory.

#![allow(clippy::unwrap_used)]

mod stage;

use alloy_primitives::{Bytes, U256};
use stage::{Stage, number};
use synod_vm::tracer::CallTracer;
use synod_vm::{Halt, Refusal, Status, opcode};

/// Calls itself with all its gas; each frame returns how many frames there are from it on.
const DIVE: &str = "32 0 0 0 0 ADDRESS GAS CALL POP 0 MLOAD 1 ADD 0 MSTORE 32 0 RETURN";

/// Runs `body` on a thread with a stack of 256 KiB.
fn on_a_small_thread(body: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(256 << 10).spawn(body).unwrap().join().unwrap();
}

/// EVM-2, EVM-3: the frame at depth 1,024 cannot call, so 1,025 frames run; the native stack does not grow.
#[test]
fn evm_3_the_deepest_chain_of_calls_runs_on_a_small_thread() {
    on_a_small_thread(|| {
        let mut stage = Stage::new().contract(0xc0, DIVE);
        let mut transaction = stage.calling(0xc0);
        transaction.gas_limit = 1 << 38;
        let mut tracer = CallTracer::default();
        let (world, block) = (&stage.world, &stage.block);
        let watched = stage.vm.execute_traced(world, block, &transaction, &mut tracer).unwrap();
        assert_eq!(number(&watched), U256::from(1_025));
        assert_eq!(tracer.records().len(), 1_026);
        assert_eq!(tracer.records()[1_025].status, Some(Status::Halt(Halt::TooDeep)));
        assert_eq!(stage.execute(&transaction).unwrap(), watched);
    });
}

/// EVM-3, EVM-9: the same with creations, each made of its creator's code.
#[test]
fn evm_3_the_deepest_chain_of_creations_runs_on_a_small_thread() {
    on_a_small_thread(|| {
        let mut stage = Stage::new();
        let code = stage::assembler::assemble("CODESIZE 0 0 CODECOPY CODESIZE 0 0 CREATE STOP");
        let mut transaction = stage.creating(code);
        transaction.gas_limit = 1 << 46;
        let execution = stage.execute(&transaction).unwrap();
        assert_eq!(execution.status, Status::Success);
        assert_eq!(execution.diff.accounts.values().filter(|account| account.created).count(), 1_025);
    });
}

/// EVM-2: the call that is too deep costs nothing that it was to forward, and empties the buffer.
#[test]
fn evm_2_a_call_too_deep_gives_its_gas_back() {
    // At the bottom: the gas that the failed call cost, and the length of what it returned.
    let source = "0 0 0 0 0 ADDRESS GAS CALL @above JUMPI \
                  GAS 0 0 0 0 0 ADDRESS 100000 CALL POP GAS SWAP1 SUB 0 SSTORE RETURNDATASIZE 1 SSTORE \
                  above: STOP";
    let mut stage = Stage::new().contract(0xc0, source);
    let mut transaction = stage.calling(0xc0);
    transaction.gas_limit = 1 << 42;
    assert_eq!(stage.execute(&transaction).unwrap().status, Status::Success);
    let slots = &stage.world.storage[&stage::at(0xc0)];
    // Five PUSH0, ADDRESS, PUSH3, a warm call, POP, GAS.
    assert_eq!(slots[&U256::ZERO], U256::from(5 * 2 + 2 + 3 + 100 + 2 + 2));
    assert!(!slots.contains_key(&U256::from(1)));
}

/// An endless loop ends when its gas does.
#[test]
fn an_endless_loop_ends_with_its_gas() {
    let mut stage = Stage::new().contract(0xc0, "loop: @loop JUMP");
    let mut transaction = stage.calling(0xc0);
    transaction.gas_limit = 10_000_000;
    let execution = stage.execute(&transaction).unwrap();
    assert_eq!((execution.status, execution.gas_used), (Status::Halt(Halt::OutOfGas), 10_000_000));
}

/// EVM-1: memory that doubles until the gas is gone, in every frame of a chain.
#[test]
fn evm_1_memory_bombs_are_paid_for() {
    let bombs = [
        "1 loop: DUP1 MSIZE MSTORE MSIZE DUP1 ADD 0 SWAP1 MSTORE @loop JUMP",
        "0xffffffffffffffff MLOAD",
        "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff MLOAD",
        "0xffffffffffffffff 0 0 MCOPY",
        "0xffffffff 0 KECCAK256",
        "0xffffffffff 0 0 CALLDATACOPY",
        "0xffffffffff 0 0 0 EXTCODECOPY",
        "0xffffffffff 0 RETURN",
        "0xffffffffff 0xffffffffff 0 0 0 0 GAS CALL",
        "0xffffffffff 0 LOG0",
    ];
    for bomb in bombs {
        let mut stage = Stage::new().contract(0xc0, bomb);
        let mut transaction = stage.calling(0xc0);
        transaction.gas_limit = 30_000_000;
        let execution = stage.execute(&transaction).unwrap();
        assert_eq!(execution.status, Status::Halt(Halt::OutOfGas), "{bomb}");
    }
    let nested = "1 200000 MSTORE 0 0 0 0 0 ADDRESS GAS CALL 1 900000 MSTORE";
    let mut stage = Stage::new().contract(0xc0, nested);
    let mut transaction = stage.calling(0xc0);
    transaction.gas_limit = 30_000_000;
    stage.execute(&transaction).unwrap();
}

/// Each frame calls itself twice: the tree is as large as the gas, and no larger.
#[test]
fn a_tree_of_calls_is_as_large_as_its_gas() {
    let twice = "0 0 0 0 0 ADDRESS GAS CALL 0 0 0 0 0 ADDRESS GAS CALL";
    let mut stage = Stage::new().contract(0xc0, twice);
    let mut tracer = CallTracer::new(100, 1_000);
    let mut transaction = stage.calling(0xc0);
    transaction.gas_limit = 3_000_000;
    stage.vm.execute_traced(&stage.world, &stage.block, &transaction, &mut tracer).unwrap();
    assert_eq!(tracer.records().len(), 100);
    assert!(tracer.omitted() > 1_000 && tracer.omitted() < 30_000, "{}", tracer.omitted());
}

/// 10 MB of call data: refused below their price, copied and hashed above it.
#[test]
fn ten_megabytes_of_call_data() {
    let mut stage =
        Stage::new().contract(0xc0, "CALLDATASIZE 0 0 CALLDATACOPY CALLDATASIZE 0 KECCAK256 STOP");
    let mut transaction = stage.calling(0xc0);
    transaction.data = Bytes::from(vec![1; 10_000_000]);
    let needed = 21_000 + 160_000_000;
    let refusal = Refusal::IntrinsicGasTooLow { gas_limit: 1_000_000, needed };
    assert_eq!(stage.execute(&transaction), Err(refusal));
    transaction.gas_limit = 1_000_000_000;
    let execution = stage.execute(&transaction).unwrap();
    assert_eq!(execution.status, Status::Success);
    let words = 312_500u64;
    let memory = 3 * words + words * words / 512;
    assert_eq!(execution.gas_used, needed + memory + 3 * words + (30 + 6 * words) + 2 * 5 + 3);
}

/// EVM-12: any bytes are code; whatever they do ends within the gas, and conserves money.
#[test]
fn any_bytes_are_code() {
    let mut seed = 1u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u8
    };
    for length in 0..2_000usize {
        let code: Vec<u8> = (0..length % 300).map(|_| next()).collect();
        let mut stage = Stage::new().code(0xc0, code.into());
        let execution = stage.call(0xc0);
        assert!((21_000..=1_000_000).contains(&execution.gas_used));
    }
}

/// EVM-12: 1,024 items fit, one more does not; an empty stack gives nothing.
#[test]
fn evm_12_the_stack_has_its_bounds() {
    let pushes = |count: usize| Bytes::from(vec![opcode::PUSH0; count]);
    let cases = [
        (pushes(1_024), Status::Success),
        (pushes(1_025), Status::Halt(Halt::StackOverflow)),
        (Bytes::from_static(&[opcode::ADD]), Status::Halt(Halt::StackUnderflow)),
        (Bytes::from_static(&[opcode::PUSH0, opcode::SWAP1]), Status::Halt(Halt::StackUnderflow)),
        (Bytes::from_static(&[0x0c]), Status::Halt(Halt::UndefinedOpcode(0x0c))),
        (Bytes::from_static(&[opcode::PUSH32]), Status::Success),
        (Bytes::from_static(&[opcode::PUSH0, opcode::JUMP]), Status::Halt(Halt::BadJump)),
        (Bytes::from_static(&[0x60, 4, 0x56, 0x60, 0x5b]), Status::Halt(Halt::BadJump)),
    ];
    for (code, status) in cases {
        assert_eq!(Stage::new().code(0xc0, code.clone()).call(0xc0).status, status, "{code}");
    }
}

/// EVM-14: precompiled contracts asked for absurd work take the gas and no time.
#[test]
fn evm_14_absurd_work_for_precompiled_contracts() {
    let all_ones = "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
    let fill = (0..7).map(|n| format!("{all_ones} {} MSTORE ", n * 32)).collect::<String>();
    for number in [5, 6, 7, 8, 9, 10] {
        let source = format!("{fill} 0 0 213 0 {number} 50000 STATICCALL 0 MSTORE 32 0 RETURN");
        let execution = Stage::new().contract(0xc0, &source).call(0xc0);
        assert_eq!(stage::number(&execution), U256::ZERO, "precompile {number}");
        assert!(execution.gas_used > 71_000, "precompile {number} took what it was given");
    }
}

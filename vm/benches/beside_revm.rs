//! The machine beside revm 43: the same code and inputs, in turns, in one run.
//!
//! `SYNOD_VECTORS=… cargo bench -p synod-vm` prints a line for each program, with the ratio of the times
//! (above 1: we are faster), and the geometric mean. Arguments choose programs by name.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
// A bench measures time.
#![allow(clippy::disallowed_methods)]

#[path = "../tests/oracle/mod.rs"]
mod oracle;

use alloy_primitives::{Address, Bytes, U256, keccak256};
use oracle::assembler::assemble;
use revm::ExecuteEvm;
use std::path::Path;
use std::time::{Duration, Instant};
use synod_vm::{Block, Transaction, Vm, World};

/// One program with its inputs.
struct Program {
    name: String,
    world: World,
    block: Block,
    transaction: Transaction,
}

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(60);

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut programs = loops();
    match std::env::var("SYNOD_VECTORS") {
        Ok(vectors) => programs.extend(official(&Path::new(&vectors).join("evm-benchmarks"))),
        Err(_) => eprintln!("skipped: SYNOD_VECTORS is not set, so only our own loops run"),
    }
    programs.retain(|program| wanted.is_empty() || wanted.iter().any(|name| program.name.contains(name)));
    println!("{:28} {:>12} {:>12} {:>12} {:>8}", "program", "gas", "synod", "revm", "ratio");
    let ratios: Vec<f64> = programs.iter().map(measure).collect();
    let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
    println!("{:28} {:>47.3}", "geometric mean", mean);
}

/// Times both machines in turns, and gives the ratio of the medians.
fn measure(program: &Program) -> f64 {
    let Program { world, block, transaction, .. } = program;
    let mut vm = Vm::new();
    let gas = vm.execute(world, block, transaction).unwrap().gas_used;
    let mut revm = oracle::evm(world, block);
    let envelope = oracle::transaction(transaction, block.chain_id);
    let theirs_gas = revm.transact(envelope.clone()).unwrap().result.tx_gas_used();
    assert_eq!(gas, theirs_gas, "{}: the two disagree", program.name);

    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..ROUNDS {
        ours.push(time(|| drop(std::hint::black_box(vm.execute(world, block, transaction)))));
        theirs.push(time(|| drop(std::hint::black_box(revm.transact(envelope.clone())))));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let speed = |time: f64| format!("{:.0} Mgas/s", gas as f64 / time / 1e6);
    let ratio = theirs / ours;
    println!("{:28} {gas:>12} {:>12} {:>12} {ratio:>8.3}", program.name, speed(ours), speed(theirs));
    ratio
}

/// Seconds for one run, averaged over a round.
fn time(mut run: impl FnMut()) -> f64 {
    let begin = Instant::now();
    let mut count = 0u32;
    while begin.elapsed() < ROUND {
        run();
        count += 1;
    }
    begin.elapsed().as_secs_f64() / f64::from(count)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn official(folder: &Path) -> Vec<Program> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| official_file(path)).collect()
}

/// The cases of a file, whatever fork they are listed for: only the programs and inputs count here.
fn official_file(path: &Path) -> Vec<Program> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for test in json.as_object_mut().unwrap().values_mut() {
        let post = test["post"].as_object_mut().unwrap();
        if let Some(cases) = post.values().next().cloned() {
            post.insert("Cancun".to_owned(), cases);
        }
    }
    let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
    let cases = synod_vm::state_test::cases(&json.to_string()).unwrap();
    cases
        .into_iter()
        .map(|case| Program {
            name: format!("{stem} {}", case.index),
            world: case.pre,
            block: Block { blob_base_fee: U256::ONE, ..case.block },
            transaction: case.transaction.unwrap(),
        })
        .collect()
}

const CALLER: Address = Address::with_last_byte(0xca);
const CONTRACT: Address = Address::with_last_byte(0xc0);

fn program(name: &str, code: Bytes, data: Bytes, storage: Vec<(U256, U256)>) -> Program {
    let mut world = World::default();
    world.insert(CALLER, U256::MAX >> 64, 0, Bytes::new(), []);
    world.insert(CONTRACT, U256::ZERO, 1, code, storage);
    // A second contract, for calls: it adds its input to nothing and returns a word.
    world.insert(
        Address::with_last_byte(0xdd),
        U256::ZERO,
        1,
        assemble("0 CALLDATALOAD 0 MSTORE 32 0 RETURN"),
        [],
    );
    let block = Block {
        gas_limit: 1 << 40,
        coinbase: Address::with_last_byte(0xcb),
        chain_id: 1,
        blob_base_fee: U256::ONE,
        ..Default::default()
    };
    let transaction =
        Transaction { sender: CALLER, to: Some(CONTRACT), data, gas_limit: 1 << 36, ..Default::default() };
    Program { name: name.to_owned(), world, block, transaction }
}

/// Repeats `body` `times` times; the body finds the counter on top and must leave it so.
fn looped(times: u64, setup: &str, body: &str) -> Bytes {
    assemble(&format!("{setup} {times} loop: {body} 1 SWAP1 SUB DUP1 @loop JUMPI STOP"))
}

fn loops() -> Vec<Program> {
    let plain = |name: &str, code: Bytes| program(name, code, Bytes::new(), vec![]);
    let call = "32 0 32 0 0 0xdd 50000 CALL POP";
    vec![
        plain("fibonacci loop", looped(50_000, "0 1", "SWAP2 DUP2 ADD SWAP1 SWAP2")),
        plain(
            "multiplication loop",
            looped(50_000, "3", "SWAP1 0x123456789abcdef0123456789abcdef MUL DUP1 MUL SWAP1"),
        ),
        plain(
            "mulmod loop",
            looped(
                20_000,
                "3",
                "SWAP1 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141 SWAP1 DUP1 MULMOD SWAP1",
            ),
        ),
        plain("keccak loop", looped(20_000, "", "DUP1 0 MSTORE 64 0 KECCAK256 32 MSTORE")),
        plain("storage loop", looped(5_000, "", "DUP1 100 SWAP1 MOD DUP1 SLOAD 1 ADD SWAP1 SSTORE")),
        plain("memory loop", looped(20_000, "", "DUP1 255 AND 5 SHL DUP2 DUP2 MSTORE MLOAD POP")),
        plain("call loop", looped(5_000, "", call)),
        program("erc-20 transfer", token(), transfer_data(), token_storage()),
        plain("plain call", assemble("STOP")),
    ]
}

/// A token's `transfer(to, amount)` as a compiler would lay it out: dispatch, two mapping slots, a log.
fn token() -> Bytes {
    assemble(
        "128 64 MSTORE CALLVALUE DUP1 ISZERO @paid JUMPI 0 0 REVERT paid: POP \
         4 CALLDATASIZE LT @none JUMPI 0 CALLDATALOAD 224 SHR DUP1 0xa9059cbb EQ @transfer JUMPI \
         none: 0 0 REVERT \
         transfer: POP 4 CALLDATALOAD 0xffffffffffffffffffffffffffffffffffffffff AND 36 CALLDATALOAD \
         CALLER 0 MSTORE 0 32 MSTORE 64 0 KECCAK256 DUP1 SLOAD \
         DUP3 DUP2 LT @none JUMPI DUP3 SWAP1 SUB SWAP1 SSTORE \
         DUP2 0 MSTORE 0 32 MSTORE 64 0 KECCAK256 DUP1 SLOAD DUP3 ADD DUP3 DUP2 LT @none JUMPI SWAP1 SSTORE \
         64 MLOAD SWAP1 DUP2 MSTORE SWAP1 CALLER \
         0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef 32 DUP5 LOG3 \
         POP 1 0 MSTORE 32 0 RETURN",
    )
}

fn transfer_data() -> Bytes {
    let mut data = vec![0xa9, 0x05, 0x9c, 0xbb];
    data.extend_from_slice(&U256::from(0x70).to_be_bytes::<32>());
    data.extend_from_slice(&U256::from(1_000).to_be_bytes::<32>());
    data.into()
}

fn token_storage() -> Vec<(U256, U256)> {
    let slot = |holder: u64| {
        let mut key = [0; 64];
        key[..32].copy_from_slice(&U256::from(holder).to_be_bytes::<32>());
        U256::from_be_bytes(keccak256(key).0)
    };
    vec![(slot(0xca), U256::from(1_000_000)), (slot(0x70), U256::from(5))]
}

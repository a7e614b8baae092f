//! Loops over one kind of instruction each.

use super::assembler::assemble;
use super::{CONTRACT, Program, block, call, world};
use alloy_primitives::{Address, Bytes, U256};

/// What the call loop calls: it returns a word of its input.
const CALLEE: Address = Address::with_last_byte(0xdd);

pub(super) fn programs() -> Vec<Program> {
    let call = "32 0 32 0 0 0xdd 50000 CALL POP";
    let prime = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    vec![
        program("fibonacci loop", looped(50_000, "0 1", "SWAP2 DUP2 ADD SWAP1 SWAP2")),
        program(
            "multiplication loop",
            looped(50_000, "3", "SWAP1 0x123456789abcdef0123456789abcdef MUL DUP1 MUL SWAP1"),
        ),
        program("mulmod loop", looped(20_000, "3", &format!("SWAP1 {prime} SWAP1 DUP1 MULMOD SWAP1"))),
        program("hash loop", looped(20_000, "", "DUP1 0 MSTORE 64 0 KECCAK256 32 MSTORE")),
        program("storage loop", looped(5_000, "", "DUP1 100 SWAP1 MOD DUP1 SLOAD 1 ADD SWAP1 SSTORE")),
        program("memory loop", looped(20_000, "", "DUP1 255 AND 5 SHL DUP2 DUP2 MSTORE MLOAD POP")),
        program("call loop", looped(5_000, "", call)),
        program("plain call", assemble("STOP")),
    ]
}

fn program(name: &str, code: Bytes) -> Program {
    let mut world = world();
    world.insert(CONTRACT, U256::ZERO, 1, code, []);
    world.insert(CALLEE, U256::ZERO, 1, assemble("0 CALLDATALOAD 0 MSTORE 32 0 RETURN"), []);
    Program { name: name.to_owned(), world, block: block(), transaction: call(CONTRACT, Bytes::new()) }
}

/// Repeats `body` `times` times; the body finds the counter on top and must leave it so.
fn looped(times: u64, setup: &str, body: &str) -> Bytes {
    assemble(&format!("{setup} {times} loop: {body} 1 SWAP1 SUB DUP1 @loop JUMPI STOP"))
}

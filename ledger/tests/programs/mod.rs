//! Small contracts, each for something that a ledger can get wrong, in the machine's own assembly. They read
//! their call data as words; some call the contract that the first word names.
#![allow(dead_code, reason = "each test uses a part of it")]

use synod_types::Bytes;
use synod_vm::bench::assembler;

/// A contract.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    source: &'static str,
    /// The programs whose contracts its words should name.
    pub(crate) arguments: &'static [&'static str],
}

impl Program {
    pub(crate) fn code(&self) -> Bytes {
        assembler::assemble(self.source)
    }
}

const fn program(name: &'static str, source: &'static str) -> Program {
    Program { name, source, arguments: &[] }
}

const fn calling(name: &'static str, source: &'static str, arguments: &'static [&'static str]) -> Program {
    Program { name, source, arguments }
}

pub(crate) const ALL: [Program; 21] = [
    // Stores the second word under the first, and tells of it.
    program("store", "32 CALLDATALOAD 0 CALLDATALOAD SSTORE 7 0 CALLDATALOAD 64 0 LOG2 STOP"),
    // Everything that the block says of itself (EVM-15).
    program(
        "environment",
        "NUMBER 0 SSTORE TIMESTAMP 1 SSTORE COINBASE 2 SSTORE PREVRANDAO 3 SSTORE BASEFEE 4 SSTORE \
         GASLIMIT 5 SSTORE CHAINID 6 SSTORE BLOBBASEFEE 7 SSTORE SELFBALANCE 8 SSTORE GASPRICE 9 SSTORE \
         1 NUMBER SUB BLOCKHASH 10 SSTORE 3 NUMBER SUB BLOCKHASH 11 SSTORE NUMBER BLOCKHASH 12 SSTORE \
         COINBASE BALANCE 13 SSTORE ORIGIN BALANCE 14 SSTORE STOP",
    ),
    // Reverts with its first word when it is zero, after a write and a log.
    program(
        "revert",
        "1 0 SSTORE 32 0 LOG0 0 CALLDATALOAD @fine JUMPI 0xdead 0 MSTORE 2000 0 REVERT fine: 2000 0 RETURN",
    ),
    // Makes a contract that destroys itself in the same transaction, with the call's wei, for itself: burnt.
    program("burn", "0x30ff 0 MSTORE 2 30 CALLVALUE CREATE 0 SSTORE STOP"),
    // The same, for whoever called, by CREATE2: the second time in a block as well.
    program("rise-and-fall", "0x33ff 0 MSTORE 0 2 30 CALLVALUE CREATE2 0 SSTORE STOP"),
    // Makes a contract that stays, with storage of its own, at an address that can be used once.
    program("child", "0x600160005560015ff3 0 MSTORE 0 9 23 CALLVALUE CREATE2 1 SSTORE STOP"),
    // Never ends.
    program("endless", "l: @l JUMP"),
    // Pays whatever it has to the address of its first word, and calls it with no gas.
    calling("pay", "0 0 0 0 SELFBALANCE 0 CALLDATALOAD 0 CALL 0 SSTORE STOP", &["store"]),
    // Calls precompiled contracts: identity and hashes.
    program(
        "precompiled",
        "32 32 64 0 4 50000 STATICCALL 0 SSTORE 32 32 64 0 2 50000 STATICCALL 1 SSTORE 32 MLOAD 2 SSTORE \
         32 32 64 0 8 50000 STATICCALL 3 SSTORE STOP",
    ),
    // EVM-2: the callee burns all that it gets, and a 64th is left.
    program("invalid", "INVALID"),
    calling("keep", "0 0 0 0 0 0 CALLDATALOAD GAS CALL 0 SSTORE 1 1 SSTORE STOP", &["invalid"]),
    // EVM-5: warmed in a frame that reverts, and cold again.
    program("warm", "0x77 BALANCE 5 SLOAD 0 0 REVERT"),
    calling("cold", "0 0 0 0 0 0 CALLDATALOAD 100000 CALL POP 0x77 BALANCE POP STOP", &["warm"]),
    // EVM-11: nothing is left of the transaction before.
    program("transient", "0 TLOAD 0 SSTORE 1 0 TSTORE STOP"),
    // EVM-7: a static call, in it a delegate call, in it a write.
    program("write", "1 0 SSTORE STOP"),
    program("delegate", "0 0 0 0 0 CALLDATALOAD 100000 DELEGATECALL STOP"),
    calling(
        "static",
        "0 CALLDATALOAD 0 MSTORE 0 0 32 0 32 CALLDATALOAD 300000 STATICCALL 0 SSTORE STOP",
        &["write", "delegate"],
    ),
    // EVM-6: called with 7 and with 0, more is emptied than a fifth gives back.
    program(
        "refund",
        "0 CALLDATALOAD 0 SSTORE 0 CALLDATALOAD 1 SSTORE 0 CALLDATALOAD 2 SSTORE 0 CALLDATALOAD 3 SSTORE \
         0 CALLDATALOAD 4 SSTORE 0 CALLDATALOAD 5 SSTORE 0 CALLDATALOAD 6 SSTORE 0 CALLDATALOAD 7 SSTORE STOP",
    ),
    // EVM-8: a creation empties the buffer that a call filled.
    program(
        "create",
        "0 0 32 0 4 50000 STATICCALL POP 0x60015ff3 0 MSTORE 4 28 0 CREATE POP RETURNDATASIZE 1 ADD 0 SSTORE STOP",
    ),
    // EVM-9: too much init code halts.
    program("long-creation", "49153 0 0 CREATE 1 SSTORE STOP"),
    // EVM-10: an old contract's money moves, and the contract stays.
    program("fall", "0xbe SELFDESTRUCT"),
];

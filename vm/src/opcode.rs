//! The opcode table: every instruction's name, stack use, base gas and whether it writes, once.
//!
//! The interpreter's checks, code analysis, tracers, the fuzzer's generator and its coverage report all
//! read this table and nothing else. Gas that depends on operands or state is added by the instruction
//! itself (see [`crate::gas`]); what stands here is charged always. Yellow Paper, appendix H, as of Cancun.

/// What is known about an instruction before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opcode {
    /// The name as the Yellow Paper writes it.
    pub name: &'static str,
    /// Items taken from the stack.
    pub inputs: u8,
    /// Items left on the stack.
    pub outputs: u8,
    /// Gas charged before the instruction does anything.
    pub gas: u16,
    /// Bytes of code after the opcode that are data (`PUSH1` to `PUSH32`).
    pub immediate: u8,
    /// Changes state, so a static frame refuses it (EIP-214).
    pub writes: bool,
}

/// Whether an instruction changes state: the last column of the table.
const PLAIN: bool = false;
const WRITES: bool = true;

macro_rules! opcodes {
    ($($byte:literal $name:ident $inputs:literal $outputs:literal $gas:literal $writes:ident)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`, see [`TABLE`].")]
            pub const $name: u8 = $byte;
        )*

        /// The instructions of the fork by opcode byte; `None` is an undefined one, which halts the frame.
        pub const TABLE: [Option<Opcode>; 256] = {
            let mut table = [None; 256];
            $(
                table[$byte] = Some(Opcode {
                    name: stringify!($name),
                    inputs: $inputs,
                    outputs: $outputs,
                    gas: $gas,
                    immediate: immediate_length($byte),
                    writes: $writes,
                });
            )*
            table
        };
    };
}

opcodes! {
    // byte  name           in out    gas  state
    0x00 STOP             0  0      0  PLAIN
    0x01 ADD              2  1      3  PLAIN
    0x02 MUL              2  1      5  PLAIN
    0x03 SUB              2  1      3  PLAIN
    0x04 DIV              2  1      5  PLAIN
    0x05 SDIV             2  1      5  PLAIN
    0x06 MOD              2  1      5  PLAIN
    0x07 SMOD             2  1      5  PLAIN
    0x08 ADDMOD           3  1      8  PLAIN
    0x09 MULMOD           3  1      8  PLAIN
    0x0a EXP              2  1     10  PLAIN
    0x0b SIGNEXTEND       2  1      5  PLAIN

    0x10 LT               2  1      3  PLAIN
    0x11 GT               2  1      3  PLAIN
    0x12 SLT              2  1      3  PLAIN
    0x13 SGT              2  1      3  PLAIN
    0x14 EQ               2  1      3  PLAIN
    0x15 ISZERO           1  1      3  PLAIN
    0x16 AND              2  1      3  PLAIN
    0x17 OR               2  1      3  PLAIN
    0x18 XOR              2  1      3  PLAIN
    0x19 NOT              1  1      3  PLAIN
    0x1a BYTE             2  1      3  PLAIN
    0x1b SHL              2  1      3  PLAIN
    0x1c SHR              2  1      3  PLAIN
    0x1d SAR              2  1      3  PLAIN

    0x20 KECCAK256        2  1     30  PLAIN

    0x30 ADDRESS          0  1      2  PLAIN
    0x31 BALANCE          1  1    100  PLAIN
    0x32 ORIGIN           0  1      2  PLAIN
    0x33 CALLER           0  1      2  PLAIN
    0x34 CALLVALUE        0  1      2  PLAIN
    0x35 CALLDATALOAD     1  1      3  PLAIN
    0x36 CALLDATASIZE     0  1      2  PLAIN
    0x37 CALLDATACOPY     3  0      3  PLAIN
    0x38 CODESIZE         0  1      2  PLAIN
    0x39 CODECOPY         3  0      3  PLAIN
    0x3a GASPRICE         0  1      2  PLAIN
    0x3b EXTCODESIZE      1  1    100  PLAIN
    0x3c EXTCODECOPY      4  0    100  PLAIN
    0x3d RETURNDATASIZE   0  1      2  PLAIN
    0x3e RETURNDATACOPY   3  0      3  PLAIN
    0x3f EXTCODEHASH      1  1    100  PLAIN

    0x40 BLOCKHASH        1  1     20  PLAIN
    0x41 COINBASE         0  1      2  PLAIN
    0x42 TIMESTAMP        0  1      2  PLAIN
    0x43 NUMBER           0  1      2  PLAIN
    0x44 PREVRANDAO       0  1      2  PLAIN
    0x45 GASLIMIT         0  1      2  PLAIN
    0x46 CHAINID          0  1      2  PLAIN
    0x47 SELFBALANCE      0  1      5  PLAIN
    0x48 BASEFEE          0  1      2  PLAIN
    0x49 BLOBHASH         1  1      3  PLAIN
    0x4a BLOBBASEFEE      0  1      2  PLAIN

    0x50 POP              1  0      2  PLAIN
    0x51 MLOAD            1  1      3  PLAIN
    0x52 MSTORE           2  0      3  PLAIN
    0x53 MSTORE8          2  0      3  PLAIN
    0x54 SLOAD            1  1    100  PLAIN
    0x55 SSTORE           2  0      0  WRITES
    0x56 JUMP             1  0      8  PLAIN
    0x57 JUMPI            2  0     10  PLAIN
    0x58 PC               0  1      2  PLAIN
    0x59 MSIZE            0  1      2  PLAIN
    0x5a GAS              0  1      2  PLAIN
    0x5b JUMPDEST         0  0      1  PLAIN
    0x5c TLOAD            1  1    100  PLAIN
    0x5d TSTORE           2  0    100  WRITES
    0x5e MCOPY            3  0      3  PLAIN
    0x5f PUSH0            0  1      2  PLAIN

    0x60 PUSH1            0  1      3  PLAIN
    0x61 PUSH2            0  1      3  PLAIN
    0x62 PUSH3            0  1      3  PLAIN
    0x63 PUSH4            0  1      3  PLAIN
    0x64 PUSH5            0  1      3  PLAIN
    0x65 PUSH6            0  1      3  PLAIN
    0x66 PUSH7            0  1      3  PLAIN
    0x67 PUSH8            0  1      3  PLAIN
    0x68 PUSH9            0  1      3  PLAIN
    0x69 PUSH10           0  1      3  PLAIN
    0x6a PUSH11           0  1      3  PLAIN
    0x6b PUSH12           0  1      3  PLAIN
    0x6c PUSH13           0  1      3  PLAIN
    0x6d PUSH14           0  1      3  PLAIN
    0x6e PUSH15           0  1      3  PLAIN
    0x6f PUSH16           0  1      3  PLAIN
    0x70 PUSH17           0  1      3  PLAIN
    0x71 PUSH18           0  1      3  PLAIN
    0x72 PUSH19           0  1      3  PLAIN
    0x73 PUSH20           0  1      3  PLAIN
    0x74 PUSH21           0  1      3  PLAIN
    0x75 PUSH22           0  1      3  PLAIN
    0x76 PUSH23           0  1      3  PLAIN
    0x77 PUSH24           0  1      3  PLAIN
    0x78 PUSH25           0  1      3  PLAIN
    0x79 PUSH26           0  1      3  PLAIN
    0x7a PUSH27           0  1      3  PLAIN
    0x7b PUSH28           0  1      3  PLAIN
    0x7c PUSH29           0  1      3  PLAIN
    0x7d PUSH30           0  1      3  PLAIN
    0x7e PUSH31           0  1      3  PLAIN
    0x7f PUSH32           0  1      3  PLAIN

    0x80 DUP1             1  2      3  PLAIN
    0x81 DUP2             2  3      3  PLAIN
    0x82 DUP3             3  4      3  PLAIN
    0x83 DUP4             4  5      3  PLAIN
    0x84 DUP5             5  6      3  PLAIN
    0x85 DUP6             6  7      3  PLAIN
    0x86 DUP7             7  8      3  PLAIN
    0x87 DUP8             8  9      3  PLAIN
    0x88 DUP9             9 10      3  PLAIN
    0x89 DUP10           10 11      3  PLAIN
    0x8a DUP11           11 12      3  PLAIN
    0x8b DUP12           12 13      3  PLAIN
    0x8c DUP13           13 14      3  PLAIN
    0x8d DUP14           14 15      3  PLAIN
    0x8e DUP15           15 16      3  PLAIN
    0x8f DUP16           16 17      3  PLAIN

    0x90 SWAP1            2  2      3  PLAIN
    0x91 SWAP2            3  3      3  PLAIN
    0x92 SWAP3            4  4      3  PLAIN
    0x93 SWAP4            5  5      3  PLAIN
    0x94 SWAP5            6  6      3  PLAIN
    0x95 SWAP6            7  7      3  PLAIN
    0x96 SWAP7            8  8      3  PLAIN
    0x97 SWAP8            9  9      3  PLAIN
    0x98 SWAP9           10 10      3  PLAIN
    0x99 SWAP10          11 11      3  PLAIN
    0x9a SWAP11          12 12      3  PLAIN
    0x9b SWAP12          13 13      3  PLAIN
    0x9c SWAP13          14 14      3  PLAIN
    0x9d SWAP14          15 15      3  PLAIN
    0x9e SWAP15          16 16      3  PLAIN
    0x9f SWAP16          17 17      3  PLAIN

    0xa0 LOG0             2  0    375  WRITES
    0xa1 LOG1             3  0    750  WRITES
    0xa2 LOG2             4  0   1125  WRITES
    0xa3 LOG3             5  0   1500  WRITES
    0xa4 LOG4             6  0   1875  WRITES

    0xf0 CREATE           3  1  32000  WRITES
    0xf1 CALL             7  1    100  PLAIN
    0xf2 CALLCODE         7  1    100  PLAIN
    0xf3 RETURN           2  0      0  PLAIN
    0xf4 DELEGATECALL     6  1    100  PLAIN
    0xf5 CREATE2          4  1  32000  WRITES
    0xfa STATICCALL       6  1    100  PLAIN
    0xfd REVERT           2  0      0  PLAIN
    0xfe INVALID          0  0      0  PLAIN
    0xff SELFDESTRUCT     1  0   5000  WRITES
}

/// The table's row for a defined opcode.
///
/// # Panics
///
/// Panics for an undefined byte: the interpreter calls it with constants only.
pub(crate) const fn row(opcode: u8) -> Opcode {
    match TABLE[opcode as usize] {
        Some(row) => row,
        None => panic!("the opcode is not in the table"),
    }
}

/// The name of an opcode byte, for traces and reports.
pub fn name(opcode: u8) -> &'static str {
    TABLE[opcode as usize].map_or("undefined", |row| row.name)
}

/// Bytes of push data that follow an opcode byte.
pub(crate) const fn immediate_length(opcode: u8) -> u8 {
    if opcode >= 0x60 && opcode <= 0x7f { opcode - 0x5f } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EVM-11, EVM-12: Cancun defines 149 instructions, and the families are regular.
    #[test]
    fn the_table_has_the_instructions_of_cancun() {
        assert_eq!(TABLE.iter().flatten().count(), 149);
        for n in 1..=32u8 {
            let push = row(PUSH1 + n - 1);
            assert_eq!((push.inputs, push.outputs, push.immediate), (0, 1, n));
            assert_eq!(push.name, format!("PUSH{n}"));
        }
        for n in 1..=16u8 {
            assert_eq!((row(DUP1 + n - 1).inputs, row(DUP1 + n - 1).outputs), (n, n + 1));
            assert_eq!((row(SWAP1 + n - 1).inputs, row(SWAP1 + n - 1).outputs), (n + 1, n + 1));
        }
    }

    /// EVM-7: the table knows every instruction that a static frame refuses (CALL with value aside).
    #[test]
    fn evm_7_the_writers_are_marked() {
        let writers: Vec<_> = TABLE.iter().flatten().filter(|row| row.writes).map(|row| row.name).collect();
        let expected = "SSTORE TSTORE LOG0 LOG1 LOG2 LOG3 LOG4 CREATE CREATE2 SELFDESTRUCT";
        assert_eq!(writers.join(" "), expected);
    }
}

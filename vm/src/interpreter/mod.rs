//! The interpreter: one frame's code, run until it ends, halts, or wants another frame.
//!
//! [`run`] is the fetch, decode and execute loop. Each arm is one instruction in the table's order; short
//! ones stand here whole, the others in the files of this folder by the Yellow Paper's groups
//! ([`storage`] has `SSTORE`, [`calls`] has `CALL`). Stack bounds, base gas and the static rule come
//! from the opcode table, so no arm repeats them.
//!
//! Program counter, gas and stack height live in local variables while the loop runs: the compiler keeps
//! them in registers, which is where the speed comes from. Whatever needs more than the stack is a
//! function that takes the gas and gives back what is left.

mod arithmetic;
mod calls;
mod creation;
mod data;
mod environment;
mod storage;

pub(crate) use calls::CallRequest;
pub(crate) use creation::CreateRequest;
pub use creation::create_address;

use crate::frame::{Frame, Scope};
use crate::gas;
use crate::halt::Halt;
use crate::memory::{saturated, small};
use crate::opcode::{self as op, Opcode};
use crate::tracer::{Step, Tracer};
use alloy_primitives::{Address, U256};
use arithmetic::truth;
use std::cmp::Ordering;

/// Most items on a frame's stack.
pub(crate) const STACK_LIMIT: usize = 1024;
/// A stack index is masked, which lets the compiler see that it is in bounds.
const MASK: usize = STACK_LIMIT - 1;

/// A frame's stack.
pub(crate) type Stack = [U256; STACK_LIMIT];

/// Why [`run`] came back.
pub(crate) enum Exit {
    /// The frame ended well; its output is a range of its memory.
    Return { offset: usize, len: usize },
    /// The frame wants its changes undone; its output is a range of its memory.
    Revert { offset: usize, len: usize },
    /// The frame was stopped by force.
    Halt(Halt),
    /// The frame waits for a call.
    Call(CallRequest),
    /// The frame waits for a creation.
    Create(CreateRequest),
}

/// Runs a frame from where it stands.
pub(crate) fn run<T: Tracer>(frame: &mut Frame, stack: &mut Stack, scope: &mut Scope<'_, '_, T>) -> Exit {
    let analysed = frame.code.clone();
    let code = analysed.padded();
    let mut pc = frame.pc;
    let mut gas = frame.gas;
    let mut height = frame.stack_height;

    // The stack item `$n` from the top, which is 1; 0 is the free place above it.
    macro_rules! item {
        ($n:expr) => {
            stack[height.wrapping_sub($n) & MASK]
        };
    }
    let exit = 'run: loop {
        macro_rules! halt {
            ($halt:expr) => {
                break 'run Exit::Halt($halt)
            };
        }
        macro_rules! attempt {
            ($result:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(halt) => halt!(halt),
                }
            };
        }
        // Does what the table says before an instruction: stack bounds, the static rule, base gas.
        macro_rules! begin {
            ($name:ident) => {
                const ROW: Opcode = op::row(op::$name);
                const INPUTS: usize = ROW.inputs as usize;
                const OUTPUTS: usize = ROW.outputs as usize;
                if height < INPUTS {
                    halt!(Halt::StackUnderflow);
                }
                if OUTPUTS > INPUTS && height > STACK_LIMIT - (OUTPUTS - INPUTS) {
                    halt!(Halt::StackOverflow);
                }
                if ROW.writes && frame.is_static {
                    halt!(Halt::WriteInStaticFrame);
                }
                gas = attempt!(gas::charge(gas, ROW.gas as u64));
            };
        }
        // An instruction whose body finds its inputs at `item!(1)` and up, and leaves its output, if it
        // has one, in the place of its last input.
        macro_rules! instruction {
            ($name:ident, $body:expr) => {{
                begin!($name);
                $body;
                height = height.wrapping_add(OUTPUTS).wrapping_sub(INPUTS);
            }};
        }
        // Pushes one value.
        macro_rules! push {
            ($name:ident, $value:expr) => {
                instruction!($name, item!(0) = $value)
            };
        }
        // Replaces the top item.
        macro_rules! unary {
            ($name:ident, $operation:expr) => {
                instruction!($name, item!(1) = $operation(&item!(1)))
            };
        }
        // Replaces the two top items by one.
        macro_rules! binary {
            ($name:ident, $operation:expr) => {
                instruction!($name, item!(2) = $operation(&item!(1), &item!(2)))
            };
        }
        macro_rules! push_data {
            ($name:ident) => {
                instruction!($name, {
                    const LENGTH: usize = op::row(op::$name).immediate as usize;
                    item!(0) = data::push_data::<LENGTH>(code, pc);
                    pc = pc.wrapping_add(LENGTH);
                })
            };
        }
        macro_rules! dup {
            ($name:ident) => {
                instruction!($name, item!(0) = item!(op::row(op::$name).inputs as usize))
            };
        }
        macro_rules! swap {
            ($name:ident) => {
                instruction!($name, {
                    const DEPTH: usize = op::row(op::$name).inputs as usize;
                    let below = item!(DEPTH);
                    item!(DEPTH) = item!(1);
                    item!(1) = below;
                })
            };
        }
        // Goes to the place on top of the stack. Unwatched, the `JUMPDEST` there is done at once.
        macro_rules! jump {
            () => {
                if T::STOPS && scope.tracer.stop(scope.memory.total()) {
                    halt!(Halt::Stopped);
                }
                match small(&item!(1)) {
                    Some(target) if analysed.is_jump_destination(target) => pc = target,
                    _ => halt!(Halt::BadJump),
                }
                if !T::STEPS {
                    gas = attempt!(gas::charge(gas, op::row(op::JUMPDEST).gas as u64));
                    pc = pc.wrapping_add(1);
                }
            };
        }
        macro_rules! log {
            ($name:ident) => {
                instruction!($name, {
                    const TOPICS: usize = op::row(op::$name).inputs as usize - 2;
                    let topics: [U256; TOPICS] = std::array::from_fn(|n| item!(n + 3));
                    gas = attempt!(data::log(scope, frame, gas, &item!(1), &item!(2), &topics));
                })
            };
        }
        // Ends the frame with an output in memory.
        macro_rules! finish {
            ($name:ident, $exit:ident) => {{
                begin!($name);
                let (left, offset, len) = attempt!(data::range(scope.memory, gas, &item!(1), &item!(2)));
                gas = left;
                break 'run Exit::$exit { offset, len };
            }};
        }
        // Leaves the loop for another frame, whose result the machine will push.
        macro_rules! descend {
            ($name:ident, $exit:ident, $prepare:path) => {{
                begin!($name);
                let operands: [U256; INPUTS] = std::array::from_fn(|n| item!(n + 1));
                height = height.wrapping_sub(INPUTS);
                let (left, request) = attempt!($prepare(scope, frame, gas, operands));
                gas = left;
                break 'run Exit::$exit(request);
            }};
        }

        if pc >= code.len() {
            break Exit::Return { offset: 0, len: 0 };
        }
        let opcode = code[pc];
        if T::STEPS {
            let stack = &stack[..height];
            let memory = scope.memory.window();
            scope.tracer.step(&Step { depth: scope.depth, pc, opcode, gas, stack, memory });
        }
        pc = pc.wrapping_add(1);

        match opcode {
            op::STOP => break Exit::Return { offset: 0, len: 0 },
            op::ADD => binary!(ADD, |a: &U256, b: &U256| a.wrapping_add(*b)),
            op::MUL => binary!(MUL, |a: &U256, b: &U256| a.wrapping_mul(*b)),
            op::SUB => binary!(SUB, |a: &U256, b: &U256| a.wrapping_sub(*b)),
            op::DIV => binary!(DIV, arithmetic::div),
            op::SDIV => binary!(SDIV, arithmetic::sdiv),
            op::MOD => binary!(MOD, arithmetic::rem),
            op::SMOD => binary!(SMOD, arithmetic::smod),
            op::ADDMOD => {
                instruction!(ADDMOD, item!(3) = arithmetic::addmod(&item!(1), &item!(2), &item!(3)));
            }
            op::MULMOD => {
                instruction!(MULMOD, item!(3) = arithmetic::mulmod(&item!(1), &item!(2), &item!(3)));
            }
            op::EXP => instruction!(EXP, {
                gas = attempt!(gas::charge(gas, gas::exponent(&item!(2))));
                item!(2) = arithmetic::exp(&item!(1), &item!(2));
            }),
            op::SIGNEXTEND => binary!(SIGNEXTEND, arithmetic::signextend),

            op::LT => binary!(LT, |a: &U256, b: &U256| truth(a < b)),
            op::GT => binary!(GT, |a: &U256, b: &U256| truth(a > b)),
            op::SLT => binary!(SLT, |a, b| truth(arithmetic::signed_cmp(a, b) == Ordering::Less)),
            op::SGT => binary!(SGT, |a, b| truth(arithmetic::signed_cmp(a, b) == Ordering::Greater)),
            op::EQ => binary!(EQ, |a: &U256, b: &U256| truth(a == b)),
            op::ISZERO => unary!(ISZERO, |a: &U256| truth(a.is_zero())),
            op::AND => binary!(AND, |a: &U256, b: &U256| *a & *b),
            op::OR => binary!(OR, |a: &U256, b: &U256| *a | *b),
            op::XOR => binary!(XOR, |a: &U256, b: &U256| *a ^ *b),
            op::NOT => unary!(NOT, |a: &U256| !*a),
            op::BYTE => binary!(BYTE, arithmetic::byte),
            op::SHL => binary!(SHL, arithmetic::shl),
            op::SHR => binary!(SHR, arithmetic::shr),
            op::SAR => binary!(SAR, arithmetic::sar),

            op::KECCAK256 => instruction!(KECCAK256, {
                let (left, hash) = attempt!(data::keccak256(scope.memory, gas, &item!(1), &item!(2)));
                gas = left;
                item!(2) = hash;
            }),

            op::ADDRESS => push!(ADDRESS, word(&frame.address)),
            op::BALANCE => instruction!(BALANCE, {
                gas = attempt!(environment::balance(scope, gas, &mut item!(1)));
            }),
            op::ORIGIN => push!(ORIGIN, word(&scope.environment.origin)),
            op::CALLER => push!(CALLER, word(&frame.caller)),
            op::CALLVALUE => push!(CALLVALUE, frame.value),
            op::CALLDATALOAD => unary!(CALLDATALOAD, |at| data::call_data_word(scope, frame, at)),
            op::CALLDATASIZE => push!(CALLDATASIZE, U256::from(frame.input.len)),
            op::CALLDATACOPY => instruction!(CALLDATACOPY, {
                gas = attempt!(data::call_data_copy(scope, frame, gas, [&item!(1), &item!(2), &item!(3)]));
            }),
            op::CODESIZE => push!(CODESIZE, U256::from(analysed.bytes().len())),
            op::CODECOPY => instruction!(CODECOPY, {
                let operands = [&item!(1), &item!(2), &item!(3)];
                gas = attempt!(data::copy(scope.memory, gas, operands, analysed.bytes()));
            }),
            op::GASPRICE => push!(GASPRICE, scope.environment.gas_price),
            op::EXTCODESIZE => instruction!(EXTCODESIZE, {
                gas = attempt!(environment::extcodesize(scope, gas, &mut item!(1)));
            }),
            op::EXTCODECOPY => instruction!(EXTCODECOPY, {
                let operands = [&item!(2), &item!(3), &item!(4)];
                gas = attempt!(environment::extcodecopy(scope, gas, &item!(1), operands));
            }),
            op::RETURNDATASIZE => push!(RETURNDATASIZE, U256::from(scope.return_data.len())),
            op::RETURNDATACOPY => instruction!(RETURNDATACOPY, {
                gas = attempt!(data::return_data_copy(scope, gas, [&item!(1), &item!(2), &item!(3)]));
            }),
            op::EXTCODEHASH => instruction!(EXTCODEHASH, {
                gas = attempt!(environment::extcodehash(scope, gas, &mut item!(1)));
            }),

            op::BLOCKHASH => unary!(BLOCKHASH, |number| environment::blockhash(scope, number)),
            op::COINBASE => push!(COINBASE, word(&scope.environment.block.coinbase)),
            op::TIMESTAMP => push!(TIMESTAMP, U256::from(scope.environment.block.time_seconds)),
            op::NUMBER => push!(NUMBER, U256::from(scope.environment.block.number)),
            op::PREVRANDAO => push!(PREVRANDAO, scope.environment.block.prev_randao.into()),
            op::GASLIMIT => push!(GASLIMIT, U256::from(scope.environment.block.gas_limit)),
            op::CHAINID => push!(CHAINID, U256::from(scope.environment.block.chain_id)),
            op::SELFBALANCE => push!(SELFBALANCE, scope.journal.account(frame.account).balance),
            op::BASEFEE => push!(BASEFEE, scope.environment.block.base_fee),
            op::BLOBHASH => unary!(BLOBHASH, |at| environment::blobhash(scope, at)),
            op::BLOBBASEFEE => push!(BLOBBASEFEE, scope.environment.block.blob_base_fee),

            op::POP => instruction!(POP, {}),
            op::MLOAD => instruction!(MLOAD, {
                let offset = saturated(&item!(1));
                gas = attempt!(scope.memory.expand(gas, offset, 32));
                item!(1) = scope.memory.word(offset);
            }),
            op::MSTORE => instruction!(MSTORE, {
                let offset = saturated(&item!(1));
                gas = attempt!(scope.memory.expand(gas, offset, 32));
                scope.memory.set_word(offset, &item!(2));
            }),
            op::MSTORE8 => instruction!(MSTORE8, {
                let offset = saturated(&item!(1));
                gas = attempt!(scope.memory.expand(gas, offset, 1));
                scope.memory.set_byte(offset, item!(2).byte(0));
            }),
            op::SLOAD => instruction!(SLOAD, {
                gas = attempt!(storage::sload(scope, frame, gas, &mut item!(1)));
            }),
            op::SSTORE => instruction!(SSTORE, {
                gas = attempt!(storage::sstore(scope, frame, gas, &item!(1), &item!(2)));
            }),
            op::JUMP => instruction!(JUMP, {
                jump!();
            }),
            op::JUMPI => instruction!(JUMPI, {
                if !item!(2).is_zero() {
                    jump!();
                }
            }),
            op::PC => push!(PC, U256::from(pc - 1)),
            op::MSIZE => push!(MSIZE, U256::from(scope.memory.len())),
            op::GAS => push!(GAS, U256::from(gas)),
            op::JUMPDEST => instruction!(JUMPDEST, {}),
            op::TLOAD => unary!(TLOAD, |key: &U256| scope.journal.transient(frame.account, *key)),
            op::TSTORE => {
                instruction!(TSTORE, scope.journal.set_transient(frame.account, item!(1), item!(2)));
            }
            op::MCOPY => instruction!(MCOPY, {
                gas = attempt!(data::mcopy(scope.memory, gas, [&item!(1), &item!(2), &item!(3)]));
            }),

            op::PUSH0 => push!(PUSH0, U256::ZERO),
            op::PUSH1 => push_data!(PUSH1),
            op::PUSH2 => push_data!(PUSH2),
            op::PUSH3 => push_data!(PUSH3),
            op::PUSH4 => push_data!(PUSH4),
            op::PUSH5 => push_data!(PUSH5),
            op::PUSH6 => push_data!(PUSH6),
            op::PUSH7 => push_data!(PUSH7),
            op::PUSH8 => push_data!(PUSH8),
            op::PUSH9 => push_data!(PUSH9),
            op::PUSH10 => push_data!(PUSH10),
            op::PUSH11 => push_data!(PUSH11),
            op::PUSH12 => push_data!(PUSH12),
            op::PUSH13 => push_data!(PUSH13),
            op::PUSH14 => push_data!(PUSH14),
            op::PUSH15 => push_data!(PUSH15),
            op::PUSH16 => push_data!(PUSH16),
            op::PUSH17 => push_data!(PUSH17),
            op::PUSH18 => push_data!(PUSH18),
            op::PUSH19 => push_data!(PUSH19),
            op::PUSH20 => push_data!(PUSH20),
            op::PUSH21 => push_data!(PUSH21),
            op::PUSH22 => push_data!(PUSH22),
            op::PUSH23 => push_data!(PUSH23),
            op::PUSH24 => push_data!(PUSH24),
            op::PUSH25 => push_data!(PUSH25),
            op::PUSH26 => push_data!(PUSH26),
            op::PUSH27 => push_data!(PUSH27),
            op::PUSH28 => push_data!(PUSH28),
            op::PUSH29 => push_data!(PUSH29),
            op::PUSH30 => push_data!(PUSH30),
            op::PUSH31 => push_data!(PUSH31),
            op::PUSH32 => push_data!(PUSH32),

            op::DUP1 => dup!(DUP1),
            op::DUP2 => dup!(DUP2),
            op::DUP3 => dup!(DUP3),
            op::DUP4 => dup!(DUP4),
            op::DUP5 => dup!(DUP5),
            op::DUP6 => dup!(DUP6),
            op::DUP7 => dup!(DUP7),
            op::DUP8 => dup!(DUP8),
            op::DUP9 => dup!(DUP9),
            op::DUP10 => dup!(DUP10),
            op::DUP11 => dup!(DUP11),
            op::DUP12 => dup!(DUP12),
            op::DUP13 => dup!(DUP13),
            op::DUP14 => dup!(DUP14),
            op::DUP15 => dup!(DUP15),
            op::DUP16 => dup!(DUP16),

            op::SWAP1 => swap!(SWAP1),
            op::SWAP2 => swap!(SWAP2),
            op::SWAP3 => swap!(SWAP3),
            op::SWAP4 => swap!(SWAP4),
            op::SWAP5 => swap!(SWAP5),
            op::SWAP6 => swap!(SWAP6),
            op::SWAP7 => swap!(SWAP7),
            op::SWAP8 => swap!(SWAP8),
            op::SWAP9 => swap!(SWAP9),
            op::SWAP10 => swap!(SWAP10),
            op::SWAP11 => swap!(SWAP11),
            op::SWAP12 => swap!(SWAP12),
            op::SWAP13 => swap!(SWAP13),
            op::SWAP14 => swap!(SWAP14),
            op::SWAP15 => swap!(SWAP15),
            op::SWAP16 => swap!(SWAP16),

            op::LOG0 => log!(LOG0),
            op::LOG1 => log!(LOG1),
            op::LOG2 => log!(LOG2),
            op::LOG3 => log!(LOG3),
            op::LOG4 => log!(LOG4),

            op::CREATE => descend!(CREATE, Create, creation::create),
            op::CALL => descend!(CALL, Call, calls::call),
            op::CALLCODE => descend!(CALLCODE, Call, calls::callcode),
            op::RETURN => finish!(RETURN, Return),
            op::DELEGATECALL => descend!(DELEGATECALL, Call, calls::delegatecall),
            op::CREATE2 => descend!(CREATE2, Create, creation::create2),
            op::STATICCALL => descend!(STATICCALL, Call, calls::staticcall),
            op::REVERT => finish!(REVERT, Revert),
            op::INVALID => halt!(Halt::Invalid),
            op::SELFDESTRUCT => {
                begin!(SELFDESTRUCT);
                gas = attempt!(creation::self_destruct(scope, frame, gas, &item!(1)));
                break Exit::Return { offset: 0, len: 0 };
            }
            _ => halt!(Halt::UndefinedOpcode(opcode)),
        }
    };
    frame.pc = pc;
    frame.gas = gas;
    frame.stack_height = height;
    exit
}

/// An address as a word.
#[inline(always)]
fn word(address: &Address) -> U256 {
    address.into_word().into()
}

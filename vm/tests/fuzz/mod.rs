//! Random but mostly meaningful scenes for differential fuzzing: a world of contracts and a transaction.
//!
//! A scene is a pure function of its seed. Programs are lists of [`Piece`]s, which can be left out one by
//! one, so that a failing scene can be made small.

#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

pub mod generator;
pub mod scene;
pub mod shrink;

use alloy_primitives::U256;

/// A generator of pseudo-random numbers (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A word of the kinds that break arithmetic: small, near a power of two, near the ends, or anything.
    pub fn word(&mut self) -> U256 {
        let power = U256::from(1) << (self.below(256) as usize);
        match self.below(8) {
            0 | 1 => U256::from(self.below(5)),
            2 => U256::from(self.below(300)),
            3 => power,
            4 => power.wrapping_sub(U256::from(self.below(3))),
            5 => U256::MAX.wrapping_sub(U256::from(self.below(4))),
            6 => U256::from(self.next()),
            _ => U256::from_limbs(std::array::from_fn(|_| self.next())),
        }
    }
}

/// A part of a program that can be left out.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Instructions.
    Code(Vec<u8>),
    /// A body that runs a few times.
    Loop(u8, Vec<Piece>),
    /// A body that runs when the item on top of the stack is not zero.
    When(Vec<Piece>),
}

/// The code of a program that begins at `offset`.
pub fn compile(pieces: &[Piece], code: &mut Vec<u8>) {
    use synod_vm::opcode as op;
    for piece in pieces {
        match piece {
            Piece::Code(bytes) => code.extend_from_slice(bytes),
            Piece::Loop(times, body) => {
                code.extend_from_slice(&[op::PUSH1, *times]);
                let [high, low] = (code.len() as u16).to_be_bytes();
                code.push(op::JUMPDEST);
                compile(body, code);
                code.extend_from_slice(&[op::PUSH1, 1, op::SWAP1, op::SUB, op::DUP1]);
                code.extend_from_slice(&[op::PUSH2, high, low, op::JUMPI, op::POP]);
            }
            Piece::When(body) => {
                code.extend_from_slice(&[op::ISZERO, op::PUSH2, 0, 0]);
                let target = code.len() - 2;
                code.push(op::JUMPI);
                compile(body, code);
                let end = (code.len() as u16).to_be_bytes();
                code[target..target + 2].copy_from_slice(&end);
                code.push(op::JUMPDEST);
            }
        }
    }
}

//! Programs: mostly well-formed statements with operands at hand, a few wild ones.

use super::scene::{PEOPLE, contract};
use super::{Piece, Random, compile};
use alloy_primitives::{Address, U256};
use synod_vm::bench::assembler::push;
use synod_vm::opcode::{self as op, TABLE};

/// Writes one program.
pub struct Generator<'r> {
    random: &'r mut Random,
    /// Items that are surely on the stack here.
    height: u64,
    /// How deep init code may still be nested in init code.
    nesting: u8,
}

impl<'r> Generator<'r> {
    pub fn new(random: &'r mut Random, nesting: u8) -> Self {
        Self { random, height: 0, nesting }
    }

    pub fn program(&mut self) -> Vec<Piece> {
        let length = 2 + self.random.below(24);
        let mut pieces: Vec<_> = (0..length).map(|_| self.piece()).collect();
        pieces.push(Piece::Code(self.ending()));
        pieces
    }

    fn piece(&mut self) -> Piece {
        let before = self.height;
        match self.random.below(24) {
            0 => {
                let times = 1 + self.random.below(4) as u8;
                let body = self.body();
                self.height = before;
                Piece::Loop(times, body)
            }
            1 if self.height > 0 => {
                self.height -= 1;
                let before = self.height;
                let body = self.body();
                self.height = before;
                Piece::When(body)
            }
            _ => Piece::Code(self.statement()),
        }
    }

    /// Statements that leave the stack as they found it, so that a loop can count below them.
    fn body(&mut self) -> Vec<Piece> {
        let length = 1 + self.random.below(5);
        self.height = 0;
        let mut body: Vec<_> = (0..length).map(|_| Piece::Code(self.statement())).collect();
        body.push(Piece::Code(vec![op::POP; self.height as usize]));
        body
    }

    fn statement(&mut self) -> Vec<u8> {
        let mut code = Vec::new();
        match self.random.below(64) {
            0..=15 => self.arithmetic(&mut code),
            16..=20 => self.shuffle(&mut code),
            21..=25 => self.environment(&mut code),
            26..=34 => self.memory(&mut code),
            35..=41 => self.storage(&mut code),
            42..=43 => self.log(&mut code),
            44..=52 => self.call(&mut code),
            53..=55 => self.precompile(&mut code),
            56..=59 => self.create(&mut code),
            60 if self.random.one_in(3) => self.wild(&mut code),
            _ => self.push_value(&mut code),
        }
        code
    }

    fn push_word(&mut self, code: &mut Vec<u8>, value: U256) {
        // Sometimes longer than needed, so that every push length occurs.
        if self.random.one_in(8) {
            let bytes = value.to_be_bytes::<32>();
            let shortest = value.byte_len().max(1) as u64;
            let length = shortest + self.random.below(33 - shortest);
            code.push(op::PUSH0 + length as u8);
            code.extend_from_slice(&bytes[32 - length as usize..]);
        } else {
            push(code, value);
        }
        self.height += 1;
    }

    fn push_value(&mut self, code: &mut Vec<u8>) {
        let value = self.random.word();
        self.push_word(code, value);
    }

    fn push_small(&mut self, code: &mut Vec<u8>, bound: u64) {
        let value = U256::from(self.random.below(bound));
        self.push_word(code, value);
    }

    /// Emits an instruction, and counts what it does to the stack.
    fn emit(&mut self, code: &mut Vec<u8>, opcode: u8) {
        let row = TABLE[opcode as usize].unwrap();
        self.height = self.height.saturating_sub(u64::from(row.inputs)) + u64::from(row.outputs);
        code.push(opcode);
    }

    fn arithmetic(&mut self, code: &mut Vec<u8>) {
        let opcode = loop {
            let opcode = 1 + self.random.below(0x1d) as u8;
            if TABLE[opcode as usize].is_some() {
                break opcode;
            }
        };
        let inputs = u64::from(TABLE[opcode as usize].unwrap().inputs);
        let fresh = if self.random.one_in(2) { inputs } else { inputs.saturating_sub(self.height) };
        (0..fresh).for_each(|_| self.push_value(code));
        self.emit(code, opcode);
    }

    fn shuffle(&mut self, code: &mut Vec<u8>) {
        // A high stack now and then, so that the far DUPs and SWAPs occur.
        if self.random.one_in(12) {
            (0..self.random.below(20)).for_each(|_| self.push_small(code, 1_000));
        }
        match self.random.below(3) {
            0 if self.height > 0 => {
                let opcode = op::DUP1 + self.random.below(self.height.min(16)) as u8;
                self.emit(code, opcode);
            }
            1 if self.height > 1 => {
                let opcode = op::SWAP1 + self.random.below((self.height - 1).min(16)) as u8;
                self.emit(code, opcode);
            }
            2 if self.height > 2 => self.emit(code, op::POP),
            _ => self.push_value(code),
        }
    }

    fn environment(&mut self, code: &mut Vec<u8>) {
        let opcode = self.random.choose(&[
            op::ADDRESS,
            op::BALANCE,
            op::ORIGIN,
            op::CALLER,
            op::CALLVALUE,
            op::CALLDATALOAD,
            op::CALLDATASIZE,
            op::CODESIZE,
            op::GASPRICE,
            op::EXTCODESIZE,
            op::RETURNDATASIZE,
            op::EXTCODEHASH,
            op::BLOCKHASH,
            op::COINBASE,
            op::TIMESTAMP,
            op::NUMBER,
            op::PREVRANDAO,
            op::GASLIMIT,
            op::CHAINID,
            op::SELFBALANCE,
            op::BASEFEE,
            op::BLOBHASH,
            op::BLOBBASEFEE,
            op::PC,
            op::MSIZE,
            op::GAS,
            op::PUSH0,
            op::JUMPDEST,
        ]);
        match opcode {
            op::BALANCE | op::EXTCODESIZE | op::EXTCODEHASH => self.push_address(code),
            op::CALLDATALOAD => self.push_small(code, 80),
            op::BLOCKHASH => self.push_small(code, 1_010),
            op::BLOBHASH => self.push_small(code, 3),
            _ => {}
        }
        self.emit(code, opcode);
    }

    fn push_address(&mut self, code: &mut Vec<u8>) {
        let address = self.address();
        self.push_word(code, address.into_word().into());
    }

    fn address(&mut self) -> Address {
        match self.random.below(12) {
            0..=6 => contract(self.random.below(4)),
            7 | 8 => self.random.choose(&PEOPLE),
            9 => Address::with_last_byte(self.random.below(12) as u8),
            10 => Address::from_word(self.random.word().into()),
            // A contract that some creation of these scenes may have made.
            _ => contract(self.random.below(4)).create2([0; 32], alloy_primitives::KECCAK256_EMPTY),
        }
    }

    /// An offset or length: small as a rule, rarely one that no gas can pay for.
    fn push_extent(&mut self, code: &mut Vec<u8>, bound: u64) {
        if self.random.one_in(400) {
            self.push_value(code);
        } else {
            self.push_small(code, bound);
        }
    }

    fn memory(&mut self, code: &mut Vec<u8>) {
        let opcode = self.random.choose(&[
            op::MSTORE,
            op::MSTORE,
            op::MSTORE8,
            op::MLOAD,
            op::MCOPY,
            op::KECCAK256,
            op::CALLDATACOPY,
            op::CODECOPY,
            op::EXTCODECOPY,
            op::RETURNDATACOPY,
        ]);
        match opcode {
            op::MSTORE | op::MSTORE8 => self.push_value(code),
            op::MLOAD => {}
            op::RETURNDATACOPY if !self.random.one_in(6) => {
                self.emit(code, op::RETURNDATASIZE);
                self.push_small(code, 1);
            }
            op::RETURNDATACOPY => {
                self.push_small(code, 3);
                self.push_small(code, 3);
            }
            op::KECCAK256 => self.push_extent(code, 100),
            _ => {
                self.push_extent(code, 100);
                self.push_extent(code, 100);
            }
        }
        self.push_extent(code, 200);
        if opcode == op::EXTCODECOPY {
            self.push_address(code);
        }
        self.emit(code, opcode);
    }

    fn storage(&mut self, code: &mut Vec<u8>) {
        let opcode = self.random.choose(&[op::SLOAD, op::SSTORE, op::SSTORE, op::TLOAD, op::TSTORE]);
        if matches!(opcode, op::SSTORE | op::TSTORE) {
            if self.random.one_in(6) { self.push_value(code) } else { self.push_small(code, 3) }
        }
        if self.random.one_in(10) {
            self.push_value(code);
        } else {
            self.push_small(code, 4);
        }
        self.emit(code, opcode);
    }

    fn log(&mut self, code: &mut Vec<u8>) {
        let topics = self.random.below(5) as u8;
        (0..topics).for_each(|_| self.push_value(code));
        self.push_extent(code, 70);
        self.push_extent(code, 100);
        self.emit(code, op::LOG0 + topics);
    }

    fn call(&mut self, code: &mut Vec<u8>) {
        let opcode =
            self.random.choose(&[op::CALL, op::CALL, op::CALLCODE, op::DELEGATECALL, op::STATICCALL]);
        for _ in 0..2 {
            self.push_extent(code, 70);
            self.push_extent(code, 100);
        }
        if matches!(opcode, op::CALL | op::CALLCODE) {
            match self.random.below(4) {
                0 => self.push_small(code, 1_000),
                1 if self.random.one_in(4) => self.push_value(code),
                _ => self.push_small(code, 1),
            }
        }
        self.push_address(code);
        // Little gas as a rule: contracts that call each other would otherwise all end without any.
        match self.random.below(12) {
            0..=3 => self.push_small(code, 5_000),
            4..=9 => self.push_small(code, 80_000),
            10 => self.push_value(code),
            _ => self.emit(code, op::GAS),
        }
        self.emit(code, opcode);
    }

    /// A call of a precompiled contract with an input that may mean something to it.
    fn precompile(&mut self, code: &mut Vec<u8>) {
        // The slow ones have a test of their own, and are rare here.
        let number = match 1 + self.random.below(10) {
            1 | 7 | 8 if !self.random.one_in(8) => 4,
            number => number,
        };
        let (words, length): (Vec<U256>, u64) = match number {
            1 => (
                vec![
                    self.random.word(),
                    U256::from(26 + self.random.below(4)),
                    self.random.word(),
                    self.random.word(),
                ],
                128,
            ),
            5 => {
                let lengths = [self.random.below(40), self.random.below(40), self.random.below(40)];
                let mut words: Vec<_> = lengths.map(U256::from).to_vec();
                words.extend((0..4).map(|_| self.random.word()));
                (words, 96 + self.random.below(130))
            }
            6 => (
                vec![U256::from(1), U256::from(2), U256::from(1), U256::from(2)],
                self.random.choose(&[0, 64, 128, 127]),
            ),
            7 => (vec![U256::from(1), U256::from(2), self.random.word()], self.random.choose(&[64, 96, 100])),
            8 => (vec![U256::ZERO; 6], self.random.choose(&[0, 192, 191])),
            9 => {
                (vec![U256::from(self.random.below(20)) << 224, self.random.word(), self.random.word()], 213)
            }
            _ => (vec![self.random.word(), self.random.word()], self.random.below(100)),
        };
        for (n, word) in words.into_iter().enumerate() {
            self.push_word(code, word);
            self.push_word(code, U256::from(n * 32));
            self.emit(code, op::MSTORE);
        }
        self.push_small(code, 100);
        self.push_small(code, 300);
        self.push_word(code, U256::from(length));
        self.push_word(code, U256::ZERO);
        self.push_word(code, U256::from(number));
        if self.random.one_in(3) {
            self.push_small(code, 10_000);
        } else {
            self.emit(code, op::GAS);
        }
        self.emit(code, op::STATICCALL);
    }

    fn create(&mut self, code: &mut Vec<u8>) {
        let init_code = self.init_code();
        for (n, chunk) in init_code.chunks(32).enumerate() {
            let mut word = [0; 32];
            word[..chunk.len()].copy_from_slice(chunk);
            self.push_word(code, U256::from_be_bytes(word));
            self.push_word(code, U256::from(n * 32));
            self.emit(code, op::MSTORE);
        }
        let opcode = self.random.choose(&[op::CREATE, op::CREATE2]);
        if opcode == op::CREATE2 {
            self.push_small(code, 2);
        }
        self.push_word(code, U256::from(init_code.len()));
        self.push_small(code, 2);
        let value = if self.random.one_in(3) { 100 } else { 1 };
        self.push_small(code, value);
        self.emit(code, opcode);
        // Calling it tells more about it.
        if self.random.one_in(2) {
            for _ in 0..5 {
                self.push_word(code, U256::ZERO);
            }
            self.emit(code, op::DUP1 + 5);
            self.emit(code, op::GAS);
            self.emit(code, op::CALL);
        }
    }

    fn init_code(&mut self) -> Vec<u8> {
        if self.nesting == 0 || self.random.one_in(4) {
            // Returns the code that is behind it, or nothing, or too much, or what begins with 0xEF.
            let last = self.random.choose(&[0x00, 0x5b, 0xef, 0xff, 0x3d]);
            let length = self.random.choose(&[0u8, 1, 2, 40]);
            return vec![op::PUSH1, last, op::PUSH0, op::MSTORE8, op::PUSH1, length, op::PUSH0, op::RETURN];
        }
        let pieces = Generator::new(self.random, self.nesting - 1).program();
        let mut code = Vec::new();
        compile(&pieces, &mut code);
        code.truncate(600);
        code
    }

    /// Any bytes: undefined instructions, cut push data, jumps to nowhere.
    fn wild(&mut self, code: &mut Vec<u8>) {
        match self.random.below(4) {
            0 => code.push(self.random.next() as u8),
            1 => {
                self.push_small(code, 300);
                self.emit(code, op::JUMP);
            }
            2 => {
                self.push_address(code);
                self.emit(code, op::SELFDESTRUCT);
            }
            _ => (0..self.random.below(6)).for_each(|_| code.push(self.random.next() as u8)),
        }
    }

    fn ending(&mut self) -> Vec<u8> {
        let mut code = Vec::new();
        match self.random.below(12) {
            0 => self.emit(&mut code, op::STOP),
            1 => self.emit(&mut code, op::INVALID),
            2 | 3 => {
                self.push_address(&mut code);
                self.emit(&mut code, op::SELFDESTRUCT);
            }
            4 | 5 => {
                self.push_small(&mut code, 70);
                self.push_small(&mut code, 70);
                self.emit(&mut code, op::REVERT);
            }
            6 => {}
            _ => {
                self.push_extent(&mut code, 70);
                self.push_small(&mut code, 70);
                self.emit(&mut code, op::RETURN);
            }
        }
        code
    }
}

//! Calls of the example contracts: a token's transfer, and a swap of two tokens.

use super::{CALLER, Program, block, call, world};
use crate::machine::Status;
use crate::transaction::{Transaction, Vm};
use crate::world::World;
use alloy_primitives::{Address, Bytes, U256, keccak256};

/// The artifact of the example token.
pub const TOKEN: &str = include_str!("../../contracts/out/Token.json");
const EXCHANGE: &str = include_str!("../../contracts/out/Exchange.json");

pub(super) fn programs() -> Vec<Program> {
    vec![transfer(), swap()]
}

/// What creates the example token with a supply of so many whole tokens.
pub fn token_data(supply: u64) -> Bytes {
    // Two strings of a few letters: their places, then length and letters each.
    let text = |text: &str| [word(text.len() as u64).to_vec(), padded(text)].concat();
    let head = [word(96), word(160), word(supply)].concat();
    [creation(TOKEN), head, text("Gold"), text("GLD")].concat().into()
}

/// The call data of a token's `transfer`.
pub fn transfer_data(to: Address, value: u64) -> Bytes {
    method("transfer(address,uint256)", &[address(to), word(value)])
}

fn transfer() -> Program {
    let mut stage = Stage::default();
    let token = stage.create(token_data(1_000_000));
    let holder = Address::with_last_byte(0x70);
    // The first transfer fills the holder's slot: what is measured is the common case.
    stage.run(Some(token), transfer_data(holder, 5));
    stage.program("erc-20 transfer", token, transfer_data(holder, 1_000))
}

fn swap() -> Program {
    let mut stage = Stage::default();
    let (gold, silver) = (stage.create(token_data(1_000_000)), stage.create(token_data(1_000_000)));
    let init = [creation(EXCHANGE), address(gold).to_vec(), address(silver).to_vec()].concat();
    let exchange = stage.create(init.into());
    for token in [gold, silver] {
        let everything = U256::MAX.to_be_bytes::<32>();
        stage.run(Some(token), method("approve(address,uint256)", &[address(exchange), everything]));
    }
    let provide = method("provide(uint256,uint256,uint256)", &[word(1 << 40), word(1 << 42), word(1)]);
    stage.run(Some(exchange), provide);
    let swap = method("swap(address,uint256,uint256)", &[address(gold), word(1_000_000), word(1)]);
    stage.program("swap of two tokens", exchange, swap)
}

/// A world in which one sender sets things up.
struct Stage {
    world: World,
    vm: Vm,
}

impl Default for Stage {
    fn default() -> Self {
        Self { world: world(), vm: Vm::new() }
    }
}

impl Stage {
    fn run(&mut self, to: Option<Address>, data: Bytes) -> Option<Address> {
        let transaction = Transaction { to, gas_limit: 30_000_000, ..self.calling(CALLER, data) };
        let execution = self.vm.execute(&self.world, &block(), &transaction).unwrap();
        assert_eq!(execution.status, Status::Success, "{}", execution.output);
        self.world.apply(&execution.diff);
        execution.created
    }

    fn create(&mut self, data: Bytes) -> Address {
        self.run(None, data).unwrap()
    }

    fn calling(&self, to: Address, data: Bytes) -> Transaction {
        Transaction { nonce: self.world.accounts[&CALLER].nonce, ..call(to, data) }
    }

    fn program(self, name: &str, to: Address, data: Bytes) -> Program {
        let transaction = self.calling(to, data);
        Program { name: name.to_owned(), world: self.world, block: block(), transaction }
    }
}

fn creation(artifact: &str) -> Vec<u8> {
    let json: serde_json::Value = serde_json::from_str(artifact).unwrap();
    alloy_primitives::hex::decode(json["bytecode"]["object"].as_str().unwrap()).unwrap()
}

fn method(signature: &str, arguments: &[[u8; 32]]) -> Bytes {
    [&keccak256(signature)[..4], &arguments.concat()].concat().into()
}

fn word(number: u64) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

fn address(address: Address) -> [u8; 32] {
    address.into_word().0
}

fn padded(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    bytes
}

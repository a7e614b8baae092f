//! Programs to measure a machine with, and revm to measure it beside.
//!
//! Nothing here reads a clock: whoever measures does. With the feature `beside-revm` there is `revm`, which
//! runs the same code and inputs; it is an oracle for tests and benches, and in no shipped build.

#![allow(
    clippy::unwrap_used,
    reason = "constant programs, and tests' oracle: what fails here is a wrong line here"
)]

pub mod assembler;
mod contracts;
mod loops;
mod measure;
#[cfg(feature = "beside-revm")]
pub mod revm;

use crate::fork::FORK;
use crate::state_test::{self, FixtureError};
use crate::transaction::{Block, Transaction};
use crate::world::World;
use alloy_primitives::{Address, Bytes, U256};
use serde_json::Value;

pub use contracts::{TOKEN, token_data, transfer_data};
pub use measure::{Measured, geometric_mean, measure};

/// One program with its inputs.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// The state before.
    pub world: World,
    /// The block.
    pub block: Block,
    /// The transaction that is measured.
    pub transaction: Transaction,
}

/// Our own programs: loops over one kind of instruction each, and calls of the example contracts.
pub fn programs() -> Vec<Program> {
    let mut all = loops::programs();
    all.extend(contracts::programs());
    all
}

/// The programs in a file of state tests, whatever fork they are listed for: only code and inputs count.
///
/// # Errors
/// A [`FixtureError`] when the text is none.
pub fn official(stem: &str, text: &str) -> Result<Vec<Program>, FixtureError> {
    let mut json: Value = serde_json::from_str(text).unwrap_or_default();
    for test in json.as_object_mut().into_iter().flat_map(|tests| tests.values_mut()) {
        let Some(posts) = test["post"].as_object_mut() else { continue };
        if let Some(cases) = posts.values().next().cloned() {
            posts.insert(FORK.name.to_owned(), cases);
        }
    }
    let cases = state_test::cases(&json.to_string())?;
    let program = |case: state_test::Case| {
        let block = Block { blob_base_fee: U256::ONE, ..case.block };
        let name = format!("{stem} {}", case.index);
        Some(Program { name, world: case.pre, block, transaction: case.transaction? })
    };
    Ok(cases.into_iter().filter_map(program).collect())
}

const CALLER: Address = Address::with_last_byte(0xca);
const CONTRACT: Address = Address::with_last_byte(0xc0);

fn world() -> World {
    let mut world = World::default();
    world.insert(CALLER, U256::MAX >> 64, 0, Bytes::new(), []);
    world
}

fn block() -> Block {
    Block {
        gas_limit: 1 << 40,
        coinbase: Address::with_last_byte(0xcb),
        chain_id: 1,
        blob_base_fee: U256::ONE,
        ..Default::default()
    }
}

fn call(to: Address, data: Bytes) -> Transaction {
    Transaction { sender: CALLER, to: Some(to), data, gas_limit: 1 << 36, ..Default::default() }
}

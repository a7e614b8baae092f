//! Synod's virtual machine: a small EVM, fork Cancun, that knows state only through a [`Host`].
//!
//! A pure function: host, block and transaction in, [`Execution`] out, with every change to the state as
//! a value ([`StateDiff`]) that the ledger applies. No clock, no I/O, no threads, no hash-map order.
//!
//! Where to find things:
//! - [`opcode`]: the table of instructions; `interpreter` runs them (`interpreter/storage.rs` has `SSTORE`);
//! - [`gas`]: the schedule; [`fork`]: limits that differ between forks, and the choice of one;
//! - `machine`: frames on an explicit stack; `journal`: state with undo; `memory`: one buffer for all;
//! - [`transaction`]: checks, gas bought and refunded, fees; `eth_call` and estimation;
//! - [`precompile`], [`tracer`], and with the feature `state-tests` the runner of the official tests;
//! - `contracts/` (beside `src/`): example contracts in Solidity; with the feature `bench` programs to measure.
//!
//! ```
//! use alloy_primitives::{Address, U256, bytes};
//! use synod_vm::{Block, Status, Transaction, Vm, World};
//!
//! let mut world = World::default();
//! let (alice, contract) = (Address::with_last_byte(0xa1), Address::with_last_byte(0xc0));
//! world.insert(alice, U256::from(1_000_000_000u64), 0, Default::default(), []);
//! // PUSH1 2, PUSH1 3, ADD, PUSH0, SSTORE
//! world.insert(contract, U256::ZERO, 1, bytes!("60026003015f55"), []);
//!
//! let block = Block { gas_limit: 30_000_000, ..Default::default() };
//! let call = Transaction { sender: alice, to: Some(contract), gas_limit: 100_000, ..Default::default() };
//! let execution = Vm::new().execute(&world, &block, &call).expect("alice can pay");
//! assert_eq!(execution.status, Status::Success);
//! world.apply(&execution.diff);
//! assert_eq!(world.storage[&contract][&U256::ZERO], U256::from(5));
//! ```

#![forbid(unsafe_code)]

#[cfg(feature = "bench")]
pub mod bench;
pub mod code;
pub mod fork;
pub mod gas;
pub mod opcode;
pub mod precompile;
#[cfg(feature = "state-tests")]
pub mod state_test;
pub mod tracer;
pub mod transaction;

mod diff;
mod frame;
mod halt;
mod host;
mod interpreter;
mod journal;
mod machine;
mod memory;
mod world;

pub use diff::{AccountDiff, StateDiff};
pub use halt::Halt;
pub use host::{Account, Host};
pub use interpreter::create_address;
pub use machine::Status;
pub use transaction::{Blobs, Block, Burnt, Estimate, Execution, Refusal, Transaction, Vm};
pub use world::World;

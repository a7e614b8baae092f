//! Many nodes on one machine: a network's genesis, keys, ports and folders, its processes, and what can be
//! done to them: stop, kill, cut off, load.
//!
//! - [`plan`]: what a network will be, before anything is written.
//! - [`folder`]: its files, `endpoints.json` among them.
//! - [`process`]: one node as a process.
//! - [`network`]: commands on all of them, as `synod testnet` gives them.
//! - [`proxy`]: the process that links run through when they are to be cut.
//! - [`accounts`]: the accounts that every test network funds.
//! - [`simulation`]: whole nodes in the simulator, on simulated disks.
//! - [`client`], [`load`], [`soak`]: transfers from outside, kills under load, and what must not be forgotten.

pub mod accounts;
pub mod client;
pub mod error;
pub mod folder;
pub mod load;
pub mod network;
pub mod plan;
pub mod process;
pub mod proxy;
pub mod simulation;
pub mod soak;

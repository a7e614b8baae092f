//! A node: the drivers around the pure parts.
//!
//! - [`config`], [`home`], [`identity`], [`keyfile`], [`logging`]: what one node is told, its folder, its
//!   key, its log.
//! - [`driver`]: the threads that own ordering and the ledger, and everything that hangs on them.
//! - [`network`]: libp2p, behind types of our own. [`mempool`]: what waits for a block. [`miner`]: the search.
//! - [`rpc`], [`getwork`], [`web`]: what clients, miners, scripts and monitors see.
//! - [`run`]: a node as a process. [`ports`]: where nodes of a bench or a test listen.

pub mod config;
pub mod driver;
pub mod getwork;
pub mod home;
pub mod identity;
pub mod keyfile;
pub mod logging;
pub mod mempool;
pub mod miner;
pub mod network;
pub mod ports;
pub mod rpc;
pub mod run;
#[cfg(test)]
mod testing;
pub mod web;

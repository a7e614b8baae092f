//! The crate page.

pub mod config;
pub mod home;
pub mod logging;
pub mod mempool;
pub mod miner;
pub mod network;
pub mod rpc;
pub mod web;

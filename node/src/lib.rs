//! The crate page.

pub mod config;
pub mod home;
pub mod logging;
pub mod network;
pub mod rpc;

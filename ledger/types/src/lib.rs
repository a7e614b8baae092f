//! The shared vocabulary of Synod.

pub mod mutant;

pub use alloy_primitives::{Address, B256, Bloom, Bytes, U256};

//! The ledger: accounts and their history, from payloads that an ordering decided to durable blocks with a
//! state root.
//!
//! - [`execution`]: what a block does, as a pure function of parent and payload.
//! - [`state`]: accounts at the tip and at each recent block, shared with readers.
//! - [`trie`]: the state tree, its root, and proofs that are checked offline.
//! - [`log`] and [`disk`]: the block log, which is the truth, over real and simulated disks.

pub mod disk;
pub mod execution;
pub mod log;
pub mod state;
pub mod trie;

//! The shared vocabulary of Synod: what every crate above this one means by a hash, a key, an address, an
//! amount, a transaction, a block and a genesis, and the one way in which they become bytes.
//!
//! Nothing here does I/O, reads a clock, draws a random number or starts a thread.
//!
//! - [`codec`]: bytes. One bincode configuration, bounded, canonical, without trailing bytes.
//! - [`hash`]: SHA-256, domain tags, the domain-separated Merkle root of a list.
//! - [`keys`], [`signature`]: ed25519 keys, signing, and the one ZIP-215 verification rule.
//! - [`address`], [`amount`]: how accounts and money are written and read by people.
//! - [`transaction`], [`receipt`], [`block`], [`genesis`]: the ledger's nouns.
//! - [`committee`]: who orders, by epoch, and how one committee follows another.
//! - [`number`]: newtypes for heights, slots, epochs, gas, times.
//! - [`hostile`]: what every crate's hostile-input tests make their inputs from.

pub mod address;
pub mod amount;
pub mod block;
pub mod codec;
pub mod committee;
pub mod genesis;
pub mod hash;
pub mod hostile;
pub mod keys;
pub mod mutant;
pub mod number;
pub mod receipt;
pub mod signature;
pub mod transaction;

pub use alloy_primitives::{Address, B256, Bloom, Bytes, U256};
pub use block::{Block, BlockHash, Commitment, Header, Payload};
pub use genesis::Genesis;
pub use keys::{PublicKey, SecretKey};
pub use number::{Epoch, Gas, Height, Position, Slot, UnixMillis};
pub use receipt::{Log, Receipt};
pub use signature::Signature;
pub use transaction::{NativeTransaction, SignedNative, Transaction, TransactionId, VerifiedTransaction};

//! The ledger: accounts and their history, from payloads that an ordering decided to durable blocks with a
//! state root.
//!
//! - [`chain`]: [`Ledger`], which owns all of it: append, rewind, build, commit, prove; [`open`] starts it.
//! - [`reader`]: [`Reader`], what other threads see: blocks, receipts, the state at recent heights.
//! - [`verify`]: signatures, checked once, at the door.
//! - [`execution`]: what a block does, as a pure function of parent and payload.
//! - `epochs`: the committees of a chain, one after the other.
//! - [`state`]: accounts at the tip and at each recent block, shared with readers.
//! - [`call`]: calls and traces on the state of a recent block.
//! - [`logs`]: events of contracts over a range of blocks.
//! - [`trie`]: the state tree and its root; [`prove`]: proofs that are checked offline.
//! - [`log`] and [`disk`]: the block log, which is the truth, over real and simulated disks; [`history`]: what
//!   the ledger asks of it.
//! - [`snapshot`]: a whole state in proven parts, for those who were not there.
//! - `index` and `store`: checkpoints and look-ups behind the log, in sled.
//! - [`mod@bench`]: figures; [`testing`]: what tests and benches make their chains from; [`hostile`]: what
//!   hostile-input tests measure with.

pub mod bench;
mod beside;
pub mod call;
pub mod chain;
pub mod disk;
#[cfg(feature = "mutants")]
pub mod drills;
mod epochs;
pub mod execution;
pub mod history;
pub mod hostile;
mod index;
pub mod log;
pub mod logs;
pub mod open;
pub mod prove;
pub mod reader;
mod recent;
pub mod snapshot;
pub mod state;
mod store;
pub mod testing;
pub mod trie;
pub mod verify;

pub use call::{At, Bounds, CallError, Watched};
pub use chain::{AppendError, Built, Extended, Ledger, Refused, RewindError, Rewound};
pub use epochs::EpochEnd;
pub use history::{BlockHistory, HistoryError, LoggedHistory, MemoryHistory};
pub use open::{IndexFound, OpenError, OpenReport, Options};
pub use prove::AccountProof;
pub use reader::{HistoryEntry, Located, NoState, Reader};
pub use recent::{Executed, Included};
pub use store::{Alarm, StoreError};
pub use verify::{Door, VerifiedCache};

//! A node: the pure parts, and the threads and tasks that run them.
//!
//! ```text
//!              network ──► wire ──► ordering ◄──► execution ◄── RPC
//!                 ▲                    │   ▲           │
//!                 └──── effects ───────┘   └── miner   └──► chain (readers), pool
//! ```
//!
//! - `ordering`: the thread that owns the replica. `wire`: bytes to checked messages and back.
//! - `execution`: the thread that owns the ledger. `history`, `records`: its disks.
//! - `mined`: a node under proof of work. `committee`: a node that a committee orders.
//! - `door`: the pool's door. `mining`, `templates`: the node's own miner, and outside ones.
//! - `chain`, `backend`: what readers and RPC see.
//! - `repair`: what comes first when the block log is damaged. `stop`: how it ends.

mod backend;
mod chain;
mod clock;
mod committee;
mod contracts;
mod door;
mod execution;
mod history;
mod metrics;
mod mined;
mod mining;
mod ordering;
mod outlet;
mod peers;
mod records;
mod refusals;
mod repair;
mod start;
mod stop;
mod templates;
mod views;
mod wire;

pub use committee::{
    MemberMemory, OpaqueMember, begin_member, check_payload, member_memory, ordered_log, payload_of,
    payload_room, proposal_of,
};
pub use history::SharedBlocks;
pub use ordering::RecordJournal;
pub use records::{DiskRecords, RecordsError};
pub use start::{Node, NodeError};
pub use stop::Reason;

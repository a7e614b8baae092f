//! A node that a committee orders: the drivers around [`synod_consensus::agreement`].
//!
//! ```text
//!   network ──► wire ──► ordering ◄──► execution ──► certificates
//!      ▲          │          │             ▲
//!      └── outlet ◄──────────┘             └── fetch (blocks up to a certificate, from peers)
//! ```
//!
//! - `members`: which peer speaks for which member, by a signature over the network, the epoch and the peer.
//! - `wire`: bytes to checked messages and back; signatures are checked here, off the ordering thread.
//! - `execution`: decided payloads become blocks, and the pool's transactions become payloads (`payload`).
//! - `epoch`: the committee of the moment, shared by all of these; `begin`: how an epoch begins; `memory`: what
//!   a member remembers of its promises.
//! - `evidence`: what members did wrong, on disk.
//! - `opaque`: a member that orders bytes and executes nothing, to measure what the ordering alone carries.
//! - `reads`: from which height on a read misses nothing that was final.
//! - `certificates`: what proves that blocks are final. `fetch`: blocks from peers, and for them.
//! - `snapshots`: the state for those who were not there, made here; `take`: taken from peers; `proof`: that its
//!   block is final.

mod begin;
mod certificates;
mod epoch;
mod evidence;
mod execution;
mod fetch;
#[cfg(test)]
mod fixture;
mod members;
mod memory;
mod opaque;
mod outlet;
mod payload;
mod proof;
mod reads;
mod side;
mod snapshots;
mod start;
mod take;
mod wire;

pub use memory::{MemberMemory, begin_member, member_memory};
pub use opaque::{OpaqueMember, ordered_log};
pub use payload::{check_payload, payload_of, payload_room, proposal_of};
pub(super) use side::CommitteeSide;
pub(super) use start::{of, start};

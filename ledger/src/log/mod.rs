//! The logs: what this node has promised and what it has delivered, on disk before anyone hears of it.
//!
//! - [`FrameLog`]: a chain of checksummed frames in preallocated segments. One group commit is one frame, at
//!   most one frame is unsynced at any time, and a commit is one write and one `fdatasync` in place (STO-1).
//! - [`blocks::BlockLog`]: the deliveries (blocks appended, rewinds) over a frame log; the truth that the ledger's
//!   state is derived from.
//! - [`journal::Journal`]: the votes and promises over a frame log; never taken for empty when it is missing, older
//!   than it was, or damaged (GEN-3).
//!
//! **Durable means [`Durable`]**: only a log makes one, after its sync has returned. What a step wants to say
//! is opened with it (GEN-1). A failed write or sync stops the log for good: every later call answers
//! [`LogError::Stopped`], and only a restart, which reads what really is on the disk, goes on (GEN-4).
//!
//! **At boot** every frame is read and checked. A bad frame that a later one chains past is damage, since the
//! later one was written only after the bad one was synced: the log is [`Opened::Damaged`], says where, serves
//! the rest, and takes the right payload from elsewhere when the hash chain confirms it. Anything else that is
//! bad is a torn tail that nobody was told about: it is zeroed, synced, and reported.

pub mod bench;
pub mod blocks;
mod divide;
mod error;
mod frames;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod hostile_tests;
pub mod journal;
mod layout;
mod marker;
mod open;
mod place;
mod repair;
mod scan;
mod segment;

pub use error::LogError;
pub use frames::FrameLog;
pub use open::{Opened, create, open, open_with};
pub use repair::{Damage, DamagedLog};
pub use scan::{Report, TornTail};

use std::fmt;

/// The number of a frame in its log, from 1. 0 stands before the first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FrameNumber(pub u64);

impl FrameNumber {
    /// The number after this one. A log cannot be written long enough to reach the end of the range.
    fn next(self) -> Self {
        FrameNumber(self.0.saturating_add(1))
    }
}

impl fmt::Display for FrameNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Proof that a log holds a frame, and all before it, through a power cut. Only a log makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Durable {
    through: FrameNumber,
}

impl Durable {
    /// The last durable frame.
    pub fn through(self) -> FrameNumber {
        self.through
    }

    /// Whether this proof is good for `frame`.
    pub fn covers(self, frame: FrameNumber) -> bool {
        frame <= self.through
    }
}

/// 16 unpredictable bytes from the caller: without them nobody can place bytes in a payload that would
/// read as a frame of this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

/// Which log a file belongs to; files of another kind are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// Deliveries.
    Blocks,
    /// Votes and promises.
    Votes,
}

impl LogKind {
    fn code(self) -> u32 {
        match self {
            LogKind::Blocks => 1,
            LogKind::Votes => 2,
        }
    }
}

impl fmt::Display for LogKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            LogKind::Blocks => "block log",
            LogKind::Votes => "votes log",
        })
    }
}

/// How a log is laid out and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// Which log it is.
    pub kind: LogKind,
    /// Bytes of a new segment; rounded up to whole sectors and held between 16 KiB and 1 GiB. A frame fits
    /// into one segment, so this bounds a group commit too.
    pub segment_bytes: u32,
    /// Zeros written and synced in one step while the next segment is prepared.
    pub step_bytes: u32,
    /// Trimmed segments that are kept to become new ones: their room is written already, once with zeros and often
    /// with frames. 0 for a log that is never trimmed.
    pub keeps: usize,
    /// Fresh random bytes for the segments that this opening of the log makes.
    pub salt: Salt,
}

impl LogOptions {
    /// The node's block log: 16 MiB segments prepared by the mebibyte.
    pub fn blocks(salt: Salt) -> Self {
        LogOptions { kind: LogKind::Blocks, segment_bytes: 16 << 20, step_bytes: 1 << 20, keeps: 0, salt }
    }

    /// The node's votes log: the same, since it carries payloads that were voted for; it is trimmed all the while.
    pub fn votes(salt: Salt) -> Self {
        LogOptions { kind: LogKind::Votes, keeps: 4, ..Self::blocks(salt) }
    }
}

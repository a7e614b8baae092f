//! The journal's side of "persist before send" (GEN-1): frames, and the proof that a frame is durable.
//!
//! The replica numbers frames; a journal writes one frame at a time and syncs it (STO-1: one group commit is
//! one frame, and all records of one step are in one frame). A [`Durable`] opens sealed effects. It can be
//! made only out of a [`Journal`], and what a journal reports through that trait is a promise about a power
//! cut: the node's log on a disk and the simulator's model of one implement it, and nothing else should.

use serde::{Deserialize, Serialize};

/// A frame's number: the first is 1, each next one is one more. 0 means "nothing yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FrameNumber(pub u64);

impl FrameNumber {
    /// The number after this one.
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("a journal never reaches 2^64 frames"))
    }
}

/// The records of one or more whole steps, to be written and synced together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<R> {
    /// Its number.
    pub number: FrameNumber,
    /// The steps' records, in order.
    pub records: Vec<R>,
    /// The records stand alone: once this frame is durable, the journal may drop all frames before it.
    pub restates: bool,
}

/// Something that keeps frames over a power cut.
pub trait Journal {
    /// The last frame that, with all frames before it, would be read back after a power cut at this moment:
    /// it was written, and a sync that covers it returned without an error. A journal whose sync failed
    /// once must never count that frame, nor a later one (GEN-4: the page cache may have dropped it).
    fn durable_through(&self) -> FrameNumber;
}

/// Proof that every frame up to a number is durable.
#[derive(Debug, PartialEq, Eq)]
pub struct Durable {
    through: FrameNumber,
}

impl Durable {
    /// What `journal` can prove now.
    pub fn proven_by<J: Journal + ?Sized>(journal: &J) -> Self {
        Self { through: journal.durable_through() }
    }

    /// The last frame that it covers.
    pub fn through(&self) -> FrameNumber {
        self.through
    }
}

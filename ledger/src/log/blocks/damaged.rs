//! A block log with damage in its middle: which blocks are lost, and how they come back.
//!
//! The frame before a damaged run tells where the chain stood, the frame behind it names its first block's
//! parent. If as many frames are lost as there are heights between, each held one block, and any peer has
//! them. The repair is checked by the frames' chain of hashes, so that a peer cannot lie.

use std::ops::Range;

use synod_types::{BlockHash, Height};

use super::record::{Record, Tip, encode_all};
use super::{BlockLog, BlockLogError, OpenedBlocks};
use crate::disk::Disk;
use crate::log::{DamagedLog, FrameNumber, LogOptions, Opened, Report};

/// A run of damaged frames, in terms of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostBlocks {
    /// The first damaged frame.
    pub first: FrameNumber,
    /// How many frames are damaged.
    pub frames: u64,
    /// The segment and the byte at which the damage begins.
    pub at: (u32, u64),
    /// The chain's tip before the run; `None` at the start of the log.
    pub after: Option<Tip>,
    /// The block on which the log goes on behind the run, when the next frame starts with a block.
    pub up_to: Option<Tip>,
}

impl LostBlocks {
    /// The heights to ask peers for, down from [`LostBlocks::up_to`], when each lost frame held one block.
    pub fn heights(&self) -> Option<Range<Height>> {
        let end = self.up_to?.height.next()?;
        let start = self.after.map_or(end.0.checked_sub(self.frames)?, |tip| tip.height.0.saturating_add(1));
        (end.0.checked_sub(start)? == self.frames).then_some(Height(start)..end)
    }
}

/// A block log that waits for repair. It serves no block and takes none.
#[derive(Debug)]
pub struct DamagedBlockLog<D: Disk> {
    log: DamagedLog<D>,
    lost: Vec<LostBlocks>,
}

impl<D: Disk> DamagedBlockLog<D> {
    pub(super) fn new(log: DamagedLog<D>) -> Result<Self, BlockLogError> {
        let mut lost = Vec::new();
        for damage in log.damage() {
            let before = FrameNumber(damage.first.0 - 1);
            let behind = FrameNumber(damage.first.0 + damage.frames);
            let after = records(&log, before)?.and_then(|tips| tips.last().map(|(_, tip)| *tip));
            let next = records(&log, behind)?.and_then(|tips| tips.first().copied());
            lost.push(LostBlocks {
                first: damage.first,
                frames: damage.frames,
                at: (damage.segment, damage.offset),
                after,
                up_to: next.and_then(|(parent, tip)| {
                    Some(Tip { height: Height(tip.height.0.checked_sub(1)?), hash: parent? })
                }),
            });
        }
        Ok(DamagedBlockLog { log, lost })
    }

    /// What is still lost, in the order of the log.
    pub fn lost(&self) -> &[LostBlocks] {
        &self.lost
    }

    /// What opening the log found besides.
    pub fn report(&self) -> &Report {
        self.log.report()
    }

    /// Writes the records of a lost run back, one slice of records for each frame.
    ///
    /// # Errors
    /// [`crate::log::LogError::WrongRepair`] unless the chain of hashes confirms every byte; nothing is written then.
    pub fn repair(&mut self, first: FrameNumber, frames: &[&[Record<'_>]]) -> Result<(), BlockLogError> {
        let payloads: Vec<Vec<u8>> = frames.iter().map(|records| encode_all(records)).collect();
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        self.log.repair(first, &slices)?;
        self.lost.retain(|lost| lost.first != first);
        Ok(())
    }

    /// Reads the log again: whole when everything was repaired.
    pub fn reopen(self, options: LogOptions) -> Result<OpenedBlocks<D>, BlockLogError> {
        BlockLog::open_existing(self.log.into_disk(), options)
    }

    /// Gives up the first damaged frame and everything behind it, when no peer can rebuild it. What was
    /// acknowledged since comes back by sync, or not at all: the operator's decision, never the node's.
    pub fn discard_from_damage(self, options: LogOptions) -> Result<OpenedBlocks<D>, BlockLogError> {
        match self.log.discard_from_damage()? {
            Opened::Whole(frames, _) => BlockLog::open_existing(frames.into_disk(), options),
            Opened::Damaged(log) => BlockLog::open_existing(log.into_disk(), options),
        }
    }
}

/// The tips of a good frame's records, with the parents of appended blocks; `None` for no such frame.
type Tips = Vec<(Option<BlockHash>, Tip)>;

fn records<D: Disk>(log: &DamagedLog<D>, frame: FrameNumber) -> Result<Option<Tips>, BlockLogError> {
    let Ok(payload) = log.read(frame) else { return Ok(None) };
    let records = Record::decode_all(&payload).ok_or(BlockLogError::Undecodable { frame })?;
    let parent = |record: &Record<'_>| match record {
        Record::Appended { parent, .. } => Some(*parent),
        _ => None,
    };
    Ok(Some(records.iter().map(|(_, record)| (parent(record), record.tip())).collect()))
}

//! A block log with damage in its middle: which blocks are lost, and how they come back.
//!
//! The frame before a damaged run tells where the chain stood, the frame behind it names its first block's
//! parent. Every good frame's blocks are known by hash here, so that the chain below the last good tip can be
//! followed down to the first block that is lost ([`super::lost`]). The repair is checked by hashes alone, so
//! that a peer cannot lie.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use synod_types::{BlockHash, Height};

use super::record::{Record, Tip, encode_all};
use super::{BlockLog, BlockLogError, OpenedBlocks, StoredBlock};
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
    held: BTreeMap<BlockHash, Held>,
    /// Blocks that the log never had: those on which a snapshot or a trim let it begin.
    bases: BTreeSet<BlockHash>,
    tip: Option<Tip>,
}

/// A block in a good frame.
#[derive(Debug, Clone, Copy)]
struct Held {
    parent: BlockHash,
    frame: FrameNumber,
    /// The record's first byte in the payload.
    at: usize,
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
        let mut damaged =
            DamagedBlockLog { log, lost, held: BTreeMap::new(), bases: BTreeSet::new(), tip: None };
        damaged.take_stock()?;
        Ok(damaged)
    }

    /// What is still lost, in the order of the log.
    pub fn lost(&self) -> &[LostBlocks] {
        &self.lost
    }

    /// What opening the log found besides.
    pub fn report(&self) -> &Report {
        self.log.report()
    }

    /// Where the chain stands after the last good frame; `None` when no frame is good.
    pub fn tip(&self) -> Option<Tip> {
        self.tip
    }

    /// Writes the records of a lost run back, one slice of records for each frame.
    ///
    /// # Errors
    /// [`crate::log::LogError::WrongRepair`] unless the chain of hashes confirms every byte; nothing is written then.
    pub fn repair(&mut self, first: FrameNumber, frames: &[&[Record<'_>]]) -> Result<(), BlockLogError> {
        let payloads: Vec<Vec<u8>> = frames.iter().map(|records| encode_all(records)).collect();
        self.write_back(first, &payloads)
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

    pub(super) fn frames(&self) -> &DamagedLog<D> {
        &self.log
    }

    pub(super) fn write_back(
        &mut self,
        first: FrameNumber,
        payloads: &[Vec<u8>],
    ) -> Result<(), BlockLogError> {
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        self.log.repair(first, &slices)?;
        self.lost.retain(|lost| lost.first != first);
        Ok(())
    }

    /// The block below one that a good frame holds.
    pub(super) fn held_below(&self, tip: Tip) -> Option<Tip> {
        let height = Height(tip.height.0.checked_sub(1)?);
        self.held.get(&tip.hash).map(|held| Tip { height, hash: held.parent })
    }

    /// Whether the log never held this block nor any below it: the genesis block, or a snapshot's.
    pub(super) fn is_base(&self, tip: Tip) -> bool {
        tip.height == Height(0) || self.is_snapshot(tip)
    }

    pub(super) fn is_snapshot(&self, tip: Tip) -> bool {
        self.bases.contains(&tip.hash)
    }

    /// A block of a good frame.
    pub(super) fn held(&self, hash: BlockHash) -> Result<Option<StoredBlock>, BlockLogError> {
        let Some(held) = self.held.get(&hash) else { return Ok(None) };
        let payload = self.log.read(held.frame)?;
        match payload.get(held.at..).and_then(Record::decode) {
            Some((Record::Appended { block, parent, bytes }, _)) if block.hash == hash => {
                Ok(Some(StoredBlock { block, parent, bytes: bytes.to_vec() }))
            }
            _ => Err(BlockLogError::Undecodable { frame: held.frame }),
        }
    }

    /// Notes what the good frames hold.
    fn take_stock(&mut self) -> Result<(), BlockLogError> {
        let span = self.log.span();
        for number in span.start.0..span.end.0 {
            let frame = FrameNumber(number);
            if self.log.damage().iter().any(|damage| damage.holds(frame)) {
                continue;
            }
            let payload = self.log.read(frame)?;
            let records = Record::decode_all(&payload).ok_or(BlockLogError::Undecodable { frame })?;
            for (at, record) in records {
                match record {
                    Record::Appended { block, parent, .. } => {
                        self.held.insert(block.hash, Held { parent, frame, at });
                        if frame == span.start && at == 0 && frame > FrameNumber(1) {
                            self.bases.insert(parent);
                        }
                    }
                    Record::Restarted(base) => drop(self.bases.insert(base.hash)),
                    Record::Rewound(_) => {}
                }
                self.tip = Some(record.tip());
            }
        }
        Ok(())
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

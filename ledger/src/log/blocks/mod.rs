//! The block log: what was delivered to the ledger, in order, and the truth that everything else derives from.
//!
//! It holds deliveries (appended, rewound, restarted from a snapshot), all those of one group commit in one
//! frame; replaying them gives one tip and its chain. The view in memory is always what a reopened log would
//! show: it changes at [`BlockLog::commit`], after the sync, by the same function that replays (A14). Blocks
//! that a rewind took off the chain stay readable by hash until they are trimmed.
//!
//! Each read checks the frame's hash, and the block's own against what was asked for. The bytes of a block
//! are opaque here.

mod damaged;
mod error;
mod index;
mod lost;
mod record;
mod replace;
mod view;

pub use damaged::{DamagedBlockLog, LostBlocks};
pub use error::BlockLogError;
pub use lost::{Fetched, FetchedBlocks};
pub use record::{Record, Tip};
pub use replace::{begin_copy, finish_replacement, forget_replaced, replace_by_copy, replaced_log};

use synod_types::{BlockHash, Height};

use super::open::is_missing;
use super::{Durable, FrameLog, FrameNumber, LogError, LogOptions, Opened, Report, create, open_with};
use crate::disk::{Disk, DiskError, PendingSync};
use index::BlockPlace;
use view::{Staged, View};

/// A block as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlock {
    /// Its height and hash.
    pub block: Tip,
    /// The hash of the block below it.
    pub parent: BlockHash,
    /// Its encoding.
    pub bytes: Vec<u8>,
}

/// An opened block log.
// One value for each boot, taken apart at once: a box would only stand in the reader's way.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum OpenedBlocks<D: Disk> {
    /// Every frame is good.
    Whole(BlockLog<D>, Report),
    /// Frames in the middle are damaged: nothing is served until they are repaired.
    Damaged(DamagedBlockLog<D>),
}

/// The log of deliveries.
#[derive(Debug)]
pub struct BlockLog<D: Disk> {
    frames: FrameLog<D>,
    view: View,
    staged: Staged,
}

impl<D: Disk> BlockLog<D> {
    /// Opens the folder's block log, or creates it when there never was one.
    pub fn open(disk: D, options: LogOptions) -> Result<OpenedBlocks<D>, BlockLogError> {
        Self::open_and_show(disk, options, &mut |_| {})
    }

    /// The same, and shows `visit` every record while the log is being read, so that nobody has to read it
    /// twice. If the log turns out damaged, records are missing from what was shown.
    pub fn open_and_show(
        disk: D,
        options: LogOptions,
        visit: &mut dyn FnMut(&Record<'_>),
    ) -> Result<OpenedBlocks<D>, BlockLogError> {
        if is_missing(&disk, &options)? {
            return Ok(OpenedBlocks::Whole(Self::create(disk, options)?, Report::default()));
        }
        Self::open_existing_and_show(disk, options, visit)
    }

    /// Creates an empty block log.
    pub fn create(disk: D, options: LogOptions) -> Result<Self, BlockLogError> {
        let frames = create(disk, options, 0)?;
        Ok(BlockLog { frames, view: View::default(), staged: Staged::default() })
    }

    /// Opens a block log; [`LogError::Missing`](super::LogError::Missing) when there is none.
    pub fn open_existing(disk: D, options: LogOptions) -> Result<OpenedBlocks<D>, BlockLogError> {
        Self::open_existing_and_show(disk, options, &mut |_| {})
    }

    fn open_existing_and_show(
        disk: D,
        options: LogOptions,
        visit: &mut dyn FnMut(&Record<'_>),
    ) -> Result<OpenedBlocks<D>, BlockLogError> {
        let (mut view, mut refused) = (View::default(), None);
        let opened = open_with(disk, options, &mut |frame, payload| {
            if refused.is_none() {
                refused = view.replay_and_show(frame, payload, visit).err();
            }
        })?;
        match (opened, refused) {
            (Opened::Damaged(log), _) => Ok(OpenedBlocks::Damaged(DamagedBlockLog::new(log)?)),
            (Opened::Whole(..), Some(error)) => Err(error),
            (Opened::Whole(frames, report), None) => {
                Ok(OpenedBlocks::Whole(BlockLog { frames, view, staged: Staged::default() }, report))
            }
        }
    }

    /// Where the committed chain stands; `None` before the first block.
    pub fn tip(&self) -> Option<Tip> {
        self.view.tip()
    }

    /// The heights of the chain that can be read: from the first that was not trimmed to the tip.
    pub fn heights(&self) -> std::ops::Range<Height> {
        Height(self.view.index().first_height())..Height(self.view.index().next_height())
    }

    /// How many blocks can be read by hash, on the chain and off it.
    pub fn blocks(&self) -> usize {
        self.view.index().blocks()
    }

    /// Bytes of memory that the index takes.
    pub fn index_memory(&self) -> usize {
        self.view.index().memory()
    }

    /// Stages a block on top of what was staged before it.
    ///
    /// # Errors
    /// [`BlockLogError::Disordered`] unless it stands on the staged tip; the first block of an empty log may
    /// have any height. [`LogError::TooLarge`](super::LogError::TooLarge) when the group is full: commit, then stage it again.
    pub fn append(&mut self, block: Tip, parent: BlockHash, bytes: &[u8]) -> Result<(), BlockLogError> {
        self.stage(&Record::Appended { block, parent, bytes })
    }

    /// Stages the removal of all blocks above `to`, which must be on the staged chain or right below it.
    pub fn rewind(&mut self, to: Tip) -> Result<(), BlockLogError> {
        self.stage(&Record::Rewound(to))
    }

    /// Stages a new start on top of `from`, whose state came as a snapshot.
    pub fn restart(&mut self, from: Tip) -> Result<(), BlockLogError> {
        self.stage(&Record::Restarted(from))
    }

    /// Forgets what was staged since the last commit.
    pub fn unstage(&mut self) {
        self.staged = Staged::default();
    }

    /// Commits what was staged as one frame: one write, one sync. Then, and only then, the view changes.
    ///
    /// # Errors
    /// After a full disk what was staged is still staged; after any other error the log has stopped.
    pub fn commit(&mut self) -> Result<Durable, BlockLogError> {
        let sync = self.write()?;
        let synced = sync.map_or(Ok(()), |sync| sync());
        self.finish_commit(synced)
    }

    /// The first half of a commit: writes the frame, and answers the sync that it needs. Until
    /// [`BlockLog::finish_commit`] hears how the sync went, the log can only be read.
    ///
    /// # Errors
    /// As [`BlockLog::commit`].
    pub fn write(&mut self) -> Result<Option<PendingSync>, BlockLogError> {
        if self.staged.is_empty() {
            return Ok(None);
        }
        self.frames.append(self.staged.payload())?;
        Ok(self.frames.pending_sync())
    }

    /// The second half: what was written is durable, and the view changes.
    ///
    /// # Errors
    /// Any error stops the log for good (GEN-4).
    pub fn finish_commit(&mut self, synced: Result<(), DiskError>) -> Result<Durable, BlockLogError> {
        if self.staged.is_empty() {
            return Ok(self.frames.durable());
        }
        let frame = self.frames.next_frame();
        let durable = self.frames.finish_commit(synced)?;
        let staged = std::mem::take(&mut self.staged);
        self.view.replay(frame, staged.payload())?;
        Ok(durable)
    }

    /// Proof for everything committed.
    pub fn durable(&self) -> Durable {
        self.frames.durable()
    }

    /// The chain's block at a height.
    ///
    /// # Errors
    /// [`BlockLogError::Trimmed`] below the first height, [`BlockLogError::AboveTip`] above the tip, and
    /// [`LogError::Damaged`](super::LogError::Damaged) when the disk no longer holds it.
    pub fn block_at(&self, height: Height) -> Result<StoredBlock, BlockLogError> {
        if height >= self.heights().end {
            return Err(BlockLogError::AboveTip { height, tip: self.tip().map(|tip| tip.height) });
        }
        let place = self.view.index().at_height(height.0);
        let block = self.read(place.ok_or(BlockLogError::Trimmed { floor: self.heights().start })?)?;
        if block.block.height == height { Ok(block) } else { Err(BlockLogError::Misplaced { height }) }
    }

    /// The block with this hash, on the chain or rewound; `None` when the log does not hold it.
    pub fn block_with(&self, hash: BlockHash) -> Result<Option<StoredBlock>, BlockLogError> {
        for place in self.view.index().with_hash(hash) {
            let block = self.read(place)?;
            if block.block.hash == hash {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// Puts the records of a frame back that rotted after the boot and that a read reported as damaged.
    ///
    /// # Errors
    /// [`LogError::WrongRepair`](super::LogError::WrongRepair) unless the chain of hashes confirms every byte.
    pub fn mend(&mut self, frame: FrameNumber, records: &[Record<'_>]) -> Result<(), BlockLogError> {
        Ok(self.frames.mend(frame, &record::encode_all(records))?)
    }

    /// The newest blocks that left the chain and that the log still holds, at most `limit`, in the order in
    /// which they came. A block that was delivered again later is not told apart from its first delivery.
    ///
    /// # Errors
    /// [`BlockLogError::Log`] when the disk no longer holds one.
    pub fn off_chain(&self, limit: usize) -> Result<Vec<StoredBlock>, BlockLogError> {
        let places: Vec<BlockPlace> = self.view.index().off_chain().collect();
        places[places.len().saturating_sub(limit)..].iter().map(|place| self.read(*place)).collect()
    }

    /// Whether this block is on the committed chain.
    pub fn is_on_chain(&self, block: Tip) -> bool {
        self.view.is_on_chain(block)
    }

    /// Trims whole segments that hold nothing of the chain from `height` on, and answers the first height left.
    /// The caller must hold a durable snapshot at or above it (GEN-13).
    pub fn trim_below(&mut self, height: Height) -> Result<Height, BlockLogError> {
        if let Some(place) = self.view.index().at_height(height.0) {
            let floor = self.frames.trim_below(place.frame)?;
            self.view.trim_below(floor);
        }
        Ok(self.heights().start)
    }

    /// The block below the first one of the chain that the log holds: genesis, or a snapshot's; `None` before the
    /// first block.
    ///
    /// # Errors
    /// The disk's.
    pub fn base(&self) -> Result<Option<Tip>, BlockLogError> {
        let Some(tip) = self.tip() else { return Ok(None) };
        let first = self.heights().start;
        if tip.height.next() == Some(first) {
            return Ok(Some(tip));
        }
        let parent = self.block_at(first)?.parent;
        Ok(first.0.checked_sub(1).map(|below| Tip { height: Height(below), hash: parent }))
    }

    /// Trims whole segments from before the chain began at a snapshot, which must be durable (GEN-13).
    ///
    /// # Errors
    /// The disk's.
    pub fn trim_to_base(&mut self) -> Result<(), BlockLogError> {
        if let Some(frame) = self.view.restarted() {
            let floor = self.frames.trim_below(frame)?;
            self.view.trim_below(floor);
        }
        Ok(())
    }

    /// One step of preparing the next segment, for idle moments; true while there is more to do.
    pub fn prepare_ahead(&mut self) -> Result<bool, BlockLogError> {
        Ok(self.frames.prepare_ahead()?)
    }

    pub(super) fn into_disk(self) -> D {
        self.frames.into_disk()
    }

    fn stage(&mut self, record: &Record<'_>) -> Result<(), BlockLogError> {
        if self.frames.has_pending() {
            return Err(LogError::Uncommitted.into());
        }
        self.staged.add(&self.view, record, self.frames.largest_payload())
    }

    fn read(&self, place: BlockPlace) -> Result<StoredBlock, BlockLogError> {
        let payload = self.frames.read(place.frame)?;
        match payload.get(place.at as usize..).and_then(Record::decode) {
            Some((Record::Appended { block, parent, bytes }, _)) => {
                Ok(StoredBlock { block, parent, bytes: bytes.to_vec() })
            }
            _ => Err(BlockLogError::Undecodable { frame: place.frame }),
        }
    }
}

/// A record's place in a payload, which a frame's limit keeps below 2^30.
fn place(frame: FrameNumber, at: usize) -> BlockPlace {
    BlockPlace { frame, at: at as u32 }
}

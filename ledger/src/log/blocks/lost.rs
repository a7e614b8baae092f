//! Blocks that peers gave in place of lost ones, and how the log takes them back.
//!
//! **What is lost** is told by hashes alone: from the last good frame's tip downwards every block names its
//! parent, so that the first one that the log no longer holds is known by height and hash, and whoever gives it
//! need not be trusted.
//!
//! **In place.** When the lost frames held the chain between their neighbours (perhaps with one rewind in
//! front), their bytes can be made again, and the chain of frame hashes confirms every one of them.
//!
//! **As a copy.** A lost frame may have held a block that left the chain at once, which no peer has. Then the
//! chain is written anew into another folder, block by block, and what had left it is given up.
//!
//! **As a shorter copy.** Under a committee nothing leaves the chain, and whatever stands behind the damage comes
//! back by certificate as to a node that was away. There only the chain below the damage is copied.

use std::collections::BTreeMap;

use synod_types::{BlockHash, Bytes, Height};

use super::damaged::{DamagedBlockLog, LostBlocks};
use super::record::{Record, Tip};
use super::{BlockLog, BlockLogError};
use crate::disk::Disk;
use crate::log::{LogError, LogOptions};

/// About so many bytes are committed together when a chain is copied.
const GROUP_BYTES: usize = 1 << 20;

/// A block that stands in for a lost one. Whoever fetched it has checked that its bytes are those of its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its height and hash.
    pub block: Tip,
    /// The hash of the block below it.
    pub parent: BlockHash,
    /// Its encoding.
    pub bytes: Bytes,
}

/// Fetched blocks by hash.
pub type FetchedBlocks = BTreeMap<BlockHash, Fetched>;

impl<D: Disk> DamagedBlockLog<D> {
    /// The first block from `from` downwards that the log does not hold; `None` when it holds all of them.
    pub fn first_lost(&self, from: Tip) -> Option<Tip> {
        let mut at = from;
        while let Some(below) = self.held_below(at) {
            at = below;
        }
        (!self.is_base(at)).then_some(at)
    }

    /// Writes every lost run back in place whose records follow from its neighbours and the fetched blocks;
    /// answers whether nothing is lost any more.
    ///
    /// # Errors
    /// The disk's.
    pub fn repair_in_place(&mut self, fetched: &FetchedBlocks) -> Result<bool, BlockLogError> {
        for lost in self.lost().to_vec() {
            let Some(records) = self.lost_records(&lost, fetched)? else { continue };
            let Some(payloads) = self.frames().divide(lost.first, &records)? else { continue };
            match self.write_back(lost.first, &payloads) {
                Err(BlockLogError::Log(LogError::WrongRepair { .. })) => {}
                written => written?,
            }
        }
        Ok(self.lost().is_empty())
    }

    /// Writes the chain that ends at the log's last good tip into an empty folder.
    ///
    /// # Errors
    /// [`BlockLogError::StillLost`], or the disk's.
    pub fn copy_chain<T: Disk>(
        &self,
        into: T,
        options: LogOptions,
        fetched: &FetchedBlocks,
    ) -> Result<(), BlockLogError> {
        self.copy_down_from(self.tip(), into, options, fetched)
    }

    /// Writes the chain as it was before the first damage into an empty folder, and tells where it ends: `None`
    /// when no block stands before the damage.
    ///
    /// # Errors
    /// The disk's.
    pub fn copy_before_damage<T: Disk>(
        &self,
        into: T,
        options: LogOptions,
    ) -> Result<Option<Tip>, BlockLogError> {
        let end = self.lost().first().map_or(self.tip(), |lost| lost.after);
        self.copy_down_from(end, into, options, &FetchedBlocks::new())?;
        Ok(end)
    }

    fn copy_down_from<T: Disk>(
        &self,
        end: Option<Tip>,
        into: T,
        options: LogOptions,
        fetched: &FetchedBlocks,
    ) -> Result<(), BlockLogError> {
        let mut chain = Vec::new();
        let mut at = end;
        while let Some(tip) = at.filter(|tip| !self.is_base(*tip)) {
            chain.push(tip);
            at = Some(self.below(tip, fetched).ok_or(BlockLogError::StillLost { height: tip.height })?);
        }
        let mut log = BlockLog::create(into, options)?;
        if let Some(base) = at.filter(|base| self.is_snapshot(*base)) {
            log.restart(base)?;
        }
        let mut staged = 0;
        for tip in chain.into_iter().rev() {
            let (parent, bytes) = self.content(tip, fetched)?;
            if staged > 0 && staged + bytes.len() > GROUP_BYTES {
                log.commit()?;
                staged = 0;
            }
            match log.append(tip, parent, &bytes) {
                Err(BlockLogError::Log(LogError::TooLarge { .. })) => {
                    log.commit()?;
                    log.append(tip, parent, &bytes)?;
                    staged = 0;
                }
                appended => appended?,
            }
            staged += bytes.len();
        }
        log.commit()?;
        Ok(())
    }

    /// What the run held if it led from the tip before it to the block on which the log goes on.
    fn lost_records(
        &self,
        lost: &LostBlocks,
        fetched: &FetchedBlocks,
    ) -> Result<Option<Vec<Vec<u8>>>, BlockLogError> {
        let Some(mut at) = lost.up_to else { return Ok(None) };
        let (mut branch, mut blocks) = (lost.after, Vec::new());
        loop {
            let below = match branch {
                Some(tip) if tip == at => break,
                None if self.is_base(at) => break,
                Some(tip) if tip.height >= at.height => {
                    branch = self.below(tip, fetched);
                    branch
                }
                _ => {
                    blocks.push(at);
                    let below = self.below(at, fetched);
                    at = below.unwrap_or(at);
                    below
                }
            };
            if below.is_none() {
                return Ok(None);
            }
        }
        let mut records = Vec::new();
        if branch != lost.after {
            records.push(encoded(&Record::Rewound(at)));
        }
        for block in blocks.into_iter().rev() {
            let (parent, bytes) = self.content(block, fetched)?;
            records.push(encoded(&Record::Appended { block, parent, bytes: &bytes }));
        }
        Ok(Some(records))
    }

    /// The block below this one, whether it is held, fetched, or neither.
    fn below(&self, tip: Tip, fetched: &FetchedBlocks) -> Option<Tip> {
        let given = || {
            fetched.get(&tip.hash).and_then(|given| {
                Some(Tip { height: Height(tip.height.0.checked_sub(1)?), hash: given.parent })
            })
        };
        self.held_below(tip).or_else(given)
    }

    fn content(&self, tip: Tip, fetched: &FetchedBlocks) -> Result<(BlockHash, Bytes), BlockLogError> {
        if let Some(stored) = self.held(tip.hash)? {
            return Ok((stored.parent, stored.bytes.into()));
        }
        let given = fetched.get(&tip.hash).ok_or(BlockLogError::StillLost { height: tip.height })?;
        Ok((given.parent, given.bytes.clone()))
    }
}

fn encoded(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

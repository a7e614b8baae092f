//! The chain as the log tells it, and what is staged on top of it.

use super::index::BlockIndex;
use super::record::{Record, Tip};
use super::{BlockLogError, place};
use crate::log::{FrameNumber, LogError};
use synod_types::{BlockHash, Height};

/// What replaying the log gives: one tip, its chain, and every block by hash.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    index: BlockIndex,
    tip: Option<Tip>,
    /// The frame in which the chain last began at a snapshot.
    restarted: Option<FrameNumber>,
}

impl View {
    pub(super) fn tip(&self) -> Option<Tip> {
        self.tip
    }

    pub(super) fn index(&self) -> &BlockIndex {
        &self.index
    }

    pub(super) fn restarted(&self) -> Option<FrameNumber> {
        self.restarted
    }

    /// Applies a frame's records. Boot and commit both come through here, so that they cannot differ.
    pub(super) fn replay(&mut self, frame: FrameNumber, payload: &[u8]) -> Result<(), BlockLogError> {
        self.replay_and_show(frame, payload, &mut |_| {})
    }

    /// The same, and shows each record once it is applied.
    pub(super) fn replay_and_show(
        &mut self,
        frame: FrameNumber,
        payload: &[u8],
        visit: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), BlockLogError> {
        let records = Record::decode_all(payload).ok_or(BlockLogError::Undecodable { frame })?;
        for (at, record) in records {
            self.apply(frame, at, &record)?;
            visit(&record);
        }
        Ok(())
    }

    /// A log may start anywhere after a trim, so the first record is taken at its word; from then on each one
    /// must follow. A rewind may lead below what the log still holds: the blocks there were trimmed.
    fn apply(&mut self, frame: FrameNumber, at: usize, record: &Record<'_>) -> Result<(), BlockLogError> {
        match record {
            Record::Appended { block, .. } => {
                check_follows(self.tip, record)?;
                if self.tip.is_none() {
                    self.index.rewind_to(block.height.0);
                }
                self.index.append(block.hash, place(frame, at));
            }
            Record::Rewound(to) => {
                let next = next_height(*to)?;
                let held = next > self.index.first_height() && next <= self.index.next_height();
                if held && !self.index.is_on_chain(to.height.0, to.hash) {
                    return Err(disordered(*to, "the rewind leads to a block off the chain"));
                }
                if next > self.index.next_height() && self.tip.is_some() {
                    return Err(disordered(*to, "the rewind leads above the tip"));
                }
                self.index.rewind_to(next);
            }
            Record::Restarted(from) => {
                // Clear by leaving the chain's range first: the new base may lie inside it on another branch.
                self.index.rewind_to(0);
                self.index.rewind_to(next_height(*from)?);
                self.restarted = Some(frame);
            }
        }
        self.tip = Some(record.tip());
        Ok(())
    }

    pub(super) fn is_on_chain(&self, block: Tip) -> bool {
        self.tip == Some(block) || self.index.is_on_chain(block.height.0, block.hash)
    }

    pub(super) fn trim_below(&mut self, floor: FrameNumber) {
        self.index.trim_below(floor);
    }
}

/// Records that wait for the commit.
#[derive(Debug, Default)]
pub(super) struct Staged {
    payload: Vec<u8>,
    tip: Option<Tip>,
    /// What the first block of all stands on, while that block is not committed.
    base: Option<Tip>,
    /// Above this height the chain is `above`; below it is the view's.
    kept_below: Option<u64>,
    above: Vec<Tip>,
    restarted: bool,
}

impl Staged {
    pub(super) fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Checks the record against the chain as it will be, and adds it.
    pub(super) fn add(
        &mut self,
        view: &View,
        record: &Record<'_>,
        limit: usize,
    ) -> Result<(), BlockLogError> {
        let tip = if self.is_empty() { view.tip() } else { self.tip };
        match record {
            Record::Appended { .. } => check_follows(tip, record)?,
            Record::Rewound(to) => self.check_rewind(view, tip, *to)?,
            Record::Restarted(from) => {
                next_height(*from)?;
            }
        }
        let base = match (record, tip) {
            (Record::Appended { block, parent, .. }, None) => below(*block, *parent),
            _ => self.base,
        };
        let before = self.payload.len();
        record.encode(&mut self.payload);
        if self.payload.len() > limit {
            let length = self.payload.len();
            self.payload.truncate(before);
            return Err(LogError::TooLarge { length, limit }.into());
        }
        self.base = base;
        self.note(view, record);
        Ok(())
    }

    fn note(&mut self, view: &View, record: &Record<'_>) {
        let start = *self.kept_below.get_or_insert(view.index().next_height());
        match record {
            Record::Appended { block, .. } => self.above.push(*block),
            Record::Rewound(to) => {
                self.above.retain(|block| block.height <= to.height);
                self.kept_below = Some(start.min(to.height.0 + 1));
            }
            Record::Restarted(_) => {
                self.above.clear();
                self.restarted = true;
            }
        }
        self.tip = Some(record.tip());
    }

    fn check_rewind(&self, view: &View, tip: Option<Tip>, to: Tip) -> Result<(), BlockLogError> {
        let next = next_height(to)?;
        let Some(tip) = tip else { return Err(disordered(to, "there is nothing to rewind")) };
        if to.height > tip.height {
            return Err(disordered(to, "the rewind leads above the tip"));
        }
        let in_view = !self.restarted && self.kept_below.is_none_or(|start| to.height.0 < start);
        let known = tip == to || self.above.contains(&to) || (in_view && view.is_on_chain(to));
        // The base below the first block is not in the log: its hash is the caller's word.
        let base = in_view && next == view.index().first_height();
        if known || base || self.base == Some(to) {
            Ok(())
        } else if in_view && next < view.index().first_height() {
            Err(BlockLogError::Trimmed { floor: Height(view.index().first_height()) })
        } else {
            Err(disordered(to, "the rewind leads to a block off the chain"))
        }
    }
}

fn check_follows(tip: Option<Tip>, record: &Record<'_>) -> Result<(), BlockLogError> {
    let (Some(tip), Record::Appended { block, parent, .. }) = (tip, record) else { return Ok(()) };
    if *parent != tip.hash {
        return Err(disordered(*block, "its parent is not the tip"));
    }
    if tip.height.next() != Some(block.height) {
        return Err(disordered(*block, "its height is not the tip's plus one"));
    }
    Ok(())
}

fn below(block: Tip, parent: BlockHash) -> Option<Tip> {
    Some(Tip { height: Height(block.height.0.checked_sub(1)?), hash: parent })
}

fn next_height(tip: Tip) -> Result<u64, BlockLogError> {
    Ok(tip.height.next().ok_or(disordered(tip, "there is no height above it"))?.0)
}

fn disordered(tip: Tip, why: &'static str) -> BlockLogError {
    BlockLogError::Disordered { height: tip.height, why }
}

//! The chain as the rest of the node reads it: the ledger's reader, cumulative work by height, and the
//! moving ends that subscribers follow.

use std::sync::{PoisonError, RwLock};

use alloy_primitives::U256;
use synod_consensus::pow::Target;
use synod_ledger::Reader;
use synod_ledger::disk::Disk;
use synod_ledger::history::HistoryError;
use synod_types::{Block, BlockHash, Header, Height};
use tokio::sync::watch;

use super::history::SharedBlocks;
use crate::rpc::backend::Tips;
use crate::rpc::changes::BlockTree;
use crate::rpc::types::Cursor;

/// Depth of the block that `safe` names.
pub(super) const SAFE_DEPTH: u64 = 6;

/// The readers' side of the ledger.
pub(super) struct Chain<D: Disk> {
    reader: Reader<SharedBlocks<D>>,
    blocks: SharedBlocks<D>,
    /// Cumulative work up to each height of the best chain; the genesis block counts none.
    work: RwLock<Vec<U256>>,
    tips: watch::Sender<Tips>,
    settled_depth: u64,
}

impl<D: Disk> Chain<D> {
    /// The chain of `reader`, whose headers from height 1 up are `headers`.
    pub(super) fn new(reader: Reader<SharedBlocks<D>>, blocks: SharedBlocks<D>, headers: &[Header]) -> Self {
        let settled_depth = reader.rules().pow.settled_depth;
        let mut work = vec![U256::ZERO];
        for header in headers {
            let below = *work.last().expect("the genesis block is there");
            work.push(below.saturating_add(work_of(header)));
        }
        let head = reader.head();
        let start = Cursor { height: head.height(), hash: head.hash };
        let chain = Self {
            reader,
            blocks,
            work: RwLock::new(work),
            tips: watch::channel(Tips { head: start, settled: start }).0,
            settled_depth,
        };
        chain.publish();
        chain
    }

    /// The ledger, for reading.
    pub(super) fn reader(&self) -> &Reader<SharedBlocks<D>> {
        &self.reader
    }

    /// Notes that a block was put on top.
    pub(super) fn appended(&self, height: Height, header: &Header) {
        let mut work = self.work.write().unwrap_or_else(PoisonError::into_inner);
        work.truncate(usize::try_from(height.0).unwrap_or(usize::MAX));
        let below = *work.last().expect("the genesis block is there");
        work.push(below.saturating_add(work_of(header)));
    }

    /// Notes that every block above `height` was taken back.
    pub(super) fn rewound(&self, height: Height) {
        let mut work = self.work.write().unwrap_or_else(PoisonError::into_inner);
        work.truncate(usize::try_from(height.0).unwrap_or(usize::MAX).saturating_add(1));
    }

    /// Tells subscribers where the chain ends now.
    pub(super) fn publish(&self) {
        let head = self.reader.head();
        let settled = Height(head.height().0.saturating_sub(self.settled_depth.saturating_sub(1)));
        let settled = self.cursor_at(settled).unwrap_or(self.tips.borrow().settled);
        let tips = Tips { head: Cursor { height: head.height(), hash: head.hash }, settled };
        self.tips.send_if_modified(|current| {
            let moved = *current != tips;
            *current = tips;
            moved
        });
    }

    /// The moving ends.
    pub(super) fn tips(&self) -> watch::Receiver<Tips> {
        self.tips.subscribe()
    }

    /// The height at this depth; depth 1 is the tip.
    pub(super) fn at_depth(&self, depth: u64) -> Height {
        let head = self.reader.head().height().0;
        Height(head.saturating_sub(depth.saturating_sub(1)))
    }

    /// The depth at which blocks are called settled.
    pub(super) fn settled_depth(&self) -> u64 {
        self.settled_depth
    }

    /// Cumulative work up to a height of the best chain.
    pub(super) fn work_at(&self, height: Height) -> Option<U256> {
        let work = self.work.read().unwrap_or_else(PoisonError::into_inner);
        work.get(usize::try_from(height.0).ok()?).copied()
    }

    /// The block of the best chain at a height, as a cursor.
    pub(super) fn cursor_at(&self, height: Height) -> Option<Cursor> {
        self.hash_at(height).map(|hash| Cursor { height, hash })
    }

    /// The hash of the best chain's block at a height.
    pub(super) fn hash_at(&self, height: Height) -> Option<BlockHash> {
        if let Some(block) = self.reader.recent_block_at(height) {
            return Some(block.hash);
        }
        self.reader.block_at(height).ok().flatten().map(|block| block.hash())
    }
}

impl<D: Disk> Chain<D> {
    /// A block on the best chain, or one that left it and that the log still holds.
    ///
    /// # Errors
    /// The log's.
    pub(super) fn block(&self, hash: BlockHash) -> Result<Option<Block>, HistoryError> {
        match self.reader.block(&hash)? {
            Some(block) => Ok(Some(block)),
            None => self.blocks.any_block(hash),
        }
    }

    /// Whether a block is on the best chain.
    pub(super) fn is_best(&self, height: Height, hash: BlockHash) -> bool {
        self.hash_at(height) == Some(hash)
    }
}

impl<D: Disk> BlockTree for Chain<D> {
    fn parent(&self, hash: BlockHash) -> Option<(Height, BlockHash)> {
        if let Some(block) = self.reader.recent_block(&hash) {
            return Some((block.height(), block.header.parent));
        }
        let block = self.block(hash).ok().flatten()?;
        Some((block.height(), block.header.parent))
    }

    fn best_at(&self, height: Height) -> Option<BlockHash> {
        self.hash_at(height)
    }
}

fn work_of(header: &Header) -> U256 {
    Target::from_compact(header.bits).map_or(U256::ZERO, |target| target.work().0)
}

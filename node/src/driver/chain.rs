//! The chain as the rest of the node reads it: the ledger's reader, cumulative work by height, and the
//! moving ends that subscribers follow.

use std::sync::atomic::{AtomicU64, Ordering as Atomic};
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
    /// Cumulative work up to each height of the best chain from the one that the log begins above; that one counts
    /// none.
    work: RwLock<Vec<U256>>,
    base: u64,
    tips: watch::Sender<Tips>,
    settling: Settling,
}

/// When a block is settled.
#[derive(Debug)]
enum Settling {
    /// So deep, under proof of work; a report, never a lock.
    Depth(u64),
    /// Up to this height, under a committee: what is certified is final.
    Certified(AtomicU64),
}

impl<D: Disk> Chain<D> {
    /// The chain of `reader`, whose headers from the log's first block up are `headers`.
    pub(super) fn new(reader: Reader<SharedBlocks<D>>, blocks: SharedBlocks<D>, headers: &[Header]) -> Self {
        let settling = match reader.rules().ordering.has_committee() {
            true => Settling::Certified(AtomicU64::new(0)),
            false => Settling::Depth(reader.rules().pow.settled_depth),
        };
        let mut work = vec![U256::ZERO];
        for header in headers {
            let below = *work.last().expect("the genesis block is there");
            work.push(below.saturating_add(work_of(header)));
        }
        let (head, base) = (reader.head(), reader.base().0);
        let start = Cursor { height: head.height(), hash: head.hash };
        let chain = Self {
            reader,
            blocks,
            work: RwLock::new(work),
            base,
            tips: watch::channel(Tips { head: start, settled: start }).0,
            settling,
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
        work.truncate(self.place(height));
        let below = *work.last().expect("the genesis block is there");
        work.push(below.saturating_add(work_of(header)));
    }

    /// Notes that every block above `height` was taken back.
    pub(super) fn rewound(&self, height: Height) {
        let mut work = self.work.write().unwrap_or_else(PoisonError::into_inner);
        work.truncate(self.place(height).saturating_add(1));
    }

    fn place(&self, height: Height) -> usize {
        usize::try_from(height.0.saturating_sub(self.base)).unwrap_or(usize::MAX)
    }

    /// Tells subscribers where the chain ends now.
    pub(super) fn publish(&self) {
        let head = self.reader.head();
        let settled = self.cursor_at(self.settled_height()).unwrap_or(self.tips.borrow().settled);
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

    /// The highest settled block's height.
    pub(super) fn settled_height(&self) -> Height {
        match &self.settling {
            Settling::Depth(depth) => self.at_depth(*depth),
            Settling::Certified(height) => {
                self.reader.head().height().min(Height(height.load(Atomic::Acquire)))
            }
        }
    }

    /// The highest safe block's height: what is certified, or deep enough for daily business.
    pub(super) fn safe_height(&self) -> Height {
        match self.settling {
            Settling::Depth(_) => self.at_depth(SAFE_DEPTH),
            Settling::Certified(_) => self.settled_height(),
        }
    }

    /// Notes that a committee certified everything up to `height`, and tells subscribers.
    pub(super) fn certified(&self, height: Height) {
        if let Settling::Certified(known) = &self.settling
            && known.fetch_max(height.0, Atomic::AcqRel) < height.0
        {
            self.publish();
        }
    }

    /// Cumulative work up to a height of the best chain.
    pub(super) fn work_at(&self, height: Height) -> Option<U256> {
        let work = self.work.read().unwrap_or_else(PoisonError::into_inner);
        if height.0 < self.base { None } else { work.get(self.place(height)).copied() }
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

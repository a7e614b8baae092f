//! What other threads see of the ledger: blocks, receipts, and the state at recent heights.

use std::sync::{Arc, Mutex, RwLock};

use alloy_primitives::Bloom;
use synod_types::{Address, Block, BlockHash, Genesis, Height, Receipt, TransactionId};

use crate::call::no_state;
use crate::chain::{Ledger, UNPOISONED};
use crate::execution::{Beginning, Rules};
use crate::history::BlockHistory;
use crate::index::Index;
use crate::recent::{Executed, Recent};
use crate::state::View;
use crate::store::{SledPages, StoreError};

/// A handle on the ledger for readers: cheap to clone, good on any thread, always up to date.
pub struct Reader<H> {
    beginning: Arc<Beginning>,
    rules: Arc<Rules>,
    history: Arc<Mutex<H>>,
    recent: Arc<RwLock<Recent>>,
    index: Option<Arc<Index<SledPages>>>,
}

impl<H> Clone for Reader<H> {
    fn clone(&self) -> Self {
        Self {
            beginning: self.beginning.clone(),
            rules: self.rules.clone(),
            history: self.history.clone(),
            recent: self.recent.clone(),
            index: self.index.clone(),
        }
    }
}

/// The state at this height is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoState {
    /// It was let go.
    #[error("the state at height {asked} is pruned: this node keeps heights {oldest} to {head}")]
    Pruned {
        /// What was asked for.
        asked: Height,
        /// The oldest height that is kept.
        oldest: Height,
        /// The head's height.
        head: Height,
    },
    /// There is no such block yet.
    #[error("there is no block at height {asked} yet: the head is at {head}")]
    Future {
        /// What was asked for.
        asked: Height,
        /// The head's height.
        head: Height,
    },
}

/// Where a transaction is, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The block's height.
    pub height: Height,
    /// The transaction's index in it.
    pub index: u32,
    /// Its receipt.
    pub receipt: Receipt,
}

/// One line of an account's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryEntry {
    /// The block's height.
    pub height: Height,
    /// The transaction's index in it.
    pub index: u32,
}

impl<H: BlockHistory> Reader<H> {
    pub(crate) fn new(ledger: &Ledger<H>) -> Self {
        Self {
            beginning: ledger.beginning.clone(),
            rules: ledger.rules.clone(),
            history: ledger.history.clone(),
            recent: ledger.recent.clone(),
            index: ledger.index.clone(),
        }
    }

    /// What every block is judged by.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The genesis document.
    pub fn genesis(&self) -> &Arc<Genesis> {
        self.beginning.genesis()
    }

    /// The top block.
    pub fn head(&self) -> Arc<Executed> {
        self.recent.read().expect(UNPOISONED).head().clone()
    }

    /// The state after the top block.
    pub fn view(&self) -> View {
        self.head().view.clone()
    }

    /// The state after the block at a height.
    ///
    /// # Errors
    /// [`NoState`] when it is not kept.
    pub fn view_at(&self, height: Height) -> Result<View, NoState> {
        let recent = self.recent.read().expect(UNPOISONED);
        recent.at(height).map(|block| block.view.clone()).ok_or_else(|| no_state(&recent, height))
    }

    /// The bloom filters of the blocks of a range that have events, if the index goes so far.
    pub(crate) fn indexed_blooms(
        &self,
        from: Height,
        to: Height,
    ) -> Result<Option<Vec<(Height, Bloom)>>, StoreError> {
        self.index.as_ref().map_or(Ok(None), |index| index.blooms(from, to))
    }

    pub(crate) fn with_recent<T>(&self, look: impl FnOnce(&Recent) -> T) -> T {
        look(&self.recent.read().expect(UNPOISONED))
    }

    /// A block of the window, without its body.
    pub fn recent_block(&self, hash: &BlockHash) -> Option<Arc<Executed>> {
        self.recent.read().expect(UNPOISONED).by_hash(hash).cloned()
    }

    /// The block of the window at a height, without its body.
    pub fn recent_block_at(&self, height: Height) -> Option<Arc<Executed>> {
        self.recent.read().expect(UNPOISONED).at(height).cloned()
    }

    /// The blocks of the window from the head down to the floor, without bodies.
    pub fn recent_blocks(&self) -> Vec<Arc<Executed>> {
        self.recent.read().expect(UNPOISONED).newest_first().cloned().collect()
    }

    /// The height that this node's blocks begin above: 0, or that of the snapshot from which it began (GEN-13).
    pub fn base(&self) -> Height {
        self.history.lock().expect(UNPOISONED).base().map_or(Height(0), |base| base.height)
    }

    /// The block with this hash on the current chain.
    ///
    /// # Errors
    /// The log's.
    pub fn block(&self, hash: &BlockHash) -> Result<Option<Block>, H::Error> {
        let logged = self.history.lock().expect(UNPOISONED).block_with(hash)?;
        let genesis = || Some(self.beginning.block()).filter(|block| block.hash() == *hash).cloned();
        Ok(logged.or_else(genesis))
    }

    /// The block at a height of the current chain.
    ///
    /// # Errors
    /// The log's.
    pub fn block_at(&self, height: Height) -> Result<Option<Block>, H::Error> {
        if height == Height(0) {
            return Ok(Some(self.beginning.block().clone()));
        }
        self.history.lock().expect(UNPOISONED).block_at(height)
    }

    /// Where a transaction is on the current chain, as far back as the index goes.
    ///
    /// # Errors
    /// The index's.
    pub fn transaction(&self, id: &TransactionId) -> Result<Option<Located>, StoreError> {
        let recent = self.recent.read().expect(UNPOISONED);
        if let Some((height, index)) = recent.place(id) {
            let receipt = recent.at(height).and_then(|block| block.receipts.get(index as usize));
            return Ok(receipt.map(|receipt| Located { height, index, receipt: receipt.clone() }));
        }
        drop(recent);
        let Some(index) = &self.index else {
            return Ok(None);
        };
        let Some(place) = index.place(id)? else {
            return Ok(None);
        };
        let located = |receipt| Located { height: place.height, index: place.index, receipt };
        Ok(index.receipt(place)?.map(located))
    }

    /// The receipts of the block at a height, as far back as the index and this node's blocks go; `None` where they
    /// do not go.
    ///
    /// # Errors
    /// The index's.
    pub fn receipts(&self, height: Height) -> Result<Option<Vec<Receipt>>, StoreError> {
        let recent = self.recent.read().expect(UNPOISONED);
        let kept = recent.at(height).filter(|block| block.has_receipts());
        if let Some(block) = kept {
            return Ok(Some(block.receipts.clone()));
        }
        drop(recent);
        let is_pruned = (Height(1)..=self.base()).contains(&height);
        let Some(index) = self.index.as_ref().filter(|index| index.height() >= height && !is_pruned) else {
            return Ok(None);
        };
        let mut receipts = Vec::new();
        while let Some(receipt) = index.receipt(HistoryEntry { height, index: receipts.len() as u32 })? {
            receipts.push(receipt);
        }
        Ok(Some(receipts))
    }

    /// The transactions that an account sent or received, newest first, at most `limit` of them, all of them
    /// before `before` when that is given (the last one of the page before).
    ///
    /// # Errors
    /// The index's.
    pub fn history(
        &self,
        address: &Address,
        before: Option<HistoryEntry>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let recent = self.recent.read().expect(UNPOISONED);
        let entries = recent.newest_first().flat_map(|block| {
            let touching = block.transactions.iter().enumerate().rev();
            let touching =
                touching.filter(|(_, one)| one.sender == *address || one.recipient == Some(*address));
            touching.map(|(index, _)| HistoryEntry { height: block.height(), index: index as u32 })
        });
        let is_before = |entry: &HistoryEntry| before.is_none_or(|before| *entry < before);
        let mut found: Vec<_> = entries.filter(is_before).take(limit).collect();
        drop(recent);
        if let Some(index) = &self.index {
            let last = found.last().copied().or(before).map_or(LAST, HistoryEntry::previous);
            found.extend(index.history(address, last, limit - found.len())?);
        }
        Ok(found)
    }
}

const LAST: HistoryEntry = HistoryEntry { height: Height(u64::MAX), index: u32::MAX };

impl HistoryEntry {
    /// The place right before this one.
    fn previous(self) -> Self {
        match (self.index.checked_sub(1), self.height.0.checked_sub(1)) {
            (Some(index), _) => Self { height: self.height, index },
            (None, Some(height)) => Self { height: Height(height), index: u32::MAX },
            (None, None) => self,
        }
    }
}

//! What other threads see of the ledger: blocks, receipts, and the state at recent heights.

use std::sync::{Arc, Mutex, RwLock};

use synod_types::{Address, Block, BlockHash, Genesis, Height, Receipt, TransactionId};

use crate::chain::{Ledger, UNPOISONED};
use crate::execution::{Rules, genesis_block};
use crate::history::BlockHistory;
use crate::recent::{Executed, Recent};
use crate::state::View;

/// A handle on the ledger for readers: cheap to clone, good on any thread, always up to date.
pub struct Reader<H> {
    genesis: Arc<Genesis>,
    rules: Arc<Rules>,
    history: Arc<Mutex<H>>,
    recent: Arc<RwLock<Recent>>,
}

impl<H> Clone for Reader<H> {
    fn clone(&self) -> Self {
        Self {
            genesis: self.genesis.clone(),
            rules: self.rules.clone(),
            history: self.history.clone(),
            recent: self.recent.clone(),
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
            genesis: ledger.genesis.clone(),
            rules: ledger.rules.clone(),
            history: ledger.history.clone(),
            recent: ledger.recent.clone(),
        }
    }

    /// What every block is judged by.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The genesis document.
    pub fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
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
        if let Some(block) = recent.at(height) {
            return Ok(block.view.clone());
        }
        let (oldest, head) = (recent.floor().height(), recent.head().height());
        if height > head {
            return Err(NoState::Future { asked: height, head });
        }
        Err(NoState::Pruned { asked: height, oldest, head })
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

    /// The block with this hash on the current chain.
    ///
    /// # Errors
    /// The log's.
    pub fn block(&self, hash: &BlockHash) -> Result<Option<Block>, H::Error> {
        let height = self.history.lock().expect(UNPOISONED).height_of(hash);
        match height {
            Some(height) => self.block_at(height),
            None => Ok(Some(genesis_block(&self.genesis)).filter(|block| block.hash() == *hash)),
        }
    }

    /// The block at a height of the current chain.
    ///
    /// # Errors
    /// The log's.
    pub fn block_at(&self, height: Height) -> Result<Option<Block>, H::Error> {
        if height == Height(0) {
            return Ok(Some(genesis_block(&self.genesis)));
        }
        self.history.lock().expect(UNPOISONED).block_at(height)
    }

    /// Where a transaction is on the current chain.
    pub fn transaction(&self, id: &TransactionId) -> Option<Located> {
        let recent = self.recent.read().expect(UNPOISONED);
        let (height, index) = recent.place(id)?;
        let receipt = recent.at(height)?.receipts.get(index as usize)?.clone();
        Some(Located { height, index, receipt })
    }

    /// The receipts of the block at a height; `None` when there is no such block.
    pub fn receipts(&self, height: Height) -> Option<Vec<Receipt>> {
        let recent = self.recent.read().expect(UNPOISONED);
        Some(recent.at(height)?.receipts.clone())
    }

    /// The transactions that an account sent or received, newest first, at most `limit` of them, all of them
    /// before `before` when that is given (the cursor of the page before).
    pub fn history(
        &self,
        address: &Address,
        before: Option<HistoryEntry>,
        limit: usize,
    ) -> Vec<HistoryEntry> {
        let recent = self.recent.read().expect(UNPOISONED);
        let entries = recent.newest_first().flat_map(|block| {
            let touching = block.transactions.iter().enumerate().rev();
            let touching =
                touching.filter(|(_, one)| one.sender == *address || one.recipient == Some(*address));
            touching.map(|(index, _)| HistoryEntry { height: block.height(), index: index as u32 })
        });
        entries.filter(|entry| before.is_none_or(|before| *entry < before)).take(limit).collect()
    }
}

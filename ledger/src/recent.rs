//! The blocks that this node can still take back: the tip, and a window below it, indexed in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use synod_types::{Address, BlockHash, Commitment, Header, Height, Receipt, TransactionId, UnixMillis};

use crate::execution::Outcome;
use crate::state::{Diff, View};

/// A block that was executed, without its body.
#[derive(Debug)]
pub struct Executed {
    /// Its hash.
    pub hash: BlockHash,
    /// Its header.
    pub header: Header,
    /// What the header binds.
    pub commitment: Commitment,
    /// Its transactions, in order.
    pub transactions: Vec<Included>,
    /// One for each transaction. Empty for the oldest block of a window that was loaded from a checkpoint.
    pub receipts: Vec<Receipt>,
    /// What it changed. `None` for the oldest block of a window: it cannot be taken back here.
    pub diff: Option<Arc<Diff>>,
    /// The state after it.
    pub view: View,
}

/// What the indexes remember of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Included {
    /// Its id.
    pub id: TransactionId,
    /// Who paid.
    pub sender: Address,
    /// Who received.
    pub recipient: Option<Address>,
}

impl Executed {
    /// Its height.
    pub fn height(&self) -> Height {
        self.commitment.height
    }

    /// Its time.
    pub fn time(&self) -> UnixMillis {
        UnixMillis(u64::from(self.header.time) * 1000 + u64::from(self.commitment.millis))
    }
}

/// What the indexes remember of an outcome's transactions.
pub(crate) fn included(outcome: &Outcome) -> Vec<Included> {
    let entry = |transaction: &synod_types::VerifiedTransaction| Included {
        id: transaction.id(),
        sender: transaction.sender(),
        recipient: transaction.native().to,
    };
    outcome.included.iter().map(entry).collect()
}

/// The window. Its oldest block is the floor: its state can be read, but it cannot be taken back.
#[derive(Debug)]
pub(crate) struct Recent {
    layers: usize,
    blocks: VecDeque<Arc<Executed>>,
    heights: HashMap<BlockHash, Height>,
    places: HashMap<TransactionId, (Height, u32)>,
}

impl Recent {
    /// A window of at most `layers` blocks above its floor.
    pub(crate) fn new(layers: usize, floor: Arc<Executed>) -> Self {
        let mut window =
            Self { layers, blocks: VecDeque::new(), heights: HashMap::new(), places: HashMap::new() };
        window.index(&floor);
        window.blocks.push_back(floor);
        window
    }

    pub(crate) fn head(&self) -> &Arc<Executed> {
        self.blocks.back().expect("a window has a floor")
    }

    pub(crate) fn floor(&self) -> &Arc<Executed> {
        self.blocks.front().expect("a window has a floor")
    }

    /// Adds a block on top. Returns the new floor when the window was full.
    pub(crate) fn push(&mut self, block: Arc<Executed>) -> Option<Arc<Executed>> {
        self.index(&block);
        self.blocks.push_back(block);
        if self.blocks.len() <= self.layers + 1 {
            return None;
        }
        let old_floor = self.blocks.pop_front().expect("it is over its size");
        self.forget(&old_floor);
        Some(self.floor().clone())
    }

    /// Takes the top block off; the floor stays.
    pub(crate) fn pop(&mut self) -> Option<Arc<Executed>> {
        if self.blocks.len() == 1 {
            return None;
        }
        let top = self.blocks.pop_back()?;
        self.forget(&top);
        Some(top)
    }

    pub(crate) fn at(&self, height: Height) -> Option<&Arc<Executed>> {
        let index = height.0.checked_sub(self.floor().height().0)?;
        self.blocks.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn by_hash(&self, hash: &BlockHash) -> Option<&Arc<Executed>> {
        self.at(*self.heights.get(hash)?)
    }

    pub(crate) fn place(&self, id: &TransactionId) -> Option<(Height, u32)> {
        self.places.get(id).copied()
    }

    /// The window's blocks, newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Arc<Executed>> {
        self.blocks.iter().rev()
    }

    fn index(&mut self, block: &Executed) {
        self.heights.insert(block.hash, block.height());
        for (index, transaction) in block.transactions.iter().enumerate() {
            self.places.insert(transaction.id, (block.height(), index as u32));
        }
    }

    fn forget(&mut self, block: &Executed) {
        self.heights.remove(&block.hash);
        for transaction in &block.transactions {
            self.places.remove(&transaction.id);
        }
    }
}

//! The blocks that this node can still take back: the tip, and a window below it, indexed in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use synod_types::{Address, BlockHash, Commitment, Header, Height, Receipt, TransactionId, UnixMillis};

use crate::execution::{Ancestors, BLOCK_HASHES, Outcome};
use crate::state::{Diff, View};

/// A block that was executed, without its body. The oldest one after a start from a checkpoint knows neither
/// its transactions nor its receipts: they are in the index.
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
    /// One for each transaction.
    pub receipts: Vec<Receipt>,
    /// What it changed; `None` for a block whose state was loaded.
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
    /// Who received, or the contract that it created.
    pub recipient: Option<Address>,
}

impl Executed {
    /// Its height.
    pub fn height(&self) -> Height {
        self.commitment.height
    }

    /// Whether its receipts are here, and not only in the index.
    pub fn has_receipts(&self) -> bool {
        self.diff.is_some() || self.height() == Height(0)
    }

    /// Its time.
    pub fn time(&self) -> UnixMillis {
        UnixMillis(u64::from(self.header.time) * 1000 + u64::from(self.commitment.millis))
    }
}

/// What the indexes remember of an outcome's transactions.
pub(crate) fn included(outcome: &Outcome) -> Vec<Included> {
    let entry = |(transaction, receipt): (&synod_types::VerifiedTransaction, &Receipt)| Included {
        id: transaction.id(),
        sender: transaction.sender(),
        recipient: transaction.native().to.or(receipt.created),
    };
    outcome.included.iter().zip(&outcome.receipts).map(entry).collect()
}

/// The window, and below it the blocks that wait for a checkpoint. The window's oldest block is the floor:
/// nothing from it downwards can be taken back here.
#[derive(Debug)]
pub(crate) struct Recent {
    layers: usize,
    blocks: VecDeque<Arc<Executed>>,
    /// The floor's index in `blocks`.
    floor: usize,
    /// The hashes of the blocks right below `blocks`, newest last: what contracts may still ask for.
    older: VecDeque<BlockHash>,
    heights: HashMap<BlockHash, Height>,
    places: HashMap<TransactionId, (Height, u32)>,
}

impl Recent {
    /// A window of at most `layers` blocks above its floor; `older` are the hashes below it, newest last.
    pub(crate) fn new(layers: usize, floor: Arc<Executed>, older: Vec<BlockHash>) -> Self {
        let (heights, places) = (HashMap::new(), HashMap::new());
        let (blocks, older) = (VecDeque::new(), older.into());
        let mut window = Self { layers, blocks, floor: 0, older, heights, places };
        window.index(&floor);
        window.blocks.push_back(floor);
        window
    }

    pub(crate) fn head(&self) -> &Arc<Executed> {
        self.blocks.back().expect("a window has a floor")
    }

    pub(crate) fn floor(&self) -> &Arc<Executed> {
        &self.blocks[self.floor]
    }

    /// Adds a block on top. Returns the new floor when the window was full.
    pub(crate) fn push(&mut self, block: Arc<Executed>) -> Option<Arc<Executed>> {
        self.index(&block);
        self.blocks.push_back(block);
        if self.blocks.len() - self.floor <= self.layers + 1 {
            return None;
        }
        self.floor += 1;
        Some(self.floor().clone())
    }

    /// Lets go of the blocks below the floor up to a height.
    pub(crate) fn release(&mut self, through: Height) {
        while self.floor > 0 && self.blocks[0].height() <= through {
            let oldest = self.blocks.pop_front().expect("it is below the floor");
            self.floor -= 1;
            self.forget(&oldest);
            self.older.push_back(oldest.hash);
            if self.older.len() as u64 > BLOCK_HASHES {
                self.older.pop_front();
            }
        }
    }

    /// Takes the top block off; the floor stays.
    pub(crate) fn pop(&mut self) -> Option<Arc<Executed>> {
        if self.blocks.len() - self.floor == 1 {
            return None;
        }
        let top = self.blocks.pop_back()?;
        self.forget(&top);
        Some(top)
    }

    /// The oldest height that is kept.
    pub(crate) fn oldest(&self) -> Height {
        self.blocks[0].height()
    }

    pub(crate) fn at(&self, height: Height) -> Option<&Arc<Executed>> {
        let index = height.0.checked_sub(self.oldest().0)?;
        self.blocks.get(usize::try_from(index).ok()?)
    }

    /// The hash of a kept block, or of one right below.
    pub(crate) fn hash_at(&self, height: Height) -> Option<BlockHash> {
        let Some(below) = self.oldest().0.checked_sub(height.0).filter(|below| *below > 0) else {
            return self.at(height).map(|block| block.hash);
        };
        let index = self.older.len().checked_sub(usize::try_from(below).ok()?)?;
        self.older.get(index).copied()
    }

    pub(crate) fn by_hash(&self, hash: &BlockHash) -> Option<&Arc<Executed>> {
        self.at(*self.heights.get(hash)?)
    }

    pub(crate) fn place(&self, id: &TransactionId) -> Option<(Height, u32)> {
        self.places.get(id).copied()
    }

    /// The kept blocks, newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Arc<Executed>> {
        self.blocks.iter().rev()
    }

    fn index(&mut self, block: &Executed) {
        self.heights.insert(block.hash, block.height());
        for (index, transaction) in (0..).zip(&block.transactions) {
            self.places.insert(transaction.id, (block.height(), index));
        }
    }

    fn forget(&mut self, block: &Executed) {
        self.heights.remove(&block.hash);
        for transaction in &block.transactions {
            self.places.remove(&transaction.id);
        }
    }
}

/// The window knows what contracts may ask for while the next block is executed on its head.
impl Ancestors for Recent {
    fn block_hash(&self, height: Height) -> Option<BlockHash> {
        self.hash_at(height)
    }
}

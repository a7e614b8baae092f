//! Where blocks are kept: what the ledger asks of a block log, and a log in memory for tests and models.

use std::convert::Infallible;

use synod_types::{Block, BlockHash, Height};

/// A log of deliveries: blocks appended, and rewinds. Its content after a restart is what was committed.
pub trait BlockHistory {
    /// Proof that everything so far is durable.
    type Durable;
    /// Why the log refused; all such errors stop the ledger (GEN-4).
    type Error: std::error::Error + Send + Sync + 'static;

    /// Adds a block on top to the open group.
    fn append(&mut self, block: &Block) -> Result<(), Self::Error>;

    /// Takes back every block above `to`, in the open group. `to` is below the tip; height 0 is the genesis
    /// block, which is never in the log.
    fn rewind(&mut self, to: Height) -> Result<(), Self::Error>;

    /// Makes the open group durable.
    fn commit(&mut self) -> Result<Self::Durable, Self::Error>;

    /// The height of the top block; 0 when there is none.
    fn height(&self) -> Height;

    /// The hash of the block at a height of the current chain, from 1.
    fn hash_at(&self, height: Height) -> Option<BlockHash>;

    /// The height of a block of the current chain.
    fn height_of(&self, hash: &BlockHash) -> Option<Height>;

    /// The block at a height of the current chain, from 1.
    fn block_at(&self, height: Height) -> Result<Option<Block>, Self::Error>;
}

/// A log in memory, which loses everything with the process.
#[derive(Debug, Clone, Default)]
pub struct MemoryHistory {
    blocks: Vec<Block>,
    heights: std::collections::HashMap<BlockHash, Height>,
}

impl BlockHistory for MemoryHistory {
    type Durable = ();
    type Error = Infallible;

    fn append(&mut self, block: &Block) -> Result<(), Infallible> {
        self.heights.insert(block.hash(), block.height());
        self.blocks.push(block.clone());
        Ok(())
    }

    fn rewind(&mut self, to: Height) -> Result<(), Infallible> {
        for block in self.blocks.drain(to.0 as usize..) {
            self.heights.remove(&block.hash());
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn height(&self) -> Height {
        Height(self.blocks.len() as u64)
    }

    fn hash_at(&self, height: Height) -> Option<BlockHash> {
        Some(self.blocks.get((height.0 as usize).checked_sub(1)?)?.hash())
    }

    fn height_of(&self, hash: &BlockHash) -> Option<Height> {
        self.heights.get(hash).copied()
    }

    fn block_at(&self, height: Height) -> Result<Option<Block>, Infallible> {
        Ok((height.0 as usize).checked_sub(1).and_then(|index| self.blocks.get(index)).cloned())
    }
}

//! Where blocks are kept: what the ledger asks of a block log, the real log, and one in memory.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use synod_types::codec::DecodeError;
use synod_types::{Block, BlockHash, Genesis, Height};

use crate::disk::{Disk, DiskError, PendingSync};
use crate::execution::genesis_block;
use crate::log::blocks::{BlockLog, BlockLogError, Tip};
use crate::log::{Durable, LogError};

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

    /// Writes the open group, and answers the sync that it still needs: [`BlockHistory::finish_commit`] must be
    /// told how that went, and nothing but reads may come between. So whoever shares the history behind a lock
    /// need not hold the lock while the disk syncs.
    ///
    /// # Errors
    /// The log's.
    fn write(&mut self) -> Result<Option<PendingSync>, Self::Error> {
        Ok(None)
    }

    /// Ends what [`BlockHistory::write`] began.
    ///
    /// # Errors
    /// The log's; a sync that failed stops it (GEN-4).
    fn finish_commit(&mut self, synced: Result<(), DiskError>) -> Result<Self::Durable, Self::Error> {
        debug_assert!(synced.is_ok(), "whoever has no pending sync cannot fail in it");
        self.commit()
    }

    /// The height of the top block; 0 when there is none.
    fn height(&self) -> Height;

    /// The block that the log begins above, when that is a snapshot's; `None` when it begins above genesis.
    fn base(&self) -> Option<Tip> {
        None
    }

    /// Whether the block at this height, from 1, of the current chain has this hash.
    fn is_on_chain(&self, height: Height, hash: &BlockHash) -> bool;

    /// The block with this hash, when it is on the current chain.
    fn block_with(&self, hash: &BlockHash) -> Result<Option<Block>, Self::Error>;

    /// The block at a height of the current chain, from 1.
    fn block_at(&self, height: Height) -> Result<Option<Block>, Self::Error>;

    /// One step of preparing the log's next space, for idle moments; true while there is more to do.
    fn prepare(&mut self) -> Result<bool, Self::Error>;
}

/// The block log on a disk. What is not committed yet is kept in memory as well, so that it can be read.
#[derive(Debug)]
pub struct LoggedHistory<D: Disk> {
    log: BlockLog<D>,
    genesis: BlockHash,
    base: Option<Tip>,
    /// The tip with everything that is not committed.
    tip: Tip,
    /// Up to here the committed chain is the current one.
    committed: Height,
    /// The blocks above, not committed yet.
    staged: BTreeMap<Height, Block>,
}

/// Why the block log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The log refused.
    #[error(transparent)]
    Log(#[from] BlockLogError),
    /// A block of the log does not read as one, though its checksum holds.
    #[error("a block of the log does not decode ({0}): use the version that wrote it")]
    Decode(#[from] DecodeError),
}

impl<D: Disk> LoggedHistory<D> {
    /// The history in an open log of the network of `genesis`.
    pub fn new(log: BlockLog<D>, genesis: &Genesis) -> Self {
        // A first block that cannot be read is met again, and told of, where the chain is replayed from it.
        let base = log.base().ok().flatten().filter(|base| base.height > Height(0));
        let first = log.block_at(Height(1)).ok().map(|first| first.parent);
        let genesis = first.unwrap_or_else(|| genesis_block(genesis).hash());
        let tip = log.tip().unwrap_or(Tip { height: Height(0), hash: genesis });
        Self { log, genesis, base, tip, committed: tip.height, staged: BTreeMap::new() }
    }

    /// The log.
    pub fn log(&self) -> &BlockLog<D> {
        &self.log
    }

    fn hash_at(&self, height: Height) -> Result<BlockHash, HistoryError> {
        if height == Height(0) {
            return Ok(self.genesis);
        }
        match self.staged.get(&height) {
            Some(block) => Ok(block.hash()),
            None => Ok(self.log.block_at(height)?.block.hash),
        }
    }
}

impl<D: Disk> BlockHistory for LoggedHistory<D> {
    type Durable = Durable;
    type Error = HistoryError;

    fn append(&mut self, block: &Block) -> Result<(), HistoryError> {
        let tip = Tip { height: block.height(), hash: block.hash() };
        let bytes = block.to_bytes();
        let staged = self.log.append(tip, block.header.parent, &bytes);
        if let Err(BlockLogError::Log(LogError::TooLarge { .. })) = staged {
            self.commit()?;
            self.log.append(tip, block.header.parent, &bytes)?;
        } else {
            staged?;
        }
        self.tip = tip;
        self.staged.insert(tip.height, block.clone());
        Ok(())
    }

    fn rewind(&mut self, to: Height) -> Result<(), HistoryError> {
        let tip = Tip { height: to, hash: self.hash_at(to)? };
        self.log.rewind(tip)?;
        self.tip = tip;
        self.committed = self.committed.min(to);
        self.staged.split_off(&Height(to.0 + 1));
        Ok(())
    }

    fn commit(&mut self) -> Result<Durable, HistoryError> {
        let sync = self.write()?;
        let synced = sync.map_or(Ok(()), |sync| sync());
        self.finish_commit(synced)
    }

    fn write(&mut self) -> Result<Option<PendingSync>, HistoryError> {
        Ok(self.log.write()?)
    }

    fn finish_commit(&mut self, synced: Result<(), DiskError>) -> Result<Durable, HistoryError> {
        let durable = self.log.finish_commit(synced)?;
        self.committed = self.tip.height;
        self.staged.clear();
        Ok(durable)
    }

    fn height(&self) -> Height {
        self.tip.height
    }

    fn base(&self) -> Option<Tip> {
        self.base
    }

    fn is_on_chain(&self, height: Height, hash: &BlockHash) -> bool {
        match self.staged.get(&height) {
            Some(block) => block.hash() == *hash,
            None => height <= self.committed && self.log.is_on_chain(Tip { height, hash: *hash }),
        }
    }

    fn block_with(&self, hash: &BlockHash) -> Result<Option<Block>, HistoryError> {
        if let Some(block) = self.staged.values().find(|block| block.hash() == *hash) {
            return Ok(Some(block.clone()));
        }
        let Some(stored) = self.log.block_with(*hash)? else {
            return Ok(None);
        };
        let on_chain = stored.block.height <= self.committed && self.log.is_on_chain(stored.block);
        if on_chain { Ok(Some(Block::from_bytes(&stored.bytes)?)) } else { Ok(None) }
    }

    fn block_at(&self, height: Height) -> Result<Option<Block>, HistoryError> {
        if let Some(block) = self.staged.get(&height) {
            return Ok(Some(block.clone()));
        }
        if height == Height(0) || height > self.committed {
            return Ok(None);
        }
        Ok(Some(Block::from_bytes(&self.log.block_at(height)?.bytes)?))
    }

    fn prepare(&mut self) -> Result<bool, HistoryError> {
        Ok(self.log.prepare_ahead()?)
    }
}

/// A log in memory, which loses everything with the process.
#[derive(Debug, Clone, Default)]
pub struct MemoryHistory {
    base: Option<Tip>,
    blocks: Vec<Block>,
    heights: HashMap<BlockHash, Height>,
}

impl MemoryHistory {
    /// An empty log that begins above a snapshot's block.
    pub fn above(base: Tip) -> Self {
        Self { base: Some(base), ..Self::default() }
    }

    /// How many blocks up to a height are here.
    fn held(&self, height: Height) -> usize {
        let below = self.base.map_or(0, |base| base.height.0);
        height.0.saturating_sub(below) as usize
    }
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
        for block in self.blocks.split_off(self.held(to)) {
            self.heights.remove(&block.hash());
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn height(&self) -> Height {
        Height(self.base.map_or(0, |base| base.height.0) + self.blocks.len() as u64)
    }

    fn base(&self) -> Option<Tip> {
        self.base
    }

    fn is_on_chain(&self, height: Height, hash: &BlockHash) -> bool {
        self.heights.get(hash) == Some(&height)
    }

    fn block_with(&self, hash: &BlockHash) -> Result<Option<Block>, Infallible> {
        self.heights.get(hash).map_or(Ok(None), |height| self.block_at(*height))
    }

    fn prepare(&mut self) -> Result<bool, Infallible> {
        Ok(false)
    }

    fn block_at(&self, height: Height) -> Result<Option<Block>, Infallible> {
        Ok(self.held(height).checked_sub(1).and_then(|index| self.blocks.get(index)).cloned())
    }
}

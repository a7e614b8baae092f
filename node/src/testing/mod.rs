//! What several tests of this crate share: blocks, and victims in processes of their own.

#![allow(clippy::unwrap_used)]

pub(crate) mod apart;

use synod_consensus::pow::Target;
use synod_ledger::execution::genesis_block;
use synod_types::{Block, BlockHash, Height};

/// A block without transactions, at the easiest difficulty, that nobody has executed or worked for.
pub(crate) fn empty_block(parent: BlockHash, height: u64) -> Block {
    let mut block = genesis_block(&synod_ledger::testing::genesis());
    block.commitment.height = Height(height);
    block.header.parent = parent;
    block.header.commitment = block.commitment.digest();
    block.header.time += u32::try_from(height).unwrap();
    block
}

/// A first block that waits for a miner.
pub(crate) fn unsolved() -> Block {
    empty_block(BlockHash::default(), 1)
}

/// The block with a header that holds its commitment and meets its target.
pub(crate) fn mined(mut block: Block) -> Block {
    let target = Target::from_compact(block.header.bits).unwrap();
    block.header.commitment = block.commitment.digest();
    while !target.is_met_by(block.hash()) {
        block.header.nonce += 1;
    }
    block
}

//! What a node under proof of work is doing, in words and figures.

use synod_types::{BlockHash, Height};

use super::chain::position;
use super::compact::Work;
use super::{ProofOfWork, Protocol, Status};

/// A point of the chain, for readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// The block.
    pub block_hash: BlockHash,
    /// Its height.
    pub height: Height,
    /// Cumulative work up to it.
    pub work: Work,
}

/// How deep a block is (POW-12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmations {
    /// 1 for the tip.
    pub depth: u64,
    /// Work of the blocks above it.
    pub work_on_top: Work,
}

impl ProofOfWork {
    /// The executed tip.
    pub fn tip(&self) -> Tip {
        let node = self.tree.tip();
        Tip { block_hash: node.header.hash(), height: Height(node.height), work: node.work }
    }

    /// The heaviest block whose whole branch is here: the tip is on its way there.
    pub fn heaviest_complete(&self) -> Tip {
        let (_, _, hash) = self.tree.heaviest_ready();
        let node = self.tree.node(hash).expect("ready blocks are nodes");
        Tip { block_hash: hash, height: Height(node.height), work: node.work }
    }

    /// How deep an executed block on the chain is.
    pub fn confirmations(&self, block_hash: BlockHash) -> Option<Confirmations> {
        let place = self.tree.place(block_hash).filter(|_| self.tree.is_on_chain(block_hash))?;
        let tip = self.tree.tip();
        Some(Confirmations { depth: tip.height - place.height + 1, work_on_top: tip.work.minus(place.work) })
    }

    /// The recent blocks whose whole branch is here, executed ones among them.
    pub fn complete_blocks(&self) -> impl Iterator<Item = BlockHash> {
        self.tree.complete_blocks()
    }

    /// Whether the block is remembered as invalid.
    pub fn is_condemned(&self, block_hash: BlockHash) -> bool {
        self.condemned.contains(block_hash)
    }

    /// Whether the tip is still being moved towards the heaviest complete block.
    pub fn is_executing(&self) -> bool {
        self.chain.is_busy()
    }

    /// How much is kept: headers in full, of them off the chain, orphans, condemned blocks, requests.
    pub fn sizes(&self) -> [usize; 5] {
        let (nodes, side) = self.tree.sizes();
        [nodes, side, self.orphans.len(), self.condemned.len(), self.bodies.requested()]
    }

    pub(super) fn describe(&self) -> Status {
        let tip = self.tip();
        let [_, side, orphans, condemned, requested] = self.sizes();
        Status {
            protocol: Self::NAME,
            position: position(tip.height.0),
            block_hash: tip.block_hash,
            settled: position(self.chain.settled()),
            best_height: Height(self.best_header_height()),
            waits_for: self.waits_for(),
            facts: vec![
                ("work", tip.work.0.to_string()),
                ("peers", self.peers.len().to_string()),
                ("side_headers", side.to_string()),
                ("orphans", orphans.to_string()),
                ("condemned", condemned.to_string()),
                ("bodies_requested", requested.to_string()),
                ("mining", self.mining.is_on().to_string()),
            ],
        }
    }

    fn best_header_height(&self) -> u64 {
        let best = self.tree.heaviest_wanted().into_iter().chain([self.tree.heaviest_ready()]).max();
        best.and_then(|rank| self.tree.node(rank.2)).map_or(0, |node| node.height)
    }

    fn waits_for(&self) -> String {
        let height = self.tree.tip().height;
        let best = self.best_header_height();
        if self.chain.is_busy() {
            return format!("the ledger to execute blocks after {height}");
        }
        if best > height && self.bodies.requested() > 0 {
            return format!("{} block bodies from peers ({height} of {best})", self.bodies.requested());
        }
        if self.is_syncing() {
            return "headers from peers".to_owned();
        }
        match (self.mining.is_on(), self.peers.is_empty()) {
            (true, _) => format!("a solution for block {}, ours or a peer's", height + 1),
            (false, true) => "peers: none is connected, and this node does not mine".to_owned(),
            (false, false) => format!("a peer to mine block {}", height + 1),
        }
    }
}

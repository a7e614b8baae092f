//! The tree of known headers, with cumulative work, and which of their bodies are here (POW-2, POW-5).
//!
//! Every header in it passed the header rules on its parent. A block is *complete* when its body and those
//! of all blocks below it are here (in memory, or in the block log): only complete blocks can become the
//! tip. So there are two orders by work: `ready`, from which the tip is chosen, and `wanted`, from which the
//! next bodies to fetch are. Of equal work, the block that came first wins; height never counts.
//!
//! The executed chain is the *spine*, and below a depth the [`Trunk`]. Everything else is a side branch, and
//! bounded: those of least work are forgotten first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::U256;
use synod_types::{BlockHash, Header, mutant};

use super::compact::Work;
use super::header::{HashedHeader, MEDIAN_SPAN, median_time, work_of};
use super::trunk::Trunk;
use crate::protocol::Peer;

/// A known header.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) header: HashedHeader,
    pub(super) height: u64,
    /// Cumulative, without the genesis block.
    pub(super) work: Work,
    /// Times of this block and its ancestors, newest first.
    times: [u32; MEDIAN_SPAN],
    /// The order in which headers came.
    arrival: u64,
    children: Vec<BlockHash>,
    /// Who brought it; `None` for our own.
    pub(super) from: Option<Peer>,
    /// The body is in memory.
    pub(super) held: bool,
    /// The body is in the block log.
    pub(super) logged: bool,
    complete: bool,
    /// Nobody gave the body when asked; not wanted for a while.
    pub(super) stalled: bool,
}

/// What a child's header is checked against; also of blocks in the trunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) hash: BlockHash,
    pub(super) time: u32,
    pub(super) height: u64,
    pub(super) work: Work,
    times: [u32; MEDIAN_SPAN],
    complete: bool,
}

impl Place {
    /// The median time past of a child of this block.
    pub(super) fn median_time(&self) -> u32 {
        median_time(&self.times[..MEDIAN_SPAN.min(self.height as usize + 1)])
    }
}

/// More is better: work, then the earlier arrival.
pub(super) type Rank = (Work, Reverse<u64>, BlockHash);

/// The tree.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<BlockHash, Node>,
    trunk: Trunk,
    /// The executed chain above the trunk, lowest first; never empty.
    spine: VecDeque<BlockHash>,
    ready: BTreeSet<Rank>,
    wanted: BTreeSet<Rank>,
    arrivals: u64,
    /// How many blocks off the spine start the next search for branches to forget.
    forget_at: usize,
}

impl Tree {
    /// The tree after a start: the executed chain above the genesis block, as the block log has it.
    pub(super) fn new(genesis: HashedHeader, chain: &[Header], recent_blocks: u64) -> Self {
        let mut tree = Self {
            nodes: BTreeMap::new(),
            trunk: Trunk::default(),
            spine: VecDeque::new(),
            ready: BTreeSet::new(),
            wanted: BTreeSet::new(),
            arrivals: 0,
            forget_at: 0,
        };
        let deep = chain.len().saturating_sub(recent_blocks as usize);
        if deep > 0 {
            tree.trunk.push(&genesis);
            chain[..deep - 1].iter().for_each(|header| tree.trunk.push(&HashedHeader::new(*header)));
            tree.plant(HashedHeader::new(chain[deep - 1]));
        } else {
            tree.plant(genesis);
        }
        for header in &chain[deep..] {
            let header = HashedHeader::new(*header);
            tree.insert(header, None);
            tree.log_body(header.hash());
            tree.extend_spine(header.hash(), u64::MAX);
        }
        tree
    }

    /// The lowest block of the spine.
    fn plant(&mut self, header: HashedHeader) {
        let node = self.executed_node(header, self.trunk.len());
        self.ready.insert(rank(&node));
        self.spine.push_front(header.hash());
        self.nodes.insert(header.hash(), node);
    }

    /// A node for an executed block that stands on the trunk.
    fn executed_node(&mut self, header: HashedHeader, height: u64) -> Node {
        let below =
            height.checked_sub(1).map(|below| (self.trunk.work_at(below), self.trunk.times_at(below)));
        let (work, times) = match below {
            Some((work, times)) => (work.plus(work_of(header.header())), pushed(times, header.header().time)),
            None => (Work::default(), pushed([0; MEDIAN_SPAN], header.header().time)),
        };
        self.arrivals += 1;
        Node {
            header,
            height,
            work,
            times,
            arrival: self.arrivals,
            children: self.spine.front().copied().into_iter().collect(),
            from: None,
            held: false,
            logged: true,
            complete: true,
            stalled: false,
        }
    }

    /// The node of a block above the trunk.
    pub(super) fn node(&self, hash: BlockHash) -> Option<&Node> {
        self.nodes.get(&hash)
    }

    /// Whether the header is known.
    pub(super) fn contains(&self, hash: BlockHash) -> bool {
        self.nodes.contains_key(&hash) || self.trunk.height_of(hash).is_some()
    }

    /// A known block's figures, for a child.
    pub(super) fn place(&self, hash: BlockHash) -> Option<Place> {
        if let Some(node) = self.nodes.get(&hash) {
            return Some(Place {
                hash,
                time: node.header.header().time,
                height: node.height,
                work: node.work,
                times: node.times,
                complete: node.complete,
            });
        }
        let height = self.trunk.height_of(hash)?;
        let (times, work) = (self.trunk.times_at(height), self.trunk.work_at(height));
        Some(Place { hash, time: times[0], height, work, times, complete: true })
    }

    /// The executed tip.
    pub(super) fn tip(&self) -> &Node {
        let hash = self.spine.back().expect("the spine is never empty");
        self.nodes.get(hash).expect("the spine's blocks are nodes")
    }

    /// Whether the block is executed and on the chain.
    pub(super) fn is_on_chain(&self, hash: BlockHash) -> bool {
        match self.nodes.get(&hash) {
            Some(node) => self.chain_hash(node.height) == Some(hash),
            None => self.trunk.height_of(hash).is_some(),
        }
    }

    /// The executed chain's block at `height`.
    pub(super) fn chain_hash(&self, height: u64) -> Option<BlockHash> {
        match height.checked_sub(self.trunk.len()) {
            Some(above) => self.spine.get(usize::try_from(above).ok()?).copied(),
            None => self.trunk.hash(height),
        }
    }

    /// The executed chain's header at `height`.
    pub(super) fn chain_header(&self, height: u64) -> Option<HashedHeader> {
        match self.trunk.header(height) {
            Some(header) => Some(HashedHeader::new(*header)),
            None => Some(self.nodes.get(&self.chain_hash(height)?)?.header),
        }
    }

    /// The height of an executed block on the chain.
    pub(super) fn chain_height(&self, hash: BlockHash) -> Option<u64> {
        match self.nodes.get(&hash) {
            Some(node) => (self.chain_hash(node.height) == Some(hash)).then_some(node.height),
            None => self.trunk.height_of(hash),
        }
    }

    /// Adds a header whose parent is known and which passed the rules.
    ///
    /// # Panics
    /// When the parent is unknown.
    pub(super) fn insert(&mut self, header: HashedHeader, from: Option<Peer>) {
        let parent = self.place(header.parent()).expect("a header is inserted above a known one");
        self.arrivals += 1;
        let node = Node {
            header,
            height: parent.height + 1,
            work: parent.work.plus(work_of(header.header())),
            times: pushed(parent.times, header.header().time),
            arrival: self.arrivals,
            children: Vec::new(),
            from,
            held: false,
            logged: false,
            complete: false,
            stalled: self.nodes.get(&parent.hash).is_some_and(|node| node.stalled),
        };
        if let Some(above) = self.nodes.get_mut(&parent.hash) {
            above.children.push(header.hash());
        }
        if !node.stalled {
            self.wanted.insert(rank(&node));
        }
        self.nodes.insert(header.hash(), node);
    }

    /// The heaviest block that can be executed.
    pub(super) fn heaviest_ready(&self) -> Rank {
        *self.ready.last().expect("executed blocks are ready")
    }

    /// The heaviest block whose body, or one below it, is missing and not given up.
    pub(super) fn heaviest_wanted(&self) -> Option<Rank> {
        self.wanted.last().copied()
    }

    /// All blocks above the trunk that can be executed, the lightest first.
    pub(super) fn complete_blocks(&self) -> impl Iterator<Item = BlockHash> {
        self.ready.iter().map(|rank| rank.2)
    }

    /// The rank of a known block above the trunk.
    pub(super) fn rank_of(&self, hash: BlockHash) -> Option<Rank> {
        self.nodes.get(&hash).map(rank)
    }

    /// The body came into memory.
    pub(super) fn hold_body(&mut self, hash: BlockHash) {
        let Some(node) = self.nodes.get_mut(&hash) else { return };
        node.held = true;
        self.unstall(hash);
        self.complete(hash);
    }

    /// The body is durable in the block log.
    pub(super) fn log_body(&mut self, hash: BlockHash) {
        let Some(node) = self.nodes.get_mut(&hash) else { return };
        node.logged = true;
        self.complete(hash);
    }

    /// The body left memory.
    pub(super) fn drop_body(&mut self, hash: BlockHash) {
        let Some(node) = self.nodes.get_mut(&hash) else { return };
        node.held = false;
        self.incomplete_unless_here(hash);
    }

    /// The block log does not have the body after all.
    pub(super) fn lose_body(&mut self, hash: BlockHash) {
        let Some(node) = self.nodes.get_mut(&hash) else { return };
        node.logged = false;
        self.incomplete_unless_here(hash);
    }

    /// Marks the block complete if it is, and then its descendants.
    fn complete(&mut self, hash: BlockHash) {
        let mut open = vec![hash];
        while let Some(hash) = open.pop() {
            let Some(node) = self.nodes.get(&hash) else { continue };
            let is_above = self.place(node.header.parent()).is_some_and(|parent| parent.complete);
            if node.complete || !is_above || !(node.held || node.logged) {
                continue;
            }
            let node = self.nodes.get_mut(&hash).expect("found just before");
            node.complete = true;
            self.wanted.remove(&rank(node));
            self.ready.insert(rank(node));
            open.extend_from_slice(&node.children);
        }
    }

    fn incomplete_unless_here(&mut self, hash: BlockHash) {
        if self.nodes.get(&hash).is_none_or(|node| node.held || node.logged) {
            return;
        }
        for hash in self.subtree(hash) {
            let Some(node) = self.nodes.get_mut(&hash) else { continue };
            if std::mem::take(&mut node.complete) {
                self.ready.remove(&rank(node));
                if !node.stalled {
                    self.wanted.insert(rank(node));
                }
            }
        }
    }

    /// Gives the block's body up for a while: it and its descendants are not wanted.
    pub(super) fn stall(&mut self, hash: BlockHash) {
        for hash in self.subtree(hash) {
            let Some(node) = self.nodes.get_mut(&hash) else { continue };
            node.stalled = true;
            self.wanted.remove(&rank(node));
        }
    }

    /// Wants the block's body again.
    pub(super) fn unstall(&mut self, hash: BlockHash) {
        if self.nodes.get(&hash).is_none_or(|node| !node.stalled) {
            return;
        }
        for hash in self.subtree(hash) {
            let Some(node) = self.nodes.get_mut(&hash) else { continue };
            node.stalled = false;
            if !node.complete {
                self.wanted.insert(rank(node));
            }
        }
    }

    /// Removes an invalid block and all that stands on it (POW-7).
    pub(super) fn remove_subtree(&mut self, hash: BlockHash) -> Vec<BlockHash> {
        let removed = self.subtree(hash);
        let parent = self.nodes.get(&hash).map(|node| node.header.parent());
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            parent.children.retain(|child| *child != hash);
        }
        for hash in &removed {
            if let Some(node) = self.nodes.remove(hash) {
                self.ready.remove(&rank(&node));
                self.wanted.remove(&rank(&node));
            }
        }
        removed
    }

    /// The block and its descendants, parents first.
    fn subtree(&self, hash: BlockHash) -> Vec<BlockHash> {
        let mut found = vec![hash];
        let mut next = 0;
        while let Some(hash) = found.get(next) {
            if let Some(node) = self.nodes.get(hash) {
                let children = node.children.clone();
                found.extend(children);
            }
            next += 1;
        }
        found
    }

    /// The blocks from above the executed chain up to `hash`, lowest first, and the block below them; at
    /// most until `stop`, which counts as the block below.
    pub(super) fn branch(&self, hash: BlockHash, stop: Option<BlockHash>) -> (BlockHash, Vec<BlockHash>) {
        let (mut at, mut path) = (hash, Vec::new());
        while Some(at) != stop && !self.is_on_chain(at) {
            let Some(node) = self.nodes.get(&at) else { break };
            path.push(at);
            at = node.header.parent();
        }
        path.reverse();
        (at, path)
    }

    /// The block was executed: it is the tip. Below `recent_blocks`, the spine turns into trunk.
    ///
    /// # Panics
    /// When it does not stand on the tip.
    pub(super) fn extend_spine(&mut self, hash: BlockHash, recent_blocks: u64) {
        let tip = self.tip().header.hash();
        let node = self.nodes.get(&hash).expect("an executed block is a node");
        assert_eq!(node.header.parent(), tip, "the ledger executes blocks on the tip");
        self.spine.push_back(hash);
        while self.spine.len() as u64 > recent_blocks.max(1) {
            let deep = self.spine.pop_front().expect("longer than one");
            let node = self.nodes.remove(&deep).expect("the spine's blocks are nodes");
            self.ready.remove(&rank(&node));
            self.trunk.push(&node.header);
        }
    }

    /// Undoes the executed chain down to `height`; returns the undone blocks, highest first.
    pub(super) fn rewind_spine(&mut self, height: u64) -> Vec<BlockHash> {
        while self.trunk.len() > height {
            let header = self.trunk.pop().expect("as long as it says");
            self.plant(header);
        }
        let mut undone = Vec::new();
        while self.tip().height > height {
            undone.extend(self.spine.pop_back());
        }
        undone
    }

    /// Forgets branches of least work once there are more than `bound` blocks that weigh less than the tip
    /// and are on no branch that weighs more, nor below one of `protected`. Returns what was forgotten.
    pub(super) fn forget_light_branches(&mut self, bound: usize, protected: &[BlockHash]) -> Vec<BlockHash> {
        let off_spine = self.nodes.len() - self.spine.len();
        if off_spine <= self.forget_at.max(bound) {
            return Vec::new();
        }
        let tip = self.tip().work;
        let heavy = self.nodes.values().filter(|node| node.work >= tip).map(|node| node.header.hash());
        let mut kept = BTreeSet::new();
        for hash in heavy.chain(protected.iter().copied()) {
            let mut at = hash;
            while let Some(node) = self.nodes.get(&at) {
                if !kept.insert(at) || self.is_on_chain(at) {
                    break;
                }
                at = node.header.parent();
            }
        }
        let mut light: Vec<Rank> = self
            .nodes
            .values()
            .filter(|node| !kept.contains(&node.header.hash()) && !self.is_on_chain(node.header.hash()))
            .map(rank)
            .collect();
        light.sort_unstable();
        let surplus = light.len().saturating_sub(bound / 2);
        let mut forgotten = Vec::new();
        for (_, _, hash) in light {
            if forgotten.len() >= surplus {
                break;
            }
            if self.nodes.contains_key(&hash) {
                forgotten.extend(self.remove_subtree(hash));
            }
        }
        self.forget_at = self.nodes.len() - self.spine.len() + bound / 2;
        forgotten
    }

    /// How many headers are kept in full, and how many of them are off the executed chain.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.nodes.len(), self.nodes.len() - self.spine.len())
    }
}

fn rank(node: &Node) -> Rank {
    let weight = if mutant!("pow-2-height") { Work(U256::from(node.height)) } else { node.work };
    (weight, Reverse(node.arrival), node.header.hash())
}

fn pushed(times: [u32; MEDIAN_SPAN], time: u32) -> [u32; MEDIAN_SPAN] {
    let mut pushed = [time; MEDIAN_SPAN];
    pushed[1..].copy_from_slice(&times[..MEDIAN_SPAN - 1]);
    pushed
}

//! The fork choice carried out: from the heaviest complete branch to appends and rewinds (POW-2, POW-9).
//!
//! The tip moves only to strictly more work, so of equal branches the first one stays. A switch rewinds to
//! the fork and appends the other branch; when the ledger refuses one of its blocks, that block's subtree is
//! condemned and the heaviest of what is left is taken, the old branch out of the block log if need be.
//! Depth is no obstacle: `settled` is a report (POW-14).
//!
//! A branch whose bodies do not fit into memory is executed while it is being fetched: the headers have
//! shown its work, and when its bodies fail to come the old branch is heavier again and is taken back.

use std::collections::VecDeque;

use synod_types::{BlockHash, Epoch, Height, Position, Slot, mutant};

use super::messages::{Event, Fault, Message, Record};
use super::sync::Claim;
use super::tree::Rank;
use super::{Cx, ProofOfWork};
use crate::effects::Effect;

/// What the ledger was given and what it will be given.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Appended and not yet answered.
    in_flight: VecDeque<BlockHash>,
    /// The blocks to append after those, up to `target`.
    route: VecDeque<BlockHash>,
    target: BlockHash,
    /// The highest height that was reported as settled and not reversed since.
    settled: u64,
    /// A branch too large for memory is being executed while it is fetched.
    committed: bool,
}

impl Chain {
    /// After a start with the tip at `height`.
    pub(super) fn new(height: u64, settled_depth: u64) -> Self {
        Self { settled: height.saturating_sub(settled_depth), ..Self::default() }
    }

    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    /// Whether blocks are being executed or about to be.
    pub(super) fn is_busy(&self) -> bool {
        !self.in_flight.is_empty() || !self.route.is_empty()
    }

    fn abandon_route(&mut self) {
        self.route.clear();
        self.target = BlockHash::default();
    }
}

/// A block's position: under proof of work the slot is the height.
pub fn position(height: u64) -> Position {
    Position { epoch: Epoch(0), slot: Slot(height) }
}

impl ProofOfWork {
    /// Moves the ledger towards the heaviest complete chain.
    pub(super) fn pursue_chain(&mut self, cx: &mut Cx<'_>) {
        let target = self.target();
        if target.2 != self.chain.target && !self.set_route(target, cx) {
            return;
        }
        self.feed(cx);
    }

    /// Where to go: the heaviest complete block, or as far as a branch too large for memory has come.
    fn target(&mut self) -> Rank {
        self.chain.committed |= self.bodies.is_over(self.config.limits.body_bytes);
        if self.chain.committed {
            let planned = self.bodies.planned();
            let wanted = self.tree.heaviest_wanted();
            if let (Some((tip, missing)), Some(wanted)) = (planned, wanted)
                && wanted.2 == tip
                && let Some(below) = self.tree.node(missing).map(|node| node.header.parent())
                && let Some(rank) = self.tree.rank_of(below)
            {
                return rank;
            }
            self.chain.committed = false;
        }
        self.tree.heaviest_ready()
    }

    /// Finds the way to the target, and rewinds if it leads over a fork; `false` when there is nowhere to go
    /// or the ledger must first answer.
    fn set_route(&mut self, target: Rank, cx: &mut Cx<'_>) -> bool {
        let planned = self.chain.in_flight.back().copied().unwrap_or(self.tree.tip().header.hash());
        let Some(current) = self.tree.rank_of(planned) else { return false };
        if target.0 <= current.0 && !self.chain.committed {
            self.chain.route.clear();
            return false;
        }
        let (fork, mut path) = self.tree.branch(target.2, None);
        let in_flight = &self.chain.in_flight;
        let is_extension = fork == self.tree.tip().header.hash()
            && path.len() >= in_flight.len()
            && path.iter().zip(in_flight).all(|(left, right)| left == right);
        if !is_extension && !in_flight.is_empty() {
            return false;
        }
        let fork_height = self.tree.chain_height(fork).expect("a branch forks from the executed chain");
        if fork_height < self.tree.tip().height {
            self.rewind(fork, fork_height, cx);
        }
        path.drain(..self.chain.in_flight.len());
        self.chain.route = path.into();
        self.chain.target = target.2;
        true
    }

    fn rewind(&mut self, fork: BlockHash, fork_height: u64, cx: &mut Cx<'_>) {
        let undone = self.tree.rewind_spine(fork_height);
        let depth = undone.len() as u64;
        let (mut to, mut block_hash) = (position(fork_height), fork);
        if mutant!("pow-9-rewind-too-little") && depth > 1 {
            (to, block_hash) = (position(fork_height + 1), *undone.last().expect("some were undone"));
        }
        cx.effect(Effect::Rewind { to, block_hash });
        cx.tell(Event::Reorganised { fork, fork_height: Height(fork_height), depth });
        if fork_height < self.chain.settled {
            self.chain.settled = fork_height;
            if !mutant!("pow-14-silent-reversal") {
                cx.tell(Event::SettledReversed { depth });
            }
        }
    }

    /// Appends the route's blocks as far as their bodies are in memory; others are read from the log.
    fn feed(&mut self, cx: &mut Cx<'_>) {
        while self.chain.in_flight.len() < self.config.limits.appends_in_flight
            && let Some(hash) = self.chain.route.front().copied()
        {
            let Some(node) = self.tree.node(hash) else { return self.chain.abandon_route() };
            let height = node.height;
            let Some(body) = self.bodies.body(hash) else {
                if !node.logged {
                    return self.chain.abandon_route();
                }
                return self.load(hash, None, cx);
            };
            let settled = height.saturating_sub(self.config.rules.settled_depth).max(self.chain.settled);
            cx.effect(Effect::Append {
                position: position(height),
                block_hash: Some(hash),
                body: body.bytes().clone(),
                digest: None,
                settled: position(settled),
            });
            self.chain.route.pop_front();
            self.chain.in_flight.push_back(hash);
        }
    }

    /// Whether the block is about to be given to the ledger.
    pub(super) fn is_scheduled(&self, hash: BlockHash) -> bool {
        self.chain.in_flight.contains(&hash) || self.chain.route.contains(&hash)
    }

    /// The ledger executed a block, durably.
    ///
    /// # Panics
    /// When it is not the block whose answer is due.
    pub(super) fn on_executed(&mut self, hash: BlockHash, cx: &mut Cx<'_>) {
        let due = self.chain.in_flight.pop_front();
        assert_eq!(due, Some(hash), "the ledger answers appends in order");
        self.tree.log_body(hash);
        self.tree.extend_spine(hash, self.config.limits.recent_blocks);
        let tip = self.tree.tip();
        let (height, work) = (tip.height, tip.work);
        let settled = height.saturating_sub(self.config.rules.settled_depth);
        self.chain.settled = self.chain.settled.max(settled);
        if work > self.advertised.work {
            self.advertised = Claim { hash, height, work };
            self.announce(cx);
        }
    }

    /// Passes the tip on, once it is the heaviest block that we know of.
    ///
    /// A block travels only after it was executed here and is durable here. That costs each hop an execution
    /// and a sync, and buys that nobody passes on an invalid block, so that whoever does is to blame; that
    /// a peer which hears of a block can fetch it; and that nothing was promised which a power cut undoes.
    fn announce(&mut self, cx: &mut Cx<'_>) {
        let tip = self.tree.tip();
        let known = self.tree.heaviest_wanted().into_iter().chain([self.tree.heaviest_ready()]);
        if known.max().is_some_and(|rank| rank.0 > tip.work) {
            return;
        }
        let header = tip.header;
        let body = self.bodies.body(header.hash());
        match body.filter(|body| body.bytes().len() <= self.config.limits.inline_body_bytes) {
            Some(body) => cx.broadcast(Message::NewBlock(body.clone())),
            None => cx.broadcast(Message::NewHeader(header)),
        }
    }

    /// The ledger refuses a block: its subtree is invalid for ever, and its answer is the last for all
    /// appends behind it (POW-7). Those before it are still answered.
    pub(super) fn on_refused(&mut self, hash: BlockHash, reason: String, cx: &mut Cx<'_>) {
        let before = self.chain.in_flight.iter().take_while(|appended| **appended != hash).count();
        self.chain.in_flight.truncate(before);
        self.chain.abandon_route();
        let Some(node) = self.tree.node(hash) else { return };
        let (height, from) = (Height(node.height), node.from);
        self.condemned.insert(hash);
        if !mutant!("gen-2-forget-condemned") {
            cx.persist(Record::Condemned { block_hash: hash });
        }
        for removed in self.tree.remove_subtree(hash) {
            self.forget_block(removed);
        }
        if let Some(from) = from {
            self.accuse(from, Fault::InvalidBlock(hash), cx);
        }
        cx.tell(Event::Condemned { block_hash: hash, height, reason });
    }
}

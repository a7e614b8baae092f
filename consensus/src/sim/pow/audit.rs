//! The observer: the one law, and what each node owes to it.
//!
//! - A1: appends and rewinds cancel to one chain; a node's tip is the heaviest valid chain that it holds,
//!   by the observer's own sums; a rewind of settled blocks raises its event.
//! - A2: nothing invalid is executed, nothing valid refused; headers keep the rules.
//! - A5, A10: whatever a node told anyone that it had, it still has after a power cut.
//! - A6: after healing the tips share all but six blocks within ten block intervals, and go on.
//! - A7: nothing grows beyond its bound. A9: no honest node is accused of anything but slowness.

use synod_types::BlockHash;

use super::facts::target;
use super::{BLOCK_MS, CALM_MS, CONVERGE_MS, Event, GENESIS_BITS, SAFETY_MS, SETTLED_DEPTH, STAY_MS, World};
use crate::pow::Message;
use crate::sim::ledger::Ledger;
use crate::time::Time;

/// How deep tips may differ after healing.
const PREFIX: u64 = 6;

impl<L: Ledger> World<'_, L> {
    /// Looks at every node now and then, heals when it is time, and looks for convergence.
    pub(super) fn audit(&mut self) {
        let now = self.scheduler.now();
        self.trace.event(now, 9, 0, 0);
        for node in 0..self.nodes.len() {
            self.check_bounds(node);
            if self.nodes[node].is_quiet() {
                self.check_heaviest(node);
            }
        }
        match self.healed_at {
            None if self.is_time_to_heal() => self.heal(),
            Some(healed) => self.look_for_convergence(healed),
            None => {}
        }
        self.scheduler.schedule(now.plus_ms(super::AUDIT_MS), Event::Audit);
    }

    fn is_time_to_heal(&self) -> bool {
        let is_long = self.scheduler.now().0 / 1000 >= SAFETY_MS;
        is_long || self.facts.height(self.public_tip()) >= self.target_blocks
    }

    fn look_for_convergence(&mut self, healed: Time) {
        let now = self.scheduler.now();
        let Some(calm) = self.calm_at else {
            if self.is_calm() {
                self.calm_at = Some(now);
                self.calm_height = self.facts.height(self.public_tip());
            } else if now >= healed.plus_ms(CALM_MS) {
                self.violate("A6", || "the difficulty did not find back to its ordinary pace".to_owned());
            }
            return;
        };
        if self.converged {
            return;
        }
        self.converged = self.spread() <= PREFIX;
        if self.converged {
            self.count("healing");
        } else if now > calm.plus_ms(CONVERGE_MS) {
            self.violate_divergence("within ten block intervals after healing");
        }
    }

    /// No block of any chain is from the future, and a block takes a quarter to twice its ordinary work.
    fn is_calm(&self) -> bool {
        let tips: Vec<BlockHash> = self.nodes.iter().map(|node| node.ledger.tip()).collect();
        let (now, ordinary) = (self.true_ms() / 1000, target(GENESIS_BITS));
        tips.into_iter().all(|tip| {
            let bits = self.facts.get(tip).map_or(0, |fact| fact.header.bits);
            u64::from(self.facts.latest_time(tip)) <= now + 1
                && (ordinary >> 1..=ordinary << 2).contains(&target(bits))
        })
    }

    /// Whether the liveness phase is over: enough time, and a block, or far too long without one.
    pub(super) fn is_over(&self) -> bool {
        let Some(calm) = self.calm_at else { return false };
        let now = self.scheduler.now();
        if now < calm.plus_ms(CONVERGE_MS + STAY_MS) {
            return false;
        }
        now >= calm.plus_ms(BLOCK_MS) || self.facts.height(self.public_tip()) > self.calm_height
    }

    /// At the end of a run: still together, if blocks still take their time, and higher than before.
    pub(super) fn judge_end(&mut self) {
        if self.spread() > PREFIX && self.is_calm() {
            self.violate_divergence("at the end");
        }
        let height = self.facts.height(self.public_tip());
        if height <= self.calm_height {
            let calm = self.calm_height;
            self.violate("A6", || format!("no block after healing: height {height}, before {calm}"));
        }
    }

    fn violate_divergence(&mut self, when: &str) {
        let tips: Vec<String> = self
            .nodes
            .iter()
            .map(|node| {
                let (tip, replica) = (node.ledger.tip(), node.replica.as_ref());
                let waits_for =
                    replica.map_or_else(|| "power".to_owned(), |replica| replica.status().waits_for);
                format!("{tip} at {} (waits for {waits_for})", self.facts.height(tip))
            })
            .collect();
        let spread = self.spread();
        self.violate("A6", || format!("the tips differ by {spread} blocks {when}: {}", tips.join(", ")));
    }

    /// How many blocks some tip has above the block that all tips share.
    fn spread(&self) -> u64 {
        let tips: Vec<BlockHash> = self.nodes.iter().map(|node| node.ledger.tip()).collect();
        let common = tips.iter().fold(tips[0], |common, tip| self.facts.common(common, *tip));
        let highest = tips.iter().map(|tip| self.facts.height(*tip)).max().unwrap_or(0);
        highest - self.facts.height(common)
    }

    fn check_heaviest(&mut self, node: usize) {
        let Some(replica) = &self.nodes[node].replica else { return };
        let tip = self.nodes[node].ledger.tip();
        if replica.protocol().tip().block_hash != tip {
            return self.violate("A1", || format!("node {node}: machine and ledger have different tips"));
        }
        let work = self.facts.work(tip);
        let heavier = replica.protocol().complete_blocks().find(|hash| self.facts.work(*hash) > work);
        if let Some(heavier) = heavier {
            self.violate("A1", || {
                format!("node {node} stays at {tip}, though it holds the heavier {heavier}")
            });
        }
    }

    fn check_bounds(&mut self, node: usize) {
        let Some(replica) = &self.nodes[node].replica else { return };
        let [kept, side, orphans, condemned, requested] = replica.protocol().sizes();
        let limits = &self.config.limits;
        // Side branches are searched for surplus only now and then: half as many again may be there.
        let bounds = [
            ("side headers", side, limits.side_headers * 2 + limits.requests),
            (
                "headers in full",
                kept,
                limits.side_headers * 2 + limits.requests + limits.recent_blocks as usize + 1,
            ),
            ("orphans", orphans, limits.orphans),
            ("condemned blocks", condemned, limits.condemned),
            ("requests", requested, limits.requests),
        ];
        if let Some((what, count, bound)) = bounds.into_iter().find(|(_, count, bound)| count > bound) {
            self.violate("A7", || format!("node {node} keeps {count} {what}, bound {bound}"));
        }
    }

    pub(super) fn check_executed(&mut self, node: usize, hash: BlockHash) {
        match self.facts.get(hash) {
            Some(fact) if fact.valid => {}
            _ => self.violate("A2", || format!("node {node} executed the invalid block {hash}")),
        }
        if let Some(fault) = self.facts.header_fault(hash) {
            self.violate("A2", || format!("node {node} executed {hash}: {fault}"));
        }
        let settled = self.facts.height(hash).saturating_sub(SETTLED_DEPTH);
        self.nodes[node].settled = self.nodes[node].settled.max(settled);
    }

    pub(super) fn check_refused(&mut self, node: usize, hash: BlockHash) {
        if self.facts.get(hash).is_some_and(|fact| fact.valid) {
            self.violate("A2", || format!("node {node} refused the valid block {hash}"));
        }
    }

    pub(super) fn check_rewound(&mut self, node: usize, before: BlockHash, to: BlockHash) {
        if !self.facts.is_below(to, before) {
            return self
                .violate("A1", || format!("node {node} rewound to {to}, which is not below {before}"));
        }
        let height = self.facts.height(to);
        if height < self.nodes[node].settled {
            self.nodes[node].settled = height;
            self.nodes[node].owes_event = true;
        }
    }

    /// A block that a node tells of is a promise: it is durable there.
    pub(super) fn note_promise(&mut self, node: usize, message: &Message) {
        let hash = match message {
            Message::Tip { block_hash, .. } => *block_hash,
            Message::NewBlock(body) => body.hash(),
            Message::NewHeader(header) => header.hash(),
            _ => return,
        };
        let told =
            self.nodes[node].told.map_or(alloy_primitives::aliases::U512::ZERO, |told| self.facts.work(told));
        if self.facts.work(hash) > told {
            self.nodes[node].told = Some(hash);
        }
    }

    /// After a start: what was told is still here (A5, A10).
    pub(super) fn check_kept(&mut self, node: usize) {
        let Some(told) = self.nodes[node].told else { return };
        if told != self.facts.genesis() && self.nodes[node].ledger.load(told).is_none() {
            self.violate("A5", || format!("node {node} lost block {told} that it had told others of"));
        }
    }
}

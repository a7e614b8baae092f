//! The observer: the one law, and what each node owes to it.
//!
//! - A1: appends and rewinds cancel to one chain; a node's tip is the heaviest valid chain that it holds,
//!   by the observer's own sums; a rewind of settled blocks raises its event.
//! - A2: nothing invalid is executed, nothing valid refused; headers keep the rules.
//! - A5, A10: whatever a node told anyone that it had, or had condemned, it still has after a power cut.
//! - A6, in `ending`: after healing the tips share all but six blocks within ten block intervals, and go on.
//! - A7: nothing grows beyond its bound. A9: no honest node is accused of anything but slowness.

use synod_types::BlockHash;

use super::{Event, SETTLED_DEPTH, World};
use crate::pow::Message;
use crate::sim::ledger::Ledger;

impl<L: Ledger> World<'_, L> {
    /// Looks at every node now and then, and at how far the run has come.
    pub(super) fn audit(&mut self) {
        let now = self.scheduler.now();
        self.trace.event(now, 9, 0, 0);
        for node in 0..self.nodes.len() {
            self.check_bounds(node);
            self.check_full_disk(node);
            if self.nodes[node].is_quiet() {
                self.check_heaviest(node);
            }
        }
        self.go_on();
        self.scheduler.schedule(now.plus_ms(super::AUDIT_MS), Event::Audit);
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

    /// After a start: what was called condemned still is (A10).
    pub(super) fn check_condemned(&mut self, node: usize) {
        let (Some(replica), Some(hash)) = (&self.nodes[node].replica, self.nodes[node].condemned) else {
            return;
        };
        if !replica.protocol().is_condemned(hash) {
            self.violate("A10", || format!("node {node} forgot that it had condemned block {hash}"));
        }
    }

    /// What the ledger's own oracles say, and what happened in it.
    pub(super) fn listen_to_ledger(&mut self, node: usize) {
        for name in self.nodes[node].ledger.happened() {
            self.count(name);
        }
        if let Some(complaint) = self.nodes[node].ledger.complaint() {
            self.violate(complaint.oracle, || format!("node {node}: {}", complaint.message));
        }
    }
}

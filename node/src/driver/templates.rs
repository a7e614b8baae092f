//! Templates for outside miners: built on the executed tip for whoever asks, and their solutions.
//!
//! What is handed out stays here until the tip moves, bounded in number. A solution is judged in a fixed
//! order: known template, current tip, not seen before, first on its tip, the template's own time, work. (A
//! block's time decides its base fee, and with it the state root, so that a miner cannot change it.)

use std::collections::{BTreeSet, VecDeque};

use synod_consensus::pow::{Body, Target};
use synod_types::{Block, BlockHash, Header, Height, U256, UnixMillis};

use super::mining::OpenTemplate;
use crate::rpc::TemplateBase;
use crate::rpc::types::{SolveOutcome, SolveView, TemplateView};

/// Templates that are remembered at a time.
const REMEMBERED: usize = 512;
/// How long a block may take from its acceptance to the tip. Until then others on the same tip are late: of equal
/// work, they would never be more than a branch. After it something went wrong, and another may try.
const SETTLING_MS: u64 = 10_000;
/// How long a miner should search one template, in milliseconds: its time and transactions age.
const LIFE_MS: u64 = 15_000;

struct Issued {
    id: String,
    template: OpenTemplate,
    solved: BTreeSet<(u64, u32, u32)>,
}

/// What was handed out.
#[derive(Default)]
pub(super) struct Templates {
    issued: VecDeque<Issued>,
    next: u64,
    /// The tip on which a solution was accepted last, and until when it counts.
    taken: Option<(BlockHash, UnixMillis)>,
}

impl Templates {
    /// Remembers `block`, an unsolved block on `base`, and describes it to its miner.
    pub(super) fn issue(
        &mut self,
        base: &TemplateBase,
        block: Block,
        pays: U256,
        now: UnixMillis,
    ) -> TemplateView {
        self.next += 1;
        let id = format!("{:x}-{}", self.next, block.header.commitment);
        let view = describe(&id, base, &block, pays, now);
        if self.issued.len() == REMEMBERED {
            self.issued.pop_front();
        }
        let template = OpenTemplate::new(block);
        self.issued.push_back(Issued { id, template, solved: BTreeSet::new() });
        view
    }

    /// Whether whoever holds this template may wait for a change: it stands on what a new one would stand on, or
    /// there is no new one to be had.
    pub(super) fn may_wait(&self, id: &str, parent: Option<BlockHash>) -> bool {
        let issued = self.issued.iter().find(|issued| issued.id == id);
        parent.is_none() || issued.map(|issued| issued.template.block().header.parent) == parent
    }

    /// Judges a solution; the block comes with an accepted one.
    pub(super) fn solve(
        &mut self,
        id: &str,
        numbers: (u64, u32, u32),
        tip: BlockHash,
        now: UnixMillis,
    ) -> (SolveView, Option<Body>) {
        let Some(issued) = self.issued.iter_mut().find(|issued| issued.id == id) else {
            return (refusal(SolveOutcome::Stale, None, "the template is unknown or forgotten"), None);
        };
        let (extra_nonce, time, nonce) = numbers;
        let header = Header { time, nonce, ..issued.template.header(extra_nonce) };
        let block = Some((header.hash(), issued.template.block().height()));
        if header.parent != tip {
            return (refusal(SolveOutcome::Stale, block, "the tip has moved"), None);
        }
        if issued.solved.contains(&numbers) {
            return (refusal(SolveOutcome::Duplicate, block, "this solution came before"), None);
        }
        if self.taken.is_some_and(|(taken, until)| taken == tip && now < until) {
            return (refusal(SolveOutcome::Stale, block, "another block on this tip came before"), None);
        }
        if time != issued.template.block().header.time {
            return (refusal(SolveOutcome::Wrong, block, "the time must be the template's"), None);
        }
        let target = Target::from_compact(header.bits).expect("templates carry canonical bits");
        if !target.is_met_by(header.hash()) {
            return (refusal(SolveOutcome::Wrong, block, "the hash is above the target"), None);
        }
        issued.solved.insert(numbers);
        self.taken = Some((tip, UnixMillis(now.0.saturating_add(SETTLING_MS))));
        let body = Body::from_block(&issued.template.solved(extra_nonce, time, nonce));
        let (block_hash, height) = (Some(header.hash()), block.map(|(_, height)| height));
        (SolveView { outcome: SolveOutcome::Accepted, block_hash, height, reason: None }, Some(body))
    }
}

impl Templates {
    /// An accepted solution found no way into the chain: it may come again.
    pub(super) fn take_back(&mut self, id: &str, numbers: (u64, u32, u32)) {
        self.taken = None;
        if let Some(issued) = self.issued.iter_mut().find(|issued| issued.id == id) {
            issued.solved.remove(&numbers);
        }
    }
}

fn refusal(outcome: SolveOutcome, block: Option<(BlockHash, Height)>, reason: &str) -> SolveView {
    SolveView {
        outcome,
        block_hash: block.map(|(hash, _)| hash),
        height: block.map(|(_, height)| height),
        reason: Some(reason.to_owned()),
    }
}

fn describe(id: &str, base: &TemplateBase, block: &Block, pays: U256, now: UnixMillis) -> TemplateView {
    let target = Target::from_compact(base.bits).map_or(U256::ZERO, Target::to_number);
    TemplateView {
        template_id: id.to_owned(),
        height: base.height,
        parent: base.parent,
        bits: base.bits,
        target: target.into(),
        commitment: synod_types::codec::encode(&block.commitment).into(),
        header: block.header.to_bytes().into(),
        min_time: block.header.time,
        max_time: block.header.time,
        expires_at: now.0.saturating_add(LIFE_MS),
        transactions: u32::try_from(block.transactions.len()).unwrap_or(u32::MAX),
        pays,
        reward_to: block.commitment.fee_recipient,
    }
}

/// What a block pays its fee recipient: the reward, and the tips of its receipts.
pub(super) fn pays(reward: U256, base_fee: u128, receipts: &[synod_types::Receipt]) -> U256 {
    receipts.iter().fold(reward, |sum, receipt| {
        let tip = U256::from(receipt.effective_fee.saturating_sub(base_fee));
        sum.saturating_add(tip.saturating_mul(U256::from(receipt.gas_used.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::unsolved;

    fn base(block: &Block) -> TemplateBase {
        let (parent, bits) = (block.header.parent, block.header.bits);
        TemplateBase { parent, height: block.height(), bits, earliest: block.header.time }
    }

    #[test]
    fn pow_11_a_miner_whose_template_is_of_an_older_tip_does_not_wait_for_the_next_change() {
        let (mut templates, block) = (Templates::default(), unsolved());
        let parent = block.header.parent;
        let id = templates.issue(&base(&block), block, U256::ZERO, UnixMillis(0)).template_id;
        let moved = BlockHash(synod_types::B256::repeat_byte(1));
        assert!(templates.may_wait(&id, Some(parent)));
        assert!(!templates.may_wait(&id, Some(moved)));
        assert!(!templates.may_wait("of another life", Some(parent)));
        assert!(
            templates.may_wait("of another life", None),
            "while the node synchronises there is no template"
        );
    }

    #[test]
    fn pow_11_solutions_are_judged_in_order_and_one_is_taken_on_each_tip() {
        let (mut templates, block) = (Templates::default(), unsolved());
        let (parent, time) = (block.header.parent, block.header.time);
        let id = templates.issue(&base(&block), block, U256::ZERO, UnixMillis(0)).template_id;
        let moved = BlockHash(synod_types::B256::repeat_byte(1));
        let mut outcome = |id: &str, numbers, tip, now| {
            let (view, body) = templates.solve(id, numbers, tip, UnixMillis(now));
            assert_eq!(body.is_some(), view.outcome == SolveOutcome::Accepted);
            view.outcome
        };
        assert_eq!(outcome("another", (0, time, 0), parent, 0), SolveOutcome::Stale);
        assert_eq!(outcome(&id, (0, time, 0), moved, 0), SolveOutcome::Stale);
        assert_eq!(outcome(&id, (0, time + 1, 0), parent, 0), SolveOutcome::Wrong);
        // Every second nonce solves at these bits.
        let mut nonces = 0..64;
        let (solved, _) = nonces
            .by_ref()
            .map(|nonce| (nonce, outcome(&id, (7, time, nonce), parent, 0)))
            .find(|(_, outcome)| *outcome == SolveOutcome::Accepted)
            .expect("one solves");
        assert_eq!(outcome(&id, (7, time, solved), parent, 0), SolveOutcome::Duplicate);
        assert_eq!(outcome(&id, (7, time, solved), moved, 0), SolveOutcome::Stale);
        for nonce in nonces {
            assert_eq!(outcome(&id, (7, time, nonce), parent, SETTLING_MS - 1), SolveOutcome::Stale);
        }
        let later = (solved + 1..64).map(|nonce| outcome(&id, (7, time, nonce), parent, SETTLING_MS));
        assert!(later.collect::<Vec<_>>().contains(&SolveOutcome::Accepted), "the first came to nothing");
    }

    #[test]
    fn a_solution_that_found_no_way_in_may_come_again() {
        let (mut templates, block) = (Templates::default(), unsolved());
        let (parent, time) = (block.header.parent, block.header.time);
        let id = templates.issue(&base(&block), block, U256::ZERO, UnixMillis(0)).template_id;
        let solve = |templates: &mut Templates, nonce| {
            templates.solve(&id, (7, time, nonce), parent, UnixMillis(0)).0.outcome
        };
        let solved = (0..64).find(|nonce| solve(&mut templates, *nonce) == SolveOutcome::Accepted);
        let solved = solved.expect("one solves");
        templates.take_back(&id, (7, time, solved));
        assert_eq!(solve(&mut templates, solved), SolveOutcome::Accepted);
    }
}

//! Templates for outside miners: built on the executed tip for whoever asks, and their solutions.
//!
//! What is handed out stays here until the tip moves, bounded in number. A solution is judged in a fixed
//! order: known template, current tip, not seen before, the template's own time, work. (A block's time
//! decides its base fee, and with it the state root, so that a miner cannot change it.)

use std::collections::{BTreeSet, VecDeque};

use synod_consensus::pow::{Body, Target};
use synod_types::{Block, BlockHash, Header, Height, U256, UnixMillis};

use super::mining::OpenTemplate;
use crate::rpc::TemplateBase;
use crate::rpc::types::{SolveOutcome, SolveView, TemplateView};

/// Templates that are remembered at a time.
const REMEMBERED: usize = 512;
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

    /// Judges a solution; the block comes with an accepted one.
    pub(super) fn solve(
        &mut self,
        id: &str,
        numbers: (u64, u32, u32),
        tip: BlockHash,
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
        if time != issued.template.block().header.time {
            return (refusal(SolveOutcome::Wrong, block, "the time must be the template's"), None);
        }
        let target = Target::from_compact(header.bits).expect("templates carry canonical bits");
        if !target.is_met_by(header.hash()) {
            return (refusal(SolveOutcome::Wrong, block, "the hash is above the target"), None);
        }
        issued.solved.insert(numbers);
        let body = Body::from_block(&issued.template.solved(extra_nonce, time, nonce));
        let (block_hash, height) = (Some(header.hash()), block.map(|(_, height)| height));
        (SolveView { outcome: SolveOutcome::Accepted, block_hash, height, reason: None }, Some(body))
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

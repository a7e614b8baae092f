//! The ledger under proof of work: blocks on their way in and out, and templates for miners.

use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::Bytes;
use synod_consensus::Input;
use synod_consensus::pow::{Body, Job, Outcome, ProofOfWork};
use synod_ledger::disk::Disk;
use synod_ledger::execution::Proposal;
use synod_ledger::{AppendError, Refused};
use synod_types::{Address, Block, BlockHash, Height, Position, UnixMillis};
use tokio::sync::{oneshot, watch};

use super::{Desk, Worker};
use crate::driver::history::SharedBlocks;
use crate::driver::templates::{Templates, pays};
use crate::mempool::BlockRoom;
use crate::rpc::TemplateBase;
use crate::rpc::types::TemplateView;

/// What proof of work asks of the ledger.
pub(in crate::driver) enum Task {
    /// Execute, append, commit; answered by `Executed` or `Refused`.
    Append {
        /// The block's place.
        position: Position,
        /// Its canonical bytes.
        body: Bytes,
    },
    /// Undo down to this block.
    Rewind {
        /// The new tip.
        to: BlockHash,
    },
    /// Read a block that was once appended; answered by `Loaded`.
    Load {
        /// Which.
        block_hash: BlockHash,
    },
    /// Build a template for the node's own miner; answered by `Assembled`.
    Job(Job),
    /// Build a template for an outside miner.
    Template {
        /// Who gets the reward.
        reward_to: Address,
        /// Where the template goes; nothing comes while there is nothing to mine on.
        reply: oneshot::Sender<Option<TemplateView>>,
    },
}

/// The worker.
pub(in crate::driver) struct Mining<D: Disk> {
    /// Every block that the log holds, off the chain too.
    pub(in crate::driver) blocks: SharedBlocks<D>,
    /// What templates stand on; told when it changes.
    pub(in crate::driver) base: watch::Sender<Option<TemplateBase>>,
    /// What outside miners were given.
    pub(in crate::driver) templates: Arc<Mutex<Templates>>,
    /// Who gets the own miner's rewards; `None` when it does not mine.
    pub(in crate::driver) reward_to: Option<Address>,
}

type MinedDesk<D> = Desk<D, ProofOfWork>;

impl<D> Worker<D> for Mining<D>
where
    D: Disk + Send + 'static,
    D::File: Send + Sync,
{
    type Protocol = ProofOfWork;
    type Task = Task;

    fn carry_out(&mut self, task: Task, desk: &mut MinedDesk<D>) -> Result<(), String> {
        match task {
            Task::Append { position, body } => append(position, &body, desk),
            Task::Rewind { to } => rewind(to, desk),
            Task::Load { block_hash } => self.load(block_hash, desk),
            Task::Job(job) => {
                desk.commit()?;
                self.start(job, desk);
                Ok(())
            }
            Task::Template { reward_to, reply } => {
                desk.commit()?;
                // A miner that hung up needs no template.
                let _ = reply.send(self.template_for(reward_to, desk));
                Ok(())
            }
        }
    }
}

fn append<D>(position: Position, body: &[u8], desk: &mut MinedDesk<D>) -> Result<(), String>
where
    D: Disk + Send + 'static,
    D::File: Send + Sync,
{
    let block = Block::from_bytes(body).map_err(|error| format!("ordering gave no block: {error}"))?;
    let checked = desk.checked(block.transactions.clone());
    match desk.ledger.append(&block, &checked) {
        Ok(executed) => {
            desk.appended(&executed, Some(position));
            Ok(())
        }
        // It was on its way behind a refused block; ordering drops it with that block's subtree.
        Err(AppendError::Refused(Refused::NotOnHead { .. })) => Ok(()),
        Err(AppendError::Refused(refusal)) => {
            // What came before it must be known to be executed before this is known to be refused.
            desk.commit()?;
            let (block_hash, reason) = (block.hash(), refusal.to_string());
            tracing::warn!(block = %block_hash, %reason, "block refused");
            desk.answer(Input::Refused { block_hash, reason });
            Ok(())
        }
        Err(error @ AppendError::History(_)) => Err(error.to_string()),
    }
}

fn rewind<D>(to: BlockHash, desk: &mut MinedDesk<D>) -> Result<(), String>
where
    D: Disk + Send + 'static,
    D::File: Send + Sync,
{
    let rewound = desk.ledger.rewind(&to).map_err(|error| error.to_string())?;
    let height = desk.ledger.head().height();
    tracing::info!(%to, %height, blocks = rewound.blocks.len(), replayed = rewound.replayed, "rewound");
    let mut reverted = Vec::new();
    for block in rewound.blocks.into_iter().rev() {
        let verdicts = desk.door.verifier().verify(block.transactions);
        reverted.extend(verdicts.into_iter().filter_map(Result::ok));
    }
    desk.rewound(height, reverted);
    Ok(())
}

impl<D> Mining<D>
where
    D: Disk + Send + 'static,
    D::File: Send + Sync,
{
    fn load(&self, block_hash: BlockHash, desk: &MinedDesk<D>) -> Result<(), String> {
        let block = self.blocks.any_block(block_hash).map_err(|error| error.to_string())?;
        let body = block.map(|block| Bytes::from(block.to_bytes()));
        desk.answer(Input::Loaded { block_hash, body });
        Ok(())
    }

    fn start(&mut self, job: Job, desk: &mut MinedDesk<D>) {
        let Job::Assemble { parent, height, bits, earliest } = job else { return };
        let base = TemplateBase { parent, height, bits, earliest };
        if let Some(reward_to) = self.reward_to
            && let Some((block, _)) = build(&base, reward_to, desk)
        {
            desk.answer(Input::Done(Outcome::Assembled(Body::from_block(&block))));
        }
        self.base.send_replace(Some(base));
    }

    fn template_for(&mut self, reward_to: Address, desk: &mut MinedDesk<D>) -> Option<TemplateView> {
        let base = self.base.borrow().clone()?;
        let (block, receipts) = build(&base, reward_to, desk)?;
        let reward = desk.ledger.rules().pow.reward_at(base.height.0);
        let pays = pays(reward, block.commitment.base_fee, &receipts);
        let mut templates = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        Some(templates.issue(&base, block, pays, desk.clock.wall()))
    }
}

/// An unsolved block on the base, if the base is still the tip.
fn build<D>(
    base: &TemplateBase,
    reward_to: Address,
    desk: &mut MinedDesk<D>,
) -> Option<(Block, Vec<synod_types::Receipt>)>
where
    D: Disk + Send + 'static,
    D::File: Send + Sync,
{
    if desk.ledger.head().hash != base.parent {
        return None;
    }
    let earliest = UnixMillis(u64::from(base.earliest) * 1000);
    let time = desk.clock.wall().max(earliest);
    let room = BlockRoom::of(desk.ledger.genesis());
    let transactions = desk.door.select(room, desk.ledger.base_fee_at(time));
    let proposal = Proposal { time, proposer: reward_to, fee_recipient: reward_to, transactions };
    let built = desk.ledger.build(proposal, base.bits);
    for (transaction, reason) in &built.left_out {
        tracing::debug!(id = %transaction.id(), %reason, "left out of a template");
        if !reason.may_pass_later() {
            desk.door.pool().remove(transaction.id());
        }
    }
    debug_assert_eq!(built.block.height(), Height(base.height.0));
    Some((built.block, built.receipts))
}

//! The thread that owns the ledger.
//!
//! Commands come in order through one bounded queue. Appends that wait together are executed one after
//! another and committed together: one sync for the group, and only then is ordering told that they are
//! executed (`Executed` means durable), the pool brought to the new tip, and subscribers told.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use alloy_primitives::Bytes;
use crossbeam_channel::{Receiver, Sender, select};
use synod_consensus::Input;
use synod_consensus::pow::{Body, Job, Outcome, ProofOfWork};
use synod_ledger::disk::Disk;
use synod_ledger::execution::Proposal;
use synod_ledger::verify::Door as Remembered;
use synod_ledger::{AccountProof, AppendError, Ledger, Refused};
use synod_types::{
    Address, Block, BlockHash, Height, Position, Transaction, TransactionId, UnixMillis, VerifiedTransaction,
};
use tokio::sync::{oneshot, watch};

use super::chain::Chain;
use super::clock::Clock;
use super::door::Door;
use super::history::SharedBlocks;
use super::stop::Stop;
use super::templates::{Templates, pays};
use crate::mempool::BlockRoom;
use crate::rpc::TemplateBase;
use crate::rpc::types::TemplateView;

/// Commands that may wait: ordering has at most 16 appends under way, the rest is for templates.
pub(super) const COMMAND_QUEUE: usize = 256;

/// What the ledger's thread is asked to do.
pub(super) enum Command {
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
    /// Prove what the tip's state says of an account.
    Prove {
        /// Whose.
        address: Address,
        /// Where the proof goes.
        reply: Sender<AccountProof>,
    },
    /// Build a template for an outside miner.
    Template {
        /// Who gets the reward.
        reward_to: Address,
        /// Where the template goes; nothing comes while there is nothing to mine on.
        reply: oneshot::Sender<Option<TemplateView>>,
    },
}

/// What the ledger's thread works with.
pub(super) struct Execution<D: Disk> {
    /// The ledger.
    pub(super) ledger: Ledger<SharedBlocks<D>>,
    /// Every block that the log holds, off the chain too.
    pub(super) blocks: SharedBlocks<D>,
    /// What readers see.
    pub(super) chain: Arc<Chain<D>>,
    /// The pool.
    pub(super) door: Arc<Door>,
    /// Commands.
    pub(super) commands: Receiver<Command>,
    /// To ordering.
    pub(super) answers: Sender<Input<ProofOfWork>>,
    /// What templates stand on; told when it changes.
    pub(super) base: watch::Sender<Option<TemplateBase>>,
    /// What outside miners were given.
    pub(super) templates: Arc<Mutex<Templates>>,
    /// Who gets the own miner's rewards; `None` when it does not mine.
    pub(super) reward_to: Option<Address>,
    /// Time.
    pub(super) clock: Clock,
    /// The node's end.
    pub(super) stop: Stop,
}

/// What was executed and waits for its commit.
#[derive(Default)]
struct Group {
    executed: Vec<(Position, BlockHash)>,
    included: Vec<(Address, TransactionId)>,
    reverted: Vec<VerifiedTransaction>,
    changed: bool,
}

impl<D> Execution<D>
where
    D: Disk + Send + 'static,
    D::File: Send + Sync,
{
    /// Starts the thread. Everything that it was told before the end is durable when it ends.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("execution".to_owned()).spawn(move || self.run())
    }

    fn run(mut self) {
        let mut group = Group::default();
        while let Some(command) = self.next_command() {
            let carried = self.carry_out(command, &mut group).and_then(|()| self.drain(&mut group));
            if let Err(reason) = carried.and_then(|()| self.commit(&mut group)) {
                self.stop.fail(reason);
                return;
            }
        }
    }

    fn next_command(&self) -> Option<Command> {
        select! {
            recv(self.commands) -> command => command.ok(),
            recv(self.stop.signal()) -> _ => None,
        }
    }

    /// Takes what waits already into the same group.
    fn drain(&mut self, group: &mut Group) -> Result<(), String> {
        while let Ok(command) = self.commands.try_recv() {
            self.carry_out(command, group)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, command: Command, group: &mut Group) -> Result<(), String> {
        match command {
            Command::Append { position, body } => self.append(position, &body, group),
            Command::Rewind { to } => self.rewind(to, group),
            Command::Load { block_hash } => self.load(block_hash),
            Command::Job(job) => {
                self.commit(group)?;
                self.start(job);
                Ok(())
            }
            Command::Prove { address, reply } => {
                self.commit(group)?;
                // Whoever asked may have gone.
                let _ = reply.send(self.ledger.proof(&address));
                Ok(())
            }
            Command::Template { reward_to, reply } => {
                self.commit(group)?;
                // A miner that hung up needs no template.
                let _ = reply.send(self.template_for(reward_to));
                Ok(())
            }
        }
    }

    fn append(&mut self, position: Position, body: &[u8], group: &mut Group) -> Result<(), String> {
        let block = Block::from_bytes(body).map_err(|error| format!("ordering gave no block: {error}"))?;
        let checked = self.door.verifier().verify(block.transactions.clone());
        let checked =
            Checked(RefCell::new(checked.into_iter().map(Result::ok).collect::<Vec<_>>().into_iter()));
        match self.ledger.append(&block, &checked) {
            Ok(executed) => {
                let included = executed.transactions.iter().map(|one| (one.sender, one.id));
                group.included.extend(included);
                group.executed.push((position, executed.hash));
                group.changed = true;
                self.chain.appended(executed.height(), &executed.header);
                Ok(())
            }
            // It was on its way behind a refused block; ordering drops it with that block's subtree.
            Err(AppendError::Refused(Refused::NotOnHead { .. })) => Ok(()),
            Err(AppendError::Refused(refusal)) => {
                // What came before it must be known to be executed before this is known to be refused.
                self.commit(group)?;
                let (block_hash, reason) = (block.hash(), refusal.to_string());
                tracing::warn!(block = %block_hash, %reason, "block refused");
                self.answer(Input::Refused { block_hash, reason });
                Ok(())
            }
            Err(error @ AppendError::History(_)) => Err(error.to_string()),
        }
    }

    fn rewind(&mut self, to: BlockHash, group: &mut Group) -> Result<(), String> {
        let rewound = self.ledger.rewind(&to).map_err(|error| error.to_string())?;
        let height = self.ledger.head().height();
        tracing::info!(%to, %height, blocks = rewound.blocks.len(), replayed = rewound.replayed, "rewound");
        self.chain.rewound(height);
        group.changed = true;
        for block in rewound.blocks.into_iter().rev() {
            let verdicts = self.door.verifier().verify(block.transactions);
            group.reverted.extend(verdicts.into_iter().filter_map(Result::ok));
        }
        Ok(())
    }

    fn load(&mut self, block_hash: BlockHash) -> Result<(), String> {
        let block = self.blocks.any_block(block_hash).map_err(|error| error.to_string())?;
        let body = block.map(|block| Bytes::from(block.to_bytes()));
        self.answer(Input::Loaded { block_hash, body });
        Ok(())
    }

    /// Makes the group durable, and tells everybody.
    fn commit(&mut self, group: &mut Group) -> Result<(), String> {
        if !group.changed {
            return Ok(());
        }
        self.ledger.commit().map_err(|error| error.to_string())?;
        let group = std::mem::take(group);
        self.publish(&group.included, group.reverted);
        for (position, block_hash) in group.executed {
            self.answer(Input::Executed { position, block_hash });
        }
        Ok(())
    }

    fn publish(&self, included: &[(Address, TransactionId)], reverted: Vec<VerifiedTransaction>) {
        let head = self.ledger.head();
        let next_base_fee = self.ledger.base_fee_at(self.clock.wall().max(head.time()));
        self.door.reset(&head.view, head.height(), next_base_fee, included, reverted);
        self.chain.publish();
        tracing::info!(
            height = %head.height(), block = %head.hash, transactions = head.transactions.len(), "new tip"
        );
    }

    fn answer(&self, input: Input<ProofOfWork>) {
        // Ordering is gone only when the node stops.
        let _ = self.answers.send(input);
    }

    fn start(&mut self, job: Job) {
        let Job::Assemble { parent, height, bits, earliest } = job else { return };
        let base = TemplateBase { parent, height, bits, earliest };
        if let Some(reward_to) = self.reward_to
            && let Some((block, _)) = self.build(&base, reward_to)
        {
            self.answer(Input::Done(Outcome::Assembled(Body::from_block(&block))));
        }
        self.base.send_replace(Some(base));
    }

    fn template_for(&mut self, reward_to: Address) -> Option<TemplateView> {
        let base = self.base.borrow().clone()?;
        let (block, receipts) = self.build(&base, reward_to)?;
        let reward = self.ledger.rules().pow.reward_at(base.height.0);
        let pays = pays(reward, block.commitment.base_fee, &receipts);
        let mut templates = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        Some(templates.issue(&base, block, pays, self.clock.wall()))
    }

    /// An unsolved block on the base, if the base is still the tip.
    fn build(
        &mut self,
        base: &TemplateBase,
        reward_to: Address,
    ) -> Option<(Block, Vec<synod_types::Receipt>)> {
        if self.ledger.head().hash != base.parent {
            return None;
        }
        let earliest = UnixMillis(u64::from(base.earliest) * 1000);
        let time = self.clock.wall().max(earliest);
        let room = BlockRoom::of(self.ledger.genesis());
        let transactions = self.door.select(room, self.ledger.base_fee_at(time));
        let proposal = Proposal { time, proposer: reward_to, fee_recipient: reward_to, transactions };
        let built = self.ledger.build(proposal, base.bits);
        for (transaction, reason) in &built.left_out {
            tracing::debug!(id = %transaction.id(), %reason, "left out of a template");
            if !reason.may_pass_later() {
                self.door.pool().remove(transaction.id());
            }
        }
        debug_assert_eq!(built.block.height(), Height(base.height.0));
        Some((built.block, built.receipts))
    }
}

/// The verdicts on one block's transactions, handed to the ledger in the block's order.
struct Checked(RefCell<std::vec::IntoIter<Option<VerifiedTransaction>>>);

impl Remembered for Checked {
    fn verified(&self, transaction: &Transaction) -> Option<VerifiedTransaction> {
        self.0.borrow_mut().next().flatten().filter(|checked| checked.transaction() == transaction)
    }
}

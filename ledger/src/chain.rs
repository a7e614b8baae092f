//! The ledger whole: one owner of state, tree and block log, that appends, takes back, builds and commits.
//!
//! [`Ledger`] belongs to one thread. Others read through a [`Reader`], which it hands
//! out and keeps up to date.
//!
//! **An append** goes guard, check, execute, root, compare, log, and only then changes what readers see. A
//! refused block leaves no trace. **Durable** is what [`Ledger::commit`] returned a proof for; what was
//! appended before it may be gone after a power cut.
//!
//! **A rewind** takes blocks off newest first, each with its diff. One that goes below the window starts again
//! from the index's checkpoint if that is not above its target, else from genesis without the index, and
//! replays the log; it works, and takes as long as it takes.

use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use rand_chacha::ChaCha20Rng;
use synod_types::block::{BodyMismatch, transactions_root};
use synod_types::mutant;
use synod_types::transaction::TransactionError;
use synod_types::{
    Address, B256, Block, BlockHash, Commitment, Genesis, Header, Height, Receipt, Transaction,
    TransactionId, UnixMillis, VerifiedTransaction,
};
use synod_vm::Vm;

use crate::beside::beside;
use crate::execution::{
    Beginning, Difference, LeftOut, Outcome, Parent, Proposal, Roots, Rules, compare, execute, fees,
    receipts_root, seal,
};
use crate::history::BlockHistory;
use crate::index::Index;
use crate::index::writer::Writer;
use crate::open::{OpenError, Options};
use crate::prove::AccountProof;
use crate::reader::Reader;
use crate::recent::{Executed, Recent, included};
use crate::state::{State, StateRead, View, leaves};
use crate::store::{SledPages, StoreError};
use crate::trie::{Change, Trie};
use crate::verify::{Door, verify};

/// The ledger over a block log.
pub struct Ledger<H> {
    pub(crate) beginning: Arc<Beginning>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) options: Options,
    pub(crate) history: Arc<Mutex<H>>,
    pub(crate) state: State,
    pub(crate) trie: Trie,
    pub(crate) vm: Vm,
    pub(crate) recent: Arc<RwLock<Recent>>,
    pub(crate) index: Option<Arc<Index<SledPages>>>,
    pub(crate) writer: Option<Writer>,
    pub(crate) randomness: ChaCha20Rng,
}

/// Why a block is not appended. It left no trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It does not stand on the head.
    #[error("it stands on {parent}, and the head is {head}")]
    NotOnHead {
        /// The block's parent.
        parent: BlockHash,
        /// Our head.
        head: BlockHash,
    },
    /// The body is not the header's: whoever sent it is to blame, and another body may match (POW-6).
    #[error("its body is not its header's: {0}")]
    Body(#[from] BodyMismatch),
    /// A transaction's form or signature is bad.
    #[error("transaction {index}: {error}")]
    Transaction {
        /// Its index in the block.
        index: usize,
        /// What is wrong.
        error: TransactionError,
    },
    /// A transaction cannot be charged, so that no honest builder includes it.
    #[error("transaction {id} cannot be in it: {reason}")]
    LeftOut {
        /// Which.
        id: TransactionId,
        /// Why.
        reason: Box<LeftOut>,
    },
    /// A field is not what the payload builds.
    #[error(transparent)]
    Difference(#[from] Difference),
}

impl Refused {
    /// Whether the header may still belong to a valid block, and only this body is wrong (POW-6).
    pub fn blames_the_body_alone(&self) -> bool {
        matches!(self, Self::Body(_))
    }
}

/// Why an append failed.
#[derive(Debug, thiserror::Error)]
pub enum AppendError<E> {
    /// The block is refused; the ledger stands as before.
    #[error("block refused: {0}")]
    Refused(#[from] Refused),
    /// The log failed. The ledger must not be used again (GEN-4).
    #[error("the block log failed: {0}")]
    History(E),
}

/// Why a rewind failed.
#[derive(Debug, thiserror::Error)]
pub enum RewindError<E> {
    /// The block is not on the current chain.
    #[error("{0} is not on the current chain")]
    NotOnChain(BlockHash),
    /// The log failed, or does not replay. The ledger must not be used again (GEN-4).
    #[error(transparent)]
    Open(#[from] OpenError<E>),
}

/// What a rewind took back.
#[derive(Debug)]
pub struct Rewound {
    /// The blocks, newest first, bodies included: their transactions return to the pools (POW-9).
    pub blocks: Vec<Block>,
    /// Whether it went below the window, so that the state was replayed.
    pub replayed: bool,
    /// From which height it was replayed; the head's when it was not.
    pub replayed_from: Height,
}

/// A block that was built and not appended.
#[derive(Debug, Clone)]
pub struct Built {
    /// Its nonces are zero.
    pub block: Block,
    /// One for each transaction.
    pub receipts: Vec<Receipt>,
    /// Transactions of the proposal that are not in it, and why.
    pub left_out: Vec<(VerifiedTransaction, LeftOut)>,
}

/// A block that was built of a decided payload, and is on top.
#[derive(Debug, Clone)]
pub struct Extended {
    /// The block.
    pub executed: Arc<Executed>,
    /// Transactions of the payload that are not in it, and why.
    pub left_out: Vec<(VerifiedTransaction, LeftOut)>,
}

impl<H: BlockHistory> Ledger<H> {
    /// What every block is judged by.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The genesis document.
    pub fn genesis(&self) -> &Arc<Genesis> {
        self.beginning.genesis()
    }

    /// The top block.
    pub fn head(&self) -> Arc<Executed> {
        self.recent.read().expect(UNPOISONED).head().clone()
    }

    /// The state after the top block, for good.
    pub fn view(&self) -> View {
        self.state.view()
    }

    /// A handle for other threads.
    pub fn reader(&self) -> Reader<H> {
        Reader::new(self)
    }

    /// The base fee that a block at `time` on the head would have, in wei for each gas.
    pub fn base_fee_at(&self, time: UnixMillis) -> u128 {
        fees::base_fee_at(&self.rules, time, &self.state.view().system())
    }

    /// Checks transactions' forms and signatures, in one batch for those that `door` does not remember.
    pub fn verify(
        &mut self,
        transactions: &[Transaction],
        door: &dyn Door,
    ) -> Vec<Result<VerifiedTransaction, TransactionError>> {
        verify(transactions, &self.rules, door, &mut self.randomness)
    }

    /// Builds the block that `proposal` makes on the head, for a target of `bits` (0 under a committee).
    /// Nothing is changed.
    pub fn build(&mut self, proposal: Proposal, bits: u32) -> Built {
        let parent = self.head().hash;
        let outcome = self.execute(proposal);
        let inverse = self.trie.apply(&leaves::changes(&outcome.diff));
        let state_root = self.trie.root();
        self.trie.apply(&inverse);
        let transactions: Vec<_> = outcome.included.iter().map(|one| one.transaction().clone()).collect();
        let roots = Roots {
            transactions: transactions_root(&transactions),
            state: state_root,
            receipts: receipts_root(&outcome.receipts),
        };
        let (header, commitment) = seal(&self.rules, parent, &outcome, roots, bits);
        let block = Block { header, commitment, transactions };
        Built { block, receipts: outcome.receipts, left_out: outcome.left_out }
    }

    /// Checks a block and puts it on top. Bits, nonces and time against the clock are the ordering's to check.
    ///
    /// # Errors
    /// [`AppendError`]; after [`AppendError::Refused`] the ledger stands as before.
    pub fn append(&mut self, block: &Block, door: &dyn Door) -> Result<Arc<Executed>, AppendError<H::Error>> {
        let head = self.head().hash;
        if block.header.parent != head {
            let parent = block.header.parent;
            return Err(Refused::NotOnHead { parent, head }.into());
        }
        let (body, attempt) = beside(is_large(block), || block.check_body(), || self.attempt(block, door));
        // The body comes first: what was tried with another body says nothing about the header (POW-6).
        let verdict = body.map_err(Refused::Body);
        let Attempt { outcome, inverse, difference } = match (verdict, attempt) {
            (Ok(()), Ok(attempt)) => attempt,
            (Err(refused), Ok(Attempt { inverse, .. })) => {
                self.trie.apply(&inverse);
                return Err(refused.into());
            }
            (Err(refused), Err(_)) | (Ok(()), Err(refused)) => return Err(refused.into()),
        };
        let logged = difference
            .map_or(Ok(()), |difference| Err(Refused::from(difference).into()))
            .and_then(|()| self.log().append(block).map_err(AppendError::History));
        if let Err(error) = logged {
            self.trie.apply(&inverse);
            return Err(error);
        }
        Ok(self.install(block, outcome))
    }

    /// Builds the block of a payload that a committee decided, and puts it on top: what [`Self::build`] and
    /// [`Self::append`] do, with one execution.
    ///
    /// # Errors
    /// The log's; then the ledger must not be used again (GEN-4).
    pub fn extend(&mut self, proposal: Proposal) -> Result<Extended, H::Error> {
        let parent = self.head().hash;
        let mut outcome = self.execute(proposal);
        self.trie.apply(&leaves::changes(&outcome.diff));
        let transactions: Vec<_> = outcome.included.iter().map(|one| one.transaction().clone()).collect();
        let roots = Roots {
            transactions: transactions_root(&transactions),
            state: self.trie.root(),
            receipts: receipts_root(&outcome.receipts),
        };
        let (header, commitment) = seal(&self.rules, parent, &outcome, roots, 0);
        let left_out = std::mem::take(&mut outcome.left_out);
        let block = Block { header, commitment, transactions };
        self.log().append(&block)?;
        Ok(Extended { executed: self.install(&block, outcome), left_out })
    }

    /// Takes back every block above `to`, and returns them.
    ///
    /// # Errors
    /// [`RewindError`].
    pub fn rewind(&mut self, to: &BlockHash) -> Result<Rewound, RewindError<H::Error>> {
        let height = self.height_of(to).map_err(OpenError::History)?.ok_or(RewindError::NotOnChain(*to))?;
        let blocks = self.blocks_above(height)?;
        if blocks.is_empty() {
            return Ok(Rewound { blocks, replayed: false, replayed_from: height });
        }
        self.log().rewind(height).map_err(OpenError::History)?;
        let replayed = height < self.recent.read().expect(UNPOISONED).floor().height();
        let mut replayed_from = height;
        if replayed {
            replayed_from = self.replay_to(height)?;
        } else {
            self.drop_layers(height);
        }
        Ok(Rewound { blocks, replayed, replayed_from })
    }

    /// Makes everything so far durable: one group commit.
    ///
    /// # Errors
    /// The log's; then the ledger must not be used again (GEN-4).
    pub fn commit(&mut self) -> Result<H::Durable, H::Error> {
        let sync = self.log().write()?;
        // Readers share the log's lock and must not wait for a disk's sync.
        let synced = sync.map_or(Ok(()), |sync| sync());
        self.log().finish_commit(synced)
    }

    /// One step of preparing the log's next space, for idle moments; true while there is more to do.
    ///
    /// # Errors
    /// The log's; then the ledger must not be used again (GEN-4).
    pub fn prepare(&mut self) -> Result<bool, H::Error> {
        self.log().prepare()
    }

    /// Why the index is not written any more, if it is not. Whoever runs the ledger hears of it through
    /// [`Options::on_index_failure`] and stops; a restart builds the index anew (STO-5).
    pub fn index_failure(&self) -> Option<&StoreError> {
        self.writer.as_ref().and_then(Writer::failure)
    }

    /// Writes what waits for a checkpoint, and waits for it: for a graceful stop.
    pub fn close(mut self) {
        if let Some(writer) = &mut self.writer {
            writer.finish();
        }
    }

    /// What the head's state root says about an account, to be checked offline.
    pub fn proof(&self, address: &Address) -> AccountProof {
        let head = self.head();
        let account = head.view.account(address);
        let proof = self.trie.prove(&leaves::account_key(address));
        AccountProof {
            header: head.header,
            commitment: head.commitment.clone(),
            address: *address,
            account,
            proof,
        }
    }

    /// The block with this hash on the current chain.
    ///
    /// # Errors
    /// The log's.
    pub fn block(&self, hash: &BlockHash) -> Result<Option<Block>, H::Error> {
        self.reader().block(hash)
    }

    /// Bytes of memory that the state tree occupies.
    pub fn tree_bytes(&self) -> usize {
        self.trie.memory_bytes()
    }

    /// Runs a proposal on the head; nothing is changed.
    fn execute(&mut self, proposal: Proposal) -> Outcome {
        let recent = self.recent.read().expect(UNPOISONED);
        let head = recent.head();
        let parent = Parent { hash: head.hash, height: head.height(), ancestors: &*recent };
        execute(&mut self.vm, &self.rules, &head.view, &parent, proposal)
    }

    fn proposal_of(&mut self, block: &Block, door: &dyn Door) -> Result<Proposal, Refused> {
        let verdicts = self.verify(&block.transactions, door).into_iter().enumerate();
        let transactions: Result<Vec<_>, _> = verdicts
            .map(|(index, verdict)| verdict.map_err(|error| Refused::Transaction { index, error }))
            .collect();
        Ok(Proposal {
            time: block.time(),
            proposer: block.commitment.proposer,
            fee_recipient: block.commitment.fee_recipient,
            transactions: transactions?,
        })
    }

    /// Runs a block on the head, takes the tree to the state after it, and compares.
    fn attempt(&mut self, block: &Block, door: &dyn Door) -> Result<Attempt, Refused> {
        let proposal = self.proposal_of(block, door)?;
        let outcome = self.execute(proposal);
        if let Some((transaction, reason)) = outcome.left_out.first() {
            return Err(Refused::LeftOut { id: transaction.id(), reason: Box::new(reason.clone()) });
        }
        let (receipts, inverse) = beside(
            is_large(block),
            || receipts_root(&outcome.receipts),
            || self.trie.apply(&leaves::changes(&outcome.diff)),
        );
        let transactions = block.commitment.transactions_root;
        let roots = Roots { transactions, state: self.trie.root(), receipts };
        let built: (Header, Commitment) =
            seal(&self.rules, block.header.parent, &outcome, roots, block.header.bits);
        let difference = compare((&built.0, &built.1), (&block.header, &block.commitment)).err();
        Ok(Attempt { outcome, inverse, difference })
    }

    /// Shows a block that is in the tree and in the log to everyone.
    fn install(&mut self, block: &Block, outcome: Outcome) -> Arc<Executed> {
        let transactions = included(&outcome);
        let diff = Arc::new(outcome.diff);
        self.state.apply(diff.clone());
        let executed = Arc::new(Executed {
            hash: block.hash(),
            header: block.header,
            commitment: block.commitment.clone(),
            transactions,
            receipts: outcome.receipts,
            diff: Some(diff),
            view: self.state.view(),
        });
        let mut recent = self.recent.write().expect(UNPOISONED);
        if let Some(floor) = recent.push(executed.clone()) {
            recent.release(keep_until_indexed(&mut self.writer, self.index.as_deref(), floor));
        }
        drop(recent);
        executed
    }

    fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, H::Error> {
        if let Some(block) = self.recent.read().expect(UNPOISONED).by_hash(hash) {
            return Ok(Some(block.height()));
        }
        Ok(self.block(hash)?.map(|block| block.height()))
    }

    /// The bodies above a height, newest first.
    fn blocks_above(&self, height: Height) -> Result<Vec<Block>, RewindError<H::Error>> {
        let log = self.log();
        let bodies = (height.0 + 1..=log.height().0).rev().map(|at| {
            let body = log.block_at(Height(at)).map_err(OpenError::History)?;
            Ok(body.expect("the log has every block up to its height"))
        });
        bodies.collect()
    }

    /// Undoes blocks within the window, newest first.
    fn drop_layers(&mut self, to: Height) {
        let mut recent = self.recent.write().expect(UNPOISONED);
        let mut dropped = Vec::new();
        while recent.head().height() > to {
            dropped.push(recent.pop().expect("the floor is not above the target"));
        }
        if mutant!("pow-9-layer-order") {
            dropped.reverse();
        }
        for block in dropped {
            let diff = block.diff.clone().expect("only a floor has no diff");
            self.trie.apply(&leaves::changes_back(&diff));
            self.state.revert(diff);
        }
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, H> {
        self.history.lock().expect(UNPOISONED)
    }
}

/// Hands a new floor to the writer; returns the height up to which blocks below the floor can be let go.
pub(crate) fn keep_until_indexed(
    writer: &mut Option<Writer>,
    index: Option<&Index<SledPages>>,
    floor: Arc<Executed>,
) -> Height {
    match (writer, index) {
        (Some(writer), Some(index)) if writer.failure().is_none() => {
            writer.push(floor);
            index.height()
        }
        _ => floor.height(),
    }
}

/// What a block did on the head; the tree stands after it.
struct Attempt {
    outcome: Outcome,
    /// Takes the tree back.
    inverse: Vec<Change>,
    /// Where the block is not what its payload builds.
    difference: Option<Difference>,
}

/// With fewer transactions, a thread costs more than it saves.
const WORTH_A_THREAD: usize = 128;

fn is_large(block: &Block) -> bool {
    block.transactions.len() >= WORTH_A_THREAD
}

pub(crate) const UNPOISONED: &str = "a thread that panicked with the ledger's lock stops the process";

/// For tests and doctors.
impl<H: BlockHistory> Ledger<H> {
    /// The state tree's root, recomputed from every entry of the state.
    pub fn recount_root(&self) -> B256 {
        leaves::tree(&self.state.view()).root()
    }
}

//! Starting: from the newest good checkpoint, or from genesis, and the log after it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use synod_types::{Block, BlockHash, Genesis, Height, Transaction};

use crate::chain::{Ledger, UNPOISONED};
use crate::execution::{Parent, Proposal, Rules, execute, genesis_block, genesis_entries};
use crate::history::BlockHistory;
use crate::recent::{Executed, Recent, included};
use crate::state::{Entries, State, leaves};
use crate::trie::Trie;

/// How a ledger is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many blocks can be taken back, and read back, without a replay.
    pub layers: usize,
    /// A checkpoint is written for every so many blocks that leave the window.
    pub checkpoint_every: usize,
    /// The folder of checkpoints and indexes; without one, the ledger replays its log at every start, and
    /// knows transactions and receipts of the window alone.
    pub index: Option<PathBuf>,
    /// Fresh random bytes, which weigh the equations of signature batches.
    pub seed: [u8; 32],
}

impl Options {
    /// 256 layers and a checkpoint for every 64 blocks, without an index.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { layers: 256, checkpoint_every: 64, index: None, seed }
    }
}

/// What starting found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// The head.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
    /// From which height the log was replayed.
    pub replayed_from: Height,
}

/// Why a ledger does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError<E> {
    /// The log failed.
    #[error("the block log failed: {0}")]
    History(E),
    /// The log's first block belongs to another network.
    #[error(
        "the block log belongs to another network: use the folder of this genesis, or start with an empty one"
    )]
    OtherNetwork,
    /// A block of the log does not follow from the one below it.
    #[error("block {height} of the log does not follow from the one below it: {reason}; sync from peers")]
    Broken {
        /// Where.
        height: Height,
        /// How.
        reason: String,
    },
}

/// A state to replay from.
pub(crate) struct Start {
    pub(crate) block: Block,
    pub(crate) entries: Entries,
}

/// A replayed chain.
pub(crate) struct Replayed {
    pub(crate) state: State,
    pub(crate) trie: Trie,
    pub(crate) recent: Recent,
}

impl<H: BlockHistory> Ledger<H> {
    /// Opens the ledger of `genesis` over its block log.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub fn open(
        genesis: Genesis,
        history: H,
        options: Options,
    ) -> Result<(Self, OpenReport), OpenError<H::Error>> {
        let rules = Rules::from(&genesis);
        let start = start_at_genesis(&genesis);
        if history.height() > Height(0) {
            let first = read(&history, Height(1))?;
            if first.header.parent != start.block.hash() {
                return Err(OpenError::OtherNetwork);
            }
        }
        let replayed_from = start.block.height();
        let to = history.height();
        let replayed = replay(&rules, &history, start, to, options.layers, |_| {})?;
        let randomness = ChaCha20Rng::from_seed(options.seed);
        let ledger = Self {
            genesis: Arc::new(genesis),
            rules: Arc::new(rules),
            options,
            history: Arc::new(Mutex::new(history)),
            state: replayed.state,
            trie: replayed.trie,
            recent: Arc::new(RwLock::new(replayed.recent)),
            randomness,
        };
        let head = ledger.head();
        let report = OpenReport { height: head.height(), hash: head.hash, replayed_from };
        Ok((ledger, report))
    }

    /// Starts again from genesis and replays the log up to a height below the window.
    pub(crate) fn replay_to(&mut self, height: Height) -> Result<(), OpenError<H::Error>> {
        let start = start_at_genesis(&self.genesis);
        let replayed = replay(&self.rules, &*self.log(), start, height, self.options.layers, |_| {})?;
        self.state = replayed.state;
        self.trie = replayed.trie;
        *self.recent.write().expect(UNPOISONED) = replayed.recent;
        Ok(())
    }

    /// A block left the window, and `new_floor` is its oldest now.
    pub(crate) fn leave_window(&mut self, _new_floor: Option<Arc<Executed>>) {}
}

pub(crate) fn start_at_genesis(genesis: &Genesis) -> Start {
    Start { block: genesis_block(genesis), entries: genesis_entries(genesis) }
}

/// Executes the log's blocks above `start` up to `to`. They were checked when they came, so signatures are
/// not checked again, and the tree is built once at the end: its root must be the last block's. `on_floor`
/// hears of every block that becomes the window's oldest.
pub(crate) fn replay<H: BlockHistory>(
    rules: &Rules,
    history: &H,
    start: Start,
    to: Height,
    layers: usize,
    mut on_floor: impl FnMut(Arc<Executed>),
) -> Result<Replayed, OpenError<H::Error>> {
    let Entries { accounts, records, code, system } = start.entries;
    let mut state = State::new(accounts, records, code, system);
    let floor = Executed {
        hash: start.block.hash(),
        header: start.block.header,
        commitment: start.block.commitment,
        transactions: Vec::new(),
        receipts: Vec::new(),
        diff: None,
        view: state.view(),
    };
    let mut recent = Recent::new(layers, Arc::new(floor));
    for height in recent.head().height().0 + 1..=to.0 {
        let block = read(history, Height(height))?;
        let executed = replay_block(rules, &mut state, recent.head(), block)
            .map_err(|reason| OpenError::Broken { height: Height(height), reason })?;
        if let Some(floor) = recent.push(Arc::new(executed)) {
            on_floor(floor);
        }
    }
    let trie = Trie::from_leaves(leaves::all(&state.view().entries()));
    let head = recent.head();
    if trie.root() != head.commitment.state_root {
        let reason = "its state root is not the one that the replay leads to".to_owned();
        return Err(OpenError::Broken { height: head.height(), reason });
    }
    Ok(Replayed { state, trie, recent })
}

fn replay_block(rules: &Rules, state: &mut State, head: &Executed, block: Block) -> Result<Executed, String> {
    let parent = Parent { hash: head.hash, height: head.height() };
    if block.header.parent != parent.hash {
        return Err("its parent is another block".to_owned());
    }
    let (header, commitment, time) = (block.header, block.commitment.clone(), block.time());
    let accepted = block.transactions.into_iter().map(|one: Transaction| {
        one.check_form(rules.chain_id, rules.genesis).map(|checked| checked.accepted_before())
    });
    let transactions: Result<Vec<_>, _> = accepted.collect();
    let proposal = Proposal {
        time,
        proposer: commitment.proposer,
        fee_recipient: commitment.fee_recipient,
        transactions: transactions.map_err(|error| error.to_string())?,
    };
    let outcome = execute(rules, &state.view(), &parent, proposal);
    if let Some((transaction, reason)) = outcome.left_out.first() {
        return Err(format!("transaction {}: {reason}", transaction.id()));
    }
    let transactions = included(&outcome);
    let diff = Arc::new(outcome.diff);
    state.apply(diff.clone());
    let (hash, receipts) = (header.hash(), outcome.receipts);
    Ok(Executed { hash, header, commitment, transactions, receipts, diff: Some(diff), view: state.view() })
}

fn read<H: BlockHistory>(history: &H, height: Height) -> Result<Block, OpenError<H::Error>> {
    let block = history.block_at(height).map_err(OpenError::History)?;
    block.ok_or_else(|| OpenError::Broken { height, reason: "it is missing".to_owned() })
}

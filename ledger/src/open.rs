//! Starting: from the newest good checkpoint, or from genesis, and the log after it.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use synod_types::{B256, Block, BlockHash, Genesis, Header, Height, mutant};
use synod_vm::Vm;

use crate::chain::{Ledger, UNPOISONED, keep_until_indexed};
use crate::execution::{BLOCK_HASHES, Beginning, Parent, Proposal, Rules, execute, genesis_entries};
use crate::history::BlockHistory;
use crate::index::Index;
use crate::index::writer::Writer;
use crate::recent::{Executed, Recent, included};
use crate::snapshot::{Base, SnapshotError};
use crate::state::{State, leaves};
use crate::store::{Alarm, SledPages, StoreError, forget_failure, noted_failure};
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
    /// The snapshot at which the block log begins, when it does not begin at genesis.
    pub base: Option<Base>,
    /// Hears of the index's first failure. Nothing is asked of the index afterwards, and whoever runs the
    /// ledger must stop: the next start builds the index anew (STO-5).
    pub on_index_failure: Alarm,
    /// Fresh random bytes, which weigh the equations of signature batches.
    pub seed: [u8; 32],
}

impl Options {
    /// 256 layers and a checkpoint for every 64 blocks, without an index.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            layers: 256,
            checkpoint_every: 64,
            index: None,
            base: None,
            on_index_failure: Alarm::default(),
            seed,
        }
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
    /// What became of the index.
    pub index: IndexFound,
}

/// What starting found where the index should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexFound {
    /// None was asked for.
    None,
    /// It is new, or has no checkpoint yet.
    Empty,
    /// It was used from this height.
    Used {
        /// Its checkpoint.
        height: Height,
    },
    /// It was moved aside and is being rebuilt from the log.
    Rebuilt {
        /// Why.
        reason: Unusable,
    },
}

/// Why an index is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It does not open, or is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It knows more than the log.
    #[error("the index stands at height {height}, and the block log ends at {log}")]
    Newer {
        /// Its height.
        height: Height,
        /// The log's.
        log: Height,
    },
    /// It stands on a block that is not on the log's chain.
    #[error("the index stands on another block of height {height} than the block log")]
    OtherBranch {
        /// Its height.
        height: Height,
    },
    /// The replay from it did not lead to the head's state root.
    #[error("the replay from the index does not lead to the head's state root")]
    Root,
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
    /// The log begins at a snapshot that is not here.
    #[error(
        "the block log begins at height {0}, and the snapshot of that height is not in snapshots/: put it back, or \
         remove blocks/, index/ and snapshots/, and the node syncs anew"
    )]
    NoBase(Height),
    /// The snapshot that the log begins at is damaged, and needed.
    #[error(
        "the block log begins at a snapshot that is damaged ({0}): remove blocks/, index/ and snapshots/, and the node \
         syncs anew"
    )]
    Base(SnapshotError),
    /// A block of the log does not follow from the one below it.
    #[error("block {height} of the log does not follow from the one below it: {reason}; sync from peers")]
    Broken {
        /// Where.
        height: Height,
        /// How.
        reason: String,
    },
    /// A new index cannot be made.
    #[error(transparent)]
    Index(StoreError),
    /// The index's folder cannot be moved aside.
    #[error("cannot move {} aside ({error}): move or remove it by hand, it is rebuilt", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

/// A state to replay from.
pub(crate) struct Start {
    pub(crate) block: Block,
    pub(crate) state: State,
}

/// A replayed chain.
pub(crate) struct Replayed {
    pub(crate) state: State,
    pub(crate) trie: Trie,
    pub(crate) recent: Recent,
}

impl<H: BlockHistory> Ledger<H> {
    /// Opens the ledger of `genesis` over its block log. An index that cannot be used is moved aside.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub fn open(
        genesis: Genesis,
        history: H,
        options: Options,
    ) -> Result<(Self, OpenReport), OpenError<H::Error>> {
        let rules = Rules::from(&genesis);
        let beginning = Beginning::new(genesis);
        let (mut store, start) = IndexStore::find(&options, rules.genesis, &history)?;
        let from_checkpoint = start.is_some();
        let start = match start {
            Some(start) => start,
            None => first_start(&beginning, &history, options.base.as_ref())?,
        };
        let mut replayed_from = start.block.height();
        let to = history.height();
        let (layers, base) = (options.layers, options.base.as_ref());
        let mut replayed = replay(&rules, &history, base, start, to, layers, &mut |floor| store.keep(floor));
        if from_checkpoint && matches!(replayed, Err(OpenError::Broken { .. })) {
            store.discard(&options, rules.genesis, Unusable::Root)?;
            let start = first_start(&beginning, &history, base)?;
            replayed_from = start.block.height();
            replayed = replay(&rules, &history, base, start, to, layers, &mut |floor| store.keep(floor));
        }
        let replayed = replayed?;
        if let Some(index) = &store.index {
            index.arm(options.on_index_failure.clone());
        }
        let ledger = Self {
            beginning: Arc::new(beginning),
            rules: Arc::new(rules),
            randomness: ChaCha20Rng::from_seed(options.seed),
            options,
            history: Arc::new(Mutex::new(history)),
            state: replayed.state,
            trie: replayed.trie,
            vm: Vm::new(),
            recent: Arc::new(RwLock::new(replayed.recent)),
            index: store.index,
            writer: store.writer,
        };
        let head = ledger.head();
        let report = OpenReport { height: head.height(), hash: head.hash, replayed_from, index: store.found };
        Ok((ledger, report))
    }

    /// Replays the log up to a height below the window: from the index's checkpoint when that is on the chain
    /// still, else from where the log begins, with an index that begins anew. Answers from where it was replayed.
    pub(crate) fn replay_to(&mut self, height: Height) -> Result<Height, OpenError<H::Error>> {
        // What waits for a checkpoint leaves the chain; only then does the checkpoint stand still.
        self.abandon_writer();
        let start = self.checkpoint_below(height);
        let beginning = self.log().base().map_or(Height(0), |base| base.height);
        let mut from = start.as_ref().map_or(beginning, |start| start.block.height());
        let mut replayed = self.replay_from(start, height);
        if from > beginning && matches!(replayed, Err(OpenError::Broken { .. })) {
            from = beginning;
            replayed = self.replay_from(None, height);
        }
        let replayed = replayed?;
        self.state = replayed.state;
        self.trie = replayed.trie;
        *self.recent.write().expect(UNPOISONED) = replayed.recent;
        Ok(from)
    }

    /// The state at the index's checkpoint, if it is not above `height`.
    fn checkpoint_below(&self, height: Height) -> Option<Start> {
        let index = self.index.as_ref()?;
        let manifest = index.manifest().filter(|manifest| manifest.height <= height)?;
        let block = self.log().block_at(manifest.height).ok().flatten();
        let block = block.filter(|block| block.hash() == manifest.hash)?;
        let state = index.load().ok().flatten()?;
        Some(Start { block, state })
    }

    fn abandon_writer(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            writer.abandon();
        }
    }

    fn replay_from(&mut self, start: Option<Start>, height: Height) -> Result<Replayed, OpenError<H::Error>> {
        self.abandon_writer();
        let start = match start {
            Some(start) => start,
            None => {
                if let Some(index) = &self.index {
                    index.clear().map_err(OpenError::Index)?;
                }
                first_start(&self.beginning, &*self.log(), self.options.base.as_ref())?
            }
        };
        let index = self.index.clone();
        let mut writer = index.clone().map(|index| Writer::start(index, self.options.checkpoint_every));
        let (layers, base) = (self.options.layers, self.options.base.as_ref());
        let replayed = replay(&self.rules, &*self.log(), base, start, height, layers, &mut |floor| {
            keep_until_indexed(&mut writer, index.as_deref(), floor)
        });
        self.writer = writer;
        replayed
    }
}

/// The index while the ledger opens.
struct IndexStore {
    index: Option<Arc<Index<SledPages>>>,
    writer: Option<Writer>,
    found: IndexFound,
}

impl IndexStore {
    /// Opens the index, and the state at its checkpoint if that is on the log's chain; moves it aside if not.
    fn find<H: BlockHistory>(
        options: &Options,
        genesis: B256,
        history: &H,
    ) -> Result<(Self, Option<Start>), OpenError<H::Error>> {
        let mut store = Self { index: None, writer: None, found: IndexFound::None };
        let Some(folder) = &options.index else {
            return Ok((store, None));
        };
        let found = std::panic::catch_unwind(AssertUnwindSafe(|| usable(folder, genesis, history)));
        let found = found.unwrap_or_else(|_| Err(Unusable::Store(StoreError::Damaged("it panicked"))));
        match found {
            Ok((index, start)) => {
                let index = Arc::new(index);
                store.writer = Some(Writer::start(index.clone(), options.checkpoint_every));
                store.index = Some(index);
                store.found = match &start {
                    Some(start) => IndexFound::Used { height: start.block.height() },
                    None => IndexFound::Empty,
                };
                Ok((store, start))
            }
            Err(reason) => store.discard(options, genesis, reason).map(|()| (store, None)),
        }
    }

    /// Moves the index aside and begins an empty one.
    fn discard<E>(&mut self, options: &Options, genesis: B256, reason: Unusable) -> Result<(), OpenError<E>> {
        let folder = options.index.as_ref().expect("what is discarded has a folder");
        self.writer = None;
        self.index = None;
        move_aside(folder).map_err(|error| OpenError::Folder { folder: folder.clone(), error })?;
        let pages = SledPages::open(folder).map_err(OpenError::Index)?;
        let index = Arc::new(Index::open(pages, genesis).map_err(OpenError::Index)?);
        self.writer = Some(Writer::start(index.clone(), options.checkpoint_every));
        self.index = Some(index);
        self.found = IndexFound::Rebuilt { reason };
        Ok(())
    }

    fn keep(&mut self, floor: Arc<Executed>) -> Height {
        keep_until_indexed(&mut self.writer, self.index.as_deref(), floor)
    }
}

/// The index in a folder, with the state to start from, if it can be used with this log (STO-4).
fn usable<H: BlockHistory>(
    folder: &Path,
    genesis: B256,
    history: &H,
) -> Result<(Index<SledPages>, Option<Start>), Unusable> {
    if let Some(failure) = noted_failure(folder) {
        return Err(failure.into());
    }
    let index = Index::open(SledPages::open(folder)?, genesis)?;
    let Some(manifest) = index.manifest() else {
        return Ok((index, None));
    };
    let (height, log) = (manifest.height, history.height());
    if height > log {
        return Err(Unusable::Newer { height, log });
    }
    if !history.is_on_chain(height, &manifest.hash) && !mutant!("sto-4-branch") {
        return Err(Unusable::OtherBranch { height });
    }
    let block = history.block_at(height).ok().flatten().ok_or(Unusable::OtherBranch { height })?;
    let state = index.load()?.expect("there is a manifest");
    Ok((index, Some(Start { block, state })))
}

/// Renames the folder; what was moved aside before is removed, so that at most one old index stays.
fn move_aside(folder: &Path) -> std::io::Result<()> {
    forget_failure(folder)?;
    if !folder.exists() {
        return Ok(());
    }
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".aside");
    let aside = folder.with_file_name(name);
    if aside.exists() {
        std::fs::remove_dir_all(&aside)?;
    }
    std::fs::rename(folder, aside)
}

/// The state that the log begins above: that of the snapshot at its base, or genesis.
fn first_start<H: BlockHistory>(
    beginning: &Beginning,
    log: &H,
    base: Option<&Base>,
) -> Result<Start, OpenError<H::Error>> {
    let Some(tip) = log.base() else { return start_at_genesis(beginning, log) };
    let base = base.filter(|base| base.manifest.hash() == tip.hash).ok_or(OpenError::NoBase(tip.height))?;
    let block = base.manifest.block().ok_or(OpenError::NoBase(tip.height))?;
    Ok(Start { block, state: base.load().map_err(OpenError::Base)? })
}

/// The first state, if the log's first block stands on the genesis block. (An index names its genesis, and
/// its block is on the log's chain, so that a start from there need not ask.)
fn start_at_genesis<H: BlockHistory>(beginning: &Beginning, log: &H) -> Result<Start, OpenError<H::Error>> {
    let block = beginning.block().clone();
    if log.height() > Height(0) && read(log, Height(1))?.header.parent != block.hash() {
        return Err(OpenError::OtherNetwork);
    }
    Ok(Start { block, state: State::new(genesis_entries(beginning.genesis())) })
}

/// Executes the log's blocks above `start` up to `to`. They were checked when they came, so signatures are
/// not checked again, and the tree is built once at the end: its root must be the last block's. `on_floor`
/// hears of every block that becomes the window's oldest, and says up to where blocks can be let go.
pub(crate) fn replay<H: BlockHistory>(
    rules: &Rules,
    history: &H,
    base: Option<&Base>,
    start: Start,
    to: Height,
    layers: usize,
    on_floor: &mut dyn FnMut(Arc<Executed>) -> Height,
) -> Result<Replayed, OpenError<H::Error>> {
    let mut state = start.state;
    let floor = Executed {
        hash: start.block.hash(),
        header: start.block.header,
        commitment: start.block.commitment,
        transactions: Vec::new(),
        receipts: Vec::new(),
        diff: None,
        view: state.view(),
    };
    let older = hashes_below(history, base, &floor.header, floor.height())?;
    let (mut vm, mut recent) = (Vm::new(), Recent::new(layers, Arc::new(floor), older));
    for height in recent.head().height().0 + 1..=to.0 {
        let block = read(history, Height(height))?;
        let executed = replay_block(&mut vm, rules, &mut state, &recent, block)
            .map_err(|reason| OpenError::Broken { height: Height(height), reason })?;
        if let Some(floor) = recent.push(Arc::new(executed)) {
            recent.release(on_floor(floor));
        }
    }
    let trie = leaves::tree(&state.view());
    let head = recent.head();
    if trie.root() != head.commitment.state_root {
        let reason = "its state root is not the one that the replay leads to".to_owned();
        return Err(OpenError::Broken { height: head.height(), reason });
    }
    Ok(Replayed { state, trie, recent })
}

/// The hashes of the blocks below one, as far down as contracts above it may ask, newest last.
fn hashes_below<H: BlockHistory>(
    history: &H,
    base: Option<&Base>,
    header: &Header,
    height: Height,
) -> Result<Vec<BlockHash>, OpenError<H::Error>> {
    let pruned = history.base().map_or(Height(0), |base| base.height);
    let parent = |height: Height| {
        if height > pruned {
            return Ok(read(history, height)?.header.parent);
        }
        // Those that the log does not have came with the snapshot that it begins at.
        let header = base.and_then(|base| base.manifest.header_at(height));
        header.map(|header| header.parent).ok_or(OpenError::NoBase(pruned))
    };
    let lowest = height.0.saturating_sub(BLOCK_HASHES).saturating_add(1);
    // Each block names the one below it, the first one the genesis block.
    let mut hashes: Vec<_> =
        (lowest..height.0).map(|above| parent(Height(above))).collect::<Result<_, OpenError<H::Error>>>()?;
    if height > Height(0) {
        hashes.push(header.parent);
    }
    Ok(hashes)
}

fn replay_block(
    vm: &mut Vm,
    rules: &Rules,
    state: &mut State,
    recent: &Recent,
    block: Block,
) -> Result<Executed, String> {
    let head = recent.head();
    let parent = Parent { hash: head.hash, height: head.height(), ancestors: recent };
    if block.header.parent != parent.hash {
        return Err("its parent is another block".to_owned());
    }
    let (header, commitment, time) = (block.header, block.commitment.clone(), block.time());
    let accepted = block.transactions.into_iter().map(|one| one.accepted_before(rules.genesis));
    let proposal = Proposal {
        time,
        proposer: commitment.proposer,
        fee_recipient: commitment.fee_recipient,
        transactions: accepted.collect(),
    };
    let outcome = execute(vm, rules, &state.view(), &parent, proposal);
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

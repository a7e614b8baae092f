//! What the simulator runs a protocol on: a ledger and its block log, with the power that can be cut.
//!
//! The model below is enough to judge the ordering: its blocks are real blocks, its state root is a hash
//! chain, and its log is a list of which the unsynced tail may get lost. The crate `testnet` puts the real
//! ledger and the real log over a disk's twin behind the same trait.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use alloy_primitives::{Address, B256, Bloom, Bytes};
use synod_types::block::{FORMAT_VERSION, HEADER_VERSION, transactions_root};
use synod_types::hash::sha256;
use synod_types::{Block, BlockHash, Commitment, Gas, Header, Height, UnixMillis};

use crate::pow::History;
use crate::pow::chain_position;
use crate::random::Random;
use crate::time::Time;

/// What a template is for.
#[derive(Debug, Clone, Copy)]
pub struct Template {
    /// The executed tip.
    pub parent: BlockHash,
    /// The new block's height.
    pub height: Height,
    /// The header's bits.
    pub bits: u32,
    /// The block's time.
    pub time: UnixMillis,
    /// Who gets the reward.
    pub recipient: Address,
}

/// What the disk under a ledger does with writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiskState {
    /// It keeps them.
    #[default]
    Good,
    /// It has no room: every write ends short (S-D4).
    Full,
    /// The next sync fails; nobody knows what of the written bytes reached the disk (S-D3).
    Failing,
}

/// Why nothing became durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncError {
    /// The disk is full. What was written before is kept in memory, and can be written when space is freed.
    Full,
    /// A write or a sync failed: the process must end (GEN-4).
    Failed,
}

/// What a ledger's own oracles found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The oracle's id.
    pub oracle: &'static str,
    /// What was seen.
    pub message: String,
}

/// A ledger and its block log, for one node.
pub trait Ledger {
    /// Whether clients talk to it: then [`Ledger::client`] is called now and then.
    const HAS_CLIENTS: bool = false;
    /// Whether its disk can rot: then [`Ledger::rot`] is called now and then.
    const ROTS: bool = false;

    /// What a start finds in the log.
    fn history(&self) -> History;
    /// A block on the executed tip; `None` when the tip is another.
    fn assemble(&mut self, template: &Template) -> Option<Block>;
    /// Executes a block on the tip and writes it; it is durable only after `sync`.
    ///
    /// # Errors
    /// Why the block is invalid.
    fn execute(&mut self, block_hash: BlockHash, body: &Bytes) -> Result<(), String>;
    /// Undoes executed blocks down to this one, and writes that.
    ///
    /// # Errors
    /// Why there is no such block below the tip.
    fn rewind(&mut self, to: BlockHash) -> Result<(), String>;
    /// Makes all that was written durable.
    ///
    /// # Errors
    /// [`SyncError`]; after [`SyncError::Full`] it may be tried again.
    fn sync(&mut self) -> Result<(), SyncError>;
    /// A block that was appended once.
    fn load(&self, block_hash: BlockHash) -> Option<Bytes>;
    /// The power fails, and comes back: what was not synced is lost, in whole or in part.
    fn power_cut(&mut self, random: &mut Random);
    /// The executed tip.
    fn tip(&self) -> BlockHash;
    /// What the disk does from now on; a power cut makes it good again.
    fn set_disk(&mut self, disk: DiskState);
    /// Keeps a copy of what is durable now, in place of an earlier one.
    fn keep_image(&mut self);
    /// The machine comes back with the copy that was kept (S-C5), or with an empty disk (S-C4) if none was.
    /// Follows a power cut.
    fn restore_image(&mut self);
    /// Forgets the copy that was kept.
    fn drop_image(&mut self);

    /// While it was off, some bit of its disk flipped (S-D5), and it starts again. Answers whether something of
    /// what it had is gone: then it knows that, and has the rest or nothing. Follows a power cut.
    fn rot(&mut self, _random: &mut Random) -> bool {
        false
    }

    /// A client calls: it looks at its account here, and submits what it wants executed next.
    fn client(&mut self, _now: Time, _wall: UnixMillis, _random: &mut Random) {}
    /// Since when a client's transaction waits that this ledger has not executed: the oldest one.
    fn waits_since(&self) -> Option<Time> {
        None
    }
    /// What its own oracles found since they were asked last.
    fn complaint(&mut self) -> Option<Complaint> {
        None
    }
    /// Named events that happened since this was asked last (A15).
    fn happened(&mut self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// Blocks that were read once, for all model ledgers of a run.
#[derive(Default)]
pub struct Archive {
    blocks: BTreeMap<BlockHash, Archived>,
}

struct Archived {
    block: Block,
    bytes: Bytes,
    /// Whether it is a valid child of its parent.
    is_valid: bool,
}

/// Shared by the model ledgers of one run.
pub type SharedArchive = Rc<RefCell<Archive>>;

#[derive(Debug, Clone, Copy)]
enum Entry {
    Append(BlockHash),
    Rewind(BlockHash),
}

/// The model.
pub struct ModelLedger {
    archive: SharedArchive,
    genesis: Header,
    /// The root of the empty list of transactions, which all blocks of the model have.
    no_transactions: B256,
    log: Vec<Entry>,
    synced: usize,
    /// From here on the disk has lost what it was given, though a sync may have said otherwise since.
    lost: Option<usize>,
    disk: DiskState,
    image: Vec<Entry>,
    /// Executed blocks above the genesis block.
    chain: Vec<BlockHash>,
}

/// The state root of the genesis block of every model.
const FIRST_ROOT: B256 = B256::repeat_byte(7);

impl ModelLedger {
    /// An empty log.
    pub fn new(genesis: Header, archive: SharedArchive) -> Self {
        let no_transactions = transactions_root(&[]);
        Self {
            archive,
            genesis,
            no_transactions,
            log: Vec::new(),
            synced: 0,
            lost: None,
            disk: DiskState::Good,
            image: Vec::new(),
            chain: Vec::new(),
        }
    }

    fn root(archive: &Archive, hash: BlockHash) -> B256 {
        archive.blocks.get(&hash).map_or(FIRST_ROOT, |archived| archived.block.commitment.state_root)
    }

    fn next_root(parent: B256, height: Height, recipient: Address) -> B256 {
        sha256(&[b"model", parent.as_slice(), &height.0.to_be_bytes(), recipient.as_slice()])
    }

    fn replay(&mut self) {
        self.chain.clear();
        for entry in &self.log {
            match entry {
                Entry::Append(hash) => self.chain.push(*hash),
                Entry::Rewind(to) => {
                    let kept = self.chain.iter().position(|hash| hash == to).map_or(0, |at| at + 1);
                    self.chain.truncate(kept);
                }
            }
        }
    }
}

impl Ledger for ModelLedger {
    fn history(&self) -> History {
        let archive = self.archive.borrow();
        let header = |hash: &BlockHash| archive.blocks[hash].block.header;
        let undone = self.log.iter().filter_map(|entry| match entry {
            Entry::Append(hash) if !self.chain.contains(hash) => Some(header(hash)),
            _ => None,
        });
        History { chain: self.chain.iter().map(header).collect(), undone: undone.collect() }
    }

    fn assemble(&mut self, template: &Template) -> Option<Block> {
        if self.tip() != template.parent {
            return None;
        }
        let root = Self::root(&self.archive.borrow(), template.parent);
        let commitment = Commitment {
            format: FORMAT_VERSION,
            position: chain_position(template.height.0),
            height: template.height,
            millis: (template.time.0 % 1000) as u16,
            transactions_root: self.no_transactions,
            state_root: Self::next_root(root, template.height, template.recipient),
            receipts_root: B256::ZERO,
            logs_bloom: Bloom::ZERO,
            gas_used: Gas(0),
            gas_limit: Gas(0),
            base_fee: 0,
            proposer: template.recipient,
            fee_recipient: template.recipient,
            next_committee: B256::ZERO,
            extra_nonce: 0,
        };
        let header = Header {
            version: HEADER_VERSION,
            parent: template.parent,
            commitment: commitment.digest(),
            time: template.time.seconds() as u32,
            bits: template.bits,
            nonce: 0,
        };
        Some(Block { header, commitment, transactions: Vec::new() })
    }

    fn execute(&mut self, block_hash: BlockHash, body: &Bytes) -> Result<(), String> {
        let mut archive = self.archive.borrow_mut();
        if !archive.blocks.contains_key(&block_hash) {
            let block = Block::from_bytes(body).map_err(|error| error.to_string())?;
            let (above, commitment) = (Self::root(&archive, block.header.parent), &block.commitment);
            let expected = Self::next_root(above, commitment.height, commitment.fee_recipient);
            let is_valid = commitment.state_root == expected && block.check_body().is_ok();
            archive.blocks.insert(block_hash, Archived { block, bytes: body.clone(), is_valid });
        }
        let archived = &archive.blocks[&block_hash];
        let height = self.chain.len() as u64 + 1;
        assert_eq!(archived.block.header.parent, self.tip(), "a block is appended to its parent");
        if !archived.is_valid || archived.block.commitment.height.0 != height {
            return Err("the block's state root is not that of its execution".to_owned());
        }
        drop(archive);
        self.log.push(Entry::Append(block_hash));
        self.chain.push(block_hash);
        Ok(())
    }

    fn rewind(&mut self, to: BlockHash) -> Result<(), String> {
        let is_genesis = to == self.genesis.hash();
        let Some(kept) =
            self.chain.iter().rposition(|hash| *hash == to).map(|at| at + 1).or(is_genesis.then_some(0))
        else {
            return Err(format!("block {to} is not on the chain"));
        };
        self.log.push(Entry::Rewind(to));
        self.chain.truncate(kept);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SyncError> {
        match self.disk {
            DiskState::Full => return Err(SyncError::Full),
            DiskState::Failing => {
                self.disk = DiskState::Good;
                self.lost.get_or_insert(self.synced);
                return Err(SyncError::Failed);
            }
            DiskState::Good => self.synced = self.log.len(),
        }
        Ok(())
    }

    fn load(&self, block_hash: BlockHash) -> Option<Bytes> {
        let is_logged =
            self.log.iter().any(|entry| matches!(entry, Entry::Append(hash) if *hash == block_hash));
        is_logged.then(|| self.archive.borrow().blocks[&block_hash].bytes.clone())
    }

    /// Frames are chained, so of the unsynced ones a prefix survives, however the disk reordered them.
    fn power_cut(&mut self, random: &mut Random) {
        let safe = self.lost.take().map_or(self.synced, |lost| self.synced.min(lost));
        let unsafe_entries = (self.log.len() - safe) as u64;
        let kept = if random.chance(800_000) { 0 } else { random.below(unsafe_entries + 1) };
        self.log.truncate(safe + kept as usize);
        self.synced = self.log.len();
        self.disk = DiskState::Good;
        self.replay();
    }

    fn set_disk(&mut self, disk: DiskState) {
        self.disk = disk;
    }

    fn keep_image(&mut self) {
        self.image = self.log[..self.synced].to_vec();
    }

    fn restore_image(&mut self) {
        self.log.clone_from(&self.image);
        self.synced = self.log.len();
        self.replay();
    }

    fn drop_image(&mut self) {
        self.image.clear();
    }

    fn tip(&self) -> BlockHash {
        self.chain.last().copied().unwrap_or_else(|| self.genesis.hash())
    }
}

//! What this ledger does in a second here: figures for `synod bench` and for whoever changes it.
//!
//! Functions that measure and return; whoever calls them prints. They read the clock, which is why they stand
//! apart. Signatures are checked once, at the mempool's door; [`verify`] measures that, and [`apply`] takes
//! its blocks' transactions as checked, as they come from the pool's memory in a node.

mod contracts;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

pub use contracts::{ContractFigures, ContractLoad, Token, contracts};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde::Serialize;
use synod_types::address::address_of;
use synod_types::amount::SYN;
use synod_types::hash::sha256;
use synod_types::transaction::{SignedNative, verify_transactions};
use synod_types::{
    Address, B256, Gas, Genesis, NativeTransaction, PublicKey, Signature, Transaction, U256, UnixMillis,
    VerifiedTransaction,
};

use crate::disk::{Disk, DiskError, DiskFile, RealDisk};
use crate::execution::{Proposal, Rules};
use crate::log::blocks::{BlockLog, BlockLogError, OpenedBlocks};
use crate::log::{LogOptions, Salt};
use crate::testing::{genesis, key, transfer, unsigned};
use crate::trie::{Change, Leaf, Trie};
use crate::verify::Door;
use crate::{Ledger, LoggedHistory, Options};

/// Signatures checked in batches.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyFigures {
    /// Transactions checked in all.
    pub transactions: u32,
    /// In one batch.
    pub batch: u32,
    /// Different senders.
    pub senders: u32,
    /// Checked for each second, by one thread.
    pub per_second: f64,
}

/// Checks `batches` batches of transfers of `senders` senders, forms and ids included.
pub fn verify(batch: u32, batches: u32, senders: u32) -> VerifyFigures {
    let rules = Rules::from(&genesis());
    let keys: Vec<_> = (0..senders.max(1)).map(|number| key(number.into())).collect();
    let offered: Vec<Transaction> = (0..batch)
        .map(|number| &keys[(number % senders.max(1)) as usize])
        .zip(0..)
        .map(|(from, nonce)| transfer(&rules, from, nonce, from.public(), 1).into_transaction())
        .collect();
    let mut randomness = ChaCha20Rng::from_seed([9; 32]);
    let mut spent = Duration::ZERO;
    for _ in 0..batches {
        let offered = offered.clone();
        let begun = Instant::now();
        let verdicts = verify_transactions(offered, rules.chain_id, rules.genesis, &mut randomness);
        spent += begun.elapsed();
        assert!(verdicts.iter().all(Result::is_ok), "they were just signed");
    }
    let transactions = batch * batches;
    VerifyFigures { transactions, batch, senders, per_second: f64::from(transactions) / spent.as_secs_f64() }
}

/// The state tree's root after batches of updates.
#[derive(Debug, Clone, Serialize)]
pub struct RootFigures {
    /// Keys in the tree.
    pub keys: u64,
    /// Updates in a batch.
    pub updates: u64,
    /// The middle of the batches' times, in milliseconds.
    pub median_ms: f64,
    /// The fastest batch, in milliseconds.
    pub fastest_ms: f64,
    /// Building the tree, in milliseconds.
    pub build_ms: f64,
    /// Bytes that the tree occupies.
    pub memory_bytes: usize,
}

/// Measures `rounds` batches of random updates over a tree of `keys` keys.
pub fn root(keys: u64, updates: u64, rounds: u32) -> RootFigures {
    let key = |number: u64| sha256(&[&number.to_be_bytes()]);
    let leaves = (0..keys).map(|number| Leaf { key: key(number), value: key(!number) }).collect();
    let begun = Instant::now();
    let mut trie = Trie::from_leaves(leaves);
    let build_ms = milliseconds(begun.elapsed());
    let mut random = ChaCha20Rng::from_seed([3; 32]);
    let mut times: Vec<Duration> = (0..rounds.max(1))
        .map(|_| {
            let chosen: std::collections::BTreeSet<u64> =
                std::iter::repeat_with(|| random.next_u64() % keys).take(updates as usize).collect();
            let batch: Vec<Change> = chosen
                .into_iter()
                .map(|number| Change { key: key(number), value: Some(key(random.next_u64())) })
                .collect();
            let begun = Instant::now();
            trie.apply(&batch);
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    RootFigures {
        keys,
        updates,
        median_ms: milliseconds(times[times.len() / 2]),
        fastest_ms: milliseconds(times[0]),
        build_ms,
        memory_bytes: trie.memory_bytes(),
    }
}

/// What to put on a chain.
#[derive(Debug, Clone, Copy)]
pub struct ApplyLoad {
    /// Accounts before the measured blocks.
    pub accounts: u64,
    /// Blocks to measure.
    pub blocks: u32,
    /// Transfers in each of them, between random accounts.
    pub transfers: u32,
    /// Whether commits are synced to the disk.
    pub sync: bool,
    /// Whether checkpoints are written behind.
    pub index: bool,
}

/// Blocks executed, rooted and committed.
#[derive(Debug, Clone, Serialize)]
pub struct ApplyFigures {
    /// Accounts at the end.
    pub accounts: u64,
    /// Transfers in a block.
    pub transfers: u32,
    /// Whether commits were synced.
    pub synced: bool,
    /// Blocks for each second, appended and committed.
    pub blocks_per_second: f64,
    /// The middle of the times of an append, in milliseconds.
    pub append_ms: f64,
    /// The middle of the times of a commit, in milliseconds.
    pub commit_ms: f64,
    /// The slowest block, in milliseconds.
    pub slowest_ms: f64,
    /// Opening the ledger again from log and index, in milliseconds.
    pub restart_ms: f64,
    /// From which height the restart replayed.
    pub restart_from: u64,
    /// The process's memory at its highest before the restart, in bytes; 0 where the system does not tell.
    pub peak_memory_bytes: u64,
}

/// Why a bench could not run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The folder.
    #[error("the bench's folder: {0}")]
    Folder(#[from] io::Error),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The log.
    #[error(transparent)]
    Log(#[from] BlockLogError),
    /// The ledger.
    #[error("the ledger: {0}")]
    Ledger(String),
}

/// Measures blocks of transfers in an empty folder: first the accounts are made by transfers to them, then
/// the measured blocks run, then the ledger is closed and opened again.
///
/// # Errors
/// [`BenchError`].
pub fn apply(folder: &Path, load: ApplyLoad) -> Result<ApplyFigures, BenchError> {
    std::fs::create_dir_all(folder.join("blocks"))?;
    let mut crowd = Crowd::new(load.accounts);
    let mut ledger = crowd.open(folder, load)?;
    crowd.settle(&mut ledger)?;
    let mut random = ChaCha20Rng::from_seed([4; 32]);
    let (mut appends, mut commits, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..load.blocks.max(1) {
        let block = crowd.random_block(&mut ledger, load.transfers, &mut random);
        while ledger.prepare().map_err(failed)? {}
        let begun = Instant::now();
        ledger.append(&block, &Vouching(crowd.rules.genesis)).map_err(failed)?;
        let appended = begun.elapsed();
        ledger.commit().map_err(failed)?;
        wholes.push(begun.elapsed());
        appends.push(appended);
        commits.push(begun.elapsed() - appended);
    }
    let total: Duration = wholes.iter().sum();
    ledger.close();
    let peak_memory_bytes = peak_memory_bytes();
    let begun = Instant::now();
    let (ledger, report) = crowd.open_with_report(folder, load)?;
    let restart_ms = milliseconds(begun.elapsed());
    drop(ledger);
    Ok(ApplyFigures {
        accounts: load.accounts,
        transfers: load.transfers,
        synced: load.sync,
        blocks_per_second: wholes.len() as f64 / total.as_secs_f64(),
        append_ms: milliseconds(middle(&mut appends)),
        commit_ms: milliseconds(middle(&mut commits)),
        slowest_ms: milliseconds(wholes.iter().copied().max().unwrap_or_default()),
        restart_ms,
        restart_from: report.replayed_from.0,
        peak_memory_bytes,
    })
}

/// Accounts that pay each other. Their keys sign nothing: the bench's transactions count as checked.
struct Crowd {
    genesis: Genesis,
    rules: Rules,
    addresses: Vec<Address>,
    nonces: Vec<u64>,
}

/// Accounts that a block of the beginning makes.
const FILL: u64 = 1_000;

impl Crowd {
    fn new(accounts: u64) -> Self {
        let addresses = (0..accounts).map(|number| address_of(&public(number))).collect();
        let mut genesis = genesis();
        genesis.alloc = [(address_of(&public(u64::MAX)), U256::from(1_000_000_000 * SYN))].into();
        genesis.fees.target_gas_per_second = 1_000_000_000_000;
        genesis.limits.block_gas = Gas(1_000_000_000);
        let rules = Rules::from(&genesis);
        Self { genesis, rules, addresses, nonces: vec![0; accounts as usize] }
    }

    fn open(&self, folder: &Path, load: ApplyLoad) -> Result<Ledger<LoggedHistory<MaybeSynced>>, BenchError> {
        Ok(self.open_with_report(folder, load)?.0)
    }

    fn open_with_report(
        &self,
        folder: &Path,
        load: ApplyLoad,
    ) -> Result<(Ledger<LoggedHistory<MaybeSynced>>, crate::OpenReport), BenchError> {
        let disk = MaybeSynced { disk: RealDisk::open(&folder.join("blocks"))?, sync: load.sync };
        let OpenedBlocks::Whole(log, _) = BlockLog::open(disk, LogOptions::blocks(Salt([0x5a; 16])))? else {
            return Err(BenchError::Ledger("the bench's own log is damaged".to_owned()));
        };
        let history = LoggedHistory::new(log, &self.genesis);
        let index = load.index.then(|| folder.join("index"));
        let options = Options { index, ..Options::new([2; 32]) };
        Ledger::open(self.genesis.clone(), history, options).map_err(failed)
    }

    /// One rich account pays each account its first money.
    fn settle<D: Disk>(&mut self, ledger: &mut Ledger<LoggedHistory<D>>) -> Result<(), BenchError> {
        for first in (0..self.addresses.len() as u64).step_by(FILL as usize) {
            let last = (first + FILL).min(self.addresses.len() as u64);
            let pay = |to: u64| self.payment(u64::MAX, to, self.addresses[to as usize], SYN);
            let transactions = (first..last).map(pay).collect();
            let block = self.build(ledger, transactions);
            ledger.append(&block, &Vouching(self.rules.genesis)).map_err(failed)?;
            ledger.commit().map_err(failed)?;
        }
        Ok(())
    }

    fn random_block<D: Disk>(
        &mut self,
        ledger: &mut Ledger<LoggedHistory<D>>,
        transfers: u32,
        random: &mut ChaCha20Rng,
    ) -> synod_types::Block {
        let accounts = self.addresses.len() as u64;
        let mut transactions = Vec::new();
        for _ in 0..transfers {
            let (from, to) = (random.next_u64() % accounts, random.next_u64() % accounts);
            let nonce = self.nonces[from as usize];
            self.nonces[from as usize] += 1;
            transactions.push(self.payment(from, nonce, self.addresses[to as usize], 1));
        }
        self.build(ledger, transactions)
    }

    fn build<D: Disk>(
        &self,
        ledger: &mut Ledger<LoggedHistory<D>>,
        transactions: Vec<VerifiedTransaction>,
    ) -> synod_types::Block {
        let time = UnixMillis(ledger.head().time().0 + 1_000);
        let miner = address_of(&public(u64::MAX - 1));
        let count = transactions.len();
        let built = ledger.build(Proposal { time, proposer: miner, fee_recipient: miner, transactions }, 0);
        assert_eq!(built.block.transactions.len(), count, "{:?}", built.left_out.first());
        built.block
    }

    fn payment(&self, from: u64, nonce: u64, to: Address, wei: u128) -> VerifiedTransaction {
        self.vouched(unsigned(&self.rules, public(from), nonce, to, wei))
    }

    /// A transaction as it comes from the pool's memory.
    fn vouched(&self, transaction: NativeTransaction) -> VerifiedTransaction {
        let signed = SignedNative { transaction, signature: Signature([0; 64]) };
        Transaction::Native(signed).accepted_before(self.rules.genesis)
    }
}

/// The pool's memory: it has seen every transaction.
struct Vouching(B256);

impl Door for Vouching {
    fn verified(&self, transaction: &Transaction) -> Option<VerifiedTransaction> {
        Some(transaction.clone().accepted_before(self.0))
    }
}

/// A real disk whose syncs can be left out, to tell their cost.
#[derive(Debug)]
struct MaybeSynced {
    disk: RealDisk,
    sync: bool,
}

#[derive(Debug)]
struct MaybeSyncedFile {
    file: <RealDisk as Disk>::File,
    sync: bool,
}

impl Disk for MaybeSynced {
    type File = MaybeSyncedFile;

    fn list(&self) -> Result<Vec<String>, DiskError> {
        self.disk.list()
    }

    fn open(&self, name: &str) -> Result<Self::File, DiskError> {
        Ok(MaybeSyncedFile { file: self.disk.open(name)?, sync: self.sync })
    }

    fn create(&self, name: &str) -> Result<Self::File, DiskError> {
        Ok(MaybeSyncedFile { file: self.disk.create(name)?, sync: self.sync })
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.disk.remove(name)
    }

    fn sync_folder(&self) -> Result<(), DiskError> {
        if self.sync { self.disk.sync_folder() } else { Ok(()) }
    }
}

impl DiskFile for MaybeSyncedFile {
    fn length(&self) -> Result<u64, DiskError> {
        self.file.length()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_at(offset, bytes)
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        if self.sync { self.file.sync_data() } else { Ok(()) }
    }
}

fn public(number: u64) -> PublicKey {
    PublicKey(sha256(&[b"crowd", &number.to_be_bytes()]).0)
}

fn failed(error: impl std::fmt::Display) -> BenchError {
    BenchError::Ledger(error.to_string())
}

fn middle(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The most memory that this process ever had (`VmHWM` of Linux).
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Small loads run through; how fast is nobody's business here.
    #[test]
    fn the_benches_run() {
        assert_eq!(verify(20, 2, 3).transactions, 40);
        assert!(root(1_000, 50, 3).memory_bytes > 0);
        for sync in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let load = ApplyLoad { accounts: 300, blocks: 5, transfers: 20, sync, index: true };
            let figures = apply(folder.path(), load).unwrap();
            assert!(figures.blocks_per_second > 0.0 && figures.synced == sync);
        }
    }
}

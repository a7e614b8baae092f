//! One node's block log on its own simulated machine: opened, cut off amid a write, filled, worn, replaced.
//!
//! The oracle here is A5 in its strongest form: whatever a commit proved durable is read back after every boot,
//! byte for byte, for as long as this disk is not exchanged for an older one; and a flipped byte is either found
//! or harmless, and never served.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_consensus::random::Random;
use synod_consensus::sim::{Complaint, DiskState, SyncError};
use synod_ledger::LoggedHistory;
use synod_ledger::disk::{Choices, Disk, Faults, Image, PowerCut, SimDisk};
use synod_ledger::history::HistoryError;
use synod_ledger::log::blocks::{BlockLog, BlockLogError, OpenedBlocks};
use synod_ledger::log::{LogError, LogOptions, Salt};
use synod_node::driver::{DiskRecords, SharedBlocks};
use synod_types::{Block, BlockHash, Genesis};

use super::books::wrong;

/// Small segments, so that runs fill some; a group of sixteen full blocks still fits.
const SEGMENT_BYTES: u32 = 128 * 1024;
/// Zeros written in one step of preparing the next one.
const STEP_BYTES: u32 = 16 * 1024;
/// Writes that find a full disk full.
const SHORT_WRITES: u64 = 400;
/// The folder of the block log.
const FOLDER: &str = "blocks";

/// The history on a simulated disk.
pub(super) type Blocks = SharedBlocks<SimDisk>;

/// The journal of votes on a simulated disk.
pub(super) type Votes<R> = DiskRecords<SimDisk, R>;

/// A machine's storage.
pub(super) struct Storage {
    disk: SimDisk,
    choices: Choices,
    boots: u64,
    image: Option<(Image, Committed)>,
    committed: Committed,
    /// Written since the last commit.
    staged: Vec<Block>,
    has_staged: bool,
}

/// What commits proved durable, and in which of them.
#[derive(Debug, Clone, Default)]
struct Committed {
    blocks: BTreeMap<BlockHash, (u64, Block)>,
    commits: u64,
}

/// Why a log did not open.
pub(super) struct Refused(pub(super) String);

impl Storage {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::new(seed),
            choices: Choices::new(seed),
            boots: 0,
            image: None,
            committed: Committed::default(),
            staged: Vec::new(),
            has_staged: false,
        }
    }

    /// A salt of this boot.
    fn salt(&mut self) -> Salt {
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&self.boots.to_be_bytes());
        salt[8..].copy_from_slice(&self.choices.bits().to_be_bytes());
        Salt(salt)
    }

    /// Opens the block log, as a boot does.
    pub(super) fn open(&mut self, genesis: &Genesis) -> Result<Blocks, Refused> {
        self.boots += 1;
        let salt = self.salt();
        let options =
            LogOptions { segment_bytes: SEGMENT_BYTES, step_bytes: STEP_BYTES, ..LogOptions::blocks(salt) };
        match BlockLog::open(self.disk.folder(FOLDER), options) {
            Ok(OpenedBlocks::Whole(log, _)) => Ok(Blocks::new(LoggedHistory::new(log, genesis))),
            Ok(OpenedBlocks::Damaged(damaged)) => Err(Refused(format!("damaged: {:?}", damaged.lost()))),
            Err(error) => Err(Refused(error.to_string())),
        }
    }

    /// Opens the journal of votes, as a boot does.
    pub(super) fn open_votes<R>(&mut self, name: &str) -> Result<(Votes<R>, Vec<R>), Refused>
    where
        R: Serialize + DeserializeOwned,
    {
        let salt = self.salt();
        let options =
            LogOptions { segment_bytes: SEGMENT_BYTES, step_bytes: STEP_BYTES, ..LogOptions::votes(salt) };
        let opened = DiskRecords::open(self.disk.folder(name), options, |records| records);
        opened.map_err(|error| Refused(error.to_string()))
    }

    /// The power will fail at one of the next operations.
    pub(super) fn fails_soon(&mut self, random: &mut Random) {
        let last = self.disk.operations() + random.below(4);
        self.disk.set_faults(Faults { power_off_after: Some(last), ..Faults::default() });
    }

    /// Another machine with all that is durable here now, and nothing else.
    pub(super) fn durable_copy(&self, seed: u64) -> Self {
        let copy = Self { committed: self.committed.clone(), boots: self.boots, ..Self::new(seed) };
        copy.disk.restore(&self.disk.image());
        copy
    }

    /// A block was written.
    pub(super) fn wrote(&mut self, block: Block) {
        self.staged.push(block);
        self.has_staged = true;
    }

    /// A rewind was written.
    pub(super) fn wrote_rewind(&mut self) {
        self.has_staged = true;
    }

    /// What became of a commit, `again` being what a second one says after a failure.
    pub(super) fn committed(
        &mut self,
        result: Result<(), HistoryError>,
        again: impl FnOnce() -> Result<(), HistoryError>,
    ) -> Result<Result<(), SyncError>, Complaint> {
        match result {
            Ok(()) => {
                if std::mem::take(&mut self.has_staged) {
                    self.committed.commits += 1;
                }
                let commit = self.committed.commits;
                let staged = self.staged.drain(..).map(|block| (block.hash(), (commit, block)));
                self.committed.blocks.extend(staged);
                Ok(Ok(()))
            }
            Err(HistoryError::Log(BlockLogError::Log(LogError::Disk(error)))) if error.is_no_space() => {
                Ok(Err(SyncError::Full))
            }
            Err(error) if again().is_ok() => {
                Err(wrong("A5", format!("the log went on after a failed write or sync: {error}")))
            }
            Err(_) => Ok(Err(SyncError::Failed)),
        }
    }

    pub(super) fn set_state(&mut self, state: DiskState) {
        let mut faults = Faults::default();
        match state {
            DiskState::Good => {}
            DiskState::Full if self.choices.once_in(2) => faults.capacity_bytes = Some(0),
            DiskState::Full => {
                let writes = self.disk.writes();
                faults.short_writes = (writes + 1..=writes + SHORT_WRITES).collect();
            }
            DiskState::Failing if self.choices.once_in(2) => {
                faults.failing_writes = BTreeSet::from([self.disk.writes() + 1]);
            }
            DiskState::Failing => faults.failing_syncs = BTreeSet::from([self.disk.syncs() + 1]),
        }
        self.disk.set_faults(faults);
    }

    /// The power will fail at one of the next operations, if there is something to write.
    pub(super) fn will_fail(&mut self, random: &mut Random) -> bool {
        let fails = self.has_staged && random.chance(600_000);
        if fails {
            self.fails_soon(random);
        }
        fails
    }

    /// The power is gone and comes back; or the process alone was killed, and the machine kept every write.
    pub(super) fn power_cut(&mut self, random: &mut Random) {
        match random.below(6) {
            0 => self.disk.kill(),
            1 => self.disk.power_cut(PowerCut::LoseUnsynced, &mut self.choices),
            2 => self.disk.power_cut(PowerCut::KeepUnsynced, &mut self.choices),
            _ => self.disk.power_cut(PowerCut::Tear, &mut self.choices),
        }
        self.disk.set_faults(Faults::default());
    }

    /// After a boot: everything that was proven is here (A5). What was being written may be, too.
    pub(super) fn check(&mut self, blocks: &Blocks) -> Result<(), Complaint> {
        self.check_commits(blocks, u64::MAX)?;
        let commit = self.committed.commits + 1;
        self.has_staged = false;
        for block in std::mem::take(&mut self.staged) {
            if read(blocks, block.hash())?.is_some() {
                self.committed.commits = commit;
                self.committed.blocks.entry(block.hash()).or_insert((commit, block));
            }
        }
        Ok(())
    }

    /// The blocks of all commits below `end` are read back as they were written.
    fn check_commits(&self, blocks: &Blocks, end: u64) -> Result<(), Complaint> {
        for (hash, (_, block)) in self.committed.blocks.iter().filter(|(_, (commit, _))| *commit < end) {
            match read(blocks, *hash)? {
                Some(found) if found == *block => {}
                Some(_) => return Err(wrong("A14", format!("block {hash} is read back as another"))),
                None => return Err(wrong("A5", format!("block {hash} was durable, and is gone"))),
            }
        }
        Ok(())
    }

    pub(super) fn keep_image(&mut self) {
        self.image = Some((self.disk.image(), self.committed.clone()));
    }

    pub(super) fn drop_image(&mut self) {
        self.image = None;
    }

    /// The disk becomes the kept one, or an empty one.
    pub(super) fn restore_image(&mut self) {
        self.staged.clear();
        self.has_staged = false;
        match &self.image {
            Some((image, committed)) => {
                self.disk.restore(image);
                self.committed.clone_from(committed);
            }
            None => {
                self.disk = SimDisk::new(self.choices.bits());
                self.committed = Committed::default();
            }
        }
    }

    /// Flips a bit of the log while nobody writes it (S-D5); `false` when there was nothing to flip.
    pub(super) fn flip(&mut self, random: &mut Random) -> bool {
        let folder = self.disk.folder(FOLDER);
        let names = folder.list().unwrap_or_default();
        for _ in 0..256 {
            let Some(name) = random.pick(&names) else { return false };
            let bytes = folder.bytes(name).unwrap_or_default();
            let at = random.below(bytes.len() as u64);
            if bytes.get(at as usize).is_some_and(|byte| *byte != 0) {
                return folder.flip(name, at, 1 << random.below(8));
            }
        }
        false
    }

    /// After a flip the log opened all the same: it may have lost its last commit, which looks like a torn tail,
    /// and nothing else. Answers whether it did.
    pub(super) fn check_flipped(&mut self, blocks: &Blocks) -> Result<bool, Complaint> {
        self.check_commits(blocks, self.committed.commits)?;
        let last = self.committed.commits;
        let newest = self.committed.blocks.iter().filter(|(_, (commit, _))| *commit == last);
        let mut gone = Vec::new();
        for (hash, (_, block)) in newest {
            match read(blocks, *hash)? {
                Some(found) if found == *block => {}
                Some(_) => return Err(wrong("A14", format!("block {hash} is read back as another"))),
                None => gone.push(*hash),
            }
        }
        gone.iter().for_each(|hash| drop(self.committed.blocks.remove(hash)));
        Ok(!gone.is_empty())
    }
}

fn read(blocks: &Blocks, hash: BlockHash) -> Result<Option<Block>, Complaint> {
    blocks.any_block(hash).map_err(|error| wrong("A5", format!("block {hash} cannot be read: {error}")))
}

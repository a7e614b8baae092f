//! Readers share the block log with its writer, and do not wait for the writer's sync.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use synod_ledger::disk::{Disk, DiskError, DiskFile, RealDisk, RealFile};
use synod_ledger::execution::Proposal;
use synod_ledger::log::blocks::{BlockLog, OpenedBlocks};
use synod_ledger::log::{LogOptions, Salt};
use synod_ledger::testing::{account, genesis};
use synod_ledger::{Ledger, LoggedHistory, Options};
use synod_types::{Block, Height, UnixMillis};

/// While it is closed, a sync says that it waits, and waits.
#[derive(Debug, Clone, Default)]
struct Gate(Arc<Mutex<Option<Closed>>>);

/// Who waits says so, and goes on when told.
type Closed = (SyncSender<()>, Receiver<()>);

impl Gate {
    fn pass(&self) {
        if let Some((waiting, open)) = self.0.lock().unwrap().take() {
            waiting.send(()).unwrap();
            open.recv().unwrap();
        }
    }
}

#[derive(Debug)]
struct GatedDisk(RealDisk, Gate);

#[derive(Debug)]
struct GatedFile(RealFile, Gate);

impl Disk for GatedDisk {
    type File = GatedFile;

    fn list(&self) -> Result<Vec<String>, DiskError> {
        self.0.list()
    }

    fn open(&self, name: &str) -> Result<GatedFile, DiskError> {
        Ok(GatedFile(Disk::open(&self.0, name)?, self.1.clone()))
    }

    fn create(&self, name: &str) -> Result<GatedFile, DiskError> {
        Ok(GatedFile(self.0.create(name)?, self.1.clone()))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.0.remove(name)
    }

    fn sync_folder(&self) -> Result<(), DiskError> {
        self.0.sync_folder()
    }
}

impl DiskFile for GatedFile {
    fn length(&self) -> Result<u64, DiskError> {
        self.0.length()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.0.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.0.write_at(offset, bytes)
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.1.pass();
        self.0.sync_data()
    }
}

fn open(folder: &Path, gate: &Gate) -> Ledger<LoggedHistory<GatedDisk>> {
    let disk = GatedDisk(RealDisk::open(folder).unwrap(), gate.clone());
    let options = LogOptions { segment_bytes: 1 << 16, ..LogOptions::blocks(Salt([1; 16])) };
    let OpenedBlocks::Whole(log, _) = BlockLog::open(disk, options).unwrap() else { panic!("it is whole") };
    let options = Options { layers: 2, ..Options::new([1; 32]) };
    Ledger::open(genesis(), LoggedHistory::new(log, &genesis()), options).unwrap().0
}

fn append(ledger: &mut Ledger<LoggedHistory<GatedDisk>>) -> Block {
    let time = UnixMillis(ledger.head().time().0 + 2_000);
    let proposal =
        Proposal { time, proposer: account(3), fee_recipient: account(3), transactions: Vec::new() };
    let block = ledger.build(proposal, 0).block;
    ledger.append(&block, &()).unwrap();
    block
}

#[test]
fn blocks_are_read_while_a_commit_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let mut ledger = open(folder.path(), &gate);
    let old: Vec<Block> = (0..8).map(|_| append(&mut ledger)).collect();
    ledger.commit().unwrap();
    // The next segment stands ready, so that the only sync left is the commit's.
    while ledger.prepare().unwrap() {}
    let new = append(&mut ledger);
    let reader = ledger.reader();

    let ((waiting, waits), (open, opened)) = (sync_channel(1), sync_channel(1));
    *gate.0.lock().unwrap() = Some((waiting, opened));
    let commit = std::thread::spawn(move || ledger.commit().map(drop).map_err(|error| error.to_string()));
    waits.recv().unwrap();
    let (read, reads) = sync_channel(1);
    let reading = std::thread::spawn(move || {
        let by_hash = reader.block(&old[0].hash()).unwrap();
        let by_height = reader.block_at(Height(1)).unwrap();
        let staged = reader.block_at(Height(9)).unwrap();
        read.send((by_hash, by_height, staged)).unwrap();
        old
    });
    let answers = reads.recv_timeout(Duration::from_secs(20)).expect("a reader waits for the commit's sync");
    open.send(()).unwrap();
    commit.join().unwrap().unwrap();
    let old = reading.join().unwrap();
    assert_eq!(answers, (Some(old[0].clone()), Some(old[0].clone()), Some(new)));
}

//! The logs over a real folder: what one process wrote the next one reads, and only one holds it at a time.
#![allow(clippy::unwrap_used)]

use synod_ledger::disk::{DiskError, RealDisk};
use synod_ledger::log::blocks::{BlockLog, OpenedBlocks, Tip};
use synod_ledger::log::journal::{Journal, JournalError};
use synod_ledger::log::{LogError, LogOptions, Salt};
use synod_types::{B256, BlockHash, Height, Position};

fn hash(number: u64) -> BlockHash {
    BlockHash(B256::left_padding_from(&number.to_be_bytes()))
}

#[test]
fn sto_1_blocks_written_to_a_folder_are_read_by_the_next_process() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("blocks");
    let options = |salt| LogOptions {
        segment_bytes: 64 << 10,
        step_bytes: 16 << 10,
        ..LogOptions::blocks(Salt([salt; 16]))
    };
    for run in 0..4 {
        let disk = RealDisk::open(&path).unwrap();
        assert!(matches!(RealDisk::open(&path), Err(DiskError::Locked { .. })));
        let OpenedBlocks::Whole(mut log, report) = BlockLog::open(disk, options(run)).unwrap() else {
            panic!("damaged")
        };
        assert_eq!((report.torn, report.rolled_back_from), (None, None));
        let start = u64::from(run) * 5;
        for number in start + 1..=start + 5 {
            let block = Tip { height: Height(number), hash: hash(number) };
            log.append(block, hash(number - 1), &vec![number as u8; 9000]).unwrap();
            log.commit().unwrap();
        }
        for number in 1..=start + 5 {
            assert_eq!(log.block_at(Height(number)).unwrap().bytes, vec![number as u8; 9000]);
        }
    }
}

#[test]
fn gen_3_votes_written_to_a_folder_are_read_by_the_next_process() {
    let home = tempfile::tempdir().unwrap();
    let disk = || RealDisk::open(&home.path().join("votes")).unwrap();
    let options = LogOptions { segment_bytes: 64 << 10, ..LogOptions::votes(Salt([1; 16])) };
    let missing = Journal::open(disk(), options).unwrap_err();
    assert!(matches!(missing, JournalError::Log(LogError::Missing { .. })) && missing.is_amnesia());
    let mut journal = Journal::create(disk(), options, 1).unwrap();
    journal.put(Position::default(), b"vote").unwrap();
    journal.put_register(0, b"view").unwrap();
    journal.commit().unwrap();
    journal.compact().unwrap();
    drop(journal);
    let (journal, _) = Journal::open(disk(), options).unwrap();
    let records: Vec<Vec<u8>> = journal.records().unwrap().into_iter().map(|record| record.bytes).collect();
    assert_eq!(records, [b"vote", b"view"]);
}

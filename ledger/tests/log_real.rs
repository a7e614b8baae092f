//! The logs over a real folder: what one process wrote the next one reads, and only one holds it at a time.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use synod_ledger::disk::{DiskError, RealDisk, RealFolders};
use synod_ledger::log::blocks::{
    BlockLog, OpenedBlocks, Tip, begin_copy, finish_replacement, forget_replaced, replace_by_copy,
};
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

/// The swap of a damaged log and its copy, on a real disk: whatever moment it was cut at.
#[test]
fn s_d5_a_replacement_of_real_folders_is_ended_and_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let folders = RealFolders(home.path().to_owned());
    let [log, copy, aside] = ["blocks", "blocks.copy", "blocks.aside"].map(|name| home.path().join(name));
    let write = |folder: &Path, text: &str| {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("marker"), text).unwrap();
    };
    let text = || std::fs::read_to_string(log.join("marker")).unwrap();
    finish_replacement(&folders, "blocks").unwrap();
    forget_replaced(&folders, "blocks").unwrap();
    // While the copy was being written.
    write(&log, "damaged");
    write(&copy, "half");
    finish_replacement(&folders, "blocks").unwrap();
    assert!(!copy.exists() && text() == "damaged");
    // Between the two moves.
    std::fs::rename(&log, &aside).unwrap();
    write(&copy, "whole");
    finish_replacement(&folders, "blocks").unwrap();
    assert!(aside.exists() && !copy.exists() && text() == "whole");
    forget_replaced(&folders, "blocks").unwrap();
    assert!(!aside.exists());
    // To the end.
    write(&aside, "older");
    assert_eq!(home.path().join(begin_copy(&folders, "blocks").unwrap()), copy);
    write(&copy, "newest");
    replace_by_copy(&folders, "blocks").unwrap();
    assert!(!copy.exists() && text() == "newest");
    assert_eq!(std::fs::read_to_string(aside.join("marker")).unwrap(), "whole");
}

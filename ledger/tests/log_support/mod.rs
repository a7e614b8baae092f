//! What the log's tests share: small options, payloads that name their frame, opening that expects one outcome.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use synod_ledger::disk::{Choices, Disk, SimDisk};
use synod_ledger::log::{
    DamagedLog, FrameLog, FrameNumber, LogError, LogKind, LogOptions, Opened, Report, Salt, create, open,
};

/// Room for 16 sectors of frames.
pub const SEGMENT: u32 = 16 << 10;

pub fn options(salt: u8) -> LogOptions {
    LogOptions {
        kind: LogKind::Blocks,
        segment_bytes: SEGMENT,
        step_bytes: 4096,
        keeps: 0,
        salt: Salt([salt; 16]),
    }
}

/// How many seeds the random searches try: `SYNOD_LOG_SEEDS`, small by default.
pub fn seeds() -> u64 {
    std::env::var("SYNOD_LOG_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// A payload without zero bytes that depends on its frame.
pub fn payload(number: u64, length: usize) -> Vec<u8> {
    let mut choices = Choices::new(number);
    (0..length).map(|_| choices.bits() as u8 | 1).collect()
}

pub fn whole(opened: Opened<SimDisk>) -> (FrameLog<SimDisk>, Report) {
    match opened {
        Opened::Whole(log, report) => (log, report),
        Opened::Damaged(log) => panic!("damaged: {:?}", log.damage()),
    }
}

pub fn damaged(opened: Opened<SimDisk>) -> DamagedLog<SimDisk> {
    match opened {
        Opened::Damaged(log) => log,
        Opened::Whole(_, report) => panic!("taken for whole: {report:?}"),
    }
}

pub fn reopen(disk: &SimDisk) -> (FrameLog<SimDisk>, Report) {
    whole(open(disk.clone(), options(9)).unwrap())
}

/// A new log with one committed frame for each length.
pub fn filled(disk: &SimDisk, lengths: &[usize]) -> FrameLog<SimDisk> {
    let mut log = create(disk.clone(), options(1), 0).unwrap();
    for (at, length) in lengths.iter().enumerate() {
        log.append(&payload(at as u64 + 1, *length)).unwrap();
        log.commit().unwrap();
    }
    log
}

/// The answer to a read is exactly the payload that [`filled`] wrote.
pub fn check_frame(read: Result<Vec<u8>, LogError>, number: u64, lengths: &[usize]) {
    assert!(read.unwrap() == payload(number, lengths[number as usize - 1]), "frame {number} changed");
}

pub fn check_frames(log: &FrameLog<SimDisk>, lengths: &[usize]) -> u64 {
    let last = log.durable().through().0;
    (1..=last).for_each(|number| check_frame(log.read(FrameNumber(number)), number, lengths));
    last
}

pub fn segment_names(disk: &SimDisk) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.retain(|name| name.ends_with(".seg"));
    names.sort();
    names
}

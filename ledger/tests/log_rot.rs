//! The frame log when its bytes change at rest: cut at any byte, flipped at every position, sectors zeroed,
//! misdirected and forgotten. Torn tails are repaired, the middle is refused until it is repaired, and nothing
//! wrong is ever served.
#![allow(clippy::unwrap_used)]

mod log_support;

use log_support::*;
use synod_ledger::disk::{Choices, Disk, SimDisk};
use synod_ledger::log::{DamagedLog, FrameLog, FrameNumber, LogError, Opened, Report, open};
use synod_types::mutant;

const LENGTHS: [usize; 8] = [700, 0, 3000, 100, 2500, 4000, 600, 50];

#[test]
fn sto_1_a_log_cut_at_any_byte_is_repaired_as_a_torn_tail() {
    let disk = SimDisk::new(0);
    drop(filled(&disk, &LENGTHS));
    let image = disk.image();
    let names = segment_names(&disk);
    let (mut tails, mut middles) = (0, 0);
    for name in &names {
        for length in (0..SEGMENT).step_by(if seeds() > 4 { 1 } else { 89 }).chain(8180..8200) {
            disk.restore(&image);
            disk.cut(name, u64::from(length));
            match open(disk.clone(), options(9)).unwrap() {
                Opened::Whole(log, report) => {
                    tails += 1;
                    goes_on_after_the_cut(log, &report);
                }
                // With frames behind it in another segment the cut is damage, not a tail.
                Opened::Damaged(_) => {
                    middles += 1;
                    assert!(name.as_str() < "0000000002.seg");
                }
            }
        }
    }
    assert!(tails > 100 && middles > 20, "{tails} {middles}");
}

fn goes_on_after_the_cut(mut log: FrameLog<SimDisk>, report: &Report) {
    let last = check_frames(&log, &LENGTHS);
    assert_eq!(report.rolled_back_from, None, "no boot had seen more");
    let next = log.append(b"goes on").unwrap();
    assert_eq!(next.0, last + 1);
    log.commit().unwrap();
    let disk = log.disk().clone();
    drop(log);
    let (log, report) = reopen(&disk);
    assert_eq!(log.read(next).unwrap(), b"goes on");
    assert_eq!((report.torn, report.mended), (None, Vec::new()));
}

#[test]
fn s_c5_a_log_that_ends_before_an_earlier_boot_says_so() {
    let disk = SimDisk::new(0);
    drop(filled(&disk, &[100, 100, 100]));
    drop(reopen(&disk));
    assert!(disk.cut("0000000000.seg", 8192 + 512));
    let (log, report) = reopen(&disk);
    assert_eq!(report.rolled_back_from, Some(FrameNumber(3)));
    assert_eq!(log.durable().through(), FrameNumber(1));
}

/// Flips a bit of a byte at every position of a small log, and counts what came of it: refusals that were then
/// repaired, flips in unused bytes, and flips in the last frame, which nothing chains past.
fn flip_everywhere(stride: usize) -> [u32; 3] {
    let disk = SimDisk::new(0);
    drop(filled(&disk, &LENGTHS));
    let image = disk.image();
    let [mut refused, mut harmless, mut tails] = [0; 3];
    for name in segment_names(&disk) {
        for offset in (0..u64::from(SEGMENT)).step_by(stride) {
            disk.restore(&image);
            assert!(disk.flip(&name, offset, 1 << (offset % 8)));
            match open(disk.clone(), options(9)).unwrap() {
                Opened::Whole(log, report) => {
                    let last = check_frames(&log, &LENGTHS);
                    assert!(last >= LENGTHS.len() as u64 - 1, "byte {offset} of {name} cost a middle frame");
                    assert!(last == LENGTHS.len() as u64 || report.torn.is_some());
                    tails += u32::from(last < LENGTHS.len() as u64);
                    harmless += u32::from(last == LENGTHS.len() as u64);
                }
                Opened::Damaged(log) => {
                    refused += 1;
                    repaired_only_by_the_right_payload(log);
                }
            }
        }
    }
    [refused, harmless, tails]
}

fn repaired_only_by_the_right_payload(mut log: DamagedLog<SimDisk>) {
    let damage = log.damage().to_vec();
    assert_eq!((damage.len(), damage[0].frames), (1, 1));
    let number = damage[0].first.0;
    for other in 1..=LENGTHS.len() as u64 {
        if other == number {
            assert!(matches!(log.read(FrameNumber(other)), Err(LogError::Damaged { .. })));
        } else {
            check_frame(log.read(FrameNumber(other)), other, &LENGTHS);
        }
    }
    let right = payload(number, LENGTHS[number as usize - 1]);
    let mut wrong = right.clone();
    wrong.push(1);
    let first = FrameNumber(number);
    assert!(matches!(log.repair(first, &[&wrong]), Err(LogError::WrongRepair { .. })));
    assert!(matches!(log.repair(first, &[]), Err(LogError::WrongRepair { .. })));
    assert!(matches!(log.repair(FrameNumber(99), &[&right]), Err(LogError::WrongRepair { .. })));
    log.repair(first, &[&right]).unwrap();
    let (log, report) = whole(log.reopen().unwrap());
    assert_eq!((report.torn, check_frames(&log, &LENGTHS)), (None, LENGTHS.len() as u64));
}

#[test]
fn s_d5_a_byte_flipped_at_any_position_is_refused_repaired_and_never_served() {
    let [refused, harmless, tails] = flip_everywhere(if seeds() > 4 { 1 } else { 13 });
    assert!(refused > 300 && harmless > 300 && tails > 5, "{refused} {harmless} {tails}");
}

#[test]
fn mutants_that_ignore_the_middle_die_by_a_flipped_byte() {
    for id in ["sto-1-ignore-checksum", "sto-1-ignore-middle", "sto-1-unchecked-repair"] {
        let died = std::panic::catch_unwind(|| mutant::with(id, || flip_everywhere(61)));
        assert!(died.is_err(), "{id} lives");
    }
}

#[test]
fn s_d5_a_run_of_frames_and_a_lost_segment_are_repaired_by_the_chain() {
    let lengths = [700, 0, 3000, 100, 2500, 4000, 600, 50, 3000, 3000, 3000];
    let disk = SimDisk::new(0);
    drop(filled(&disk, &lengths));
    disk.remove("0000000001.seg").unwrap();
    assert!(disk.zero_sector("0000000000.seg", 8192));
    let mut log = damaged(open(disk.clone(), options(9)).unwrap());
    let damage = log.damage().to_vec();
    assert_eq!((damage.len(), damage[0].first, damage[0].frames), (2, FrameNumber(1), 1));
    assert!(damage[1].frames >= 2);
    for run in damage {
        let numbers = run.first.0..run.first.0 + run.frames;
        let payloads: Vec<Vec<u8>> = numbers.map(|each| payload(each, lengths[each as usize - 1])).collect();
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        log.repair(run.first, &slices).unwrap();
    }
    let (log, _) = whole(log.reopen().unwrap());
    assert_eq!(check_frames(&log, &lengths), lengths.len() as u64);
}

#[test]
fn s_d5_misdirected_zeroed_and_forgotten_sectors_are_never_served() {
    let lengths = [700, 0, 3000, 100, 2500, 600, 50];
    let (mut refused, mut served) = (0, 0);
    for seed in 0..seeds() * 60 {
        let mut choices = Choices::new(seed);
        let disk = SimDisk::new(seed);
        let mut log = filled(&disk, &lengths[..4]);
        let earlier = disk.image();
        for (at, length) in lengths.iter().enumerate().skip(4) {
            log.append(&payload(at as u64 + 1, *length)).unwrap();
            log.commit().unwrap();
        }
        drop(log);
        let (from, to) = (choices.below(u64::from(SEGMENT)), choices.below(u64::from(SEGMENT)));
        match seed % 3 {
            0 => disk.misdirect("0000000000.seg", from, to),
            1 => disk.zero_sector("0000000000.seg", to),
            _ => disk.forget_sector("0000000000.seg", to, &earlier),
        };
        match open(disk.clone(), options(9)).unwrap() {
            Opened::Whole(log, report) => {
                served += 1;
                let last = check_frames(&log, &lengths);
                // Only the last frame has nothing behind it that proves it was there.
                assert!(last + 1 >= lengths.len() as u64, "{seed}: {report:?}");
            }
            Opened::Damaged(log) => {
                refused += 1;
                for number in (1..log.span().end.0).map(FrameNumber) {
                    if !log.damage().iter().any(|run| run.holds(number)) {
                        check_frame(log.read(number), number.0, &lengths);
                    }
                }
            }
        }
    }
    assert!(refused > 20 && served > 20, "{refused} {served}");
}

#[test]
fn s_d5_rot_after_the_boot_is_found_by_the_read() {
    let disk = SimDisk::new(0);
    let log = filled(&disk, &[700, 700, 700]);
    disk.flip("0000000000.seg", 8192 + 300, 4);
    let first = FrameNumber(1);
    assert!(
        matches!(log.read(first), Err(LogError::Damaged { segment: 0, frame, offset: 8192 }) if frame == first)
    );
    log.read(FrameNumber(2)).unwrap();
}

#[test]
fn a_payload_that_imitates_frames_is_not_taken_for_them() {
    // Someone who guessed the format but not the salt fills a payload with frames of a later number.
    let forger = SimDisk::new(1);
    drop(filled(&forger, &[100, 100, 100, 100, 100]));
    let forged = forger.bytes("0000000000.seg").unwrap()[8192..8192 + 5 * 512].to_vec();
    let disk = SimDisk::new(0);
    let mut log = synod_ledger::log::create(disk.clone(), options(77), 0).unwrap();
    // 408 bytes bring the forged frames to sector boundaries.
    log.append(&[vec![9; 408], forged].concat()).unwrap();
    log.commit().unwrap();
    drop(log);
    disk.flip("0000000000.seg", 8192, 1);
    let (log, report) = reopen(&disk);
    assert!(report.torn.is_some() && log.durable().through().0 == 0);
}

#[test]
fn an_unknown_version_is_refused_with_the_way_out() {
    let disk = SimDisk::new(0);
    drop(filled(&disk, &[100]));
    let marker = disk.bytes("marker").unwrap();
    assert_eq!(marker[8..12], 1u32.to_be_bytes());
    // A later version's header: the same fields, version 2, its own good check.
    let mut header = disk.bytes("0000000000.seg").unwrap()[..40].to_vec();
    header[8..12].copy_from_slice(&2u32.to_be_bytes());
    let check = synod_types::hash::sha256(&[b"synod/log/segment/v1", &header]);
    header.extend_from_slice(&check[..8]);
    let file = disk.open("0000000000.seg").unwrap();
    synod_ledger::disk::DiskFile::write_at(&file, 0, &header).unwrap();
    let error = open(disk, options(9)).unwrap_err();
    assert!(matches!(error, LogError::Version { found: 2, known: 1, .. }));
    assert!(error.to_string().contains("use the version that wrote it"));
}

//! The frame log over the disk's twin: crash points at every operation, a failing device, a full disk, trimming.
//! What was acknowledged is the model.
#![allow(clippy::unwrap_used)]

mod log_support;

use log_support::*;
use synod_ledger::disk::{Choices, Disk, DiskError, Faults, PowerCut, SimDisk};
use synod_ledger::log::{FrameLog, FrameNumber, LogError, LogKind, LogOptions, create, open};
use synod_types::mutant;

/// What the world has been told, and what may therefore be asked after a crash.
#[derive(Default, Clone)]
struct Model {
    acknowledged: Vec<Vec<u8>>,
    written: Option<Vec<u8>>,
    trimmed_below: u64,
}

impl Model {
    /// Every acknowledged frame is there unchanged; beyond them at most the one that was being written.
    fn check(&mut self, log: &FrameLog<SimDisk>) {
        let last = log.durable().through().0;
        let acknowledged = self.acknowledged.len() as u64;
        assert!(last >= acknowledged, "frame {acknowledged} was acknowledged, the log ends at {last}");
        assert!(last <= acknowledged + u64::from(self.written.is_some()), "a frame from nowhere");
        if last > acknowledged {
            self.acknowledged.push(self.written.take().unwrap());
        }
        self.written = None;
        for (at, expected) in self.acknowledged.iter().enumerate() {
            let number = at as u64 + 1;
            match log.read(FrameNumber(number)) {
                Ok(bytes) => assert!(bytes == *expected, "frame {number} changed"),
                Err(LogError::Trimmed { floor }) => {
                    assert!(number < floor.0 && floor.0 <= self.trimmed_below);
                }
                Err(error) => panic!("frame {number}: {error}"),
            }
        }
    }
}

/// A random workload; stops at the first refusal of the disk.
fn work(
    log: &mut FrameLog<SimDisk>,
    model: &mut Model,
    choices: &mut Choices,
    steps: u64,
    trims_once_in: u64,
) -> Result<(), LogError> {
    const LENGTHS: [usize; 8] = [0, 8, 400, 408, 409, 1000, 3000, 8088];
    for _ in 0..steps {
        match choices.below(8) {
            0 => {
                log.prepare_ahead()?;
            }
            1 if choices.once_in(trims_once_in) => {
                let below = choices.below(model.acknowledged.len() as u64 + 1);
                model.trimmed_below = model.trimmed_below.max(below);
                log.trim_below(FrameNumber(below))?;
            }
            _ => {
                let number = model.acknowledged.len() as u64 + 1;
                let bytes = payload(number, LENGTHS[choices.below(8) as usize]);
                model.written = Some(bytes.clone());
                let written = log.append(&bytes)?;
                assert!(log.commit()?.covers(written) && written.0 == number);
                model.acknowledged.push(bytes);
                model.written = None;
            }
        }
    }
    Ok(())
}

/// Opens after a crash; creates the log if the crash came before it was made.
fn recover(disk: &SimDisk, model: &mut Model, keeps: usize) -> Result<FrameLog<SimDisk>, LogError> {
    let options = LogOptions { keeps, ..options(2) };
    let log = match open(disk.clone(), options) {
        Err(LogError::Missing { .. }) => {
            assert!(model.acknowledged.is_empty(), "a log with acknowledged frames was taken for missing");
            create(disk.clone(), options, 0)?
        }
        opened => whole(opened?).0,
    };
    model.check(&log);
    Ok(log)
}

/// A life: work until the power fails (or the process is killed) at operation `crash`, die again somewhere in the
/// recovery, recover, work on. True when the first part survived, so that there is no later crash point. A log that
/// keeps trimmed segments is trimmed more often.
fn life(seed: u64, crash: u64, cut: PowerCut, killed_first: bool, keeps: usize) -> bool {
    let disk = SimDisk::new(seed);
    let (mut model, mut choices, mut fate) =
        (Model::default(), Choices::new(seed), Choices::new(seed ^ (crash << 8)));
    disk.set_faults(Faults { power_off_after: Some(crash), ..Faults::default() });
    let (steps, trims_once_in) = if keeps > 0 { (40, 1) } else { (24, 3) };
    let worked = recover(&disk, &mut model, keeps)
        .and_then(|mut log| work(&mut log, &mut model, &mut choices, steps, trims_once_in));
    if killed_first {
        disk.kill();
    } else {
        disk.power_cut(cut, &mut fate);
    }
    for _ in 0..2 {
        let death = disk.operations() + fate.below(20);
        disk.set_faults(Faults { power_off_after: Some(death), ..Faults::default() });
        // A recovery that died has promised nothing; one that lived has promised what it found.
        let mut found = model.clone();
        if recover(&disk, &mut found, keeps).is_ok() {
            model = found;
        }
        disk.power_cut(cut, &mut fate);
    }
    let mut log = recover(&disk, &mut model, keeps).unwrap();
    work(&mut log, &mut model, &mut choices, 8, trims_once_in).unwrap();
    drop(log);
    disk.power_cut(PowerCut::LoseUnsynced, &mut fate);
    recover(&disk, &mut model, keeps).unwrap();
    worked.is_ok()
}

fn every_crash_point(seed: u64, keeps: usize) {
    let survived = |crash: u64| {
        let cuts = [PowerCut::LoseUnsynced, PowerCut::KeepUnsynced, PowerCut::Tear];
        let lives: Vec<bool> = cuts
            .iter()
            .flat_map(|cut| [false, true].map(|killed_first| life(seed, crash, *cut, killed_first, keeps)))
            .collect();
        lives.iter().all(|survived| *survived)
    };
    let points = (0..).find(|crash| survived(*crash)).unwrap();
    assert!(points > 50, "the workload is too small to mean anything: {points} operations");
}

#[test]
fn gen_1_every_crash_point_keeps_what_was_acknowledged() {
    (0..seeds()).for_each(|seed| every_crash_point(seed, 0));
}

#[test]
fn gen_1_every_crash_point_keeps_it_in_segments_that_are_used_again() {
    (0..seeds()).for_each(|seed| every_crash_point(seed, 2));
}

#[test]
fn mutant_ack_before_sync_dies_at_a_crash_point() {
    let died = std::panic::catch_unwind(|| mutant::with("sto-1-ack-before-sync", || every_crash_point(0, 0)));
    assert!(died.is_err());
}

#[test]
fn a_written_frame_is_not_served_before_its_commit() {
    let disk = SimDisk::new(0);
    let mut log = filled(&disk, &[100]);
    let number = log.append(b"second").unwrap();
    assert!(!log.durable().covers(number));
    assert!(matches!(log.read(number), Err(LogError::Unknown { .. })));
    assert!(matches!(log.append(b"third"), Err(LogError::Uncommitted)));
    assert!(log.commit().unwrap().covers(number));
    assert_eq!(log.read(number).unwrap(), b"second");
}

#[test]
fn sto_1_a_commit_in_place_is_one_write_and_one_sync() {
    let disk = SimDisk::new(0);
    let mut log = filled(&disk, &[100]);
    while log.prepare_ahead().unwrap() {}
    let (writes, operations) = (disk.writes(), disk.operations());
    log.append(&[7; 2000]).unwrap();
    log.commit().unwrap();
    assert_eq!((disk.writes() - writes, disk.operations() - operations), (1, 2));
}

#[test]
fn sto_1_no_append_prepares_more_than_its_share_of_the_next_segment() {
    let disk = SimDisk::new(0);
    let big = LogOptions { segment_bytes: 1 << 20, ..options(1) };
    let mut log = create(disk.clone(), big, 0).unwrap();
    for _ in 0..4000 {
        let before = disk.operations();
        log.append(&[7; 900]).unwrap();
        log.commit().unwrap();
        // A frame takes 1,024 bytes and a step prepares 4,096; the headers, the name and the folder come on top.
        assert!(disk.operations() - before <= 12);
    }
}

/// A sync that fails once and then answers "done": the log must not go on, whoever asks.
fn failing_sync() {
    let disk = SimDisk::new(5);
    let mut log = filled(&disk, &[100]);
    while log.prepare_ahead().unwrap() {}
    disk.set_faults(Faults { failing_syncs: [disk.syncs() + 1].into(), ..Faults::default() });
    log.append(b"never acknowledged").unwrap();
    assert!(matches!(log.commit(), Err(LogError::Disk(DiskError::Failed { .. }))));
    assert!(matches!(log.commit(), Err(LogError::Stopped)));
    assert!(matches!(log.append(b"more"), Err(LogError::Stopped)));
    assert!(matches!(log.read(FrameNumber(1)), Err(LogError::Stopped)));
    assert!(matches!(log.prepare_ahead(), Err(LogError::Stopped)));
    assert!(matches!(log.trim_below(FrameNumber(1)), Err(LogError::Stopped)));
}

#[test]
fn gen_4_after_a_failed_sync_the_log_refuses_everything() {
    failing_sync();
}

#[test]
fn mutant_continue_after_eio_dies() {
    let died = std::panic::catch_unwind(|| mutant::with("gen-4-continue-after-eio", failing_sync));
    assert!(died.is_err());
}

#[test]
fn s_d3_what_a_restart_finds_after_a_failed_sync_is_made_durable_before_it_is_believed() {
    let mut found = 0;
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let mut log = filled(&disk, &[100]);
        while log.prepare_ahead().unwrap() {}
        disk.set_faults(Faults { failing_syncs: [disk.syncs() + 1].into(), ..Faults::default() });
        log.append(&[3; 2000]).unwrap();
        assert!(log.commit().is_err());
        drop(log);
        disk.kill();
        // The page cache shows the frame, the disk may not have it, and a second sync alone would say "done".
        let believed = reopen(&disk).0.durable();
        found += u32::from(believed.covers(FrameNumber(2)));
        disk.power_cut(PowerCut::LoseUnsynced, &mut Choices::new(seed));
        assert!(reopen(&disk).0.durable() >= believed, "seed {seed}");
    }
    assert_eq!(found, 40);
}

#[test]
fn s_d3_any_failing_sync_or_write_stops_the_log_and_loses_nothing() {
    for seed in 0..seeds() * 8 {
        let (disk, keeps) = (SimDisk::new(seed), seed as usize % 2 * 2);
        let (mut model, mut choices) = (Model::default(), Choices::new(seed));
        disk.set_faults(Faults {
            sync_failures_per_million: 20_000,
            write_failures_per_million: 20_000,
            ..Faults::default()
        });
        for _ in 0..20 {
            let mut found = model.clone();
            let recovered = recover(&disk, &mut found, keeps);
            if let Ok(mut log) = recovered {
                model = found;
                let _ = work(&mut log, &mut model, &mut choices, 12, 3);
            }
            if choices.once_in(2) {
                disk.kill();
            } else {
                disk.power_cut(PowerCut::Tear, &mut choices);
            }
        }
        disk.set_faults(Faults::default());
        recover(&disk, &mut model, keeps).unwrap();
        assert!(model.acknowledged.len() > 20);
    }
}

#[test]
fn s_d4_a_full_disk_refuses_appends_keeps_reads_and_recovers() {
    let disk = SimDisk::new(0);
    let mut log = filled(&disk, &[1000]);
    let mut lengths = vec![1000];
    disk.set_faults(Faults { capacity_bytes: Some(u64::from(SEGMENT) + 5000), ..Faults::default() });
    let full = loop {
        match log.append(&payload(lengths.len() as u64 + 1, 1000)).and_then(|_| log.commit()) {
            Ok(_) => lengths.push(1000),
            Err(error) => break error,
        }
    };
    assert!(matches!(&full, LogError::Disk(error) if error.is_no_space()), "{full}");
    assert!(lengths.len() > 4, "the segment that stood already is filled first");
    assert!(log.append(&[1; 3000]).is_err());
    check_frames(&log, &lengths);
    disk.set_faults(Faults::default());
    for _ in 0..9 {
        log.append(&payload(lengths.len() as u64 + 1, 1000)).unwrap();
        log.commit().unwrap();
        lengths.push(1000);
    }
    drop(log);
    assert_eq!(check_frames(&reopen(&disk).0, &lengths), lengths.len() as u64);
}

#[test]
fn gen_13_trimmed_frames_answer_trimmed_and_stay_trimmed() {
    let lengths = [3000; 9];
    let disk = SimDisk::new(0);
    let mut log = filled(&disk, &lengths);
    let floor = log.trim_below(FrameNumber(6)).unwrap();
    assert!(floor > FrameNumber(1) && floor <= FrameNumber(6));
    drop(log);
    disk.power_cut(PowerCut::LoseUnsynced, &mut Choices::new(0));
    let (log, _) = reopen(&disk);
    assert_eq!(log.floor(), floor);
    assert!(matches!(log.read(FrameNumber(1)), Err(LogError::Trimmed { floor: found }) if found == floor));
    check_frame(log.read(FrameNumber(9)), 9, &lengths);
    drop(log);
    // The block log finds its floor without its marker too; a votes log is refused without one.
    disk.remove("marker").unwrap();
    let (log, report) = reopen(&disk);
    assert!(report.marker_rebuilt && log.floor() == floor);
}

/// Frames of 3,000 bytes up to this number.
fn fill_up_to(log: &mut FrameLog<SimDisk>, number: u64) {
    while log.next_frame().0 <= number {
        log.append(&payload(log.next_frame().0, 3000)).unwrap();
        log.commit().unwrap();
    }
}

/// Behind the last frame of a reused segment stand whole frames of its earlier life: they are no torn tail, and nothing
/// is written to be rid of them.
#[test]
fn gen_13_what_a_reused_segment_held_is_no_torn_tail() {
    for last in 10..=16 {
        let disk = SimDisk::new(last);
        let mut log = create(disk.clone(), LogOptions { keeps: 2, ..options(1) }, 0).unwrap();
        fill_up_to(&mut log, 9);
        log.trim_below(FrameNumber(9)).unwrap();
        fill_up_to(&mut log, last);
        drop(log);
        let (log, report) = whole(open(disk, options(2)).unwrap());
        assert!(report.torn.is_none() && report.mended.is_empty(), "{last}: {report:?}");
        (9..=last).for_each(|number| check_frame(log.read(FrameNumber(number)), number, &[3000; 20]));
    }
}

/// What stood in a segment before is neither believed nor in the way, and a frame that tore in it is a torn tail.
#[test]
fn gen_13_a_trimmed_segment_becomes_a_new_one() {
    let options = |salt| LogOptions { keeps: 2, ..options(salt) };
    let check = |log: &FrameLog<SimDisk>, last: u64| {
        (9..=last).for_each(|number| check_frame(log.read(FrameNumber(number)), number, &[3000; 20]));
    };
    let mut tails = 0;
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let mut log = create(disk.clone(), options(1), 0).unwrap();
        fill_up_to(&mut log, 9);
        let before = segment_names(&disk).len();
        log.trim_below(FrameNumber(9)).unwrap();
        assert_eq!(segment_names(&disk).len(), before - 2, "of four that may go two are kept");
        let written = disk.writes();
        fill_up_to(&mut log, 13);
        // Four frames, the headers of two segments, and the zeros that the one begun before still lacked.
        assert!(disk.writes() - written <= 4 + 2 * 2 + 1, "{}", disk.writes() - written);
        // The second frame of one of them is written, and not synced.
        log.append(&payload(14, 3000)).unwrap();
        drop(log);
        disk.power_cut(PowerCut::Tear, &mut Choices::new(seed));
        let (mut log, report) = whole(open(disk.clone(), options(2)).unwrap());
        let next = log.next_frame().0;
        assert!(next == 14 || (next == 15 && report.torn.is_none()), "{next} {report:?}");
        tails += u64::from(report.torn.is_some());
        assert!(report.mended.is_empty());
        check(&log, next - 1);
        fill_up_to(&mut log, 16);
        drop(log);
        let (log, report) = whole(open(disk, options(3)).unwrap());
        assert!(report.torn.is_none() && report.mended.is_empty());
        check(&log, 16);
    }
    assert!(tails > 5, "{tails}");
}

#[test]
fn gen_13_a_trim_cut_short_twice_loses_no_kept_frame() {
    let lengths = [3000; 9];
    let disk = SimDisk::new(0);
    drop(filled(&disk, &lengths));
    let image = disk.image();
    for first in 0..12 {
        // The process dies in the trim, the machine in the recovery: what the process saw was not durable.
        for (second, seed) in (0..10).flat_map(|second| (0..6).map(move |seed| (second, seed))) {
            disk.restore(&image);
            let (mut log, _) = reopen(&disk);
            disk.set_faults(Faults { power_off_after: Some(disk.operations() + first), ..Faults::default() });
            let _ = log.trim_below(FrameNumber(6));
            disk.kill();
            disk.set_faults(Faults {
                power_off_after: Some(disk.operations() + second),
                ..Faults::default()
            });
            let _ = open(disk.clone(), options(2));
            disk.power_cut(PowerCut::Tear, &mut Choices::new(seed));
            let (log, _) = reopen(&disk);
            (6..=9).for_each(|number| check_frame(log.read(FrameNumber(number)), number, &lengths));
        }
    }
}

#[test]
fn gen_9_payloads_and_kinds_out_of_bounds_are_refused() {
    let disk = SimDisk::new(0);
    let mut log = filled(&disk, &[1]);
    let limit = log.largest_payload();
    assert!(matches!(log.append(&vec![0; limit + 1]), Err(LogError::TooLarge { .. })));
    log.append(&vec![1; limit]).unwrap();
    log.commit().unwrap();
    drop(log);
    let votes = LogOptions { kind: LogKind::Votes, ..options(1) };
    assert!(matches!(open(disk.clone(), votes), Err(LogError::Kind { .. })));
    assert!(matches!(create(disk, options(1), 0), Err(LogError::Exists { .. })));
}

#[test]
fn segments_may_grow_and_shrink_between_openings() {
    let disk = SimDisk::new(0);
    drop(filled(&disk, &[3000; 3]));
    let mut lengths = vec![3000; 3];
    for segment_bytes in [64 << 10, 32 << 10, SEGMENT, 128 << 10] {
        let (mut log, _) = whole(open(disk.clone(), LogOptions { segment_bytes, ..options(3) }).unwrap());
        for step in 0..40 {
            let length = if step % 5 == 0 { log.largest_payload() } else { 3000 };
            log.append(&payload(lengths.len() as u64 + 1, length)).unwrap();
            log.commit().unwrap();
            lengths.push(length);
        }
    }
    assert_eq!(check_frames(&reopen(&disk).0, &lengths), lengths.len() as u64);
}

//! The journal: every vote acknowledged is there after a crash anywhere, compaction or not; and a journal that is
//! missing, rolled back or damaged says so instead of looking empty (GEN-3).
#![allow(clippy::unwrap_used)]

mod log_support;

use std::collections::BTreeMap;

use log_support::{payload, seeds, segment_names};
use synod_ledger::disk::{Choices, Disk, Faults, PowerCut, SimDisk};
use synod_ledger::log::journal::{Journal, JournalError, JournalRecord, RecordPlace};
use synod_ledger::log::{LogError, LogKind, LogOptions, Salt};
use synod_types::{Epoch, Position, Slot, mutant};

fn options() -> LogOptions {
    LogOptions { kind: LogKind::Votes, ..log_support::options(5) }
}

fn position(epoch: u64, slot: u64) -> Position {
    Position { epoch: Epoch(epoch), slot: Slot(slot) }
}

/// The live records by the order in which they were put.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    records: Vec<(RecordPlace, Vec<u8>)>,
    groups: u64,
}

impl Model {
    fn put(&mut self, place: RecordPlace, bytes: Vec<u8>) {
        if matches!(place, RecordPlace::Register(_)) {
            self.records.retain(|(other, _)| *other != place);
        }
        self.records.push((place, bytes));
    }

    fn erase_below(&mut self, position: Position) {
        self.records.retain(|(place, _)| !matches!(place, RecordPlace::At(at) if *at < position));
    }

    fn is(&self, journal: &Journal<SimDisk>) -> bool {
        let records = journal.records().unwrap();
        let same = |(record, (place, bytes)): (&JournalRecord, &(RecordPlace, Vec<u8>))| {
            record.place == *place && record.bytes == *bytes
        };
        journal.durable().through().0 == self.groups
            && records.len() == self.records.len()
            && records.iter().zip(&self.records).all(same)
    }
}

struct World {
    disk: SimDisk,
    acknowledged: Model,
    written: Option<Model>,
    created: bool,
    slot: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let acknowledged = Model::default();
        World { disk: SimDisk::new(seed), acknowledged, written: None, created: false, slot: 0 }
    }

    fn recover(&mut self) -> Result<Journal<SimDisk>, JournalError> {
        let journal = match Journal::open(self.disk.clone(), options()) {
            Err(JournalError::Log(LogError::Missing { .. })) => {
                assert!(!self.created, "a journal that had been made was taken for missing");
                let journal = Journal::create(self.disk.clone(), options(), 4)?;
                self.created = true;
                journal
            }
            opened => opened?.0,
        };
        self.created = true;
        assert_eq!(journal.incarnation(), 4);
        match self.written.take() {
            Some(written) if written.is(&journal) => self.acknowledged = written,
            _ => {}
        }
        assert!(self.acknowledged.is(&journal), "what was acknowledged is missing or contradicted");
        Ok(journal)
    }

    fn work(&mut self, choices: &mut Choices, steps: u64) -> Result<(), JournalError> {
        let mut journal = self.recover()?;
        for _ in 0..steps {
            if choices.once_in(6) {
                journal.compact()?;
                assert!(self.acknowledged.is(&journal));
                assert_eq!(journal.dead_bytes(), 0);
            }
            let mut next = self.acknowledged.clone();
            next.groups += 1;
            for _ in 0..1 + choices.below(3) {
                self.slot += 1;
                let bytes = payload(self.slot, 1 + choices.below(1200) as usize);
                let at = position(1 + self.slot / 20, self.slot);
                match choices.below(6) {
                    0 => {
                        let register = choices.below(3) as u16;
                        journal.put_register(register, &bytes)?;
                        next.put(RecordPlace::Register(register), bytes);
                    }
                    1 => {
                        let below = position(at.epoch.0, self.slot.saturating_sub(choices.below(12)));
                        journal.erase_below(below)?;
                        next.erase_below(below);
                    }
                    _ => {
                        journal.put(at, &bytes)?;
                        next.put(RecordPlace::At(at), bytes);
                    }
                }
            }
            self.written = Some(next.clone());
            assert_eq!(journal.commit()?.through().0, next.groups);
            self.acknowledged = next;
            self.written = None;
        }
        Ok(())
    }
}

/// Works until the power fails at operation `crash`, dies again somewhere in the recovery, recovers, works on.
/// True when the work survived, so that there is no later crash point.
fn life(seed: u64, crash: u64, cut: PowerCut) -> bool {
    let mut world = World::new(seed);
    let (mut choices, mut fate) = (Choices::new(seed), Choices::new(seed ^ (crash << 8)));
    world.disk.set_faults(Faults { power_off_after: Some(crash), ..Faults::default() });
    let worked = world.work(&mut choices, 16);
    if fate.once_in(3) {
        world.disk.kill();
        let _ = world.recover().unwrap();
    }
    world.disk.power_cut(cut, &mut fate);
    for _ in 0..2 {
        let death = world.disk.operations() + fate.below(20);
        world.disk.set_faults(Faults { power_off_after: Some(death), ..Faults::default() });
        // A recovery that died has promised nothing; one that lived has promised what it found.
        let _ = world.recover();
        world.disk.power_cut(cut, &mut fate);
    }
    world.work(&mut choices, 4).unwrap();
    world.disk.power_cut(PowerCut::LoseUnsynced, &mut fate);
    world.recover().unwrap();
    worked.is_ok()
}

fn every_crash_point(seed: u64) {
    let survived = |crash: u64| {
        let cuts = [PowerCut::LoseUnsynced, PowerCut::KeepUnsynced, PowerCut::Tear];
        cuts.map(|cut| life(seed, crash, cut)) == [true; 3]
    };
    let points = (0..).find(|crash| survived(*crash)).unwrap();
    assert!(points > 50, "the workload is too small to mean anything: {points} operations");
}

#[test]
fn a10_gen_12_every_crash_point_keeps_every_acknowledged_vote() {
    (0..seeds()).for_each(every_crash_point);
}

#[test]
fn mutant_ack_before_sync_dies_in_the_journal_too() {
    let died = std::panic::catch_unwind(|| mutant::with("sto-1-ack-before-sync", || every_crash_point(0)));
    assert!(died.is_err());
}

fn with_votes(disk: &SimDisk, votes: u64) {
    let mut journal = Journal::create(disk.clone(), options(), 1).unwrap();
    for slot in 1..=votes {
        journal.put(position(0, slot), &payload(slot, 900)).unwrap();
        journal.commit().unwrap();
    }
}

fn refusal(disk: &SimDisk) -> JournalError {
    Journal::open(disk.clone(), options()).unwrap_err()
}

#[test]
fn gen_3_a_missing_journal_is_not_an_empty_one() {
    let disk = SimDisk::new(0);
    assert!(matches!(refusal(&disk), JournalError::Log(LogError::Missing { .. })));
    with_votes(&disk, 20);
    let image = disk.image();
    // Without its marker: nobody knows what was trimmed or lost, and it cannot be made anew over the votes.
    disk.remove("marker").unwrap();
    assert!(refusal(&disk).is_amnesia());
    let again = Journal::create(disk.clone(), options(), 2).unwrap_err();
    assert!(matches!(again, JournalError::Log(LogError::Exists { .. })));
    // Without its segments: the marker knows better.
    disk.restore(&image);
    segment_names(&disk).iter().for_each(|name| disk.remove(name).unwrap());
    assert!(matches!(refusal(&disk), JournalError::RolledBack { .. }));
    assert!(matches!(refusal(&disk), JournalError::RolledBack { .. }), "asking twice does not help");
    // With a damaged marker.
    disk.restore(&image);
    (0..84).for_each(|at| {
        disk.restore(&image);
        assert!(disk.flip("marker", at, 0x10));
        assert!(refusal(&disk).is_amnesia(), "byte {at}");
    });
}

#[test]
fn s_c5_a_journal_put_back_from_a_backup_is_refused() {
    let disk = SimDisk::new(0);
    with_votes(&disk, 3);
    let backup = disk.image();
    drop(Journal::open(disk.clone(), options()).unwrap());
    let mut journal = Journal::open(disk.clone(), options()).unwrap().0;
    journal.put(position(0, 4), b"promise").unwrap();
    journal.commit().unwrap();
    drop(journal);
    // The next boot has seen the promise. Then one sector is back as it was.
    drop(Journal::open(disk.clone(), options()).unwrap());
    for offset in (8192..16384).step_by(512) {
        disk.forget_sector("0000000000.seg", offset, &backup);
    }
    let refused = refusal(&disk);
    assert!(matches!(refused, JournalError::RolledBack { .. }) && refused.is_amnesia(), "{refused}");
}

#[test]
fn gen_3_a_damaged_vote_is_reported_with_its_place() {
    let disk = SimDisk::new(0);
    with_votes(&disk, 5);
    disk.flip("0000000000.seg", 8192 + 512 + 200, 1);
    let refused = refusal(&disk);
    assert!(matches!(refused, JournalError::Damaged { segment: 0, offset: 8704, .. }), "{refused}");
    assert!(refused.is_amnesia() && refused.to_string().contains("must rejoin"));
}

#[test]
fn a7_compaction_keeps_the_disk_within_the_live_records_and_two_segments() {
    let disk = SimDisk::new(0);
    let mut journal = Journal::create(disk.clone(), options(), 1).unwrap();
    for slot in 1..=400 {
        journal.put(position(0, slot), &payload(slot, 300)).unwrap();
        journal.put_register(1, &payload(slot, 50)).unwrap();
        journal.erase_below(position(0, slot.saturating_sub(10))).unwrap();
        journal.commit().unwrap();
        if journal.dead_bytes() > 4000 {
            journal.compact().unwrap();
        }
        assert!(segment_names(&disk).len() <= 5, "{:?}", segment_names(&disk));
    }
    assert_eq!(journal.live_bytes(), 11 * 300 + 50);
    drop(journal);
    let (journal, report) = Journal::open(disk, options()).unwrap();
    assert_eq!((journal.records().unwrap().len(), report.torn), (12, None));
    assert_eq!(journal.durable().through().0, 400);
}

#[test]
fn gen_12_a_snapshot_of_many_frames_counts_only_when_it_is_whole() {
    let disk = SimDisk::new(0);
    let votes = || -> BTreeMap<u64, Vec<u8>> { (1..=30).map(|slot| (slot, payload(slot, 900))).collect() };
    with_votes(&disk, 30);
    let image = disk.image();
    let mut died = 0;
    for crash in 0.. {
        disk.restore(&image);
        let mut journal = Journal::open(disk.clone(), options()).unwrap().0;
        disk.set_faults(Faults { power_off_after: Some(disk.operations() + crash), ..Faults::default() });
        let compacted = journal.compact().is_ok();
        disk.power_cut(PowerCut::Tear, &mut Choices::new(crash));
        let journal = Journal::open(disk.clone(), options()).unwrap().0;
        let found: Vec<Vec<u8>> = journal.records().unwrap().into_iter().map(|record| record.bytes).collect();
        assert_eq!(found, votes().into_values().collect::<Vec<_>>());
        if compacted {
            break;
        }
        died += 1;
    }
    assert!(died > 12, "a snapshot of several frames takes more operations than {died}");
}

#[test]
fn s_d4_a_full_disk_keeps_the_staged_group_for_later() {
    let disk = SimDisk::new(0);
    let mut journal = Journal::create(disk.clone(), options(), 1).unwrap();
    disk.set_faults(Faults { capacity_bytes: Some(20_000), ..Faults::default() });
    let mut groups = 0;
    loop {
        journal.put(position(0, groups + 1), &payload(groups + 1, 900)).unwrap();
        if journal.commit().is_err() {
            break;
        }
        groups += 1;
    }
    assert!(groups > 3 && journal.durable().through().0 == groups);
    disk.set_faults(Faults::default());
    assert_eq!(journal.commit().unwrap().through().0, groups + 1);
    assert_eq!(journal.records().unwrap().len() as u64, groups + 1);
}

#[test]
fn a_votes_log_is_not_a_block_log() {
    let disk = SimDisk::new(0);
    with_votes(&disk, 1);
    let blocks = LogOptions { salt: Salt([1; 16]), ..log_support::options(1) };
    let refused = synod_ledger::log::open(disk, blocks);
    assert!(matches!(refused, Err(LogError::Kind { .. })));
}

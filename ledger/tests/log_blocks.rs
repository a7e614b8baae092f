//! The block log against a naive model: reopening gives the view of the last commit, through crashes at every
//! operation, rewinds, restarts and trims; lost blocks are named and come back only by the right bytes.
#![allow(clippy::unwrap_used)]

mod log_support;

use std::collections::BTreeMap;

use log_support::*;
use synod_ledger::disk::{Choices, Disk, Faults, PowerCut, SimDisk};
use synod_ledger::log::blocks::{BlockLog, BlockLogError, DamagedBlockLog, OpenedBlocks, Record, Tip};
use synod_ledger::log::{FrameNumber, LogError};
use synod_types::{B256, BlockHash, Height, mutant};

fn hash(number: u64) -> BlockHash {
    // Zeros where a mined hash has them.
    BlockHash(B256::right_padding_from(&number.to_be_bytes()))
}

fn tip(height: u64, number: u64) -> Tip {
    Tip { height: Height(height), hash: hash(number) }
}

fn block_bytes(number: u64) -> Vec<u8> {
    payload(number, (number * 37 % 900) as usize)
}

/// The chain as a list of block numbers from `first` on, and every block ever delivered.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    first: u64,
    chain: Vec<u64>,
    tip: Option<(u64, u64)>,
    all: BTreeMap<u64, (u64, u64)>,
}

impl Model {
    fn append(&mut self, number: u64) -> (Tip, BlockHash) {
        let (height, parent) = self.tip.map_or((1, 0), |(height, parent)| (height + 1, parent));
        if self.tip.is_none() {
            self.first = 1;
        }
        self.chain.push(number);
        self.tip = Some((height, number));
        self.all.insert(number, (height, parent));
        (tip(height, number), hash(parent))
    }

    fn rewind(&mut self, kept: usize) -> Tip {
        self.chain.truncate(kept);
        let (height, number) = (self.first + kept as u64 - 1, self.chain[kept - 1]);
        self.tip = Some((height, number));
        tip(height, number)
    }

    /// Everything that can be asked has the model's answer, or was trimmed below `trimmed`.
    fn check(&self, log: &BlockLog<SimDisk>, trimmed: u64) {
        assert_eq!(log.tip(), self.tip.map(|(height, number)| tip(height, number)));
        let Some((top, _)) = self.tip else { return };
        assert!(matches!(log.block_at(Height(top + 1)), Err(BlockLogError::AboveTip { .. })));
        for (at, number) in self.chain.iter().enumerate() {
            let height = self.first + at as u64;
            match log.block_at(Height(height)) {
                Ok(block) => {
                    assert_eq!((block.block, block.parent), (tip(height, *number), hash(self.all[number].1)));
                    assert!(block.bytes == block_bytes(*number));
                    assert!(log.is_on_chain(block.block));
                }
                Err(BlockLogError::Trimmed { floor }) => assert!(height < floor.0 && floor.0 <= trimmed),
                Err(error) => panic!("height {height}: {error}"),
            }
        }
        for (number, (height, parent)) in &self.all {
            match log.block_with(hash(*number)).unwrap() {
                Some(block) => {
                    assert_eq!((block.block, block.parent), (tip(*height, *number), hash(*parent)));
                    assert!(block.bytes == block_bytes(*number));
                }
                None => assert!(trimmed > 1, "block {number} vanished"),
            }
        }
        assert_eq!(log.block_with(hash(u64::MAX)).unwrap(), None);
    }
}

fn whole(opened: OpenedBlocks<SimDisk>) -> BlockLog<SimDisk> {
    match opened {
        OpenedBlocks::Whole(log, _) => log,
        OpenedBlocks::Damaged(log) => panic!("damaged: {:?}", log.lost()),
    }
}

fn damaged(opened: OpenedBlocks<SimDisk>) -> DamagedBlockLog<SimDisk> {
    match opened {
        OpenedBlocks::Damaged(log) => log,
        OpenedBlocks::Whole(..) => panic!("taken for whole"),
    }
}

fn open(disk: &SimDisk) -> BlockLog<SimDisk> {
    whole(BlockLog::open(disk.clone(), options(7)).unwrap())
}

/// A log of `blocks` single-block frames: block n has height n.
fn chain_of(disk: &SimDisk, blocks: u64) -> Model {
    let mut log = open(disk);
    let mut model = Model::default();
    for number in 1..=blocks {
        let (block, parent) = model.append(number);
        log.append(block, parent, &block_bytes(number)).unwrap();
        log.commit().unwrap();
    }
    model
}

struct World {
    disk: SimDisk,
    acknowledged: Model,
    written: Option<Model>,
    next_number: u64,
    trimmed: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        World { disk, acknowledged: Model::default(), written: None, next_number: 1, trimmed: 1 }
    }

    /// Opens the log after a crash: it shows the last commit, or the one that was under way, and nothing between.
    fn recover(&mut self) -> Result<BlockLog<SimDisk>, BlockLogError> {
        let log = match BlockLog::open(self.disk.clone(), options(3))? {
            OpenedBlocks::Whole(log, _) => log,
            OpenedBlocks::Damaged(log) => panic!("damaged: {:?}", log.lost()),
        };
        let shown = |model: &Model| log.tip() == model.tip.map(|(height, number)| tip(height, number));
        match self.written.take() {
            Some(written) if shown(&written) => self.acknowledged = written,
            _ => {}
        }
        self.acknowledged.check(&log, self.trimmed);
        Ok(log)
    }

    fn work(&mut self, choices: &mut Choices, steps: u64) -> Result<(), BlockLogError> {
        let mut log = self.recover()?;
        for _ in 0..steps {
            if choices.once_in(3) {
                log.prepare_ahead()?;
            }
            if choices.once_in(8) && self.acknowledged.chain.len() > 4 {
                self.trimmed = self.trimmed.max(self.acknowledged.first + choices.below(3));
                log.trim_below(Height(self.trimmed))?;
            }
            let mut next = self.acknowledged.clone();
            let kept_heights = log.heights().start.0;
            if choices.once_in(4) && next.tip.is_some_and(|(height, _)| height > kept_heights + 2) {
                let most = next.tip.unwrap().0 - kept_heights;
                let back = 1 + choices.below(most) as usize;
                log.rewind(next.rewind(next.chain.len() - back))?;
            }
            for _ in 0..1 + choices.below(3) {
                let (block, parent) = next.append(self.next_number);
                log.append(block, parent, &block_bytes(self.next_number))?;
                self.next_number += 1;
            }
            self.acknowledged.check(&log, self.trimmed);
            self.written = Some(next.clone());
            log.commit()?;
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
    let worked = world.work(&mut choices, 10);
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
    world.work(&mut choices, 3).unwrap();
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
    assert!(points > 30, "the workload is too small to mean anything: {points} operations");
}

#[test]
fn a5_a14_a_reopened_log_is_the_view_of_the_last_commit_after_a_crash_anywhere() {
    (0..seeds()).for_each(every_crash_point);
}

#[test]
fn mutant_ack_before_sync_dies_in_the_block_log_too() {
    let died = std::panic::catch_unwind(|| mutant::with("sto-1-ack-before-sync", || every_crash_point(1)));
    assert!(died.is_err());
}

#[test]
fn deliveries_out_of_order_are_refused_and_change_nothing() {
    let disk = SimDisk::new(0);
    let model = chain_of(&disk, 5);
    let mut log = open(&disk);
    let refused = |result: Result<(), BlockLogError>| matches!(result, Err(BlockLogError::Disordered { .. }));
    assert!(refused(log.append(tip(6, 6), hash(4), b"")));
    assert!(refused(log.append(tip(7, 6), hash(5), b"")));
    assert!(refused(log.rewind(tip(3, 99))));
    assert!(refused(log.rewind(tip(6, 6))));
    assert!(refused(log.rewind(Tip { height: Height(u64::MAX), hash: hash(1) })));
    log.commit().unwrap();
    model.check(&log, 1);
}

#[test]
fn a_group_may_rewind_what_it_appended_itself() {
    let disk = SimDisk::new(0);
    chain_of(&disk, 3);
    let mut log = open(&disk);
    log.append(tip(4, 4), hash(3), b"4").unwrap();
    log.append(tip(5, 5), hash(4), b"5").unwrap();
    log.rewind(tip(4, 4)).unwrap();
    assert!(log.rewind(tip(5, 5)).is_err());
    log.rewind(tip(2, 2)).unwrap();
    assert!(log.rewind(tip(3, 3)).is_err());
    log.append(tip(3, 30), hash(2), b"30").unwrap();
    assert_eq!(log.tip(), Some(tip(3, 3)), "nothing shows before the commit");
    log.commit().unwrap();
    assert_eq!((log.tip(), log.blocks()), (Some(tip(3, 30)), 6));
    drop(log);
    let log = open(&disk);
    assert_eq!((log.tip(), log.blocks()), (Some(tip(3, 30)), 6));
    assert_eq!(log.block_with(hash(5)).unwrap().unwrap().bytes, b"5");
    assert!(!log.is_on_chain(tip(3, 3)) && log.is_on_chain(tip(2, 2)));
}

/// The very first blocks, not committed yet, may be taken back down to what they stand on, and no further.
#[test]
fn the_first_group_of_all_may_rewind_to_its_base() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk);
    log.append(tip(1, 1), hash(0), &block_bytes(1)).unwrap();
    log.append(tip(2, 2), hash(1), &block_bytes(2)).unwrap();
    assert!(matches!(log.rewind(tip(0, 9)), Err(BlockLogError::Disordered { .. })));
    log.rewind(tip(0, 0)).unwrap();
    log.append(tip(1, 3), hash(0), &block_bytes(3)).unwrap();
    log.commit().unwrap();
    assert_eq!(log.tip(), Some(tip(1, 3)));
    drop(log);
    assert_eq!(open(&disk).tip(), Some(tip(1, 3)));
}

#[test]
fn a_rewind_may_lead_to_the_base_and_a_restart_anywhere() {
    let disk = SimDisk::new(0);
    let mut log = open(&disk);
    log.append(tip(101, 1), hash(100), b"first").unwrap();
    log.append(tip(102, 2), hash(1), b"second").unwrap();
    log.commit().unwrap();
    log.rewind(tip(100, 100)).unwrap();
    log.append(tip(101, 3), hash(100), b"other").unwrap();
    log.commit().unwrap();
    assert!(matches!(log.rewind(tip(90, 90)), Err(BlockLogError::Trimmed { floor: Height(101) })));
    log.restart(tip(5000, 50)).unwrap();
    log.append(tip(5001, 51), hash(50), b"after the snapshot").unwrap();
    log.commit().unwrap();
    drop(log);
    let log = open(&disk);
    assert_eq!((log.tip(), log.heights()), (Some(tip(5001, 51)), Height(5001)..Height(5002)));
    assert!(matches!(log.block_at(Height(101)), Err(BlockLogError::Trimmed { .. })));
    assert_eq!(log.block_with(hash(3)).unwrap().unwrap().bytes, b"other");
}

#[test]
fn gen_9_a_group_larger_than_a_frame_is_refused_whole() {
    let disk = SimDisk::new(0);
    let mut log = open(&disk);
    log.append(tip(1, 1), hash(0), &[1; 5000]).unwrap();
    let refused = log.append(tip(2, 2), hash(1), &[2; 5000]);
    assert!(matches!(refused, Err(BlockLogError::Log(LogError::TooLarge { .. }))));
    log.commit().unwrap();
    log.append(tip(2, 2), hash(1), &[2; 5000]).unwrap();
    log.commit().unwrap();
    assert_eq!(log.block_at(Height(2)).unwrap().bytes, [2; 5000]);
}

/// One appended block for each of the encodings.
fn records(first: u64, blocks: &[Vec<u8>]) -> Vec<[Record<'_>; 1]> {
    let record =
        |(number, bytes)| [Record::Appended { block: tip(number, number), parent: hash(number - 1), bytes }];
    (first..).zip(blocks.iter().map(Vec::as_slice)).map(record).collect()
}

/// Damages a frame in the middle, asks "peers" for what the log says it lost, and repairs it.
fn lose_and_repair(disk: &SimDisk, damage: impl Fn()) {
    damage();
    let mut log = damaged(BlockLog::open(disk.clone(), options(7)).unwrap());
    for lost in log.lost().to_vec() {
        let heights = lost.heights().expect("single-block frames can be asked for");
        let right: Vec<Vec<u8>> = (heights.start.0..heights.end.0).map(block_bytes).collect();
        let mut lies = right.clone();
        lies[0].push(7);
        let lying = records(heights.start.0, &lies);
        let lying: Vec<&[Record<'_>]> = lying.iter().map(<[_; 1]>::as_slice).collect();
        let refused = log.repair(lost.first, &lying);
        assert!(matches!(refused, Err(BlockLogError::Log(LogError::WrongRepair { .. }))));
        let honest = records(heights.start.0, &right);
        let honest: Vec<&[Record<'_>]> = honest.iter().map(<[_; 1]>::as_slice).collect();
        log.repair(lost.first, &honest).unwrap();
    }
    assert!(log.lost().is_empty());
    let log = whole(log.reopen(options(7)).unwrap());
    assert_eq!(log.tip(), Some(tip(20, 20)));
}

#[test]
fn s_d5_lost_blocks_are_named_and_repaired_from_peers() {
    let disk = SimDisk::new(0);
    let model = chain_of(&disk, 20);
    let image = disk.image();
    let segments = segment_names(&disk);
    for seed in 0..seeds() * 10 {
        disk.restore(&image);
        let mut choices = Choices::new(seed);
        let at = 8192 + choices.below(4000);
        lose_and_repair(&disk, || assert!(disk.flip(&segments[0], at / 512 * 512 + 20, 1)));
        model.check(&open(&disk), 1);
    }
    disk.restore(&image);
    lose_and_repair(&disk, || disk.remove(&segments[0]).unwrap());
    model.check(&open(&disk), 1);
}

#[test]
fn s_d5_the_way_out_of_damage_that_no_peer_can_mend_keeps_what_is_before_it() {
    let disk = SimDisk::new(0);
    let mut model = chain_of(&disk, 40);
    let segments = segment_names(&disk);
    assert!(segments.len() > 2);
    assert!(disk.zero_sector(&segments[1], 8192));
    let log = damaged(BlockLog::open(disk.clone(), options(7)).unwrap());
    let lost = log.lost()[0];
    let kept = lost.after.unwrap();
    assert_eq!(FrameNumber(kept.height.0 + 1), lost.first);
    let log = whole(log.discard_from_damage(options(7)).unwrap());
    model.rewind(kept.height.0 as usize);
    model.all.retain(|number, _| *number <= kept.height.0);
    model.check(&log, 1);
    drop(log);
    model.check(&open(&disk), 1);
}

#[test]
fn s_d5_a_block_that_rots_after_the_boot_is_not_served_and_can_be_put_back() {
    let disk = SimDisk::new(0);
    let model = chain_of(&disk, 3);
    let mut log = open(&disk);
    assert!(disk.flip("0000000000.seg", 8192 + 130, 1));
    assert!(matches!(log.block_at(Height(1)), Err(BlockLogError::Log(LogError::Damaged { .. }))));
    assert!(log.block_with(hash(1)).is_err());
    log.block_at(Height(2)).unwrap();
    let refused = log.mend(FrameNumber(1), &records(1, &[b"another".to_vec()])[0]);
    assert!(matches!(refused, Err(BlockLogError::Log(LogError::WrongRepair { .. }))));
    for number in 1..=3 {
        log.mend(FrameNumber(number), &records(number, &[block_bytes(number)])[0]).unwrap();
    }
    model.check(&log, 1);
    drop(log);
    disk.power_cut(PowerCut::LoseUnsynced, &mut Choices::new(0));
    model.check(&open(&disk), 1);
}

//! A block log that is damaged in its middle, with group commits and reorganisations in it: what is lost is
//! found by following hashes down from the last good tip, comes from "peers", and the log is whole again in
//! place, or as a copy of its chain where a lost block had left the chain and nobody has it.
#![allow(clippy::unwrap_used)]

mod log_support;

use std::collections::BTreeMap;

use log_support::*;
use synod_ledger::disk::{Choices, Faults, Folders as _, PowerCut, SimDisk};
use synod_ledger::log::blocks::{
    BlockLog, BlockLogError, DamagedBlockLog, Fetched, FetchedBlocks, OpenedBlocks, Tip, begin_copy,
    finish_replacement, forget_replaced, replace_by_copy, replaced_log,
};
use synod_types::{B256, BlockHash, Bytes, Height};

/// What was ever delivered, by hash, and the chain at the end.
#[derive(Default)]
struct Story {
    blocks: BTreeMap<BlockHash, Fetched>,
    chain: Vec<Tip>,
}

fn block(height: u64, salt: u64, parent: BlockHash) -> Fetched {
    let number = height * 1_000 + salt;
    let hash = BlockHash(B256::right_padding_from(&number.to_be_bytes()));
    let bytes = payload(number, 40 + (number * 37 % 700) as usize);
    Fetched { block: Tip { height: Height(height), hash }, parent, bytes: Bytes::from(bytes) }
}

impl Story {
    /// Writes a log of some hundred blocks: one to three in a commit, and now and then a reorganisation, in
    /// the commit of its blocks or apart from it.
    fn write(disk: &SimDisk, choices: &mut Choices) -> Self {
        let (mut story, mut log) =
            (Story::default(), whole(BlockLog::open(disk.clone(), options(1)).unwrap()));
        for commit in 0..120 {
            let undone = if choices.below(6) == 0 { choices.below(3) as usize } else { 0 };
            if undone > 0 && story.chain.len() > undone {
                story.chain.truncate(story.chain.len() - undone);
                log.rewind(*story.chain.last().unwrap()).unwrap();
                if choices.below(2) == 0 {
                    log.commit().unwrap();
                }
            }
            for _ in 0..=choices.below(3) + undone as u64 {
                let parent = story.chain.last().map_or(BlockHash::default(), |tip| tip.hash);
                let next = block(story.chain.len() as u64 + 1, commit, parent);
                log.append(next.block, parent, &next.bytes).unwrap();
                story.chain.push(next.block);
                story.blocks.insert(next.block.hash, next);
            }
            log.commit().unwrap();
        }
        story
    }

    /// Asks for one lost block after the other, as a node asks its peers.
    fn fetch(&self, log: &DamagedBlockLog<SimDisk>) -> FetchedBlocks {
        let (mut fetched, mut from) = (FetchedBlocks::new(), log.tip().unwrap());
        while let Some(lost) = log.first_lost(from) {
            let given = self.blocks[&lost.hash].clone();
            assert_eq!(given.block, lost);
            from = Tip { height: Height(lost.height.0 - 1), hash: given.parent };
            fetched.insert(lost.hash, given);
        }
        fetched
    }

    fn check_chain(&self, log: &BlockLog<SimDisk>) {
        let tip = log.tip().unwrap();
        assert_eq!(self.chain[tip.height.0 as usize - 1], tip);
        for at in &self.chain[..tip.height.0 as usize] {
            let stored = log.block_at(at.height).unwrap();
            let known = &self.blocks[&at.hash];
            assert_eq!((stored.block, stored.parent), (*at, known.parent));
            assert!(stored.bytes == known.bytes);
        }
    }

    fn check_everything(&self, log: &BlockLog<SimDisk>) {
        self.check_chain(log);
        assert_eq!(log.tip(), self.chain.last().copied());
        assert!(self.blocks.keys().all(|hash| log.block_with(*hash).unwrap().is_some()));
    }
}

fn whole(opened: OpenedBlocks<SimDisk>) -> BlockLog<SimDisk> {
    match opened {
        OpenedBlocks::Whole(log, _) => log,
        OpenedBlocks::Damaged(log) => panic!("damaged: {:?}", log.lost()),
    }
}

/// Rots some bytes anywhere between the first frame and the last segment.
fn rot(disk: &SimDisk, segments: &[String], choices: &mut Choices) {
    for _ in 0..=choices.below(2) {
        let segment = &segments[choices.below(segments.len() as u64 - 1) as usize];
        let at = 8192 + choices.below(8192 - 512);
        match choices.below(4) {
            0 => assert!(disk.zero_sector(segment, at / 512 * 512)),
            _ => assert!(disk.flip(segment, at, 1 << choices.below(8))),
        }
    }
}

#[test]
fn s_d5_what_rot_took_comes_back_in_place_or_as_a_copy() {
    let (mut in_place, mut copied) = (0, 0);
    for seed in 0..seeds() * 4 {
        let disk = SimDisk::new(0);
        let mut choices = Choices::new(seed);
        let story = Story::write(&disk, &mut choices);
        rot(&disk, &segment_names(&disk), &mut choices);
        let mut log = match BlockLog::open(disk.clone(), options(7)).unwrap() {
            OpenedBlocks::Damaged(log) => log,
            // The rot fell on bytes that no frame uses.
            OpenedBlocks::Whole(log, _) => {
                story.check_everything(&log);
                continue;
            }
        };
        let fetched = story.fetch(&log);
        if log.repair_in_place(&fetched).unwrap() {
            story.check_everything(&whole(log.reopen(options(7)).unwrap()));
            in_place += 1;
        } else {
            let copy = SimDisk::new(0);
            log.copy_chain(copy.clone(), options(8), &fetched).unwrap();
            let copy = whole(BlockLog::open(copy, options(9)).unwrap());
            story.check_chain(&copy);
            assert_eq!(copy.tip(), log.tip());
            copied += 1;
        }
    }
    assert!(in_place > 0 && copied > 0, "{in_place} in place, {copied} copied: both ways must be seen");
}

#[test]
fn s_d5_what_was_not_fetched_is_not_made_up() {
    let disk = SimDisk::new(0);
    let story = Story::write(&disk, &mut Choices::new(3));
    assert!(disk.zero_sector(&segment_names(&disk)[0], 8192 + 512));
    let OpenedBlocks::Damaged(mut log) = BlockLog::open(disk, options(7)).unwrap() else { panic!("whole") };
    assert!(log.first_lost(log.tip().unwrap()).is_some());
    assert!(!log.repair_in_place(&FetchedBlocks::new()).unwrap());
    let refused = log.copy_chain(SimDisk::new(0), options(8), &FetchedBlocks::new());
    assert!(matches!(refused, Err(BlockLogError::StillLost { .. })));
    // A block of the right hash with other bytes is found out by the frames' chain, and not written in place.
    let mut lies = story.fetch(&log);
    lies.values_mut().for_each(|lie| lie.bytes = Bytes::from_static(b"another"));
    assert!(!log.repair_in_place(&lies).unwrap());
    assert!(!log.lost().is_empty());
}

/// Opens the log and repairs it if it is damaged.
fn mend(disk: &SimDisk, story: &Story) -> Result<BlockLog<SimDisk>, BlockLogError> {
    let mut log = match BlockLog::open(disk.clone(), options(7))? {
        OpenedBlocks::Damaged(log) => log,
        OpenedBlocks::Whole(log, _) => return Ok(log),
    };
    let fetched = story.fetch(&log);
    assert!(log.repair_in_place(&fetched)?, "what was repaired once can be repaired again");
    Ok(whole(log.reopen(options(8))?))
}

#[test]
fn s_d5_a_repair_that_a_power_cut_ends_is_done_again() {
    let disk = SimDisk::new(0);
    let story = Story::write(&disk, &mut Choices::new(1));
    // Three sectors of a frame's payload, so that the repair is several writes to the disk.
    let segment = &segment_names(&disk)[1];
    (0..3).for_each(|sector| assert!(disk.zero_sector(segment, 8192 + 1024 + sector * 512)));
    let damaged = disk.image();
    assert!(matches!(BlockLog::open(disk.clone(), options(7)).unwrap(), OpenedBlocks::Damaged(_)));
    for cut in [PowerCut::LoseUnsynced, PowerCut::KeepUnsynced, PowerCut::Tear] {
        let survived = |crash: u64| {
            disk.restore(&damaged);
            let last = disk.operations() + crash;
            disk.set_faults(Faults { power_off_after: Some(last), ..Faults::default() });
            let survived = mend(&disk, &story).is_ok();
            disk.power_cut(cut, &mut Choices::new(crash));
            story.check_everything(&mend(&disk, &story).unwrap());
            survived
        };
        let points = (0..).find(|crash| survived(*crash)).unwrap();
        assert!(points > 10, "{points} operations are no repair");
    }
}

/// A start of a node: ends a replacement that a crash left, opens the log, and repairs it if it is damaged, by a
/// copy where that is the only way.
fn start(home: &SimDisk, story: &Story) -> Result<BlockLog<SimDisk>, BlockLogError> {
    finish_replacement(home, "blocks")?;
    let log = loop {
        let mut damaged = match BlockLog::open(home.folder("blocks"), options(7))? {
            OpenedBlocks::Whole(log, _) => break log,
            OpenedBlocks::Damaged(damaged) => damaged,
        };
        let fetched = story.fetch(&damaged);
        if damaged.repair_in_place(&fetched)? {
            continue;
        }
        let copy = begin_copy(home, "blocks")?;
        damaged.copy_chain(home.folder(&copy), options(8), &fetched)?;
        replace_by_copy(home, "blocks")?;
    };
    forget_replaced(home, "blocks")?;
    Ok(log)
}

/// A home whose log is damaged so that only a copy helps, and what it told.
fn beyond_repair_in_place() -> (SimDisk, Story) {
    for seed in 0.. {
        let home = SimDisk::new(0);
        let (blocks, mut choices) = (home.folder("blocks"), Choices::new(seed));
        let story = Story::write(&blocks, &mut choices);
        rot(&blocks, &segment_names(&blocks), &mut choices);
        let before = home.image();
        if let OpenedBlocks::Damaged(mut log) = BlockLog::open(blocks, options(7)).unwrap()
            && !log.repair_in_place(&story.fetch(&log)).unwrap()
        {
            home.restore(&before);
            return (home, story);
        }
    }
    unreachable!("the other test sees such rot in a few seeds")
}

/// The power goes at every operation of a repair by copy: of the copy itself, of the swap of the folders, of the
/// removal of the old one. The next start has the chain, and leaves one folder.
#[test]
fn s_d5_a_replacement_that_a_power_cut_ends_leaves_one_whole_log() {
    let (home, story) = beyond_repair_in_place();
    let damaged = home.image();
    let tip = start(&home, &story).unwrap().tip();
    for cut in [PowerCut::LoseUnsynced, PowerCut::KeepUnsynced, PowerCut::Tear] {
        let survived = |crash: u64| {
            home.restore(&damaged);
            let last = home.operations() + crash;
            home.set_faults(Faults { power_off_after: Some(last), ..Faults::default() });
            let survived = start(&home, &story).is_ok();
            home.power_cut(cut, &mut Choices::new(crash));
            let log = start(&home, &story).unwrap();
            story.check_chain(&log);
            assert_eq!(log.tip(), tip, "{cut:?} after {crash} operations");
            assert!(!home.holds("blocks.copy").unwrap() && !home.holds("blocks.aside").unwrap());
            survived
        };
        let points = (0..).find(|crash| survived(*crash)).unwrap();
        assert!(points > 50, "{points} operations are no copy and no swap");
    }
}

/// The chain of a log, from its tip down to the first block: each is the one that was delivered.
fn check_to_the_ground(log: &BlockLog<SimDisk>, story: &Story) {
    let mut at = log.tip();
    while let Some(tip) = at {
        let stored = log.block_at(tip.height).unwrap();
        let known = &story.blocks[&tip.hash];
        assert_eq!((stored.block, stored.parent), (tip, known.parent));
        assert!(stored.bytes == known.bytes);
        at = (tip.height > Height(1)).then(|| Tip { height: Height(tip.height.0 - 1), hash: known.parent });
    }
}

#[test]
fn s_d5_a_log_that_is_cut_before_its_damage_has_the_chain_up_to_there() {
    let (mut cut, mut emptied) = (0, 0);
    for seed in 0..seeds() * 4 {
        let disk = SimDisk::new(0);
        let mut choices = Choices::new(seed);
        let story = Story::write(&disk, &mut choices);
        let segments = segment_names(&disk);
        match seed % 4 {
            0 => assert!(disk.flip(&segments[0], 8192 + 40, 1)),
            _ => rot(&disk, &segments, &mut choices),
        }
        let OpenedBlocks::Damaged(log) = BlockLog::open(disk, options(7)).unwrap() else { continue };
        let copy = SimDisk::new(0);
        let end = log.copy_before_damage(copy.clone(), options(8)).unwrap();
        let copied = whole(BlockLog::open(copy, options(9)).unwrap());
        assert_eq!((copied.tip(), end), (end, log.lost()[0].after));
        check_to_the_ground(&copied, &story);
        match end {
            Some(_) => cut += 1,
            None => emptied += 1,
        }
    }
    assert!(cut > 0 && emptied > 0, "{cut} cut, {emptied} emptied: both must be seen");
}

/// A start under a committee: a damaged log is cut before its damage, and stands aside until the chain is as high
/// again.
fn start_under_a_committee(home: &SimDisk) -> Result<BlockLog<SimDisk>, BlockLogError> {
    finish_replacement(home, "blocks")?;
    loop {
        match BlockLog::open(home.folder("blocks"), options(7))? {
            OpenedBlocks::Whole(log, _) => return Ok(log),
            OpenedBlocks::Damaged(damaged) => {
                let copy = begin_copy(home, "blocks")?;
                damaged.copy_before_damage(home.folder(&copy), options(8))?;
                replace_by_copy(home, "blocks")?;
            }
        }
    }
}

/// The power goes at every operation of a cut. The next start has the chain below the damage, and what was good
/// behind it still stands aside.
#[test]
fn s_d5_a_cut_that_a_power_cut_ends_loses_nothing_that_was_good() {
    let (home, story) = beyond_repair_in_place();
    let damaged = home.image();
    let OpenedBlocks::Damaged(log) = BlockLog::open(home.folder("blocks"), options(7)).unwrap() else {
        panic!("whole")
    };
    let (before, end) = (log.lost()[0].after, log.tip());
    assert!(before.unwrap().height < end.unwrap().height);
    drop(log);
    for cut in [PowerCut::LoseUnsynced, PowerCut::KeepUnsynced, PowerCut::Tear] {
        let survived = |crash: u64| {
            home.restore(&damaged);
            let last = home.operations() + crash;
            home.set_faults(Faults { power_off_after: Some(last), ..Faults::default() });
            let survived = start_under_a_committee(&home).is_ok();
            home.power_cut(cut, &mut Choices::new(crash));
            let log = start_under_a_committee(&home).unwrap();
            assert_eq!(log.tip(), before, "{cut:?} after {crash} operations");
            check_to_the_ground(&log, &story);
            assert!(!home.holds("blocks.copy").unwrap());
            let aside = replaced_log(&home, "blocks").unwrap().unwrap();
            match BlockLog::open(home.folder(&aside), options(7)).unwrap() {
                OpenedBlocks::Damaged(aside) => assert_eq!(aside.tip(), end),
                OpenedBlocks::Whole(..) => {
                    panic!("{cut:?} after {crash} operations: another log stands aside")
                }
            }
            survived
        };
        let points = (0..).find(|crash| survived(*crash)).unwrap();
        assert!(points > 20, "{points} operations are no copy and no swap");
    }
}

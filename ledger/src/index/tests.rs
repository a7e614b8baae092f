//! Checkpoints of a real chain: every one loads as the state it stands for, whatever crash came after it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::execution::Proposal;
use crate::store::memory::MemoryPages;
use crate::testing::{account, genesis, key, transfer};
use crate::{Ledger, MemoryHistory, Options};

const BLOCKS: u64 = 36;

/// The blocks of a chain in which everybody pays everybody, oldest first, without the genesis block.
fn blocks() -> Vec<Arc<Executed>> {
    let genesis = genesis();
    let mut ledger = Ledger::open(genesis, MemoryHistory::default(), Options::new([1; 32])).unwrap().0;
    for height in 1..=BLOCKS {
        let rules = ledger.rules().clone();
        let pay = |from: u64| transfer(&rules, &key(from), height - 1, key(from * height % 40).public(), 9);
        let proposal = Proposal {
            time: synod_types::UnixMillis(ledger.head().time().0 + 2_000),
            proposer: account(3),
            fee_recipient: account(height % 50),
            transactions: (0..10).map(pay).collect(),
        };
        let block = ledger.build(proposal, 0).block;
        assert_eq!(block.transactions.len(), 10);
        ledger.append(&block, &()).unwrap();
    }
    let mut blocks = ledger.reader().recent_blocks();
    blocks.pop();
    blocks.reverse();
    blocks
}

fn open(pages: &MemoryPages) -> Index<MemoryPages> {
    Index::open(pages.clone(), B256::ZERO).unwrap()
}

/// Everything that the index says is what the blocks up to its height say, and nothing more.
fn check(index: &Index<MemoryPages>, blocks: &[Arc<Executed>]) {
    let height = index.height();
    let Some(state) = index.load().unwrap() else {
        return assert_eq!(height, Height(0));
    };
    let floor = &blocks[height.0 as usize - 1];
    assert_eq!(index.manifest().unwrap().hash, floor.hash);
    assert_eq!(state.view().entries(), floor.view.entries());
    for block in blocks {
        for (place, transaction) in (0..).zip(&block.transactions) {
            let place = HistoryEntry { height: block.height(), index: place };
            let known = (block.height() <= height).then_some(place);
            assert_eq!(index.place(&transaction.id).unwrap(), known);
            let receipt = known.map(|place| block.receipts[place.index as usize].clone());
            assert_eq!(index.receipt(place).unwrap(), receipt);
        }
    }
    let of_five: BTreeSet<_> = blocks[..height.0 as usize]
        .iter()
        .flat_map(|block| block.transactions.iter().enumerate().map(|(at, one)| (block.height(), at, *one)))
        .filter(|(_, _, one)| one.sender == account(5) || one.recipient == Some(account(5)))
        .map(|(height, at, _)| HistoryEntry { height, index: at as u32 })
        .collect();
    let last = HistoryEntry { height: Height(u64::MAX), index: u32::MAX };
    let history = index.history(&account(5), last, usize::MAX).unwrap();
    assert_eq!(history, of_five.into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn every_checkpoint_is_the_state_and_the_index_at_its_block() {
    let (blocks, pages) = (blocks(), MemoryPages::default());
    for chunk in blocks.chunks(3) {
        let index = open(&pages);
        index.write(chunk).unwrap();
        check(&index, &blocks);
        check(&open(&pages), &blocks);
    }
    let manifest = open(&pages).manifest().unwrap();
    assert!(manifest.state.len() < 10, "a new base was written on the way");
}

/// The power goes at every single write: what is found afterwards is a whole checkpoint, nothing is left over,
/// and the next checkpoint follows on it.
fn survive_every_crash() {
    let blocks = blocks();
    for writes in 0.. {
        let pages = MemoryPages::default();
        *pages.writes_left.lock().unwrap() = Some(writes);
        let index = open(&pages);
        let died = blocks.chunks(7).any(|chunk| index.write(chunk).is_err());
        drop(index);
        *pages.writes_left.lock().unwrap() = None;
        let index = open(&pages);
        check(&index, &blocks);
        let done = index.height().0 as usize;
        if done < blocks.len() {
            index.write(&blocks[done..]).unwrap();
            check(&index, &blocks);
        }
        if !died {
            assert!(writes > 20, "there were writes to die at");
            return;
        }
    }
}

#[test]
fn sto_2_a_crash_at_any_write_leaves_a_whole_checkpoint() {
    survive_every_crash();
}

#[test]
fn sto_2_the_mutant_that_writes_the_head_apart_dies() {
    let died = catch_unwind(AssertUnwindSafe(|| {
        synod_types::mutant::with("sto-2-head-apart", survive_every_crash);
    }));
    assert!(died.is_err() || !cfg!(feature = "mutants"));
}

#[test]
fn a_cleared_index_is_empty_and_can_be_filled_again() {
    let (blocks, pages) = (blocks(), MemoryPages::default());
    let index = open(&pages);
    index.write(&blocks[..30]).unwrap();
    index.clear().unwrap();
    assert_eq!(index.height(), Height(0));
    assert!(pages.pages.lock().unwrap().keys().all(|key| key[0] == CODE));
    blocks.chunks(20).for_each(|chunk| index.write(chunk).unwrap());
    check(&index, &blocks);
}

#[test]
fn another_networks_index_is_refused() {
    let pages = MemoryPages::default();
    open(&pages).write(&blocks()[..5]).unwrap();
    assert!(Index::open(pages, B256::repeat_byte(1)).is_err());
}

/// Whatever has a number in its key stands in the order of the numbers, also where a byte turns over: readers
/// look for the page at or before a place, and what a crash left over is what stands above a height.
#[test]
fn sto_7_keys_are_big_endian() {
    type KeyOf = fn(u64) -> Vec<u8>;
    let numbers = [0, 1, 255, 256, 257, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX];
    let kinds: [(&str, KeyOf); 6] = [
        ("state", |number| state_key(number, None)),
        ("places", |number| place_bytes(HistoryEntry { height: Height(number), index: 7 }).to_vec()),
        ("indexes", |number| place_bytes(HistoryEntry { height: Height(1), index: number as u32 }).to_vec()),
        ("pages", |number| state_key(1, Some(number as u32))),
        ("receipts", receipts::key_of),
        ("blooms", blooms::key_of),
    ];
    for (name, key) in kinds {
        let narrow = matches!(name, "indexes" | "pages");
        let numbers = numbers.iter().copied().filter(|number| !narrow || *number <= u64::from(u32::MAX));
        let keys: Vec<_> = numbers.map(key).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{name}");
    }
    let entry = |number: u64| IDS.key(number, &[0xff; 44]);
    assert!(numbers.windows(2).all(|pair| entry(pair[0]) < entry(pair[1])), "runs");
}

/// One thread writes checkpoints, among them merged runs and new bases; another asks all the while, and finds
/// everything that the index says it has.
#[test]
fn sto_6_readers_see_whole_checkpoints_while_one_thread_writes() {
    let blocks = blocks();
    let rounds: u32 = (0..8).map(|_| read_while_writing(&blocks)).sum();
    assert!(rounds >= 8, "{rounds} rounds");
}

/// Answers how often the reader looked through everything.
fn read_while_writing(blocks: &[Arc<Executed>]) -> u32 {
    let index = open(&MemoryPages::default());
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut rounds = 0_u32;
            loop {
                let is_last = is_done.load(std::sync::atomic::Ordering::SeqCst);
                let height = index.height();
                for block in &blocks[..height.0 as usize] {
                    let place = HistoryEntry { height: block.height(), index: 3 };
                    assert_eq!(index.place(&block.transactions[3].id).unwrap(), Some(place));
                    assert_eq!(index.receipt(place).unwrap().unwrap(), block.receipts[3]);
                }
                let last = HistoryEntry { height: Height(u64::MAX), index: u32::MAX };
                assert!(index.history(&account(5), last, usize::MAX).unwrap().len() >= height.0 as usize);
                rounds += 1;
                if is_last {
                    return rounds;
                }
            }
        });
        blocks.iter().for_each(|block| index.write(std::slice::from_ref(block)).unwrap());
        is_done.store(true, std::sync::atomic::Ordering::SeqCst);
        reading.join().unwrap()
    })
}

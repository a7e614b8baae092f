//! STO-4: whatever the index's folder is found to be, the ledger starts, says so, and is the same ledger.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use synod_ledger::testing::{account, extend, genesis, log_of};
use synod_ledger::{IndexFound, Ledger, MemoryHistory, OpenReport, Options, open::Unusable};
use synod_types::{B256, Block, Genesis, Height};

type Chain = Ledger<MemoryHistory>;

fn start(history: MemoryHistory, index: &Path) -> (Chain, OpenReport) {
    let options =
        Options { layers: 4, checkpoint_every: 3, index: Some(index.to_owned()), ..Options::new([1; 32]) };
    Ledger::open(genesis(), history, options).unwrap()
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    (folder, index)
}

/// A chain of 40 blocks with its index written and closed.
fn indexed(index: &Path) -> Vec<Block> {
    let (mut chain, report) = start(MemoryHistory::default(), index);
    assert_eq!(report.index, IndexFound::Empty);
    let blocks = extend(&mut chain, 40, 0);
    check(&chain, &blocks);
    chain.close();
    blocks
}

/// The ledger is at the end of `blocks`, its books are right, and it finds every transaction of them.
fn check(chain: &Chain, blocks: &[Block]) {
    assert_eq!(chain.head().hash, blocks.last().unwrap().hash());
    assert_eq!(chain.recount_root(), chain.head().commitment.state_root);
    let reader = chain.reader();
    let mut paid_by_four = Vec::new();
    for block in blocks {
        for (index, transaction) in (0..).zip(&block.transactions) {
            let rules = chain.rules();
            let checked = transaction.clone().verify(rules.chain_id, rules.genesis).unwrap();
            let located = reader.transaction(&checked.id()).unwrap().unwrap();
            assert_eq!((located.height, located.index), (block.height(), index));
            assert_eq!(located.receipt.transaction, checked.id());
            let native = checked.native();
            if checked.sender() == account(4) || native.to == Some(account(4)) {
                paid_by_four.push((block.height(), index));
            }
        }
        assert_eq!(reader.receipts(block.height()).unwrap().unwrap().len(), block.transactions.len());
        assert_eq!(reader.block(&block.hash()).unwrap().as_ref(), Some(block));
    }
    let (mut history, mut before) = (Vec::new(), None);
    loop {
        let page = reader.history(&account(4), before, 7).unwrap();
        before = page.last().copied();
        history.extend(page.iter().map(|entry| (entry.height, entry.index)));
        if page.len() < 7 {
            break;
        }
    }
    history.reverse();
    assert_eq!(history, paid_by_four);
}

#[test]
fn sto_4_a_good_index_is_used_and_only_the_rest_is_replayed() {
    let (_folder, index) = folder();
    let blocks = indexed(&index);
    let (mut chain, report) = start(log_of(&blocks), &index);
    assert_eq!(report.index, IndexFound::Used { height: Height(36) });
    assert_eq!(report.replayed_from, Height(36));
    check(&chain, &blocks);
    let more = extend(&mut chain, 20, 0);
    check(&chain, &[blocks, more].concat());
}

#[test]
fn sto_4_a_missing_index_is_rebuilt() {
    let (_folder, index) = folder();
    let blocks = indexed(&index);
    std::fs::remove_dir_all(&index).unwrap();
    let (chain, report) = start(log_of(&blocks), &index);
    assert_eq!((report.index, report.replayed_from), (IndexFound::Empty, Height(0)));
    check(&chain, &blocks);
}

#[test]
fn sto_4_an_older_index_catches_up() {
    let (_folder, index) = folder();
    let blocks = indexed(&index);
    let (mut ahead, _) = start(log_of(&blocks), &folder().1);
    let more = extend(&mut ahead, 30, 0);
    let all = [blocks, more].concat();
    let (chain, report) = start(log_of(&all), &index);
    assert_eq!(report.index, IndexFound::Used { height: Height(36) });
    check(&chain, &all);
}

#[test]
fn sto_4_an_index_newer_than_the_log_is_moved_aside() {
    let (_folder, index) = folder();
    let blocks = indexed(&index);
    let (chain, report) = start(log_of(&blocks[..20]), &index);
    let reason = Unusable::Newer { height: Height(36), log: Height(20) };
    assert_eq!((report.index, report.replayed_from), (IndexFound::Rebuilt { reason }, Height(0)));
    assert!(index.with_file_name("index.aside").exists());
    check(&chain, &blocks[..20]);
}

/// The other branch has equal payments, so that only the blocks tell the branches apart.
fn start_on_another_branch() -> IndexFound {
    let (_folder, index) = folder();
    let blocks = indexed(&index);
    let (mut other, _) = start(log_of(&blocks[..10]), &folder().1);
    let branch = [blocks[..10].to_vec(), extend(&mut other, 35, 1)].concat();
    let (chain, report) = start(log_of(&branch), &index);
    check(&chain, &branch);
    report.index
}

#[test]
fn sto_4_an_index_of_another_branch_is_moved_aside() {
    let reason = Unusable::OtherBranch { height: Height(36) };
    assert_eq!(start_on_another_branch(), IndexFound::Rebuilt { reason });
}

#[test]
fn sto_4_the_mutant_that_does_not_ask_for_the_branch_dies() {
    let found =
        std::panic::catch_unwind(|| synod_types::mutant::with("sto-4-branch", start_on_another_branch));
    let reason = Unusable::OtherBranch { height: Height(36) };
    assert_ne!(found.ok(), Some(IndexFound::Rebuilt { reason }));
}

/// A folder copied from a node of another network, with as many blocks as this one has.
#[test]
fn sto_4_an_index_of_another_network_is_moved_aside() {
    let (_folder, index) = folder();
    let blocks = indexed(&index);
    let other = Genesis { salt: B256::repeat_byte(4), ..genesis() };
    let options = Options { index: Some(index.clone()), ..Options::new([1; 32]) };
    let (chain, report) = Ledger::open(other, MemoryHistory::default(), options).unwrap();
    let IndexFound::Rebuilt { reason } = report.index else { panic!("{:?}", report.index) };
    assert!(reason.to_string().contains("another network"), "{reason}");
    assert_eq!((report.height, chain.recount_root()), (Height(0), chain.head().commitment.state_root));
    chain.close();
    // What was moved aside is as it was: put back, it serves its own network.
    std::fs::remove_dir_all(&index).unwrap();
    std::fs::rename(index.with_file_name("index.aside"), &index).unwrap();
    let (chain, report) = start(log_of(&blocks), &index);
    assert_eq!(report.index, IndexFound::Used { height: Height(36) });
    check(&chain, &blocks);
}

/// One byte flipped, in many places of sled's file; and the file cut.
#[test]
fn sto_4_a_damaged_index_is_moved_aside_or_does_no_harm() {
    let (kept, index) = folder();
    let blocks = indexed(&index);
    let copy = kept.path().join("copy");
    let mut rebuilt = 0;
    for case in 0..24_u64 {
        let damaged = kept.path().join(format!("damaged-{case}"));
        copy_folder(&index, &copy);
        std::fs::rename(&copy, &damaged).unwrap();
        let file = damaged.join("db");
        let mut bytes = std::fs::read(&file).unwrap();
        let length = bytes.len() as u64;
        match case % 3 {
            0 => bytes.truncate((length * case / 24) as usize),
            1 => bytes[(case * 997 % 65_536) as usize] ^= 0x10,
            _ => bytes[(case * 1_777 % 65_536) as usize..][..64].fill(0xa5),
        }
        std::fs::write(&file, bytes).unwrap();
        let (chain, report) = start(log_of(&blocks), &damaged);
        rebuilt += u32::from(report.replayed_from == Height(0));
        assert_eq!(chain.head().hash, blocks.last().unwrap().hash());
        assert_eq!(chain.recount_root(), chain.head().commitment.state_root);
    }
    assert!(rebuilt >= 4, "some damage was met: {rebuilt}");
}

#[test]
fn a_folder_that_is_no_index_is_moved_aside() {
    let (_folder, index) = folder();
    std::fs::create_dir(&index).unwrap();
    std::fs::write(index.join("conf"), b"not sled's").unwrap();
    std::fs::write(index.join("db"), [7; 5000]).unwrap();
    let (mut chain, report) = start(MemoryHistory::default(), &index);
    assert!(matches!(report.index, IndexFound::Rebuilt { .. }), "{report:?}");
    let blocks = extend(&mut chain, 12, 0);
    check(&chain, &blocks);
}

/// POW-14: deeper than the window, and deeper than the checkpoint.
#[test]
fn pow_14_a_rewind_below_the_checkpoint_rebuilds_the_index() {
    let (_folder, index) = folder();
    let (mut chain, _) = start(MemoryHistory::default(), &index);
    let blocks = extend(&mut chain, 40, 0);
    let rewound = chain.rewind(&blocks[9].hash()).unwrap();
    assert!(rewound.replayed);
    assert_eq!(rewound.blocks.len(), 30);
    check(&chain, &blocks[..10]);
    let branch = [blocks[..10].to_vec(), extend(&mut chain, 50, 1)].concat();
    check(&chain, &branch);
    chain.close();
    let (chain, report) = start(log_of(&branch), &index);
    assert!(matches!(report.index, IndexFound::Used { .. }), "{report:?}");
    check(&chain, &branch);
}

/// Deeper than the window, and not below the checkpoint: the state there is where the replay starts.
#[test]
fn pow_9_a_rewind_to_the_checkpoint_replays_from_it_and_keeps_the_index() {
    let (_folder, index) = folder();
    let mut blocks = indexed(&index);
    let (mut chain, report) = start(log_of(&blocks), &index);
    let checkpoint = report.replayed_from;
    // Two more blocks leave the window, which is one too few for another checkpoint.
    blocks.extend(extend(&mut chain, 2, 0));
    let to = checkpoint.0 as usize + 1;
    let rewound = chain.rewind(&blocks[to - 1].hash()).unwrap();
    assert_eq!((rewound.replayed, rewound.replayed_from), (true, checkpoint));
    check(&chain, &blocks[..to]);
    let branch = [blocks[..to].to_vec(), extend(&mut chain, 20, 1)].concat();
    check(&chain, &branch);
    chain.close();
    let (chain, report) = start(log_of(&branch), &index);
    assert!(matches!(report.index, IndexFound::Used { .. }), "{report:?}");
    check(&chain, &branch);
}

/// STO-5: a process that met a failure in the index leaves a note, and the next start makes the index anew.
#[test]
fn sto_5_an_index_that_failed_is_rebuilt_at_the_next_start() {
    let (folder, index) = folder();
    let blocks = indexed(&index);
    std::fs::write(folder.path().join("index.failed"), "the index failed (the disk)").unwrap();
    let (chain, report) = start(log_of(&blocks), &index);
    let IndexFound::Rebuilt { reason } = report.index else { panic!("{:?}", report.index) };
    assert!(reason.to_string().contains("the disk"), "{reason}");
    assert_eq!(report.replayed_from, Height(0));
    check(&chain, &blocks);
    chain.close();
    let (_, report) = start(log_of(&blocks), &index);
    assert!(matches!(report.index, IndexFound::Used { .. }), "{report:?}");
}

/// Three blocks down and up again on another branch, within the window.
fn reorganise() {
    let (_folder, index) = folder();
    let (mut chain, _) = start(MemoryHistory::default(), &index);
    let blocks = extend(&mut chain, 12, 0);
    let rewound = chain.rewind(&blocks[8].hash()).unwrap();
    assert!(!rewound.replayed);
    assert_eq!(chain.recount_root(), chain.head().commitment.state_root);
    let branch = [blocks[..9].to_vec(), extend(&mut chain, 5, 1)].concat();
    check(&chain, &branch);
}

#[test]
fn pow_9_the_mutant_that_drops_layers_out_of_order_dies() {
    reorganise();
    let died = std::panic::catch_unwind(|| synod_types::mutant::with("pow-9-layer-order", reorganise));
    assert!(died.is_err());
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

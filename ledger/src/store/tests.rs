//! The store's musts on a real folder (STO-3, STO-7, STO-8).
#![allow(clippy::unwrap_used)]

use super::*;

/// Bytes that do not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let blocks = (0_u64..).flat_map(|at| sha256(&[&seed.to_be_bytes(), &at.to_be_bytes()]).0);
    blocks.take(length).collect()
}

fn page(number: u64, length: usize) -> Write {
    (number.to_be_bytes().to_vec(), Some(noise(number, length)))
}

/// A leaf of neighbouring keys, all of them with values as long as they may be, is no blob: those are written
/// without any sync (with sled's own segment size, this test finds some).
#[test]
fn sto_3_the_largest_values_beside_each_other_make_no_blob() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("index");
    let pages = SledPages::open(&folder).unwrap();
    for first in (0..256).step_by(32) {
        pages.write((first..first + 32).map(|number| page(number, VALUE_LIMIT)).collect()).unwrap();
        pages.flush().unwrap();
    }
    drop(pages);
    let blobs = std::fs::read_dir(folder.join("blobs")).unwrap().count();
    assert_eq!(blobs, 0);
}

#[test]
fn sto_3_a_value_above_the_limit_is_refused_and_ends_the_store() {
    let home = tempfile::tempdir().unwrap();
    let pages = SledPages::open(&home.path().join("index")).unwrap();
    pages.write(vec![page(1, VALUE_LIMIT)]).unwrap();
    let refused = pages.write(vec![page(2, 10), page(3, VALUE_LIMIT + 1)]);
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    assert_eq!(pages.page(&1_u64.to_be_bytes()), Err(refused.unwrap_err()));
}

/// Checkpoints replace pages all the time. What they leave behind is used again.
#[test]
fn sto_7_replaced_pages_do_not_grow_the_file_without_end() {
    const LIVE: u64 = 64;
    let home = tempfile::tempdir().unwrap();
    let pages = SledPages::open(&home.path().join("index")).unwrap();
    let mut sizes = Vec::new();
    for round in 0..48 {
        let batch = (0..LIVE)
            .map(|number| (number.to_be_bytes().to_vec(), Some(noise(round * LIVE + number, VALUE_LIMIT))));
        pages.write(batch.collect()).unwrap();
        pages.flush().unwrap();
        sizes.push(pages.db.size_on_disk().unwrap());
    }
    let written = 48 * LIVE * VALUE_LIMIT as u64;
    assert!(sizes[47] < written / 2, "{} bytes for {} written: {sizes:?}", sizes[47], written);
}

#[test]
fn sto_7_all_pages_stand_in_one_tree() {
    let home = tempfile::tempdir().unwrap();
    let pages = SledPages::open(&home.path().join("index")).unwrap();
    pages.write((0..100).map(|number| page(number, 100)).collect()).unwrap();
    assert_eq!(pages.db.tree_names().len(), 1);
}

/// One process, one store: the folder opens again once the store before it is dropped, and not sooner.
#[test]
fn sto_8_a_store_opens_again_only_when_it_was_dropped() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("index");
    let pages = SledPages::open(&folder).unwrap();
    assert!(!pages.db.was_recovered());
    pages.write(vec![page(1, 100)]).unwrap();
    pages.flush().unwrap();
    assert!(SledPages::open(&folder).is_err());
    drop(pages);
    let pages = SledPages::open(&folder).unwrap();
    assert!(pages.db.was_recovered());
    assert_eq!(pages.page(&1_u64.to_be_bytes()).unwrap(), page(1, 100).1);
}

//! The trie against the naive one over random histories, its proofs, and what tampering does to them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use synod_types::B256;
use synod_types::hash::sha256;

use super::*;

fn key(number: u64) -> B256 {
    sha256(&[&number.to_be_bytes()])
}

fn value(number: u64) -> B256 {
    sha256(&[b"value", &number.to_be_bytes()])
}

/// A batch over few keys, so that inserts, changes and removals of all shapes happen; some keys are made
/// to share long prefixes.
fn batch(random: &mut ChaCha8Rng, universe: u64) -> BTreeMap<B256, Option<B256>> {
    let count = random.next_u64() % 20;
    let mut batch = BTreeMap::new();
    for _ in 0..count {
        let mut key = key(random.next_u64() % universe);
        if random.next_u64().is_multiple_of(3) {
            key = B256::repeat_byte(0x5a);
            key.0[31 - (random.next_u64() % 3) as usize] = (random.next_u64() % 8) as u8;
        }
        let wanted = (!random.next_u64().is_multiple_of(3)).then(|| value(random.next_u64() % 4));
        batch.insert(key, wanted);
    }
    batch
}

fn changes(batch: &BTreeMap<B256, Option<B256>>) -> Vec<Change> {
    batch.iter().map(|(&key, &value)| Change { key, value }).collect()
}

#[test]
fn random_histories_have_the_naive_root_after_every_batch_and_undo() {
    for seed in 0..60 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let universe = 1 + random.next_u64() % 60;
        let mut trie = Trie::default();
        let mut model: BTreeMap<B256, B256> = BTreeMap::new();
        for _ in 0..30 {
            let batch = batch(&mut random, universe);
            let (root_before, mut undone) = (trie.root(), trie.clone());
            let inverse = trie.apply(&changes(&batch));
            undone.apply(&changes(&batch));
            undone.apply(&inverse);
            assert_eq!(undone.root(), root_before, "undo of seed {seed}");
            for (key, value) in batch {
                match value {
                    Some(value) => drop(model.insert(key, value)),
                    None => drop(model.remove(&key)),
                }
            }
            assert_eq!(trie.root(), naive::root(&model), "seed {seed}");
            assert_eq!(trie.len(), model.len());
            let leaves = model.iter().map(|(&key, &value)| Leaf { key, value }).collect();
            assert_eq!(Trie::from_leaves(leaves).root(), trie.root(), "bulk of seed {seed}");
        }
    }
}

#[test]
fn the_root_does_not_depend_on_the_order_or_grouping_of_updates() {
    let all: Vec<Change> =
        (0..500).map(|number| Change { key: key(number), value: Some(value(number)) }).collect();
    let mut at_once = Trie::default();
    at_once.apply(&all);
    let mut one_by_one = Trie::default();
    for change in all.iter().rev() {
        one_by_one.apply(&[Change { key: change.key, value: Some(B256::ZERO) }]);
        one_by_one.apply(&[*change]);
    }
    assert_eq!(at_once.root(), one_by_one.root());
}

#[test]
fn removed_places_are_used_again() {
    let mut trie = Trie::default();
    for round in 0..50_u64 {
        let fill: Vec<Change> =
            (0..64).map(|number| Change { key: key(round * 64 + number), value: Some(value(1)) }).collect();
        let inverse = trie.apply(&fill);
        trie.apply(&inverse);
    }
    assert!(trie.is_empty() && trie.root() == empty_root());
    assert!(trie.leaves.len() <= 64 && trie.nodes.len() < 64);
}

#[test]
#[should_panic(expected = "named twice")]
fn a_key_named_twice_is_our_own_bug() {
    let twice = Change { key: key(1), value: None };
    Trie::default().apply(&[twice, twice]);
}

fn sample(count: u64) -> Trie {
    Trie::from_leaves((0..count).map(|number| Leaf { key: key(number), value: value(number) }).collect())
}

#[test]
fn proofs_show_presence_and_absence_for_tries_of_every_small_size() {
    for count in 0..40 {
        let trie = sample(count);
        for number in 0..80 {
            let expected = (number < count).then(|| value(number));
            let proof = Proof::from_bytes(&trie.prove(&key(number)).to_bytes()).unwrap();
            assert_eq!(proof.verify(&trie.root(), &key(number)), Ok(expected));
            assert_eq!(trie.value(&key(number)), expected);
        }
    }
}

/// Every single changed bit of an encoded proof is refused, or changes nothing: no tampered proof says
/// something else about the key.
#[test]
fn tampered_proofs_are_refused() {
    let trie = sample(30);
    for number in [3, 7, 100, 101, 102] {
        let truth = trie.prove(&key(number));
        let bytes = truth.to_bytes();
        for index in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[index / 8] ^= 1 << (index % 8);
            let Ok(proof) = Proof::from_bytes(&changed) else { continue };
            assert!(proof.verify(&trie.root(), &key(number)).is_err(), "bit {index}");
        }
        assert_eq!(
            truth.verify(&trie.prove(&key(1)).end.unwrap().key, &key(number)),
            Err(ProofError::WrongRoot)
        );
    }
}

/// Absence of a present key would need a walk at other bits, or one that ends too early.
#[test]
fn a_present_key_cannot_be_proven_absent_with_another_keys_walk() {
    let trie = sample(30);
    for present in 0..30 {
        for other in 0..200 {
            if other == present {
                continue;
            }
            let verdict = trie.prove(&key(other)).verify(&trie.root(), &key(present));
            assert!(!matches!(verdict, Ok(None)), "{other} for {present}");
        }
    }
}

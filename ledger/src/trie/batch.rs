//! Applying a batch in three passes: find every key, change the shape where leaves come or go, hash what was
//! touched.
//!
//! A walk down a large trie waits for memory at every node. The walks of a batch do not depend on each other,
//! so all of them go down together, one level at a time, and their waits overlap: that is most of the speed.

use synod_types::B256;

use super::{Change, Leaf, Link, Slot, Trie, bit, hash};

/// One key's walk.
struct Walk {
    /// The key's index in the batch.
    change: u32,
    slot: Slot,
    link: Link,
}

impl Trie {
    /// Applies a batch and returns its inverse, which names the keys that really changed.
    ///
    /// # Panics
    /// When a key is named twice: what should become of it?
    pub fn apply(&mut self, batch: &[Change]) -> Vec<Change> {
        let mut sorted = batch.to_vec();
        sorted.sort_unstable_by_key(|change| change.key);
        assert!(sorted.windows(2).all(|pair| pair[0].key != pair[1].key), "a key is named twice in a batch");
        let inverse = self.change_leaves(&mut sorted);
        self.rehash(&sorted);
        inverse
    }

    /// Brings every leaf's value and the shape up to date, keeps in `batch` only what changed, and returns
    /// the inverse. Hashes are left stale.
    fn change_leaves(&mut self, batch: &mut Vec<Change>) -> Vec<Change> {
        let ends = self.locate(batch);
        let mut inverse = Vec::with_capacity(batch.len());
        for (change, end) in batch.iter().zip(&ends) {
            let there = end.map(|end| self.leaves[end]).filter(|leaf| leaf.key == change.key);
            let before = there.map(|leaf| leaf.value);
            if before != change.value {
                inverse.push(Change { key: change.key, value: before });
            }
        }
        let mut changed = inverse.iter().peekable();
        let mut index = 0;
        batch.retain(|change| {
            let end = ends[index];
            index += 1;
            let Some(before) = changed.next_if(|inverse| inverse.key == change.key) else {
                return false;
            };
            match (before.value, change.value) {
                (Some(_), Some(value)) => self.leaves[end.expect("it was found")].value = value,
                (None, Some(value)) => self.insert(Leaf { key: change.key, value }),
                (_, None) => self.remove(&change.key),
            }
            true
        });
        inverse
    }

    /// The leaf at which each key's walk ends: the one place where the key can be.
    fn locate(&self, batch: &[Change]) -> Vec<Option<usize>> {
        let mut ends = vec![None; batch.len()];
        let mut walks = self.walks(batch);
        while !walks.is_empty() {
            walks.retain_mut(|walk| {
                if walk.link.is_leaf() {
                    ends[walk.change as usize] = Some(walk.link.index());
                    return false;
                }
                let node = &self.nodes[walk.link.index()];
                walk.link = node.children[bit(&batch[walk.change as usize].key, node.depth)];
                true
            });
        }
        ends
    }

    /// Hashes the changed leaves and every node above a change once, children before parents.
    fn rehash(&mut self, changed: &[Change]) {
        let midstates = hash::inner_midstates();
        for (node, slot) in self.touched(changed).into_iter().rev() {
            self.nodes[node].dirty = false;
            let [left, right] = &self.hashes[node];
            let state = midstates[usize::from(self.nodes[node].depth)];
            let hash = hash::compress(state, &hash::joined(left, right));
            self.set_hash(slot, hash);
        }
    }

    /// The nodes above the changed keys, parents before children, each with the slot that keeps its hash.
    /// Hashes the changed leaves on the way.
    fn touched(&mut self, changed: &[Change]) -> Vec<(usize, Slot)> {
        let mut touched = Vec::with_capacity(changed.len() * 12);
        let mut walks = self.walks(changed);
        while !walks.is_empty() {
            walks.retain_mut(|walk| {
                let key = &changed[walk.change as usize].key;
                let index = walk.link.index();
                if walk.link.is_leaf() {
                    let leaf = self.leaves[index];
                    if leaf.key == *key {
                        self.set_hash(walk.slot, leaf.hash());
                    }
                    return false;
                }
                let node = &mut self.nodes[index];
                if !node.dirty {
                    node.dirty = true;
                    touched.push((index, walk.slot));
                }
                let side = bit(key, node.depth);
                walk.slot = Slot::Child { node: index, side };
                walk.link = node.children[side];
                true
            });
        }
        touched
    }

    /// A walk for each key, all at the root; none in an empty trie.
    fn walks(&self, batch: &[Change]) -> Vec<Walk> {
        let Some(link) = self.root else {
            return Vec::new();
        };
        (0..batch.len() as u32).map(|change| Walk { change, slot: Slot::Root, link }).collect()
    }

    pub(super) fn set_hash(&mut self, slot: Slot, hash: B256) {
        match slot {
            Slot::Root => self.root_hash = hash,
            Slot::Child { node, side } => self.hashes[node][side] = hash,
        }
    }
}

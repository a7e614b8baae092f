//! Applying a batch: find every key, change the shape where leaves come or go, hash what was touched.
//!
//! **Waiting for memory** is most of the cost in a large trie, so nothing here waits for one node at a time. The
//! walks of a batch do not depend on each other: all of them go down together, one level at a time, and their
//! waits overlap. On the way each node's hashes are copied into a list, in which the batch is hashed without
//! waiting for anything; only then are they written back.
//!
//! **Two halves.** Nothing is changed until both halves of the trie were walked and hashed, so that a large batch
//! is walked by two threads, one below each child of the root. When a leaf comes or goes, nothing is hashed before
//! the shape has changed and the trie was walked once more.

use synod_types::B256;

use super::{Change, Leaf, Link, Slot, Trie, bit, hash};
use crate::beside::beside;

/// With fewer changes, a thread costs more than it saves. (Few in tests, so that both ways are walked.)
const WORTH_A_THREAD: usize = if cfg!(test) { 8 } else { 512 };

impl Trie {
    /// Applies a batch and returns its inverse, which names the keys that really changed.
    ///
    /// # Panics
    /// When a key is named twice: what should become of it?
    pub fn apply(&mut self, batch: &[Change]) -> Vec<Change> {
        let mut sorted = batch.to_vec();
        sorted.sort_unstable_by_key(|change| change.key);
        assert!(sorted.windows(2).all(|pair| pair[0].key != pair[1].key), "a key is named twice in a batch");
        let mut survey = self.survey(&sorted);
        let found = found(&sorted, &survey);
        let inverse = inverse(&sorted, &found);
        let keeps_shape =
            |(change, found): (&Change, &Option<Found>)| found.is_some() == change.value.is_some();
        if !sorted.iter().zip(&found).all(keeps_shape) {
            for (change, found) in sorted.iter().zip(&found) {
                self.change_leaf(change, found.as_ref());
            }
            survey = self.survey(&sorted);
        }
        self.take_over(&sorted, survey);
        inverse
    }

    fn change_leaf(&mut self, change: &Change, found: Option<&Found>) {
        match (found, change.value) {
            (Some(found), Some(value)) => self.leaves[found.leaf].value = value,
            (None, Some(value)) => self.insert(Leaf { key: change.key, value }),
            (Some(_), None) => self.remove(&change.key),
            (None, None) => {}
        }
    }

    /// Walks to every key, and hashes what is above those that have a leaf; changes nothing.
    fn survey(&self, batch: &[Change]) -> Vec<Part> {
        let Some(root) = self.root else {
            return Vec::new();
        };
        let mut all: Vec<u32> = (0..batch.len() as u32).collect();
        if batch.len() < WORTH_A_THREAD || root.is_leaf() {
            return vec![self.part(batch, all, Slot::Root, root)];
        }
        let node = self.nodes[root.index()];
        let middle = partition(&mut all, |change| bit(&batch[change as usize].key, node.depth) == 0);
        let right = all.split_off(middle as usize);
        let below = |side: usize, changes: Vec<u32>| {
            let slot = Slot::Child { node: root.index(), side };
            self.part(batch, changes, slot, node.children[side])
        };
        let (left, right) = beside(true, || below(0, all), || below(1, right));
        vec![left, right]
    }

    /// The same for some of a batch's changes, below one link.
    fn part(&self, batch: &[Change], mut changes: Vec<u32>, slot: Slot, root: Link) -> Part {
        let mut part = Part::new(slot, changes.len());
        if changes.is_empty() {
            return part;
        }
        let whole = Walk { link: root, place: Place::TOP, first: 0, last: changes.len() as u32 };
        let (mut level, mut below) = (vec![whole], Vec::new());
        while !level.is_empty() {
            for walk in level.drain(..) {
                let Walk { link, place, first, last } = walk;
                let (changes, index) = (&mut changes[first as usize..last as usize], link.index());
                if link.is_leaf() {
                    let (leaf, there) = (index, self.leaves[index]);
                    part.ends.extend(changes.iter().map(|&change| End { change, place, leaf, there }));
                    continue;
                }
                let node = &self.nodes[index];
                let side = |change: u32| bit(&batch[change as usize].key, node.depth);
                let visited = part.visit(index, node.depth, place, &self.hashes[index]);
                let down = |side: usize, first: u32, last: u32| Walk {
                    link: node.children[side],
                    place: Place { visited, side },
                    first,
                    last,
                };
                // One key alone takes no branch that would have to wait for the node.
                if let [alone] = changes {
                    below.push(down(side(*alone), first, last));
                    continue;
                }
                let middle = first + partition(changes, |change| side(change) == 0);
                let both = [down(0, first, middle), down(1, middle, last)];
                below.extend(both.into_iter().filter(|walk| walk.first < walk.last));
            }
            std::mem::swap(&mut level, &mut below);
        }
        // Otherwise the shape has to change first, and what would be hashed now would be hashed again.
        if part.ends.iter().all(|end| end.keeps_shape(batch)) {
            part.rehash(batch);
        }
        part
    }

    /// Writes back what a survey has found out.
    fn take_over(&mut self, batch: &[Change], survey: Vec<Part>) {
        let is_split = survey.len() > 1;
        for part in survey {
            for end in &part.ends {
                let change = &batch[end.change as usize];
                if let Some(value) = change.value.filter(|_| end.there.key == change.key) {
                    self.leaves[end.leaf].value = value;
                }
            }
            for (node, hashes) in part.nodes.iter().zip(&part.hashes) {
                self.hashes[node.node] = *hashes;
            }
            if let Some(hash) = part.hash {
                self.set_hash(part.slot, hash);
            }
        }
        if let (true, Some(root)) = (is_split, self.root) {
            let [left, right] = &self.hashes[root.index()];
            self.root_hash = hash::inner_hash(self.nodes[root.index()].depth, left, right);
        }
    }

    pub(super) fn set_hash(&mut self, slot: Slot, hash: B256) {
        match slot {
            Slot::Root => self.root_hash = hash,
            Slot::Child { node, side } => self.hashes[node][side] = hash,
        }
    }
}

/// The walk of some keys as long as they go the same way.
struct Walk {
    link: Link,
    place: Place,
    /// The keys' range among a part's changes.
    first: u32,
    last: u32,
}

/// Where a walk stands: below a side of a visited node.
#[derive(Clone, Copy)]
struct Place {
    /// The node's index among the visited ones.
    visited: usize,
    side: usize,
}

impl Place {
    /// Above all that is visited.
    const TOP: Self = Self { visited: usize::MAX, side: 0 };
}

/// What a survey knows of the trie below one slot.
struct Part {
    slot: Slot,
    /// The hash that belongs into the slot, if anything below is touched.
    hash: Option<B256>,
    /// The visited nodes, parents before children.
    nodes: Vec<Visited>,
    /// The hashes of their children, as they will be.
    hashes: Vec<[B256; 2]>,
    ends: Vec<End>,
}

struct Visited {
    node: usize,
    depth: u8,
    place: Place,
}

/// The leaf at which a walk ends: the one place where its key can be.
struct End {
    change: u32,
    place: Place,
    leaf: usize,
    there: Leaf,
}

impl End {
    /// Whether the key has a leaf and keeps it, or has none and gets none.
    fn keeps_shape(&self, batch: &[Change]) -> bool {
        let change = &batch[self.change as usize];
        (self.there.key == change.key) == change.value.is_some()
    }
}

/// A key's leaf, and the value that it has.
#[derive(Clone, Copy)]
struct Found {
    leaf: usize,
    value: B256,
}

/// About how many nodes stand above one of some thousand keys and above no other of them: a trie of a million
/// keys has twenty levels.
const NODES_FOR_A_KEY: usize = 12;

impl Part {
    fn new(slot: Slot, changes: usize) -> Self {
        let room = changes * NODES_FOR_A_KEY;
        let (nodes, hashes) = (Vec::with_capacity(room), Vec::with_capacity(room));
        Self { slot, hash: None, nodes, hashes, ends: Vec::with_capacity(changes) }
    }

    /// Enters a node at which a walk arrives.
    fn visit(&mut self, node: usize, depth: u8, place: Place, hashes: &[B256; 2]) -> usize {
        self.nodes.push(Visited { node, depth, place });
        self.hashes.push(*hashes);
        self.nodes.len() - 1
    }

    /// Hashes the leaves that are there, and every visited node once, children before parents.
    fn rehash(&mut self, batch: &[Change]) {
        for end in 0..self.ends.len() {
            let End { change, place, there, .. } = &self.ends[end];
            let (change, place) = (&batch[*change as usize], *place);
            if let Some(value) = change.value.filter(|_| there.key == change.key) {
                self.put(place, Leaf { key: change.key, value }.hash());
            }
        }
        let midstates = hash::inner_midstates();
        for at in (0..self.nodes.len()).rev() {
            let Visited { depth, place, .. } = self.nodes[at];
            let [left, right] = &self.hashes[at];
            self.put(place, hash::compress(midstates[usize::from(depth)], &hash::joined(left, right)));
        }
    }

    fn put(&mut self, place: Place, hash: B256) {
        match self.hashes.get_mut(place.visited) {
            Some(hashes) => hashes[place.side] = hash,
            None => self.hash = Some(hash),
        }
    }
}

/// Each change's leaf, if its key has one.
fn found(batch: &[Change], survey: &[Part]) -> Vec<Option<Found>> {
    let mut found = vec![None; batch.len()];
    for end in survey.iter().flat_map(|part| &part.ends) {
        if end.there.key == batch[end.change as usize].key {
            found[end.change as usize] = Some(Found { leaf: end.leaf, value: end.there.value });
        }
    }
    found
}

/// The batch that takes back what really changes.
fn inverse(batch: &[Change], found: &[Option<Found>]) -> Vec<Change> {
    let all = batch.iter().zip(found).map(|(change, found)| (change, found.map(|found| found.value)));
    let changed = all.filter(|(change, before)| change.value != *before);
    changed.map(|(change, before)| Change { key: change.key, value: before }).collect()
}

/// Brings those that go left to the front; answers how many they are.
fn partition(changes: &mut [u32], goes_left: impl Fn(u32) -> bool) -> u32 {
    let mut left = 0;
    for at in 0..changes.len() {
        if goes_left(changes[at]) {
            changes.swap(left, at);
            left += 1;
        }
    }
    left as u32
}

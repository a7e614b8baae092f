//! Blocks that cannot be judged yet: their parent is unknown (POW-8), or their time is too far ahead
//! (POW-3). Both are kept in memory alone, bounded for each peer and in all. Forgetting one does no harm:
//! the headers are asked for again when a peer's tip is.

use std::collections::BTreeMap;

use synod_types::{BlockHash, mutant};

use super::body::Body;
use super::header::HashedHeader;
use crate::protocol::Peer;

/// A header that came in, with its body if that came along.
#[derive(Debug, Clone)]
pub(super) struct Newcomer {
    pub(super) header: HashedHeader,
    pub(super) body: Option<Body>,
    /// `None` for our own miner's.
    pub(super) from: Option<Peer>,
    /// It answers a question of ours; otherwise it was passed on unasked.
    pub(super) asked: bool,
}

/// Newcomers under keys of type `K`, bounded.
#[derive(Debug)]
struct Bounded<K> {
    waiting: BTreeMap<(K, BlockHash), Newcomer>,
    by_peer: BTreeMap<Option<Peer>, usize>,
    bound: usize,
    bound_per_peer: usize,
}

impl<K: Ord + Copy> Bounded<K> {
    fn new(bound: usize, bound_per_peer: usize) -> Self {
        Self { waiting: BTreeMap::new(), by_peer: BTreeMap::new(), bound, bound_per_peer }
    }

    /// Keeps the newcomer; `false` when there is no room for it.
    fn insert(&mut self, key: K, newcomer: Newcomer) -> bool {
        let hash = newcomer.header.hash();
        if self.waiting.contains_key(&(key, hash)) {
            return true;
        }
        let of_peer = self.by_peer.get(&newcomer.from).copied().unwrap_or(0);
        let is_full = self.waiting.len() >= self.bound || of_peer >= self.bound_per_peer;
        if is_full && !mutant!("pow-8-unbounded-orphans") {
            return false;
        }
        *self.by_peer.entry(newcomer.from).or_default() += 1;
        self.waiting.insert((key, hash), newcomer);
        true
    }

    fn remove_where(&mut self, gone: impl Fn(&K, &Newcomer) -> bool) -> Vec<Newcomer> {
        let keys: Vec<(K, BlockHash)> = self
            .waiting
            .iter()
            .filter(|((key, _), newcomer)| gone(key, newcomer))
            .map(|(key, _)| *key)
            .collect();
        keys.into_iter().filter_map(|key| self.remove(key)).collect()
    }

    fn remove(&mut self, key: (K, BlockHash)) -> Option<Newcomer> {
        let newcomer = self.waiting.remove(&key)?;
        if let Some(count) = self.by_peer.get_mut(&newcomer.from) {
            *count -= 1;
            if *count == 0 {
                self.by_peer.remove(&newcomer.from);
            }
        }
        Some(newcomer)
    }
}

/// Newcomers that wait.
#[derive(Debug)]
pub(super) struct Orphans {
    by_parent: Bounded<BlockHash>,
    by_time: Bounded<u32>,
}

impl Orphans {
    /// Nothing waits; at most `bound` of each kind will, and `bound_per_peer` from one peer.
    pub(super) fn new(bound: usize, bound_per_peer: usize) -> Self {
        Self { by_parent: Bounded::new(bound, bound_per_peer), by_time: Bounded::new(bound, bound_per_peer) }
    }

    /// Keeps a newcomer whose parent is unknown.
    pub(super) fn insert(&mut self, newcomer: Newcomer) -> bool {
        self.by_parent.insert(newcomer.header.parent(), newcomer)
    }

    /// Keeps a newcomer from the future.
    pub(super) fn insert_early(&mut self, newcomer: Newcomer) -> bool {
        self.by_time.insert(newcomer.header.header().time, newcomer)
    }

    /// Takes those that waited for `parent`.
    pub(super) fn take_children(&mut self, parent: BlockHash) -> Vec<Newcomer> {
        let range = (parent, BlockHash::default())..;
        let keys: Vec<_> = self
            .by_parent
            .waiting
            .range(range)
            .map(|(key, _)| *key)
            .take_while(|key| key.0 == parent)
            .collect();
        keys.into_iter().filter_map(|key| self.by_parent.remove(key)).collect()
    }

    /// Takes those whose time is not above `seconds`.
    pub(super) fn take_due(&mut self, seconds: u64) -> Vec<Newcomer> {
        self.by_time.remove_where(|time, _| u64::from(*time) <= seconds)
    }

    /// The lowest time that is waited for, in seconds.
    pub(super) fn next_due(&self) -> Option<u32> {
        self.by_time.waiting.keys().next().map(|(time, _)| *time)
    }

    /// Forgets what a peer brought.
    pub(super) fn forget(&mut self, peer: Peer) {
        self.by_parent.remove_where(|_, newcomer| newcomer.from == Some(peer));
        self.by_time.remove_where(|_, newcomer| newcomer.from == Some(peer));
    }

    /// How many wait for a parent.
    pub(super) fn len(&self) -> usize {
        self.by_parent.waiting.len()
    }
}

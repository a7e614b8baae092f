//! Sets of entries of one length, kept as sorted runs in pages.
//!
//! A run is immutable: its entries, sorted, cut into pages whose keys end with their first entry, so that one
//! look-up by key finds the page where an entry would be. Each checkpoint adds a run; when eight runs of one
//! level have come together they are merged into one of the next, so that an index of n entries has some
//! 8 · log8(n) runs, and each entry is rewritten once for each level.

use serde::{Deserialize, Serialize};

use crate::store::{Pages, StoreError, Write};

/// Runs of one level before they are merged.
const FAN: usize = 8;
const PAGE_BYTES: usize = 16 * 1024;

/// The runs of one set: for each level, oldest first, the runs' numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Runs {
    levels: Vec<Vec<u64>>,
}

/// Which set: the first byte of its keys; its entries are `N` bytes long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind<const N: usize> {
    pub(super) tag: u8,
}

impl<const N: usize> Kind<N> {
    pub(super) fn key(self, run: u64, entry: &[u8]) -> Vec<u8> {
        let mut key = vec![self.tag];
        key.extend_from_slice(&run.to_be_bytes());
        key.extend_from_slice(entry);
        key
    }
}

impl Runs {
    /// Whether this set has the run.
    pub(super) fn has(&self, run: u64) -> bool {
        self.levels.iter().flatten().any(|&number| number == run)
    }

    /// Adds entries as a run, merges what has to be merged, and says what to write. `next` numbers runs.
    pub(super) fn add<const N: usize>(
        &mut self,
        kind: Kind<N>,
        mut entries: Vec<[u8; N]>,
        next: &mut u64,
        pages: &dyn Pages,
        writes: &mut Vec<Write>,
    ) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        // Sorting that keeps equals in order makes use of what is sorted already: whole runs.
        entries.sort();
        let mut level = 0;
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            if self.levels[level].len() + 1 < FAN {
                break;
            }
            for run in std::mem::take(&mut self.levels[level]) {
                for key in pages.keys(&kind.key(run, &[]))? {
                    let page = pages.page(&key)?.ok_or(StoreError::Damaged("a page is gone"))?;
                    entries.extend_from_slice(page.as_chunks().0);
                    writes.push((key, None));
                }
            }
            entries.sort();
            level += 1;
        }
        let run = *next;
        *next += 1;
        self.levels[level].push(run);
        for page in entries.chunks(PAGE_BYTES / N) {
            writes.push((kind.key(run, &page[0]), Some(page.as_flattened().to_vec())));
        }
        Ok(())
    }

    /// At most `limit` entries from `lowest` to `highest`, both included, greatest first.
    pub(super) fn descending<const N: usize>(
        &self,
        kind: Kind<N>,
        lowest: &[u8],
        highest: &[u8],
        limit: usize,
        pages: &dyn Pages,
    ) -> Result<Vec<[u8; N]>, StoreError> {
        let mut found = Vec::new();
        for &run in self.levels.iter().flatten() {
            found.extend(descending_in_run(kind, run, lowest, highest, limit, pages)?);
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(limit);
        Ok(found)
    }
}

fn descending_in_run<const N: usize>(
    kind: Kind<N>,
    run: u64,
    lowest: &[u8],
    highest: &[u8],
    limit: usize,
    pages: &dyn Pages,
) -> Result<Vec<[u8; N]>, StoreError> {
    let mut found: Vec<[u8; N]> = Vec::new();
    let first_of_run = kind.key(run, &[]);
    let mut from = kind.key(run, highest);
    while let Some((key, page)) = pages.at_or_before(&first_of_run, &from)? {
        for entry in page.as_chunks().0.iter().rev() {
            if found.len() == limit || entry.as_slice() < lowest {
                return Ok(found);
            }
            if entry.as_slice() <= highest {
                found.push(*entry);
            }
        }
        from = just_below(key);
    }
    Ok(found)
}

/// The greatest key of the same length below `key`, whose entry part is not all zeros in a run's later pages;
/// for a first page it falls out of the run.
fn just_below(mut key: Vec<u8>) -> Vec<u8> {
    for byte in key.iter_mut().rev() {
        let (less, borrowed) = byte.overflowing_sub(1);
        *byte = less;
        if !borrowed {
            break;
        }
    }
    key
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;
    use crate::store::memory::MemoryPages;

    /// Many checkpoints of random size against a plain set, with questions of all widths.
    #[test]
    fn runs_answer_as_a_plain_set_does() {
        let kind = Kind::<12> { tag: b'x' };
        let pages = MemoryPages::default();
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let (mut runs, mut next, mut model) = (Runs::default(), 1, BTreeSet::new());
        for _ in 0..90 {
            let entry = |random: &mut ChaCha8Rng| {
                let mut entry = [(random.next_u64() % 3) as u8; 12];
                entry[4..].copy_from_slice(&random.next_u64().to_be_bytes());
                entry
            };
            let size = random.next_u64() % 2_000;
            let entries: Vec<_> = (0..size).map(|_| entry(&mut random)).collect();
            model.extend(entries.iter().copied());
            let mut writes = Vec::new();
            runs.add(kind, entries, &mut next, &pages, &mut writes).unwrap();
            pages.write(writes).unwrap();
            for _ in 0..5 {
                let (low, high) = (entry(&mut random), entry(&mut random));
                let limit = (random.next_u64() % 50) as usize;
                let expected: Vec<_> = if low <= high {
                    model.range(low..=high).rev().take(limit).copied().collect()
                } else {
                    Vec::new()
                };
                assert_eq!(runs.descending(kind, &low, &high, limit, &pages).unwrap(), expected);
            }
        }
        assert!(runs.levels.iter().all(|level| level.len() < FAN) && runs.levels.len() == 3);
    }
}

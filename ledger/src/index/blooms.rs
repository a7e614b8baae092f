//! The bloom filters of the blocks that have events, by height, in pages that are written once: so that a
//! question about a thousand blocks reads a few pages, and the receipts of the blocks that may answer it.

use alloy_primitives::Bloom;
use synod_types::Height;

use crate::recent::Executed;
use crate::store::{Pages, StoreError, Write};

const TAG: u8 = b'b';
const BLOOM_BYTES: usize = 256;
const PAGE_ENTRIES: usize = 40;

/// Cuts the filters of consecutive blocks into pages. Each entry is a height and a filter.
pub(super) fn write<'a>(blocks: impl Iterator<Item = &'a Executed>, writes: &mut Vec<Write>) {
    let filled: Vec<_> = blocks.filter(|block| !block.commitment.logs_bloom.is_zero()).collect();
    for page in filled.chunks(PAGE_ENTRIES) {
        let entry = |block: &&Executed| {
            let height = block.height().0.to_be_bytes();
            [&height[..], block.commitment.logs_bloom.as_slice()].concat()
        };
        writes.push((key(page[0].height()), Some(page.iter().flat_map(entry).collect())));
    }
}

/// The filters of the blocks of a range that have events, lowest first.
pub(super) fn between(
    pages: &dyn Pages,
    from: Height,
    to: Height,
) -> Result<Vec<(Height, Bloom)>, StoreError> {
    let (mut found, mut last) = (Vec::new(), to);
    while let Some((first, page)) = pages.at_or_before(&[TAG], &key(last))? {
        let first = first.get(1..9).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let first = first.ok_or(StoreError::Damaged("a key of filters"))?;
        found.extend(entries(&page)?.into_iter().rev().filter(|(height, _)| (from..=to).contains(height)));
        match first.checked_sub(1).map(Height) {
            Some(below) if below >= from => last = below,
            _ => break,
        }
    }
    found.reverse();
    Ok(found)
}

fn entries(page: &[u8]) -> Result<Vec<(Height, Bloom)>, StoreError> {
    let entries = page.chunks(8 + BLOOM_BYTES).map(|entry| {
        let (height, bloom) = entry.split_first_chunk::<8>()?;
        Some((Height(u64::from_be_bytes(*height)), Bloom::new(bloom.try_into().ok()?)))
    });
    entries.collect::<Option<_>>().ok_or(StoreError::Damaged("filters that are cut off"))
}

/// The keys of pages that begin above a height.
pub(super) fn keys_above(pages: &dyn Pages, height: Height) -> Result<Vec<Vec<u8>>, StoreError> {
    let limit = key(height);
    Ok(pages.keys(&[TAG])?.into_iter().filter(|key| *key > limit).collect())
}

#[cfg(test)]
pub(super) fn key_of(height: u64) -> Vec<u8> {
    key(Height(height))
}

fn key(height: Height) -> Vec<u8> {
    [&[TAG][..], &height.0.to_be_bytes()].concat()
}

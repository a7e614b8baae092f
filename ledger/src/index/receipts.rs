//! Receipts by height and index, in pages that are written once.
//!
//! A page holds the receipts from its key's place on. A receipt that is longer than a page (events can be) has
//! pages of its own: its parts, numbered from 1.

use synod_types::{Height, Receipt, codec};

use crate::recent::Executed;
use crate::store::{Pages, StoreError, Write};

const TAG: u8 = b'r';
const PAGE_BYTES: usize = 12 * 1024;
/// A receipt's logs are bounded by its gas; this is beyond what any gas limit buys.
const RECEIPT_LIMIT: usize = 64 * 1024 * 1024;

/// Cuts the receipts of consecutive blocks into pages. Each entry is height, index, length, receipt.
pub(super) fn write<'a>(blocks: impl Iterator<Item = &'a Executed>, writes: &mut Vec<Write>) {
    let mut open: Option<(Vec<u8>, Vec<u8>)> = None;
    for block in blocks {
        for (index, receipt) in block.receipts.iter().enumerate() {
            let bytes = codec::encode(receipt);
            let place = place(block.height(), index as u32);
            if bytes.len() > PAGE_BYTES {
                writes.extend(open.take().map(|(key, page)| (key, Some(page))));
                let parts = (1_u32..).zip(bytes.chunks(PAGE_BYTES));
                writes.extend(parts.map(|(part, bytes)| (key(&place, part), Some(bytes.to_vec()))));
                continue;
            }
            let (_, page) = open.get_or_insert_with(|| (key(&place, 0), Vec::new()));
            page.extend_from_slice(&place);
            page.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            page.extend_from_slice(&bytes);
            if page.len() >= PAGE_BYTES {
                writes.extend(open.take().map(|(key, page)| (key, Some(page))));
            }
        }
    }
    writes.extend(open.map(|(key, page)| (key, Some(page))));
}

/// Reads one receipt.
pub(super) fn read(pages: &dyn Pages, height: Height, index: u32) -> Result<Option<Receipt>, StoreError> {
    let wanted = place(height, index);
    let Some((found, page)) = pages.at_or_before(&[TAG], &key(&wanted, u32::MAX))? else {
        return Ok(None);
    };
    match part_of(&found)? {
        0 => read_entry(&page, &wanted),
        _ if found[1..13] != wanted => Ok(None),
        parts => {
            let mut bytes = Vec::new();
            for part in 1..=parts {
                bytes.extend(pages.page(&key(&wanted, part))?.ok_or(CUT_OFF)?);
            }
            decode(&bytes).map(Some)
        }
    }
}

fn read_entry(page: &[u8], wanted: &[u8; 12]) -> Result<Option<Receipt>, StoreError> {
    let mut bytes = page;
    while let Some((found, rest)) = bytes.split_first_chunk::<12>() {
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(CUT_OFF)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (receipt, rest) = rest.split_at_checked(length).ok_or(CUT_OFF)?;
        if found == wanted {
            return decode(receipt).map(Some);
        }
        bytes = rest;
    }
    Ok(None)
}

fn decode(bytes: &[u8]) -> Result<Receipt, StoreError> {
    codec::decode::<Receipt, RECEIPT_LIMIT>(bytes).map_err(|_| StoreError::Damaged("a receipt"))
}

/// The keys of pages that begin above a height.
pub(super) fn keys_above(pages: &dyn Pages, height: Height) -> Result<Vec<Vec<u8>>, StoreError> {
    let limit = key(&place(height, u32::MAX), u32::MAX);
    Ok(pages.keys(&[TAG])?.into_iter().filter(|key| *key > limit).collect())
}

const CUT_OFF: StoreError = StoreError::Damaged("a receipt that is cut off");

fn place(height: Height, index: u32) -> [u8; 12] {
    let mut place = [0; 12];
    place[..8].copy_from_slice(&height.0.to_be_bytes());
    place[8..].copy_from_slice(&index.to_be_bytes());
    place
}

#[cfg(test)]
pub(super) fn key_of(height: u64) -> Vec<u8> {
    key(&place(Height(height), 7), 1)
}

fn key(place: &[u8; 12], part: u32) -> Vec<u8> {
    [&[TAG][..], place, &part.to_be_bytes()].concat()
}

fn part_of(key: &[u8]) -> Result<u32, StoreError> {
    let part = key.get(13..17).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    part.ok_or(StoreError::Damaged("a receipt's key"))
}

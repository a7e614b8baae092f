//! Receipts by height and index, in pages that are written once.

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
            let (_, page) = open.get_or_insert_with(|| (key(&place), Vec::new()));
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
    let Some((_, page)) = pages.at_or_before(&[TAG], &key(&wanted))? else {
        return Ok(None);
    };
    let mut bytes = page.as_slice();
    while let Some((found, rest)) = bytes.split_first_chunk::<12>() {
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(CUT_OFF)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (receipt, rest) = rest.split_at_checked(length).ok_or(CUT_OFF)?;
        if *found == wanted {
            let receipt = codec::decode::<Receipt, RECEIPT_LIMIT>(receipt);
            return receipt.map(Some).map_err(|_| StoreError::Damaged("a receipt"));
        }
        bytes = rest;
    }
    Ok(None)
}

/// The keys of pages that begin above a height.
pub(super) fn keys_above(pages: &dyn Pages, height: Height) -> Result<Vec<Vec<u8>>, StoreError> {
    let limit = key(&place(height, u32::MAX));
    Ok(pages.keys(&[TAG])?.into_iter().filter(|key| *key > limit).collect())
}

const CUT_OFF: StoreError = StoreError::Damaged("a receipt that is cut off");

fn place(height: Height, index: u32) -> [u8; 12] {
    let mut place = [0; 12];
    place[..8].copy_from_slice(&height.0.to_be_bytes());
    place[8..].copy_from_slice(&index.to_be_bytes());
    place
}

fn key(place: &[u8; 12]) -> Vec<u8> {
    [&[TAG][..], place].concat()
}

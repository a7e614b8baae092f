//! Making a snapshot, on any thread, from a view of the state: the ledger goes on meanwhile.
//!
//! It takes about 150 bytes of memory for each leaf until it is written, and two hashes for each.

use std::collections::BTreeMap;

use synod_types::{B256, Bytes, Genesis, Header};

use super::chunk::{CHUNK_BYTES, Chunk, Item};
use super::folder::{SnapshotError, Snapshots};
use super::intake::names;
use super::manifest::Manifest;
use crate::disk::Disk;
use crate::recent::Executed;
use crate::state::{StateRead, View};
use crate::trie::spine::{Backward, Side, Spine};

/// Why a snapshot is not made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// It cannot be written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The headers are not those below the block.
    #[error("the headers of the blocks below it are not all here")]
    Headers,
    /// The state is not its block's.
    #[error("the state at height {0} does not make its header's root: restart the node and report this")]
    Root(synod_types::Height),
    /// Code is missing.
    #[error("the state at height {0} names code that is not here: restart the node and report this")]
    Code(synod_types::Height),
}

/// Writes the snapshot of the state after `block`. `headers` are those of the 256 blocks up to it, itself the last;
/// `proof` shows that it is final.
///
/// # Errors
/// [`MakeError`]; what was written goes at the next start, or with the next snapshot.
pub fn make<D: Disk>(
    snapshots: &Snapshots<D>,
    genesis: &Genesis,
    block: &Executed,
    headers: Vec<Header>,
    proof: &[u8],
) -> Result<Manifest, MakeError> {
    let height = block.height();
    let items = sorted(&block.view);
    let code = named_code(&items, &block.view).ok_or(MakeError::Code(height))?;
    let cuts = cuts(&items);
    let rights = rights(&items, &cuts);
    let mut draft = snapshots.begin(height)?;
    let (mut spine, mut at) = (Spine::default(), items.into_iter());
    let mut from = 0;
    for (end, right) in cuts.into_iter().zip(rights) {
        let items: Vec<Item> = at.by_ref().take(end - from).map(|(_, item)| item).collect();
        from = end;
        let is_ordered = items.iter().filter_map(Item::leaf).all(|leaf| spine.push(leaf));
        if !is_ordered || spine.root(&right) != Some(block.commitment.state_root) {
            return Err(MakeError::Root(height));
        }
        draft.add(&Chunk::Leaves { right, items }.to_bytes())?;
    }
    for codes in by_length(code) {
        draft.add(&Chunk::Code(codes).to_bytes())?;
    }
    let chunks = draft.chunks().to_vec();
    let manifest = Manifest::new(genesis, headers, block.commitment.clone(), chunks);
    let manifest = Manifest::read(&manifest.to_bytes(), genesis).map_err(|_| MakeError::Headers)?;
    draft.finish(&manifest, proof)?;
    Ok(manifest)
}

/// The leaves in the order of their keys.
fn sorted(view: &View) -> Vec<(B256, Item)> {
    let mut items = Vec::new();
    let mut add = |item: Item| items.extend(item.leaf().map(|leaf| (leaf.key, item)));
    add(Item::System(view.system()));
    view.shards(|accounts, records| {
        accounts.into_iter().for_each(|(address, account)| add(Item::Account(address, account)));
        records.into_iter().for_each(|(key, record)| add(Item::Record(key, record)));
    });
    items.sort_unstable_by_key(|(key, _)| *key);
    items
}

/// The code that the leaves name, and no other: the view may hold what later blocks brought.
fn named_code(items: &[(B256, Item)], view: &View) -> Option<BTreeMap<B256, Bytes>> {
    let named = items.iter().filter_map(|(_, item)| names(item));
    named.map(|hash| Some((hash, view.code(&hash)?))).collect()
}

/// Where chunks end.
fn cuts(items: &[(B256, Item)]) -> Vec<usize> {
    let (mut cuts, mut length) = (Vec::new(), 0);
    for (index, (_, item)) in items.iter().enumerate() {
        length += synod_types::codec::encode(item).len();
        if length >= CHUNK_BYTES || index + 1 == items.len() {
            cuts.push(index + 1);
            length = 0;
        }
    }
    cuts
}

/// What lies right of the last leaf of each chunk.
fn rights(items: &[(B256, Item)], cuts: &[usize]) -> Vec<Vec<Side>> {
    let (mut backward, mut rights) = (Backward::default(), Vec::with_capacity(cuts.len()));
    let mut ends = cuts.iter().rev().peekable();
    for (index, (_, item)) in items.iter().enumerate().rev() {
        item.leaf().into_iter().for_each(|leaf| backward.push(leaf));
        if ends.next_if(|end| **end == index + 1).is_some() {
            rights.push(backward.right().to_vec());
        }
    }
    rights.reverse();
    rights
}

fn by_length(code: BTreeMap<B256, Bytes>) -> Vec<Vec<Bytes>> {
    let (mut chunks, mut open, mut length) = (Vec::new(), Vec::new(), 0);
    for bytes in code.into_values() {
        length += bytes.len();
        open.push(bytes);
        if length >= CHUNK_BYTES {
            chunks.push(std::mem::take(&mut open));
            length = 0;
        }
    }
    if !open.is_empty() {
        chunks.push(open);
    }
    chunks
}

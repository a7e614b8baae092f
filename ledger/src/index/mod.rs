//! The index: checkpoints of the state, and where transactions, receipts and accounts' histories are, for the
//! blocks that have left the window.
//!
//! **One truth.** Everything here follows from the block log. The [`Manifest`] says what the index stands for
//! (genesis, height, hash, root) and which pages belong to it. Pages are written under numbers that no
//! manifest names yet; then one atomic batch writes the manifest and removes the pages that it no longer names
//! (STO-2). A crash at any moment leaves the manifest before or the one after, with all of its pages; what a
//! crash left over is removed at the next start.
//!
//! **Only below the window.** A checkpoint stands for the window's floor, which an ordinary reorganisation
//! does not reach; one that does makes the whole index obsolete, and it is thrown away.
//!
//! **State** is a base and a delta for each checkpoint since ([`snapshot`]); when the deltas have grown
//! to half of the base, a new base is written. **Sets** (transactions by id, by account) are sorted runs
//! ([`runs`]). **Receipts**, and the bloom filters of blocks with events, stand in pages by height.

mod blooms;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod hostile_tests;
mod receipts;
mod runs;
mod snapshot;
#[cfg(test)]
mod tests;
pub(crate) mod writer;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard};

use alloy_primitives::Bloom;
use runs::{Kind, Runs};
use serde::{Deserialize, Serialize};
use snapshot::{Entry, PageWriter, read_page};
use synod_types::codec::{self, fixed};
use synod_types::mutant;
use synod_types::{Address, B256, BlockHash, Bytes, Height, Receipt, TransactionId};

use crate::chain::UNPOISONED;
use crate::reader::HistoryEntry;
use crate::recent::Executed;
use crate::state::{Account, Loading, Record, RecordKey, State, System, View};
use crate::store::{Alarm, Pages, SledPages, StoreError, VALUE_LIMIT, Write};

const FORMAT: u32 = 2;
const MANIFEST_KEY: &[u8] = b"manifest";
const STATE: u8 = b's';
const CODE: u8 = b'c';
const IDS: Kind<{ 32 + 12 }> = Kind { tag: b'i' };
const ACCOUNTS: Kind<{ 20 + 12 }> = Kind { tag: b'a' };
/// Below this much, deltas do not cause a new base. (Small in tests, so that bases are written anew.)
const SMALL_BYTES: u64 = if cfg!(test) { 4 * 1024 } else { 1024 * 1024 };
/// Pages that no manifest names yet are written in batches of about this size.
const BATCH_BYTES: usize = if cfg!(test) { 2 * 1024 } else { 1024 * 1024 };

/// What the index stands for, and which pages belong to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    #[serde(with = "fixed")]
    genesis: B256,
    /// The block whose state this is.
    pub(crate) height: Height,
    /// Its hash.
    pub(crate) hash: BlockHash,
    /// Its state root.
    #[serde(with = "fixed")]
    pub(crate) root: B256,
    system: System,
    /// The numbers of the state's base and deltas, in order.
    state: Vec<u64>,
    base_bytes: u64,
    delta_bytes: u64,
    next: u64,
    ids: Runs,
    accounts: Runs,
}

/// The index over its pages.
pub(crate) struct Index<P> {
    pages: P,
    genesis: B256,
    /// Held for reading while a question is answered, so that no page it needs is removed.
    manifest: RwLock<Option<Manifest>>,
}

impl Index<SledPages> {
    /// Lets the store's first failure sound an alarm (STO-5).
    pub(crate) fn arm(&self, alarm: Alarm) {
        self.pages.arm(alarm);
    }
}

impl<P: Pages> Index<P> {
    /// Opens the index and removes what a crash left over.
    ///
    /// # Errors
    /// [`StoreError`]; then it must be thrown away.
    pub(crate) fn open(pages: P, genesis: B256) -> Result<Self, StoreError> {
        let manifest = match pages.page(MANIFEST_KEY)? {
            None => None,
            Some(bytes) => Some(
                codec::decode::<Manifest, VALUE_LIMIT>(&bytes)
                    .map_err(|_| StoreError::Damaged("the manifest"))?,
            ),
        };
        if let Some(manifest) = manifest.as_ref().filter(|found| found.format != FORMAT) {
            return Err(StoreError::Failed(format!("its format is {}, not {FORMAT}", manifest.format)));
        }
        if manifest.as_ref().is_some_and(|manifest| manifest.genesis != genesis) {
            return Err(StoreError::Damaged("it belongs to another network"));
        }
        let index = Self { pages, genesis, manifest: RwLock::new(manifest) };
        index.remove_leftovers()?;
        Ok(index)
    }

    /// What it stands for; `None` before the first checkpoint.
    pub(crate) fn manifest(&self) -> Option<Manifest> {
        self.read().clone()
    }

    /// The height that it stands for; 0 before the first checkpoint.
    pub(crate) fn height(&self) -> Height {
        self.read().as_ref().map_or(Height(0), |manifest| manifest.height)
    }

    /// Forgets everything: the chain that it stands for was left.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing may be asked of this index again.
    pub(crate) fn clear(&self) -> Result<(), StoreError> {
        let mut manifest = self.manifest.write().expect(UNPOISONED);
        self.pages.write(vec![(MANIFEST_KEY.to_vec(), None)])?;
        *manifest = None;
        drop(manifest);
        self.remove_leftovers()
    }

    /// The whole state at the checkpoint.
    ///
    /// # Errors
    /// [`StoreError`]; then the index must be thrown away.
    pub(crate) fn load(&self) -> Result<Option<State>, StoreError> {
        let Some(manifest) = self.manifest() else {
            return Ok(None);
        };
        let mut loading = Loading::default();
        for number in &manifest.state {
            for key in self.pages.keys(&state_key(*number, None))? {
                read_page(&self.existing(&key)?, |entry| match entry {
                    Entry::Account(address, account) => loading.account(address, account),
                    Entry::Record(key, record) => loading.record(key, record),
                })?;
            }
        }
        for key in self.pages.keys(&[CODE])? {
            loading.code(B256::from_slice(&key[1..]), Bytes::from(self.existing(&key)?));
        }
        Ok(Some(loading.finish(manifest.system)))
    }

    /// Takes in blocks that follow the last checkpoint; the last of them is the new one.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing may be asked of this index again.
    ///
    /// # Panics
    /// When `blocks` is empty.
    pub(crate) fn write(&self, blocks: &[Arc<Executed>]) -> Result<(), StoreError> {
        let floor = blocks.last().expect("a checkpoint has a block");
        let mut draft = self.draft(floor);
        let mut writes = Vec::new();
        self.write_state(&mut draft, blocks, &mut writes)?;
        let (mut ids, mut accounts) = (Vec::new(), Vec::new());
        for block in blocks {
            index_transactions(block, &mut ids, &mut accounts);
        }
        let next = &mut draft.next;
        draft.ids.add(IDS, ids, next, &self.pages, &mut writes)?;
        draft.accounts.add(ACCOUNTS, accounts, next, &self.pages, &mut writes)?;
        receipts::write(blocks.iter().map(Arc::as_ref), &mut writes);
        blooms::write(blocks.iter().map(Arc::as_ref), &mut writes);
        self.publish(draft, writes)?;
        self.pages.flush()
    }

    /// Where a transaction is, if it is below the checkpoint.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn place(&self, id: &TransactionId) -> Result<Option<HistoryEntry>, StoreError> {
        let manifest = self.read();
        let Some(manifest) = manifest.as_ref() else {
            return Ok(None);
        };
        let lowest = [id.0.as_slice(), &[0; 12]].concat();
        let highest = [id.0.as_slice(), &[0xff; 12]].concat();
        let found = manifest.ids.descending(IDS, &lowest, &highest, 1, &self.pages)?;
        Ok(found.first().map(|entry| place_of(&entry[32..])))
    }

    /// A receipt of a block below the checkpoint.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn receipt(&self, place: HistoryEntry) -> Result<Option<Receipt>, StoreError> {
        let _whole = self.read();
        receipts::read(&self.pages, place.height, place.index)
    }

    /// The bloom filters of the blocks from one height to another that have events, if the index goes so far.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn blooms(
        &self,
        from: Height,
        to: Height,
    ) -> Result<Option<Vec<(Height, Bloom)>>, StoreError> {
        let manifest = self.read();
        // Genesis has no events: an index that holds nothing yet goes as far.
        if manifest.as_ref().map_or(Height(0), |manifest| manifest.height) < to {
            return Ok(None);
        }
        blooms::between(&self.pages, from, to).map(Some)
    }

    /// At most `limit` of an account's transactions up to `last`, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn history(
        &self,
        address: &Address,
        last: HistoryEntry,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let manifest = self.read();
        let Some(manifest) = manifest.as_ref() else {
            return Ok(Vec::new());
        };
        let lowest = [address.as_slice(), &[0; 12]].concat();
        let highest = [address.as_slice(), &place_bytes(last)].concat();
        let found = manifest.accounts.descending(ACCOUNTS, &lowest, &highest, limit, &self.pages)?;
        Ok(found.iter().map(|entry| place_of(&entry[20..])).collect())
    }

    /// The manifest as it will be, with no pages changed yet.
    fn draft(&self, floor: &Executed) -> Manifest {
        let old = self.manifest().unwrap_or_else(|| Manifest {
            format: FORMAT,
            genesis: self.genesis,
            height: Height(0),
            hash: BlockHash::default(),
            root: B256::ZERO,
            system: System::default(),
            state: Vec::new(),
            base_bytes: 0,
            delta_bytes: 0,
            next: 1,
            ids: Runs::default(),
            accounts: Runs::default(),
        });
        let (height, hash, root) = (floor.height(), floor.hash, floor.commitment.state_root);
        Manifest { height, hash, root, system: crate::state::StateRead::system(&floor.view), ..old }
    }

    /// A delta, or a new base when there is none or the deltas have grown large.
    fn write_state(
        &self,
        draft: &mut Manifest,
        blocks: &[Arc<Executed>],
        writes: &mut Vec<Write>,
    ) -> Result<(), StoreError> {
        let number = draft.next;
        draft.next += 1;
        let due = draft.delta_bytes > SMALL_BYTES.max(draft.base_bytes / 2);
        let code = if draft.state.is_empty() || due {
            for old in std::mem::take(&mut draft.state) {
                writes.extend(self.pages.keys(&state_key(old, None))?.into_iter().map(|key| (key, None)));
            }
            let view = &blocks.last().expect("a checkpoint has a block").view;
            (draft.base_bytes, draft.delta_bytes) = (self.write_base(number, view)?, 0);
            view.all_code()
        } else {
            let pages = delta_pages(blocks);
            draft.delta_bytes += pages.iter().map(|page| page.len() as u64).sum::<u64>();
            let numbered = (0_u32..).zip(pages);
            writes.extend(numbered.map(|(page, bytes)| (state_key(number, Some(page)), Some(bytes))));
            let diffs = blocks.iter().filter_map(|block| block.diff.as_ref());
            diffs.flat_map(|diff| diff.code.clone()).collect()
        };
        draft.state.push(number);
        writes.extend(
            code.into_iter()
                .map(|(hash, code)| ([&[CODE][..], hash.as_slice()].concat(), Some(code.to_vec()))),
        );
        Ok(())
    }

    /// Writes the pages of a whole state, some at a time; returns their bytes.
    fn write_base(&self, number: u64, view: &View) -> Result<u64, StoreError> {
        let (mut bytes, mut page, mut failure) = (0, 0_u32, None);
        let mut open = PageWriter::default();
        let mut put = |pages: Vec<Vec<u8>>| {
            let batch = pages.into_iter().map(|content| {
                bytes += content.len() as u64;
                page += 1;
                (state_key(number, Some(page)), Some(content))
            });
            self.pages.write(batch.collect())
        };
        view.shards(|accounts, records| {
            accounts.iter().for_each(|(address, account)| open.account(address, account));
            records.iter().for_each(|(key, record)| open.record(key, Some(record)));
            if failure.is_none() {
                failure = put(open.full_pages()).err();
            }
        });
        put(open.finish())?;
        failure.map_or(Ok(bytes), Err)
    }

    /// New pages first, as many batches as it takes; then, in one batch, the manifest and the removals.
    fn publish(&self, manifest: Manifest, writes: Vec<Write>) -> Result<(), StoreError> {
        let (mut batch, mut bytes, mut removals) = (Vec::new(), 0, Vec::new());
        let head = (MANIFEST_KEY.to_vec(), Some(codec::encode(&manifest)));
        if mutant!("sto-2-head-apart") {
            self.pages.write(vec![head.clone()])?;
        }
        for (key, value) in writes {
            let Some(value) = value else {
                removals.push((key, None));
                continue;
            };
            bytes += value.len();
            batch.push((key, Some(value)));
            if bytes > BATCH_BYTES {
                self.pages.write(std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        batch.extend(removals);
        batch.push(head);
        let mut current = self.manifest.write().expect(UNPOISONED);
        self.pages.write(batch)?;
        *current = Some(manifest);
        Ok(())
    }

    fn remove_leftovers(&self) -> Result<(), StoreError> {
        let manifest = self.read();
        let height = manifest.as_ref().map_or(Height(0), |manifest| manifest.height);
        let mut leftovers = receipts::keys_above(&self.pages, height)?;
        leftovers.extend(blooms::keys_above(&self.pages, height)?);
        for tag in [STATE, IDS.tag, ACCOUNTS.tag] {
            leftovers.extend(self.pages.keys(&[tag])?.into_iter().filter(|key| {
                let number = key.get(1..9).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
                !number
                    .is_some_and(|number| manifest.as_ref().is_some_and(|manifest| manifest.has(tag, number)))
            }));
        }
        drop(manifest);
        if leftovers.is_empty() {
            return Ok(());
        }
        self.pages.write(leftovers.into_iter().map(|key| (key, None)).collect())
    }

    fn existing(&self, key: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.pages.page(key)?.ok_or(StoreError::Damaged("a page is gone"))
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Manifest>> {
        self.manifest.read().expect(UNPOISONED)
    }
}

impl Manifest {
    fn has(&self, tag: u8, number: u64) -> bool {
        match tag {
            STATE => self.state.contains(&number),
            tag if tag == IDS.tag => self.ids.has(number),
            _ => self.accounts.has(number),
        }
    }
}

fn index_transactions(block: &Executed, ids: &mut Vec<[u8; 44]>, accounts: &mut Vec<[u8; 32]>) {
    for (index, transaction) in (0..).zip(&block.transactions) {
        let place = place_bytes(HistoryEntry { height: block.height(), index });
        ids.push(entry(transaction.id.0.as_slice(), &place));
        accounts.push(entry(transaction.sender.as_slice(), &place));
        if let Some(recipient) = transaction.recipient.filter(|one| *one != transaction.sender) {
            accounts.push(entry(recipient.as_slice(), &place));
        }
    }
}

/// What is looked for, and where it is.
fn entry<const N: usize>(name: &[u8], place: &[u8; 12]) -> [u8; N] {
    let mut entry = [0; N];
    let (front, back) = entry.split_at_mut(name.len());
    front.copy_from_slice(name);
    back.copy_from_slice(place);
    entry
}

fn delta_pages(blocks: &[Arc<Executed>]) -> Vec<Vec<u8>> {
    let mut accounts: BTreeMap<&Address, &Account> = BTreeMap::new();
    let mut records: BTreeMap<&RecordKey, Option<&Record>> = BTreeMap::new();
    for diff in blocks.iter().filter_map(|block| block.diff.as_deref()) {
        accounts.extend(diff.accounts.iter().map(|change| (&change.address, &change.after)));
        records.extend(diff.records.iter().map(|change| (&change.key, change.after.as_ref())));
    }
    let mut pages = PageWriter::default();
    accounts.into_iter().for_each(|(address, account)| pages.account(address, account));
    records.into_iter().for_each(|(key, record)| pages.record(key, record));
    pages.finish()
}

fn state_key(number: u64, page: Option<u32>) -> Vec<u8> {
    let mut key = vec![STATE];
    key.extend_from_slice(&number.to_be_bytes());
    key.extend(page.into_iter().flat_map(u32::to_be_bytes));
    key
}

fn place_bytes(place: HistoryEntry) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&place.height.0.to_be_bytes());
    bytes[8..].copy_from_slice(&place.index.to_be_bytes());
    bytes
}

fn place_of(bytes: &[u8]) -> HistoryEntry {
    let height = u64::from_be_bytes(bytes[..8].try_into().expect("an entry's length is fixed"));
    let index = u32::from_be_bytes(bytes[8..12].try_into().expect("an entry's length is fixed"));
    HistoryEntry { height: Height(height), index }
}

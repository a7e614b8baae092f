//! The ledger's block history on the node's disk, shared between the ledger, which writes it, and readers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synod_ledger::BlockHistory;
use synod_ledger::disk::{Disk, DiskError, DiskFile, PendingSync, RealDisk, RealFile};
use synod_ledger::history::{HistoryError, LoggedHistory};
use synod_ledger::log::Durable;
use synod_ledger::log::blocks::{Record, Tip};
use synod_types::block::HEADER_LENGTH;
use synod_types::codec::{self, DecodeError};
use synod_types::{Block, BlockHash, Header, Height};

/// Blocks off the chain that a start looks at.
const UNDONE: usize = 1_024;

/// One history that several own: the ledger writes it, readers read blocks off the chain from it too.
#[derive(Debug)]
pub struct SharedBlocks<D: Disk>(Arc<Mutex<LoggedHistory<D>>>);

impl<D: Disk> Clone for SharedBlocks<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D: Disk> SharedBlocks<D> {
    /// Shares `blocks`.
    pub fn new(blocks: LoggedHistory<D>) -> Self {
        Self(Arc::new(Mutex::new(blocks)))
    }

    fn lock(&self) -> MutexGuard<'_, LoggedHistory<D>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A committed block, on the chain or one that left it.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn any_block(&self, hash: BlockHash) -> Result<Option<Block>, HistoryError> {
        let stored = self.lock().log().block_with(hash)?;
        stored.map(|stored| Ok(Block::from_bytes(&stored.bytes)?)).transpose()
    }

    /// The headers of blocks that left the chain and may be heavier all the same, as after a power cut amid a
    /// reorganisation; the newest, in the order in which they came, and none that is on the chain.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn undone(&self) -> Result<Vec<Header>, HistoryError> {
        let blocks = self.lock();
        let stored = blocks.log().off_chain(UNDONE)?.into_iter();
        let off = stored.filter(|stored| !blocks.log().is_on_chain(stored.block));
        off.map(|stored| Ok(Block::from_bytes(&stored.bytes)?.header)).collect()
    }
}

/// The headers of the chain from the log's first block to the tip, gathered while the log is read at the start: reading a
/// million blocks a second time, only for their first 80 bytes, would take longer than everything else.
#[derive(Debug, Default)]
pub(super) struct HeaderChain {
    /// What the first one stands on.
    base: u64,
    headers: Vec<Header>,
    unreadable: Option<DecodeError>,
}

impl HeaderChain {
    /// Follows the log's next record.
    pub(super) fn follow(&mut self, record: &Record<'_>) {
        match record {
            Record::Appended { bytes, .. } => {
                let header = bytes.get(..HEADER_LENGTH).unwrap_or_default();
                match codec::decode::<Header, HEADER_LENGTH>(header) {
                    Ok(header) => self.headers.push(header),
                    Err(error) => self.unreadable = self.unreadable.take().or(Some(error)),
                }
            }
            Record::Rewound(to) => {
                let kept = to.height.0.saturating_sub(self.base);
                self.headers.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
            }
            // The chain below is not in the log any more.
            Record::Restarted(from) => {
                self.base = from.height.0;
                self.headers.clear();
            }
        }
    }

    /// The headers.
    ///
    /// # Errors
    /// [`HistoryError::Decode`] when a block of the log does not begin with one.
    pub(super) fn finish(self) -> Result<Vec<Header>, HistoryError> {
        self.unreadable.map_or(Ok(self.headers), |error| Err(error.into()))
    }
}

impl<D: Disk> BlockHistory for SharedBlocks<D> {
    type Durable = Durable;
    type Error = HistoryError;

    fn append(&mut self, block: &Block) -> Result<(), HistoryError> {
        self.lock().append(block)
    }

    fn rewind(&mut self, to: Height) -> Result<(), HistoryError> {
        self.lock().rewind(to)
    }

    fn commit(&mut self) -> Result<Durable, HistoryError> {
        let sync = self.lock().write()?;
        // Readers must not wait for the disk.
        let synced = sync.map_or(Ok(()), |sync| sync());
        self.lock().finish_commit(synced)
    }

    fn write(&mut self) -> Result<Option<PendingSync>, HistoryError> {
        self.lock().write()
    }

    fn finish_commit(&mut self, synced: Result<(), DiskError>) -> Result<Durable, HistoryError> {
        self.lock().finish_commit(synced)
    }

    fn height(&self) -> Height {
        self.lock().height()
    }

    fn base(&self) -> Option<Tip> {
        self.lock().base()
    }

    fn is_on_chain(&self, height: Height, hash: &BlockHash) -> bool {
        self.lock().is_on_chain(height, hash)
    }

    fn block_with(&self, hash: &BlockHash) -> Result<Option<Block>, HistoryError> {
        self.lock().block_with(hash)
    }

    fn block_at(&self, height: Height) -> Result<Option<Block>, HistoryError> {
        self.lock().block_at(height)
    }

    fn prepare(&mut self) -> Result<bool, HistoryError> {
        self.lock().prepare()
    }
}

/// Syncs of all node disks of this process.
static SYNCS: AtomicU64 = AtomicU64::new(0);

/// How often this process has synced a file or a folder, for those who measure what a decision costs.
pub(super) fn syncs() -> u64 {
    SYNCS.load(Ordering::Relaxed)
}

fn counted<T>(sync: impl FnOnce() -> T) -> T {
    SYNCS.fetch_add(1, Ordering::Relaxed);
    sync()
}

/// The node's disk, which a test network may run without syncs.
#[derive(Debug, Clone)]
pub(super) struct NodeDisk {
    real: Arc<RealDisk>,
    sync: bool,
}

/// A file of it.
#[derive(Debug)]
pub(super) struct NodeFile {
    real: RealFile,
    sync: bool,
}

impl NodeDisk {
    /// Opens the folder and locks it. Without `sync` nothing survives a power cut, though everything
    /// survives the process.
    ///
    /// # Errors
    /// [`DiskError`].
    pub(super) fn open(folder: &std::path::Path, sync: bool) -> Result<Self, DiskError> {
        Ok(Self { real: Arc::new(RealDisk::open(folder)?), sync })
    }
}

impl Disk for NodeDisk {
    type File = NodeFile;

    fn list(&self) -> Result<Vec<String>, DiskError> {
        self.real.list()
    }

    fn open(&self, name: &str) -> Result<NodeFile, DiskError> {
        Disk::open(&*self.real, name).map(|real| NodeFile { real, sync: self.sync })
    }

    fn create(&self, name: &str) -> Result<NodeFile, DiskError> {
        self.real.create(name).map(|real| NodeFile { real, sync: self.sync })
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.real.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.real.remove(name)
    }

    fn sync_folder(&self) -> Result<(), DiskError> {
        if self.sync { counted(|| self.real.sync_folder()) } else { Ok(()) }
    }
}

impl DiskFile for NodeFile {
    fn length(&self) -> Result<u64, DiskError> {
        self.real.length()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.real.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.real.write_at(offset, bytes)
    }

    fn grow_by_zeros(&self, offset: u64, length: usize) -> Result<(), DiskError> {
        if self.sync {
            return self.real.grow_by_zeros(offset, length);
        }
        let end = offset.saturating_add(length as u64);
        if self.real.length()? < end { self.real.end_at(end) } else { Ok(()) }
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        if self.sync { counted(|| self.real.sync_data()) } else { Ok(()) }
    }
}

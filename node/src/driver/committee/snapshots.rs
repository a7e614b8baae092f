//! Making snapshots beside the ledger, one for every so many blocks, once a certificate covers the block.
//!
//! It reads a view of the state that the ledger goes on from; the ledger waits for one lock of a shard at a time.
//! A node that executes faster than this makes leaves some out. An epoch's last block is always left out, so that
//! whoever begins at a snapshot needs no certificate of another committee than the one that goes on.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use synod_ledger::disk::Disk;
use synod_ledger::snapshot::{MakeError, Manifest, SnapshotError, Snapshots, make};
use synod_types::{B256, Header, Height};

use super::certificates::Certificates;
use super::epoch::Epochs;
use super::proof::{LINKS, Proof};
use crate::driver::chain::Chain;
use crate::driver::stop::Stop;

/// Headers that go with a snapshot: those whose hashes contracts above it may ask for.
const HEADERS: u64 = 256;
/// Between two looks at what is certified.
const PAUSE: Duration = Duration::from_millis(200);

/// The maker.
pub(super) struct Making<D: Disk> {
    pub(super) every: NonZeroU64,
    pub(super) snapshots: Arc<Snapshots<D>>,
    pub(super) chain: Arc<Chain<D>>,
    pub(super) certificates: Certificates<D>,
    pub(super) epochs: Epochs<D>,
    pub(super) stop: Stop,
}

impl<D> Making<D>
where
    D: Disk + Send + Sync + 'static,
    D::File: Send + Sync,
{
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("snapshots".to_owned()).spawn(move || self.run())
    }

    fn run(self) {
        let every = self.every.get();
        let mut done = self.snapshots.newest().map_or(0, |newest| newest.height().0);
        while !self.stop.is_stopping() {
            let due = self.chain.settled_height().0 / every * every;
            if due <= done {
                // Woken by a certificate; one that is ahead of the chain here wakes at once.
                let woken = self.certificates.wait_for(Height(done + 1), Instant::now() + PAUSE);
                if woken.is_some()
                    && self.stop.signal().recv_timeout(PAUSE).is_err_and(|error| error.is_disconnected())
                {
                    return;
                }
                continue;
            }
            done = due;
            if let Err(reason) = self.one(Height(due)) {
                return self.stop.fail(reason);
            }
        }
    }

    /// Makes one, if everything that it takes is here.
    fn one(&self, height: Height) -> Result<(), String> {
        let begun = Instant::now();
        match self.make(height) {
            None => tracing::debug!(%height, "no snapshot of this block is made"),
            Some(Ok(manifest)) => {
                let (chunks, bytes) = (manifest.chunks().len(), manifest.bytes());
                tracing::info!(%height, chunks, bytes, took = ?begun.elapsed(), "a snapshot is made");
            }
            Some(Err(MakeError::Snapshot(SnapshotError::Disk(error)))) if error.is_no_space() => {
                tracing::error!(%height, %error, "no snapshot is made: the disk is full");
            }
            Some(Err(error)) => return Err(format!("snapshots/: {error}")),
        }
        let base = self.chain.reader().base();
        let cleared = self.snapshots.keep_newest((base > Height(0)).then_some(base));
        cleared.map_err(|error| format!("snapshots/: {error}"))
    }

    fn make(&self, height: Height) -> Option<Result<Manifest, MakeError>> {
        let reader = self.chain.reader();
        let block = reader.recent_block_at(height)?;
        if block.commitment.next_committee != B256::ZERO {
            return None;
        }
        let certificate = self.certificates.covering(height)?;
        let (certified, epoch) = (certificate.statement.height, certificate.statement.position.epoch);
        if epoch != block.commitment.position.epoch || certified.0 - height.0 > LINKS {
            return None;
        }
        let headers = (height.0 + 1..=certified.0).map(|above| self.header(Height(above)));
        let headers = headers.collect::<Option<_>>()?;
        let proof = Proof { ends: self.epochs.successions(epoch)?, certificate, headers };
        let lowest = height.0.saturating_sub(HEADERS - 1).max(1);
        let below: Vec<Header> =
            (lowest..=height.0).map(|height| self.header(Height(height))).collect::<Option<_>>()?;
        Some(make(&self.snapshots, reader.genesis(), &block, below, &proof.to_bytes()))
    }

    fn header(&self, height: Height) -> Option<Header> {
        let reader = self.chain.reader();
        if let Some(block) = reader.recent_block_at(height) {
            return Some(block.header);
        }
        if height <= reader.base() {
            return self.snapshots.manifest(reader.base())?.header_at(height).copied();
        }
        reader.block_at(height).ok().flatten().map(|block| block.header)
    }
}

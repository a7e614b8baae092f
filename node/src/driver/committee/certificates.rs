//! Certificates on the node's disk: a log of its own, written behind.
//!
//! Nothing rests on a certificate's being durable: what a power cut takes is attested again (the blocks are in
//! the block log), so that the log is written a few times a second and no block waits for it. The one exception
//! is the certificate of an epoch's last block, which is synced before the next epoch begins.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use synod_consensus::committee::Certificate;
use synod_ledger::disk::Disk;
use synod_ledger::log::{FrameLog, FrameNumber, LogError, LogOptions, Opened, create, open};
use synod_types::{Height, codec};

use crate::driver::stop::Stop;

/// Certificates that wait to be written; beyond that the oldest heights do without one of their own.
const QUEUE: usize = 4_096;
/// Between two writes.
const PACE: Duration = Duration::from_millis(100);
/// The newest ones stay in memory.
const RECENT: usize = 1_024;
/// The largest frame.
const FRAME_LIMIT: usize = 8 * 1024 * 1024;
/// In one frame: of the largest certificates, of 64 signatures, as many as fit into a segment.
const GROUP: usize = 128;

/// The store; a clone is the same store.
pub(super) struct Certificates<D: Disk> {
    shared: Arc<Mutex<Store<D>>>,
    /// Held from a frame's append until it is synced: the log takes one at a time, and readers do not wait for it.
    writing: Arc<Mutex<()>>,
    news: Arc<Condvar>,
    queue: Sender<Certificate>,
}

impl<D: Disk> Clone for Certificates<D> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            writing: Arc::clone(&self.writing),
            news: Arc::clone(&self.news),
            queue: self.queue.clone(),
        }
    }
}

struct Store<D: Disk> {
    log: FrameLog<D>,
    /// Which frame holds the certificate of a height.
    frames: BTreeMap<Height, FrameNumber>,
    recent: VecDeque<Certificate>,
    newest: Option<Certificate>,
}

impl<D> Certificates<D>
where
    D: Disk + Send + 'static,
    D::File: Send + Sync,
{
    /// Opens the folder's log, or begins one: a damaged log is begun anew, since all of it can be had again.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn open(disk: D, options: LogOptions) -> Result<(Self, Receiver<Certificate>), LogError>
    where
        D: Clone,
    {
        let log = match open(disk.clone(), options) {
            Ok(Opened::Whole(log, _)) => log,
            Err(error @ LogError::Disk(_)) => return Err(error),
            Ok(Opened::Damaged(_)) | Err(_) => {
                for name in disk.list()? {
                    disk.remove(&name)?;
                }
                create(disk, options, 0)?
            }
        };
        let mut store = Store { log, frames: BTreeMap::new(), recent: VecDeque::new(), newest: None };
        let mut number = store.log.floor();
        while number < store.log.next_frame() {
            for certificate in read(&store.log, number).unwrap_or_default() {
                store.frames.insert(certificate.statement.height, number);
                store.note(certificate);
            }
            number.0 += 1;
        }
        let (queue, waiting) = bounded(QUEUE);
        let shared = Arc::new(Mutex::new(store));
        Ok((Self { shared, writing: Arc::default(), news: Arc::default(), queue }, waiting))
    }

    /// Starts the thread that writes.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn spawn(
        &self,
        waiting: Receiver<Certificate>,
        stop: Stop,
    ) -> std::io::Result<JoinHandle<()>> {
        let (shared, writing) = (Arc::clone(&self.shared), Arc::clone(&self.writing));
        std::thread::Builder::new()
            .name("certificates".to_owned())
            .spawn(move || write(&shared, &writing, &waiting, &stop))
    }

    /// Keeps a certificate: readers see it at once, the disk soon.
    pub(super) fn keep(&self, certificate: &Certificate) {
        self.store().note(certificate.clone());
        self.news.notify_all();
        if self.queue.try_send(certificate.clone()).is_err() {
            tracing::debug!(height = %certificate.statement.height, "a certificate is not written: the queue is full");
        }
    }

    /// Keeps a certificate that something rests on: it is durable afterwards.
    ///
    /// # Errors
    /// The disk's; the node must stop.
    pub(super) fn secure(&self, certificate: &Certificate) -> Result<(), LogError> {
        append(&self.shared, &self.writing, std::slice::from_ref(certificate))?;
        self.store().note(certificate.clone());
        self.news.notify_all();
        Ok(())
    }

    /// The newest.
    pub(super) fn newest(&self) -> Option<Certificate> {
        self.store().newest.clone()
    }

    /// The lowest one that vouches for the block at `height`, waited for until then.
    pub(super) fn wait_for(&self, height: Height, until: Instant) -> Option<Certificate> {
        loop {
            let store = self.store();
            if store.newest.as_ref().is_some_and(|newest| newest.statement.height >= height) {
                drop(store);
                return self.covering(height);
            }
            let left = until.checked_duration_since(Instant::now())?;
            drop(self.news.wait_timeout(store, left).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// The lowest one that vouches for the block at `height`: for that block itself, or for one above it.
    pub(super) fn covering(&self, height: Height) -> Option<Certificate> {
        let store = self.store();
        let known = store.recent.iter().filter(|one| one.statement.height >= height);
        let recent = known.min_by_key(|one| one.statement.height).cloned();
        let Some((at, frame)) = store.frames.range(height..).next() else { return recent };
        if recent.as_ref().is_some_and(|one| one.statement.height <= *at) {
            return recent;
        }
        let stored = read(&store.log, *frame).unwrap_or_default();
        stored.into_iter().find(|one| one.statement.height == *at).or(recent)
    }

    fn store(&self) -> MutexGuard<'_, Store<D>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Disk> Store<D> {
    fn note(&mut self, certificate: Certificate) {
        let is_newer = |known: &Certificate| certificate.statement.height > known.statement.height;
        if self.newest.as_ref().is_none_or(is_newer) {
            self.newest = Some(certificate.clone());
        }
        self.recent.push_back(certificate);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }
}

fn read<D: Disk>(log: &FrameLog<D>, number: FrameNumber) -> Option<Vec<Certificate>> {
    codec::decode::<_, FRAME_LIMIT>(&log.read(number).ok()?).ok()
}

fn write<D: Disk>(
    shared: &Mutex<Store<D>>,
    writing: &Mutex<()>,
    waiting: &Receiver<Certificate>,
    stop: &Stop,
) {
    loop {
        let first = select! {
            recv(waiting) -> one => one.ok(),
            recv(stop.signal()) -> _ => None,
        };
        let is_last = first.is_none();
        if !is_last {
            // The others gather meanwhile, and wake nobody. A stop ends this early.
            let _ = stop.signal().recv_timeout(PACE);
        }
        let gathered: Vec<Certificate> = first.into_iter().chain(waiting.try_iter()).collect();
        for group in gathered.chunks(GROUP) {
            if let Err(error) = append(shared, writing, group) {
                return stop.fail(format!("certificates/: {error}"));
            }
        }
        if is_last {
            return;
        }
    }
}

fn append<D: Disk>(
    shared: &Mutex<Store<D>>,
    writing: &Mutex<()>,
    group: &[Certificate],
) -> Result<(), LogError> {
    let _writing = writing.lock().unwrap_or_else(PoisonError::into_inner);
    let mut store = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let number = store.log.append(&codec::encode(group))?;
    let sync = store.log.pending_sync();
    drop(store);
    // Readers must not wait for the disk.
    let synced = sync.map_or(Ok(()), |sync| sync());
    let mut store = shared.lock().unwrap_or_else(PoisonError::into_inner);
    store.log.finish_commit(synced)?;
    if number.0 == 1 {
        // A log counts as made once its first end is noted.
        store.log.note_end()?;
    }
    store.frames.extend(group.iter().map(|one| (one.statement.height, number)));
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::driver::committee::fixture::Four;
    use synod_ledger::disk::SimDisk;
    use synod_ledger::log::Salt;
    use synod_types::{B256, BlockHash};

    fn options() -> LogOptions {
        LogOptions { segment_bytes: 64 << 10, step_bytes: 16 << 10, ..LogOptions::votes(Salt([1; 16])) }
    }

    fn at(height: u64) -> Certificate {
        Four::new(1).certificate(height, BlockHash(B256::with_last_byte(height as u8)))
    }

    fn heights(store: &Certificates<SimDisk>, asked: u64) -> Option<u64> {
        store.covering(Height(asked)).map(|certificate| certificate.statement.height.0)
    }

    /// Keeps certificates and lets the writer write them, to its end.
    fn written(disk: &SimDisk, kept: &[u64]) {
        let (store, waiting) = Certificates::open(disk.clone(), options()).unwrap();
        let stop = Stop::new();
        let thread = store.spawn(waiting, stop.clone()).unwrap();
        for height in kept {
            store.keep(&at(*height));
        }
        drop(store);
        thread.join().unwrap();
        assert!(!stop.is_stopping());
    }

    #[test]
    fn certificates_outlive_the_process_and_vouch_for_the_blocks_below_them() {
        let disk = SimDisk::new(0);
        written(&disk, &[1, 2, 5]);
        written(&disk, &[9]);
        let (store, _waiting) = Certificates::open(disk, options()).unwrap();
        assert_eq!(store.newest(), Some(at(9)));
        let covered: Vec<_> = (0..=10).map(|asked| heights(&store, asked)).collect();
        let (one, two, five, nine) = (Some(1), Some(2), Some(5), Some(9));
        assert_eq!(covered, [one, one, two, five, five, five, nine, nine, nine, nine, None]);
        store.keep(&at(10));
        assert_eq!(heights(&store, 10), Some(10), "readers do not wait for the disk");
    }

    /// Each frame is synced before the next is written, whoever writes it.
    #[test]
    fn whoever_secures_a_certificate_waits_for_whoever_writes() {
        let roomy = LogOptions { segment_bytes: 1 << 20, step_bytes: 1 << 20, ..options() };
        let (store, waiting) = Certificates::open(SimDisk::new(0), roomy).unwrap();
        let stop = Stop::new();
        let writer = store.spawn(waiting, stop.clone()).unwrap();
        let certificate = at(1);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        store.keep(&certificate);
                        store.secure(&certificate).unwrap();
                    }
                });
            }
        });
        assert!(!stop.is_stopping(), "the writer failed");
        drop(store);
        writer.join().unwrap();
    }

    #[test]
    fn a_damaged_log_of_certificates_is_begun_anew() {
        let disk = SimDisk::new(0);
        written(&disk, &[1, 2]);
        written(&disk, &[3]);
        for name in disk.list().unwrap() {
            let file = Disk::open(&disk, &name).unwrap();
            let half = synod_ledger::disk::DiskFile::length(&file).unwrap() / 64;
            for offset in (0..half).step_by(97) {
                synod_ledger::disk::DiskFile::write_at(&file, offset, &[0xee]).unwrap();
            }
        }
        match Certificates::open(disk.clone(), options()) {
            Ok((store, _waiting)) => assert_eq!(store.newest(), None),
            Err(error) => panic!("{error}"),
        }
        written(&disk, &[4]);
        let (store, _waiting) = Certificates::open(disk, options()).unwrap();
        assert_eq!(store.newest(), Some(at(4)));
    }

    #[test]
    fn whoever_waits_for_a_certificate_gets_it_or_goes() {
        let (store, _waiting) = Certificates::open(SimDisk::new(0), options()).unwrap();
        assert_eq!(store.wait_for(Height(1), Instant::now()), None);
        let waiter = store.clone();
        let long = Instant::now() + Duration::from_secs(600);
        let thread = std::thread::spawn(move || waiter.wait_for(Height(2), long));
        store.keep(&at(1));
        store.keep(&at(3));
        assert_eq!(thread.join().unwrap(), Some(at(3)));
    }
}

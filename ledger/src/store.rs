//! The store of derived pages: the one file that names sled (STO-2, STO-3).
//!
//! What stands here can be made again from the block log, so it is written behind the log and thrown away when
//! anything about it is wrong. sled 0.34 is asked for little: one tree, values of some kilobytes (many small
//! ones cost it tens of times their size in memory), and one atomic batch at a time. A leaf of its tree holds
//! up to 17 values and becomes an unsynced blob file beyond a quarter of a segment; with segments of 2 MiB and
//! values of at most 24 KiB no leaf comes near that.
//!
//! **Nothing waits for its sync** (a departure from STO-3's own descriptor on sled's file): a power cut may leave
//! anything here, an older state or damage, and each of them only makes the next start replay more of the log
//! (STO-4). For the same reason growth sounds no alarm and there is no export (STO-7): the file holds what can be
//! made again, it is opened and read whole at every start, which the start's own log line times, and removing the
//! folder is the cure. sled's transactions, whose deadlock would need a watchdog (STO-6), are not used: one thread
//! writes batches, and readers take a lock of our own ([`crate::index`]).
//!
//! Each value carries a checksum of its key and content, so that a flipped bit or a value under another's key
//! is an error and not an answer. After the first error nothing may be asked of a store again (STO-5).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use synod_types::hash::sha256;
use synod_types::mutant;

/// The most bytes of one value.
pub(crate) const VALUE_LIMIT: usize = 24 * 1024;
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
const CHECKSUM_BYTES: usize = 8;
/// How often, and after which pause, a folder is tried again that is locked.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A write: a key, and its value or its removal.
pub(crate) type Write = (Vec<u8>, Option<Vec<u8>>);
/// A key and its value.
pub(crate) type Page = (Vec<u8>, Vec<u8>);

/// Pages by key, in order of keys.
pub(crate) trait Pages: Send + Sync {
    /// The value of a key.
    fn page(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// The page with the greatest key not above `key` and not below `lowest`.
    fn at_or_before(&self, lowest: &[u8], key: &[u8]) -> Result<Option<Page>, StoreError>;
    /// The keys that begin with `prefix`, in order.
    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError>;
    /// Writes all or, through a crash, nothing.
    fn write(&self, batch: Vec<Write>) -> Result<(), StoreError>;
    /// Hands what was written to the system.
    fn flush(&self) -> Result<(), StoreError>;
}

/// The store cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// sled failed.
    #[error("the index failed ({0}): restart, and it is rebuilt from the block log")]
    Failed(String),
    /// What was read is not what was written.
    #[error("the index is damaged ({0}): restart, and it is rebuilt from the block log")]
    Damaged(&'static str),
}

/// Whoever must know at once that the store failed.
#[derive(Clone)]
pub struct Alarm(Arc<dyn Fn(&StoreError) + Send + Sync>);

impl Alarm {
    /// Calls `sound` with the first failure, on the thread that met it.
    pub fn new(sound: impl Fn(&StoreError) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sound))
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Alarm")
    }
}

/// Pages in sled. The first failure is the last: it is noted beside the folder, so that the next start does
/// not trust the folder, the alarm sounds, and every later call is refused with it (STO-5).
#[derive(Debug)]
pub(crate) struct SledPages {
    db: sled::Db,
    note: PathBuf,
    alarm: OnceLock<Alarm>,
    failure: OnceLock<StoreError>,
}

/// The failure that an earlier process noted about the store in this folder.
pub(crate) fn noted_failure(folder: &Path) -> Option<StoreError> {
    std::fs::read_to_string(note_of(folder)).ok().map(StoreError::Failed)
}

/// Forgets that failure: the folder is another one now.
pub(crate) fn forget_failure(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(note_of(folder)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn note_of(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".failed");
    folder.with_file_name(name)
}

impl SledPages {
    /// Opens or creates the store in a folder.
    ///
    /// # Errors
    /// [`StoreError`], also where sled would panic on what it finds (STO-4).
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        let config = sled::Config::new()
            .path(folder)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None);
        let open = || {
            let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open()));
            opened.map_err(|_| StoreError::Failed("it panicked while it was opened".to_owned()))
        };
        let mut opened = open()?;
        for _ in 0..LOCK_TRIES {
            if !opened.as_ref().is_err_and(is_locked) {
                break;
            }
            std::thread::sleep(LOCK_PAUSE);
            opened = open()?;
        }
        Ok(Self { db: opened?, note: note_of(folder), alarm: OnceLock::new(), failure: OnceLock::new() })
    }

    /// From now on a failure sounds this alarm; one that there was already sounds it at once. (Before, while
    /// the ledger opens, a failure only means that the store is made anew.)
    pub(crate) fn arm(&self, alarm: Alarm) {
        let alarm = self.alarm.get_or_init(|| alarm);
        if let Some(failure) = self.failure.get() {
            (alarm.0)(failure);
        }
    }

    /// Asks sled, as long as nothing has failed; the first failure is noted and sounds the alarm.
    pub(crate) fn run<T>(
        &self,
        call: impl FnOnce(&sled::Db) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(failure) = self.failure.get().filter(|_| !mutant!("sto-5-go-on")) {
            return Err(failure.clone());
        }
        let call = std::panic::AssertUnwindSafe(|| call(&self.db));
        let answer = std::panic::catch_unwind(call);
        let answer = answer.unwrap_or_else(|_| Err(StoreError::Failed("it panicked".to_owned())));
        if let Err(error) = &answer
            && self.failure.set(error.clone()).is_ok()
        {
            // A disk that does not even take the note is found out again.
            let _unwritten = std::fs::write(&self.note, error.to_string());
            if let Some(alarm) = self.alarm.get() {
                (alarm.0)(error);
            }
        }
        answer
    }
}

/// sled's own threads may hold the file for a moment after the store was dropped, so that whoever opens it again at once
/// finds it locked. It says so in words alone.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

impl Pages for SledPages {
    fn page(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.run(|db| db.get(key)?.map(|value| unseal(key, &value)).transpose())
    }

    fn at_or_before(&self, lowest: &[u8], key: &[u8]) -> Result<Option<Page>, StoreError> {
        self.run(|db| {
            let Some((key, value)) = db.range(lowest..=key).next_back().transpose()? else {
                return Ok(None);
            };
            Ok(Some((key.to_vec(), unseal(&key, &value)?)))
        })
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        self.run(|db| db.scan_prefix(prefix).keys().map(|key| Ok(key?.to_vec())).collect())
    }

    fn write(&self, batch: Vec<Write>) -> Result<(), StoreError> {
        let mut whole = sled::Batch::default();
        let mut longest = 0;
        for (key, value) in batch {
            match value {
                Some(value) => {
                    longest = longest.max(value.len());
                    whole.insert(key.as_slice(), seal(&key, &value));
                }
                None => whole.remove(key),
            }
        }
        self.run(|db| match longest {
            0..=VALUE_LIMIT => Ok(db.apply_batch(whole)?),
            // It might come out as a blob.
            _ => Err(StoreError::Failed(format!("a value of {longest} bytes, above {VALUE_LIMIT}"))),
        })
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.run(|db| Ok(db.flush().map(drop)?))
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(CHECKSUM_BYTES + value.len());
    sealed.extend_from_slice(&checksum(key, value));
    sealed.extend_from_slice(value);
    sealed
}

fn unseal(key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
    let (sum, value) = sealed.split_at_checked(CHECKSUM_BYTES).ok_or(StoreError::Damaged("a short value"))?;
    if sum == checksum(key, value) {
        Ok(value.to_vec())
    } else {
        Err(StoreError::Damaged("a wrong checksum"))
    }
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = sha256(&[&(key.len() as u64).to_be_bytes(), key, value]);
    digest.0[..CHECKSUM_BYTES].try_into().expect("eight of 32 bytes")
}

#[cfg(any(test, feature = "mutants"))]
pub(crate) mod memory {
    //! Pages in memory that can fail at any write, as a crash would.

    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use super::{Page, Pages, StoreError, VALUE_LIMIT, Write};

    /// Clones share their pages: what one wrote before its crash, the next finds.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct MemoryPages {
        pub(crate) pages: Arc<Mutex<BTreeMap<Vec<u8>, Vec<u8>>>>,
        /// How many more batches succeed.
        pub(crate) writes_left: Arc<Mutex<Option<u32>>>,
    }

    impl MemoryPages {
        /// So many more batches succeed; all of them with `None`.
        pub(crate) fn let_through(&self, writes: Option<u32>) {
            *self.writes_left.lock().expect("test") = writes;
        }
    }

    impl Pages for MemoryPages {
        fn page(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.pages.lock().expect("test").get(key).cloned())
        }

        fn at_or_before(&self, lowest: &[u8], key: &[u8]) -> Result<Option<Page>, StoreError> {
            let pages = self.pages.lock().expect("test");
            let mut range = pages.range(lowest.to_vec()..=key.to_vec());
            Ok(range.next_back().map(|(key, value)| (key.clone(), value.clone())))
        }

        fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
            let pages = self.pages.lock().expect("test");
            Ok(pages.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
        }

        fn write(&self, batch: Vec<Write>) -> Result<(), StoreError> {
            if let Some(left) = self.writes_left.lock().expect("test").as_mut() {
                *left = left.checked_sub(1).ok_or(StoreError::Failed("the power is off".to_owned()))?;
            }
            let mut pages = self.pages.lock().expect("test");
            for (key, value) in batch {
                assert!(value.as_ref().is_none_or(|value| value.len() <= VALUE_LIMIT), "a large value");
                match value {
                    Some(value) => drop(pages.insert(key, value)),
                    None => drop(pages.remove(&key)),
                }
            }
            Ok(())
        }

        fn flush(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod failure_tests {
    use std::sync::Mutex;

    use synod_types::mutant;

    use super::*;

    /// A store with one good page, and what its alarm was told.
    fn store(folder: &Path) -> (SledPages, Arc<Mutex<Vec<StoreError>>>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = heard.clone();
        let pages = SledPages::open(folder).unwrap();
        pages.arm(Alarm::new(move |error| told.lock().unwrap().push(error.clone())));
        pages.write(vec![(b"good".to_vec(), Some(b"page".to_vec()))]).unwrap();
        (pages, heard)
    }

    /// STO-8: whoever opens a folder while the store before is still being dropped waits for it.
    #[test]
    fn sto_8_a_store_that_is_being_dropped_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("index");
        let (pages, _) = store(&folder);
        let dropped = std::thread::spawn(move || {
            std::thread::sleep(5 * LOCK_PAUSE);
            drop(pages);
        });
        let again = SledPages::open(&folder).unwrap();
        assert_eq!(again.page(b"good").unwrap(), Some(b"page".to_vec()));
        dropped.join().unwrap();
    }

    #[test]
    fn sto_5_a_failure_before_the_alarm_was_armed_sounds_it_then() {
        let home = tempfile::tempdir().unwrap();
        let pages = SledPages::open(&home.path().join("index")).unwrap();
        pages.db.insert(b"rotten", b"no checksum fits this").unwrap();
        let failure = pages.page(b"rotten").unwrap_err();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = heard.clone();
        pages.arm(Alarm::new(move |error| told.lock().unwrap().push(error.clone())));
        assert_eq!(*heard.lock().unwrap(), [failure]);
    }

    #[test]
    fn sto_5_the_mutant_that_goes_on_after_a_failure_dies() {
        let sound = sto_5_the_first_failure_sounds_the_alarm_and_is_the_last_answer;
        let died = std::panic::catch_unwind(|| mutant::with("sto-5-go-on", sound));
        assert!(died.is_err() || !cfg!(feature = "mutants"));
    }

    #[test]
    fn sto_5_the_first_failure_sounds_the_alarm_and_is_the_last_answer() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("index");
        let (pages, heard) = store(&folder);
        assert_eq!(pages.page(b"good").unwrap(), Some(b"page".to_vec()));
        pages.db.insert(b"rotten", b"no checksum fits this").unwrap();
        let failure = pages.page(b"rotten").unwrap_err();
        assert_eq!(pages.page(b"good"), Err(failure.clone()));
        assert_eq!(pages.write(Vec::new()), Err(failure.clone()));
        assert_eq!(*heard.lock().unwrap(), std::slice::from_ref(&failure));
        // The next process is told, until the folder was replaced.
        assert_eq!(noted_failure(&folder), Some(StoreError::Failed(failure.to_string())));
        forget_failure(&folder).unwrap();
        forget_failure(&folder).unwrap();
        assert_eq!(noted_failure(&folder), None);
    }

    #[test]
    fn sto_5_a_panic_inside_the_store_is_a_failure() {
        let home = tempfile::tempdir().unwrap();
        let (pages, heard) = store(&home.path().join("index"));
        let failed: Result<(), _> = pages.run(|_| panic!("inside sled"));
        assert_eq!(failed, Err(StoreError::Failed("it panicked".to_owned())));
        assert_eq!(heard.lock().unwrap().len(), 1);
        assert!(pages.keys(b"").is_err());
    }
}

//! `pool.log`: what was submitted to this node, kept over restarts.
//!
//! A file of frames {length, first eight bytes of the SHA-256, canonical bytes} behind a head that names the
//! format and the chain. Each submission is appended and synced before it is answered. A restart submits
//! what it finds again; what was included meanwhile is refused then by its nonce, so that nothing has to be
//! struck out. The log ends at the first frame that is not whole: a torn tail costs the submission that was
//! never answered.
//!
//! The file is bounded: when it is twice what still waits, and a mebibyte more, it is written anew beside
//! itself, synced, and renamed (GEN-12). After a failed write or sync the log takes nothing more (GEN-4).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use synod_types::codec::TRANSACTION_LIMIT;
use synod_types::hash::sha256;
use synod_types::{B256, Transaction};

const MAGIC: &[u8; 8] = b"synpool1";
/// Magic and genesis hash.
const HEAD: usize = 8 + 32;
/// Length and checksum.
const FRAME_HEAD: usize = 4 + 8;
/// The file may be this much longer than twice what waits.
const SLACK: u64 = 4 * 1024 * 1024;
/// No pool needs a longer file; a longer one is not read beyond.
const LONGEST: u64 = 192 * 1024 * 1024;

/// Why the log cannot be used. The file's name is the caller's to add.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed.
    #[error("pool.log: {0}; free or repair the disk and restart the node")]
    Disk(#[from] io::Error),
    /// It belongs to another chain.
    #[error("pool.log is of another chain: remove it, or start the node in its own folder")]
    OtherChain,
    /// An earlier write failed, and nothing can be said of what is on the disk.
    #[error("pool.log failed before: restart the node")]
    Failed,
    /// Longer than any pool.
    #[error("pool.log is full")]
    Full,
}

/// What a restart found.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The submissions, in the order in which they came. Their signatures are to be checked again.
    pub transactions: Vec<Transaction>,
    /// How many bytes of a torn tail were cut off.
    pub torn_bytes: u64,
}

/// The open log.
#[derive(Debug)]
pub struct PoolLog {
    path: PathBuf,
    file: File,
    genesis: B256,
    length: u64,
    sync: bool,
    failed: bool,
}

impl PoolLog {
    /// Opens or creates the log of the chain of `genesis`, cutting off a torn tail. Without `sync` nothing
    /// is synced: for tests and benches.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(path: &Path, genesis: B256, sync: bool) -> Result<(Self, Recovered), JournalError> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        (&mut file).take(LONGEST).read_to_end(&mut bytes)?;
        let whole_length = file.metadata()?.len();
        let (recovered, length) = read_log(&bytes, genesis)?;
        let mut log =
            Self { path: path.to_owned(), file, genesis, length: length as u64, sync, failed: false };
        if length == 0 {
            log.begin()?;
        } else if whole_length != log.length {
            log.file.set_len(log.length)?;
            log.sync_file()?;
        }
        log.file.seek(SeekFrom::Start(log.length))?;
        let torn_bytes = whole_length.saturating_sub(length as u64);
        Ok((log, Recovered { transactions: recovered, torn_bytes }))
    }

    /// Appends submissions, each as its canonical bytes, with one sync; durable when this returns.
    ///
    /// # Errors
    /// [`JournalError`]. After a failed write or sync every later call fails.
    pub fn append<B: AsRef<[u8]>>(&mut self, transactions: &[B]) -> Result<(), JournalError> {
        if self.failed {
            return Err(JournalError::Failed);
        }
        let mut frames = Vec::new();
        transactions.iter().for_each(|one| frames.extend_from_slice(&frame(one.as_ref())));
        if self.length + frames.len() as u64 > LONGEST {
            return Err(JournalError::Full);
        }
        let written = self.file.write_all(&frames).and_then(|()| self.sync_file());
        self.failed = written.is_err();
        written?;
        self.length += frames.len() as u64;
        Ok(())
    }

    /// Whether the file is so much longer than `live_bytes`, the bytes of what still waits, that
    /// [`Self::compact`] is due.
    pub fn is_due(&self, live_bytes: usize) -> bool {
        self.length > (live_bytes as u64).saturating_mul(2).saturating_add(SLACK)
    }

    /// Writes the file anew with `live` alone.
    ///
    /// # Errors
    /// [`JournalError`]; the old file then stands, and the log takes nothing more.
    pub fn compact<'a>(
        &mut self,
        live: impl IntoIterator<Item = &'a Transaction>,
    ) -> Result<(), JournalError> {
        if self.failed {
            return Err(JournalError::Failed);
        }
        let rewritten = self.rewrite(live);
        self.failed = rewritten.is_err();
        Ok(rewritten?)
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    fn rewrite<'a>(&mut self, live: impl IntoIterator<Item = &'a Transaction>) -> io::Result<()> {
        let fresh_path = self.path.with_extension("log.new");
        let fresh = File::create(&fresh_path)?;
        let mut writer = io::BufWriter::new(&fresh);
        writer.write_all(&head(self.genesis))?;
        let mut length = HEAD as u64;
        for transaction in live {
            let frame = frame(&transaction.to_bytes());
            writer.write_all(&frame)?;
            length += frame.len() as u64;
        }
        writer.flush()?;
        drop(writer);
        if self.sync {
            fresh.sync_all()?;
        }
        std::fs::rename(&fresh_path, &self.path)?;
        self.sync_folder()?;
        (self.file, self.length) = (fresh, length);
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&head(self.genesis))?;
        self.sync_file()?;
        self.sync_folder()?;
        self.length = HEAD as u64;
        Ok(())
    }

    fn sync_file(&self) -> io::Result<()> {
        if self.sync { self.file.sync_data() } else { Ok(()) }
    }

    fn sync_folder(&self) -> io::Result<()> {
        match self.path.parent().filter(|_| self.sync) {
            Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

fn head(genesis: B256) -> Vec<u8> {
    [MAGIC.as_slice(), genesis.as_slice()].concat()
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("transactions are at most 128 KiB");
    [&length.to_be_bytes(), &sha256(&[bytes])[..8], bytes].concat()
}

/// The transactions of the whole frames, and where they end; 0 when not even the head is whole.
fn read_log(bytes: &[u8], genesis: B256) -> Result<(Vec<Transaction>, usize), JournalError> {
    let expected = head(genesis);
    if bytes.len() < HEAD && expected.starts_with(bytes) {
        return Ok((Vec::new(), 0));
    }
    if !bytes.starts_with(&expected) {
        return Err(JournalError::OtherChain);
    }
    let mut transactions = Vec::new();
    let mut end = HEAD;
    while let Some((transaction, length)) = read_frame(&bytes[end..]) {
        transactions.push(transaction);
        end += length;
    }
    Ok((transactions, end))
}

fn read_frame(bytes: &[u8]) -> Option<(Transaction, usize)> {
    let (frame_head, rest) = bytes.split_at_checked(FRAME_HEAD)?;
    let length = u32::from_be_bytes(frame_head[..4].try_into().ok()?) as usize;
    let body = rest.get(..length).filter(|_| length <= TRANSACTION_LIMIT)?;
    if sha256(&[body])[..8] != frame_head[4..] {
        return None;
    }
    Some((Transaction::from_bytes(body).ok()?, FRAME_HEAD + length))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::fixture::{GENESIS, Terms, signed};
    use super::*;

    fn samples(count: u64) -> Vec<Transaction> {
        (0..count).map(|nonce| signed(&Terms { nonce, ..Terms::default() })).collect()
    }

    fn open(path: &Path) -> (PoolLog, Recovered) {
        PoolLog::open(path, GENESIS, false).unwrap()
    }

    fn append(log: &mut PoolLog, transaction: &Transaction) {
        log.append(&[transaction.to_bytes()]).unwrap();
    }

    #[test]
    fn sto_1_cut_at_every_byte_the_whole_frames_before_the_cut_survive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.log");
        let submitted = samples(4);
        let mut ends = vec![HEAD as u64];
        let (mut log, _) = open(&path);
        for transaction in &submitted {
            append(&mut log, transaction);
            ends.push(log.length());
        }
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut log, recovered) = open(&path);
            let expected = ends.iter().filter(|end| **end <= cut as u64).count().saturating_sub(1);
            assert_eq!(recovered.transactions, submitted[..expected], "cut at {cut}");
            // What is appended after the repair stands behind what survived.
            append(&mut log, &submitted[3]);
            let (_, again) = open(&path);
            assert_eq!(again.transactions.len(), expected + 1, "cut at {cut}");
            assert_eq!(again.torn_bytes, 0);
        }
    }

    #[test]
    fn sto_1_a_flipped_byte_ends_the_log_there_and_never_changes_a_transaction() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.log");
        let submitted = samples(2);
        let (mut log, _) = open(&path);
        let bytes: Vec<_> = submitted.iter().map(Transaction::to_bytes).collect();
        log.append(&bytes).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x40;
            match read_log(&flipped, GENESIS) {
                Ok((found, end)) => assert!(submitted.starts_with(&found) && end >= HEAD, "byte {at}"),
                Err(error) => assert!(at < HEAD && matches!(error, JournalError::OtherChain)),
            }
        }
    }

    #[test]
    fn another_chains_log_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.log");
        append(&mut open(&path).0, &samples(1)[0]);
        let before = std::fs::read(&path).unwrap();
        let refused = PoolLog::open(&path, B256::ZERO, false);
        assert!(matches!(refused, Err(JournalError::OtherChain)));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn gen_13_compaction_bounds_the_file_and_keeps_what_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.log");
        let submitted = samples(3);
        let (mut log, _) = open(&path);
        let mut longest = 0;
        for round in 0..20_000 {
            append(&mut log, &submitted[round % 3]);
            longest = longest.max(log.length());
            if log.is_due(600) {
                log.compact(&submitted[..2]).unwrap();
            }
        }
        assert!(longest < SLACK + 2048, "{longest}");
        log.compact(&submitted[..2]).unwrap();
        append(&mut log, &submitted[2]);
        drop(log);
        assert_eq!(open(&path).1.transactions, submitted);
        assert!(!folder.path().join("pool.log.new").exists());
    }
}

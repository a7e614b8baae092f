//! Ordering's journal on the node's disk: one frame of the votes log for each group of records.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_consensus::{Frame, FrameNumber, Journal};
use synod_ledger::disk::Disk;
use synod_ledger::log::{FrameLog, LogError, LogOptions, Opened, create, open};
use synod_types::codec;

use super::ordering::RecordJournal;

/// The largest group of records, in bytes.
const GROUP_LIMIT: usize = 8 * 1024 * 1024;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Frames in its middle are damaged: what this node promised is not known any more (GEN-3).
    #[error("the votes log is damaged in its middle: {0}")]
    Damaged(String),
    /// A frame that passed its checks and holds no records: written by another version.
    #[error("the votes log holds records that this version cannot read: {0}")]
    Undecodable(String),
}

/// The open journal.
#[derive(Debug)]
pub(super) struct DiskRecords<D: Disk, R> {
    log: FrameLog<D>,
    record: PhantomData<fn() -> R>,
}

impl<D: Disk + Clone, R: Serialize + DeserializeOwned> DiskRecords<D, R> {
    /// Opens the folder's journal, or makes it when there never was one, and reads its records in order.
    ///
    /// # Errors
    /// [`RecordsError`].
    pub(super) fn open(disk: D, options: LogOptions) -> Result<(Self, Vec<R>), RecordsError> {
        let log = match open(disk.clone(), options) {
            Ok(Opened::Whole(log, _)) => log,
            Ok(Opened::Damaged(damaged)) => {
                return Err(RecordsError::Damaged(format!("{:?}", damaged.damage())));
            }
            Err(LogError::Missing { .. }) => create(disk, options, 0)?,
            Err(error) => return Err(error.into()),
        };
        let mut records = Vec::new();
        let mut number = log.floor();
        while number < log.next_frame() {
            let payload = log.read(number)?;
            let group: Vec<R> = codec::decode::<_, GROUP_LIMIT>(&payload)
                .map_err(|error| RecordsError::Undecodable(error.to_string()))?;
            records.extend(group);
            number.0 += 1;
        }
        Ok((Self { log, record: PhantomData }, records))
    }
}

impl<D: Disk, R> Journal for DiskRecords<D, R> {
    fn durable_through(&self) -> FrameNumber {
        FrameNumber(self.log.durable().through().0)
    }
}

impl<D, R> RecordJournal<R> for DiskRecords<D, R>
where
    D: Disk + Send + 'static,
    D::File: Send,
    R: Serialize + Send + 'static,
{
    fn write(&mut self, frame: &Frame<R>) -> Result<(), String> {
        let payload = codec::encode(&frame.records);
        let number = self.log.append(&payload).map_err(|error| error.to_string())?;
        assert_eq!(number.0, frame.number.0, "the replica and its journal count the same frames");
        self.log.commit().map_err(|error| error.to_string())?;
        if number.0 == 1 {
            // A votes log counts as made once its first end is noted; until then a crash leaves nothing.
            self.log.note_end().map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

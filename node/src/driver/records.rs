//! Ordering's journal on the node's disk: one frame of the votes log for each group of records.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_consensus::{Frame, FrameNumber, Journal};
use synod_ledger::disk::Disk;
use synod_ledger::log::{FrameLog, LogError, LogOptions, Opened, create, open};
use synod_types::codec;

use super::ordering::RecordJournal;

/// The largest group of records, in bytes: as much as the largest segment holds.
const GROUP_LIMIT: usize = 64 * 1024 * 1024;

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
pub struct DiskRecords<D: Disk, R> {
    log: FrameLog<D>,
    /// How many frames of the log are not the last of a frame of the replica's.
    parts: u64,
    record: PhantomData<fn() -> R>,
}

impl<D: Disk + Clone, R: Serialize + DeserializeOwned> DiskRecords<D, R> {
    /// Opens the folder's journal, or makes it when there never was one, and reads its records in order. Once
    /// it fills whole segments, and `live` does not keep all records, those that it keeps are written again, and
    /// the segments go. (A protocol whose frames restate what stood before keeps all: its segments went then.)
    ///
    /// # Errors
    /// [`RecordsError`].
    pub fn open(
        disk: D,
        options: LogOptions,
        live: impl FnOnce(Vec<R>) -> Vec<R>,
    ) -> Result<(Self, Vec<R>), RecordsError> {
        let mut log = match open(disk.clone(), options) {
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
        if log.has_full_segments() {
            let all = records.len();
            records = live(records);
            if records.len() < all {
                compact(&mut log, &records)?;
            }
        }
        Ok((Self { log, parts: 0, record: PhantomData }, records))
    }
}

/// Writes the records anew, and drops what stood before. Nothing goes before what replaces it is durable
/// (GEN-12): a crash between leaves both, and reading both comes to the same.
fn compact<D: Disk, R: Serialize>(log: &mut FrameLog<D>, records: &[R]) -> Result<(), LogError> {
    let first = log.next_frame();
    for piece in pieces(records, log.largest_payload()) {
        log.append(&piece)?;
        log.commit()?;
    }
    log.trim_below(first).map(drop)
}

/// A frame's records in pieces that each fit into a frame of the log: mostly one. A crash between two leaves a
/// beginning of what was to be promised, and none of it has left (GEN-1).
fn pieces<R: Serialize>(records: &[R], limit: usize) -> Vec<Vec<u8>> {
    let whole = codec::encode(records);
    if whole.len() <= limit || records.len() < 2 {
        return vec![whole];
    }
    let (first, second) = records.split_at(records.len() / 2);
    [pieces(first, limit), pieces(second, limit)].concat()
}

impl<D: Disk, R> Journal for DiskRecords<D, R> {
    fn durable_through(&self) -> FrameNumber {
        FrameNumber(self.log.durable().through().0 - self.parts)
    }
}

impl<D, R> RecordJournal<R> for DiskRecords<D, R>
where
    D: Disk + Send + 'static,
    D::File: Send + Sync,
    R: Serialize + Send + 'static,
{
    fn write(&mut self, frame: &Frame<R>) -> Result<(), String> {
        let pieces = pieces(&frame.records, self.log.largest_payload());
        let begins = synod_ledger::log::FrameNumber(frame.number.0 + self.parts);
        self.parts += pieces.len() as u64 - 1;
        let mut number = begins;
        for piece in pieces {
            number = self.log.append(&piece).map_err(|error| error.to_string())?;
            self.log.commit().map_err(|error| error.to_string())?;
        }
        assert_eq!(
            number.0 - self.parts,
            frame.number.0,
            "the replica and its journal count the same frames"
        );
        if begins.0 == 1 {
            // A votes log counts as made once its first end is noted; until then a crash leaves nothing.
            self.log.note_end().map_err(|error| error.to_string())?;
        }
        if frame.restates {
            // What stood before is said again in this frame, and durable (GEN-13).
            self.log.trim_below(begins).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use synod_ledger::disk::{Choices, Faults, PowerCut, SimDisk};
    use synod_ledger::log::Salt;

    const KEPT: usize = 5;

    fn options() -> LogOptions {
        LogOptions { segment_bytes: 16 << 10, step_bytes: 4096, ..LogOptions::votes(Salt([1; 16])) }
    }

    fn newest(records: Vec<u64>) -> Vec<u64> {
        records[records.len().saturating_sub(KEPT)..].to_vec()
    }

    fn start(disk: &SimDisk) -> Result<(DiskRecords<SimDisk, u64>, Vec<u64>), RecordsError> {
        DiskRecords::open(disk.clone(), options(), newest)
    }

    fn filled(disk: &SimDisk, records: u64) {
        let (mut journal, _) = start(disk).unwrap();
        for record in 0..records {
            let number = FrameNumber(journal.durable_through().0 + 1);
            journal.write(&Frame { number, records: vec![record], restates: false }).unwrap();
        }
    }

    /// What is kept may be longer than one frame of the log, and a journal that keeps everything is left alone.
    #[test]
    fn a_start_keeps_more_records_than_one_frame_holds() {
        let long = |number: u64| vec![number as u8; 3_000];
        let start = |disk: &SimDisk, live: fn(Vec<Vec<u8>>) -> Vec<Vec<u8>>| {
            DiskRecords::open(disk.clone(), options(), live).unwrap()
        };
        let disk = SimDisk::new(0);
        let (mut journal, _) = start(&disk, |records| records);
        for number in 1..=20 {
            let number = FrameNumber(number);
            journal.write(&Frame { number, records: vec![long(number.0)], restates: false }).unwrap();
        }
        assert!(journal.log.has_full_segments() && journal.log.largest_payload() < 20 * 3_000);
        let (whole, records) = start(&disk, |records| records);
        assert_eq!(records, (1..=20).map(long).collect::<Vec<_>>());
        assert_eq!(whole.durable_through(), FrameNumber(20), "nothing was written");
        let (_, records) = start(&disk, |records| records[5..].to_vec());
        assert_eq!(records, (6..=20).map(long).collect::<Vec<_>>());
        let (_, records) = start(&disk, |records| records);
        assert_eq!(records, (6..=20).map(long).collect::<Vec<_>>());
    }

    /// Through a power cut at every operation of a start, the newest records are there, in order, and at last
    /// they stand in few frames.
    #[test]
    fn gen_12_a_long_journal_is_compacted_and_a_crash_amid_it_loses_nothing() {
        let disk = SimDisk::new(0);
        filled(&disk, 100);
        let long = disk.image();
        let survived = |crash: u64| {
            disk.restore(&long);
            let last = disk.operations() + crash;
            disk.set_faults(Faults { power_off_after: Some(last), ..Faults::default() });
            let survived = start(&disk).is_ok();
            disk.power_cut(PowerCut::Tear, &mut Choices::new(crash));
            let (journal, records) = start(&disk).unwrap();
            assert_eq!(newest(records), [95, 96, 97, 98, 99]);
            assert!(journal.durable_through().0 > 100);
            survived
        };
        let points = (0..).find(|crash| survived(*crash)).unwrap();
        assert!(points > 20, "{points} operations are no compaction");
        let (journal, records) = start(&disk).unwrap();
        assert!(journal.log.next_frame().0 - journal.log.floor().0 < 20, "segments went");
        assert_eq!(newest(records), [95, 96, 97, 98, 99]);
        let (again, _) = start(&disk).unwrap();
        assert_eq!(again.durable_through(), journal.durable_through(), "a short journal is left alone");
    }
}

//! The journal: a member's votes and promises. What is in it was said, what was said is in it.
//!
//! Records are opaque and keep their order. They are put in **groups**, one for each commit, numbered from 1
//! without gaps; the numbers are the replica's frame numbers, and the [`Durable`] of a commit names a group.
//! A record is either *placed* at a position and lives until everything below a position is erased, or it is a
//! *register* that the next record of the same register replaces (a view, a ballot).
//!
//! **Never taken for empty** (GEN-3): a journal is made by [`Journal::create`] and by nothing else. If it is
//! missing, ends before an earlier boot's end, or has a damaged frame, [`Journal::open`] says so, and the
//! member must not vote until it has rejoined under a higher incarnation. The marker keeps the incarnation.
//!
//! **Compaction** writes the live records again as a snapshot, in as many frames as it takes, and then trims the
//! segments before it. A snapshot counts only when its last part is durable, and nothing is trimmed before,
//! so that an interrupted one is as if it had never begun (GEN-12).

pub(super) mod operation;

use std::collections::BTreeMap;

use synod_types::Position;

use super::{Durable, FrameLog, FrameNumber, LogError, LogOptions, Opened, Report, create, open_with};
use crate::disk::Disk;
use operation::{Content, Operation};

/// Where a record belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordPlace {
    /// Lives until positions above this one are all that is kept.
    At(Position),
    /// Lives until the register is put again.
    Register(u16),
}

/// A live record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRecord {
    /// Where it belongs.
    pub place: RecordPlace,
    /// What it says, opaque here.
    pub bytes: Vec<u8>,
}

/// Why the journal refused.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The frame log refused. [`LogError::Missing`] means that votes may have been lost.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The journal ends before the end that an earlier boot saw.
    #[error(
        "the votes log ends at frame {found}, and once reached {had}: this member must rejoin before it votes"
    )]
    RolledBack {
        /// The frame that it reached.
        had: FrameNumber,
        /// The frame at which it ends.
        found: FrameNumber,
    },
    /// A frame in the middle is damaged.
    #[error(
        "the votes log is damaged from frame {frame} on (byte {offset} of segment {segment}): this member must rejoin before it votes"
    )]
    Damaged {
        /// The segment.
        segment: u32,
        /// Where the damage begins.
        offset: u64,
        /// The first damaged frame.
        frame: FrameNumber,
    },
    /// A frame's checksum holds and its content is not a journal's.
    #[error(
        "frame {frame} of the votes log has a content that this version does not know: use the version that wrote it"
    )]
    Undecodable {
        /// The frame.
        frame: FrameNumber,
    },
}

impl JournalError {
    /// Whether votes may be lost, so that this member must not vote until it has rejoined (GEN-3).
    pub fn is_amnesia(&self) -> bool {
        match self {
            JournalError::Log(error) => matches!(
                error,
                LogError::Missing { .. } | LogError::Unreadable { .. } | LogError::Damaged { .. }
            ),
            JournalError::RolledBack { .. } | JournalError::Damaged { .. } => true,
            JournalError::Undecodable { .. } => false,
        }
    }
}

/// The journal, open and whole.
#[derive(Debug)]
pub struct Journal<D: Disk> {
    frames: FrameLog<D>,
    live: Live,
    staged: Vec<u8>,
}

impl<D: Disk> Journal<D> {
    /// Makes an empty journal for this incarnation of the member.
    ///
    /// # Errors
    /// [`LogError::Exists`] when there is one, or any frame without a marker.
    pub fn create(disk: D, options: LogOptions, incarnation: u64) -> Result<Self, JournalError> {
        let mut frames = create(disk, options, incarnation)?;
        let mut live = Live::default();
        let empty = Content::Snapshot { groups: 0, part: 0, parts: 1 }.encode(&[]);
        let frame = frames.append(&empty)?;
        frames.commit()?;
        live.replay(frame, &empty)?;
        frames.note_end()?;
        Ok(Journal { frames, live, staged: Vec::new() })
    }

    /// Opens the journal and reads all of it.
    ///
    /// # Errors
    /// [`JournalError::is_amnesia`] tells those after which the member must not vote.
    pub fn open(disk: D, options: LogOptions) -> Result<(Self, Report), JournalError> {
        let (mut live, mut refused) = (Live::default(), None);
        let opened = open_with(disk, options, &mut |frame, payload| {
            if refused.is_none() {
                refused = live.replay(frame, payload).err();
            }
        })?;
        let (frames, report) = match opened {
            Opened::Whole(frames, report) => (frames, report),
            Opened::Damaged(log) => return Err(first_damage(log.damage())),
        };
        let found = frames.durable().through();
        if let Some(had) = report.rolled_back_from {
            return Err(JournalError::RolledBack { had, found });
        }
        match refused {
            Some(error) => Err(error),
            None if !live.complete => Err(JournalError::Undecodable { frame: found }),
            None => Ok((Journal { frames, live, staged: Vec::new() }, report)),
        }
    }

    /// The incarnation for which the journal was made.
    pub fn incarnation(&self) -> u64 {
        self.frames.incarnation()
    }

    /// Stages a record at a position.
    ///
    /// # Errors
    /// [`LogError::TooLarge`] when the group would not fit into a frame; nothing is staged then.
    pub fn put(&mut self, position: Position, bytes: &[u8]) -> Result<(), JournalError> {
        self.stage(&Operation::Put { place: RecordPlace::At(position), bytes })
    }

    /// Stages a register's new value.
    ///
    /// # Errors
    /// As [`Journal::put`].
    pub fn put_register(&mut self, register: u16, bytes: &[u8]) -> Result<(), JournalError> {
        self.stage(&Operation::Put { place: RecordPlace::Register(register), bytes })
    }

    /// Stages the removal of all placed records below a position. Registers stay.
    ///
    /// # Errors
    /// As [`Journal::put`].
    pub fn erase_below(&mut self, position: Position) -> Result<(), JournalError> {
        self.stage(&Operation::EraseBelow(position))
    }

    /// Forgets what was staged since the last commit.
    pub fn unstage(&mut self) {
        self.staged.clear();
    }

    /// Writes what was staged as one group, syncs it, and proves it durable. An empty group is one too.
    ///
    /// # Errors
    /// After a full disk the group is still staged; after any other error the journal has stopped.
    pub fn commit(&mut self) -> Result<Durable, JournalError> {
        let payload = Content::Group { number: self.live.groups + 1 }.encode(&self.staged);
        let frame = self.frames.append(&payload)?;
        self.frames.commit()?;
        self.staged.clear();
        self.live.replay(frame, &payload)?;
        Ok(self.durable())
    }

    /// Proof for every group so far.
    pub fn durable(&self) -> Durable {
        Durable { through: FrameNumber(self.live.groups) }
    }

    /// The live records in the order in which they were put, read from the disk and checked.
    pub fn records(&self) -> Result<Vec<JournalRecord>, JournalError> {
        let mut records = Vec::with_capacity(self.live.records.len());
        self.each_record(&mut |place, bytes| {
            records.push(JournalRecord { place, bytes: bytes.to_vec() });
        })?;
        Ok(records)
    }

    /// Bytes of live records.
    pub fn live_bytes(&self) -> u64 {
        self.live.live_bytes
    }

    /// Bytes of records written since the last compaction that are live no more.
    pub fn dead_bytes(&self) -> u64 {
        self.live.written_bytes - self.live.live_bytes
    }

    /// Writes the live records again and trims what came before them. Worth it when
    /// [`Journal::dead_bytes`] outgrow [`Journal::live_bytes`] and a segment.
    ///
    /// # Errors
    /// A full disk leaves the journal as it was; any other error stops it.
    pub fn compact(&mut self) -> Result<(), JournalError> {
        let parts = self.snapshot_parts()?;
        let (count, groups) = (parts.len() as u32, self.live.groups);
        let mut first = None;
        for (part, operations) in (0..).zip(parts) {
            let payload = Content::Snapshot { groups, part, parts: count }.encode(&operations);
            let frame = self.frames.append(&payload)?;
            self.frames.commit()?;
            self.live.replay(frame, &payload)?;
            first.get_or_insert(frame);
        }
        if let Some(first) = first {
            self.frames.trim_below(first)?;
        }
        self.frames.note_end()?;
        Ok(())
    }

    /// One step of preparing the next segment, for idle moments; true while there is more to do.
    pub fn prepare_ahead(&mut self) -> Result<bool, JournalError> {
        Ok(self.frames.prepare_ahead()?)
    }

    fn stage(&mut self, operation: &Operation<'_>) -> Result<(), JournalError> {
        let limit = self.frames.largest_payload() - operation::CONTENT_HEADER;
        let length = self.staged.len() + operation.length();
        if length > limit {
            return Err(LogError::TooLarge { length, limit }.into());
        }
        operation.encode(&mut self.staged);
        Ok(())
    }

    /// The live records as operations, in groups that fit into a frame; at least one, which may be empty.
    fn snapshot_parts(&self) -> Result<Vec<Vec<u8>>, JournalError> {
        let limit = self.frames.largest_payload() - operation::CONTENT_HEADER;
        let mut parts = vec![Vec::new()];
        self.each_record(&mut |place, bytes| {
            let operation = Operation::Put { place, bytes };
            if parts.last().is_some_and(|part: &Vec<u8>| part.len() + operation.length() > limit) {
                parts.push(Vec::new());
            }
            if let Some(part) = parts.last_mut() {
                operation.encode(part);
            }
        })?;
        Ok(parts)
    }

    fn each_record(&self, visit: &mut dyn FnMut(RecordPlace, &[u8])) -> Result<(), JournalError> {
        let mut read = (FrameNumber(0), Vec::new());
        for record in self.live.records.values() {
            // Neighbours mostly share their frame: read and check it once.
            if read.0 != record.frame {
                read = (record.frame, self.frames.read(record.frame)?);
            }
            let start = record.at as usize;
            let bytes = read.1.get(start..start + record.length as usize);
            visit(record.place, bytes.ok_or(JournalError::Undecodable { frame: record.frame })?);
        }
        Ok(())
    }
}

/// Where the live records are; their bytes stay on the disk.
#[derive(Debug, Default, PartialEq, Eq)]
struct Live {
    /// By the order in which they were put.
    records: BTreeMap<u64, LiveRecord>,
    registers: BTreeMap<u16, u64>,
    next_order: u64,
    groups: u64,
    live_bytes: u64,
    written_bytes: u64,
    /// A snapshot has been seen whole: before it, nothing means anything.
    complete: bool,
    /// The snapshot that is being read and how many of its parts have come.
    partial: Option<(Box<Live>, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LiveRecord {
    place: RecordPlace,
    frame: FrameNumber,
    at: u32,
    length: u32,
}

impl Live {
    /// Applies a frame. Boot and commit both come through here.
    fn replay(&mut self, frame: FrameNumber, payload: &[u8]) -> Result<(), JournalError> {
        let undecodable = || JournalError::Undecodable { frame };
        let (content, operations) = Content::decode(payload).ok_or_else(undecodable)?;
        match content {
            // After a trim the log may begin between a snapshot's predecessors: skip to the snapshot.
            Content::Group { .. } if !self.complete => Ok(()),
            Content::Group { number } => {
                self.partial = None;
                if number != self.groups + 1 {
                    return Err(undecodable());
                }
                self.groups = number;
                self.apply_all(frame, payload.len() - operations.len(), operations)
            }
            Content::Snapshot { groups, part, parts } => {
                let (mut snapshot, done) = match self.partial.take() {
                    _ if part == 0 => (Box::default(), 0),
                    Some(partial) => partial,
                    // The parts before this one were trimmed with an older snapshot's segment.
                    None => return Ok(()),
                };
                if done != part {
                    return Ok(());
                }
                snapshot.groups = groups;
                snapshot.apply_all(frame, payload.len() - operations.len(), operations)?;
                if part + 1 == parts {
                    snapshot.complete = true;
                    *self = *snapshot;
                } else {
                    self.partial = Some((snapshot, part + 1));
                }
                Ok(())
            }
        }
    }

    fn apply_all(&mut self, frame: FrameNumber, start: usize, operations: &[u8]) -> Result<(), JournalError> {
        let mut at = 0;
        while at < operations.len() {
            let (operation, length) =
                Operation::decode(&operations[at..]).ok_or(JournalError::Undecodable { frame })?;
            at += length;
            match operation {
                Operation::Put { place, bytes } => {
                    let record = LiveRecord {
                        place,
                        frame,
                        at: (start + at - bytes.len()) as u32,
                        length: bytes.len() as u32,
                    };
                    self.put(record);
                }
                Operation::EraseBelow(position) => self.erase_below(position),
            }
        }
        Ok(())
    }

    fn put(&mut self, record: LiveRecord) {
        let order = self.next_order;
        self.next_order += 1;
        if let RecordPlace::Register(register) = record.place
            && let Some(replaced) = self.registers.insert(register, order)
            && let Some(old) = self.records.remove(&replaced)
        {
            self.live_bytes -= u64::from(old.length);
        }
        self.records.insert(order, record);
        self.live_bytes += u64::from(record.length);
        self.written_bytes += u64::from(record.length);
    }

    fn erase_below(&mut self, position: Position) {
        let live_bytes = &mut self.live_bytes;
        self.records.retain(|_, record| {
            let kept = !matches!(record.place, RecordPlace::At(at) if at < position);
            *live_bytes -= if kept { 0 } else { u64::from(record.length) };
            kept
        });
    }
}

fn first_damage(damage: &[super::Damage]) -> JournalError {
    let (segment, offset, frame) =
        damage.first().map_or((0, 0, FrameNumber(0)), |first| (first.segment, first.offset, first.first));
    JournalError::Damaged { segment, offset, frame }
}

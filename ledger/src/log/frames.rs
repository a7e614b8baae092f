//! The frame log: append, commit, read, prepare, trim.
//!
//! The hot path is two operations: [`FrameLog::append`] writes one frame into zeros that stand already, and
//! [`FrameLog::commit`] syncs it. Nothing else of the log changes in between, and a second append is refused
//! until the commit (STO-1).

use std::collections::VecDeque;
use std::sync::Arc;

use synod_types::B256;

use super::error::LogError;
use super::layout::{FRAME_HEADER, FRAMES_START, FrameHeader, frame_space};
use super::marker::Marker;
use super::place::{Found, FrameIndex, Place};
use super::segment::{Preparation, Segment, open_segment, segment_name, whole_bytes};
use super::{Durable, FrameNumber, LogOptions};
use crate::disk::{Disk, DiskError, DiskFile, PendingSync};

/// An open, whole log. Made by [`super::open()`] or [`super::create()`].
#[derive(Debug)]
pub struct FrameLog<D: Disk> {
    pub(super) disk: D,
    pub(super) options: LogOptions,
    pub(super) marker: Marker,
    pub(super) index: FrameIndex,
    pub(super) current: Segment<D::File>,
    /// Where the next frame is tried in the current segment.
    pub(super) offset: usize,
    pub(super) previous: B256,
    pub(super) spare: Spare<D::File>,
    /// Segments right below the floor, ascending, that will be made new ones.
    trimmed: VecDeque<u32>,
    pending: Option<Pending>,
    stopped: bool,
    buffer: Vec<u8>,
}

/// The segment after the current one.
#[derive(Debug)]
pub(super) enum Spare<F> {
    None,
    Preparing(Preparation<F>),
    Ready(Segment<F>),
}

/// A frame that is written and not yet synced.
#[derive(Debug)]
struct Pending {
    hash: B256,
    space: usize,
}

impl<D: Disk> FrameLog<D> {
    pub(super) fn assemble(
        disk: D,
        options: LogOptions,
        marker: Marker,
        index: FrameIndex,
        end: (Segment<D::File>, usize),
        previous: B256,
    ) -> Self {
        FrameLog {
            disk,
            options,
            marker,
            index,
            current: end.0,
            offset: end.1,
            previous,
            spare: Spare::None,
            trimmed: VecDeque::new(),
            pending: None,
            stopped: false,
            buffer: Vec::new(),
        }
    }

    /// Writes `payload` as the next frame and answers its number. It is durable after [`FrameLog::commit`].
    ///
    /// # Errors
    /// [`LogError::Uncommitted`] and [`LogError::TooLarge`] change nothing. A full disk leaves the log as it
    /// was: it can still be read, and appended to when space was freed. Any other error stops the log.
    pub fn append(&mut self, payload: &[u8]) -> Result<FrameNumber, LogError> {
        self.check_running()?;
        if self.pending.is_some() {
            return Err(LogError::Uncommitted);
        }
        if payload.len() > self.largest_payload() {
            return Err(LogError::TooLarge { length: payload.len(), limit: self.largest_payload() });
        }
        self.keep_pace()?;
        let space = frame_space(payload.len());
        if self.offset + space > self.current.bytes() {
            self.roll()?;
        }
        let header = FrameHeader::new(self.next_frame(), self.current.header.salt, self.previous, payload);
        fill_frame(&mut self.buffer, &header, payload);
        let written = self.current.file.write_at(self.offset as u64, &self.buffer);
        self.fatal_unless_full(written)?;
        self.pending = Some(Pending { hash: header.hash, space });
        Ok(header.number)
    }

    /// Syncs the last frame and proves that everything appended is durable.
    ///
    /// # Errors
    /// Any error stops the log for good: a sync is never tried again (GEN-4).
    pub fn commit(&mut self) -> Result<Durable, LogError> {
        let synced = self.pending_sync().map_or(Ok(()), |sync| sync());
        self.finish_commit(synced)
    }

    /// The sync that the last frame still needs, to be run without the log; [`FrameLog::finish_commit`] must
    /// hear how it went.
    pub fn pending_sync(&self) -> Option<PendingSync> {
        let is_needed = self.pending.is_some() && !self.stopped;
        if !is_needed || synod_types::mutant!("sto-1-ack-before-sync") {
            return None;
        }
        let file = Arc::clone(&self.current.file);
        Some(Box::new(move || file.sync_data()))
    }

    /// Ends a commit whose sync ended like this.
    ///
    /// # Errors
    /// Any error stops the log for good: a sync is never tried again (GEN-4).
    pub fn finish_commit(&mut self, synced: Result<(), DiskError>) -> Result<Durable, LogError> {
        self.check_running()?;
        let Some(pending) = self.pending.take() else { return Ok(self.durable()) };
        self.fatal(synced)?;
        self.index.push(Place { segment: self.current.number(), offset: self.offset });
        self.offset += pending.space;
        self.previous = pending.hash;
        Ok(self.durable())
    }

    /// Whether a frame is written whose commit has not ended.
    pub(super) fn has_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Proof for everything that was committed, or found and synced when the log was opened.
    pub fn durable(&self) -> Durable {
        Durable { through: FrameNumber(self.next_frame().0 - 1) }
    }

    /// The number that the next frame gets.
    pub fn next_frame(&self) -> FrameNumber {
        self.index.next()
    }

    /// The first frame that was not trimmed.
    pub fn floor(&self) -> FrameNumber {
        self.index.floor()
    }

    /// Whether there are whole segments that [`FrameLog::trim_below`] the next frame would remove.
    pub fn has_full_segments(&self) -> bool {
        self.index.segment_of(self.next_frame()).is_some_and(|(_, first)| first > self.floor())
    }

    /// The number that the owner gave this log when it was created.
    pub fn incarnation(&self) -> u64 {
        self.marker.incarnation
    }

    /// Bytes of the largest payload that fits into a frame, here and in the next segment.
    pub fn largest_payload(&self) -> usize {
        let segment = self.current.bytes().min(whole_bytes(&self.options) as usize);
        segment - FRAMES_START - FRAME_HEADER
    }

    /// A durable frame's payload, checked against its hash on every read.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] below the floor, [`LogError::Unknown`] past the last durable frame, and
    /// [`LogError::Damaged`] when the disk no longer holds what was written.
    pub fn read(&self, number: FrameNumber) -> Result<Vec<u8>, LogError> {
        self.check_running()?;
        let place = find(&self.index, number, self.durable())?;
        if place.segment == self.current.number() {
            read_frame(&*self.current.file, number, place)
        } else {
            read_frame(&self.disk.open(&segment_name(place.segment))?, number, place)
        }
    }

    /// Puts a frame back that rotted after the boot, when `payload` is what the chain of hashes says was there.
    ///
    /// # Errors
    /// [`LogError::WrongRepair`] for any other payload; nothing is written then.
    pub fn mend(&mut self, number: FrameNumber, payload: &[u8]) -> Result<(), LogError> {
        self.check_running()?;
        let place = find(&self.index, number, self.durable())?;
        let previous = match number == self.floor() {
            true => self.marker.floor_previous,
            false => self.header_of(FrameNumber(number.0 - 1))?.hash,
        };
        let expected = match number == self.durable().through {
            true => self.previous,
            false => self.header_of(number.next())?.previous,
        };
        let segment = open_segment(&self.disk, place.segment)?;
        let header = FrameHeader::new(number, segment.header.salt, previous, payload);
        if header.hash != expected {
            return Err(LogError::WrongRepair { why: "its hash is not the one that its neighbours name" });
        }
        let mut bytes = Vec::new();
        fill_frame(&mut bytes, &header, payload);
        let written = segment.file.write_at(place.offset as u64, &bytes);
        self.fatal(written.and_then(|()| segment.file.sync_data()))
    }

    /// Does one step of preparing the next segment, when there is something to do; true while there is more.
    /// To be called when idle, so that no append has to.
    pub fn prepare_ahead(&mut self) -> Result<bool, LogError> {
        self.check_running()?;
        let stepped = self.prepare_step();
        self.fatal_unless_full(stepped)
    }

    /// Removes whole segments all of whose frames are below `number`, but for those that are kept for reuse, and
    /// answers the new floor.
    ///
    /// The caller must hold a durable snapshot of everything below (GEN-13).
    pub fn trim_below(&mut self, number: FrameNumber) -> Result<FrameNumber, LogError> {
        self.check_running()?;
        let Some((segment, floor)) = self.index.segment_of(number) else { return Ok(self.floor()) };
        if floor <= self.floor() {
            return Ok(self.floor());
        }
        let floor_previous = self.header_of(floor)?.previous;
        self.marker = Marker {
            floor_segment: segment,
            floor,
            floor_previous,
            at_least: self.durable().through,
            ..self.marker
        };
        let marked = self.marker.write(&self.disk, self.options.kind);
        self.fatal(marked)?;
        self.trimmed.extend(self.index.drop_below(segment));
        // The lowest go: those that stay reach up to the floor.
        let surplus = self.trimmed.len().saturating_sub(self.options.keeps);
        let gone: Vec<u32> = self.trimmed.drain(..surplus).collect();
        let removed = remove_segments(&self.disk, &gone);
        self.fatal(removed)?;
        Ok(floor)
    }

    /// Notes in the marker how far the log goes, so that a later boot knows it if the log ends before.
    pub fn note_end(&mut self) -> Result<(), LogError> {
        self.check_running()?;
        self.marker.at_least = self.durable().through;
        let marked = self.marker.write(&self.disk, self.options.kind);
        self.fatal(marked)
    }

    /// The disk under the log.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    pub(super) fn into_disk(self) -> D {
        self.disk
    }

    fn header_of(&self, number: FrameNumber) -> Result<FrameHeader, LogError> {
        let place = find(&self.index, number, self.durable())?;
        let file = self.disk.open(&segment_name(place.segment))?;
        read_header(&file, number, place)
    }

    /// Keeps the next segment's preparation ahead of the current one's filling, so that neither the last append
    /// of a segment nor any other pays for a whole one.
    fn keep_pace(&mut self) -> Result<(), LogError> {
        loop {
            let written = match &self.spare {
                Spare::None => 0,
                Spare::Preparing(preparation) => preparation.written() as usize,
                Spare::Ready(_) => return Ok(()),
            };
            let used = self.offset - FRAMES_START;
            if written > used {
                return Ok(());
            }
            let stepped = self.prepare_step();
            match self.fatal_unless_full(stepped) {
                // The current segment may have room for a long time yet.
                Err(LogError::Disk(error)) if error.is_no_space() => return Ok(()),
                done => done.map(drop)?,
            }
        }
    }

    fn prepare_step(&mut self) -> Result<bool, DiskError> {
        if matches!(self.spare, Spare::None) {
            let next = self.current.number() + 1;
            let reused = match self.trimmed.pop_front() {
                Some(trimmed) => Preparation::reuse(&self.disk, trimmed, next, &self.options)?,
                None => None,
            };
            self.spare = Spare::Preparing(match reused {
                Some(reused) => reused,
                None => Preparation::begin(&self.disk, next, &self.options)?,
            });
        }
        let Spare::Preparing(preparation) = &mut self.spare else { return Ok(false) };
        if !preparation.step(self.options.step_bytes)? {
            return Ok(true);
        }
        preparation.finish(&self.disk)?;
        if let Spare::Preparing(preparation) = std::mem::replace(&mut self.spare, Spare::None) {
            self.spare = Spare::Ready(preparation.into_segment());
        }
        Ok(false)
    }

    /// Goes on in the next segment.
    fn roll(&mut self) -> Result<(), LogError> {
        while !matches!(self.spare, Spare::Ready(_)) {
            let stepped = self.prepare_step();
            self.fatal_unless_full(stepped)?;
        }
        if let Spare::Ready(next) = std::mem::replace(&mut self.spare, Spare::None) {
            self.current = next;
            self.offset = FRAMES_START;
        }
        Ok(())
    }

    fn check_running(&self) -> Result<(), LogError> {
        if self.stopped { Err(LogError::Stopped) } else { Ok(()) }
    }

    /// Stops the log on any error.
    fn fatal<T>(&mut self, result: Result<T, DiskError>) -> Result<T, LogError> {
        self.stopped |= result.is_err() && !synod_types::mutant!("gen-4-continue-after-eio");
        Ok(result?)
    }

    /// Stops the log on any error but a full disk, which loses nothing that was acknowledged.
    fn fatal_unless_full<T>(&mut self, result: Result<T, DiskError>) -> Result<T, LogError> {
        match result {
            Err(error) if error.is_no_space() => Err(error.into()),
            result => self.fatal(result),
        }
    }
}

/// Removes segments and makes that durable.
pub(super) fn remove_segments<D: Disk>(disk: &D, segments: &[u32]) -> Result<(), DiskError> {
    for segment in segments {
        disk.remove(&segment_name(*segment))?;
    }
    if segments.is_empty() { Ok(()) } else { disk.sync_folder() }
}

/// A frame's bytes up to the end of its last sector.
pub(super) fn fill_frame(buffer: &mut Vec<u8>, header: &FrameHeader, payload: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(&header.encode());
    buffer.extend_from_slice(payload);
    buffer.resize(frame_space(payload.len()), 0);
}

/// Where a frame is, or the right words for why it is nowhere.
pub(super) fn find(index: &FrameIndex, number: FrameNumber, durable: Durable) -> Result<Place, LogError> {
    match index.find(number) {
        Found::Here(place) => Ok(place),
        Found::Damaged => Err(LogError::Damaged { segment: 0, frame: number, offset: 0 }),
        Found::Trimmed => Err(LogError::Trimmed { floor: index.floor() }),
        Found::Unknown => Err(LogError::Unknown { frame: number, last: durable.through }),
    }
}

/// Reads a frame and checks it.
pub(super) fn read_frame<F: DiskFile>(
    file: &F,
    number: FrameNumber,
    place: Place,
) -> Result<Vec<u8>, LogError> {
    let header = read_header(file, number, place)?;
    let start = (place.offset + FRAME_HEADER) as u64;
    // The length is bounded by the file before anything is allocated for it.
    if start + u64::from(header.length) > file.length()? {
        return Err(damaged(number, place));
    }
    let mut payload = vec![0; header.length as usize];
    read_or_damaged(file.read_at(start, &mut payload), number, place)?;
    if header.vouches_for(&payload) { Ok(payload) } else { Err(damaged(number, place)) }
}

fn read_header<F: DiskFile>(file: &F, number: FrameNumber, place: Place) -> Result<FrameHeader, LogError> {
    let mut bytes = [0; FRAME_HEADER];
    read_or_damaged(file.read_at(place.offset as u64, &mut bytes), number, place)?;
    FrameHeader::decode(&bytes).filter(|header| header.number == number).ok_or_else(|| damaged(number, place))
}

fn read_or_damaged(read: Result<(), DiskError>, number: FrameNumber, place: Place) -> Result<(), LogError> {
    match read {
        Err(DiskError::ShortRead { .. }) => Err(damaged(number, place)),
        read => Ok(read?),
    }
}

fn damaged(number: FrameNumber, place: Place) -> LogError {
    LogError::Damaged { segment: place.segment, frame: number, offset: place.offset as u64 }
}

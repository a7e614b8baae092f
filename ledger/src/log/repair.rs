//! A log with damage in its middle: it serves what is good, and takes the right payloads from elsewhere.
//!
//! The frame after the damage names the hash of the damaged one, and that hash binds number, payload and the
//! frame before. So whoever offers a payload needs no trust: the chain accepts exactly the bytes that were
//! written. Nothing is appended to a damaged log.

use super::error::LogError;
use super::frames::{fill_frame, find, read_frame};
use super::layout::{FRAMES_START, FrameHeader, frame_space};
use super::marker::Marker;
use super::open::{Opened, open};
use super::place::Place;
use super::scan::{Report, Scan};
use super::segment::{Listing, Segment, make_segment, open_segment, segment_name};
use super::{Durable, FrameNumber, LogOptions};
use crate::disk::{Disk, DiskError, DiskFile};
use synod_types::B256;

/// A run of damaged frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The segment in which the first damaged frame should stand.
    pub segment: u32,
    /// Where in the segment, in bytes.
    pub offset: u64,
    /// The first damaged frame.
    pub first: FrameNumber,
    /// How many frames are damaged.
    pub frames: u64,
    pub(super) previous: B256,
    pub(super) successor: FrameHeader,
    pub(super) successor_place: Place,
}

/// A log that waits for repair.
#[derive(Debug)]
pub struct DamagedLog<D: Disk> {
    disk: D,
    options: LogOptions,
    marker: Marker,
    scan: Scan,
    report: Report,
}

impl<D: Disk> DamagedLog<D> {
    pub(super) fn new(disk: D, options: LogOptions, marker: Marker, scan: Scan, report: Report) -> Self {
        DamagedLog { disk, options, marker, scan, report }
    }

    /// The runs that are still damaged, ascending.
    pub fn damage(&self) -> &[Damage] {
        &self.scan.damage
    }

    /// What opening found besides.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The frames that the log spans, the damaged ones included: first and one past the last.
    pub fn span(&self) -> std::ops::Range<FrameNumber> {
        self.scan.index.floor()..self.scan.index.next()
    }

    /// A good frame's payload; [`LogError::Damaged`] for the others.
    pub fn read(&self, number: FrameNumber) -> Result<Vec<u8>, LogError> {
        if let Some(damage) = self.scan.damage.iter().find(|damage| damage.holds(number)) {
            return Err(LogError::Damaged { segment: damage.segment, frame: number, offset: damage.offset });
        }
        let last = FrameNumber(self.scan.index.next().0 - 1);
        let place = find(&self.scan.index, number, Durable { through: last })?;
        read_frame(&self.disk.open(&segment_name(place.segment))?, number, place)
    }

    /// Writes the payloads of the damaged run that starts at `first` back into their places, durably.
    ///
    /// # Errors
    /// [`LogError::WrongRepair`] when the chain of hashes does not lead to the good frame behind the run;
    /// nothing is written then.
    pub fn repair(&mut self, first: FrameNumber, payloads: &[&[u8]]) -> Result<(), LogError> {
        let at = self.scan.damage.iter().position(|damage| damage.first == first);
        let at = at.ok_or(LogError::WrongRepair { why: "no damaged run starts at this frame" })?;
        let damage = self.scan.damage[at];
        if payloads.len() as u64 != damage.frames {
            return Err(LogError::WrongRepair { why: "the run has another number of frames" });
        }
        let hashes = chain(&damage, payloads)?;
        let mut layout = Layout::start(&self.disk, &self.options, &damage)?;
        let mut places = Vec::with_capacity(payloads.len());
        for payload in payloads {
            places.push(layout.place(frame_space(payload.len()))?);
        }
        if layout.place(frame_space(damage.successor.length as usize))? != damage.successor_place {
            return Err(LogError::WrongRepair { why: "the frame behind the run stands elsewhere" });
        }
        for ((place, header), payload) in places.iter().zip(hashes).zip(payloads) {
            layout.write(*place, header, payload)?;
        }
        layout.sync()?;
        self.scan.damage.remove(at);
        Ok(())
    }

    /// Reads the log again from the disk: whole if every run was repaired.
    pub fn reopen(self) -> Result<Opened<D>, LogError> {
        open(self.disk, self.options)
    }

    /// The disk under the log.
    pub(super) fn into_disk(self) -> D {
        self.disk
    }

    pub(super) fn disk(&self) -> &D {
        &self.disk
    }

    pub(super) fn options(&self) -> &LogOptions {
        &self.options
    }

    /// Gives up the first damaged frame and everything behind it, for a block log whose frames no peer can
    /// rebuild: the blocks come back by sync. A votes log must never forget, and has no such way out.
    pub(super) fn discard_from_damage(self) -> Result<Opened<D>, LogError> {
        let Some(damage) = self.scan.damage.first().copied() else { return self.reopen() };
        let later: Vec<u32> = Listing::read(&self.disk)?
            .segments
            .into_iter()
            .filter(|segment| *segment > damage.segment)
            .rev()
            .collect();
        super::frames::remove_segments(&self.disk, &later)?;
        match open_segment(&self.disk, damage.segment) {
            Err(LogError::Disk(DiskError::NotFound { .. })) => {}
            segment => blank_from(&segment?, damage.offset, &self.options)?,
        }
        let marker = Marker { at_least: FrameNumber(damage.first.0 - 1), ..self.marker };
        marker.write(&self.disk, self.options.kind)?;
        open(self.disk, self.options)
    }
}

impl Damage {
    /// Whether this frame is one of the damaged ones.
    pub fn holds(&self, number: FrameNumber) -> bool {
        number >= self.first && number.0 - self.first.0 < self.frames
    }
}

/// The headers of the offered frames, when their chain ends where the good frame behind says.
fn chain(damage: &Damage, payloads: &[&[u8]]) -> Result<Vec<FrameHeader>, LogError> {
    let (mut number, mut previous) = (damage.first, damage.previous);
    let mut headers = Vec::with_capacity(payloads.len());
    for payload in payloads {
        let header = FrameHeader::new(number, damage.successor.salt, previous, payload);
        (number, previous) = (number.next(), header.hash);
        headers.push(header);
    }
    if previous != damage.successor.previous && !synod_types::mutant!("sto-1-unchecked-repair") {
        return Err(LogError::WrongRepair { why: "their hashes do not lead to the next good frame" });
    }
    Ok(headers)
}

/// Lays frames out as appending them did.
struct Layout<'a, D: Disk> {
    disk: &'a D,
    options: &'a LogOptions,
    segments: Vec<Segment<D::File>>,
    offset: usize,
}

impl<'a, D: Disk> Layout<'a, D> {
    fn start(disk: &'a D, options: &'a LogOptions, damage: &Damage) -> Result<Self, LogError> {
        let mut layout = Layout { disk, options, segments: Vec::new(), offset: damage.offset as usize };
        layout.enter(damage.segment)?;
        Ok(layout)
    }

    fn enter(&mut self, number: u32) -> Result<(), LogError> {
        let segment = match open_segment(self.disk, number) {
            Err(LogError::Disk(DiskError::NotFound { .. })) => make_segment(self.disk, number, self.options)?,
            segment => segment?,
        };
        self.segments.push(segment);
        Ok(())
    }

    fn place(&mut self, space: usize) -> Result<Place, LogError> {
        let full = |segment: &Segment<D::File>| self.offset + space > segment.bytes();
        let next = self.segments.last().filter(|segment| full(segment)).map(|segment| segment.number() + 1);
        if let Some(next) = next {
            self.enter(next)?;
            self.offset = FRAMES_START;
        }
        let segment = self.segments.last().map_or(0, Segment::number);
        let place = Place { segment, offset: self.offset };
        self.offset += space;
        Ok(place)
    }

    fn write(&self, place: Place, mut header: FrameHeader, payload: &[u8]) -> Result<(), LogError> {
        let Some(segment) = self.segments.iter().find(|segment| segment.number() == place.segment) else {
            return Ok(());
        };
        header.salt = segment.header.salt;
        let mut bytes = Vec::new();
        fill_frame(&mut bytes, &header, payload);
        segment.file.write_at(place.offset as u64, &bytes)?;
        Ok(())
    }

    fn sync(&self) -> Result<(), LogError> {
        self.segments.iter().try_for_each(|segment| segment.file.sync_data())?;
        Ok(())
    }
}

fn blank_from<F: DiskFile>(segment: &Segment<F>, from: u64, options: &LogOptions) -> Result<(), DiskError> {
    super::open::write_zeros(&*segment.file, from as usize, segment.bytes(), options)?;
    segment.file.sync_data()
}

//! Reading a log at boot: which frames are good, where frames are damaged, and where the log ends.
//!
//! The scan walks the chain. Where the next frame is not good it looks for the *lowest later number* in any
//! believable header beyond. If there is one, the frames between were synced before it was written, and they
//! are damaged; the walk goes on from it. If there is none, the log ends there, and what else stands beyond was
//! never acknowledged. "Lowest" rather than "first", so that a misdirected sector is not mistaken for the
//! successor. A blank place is treated like a bad one: a zeroed sector must not pass for the end of the log.

use synod_types::B256;

use super::error::LogError;
use super::layout::{
    FRAME_HEADER, FRAMES_START, FrameHeader, SECTOR, SEGMENT_BYTES, SEGMENT_HEADER, SEGMENT_HEADERS,
    SegmentHeader, VERSION, frame_space, segment_salt,
};
use super::marker::Marker;
use super::place::{FrameIndex, Place};
use super::repair::Damage;
use super::segment::segment_name;
use super::{FrameNumber, LogOptions};
use crate::disk::{Disk, DiskError, DiskFile};

/// What opening a log found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Frames that were read and checked.
    pub frames: u64,
    /// The torn tail that was zeroed, if there was one.
    pub torn: Option<TornTail>,
    /// The last frame of an earlier boot, when the log now ends before it: it was cut or rolled back.
    pub rolled_back_from: Option<FrameNumber>,
    /// Segments of which a header, the length or an unused part was put right.
    pub mended: Vec<u32>,
    /// The marker was missing or unreadable and was made anew from the segments.
    pub marker_rebuilt: bool,
}

/// Bytes after the last good frame that nobody was told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// The segment in which they start.
    pub segment: u32,
    /// Where they start in it.
    pub offset: u64,
}

/// What the scan found.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) index: FrameIndex,
    pub(super) damage: Vec<Damage>,
    /// Where the next frame would be tried first.
    pub(super) end: Place,
    /// The hash of the last frame.
    pub(super) previous: B256,
    pub(super) mends: Vec<Mend>,
    pub(super) frames: u64,
    pub(super) torn: bool,
}

/// Something to put right in a segment once the log is known to be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mend {
    /// Write zeros over bytes that nobody was told about.
    Blank { segment: u32, from: usize, to: usize },
    /// Write zeros where the file was cut.
    Lengthen { segment: u32, from: usize, to: usize },
    /// Write both headers again.
    Headers(SegmentHeader),
}

/// Is shown each good frame once, in order, so that an owner need not read the log twice.
pub(super) type Visit<'a> = &'a mut dyn FnMut(FrameNumber, &[u8]);

/// Walks the whole log from the marker's floor.
pub(super) fn scan<D: Disk>(
    disk: &D,
    options: &LogOptions,
    marker: &Marker,
    segments: &[u32],
    visit: Visit<'_>,
) -> Result<Scan, LogError> {
    let last = segments.last().copied().unwrap_or(marker.floor_segment);
    let mut walk = Walk {
        disk,
        options,
        visit,
        last_segment: last,
        previous: marker.floor_previous,
        scan: Scan {
            index: FrameIndex::new(marker.floor),
            damage: Vec::new(),
            end: Place { segment: marker.floor_segment, offset: FRAMES_START },
            previous: marker.floor_previous,
            mends: Vec::new(),
            frames: 0,
            torn: false,
        },
    };
    walk.run(marker.floor_segment)?;
    Ok(walk.scan)
}

struct Walk<'a, D> {
    disk: &'a D,
    options: &'a LogOptions,
    visit: Visit<'a>,
    last_segment: u32,
    previous: B256,
    scan: Scan,
}

/// Where a walk goes on after a place without a good frame.
enum Next {
    /// The frame that was looked for starts the segment of this image.
    Seam(SegmentImage),
    /// A later frame stands here.
    Later(SegmentImage, usize, FrameHeader),
    End,
}

impl<D: Disk> Walk<'_, D> {
    fn run(&mut self, first: u32) -> Result<(), LogError> {
        let mut image = self.load(first)?;
        let mut offset = FRAMES_START;
        loop {
            if let Some(header) = image.good_frame(offset, self.next(), self.previous) {
                (self.visit)(header.number, image.payload(offset, &header).unwrap_or_default());
                self.scan.index.push(Place { segment: image.segment, offset });
                self.scan.frames += 1;
                self.previous = header.hash;
                offset += frame_space(header.length as usize);
                continue;
            }
            let place = Place { segment: image.segment, offset };
            match self.look_beyond(image, offset)? {
                Next::Seam(seam) => (image, offset) = (seam, FRAMES_START),
                Next::Later(later, at, header) => {
                    self.note_damage(place, &later, at, &header)?;
                    (image, offset) = (later, at);
                }
                Next::End => {
                    self.scan.end = place;
                    self.scan.previous = self.previous;
                    return Ok(());
                }
            }
        }
    }

    fn next(&self) -> FrameNumber {
        self.scan.index.next()
    }

    fn look_beyond(&mut self, mut image: SegmentImage, offset: usize) -> Result<Next, LogError> {
        let later = self.next().next();
        if let Some((at, header)) = image.lowest_from(offset + SECTOR, later) {
            return Ok(Next::Later(image, at, header));
        }
        let mut rest = Vec::new();
        let mut free_from = offset;
        loop {
            rest.extend(image.blank_mends(free_from));
            if image.segment >= self.last_segment {
                // What stands beyond the last frame was never acknowledged.
                self.scan.torn = rest.iter().any(|mend| matches!(mend, Mend::Blank { .. }));
                self.scan.mends.append(&mut rest);
                return Ok(Next::End);
            }
            image = self.load(image.segment + 1)?;
            free_from = FRAMES_START;
            if image.good_frame(FRAMES_START, self.next(), self.previous).is_some() {
                // Nothing is missing, so the rest of the segment before was unused: rot there is harmless.
                self.scan.mends.append(&mut rest);
                return Ok(Next::Seam(image));
            }
            if let Some((at, header)) = image.lowest_from(FRAMES_START, later) {
                return Ok(Next::Later(image, at, header));
            }
        }
    }

    fn note_damage(
        &mut self,
        place: Place,
        later: &SegmentImage,
        at: usize,
        header: &FrameHeader,
    ) -> Result<(), LogError> {
        let first = self.next();
        let frames = header.number.0 - first.0;
        let room = u64::from(self.last_segment - place.segment + 1)
            * (u64::from(*SEGMENT_BYTES.end()) / SECTOR as u64);
        if frames > room {
            let file = segment_name(later.segment);
            return Err(LogError::Unreadable { file, what: "its frame numbers leap" });
        }
        self.scan.damage.push(Damage {
            segment: place.segment,
            offset: place.offset as u64,
            first,
            frames,
            previous: self.previous,
            successor: *header,
            successor_place: Place { segment: later.segment, offset: at },
        });
        (0..frames).for_each(|_| self.scan.index.push_damaged(place.segment));
        self.previous = header.previous;
        Ok(())
    }

    fn load(&mut self, segment: u32) -> Result<SegmentImage, LogError> {
        let file = read_whole(self.disk, segment)?;
        let missing = file.is_none();
        let bytes = file.unwrap_or_default();
        let header = match self.header(segment, &bytes)? {
            Some(header) => header,
            None => self.lost_header(segment, &bytes)?,
        };
        let intact = |offset: &usize| bytes.get(*offset..*offset + SEGMENT_HEADER) == Some(&header.encode());
        if !missing && !SEGMENT_HEADERS.iter().all(intact) {
            self.scan.mends.push(Mend::Headers(header));
        }
        Ok(SegmentImage { segment, header, bytes, missing })
    }

    /// The segment's header from the first copy that is whole.
    fn header(&self, segment: u32, bytes: &[u8]) -> Result<Option<SegmentHeader>, LogError> {
        let copies = SEGMENT_HEADERS.iter().filter_map(|offset| SegmentHeader::decode(bytes.get(*offset..)?));
        let Some(header) = copies.into_iter().find(|header| header.segment == segment) else {
            return Ok(None);
        };
        let file = segment_name(segment);
        if header.version != VERSION {
            return Err(LogError::Version { file, found: header.version, known: VERSION });
        }
        if header.kind != self.options.kind.code() {
            return Err(LogError::Kind { file, kind: self.options.kind });
        }
        if !SEGMENT_BYTES.contains(&header.bytes) || !(header.bytes as usize).is_multiple_of(SECTOR) {
            return Err(LogError::Unreadable { file, what: "its size is out of bounds" });
        }
        Ok(Some(header))
    }

    /// Both copies are gone. The chain itself vouches for the salt when the first frame is the expected one; a
    /// segment without any frame may take a new salt.
    fn lost_header(&self, segment: u32, bytes: &[u8]) -> Result<SegmentHeader, LogError> {
        let frames = bytes.get(FRAMES_START..).unwrap_or_default();
        let first = FrameHeader::decode(frames)
            .filter(|frame| frame.number == self.next() && frame.previous == self.previous);
        let salt = match first {
            Some(frame) => frame.salt,
            None if frames.iter().all(|byte| *byte == 0) => segment_salt(self.options.salt, segment),
            None => {
                let file = segment_name(segment);
                return Err(LogError::Unreadable { file, what: "both its headers are bad" });
            }
        };
        let known = (bytes.len() as u32).max(self.options.segment_bytes);
        let size = known.clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end()).next_multiple_of(SECTOR as u32);
        Ok(SegmentHeader::new(self.options.kind, segment, size, salt))
    }
}

/// A segment in memory.
struct SegmentImage {
    segment: u32,
    header: SegmentHeader,
    bytes: Vec<u8>,
    missing: bool,
}

impl SegmentImage {
    /// The frame at `offset`, when it is the expected one and whole.
    fn good_frame(&self, offset: usize, number: FrameNumber, previous: B256) -> Option<FrameHeader> {
        let header = self.believable(offset)?;
        let payload = self.payload(offset, &header)?;
        let expected = header.number == number && header.previous == previous;
        (expected && header.vouches_for(payload)).then_some(header)
    }

    /// The believable header with the lowest number of at least `number`, from `start` on. Among equal ones
    /// the first whose payload is whole wins: the other is a copy that lost its way.
    fn lowest_from(&self, start: usize, number: FrameNumber) -> Option<(usize, FrameHeader)> {
        if synod_types::mutant!("sto-1-ignore-middle") {
            return None;
        }
        (start..self.bytes.len())
            .step_by(SECTOR)
            .filter_map(|offset| Some((offset, self.believable(offset)?)))
            .filter(|(_, header)| header.number >= number)
            .min_by_key(|(offset, header)| (header.number, !self.is_whole(*offset, header)))
    }

    fn is_whole(&self, offset: usize, header: &FrameHeader) -> bool {
        self.payload(offset, header).is_some_and(|payload| header.vouches_for(payload))
    }

    fn payload(&self, offset: usize, header: &FrameHeader) -> Option<&[u8]> {
        let start = offset + FRAME_HEADER;
        self.bytes.get(start..start.checked_add(header.length as usize)?)
    }

    fn believable(&self, offset: usize) -> Option<FrameHeader> {
        FrameHeader::decode(self.bytes.get(offset..)?).filter(|header| header.salt == self.header.salt)
    }

    /// What makes the segment blank from `start` on, and as long as it should be. One that was used before is not
    /// blank: there it is what a frame of its own left that was begun and is not whole.
    fn blank_mends(&self, start: usize) -> impl Iterator<Item = Mend> + use<> {
        let (segment, size) = (self.segment, self.header.bytes as usize);
        let rest = self.bytes.get(start..).unwrap_or_default();
        // Sector by sector: most of a segment may be blank, and comparing whole sectors is fast.
        let is_dirty = |sector: &[u8]| sector != &[0; SECTOR][..sector.len()];
        let sectors = rest.len().div_ceil(SECTOR);
        let dirty = if self.header.is_reused {
            let begun = self.believable(start);
            begun.map(|header| (start, start.saturating_add(frame_space(header.length as usize))))
        } else {
            rest.chunks(SECTOR).position(is_dirty).map(|first| {
                let last = rest.chunks(SECTOR).rposition(is_dirty).unwrap_or(sectors);
                (start + first * SECTOR, start + (last + 1) * SECTOR)
            })
        };
        let end = self.bytes.len();
        let dirty = dirty.map(|(from, to)| Mend::Blank { segment, from, to: to.min(end) });
        let cut = (!self.missing && self.bytes.len() < size).then_some(Mend::Lengthen {
            segment,
            from: self.bytes.len(),
            to: size,
        });
        dirty.into_iter().chain(cut)
    }
}

/// The file's bytes; `None` when it is missing, which is damage if frames follow and a lost tail otherwise.
fn read_whole<D: Disk>(disk: &D, segment: u32) -> Result<Option<Vec<u8>>, LogError> {
    let name = segment_name(segment);
    let file = match disk.open(&name) {
        Ok(file) => file,
        Err(DiskError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let length = file.length()?;
    if length > u64::from(*SEGMENT_BYTES.end()) {
        return Err(LogError::Unreadable { file: name, what: "it is larger than any segment" });
    }
    let mut bytes = vec![0; length as usize];
    file.read_at(0, &mut bytes)?;
    Ok(Some(bytes))
}

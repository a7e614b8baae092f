//! A segment: a file of fixed size, written with zeros and synced before anyone relies on it.
//!
//! Zeros are really written: an `fallocate`d extent is "unwritten", and the first write into it would make each
//! `fdatasync` wait for the file system's journal (STO-1). Preparation goes in steps, each synced, so that no
//! commit waits for a whole segment. The file gets its name when it is complete: a `.seg` is whole, a `.new`
//! is thrown away at boot.
//!
//! Or it is a segment that was trimmed, under a new name and salt: nothing needs to be written but its headers. The
//! frames that it had are not believed any more, since a frame repeats its segment's salt.

use std::sync::Arc;

use super::LogOptions;
use super::error::LogError;
use super::layout::{SECTOR, SEGMENT_BYTES, SEGMENT_HEADER, SEGMENT_HEADERS, SegmentHeader, segment_salt};
use crate::disk::{Disk, DiskError, DiskFile};

const SUFFIX: &str = ".seg";
const NEW_SUFFIX: &str = ".new";

/// An open segment.
#[derive(Debug)]
pub(super) struct Segment<F> {
    pub(super) header: SegmentHeader,
    /// Shared with a sync that is under way.
    pub(super) file: Arc<F>,
}

impl<F> Segment<F> {
    pub(super) fn number(&self) -> u32 {
        self.header.segment
    }

    pub(super) fn bytes(&self) -> usize {
        self.header.bytes as usize
    }
}

/// A segment in the making.
#[derive(Debug)]
pub(super) struct Preparation<F> {
    header: SegmentHeader,
    file: F,
    written: u32,
}

impl<F: DiskFile> Preparation<F> {
    pub(super) fn begin<D: Disk<File = F>>(
        disk: &D,
        number: u32,
        options: &LogOptions,
    ) -> Result<Self, DiskError> {
        let name = new_name(number);
        match disk.remove(&name) {
            Err(DiskError::NotFound { .. }) => {}
            removed => removed?,
        }
        let file = disk.create(&name)?;
        Ok(Preparation { header: new_header(number, options), file, written: 0 })
    }

    /// Begins with what was segment `trimmed`, below the floor. `None`: it has another size, and is gone.
    pub(super) fn reuse<D: Disk<File = F>>(
        disk: &D,
        trimmed: u32,
        number: u32,
        options: &LogOptions,
    ) -> Result<Option<Self>, DiskError> {
        let (name, header) = (new_name(number), new_header(number, options));
        disk.rename(&segment_name(trimmed), &name)?;
        let file = disk.open(&name)?;
        if file.length()? != u64::from(header.bytes) {
            disk.remove(&name)?;
            return Ok(None);
        }
        let header = SegmentHeader { is_reused: true, ..header };
        Ok(Some(Preparation { header, file, written: header.bytes }))
    }

    /// Bytes that stand already.
    pub(super) fn written(&self) -> u32 {
        self.written
    }

    /// Writes and syncs the next zeros; true when all stand.
    pub(super) fn step(&mut self, step_bytes: u32) -> Result<bool, DiskError> {
        let length = step_bytes.max(SECTOR as u32).min(self.header.bytes - self.written);
        if length > 0 {
            self.file.grow_by_zeros(u64::from(self.written), length as usize)?;
            self.file.sync_data()?;
            self.written += length;
        }
        Ok(self.written == self.header.bytes)
    }

    /// Writes the headers and gives the file its name, durably. Call it again if there was no space.
    pub(super) fn finish<D: Disk<File = F>>(&self, disk: &D) -> Result<(), DiskError> {
        write_headers(&self.file, &self.header)?;
        self.file.sync_data()?;
        let number = self.header.segment;
        disk.rename(&new_name(number), &segment_name(number))?;
        disk.sync_folder()
    }

    pub(super) fn into_segment(self) -> Segment<F> {
        Segment { header: self.header, file: Arc::new(self.file) }
    }
}

fn new_name(number: u32) -> String {
    format!("{number:010}{NEW_SUFFIX}")
}

fn new_header(number: u32, options: &LogOptions) -> SegmentHeader {
    SegmentHeader::new(options.kind, number, whole_bytes(options), segment_salt(options.salt, number))
}

/// Makes a whole segment at once.
pub(super) fn make_segment<D: Disk>(
    disk: &D,
    number: u32,
    options: &LogOptions,
) -> Result<Segment<D::File>, DiskError> {
    let mut preparation = Preparation::begin(disk, number, options)?;
    while !preparation.step(options.step_bytes)? {}
    preparation.finish(disk)?;
    Ok(preparation.into_segment())
}

/// Opens a segment that the scan has seen whole.
pub(super) fn open_segment<D: Disk>(disk: &D, number: u32) -> Result<Segment<D::File>, LogError> {
    let name = segment_name(number);
    let file = disk.open(&name)?;
    for offset in SEGMENT_HEADERS {
        let mut bytes = [0; SEGMENT_HEADER];
        match file.read_at(offset as u64, &mut bytes) {
            Err(DiskError::ShortRead { .. }) => continue,
            read => read?,
        }
        if let Some(header) = SegmentHeader::decode(&bytes).filter(|header| header.segment == number) {
            return Ok(Segment { header, file: Arc::new(file) });
        }
    }
    Err(LogError::Unreadable { file: name, what: "both its headers are bad" })
}

/// Writes both copies of a segment's header.
pub(super) fn write_headers<F: DiskFile>(file: &F, header: &SegmentHeader) -> Result<(), DiskError> {
    SEGMENT_HEADERS.iter().try_for_each(|offset| file.write_at(*offset as u64, &header.encode()))
}

pub(super) fn segment_name(number: u32) -> String {
    format!("{number:010}{SUFFIX}")
}

/// The files of a log's folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The numbers of the segments, ascending.
    pub(super) segments: Vec<u32>,
    /// Segments that were never completed.
    pub(super) unfinished: Vec<String>,
}

impl Listing {
    pub(super) fn read<D: Disk>(disk: &D) -> Result<Self, LogError> {
        let mut listing = Listing::default();
        for name in disk.list()? {
            if let Some(number) = numbered(&name, SUFFIX) {
                listing.segments.push(number);
            } else if numbered(&name, NEW_SUFFIX).is_some() {
                listing.unfinished.push(name);
            }
        }
        listing.segments.sort_unstable();
        Ok(listing)
    }
}

fn numbered(name: &str, suffix: &str) -> Option<u32> {
    let digits = name.strip_suffix(suffix)?;
    let plain = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// The size of new segments: what was asked for, in whole sectors, within the limits.
pub(super) fn whole_bytes(options: &LogOptions) -> u32 {
    let asked = options.segment_bytes.clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end());
    asked.next_multiple_of(SECTOR as u32)
}

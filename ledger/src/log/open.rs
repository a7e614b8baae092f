//! Creating and opening a log: scan it, mend what nobody was told about, make sure of the rest.
//!
//! What is visible at boot need not be durable: it may come from a process that died between write and sync, or
//! whose sync failed and left the page clean in memory only (S-D3). Syncing it again proves nothing then. So
//! the **last frame is written again** and synced (earlier ones had been synced before it was written), the
//! **marker is written anew**, and a prepared segment without frames, whose name may not be durable, is
//! **thrown away**. Only then does anyone get a [`super::Durable`].

use super::error::LogError;
use super::frames::{FrameLog, fill_frame, read_frame, remove_segments};
use super::layout::{FRAMES_START, FrameHeader, SegmentHeader};
use super::marker::Marker;
use super::place::Place;
use super::repair::DamagedLog;
use super::scan::{Mend, Report, Scan, TornTail, scan};
use super::segment::{Listing, make_segment, open_segment, segment_name, write_headers};
use super::{FrameNumber, LogKind, LogOptions};
use crate::disk::{Disk, DiskError, DiskFile};

/// An opened log.
#[derive(Debug)]
pub enum Opened<D: Disk> {
    /// Every frame is good.
    Whole(FrameLog<D>, Report),
    /// Frames are damaged in the middle: it serves the others, and waits for repair.
    Damaged(DamagedLog<D>),
}

/// Creates an empty log. `incarnation` is the owner's number for it, which the marker keeps.
///
/// # Errors
/// [`LogError::Exists`] when there is a marker, or any frame. Leftovers of an interrupted creation are
/// cleared away; the creation of a votes log is finished by its first [`FrameLog::note_end`].
pub fn create<D: Disk>(disk: D, options: LogOptions, incarnation: u64) -> Result<FrameLog<D>, LogError> {
    let listing = Listing::read(&disk)?;
    let leftover_frames = match Marker::read(&disk, options.kind) {
        Ok(None) => 0,
        Ok(Some(marker)) if is_unfinished(&marker, options.kind) => 1,
        Err(LogError::Unreadable { .. }) if options.kind == LogKind::Blocks => 0,
        _ => return Err(LogError::Exists { kind: options.kind }),
    };
    if count_frames(&disk, &options, &listing)? > leftover_frames {
        return Err(LogError::Exists { kind: options.kind });
    }
    remove_segments(&disk, &listing.segments)?;
    let first = make_segment(&disk, 0, &options)?;
    let marker = Marker::new(incarnation);
    marker.write(&disk, options.kind)?;
    let index = super::place::FrameIndex::new(marker.floor);
    Ok(FrameLog::assemble(disk, options, marker, index, (first, FRAMES_START), marker.floor_previous))
}

/// Whether a block log was never made here, or only begun.
pub(super) fn is_missing<D: Disk>(disk: &D, options: &LogOptions) -> Result<bool, LogError> {
    match Marker::read(disk, options.kind) {
        Ok(None) | Err(LogError::Unreadable { .. }) => {
            Ok(count_frames(disk, options, &Listing::read(disk)?)? == 0)
        }
        read => read.map(|_| false),
    }
}

/// Opens a log and reads all of it.
///
/// # Errors
/// [`LogError::Missing`] when no log was ever made here. A votes log without its marker is refused with that
/// error even when it has frames (GEN-3); a block log's marker is rebuilt from its segments.
pub fn open<D: Disk>(disk: D, options: LogOptions) -> Result<Opened<D>, LogError> {
    open_with(disk, options, &mut |_, _| {})
}

/// Opens a log and shows `visit` every good frame, in order, while it is being read. If the log turns out
/// damaged, frames are missing from what was shown.
pub fn open_with<D: Disk>(
    disk: D,
    options: LogOptions,
    visit: &mut dyn FnMut(FrameNumber, &[u8]),
) -> Result<Opened<D>, LogError> {
    let listing = Listing::read(&disk)?;
    let (marker, marker_rebuilt) = match Marker::read(&disk, options.kind) {
        Ok(Some(marker)) => (marker, false),
        Ok(None) | Err(LogError::Unreadable { .. }) if options.kind == LogKind::Blocks => {
            (rebuilt_marker(&disk, &options, &listing)?, true)
        }
        Ok(None) => return Err(LogError::Missing { kind: options.kind }),
        Err(error) => return Err(error),
    };
    if is_unfinished(&marker, options.kind) {
        return Err(LogError::Missing { kind: options.kind });
    }
    let kept: Vec<u32> =
        listing.segments.iter().copied().filter(|segment| *segment >= marker.floor_segment).collect();
    let scan = scan(&disk, &options, &marker, &kept, visit)?;
    let report = Report {
        frames: scan.frames,
        torn: scan.torn.then_some(TornTail { segment: scan.end.segment, offset: scan.end.offset as u64 }),
        rolled_back_from: (scan.index.next() <= marker.at_least).then_some(marker.at_least),
        mended: mended(&scan),
        marker_rebuilt,
    };
    if scan.damage.is_empty() {
        Ok(Opened::Whole(finish(disk, options, marker, scan, &listing, &report)?, report))
    } else {
        Ok(Opened::Damaged(DamagedLog::new(disk, options, marker, scan, report)))
    }
}

fn finish<D: Disk>(
    disk: D,
    options: LogOptions,
    mut marker: Marker,
    scan: Scan,
    listing: &Listing,
    report: &Report,
) -> Result<FrameLog<D>, LogError> {
    apply_mends(&disk, &options, &scan.mends)?;
    if listing.segments.iter().any(|segment| *segment < marker.floor_segment) {
        // A trim was cut short. Its marker may be visible only: it must be durable before segments go.
        marker.write(&disk, options.kind)?;
    }
    clear_folder(&disk, &marker, &scan, listing)?;
    let current = match open_segment(&disk, scan.end.segment) {
        Err(LogError::Disk(DiskError::NotFound { .. })) => make_segment(&disk, scan.end.segment, &options)?,
        opened => opened?,
    };
    if let Some(place) = scan.index.last() {
        write_again(&disk, FrameNumber(scan.index.next().0 - 1), place)?;
    }
    // A votes log that ends too early keeps its old number, so that it is refused at every boot.
    if options.kind == LogKind::Blocks || report.rolled_back_from.is_none() {
        marker.at_least = FrameNumber(scan.index.next().0 - 1);
    }
    marker.write(&disk, options.kind)?;
    let end = (current, scan.end.offset);
    Ok(FrameLog::assemble(disk, options, marker, scan.index, end, scan.previous))
}

/// Removes what does not belong to the log, prepared segments included.
fn clear_folder<D: Disk>(disk: &D, marker: &Marker, scan: &Scan, listing: &Listing) -> Result<(), LogError> {
    for name in &listing.unfinished {
        disk.remove(name)?;
    }
    let kept = marker.floor_segment..=scan.end.segment;
    let strangers: Vec<u32> =
        listing.segments.iter().copied().filter(|segment| !kept.contains(segment)).collect();
    remove_segments(disk, &strangers)?;
    Ok(())
}

/// Zeros first, then the headers that the zeros may have covered, then one sync for each file.
fn apply_mends<D: Disk>(disk: &D, options: &LogOptions, mends: &[Mend]) -> Result<(), LogError> {
    let mut segments: Vec<u32> = mends.iter().map(mended_segment).collect();
    segments.sort_unstable();
    segments.dedup();
    for segment in segments {
        let file = disk.open(&segment_name(segment))?;
        let mut header = None;
        for mend in mends.iter().filter(|mend| mended_segment(mend) == segment) {
            match *mend {
                Mend::Blank { from, to, .. } | Mend::Lengthen { from, to, .. } => {
                    write_zeros(&file, from, to, options)?;
                }
                Mend::Headers(found) => header = Some(found),
            }
        }
        if let Some(header) = header {
            write_headers(&file, &header)?;
        }
        file.sync_data()?;
    }
    Ok(())
}

pub(super) fn write_zeros<F: DiskFile>(
    file: &F,
    from: usize,
    to: usize,
    options: &LogOptions,
) -> Result<(), DiskError> {
    let step = (options.step_bytes as usize).max(super::layout::SECTOR);
    (from..to).step_by(step).try_for_each(|start| file.write_at(start as u64, &vec![0; step.min(to - start)]))
}

/// Writes a good frame once more over itself and syncs it: equal bytes, so that no tear can harm them.
fn write_again<D: Disk>(disk: &D, number: FrameNumber, place: Place) -> Result<(), LogError> {
    let segment = open_segment(disk, place.segment)?;
    let payload = read_frame(&*segment.file, number, place)?;
    let mut header = vec![0; super::layout::FRAME_HEADER];
    segment.file.read_at(place.offset as u64, &mut header)?;
    let header = FrameHeader::decode(&header).ok_or(LogError::Damaged {
        segment: place.segment,
        frame: number,
        offset: place.offset as u64,
    })?;
    let mut bytes = Vec::new();
    fill_frame(&mut bytes, &header, &payload);
    segment.file.write_at(place.offset as u64, &bytes)?;
    segment.file.sync_data()?;
    Ok(())
}

fn mended_segment(mend: &Mend) -> u32 {
    match mend {
        Mend::Headers(SegmentHeader { segment, .. })
        | Mend::Blank { segment, .. }
        | Mend::Lengthen { segment, .. } => *segment,
    }
}

/// The segments that were put right for another reason than a torn tail.
fn mended(scan: &Scan) -> Vec<u32> {
    let tail = |mend: &&Mend| {
        scan.torn && matches!(mend, Mend::Blank { segment, .. } if *segment >= scan.end.segment)
    };
    let mut segments: Vec<u32> = scan.mends.iter().filter(|mend| !tail(mend)).map(mended_segment).collect();
    segments.sort_unstable();
    segments.dedup();
    segments
}

/// A votes log counts from its first [`FrameLog::note_end`] on: before, its owner has never had it whole.
fn is_unfinished(marker: &Marker, kind: LogKind) -> bool {
    kind == LogKind::Votes && marker.at_least == FrameNumber(0)
}

/// How many frames the segments hold, the damaged ones counted; many when that cannot be told, since what
/// cannot be read is not for us to remove.
fn count_frames<D: Disk>(disk: &D, options: &LogOptions, listing: &Listing) -> Result<u64, LogError> {
    let Some(first) = listing.segments.first() else { return Ok(0) };
    let marker = Marker { floor_segment: *first, ..Marker::new(0) };
    match scan(disk, options, &marker, &listing.segments, &mut |_, _| {}) {
        Ok(scan) => Ok(scan.index.next().0 - 1),
        Err(LogError::Disk(error)) => Err(error.into()),
        Err(_) => Ok(u64::MAX),
    }
}

/// The floor as the first segment tells it.
fn rebuilt_marker<D: Disk>(disk: &D, options: &LogOptions, listing: &Listing) -> Result<Marker, LogError> {
    let missing = LogError::Missing { kind: options.kind };
    let first = *listing.segments.first().ok_or(missing)?;
    if first == 0 {
        let found = count_frames(disk, options, listing)?;
        return if found > 0 { Ok(Marker::new(0)) } else { Err(LogError::Missing { kind: options.kind }) };
    }
    let segment = open_segment(disk, first)?;
    let mut bytes = vec![0; super::layout::FRAME_HEADER];
    segment.file.read_at(FRAMES_START as u64, &mut bytes)?;
    let header = FrameHeader::decode(&bytes).filter(|header| header.salt == segment.header.salt).ok_or(
        LogError::Unreadable {
            file: segment_name(first),
            what: "its first frame is bad and the marker is lost",
        },
    )?;
    Ok(Marker {
        floor_segment: first,
        floor: header.number,
        floor_previous: header.previous,
        ..Marker::new(0)
    })
}

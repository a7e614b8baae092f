//! Where each frame stands: four bytes of memory for a frame.

use std::collections::VecDeque;

use super::FrameNumber;
use super::layout::SECTOR;

/// A frame's place on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) offset: usize,
}

/// What the index knows of a frame number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Here(Place),
    Damaged,
    Trimmed,
    Unknown,
}

/// The places of all frames from the floor to the last durable one, without gaps in their numbers.
#[derive(Debug)]
pub(super) struct FrameIndex {
    segments: VecDeque<SegmentFrames>,
    next: FrameNumber,
}

#[derive(Debug)]
struct SegmentFrames {
    segment: u32,
    first: FrameNumber,
    /// In sectors; 0, where no frame can stand, for a damaged one.
    sectors: Vec<u32>,
}

impl FrameIndex {
    /// An empty index whose first frame will be `floor`.
    pub(super) fn new(floor: FrameNumber) -> Self {
        FrameIndex { segments: VecDeque::new(), next: floor }
    }

    pub(super) fn push(&mut self, place: Place) {
        self.push_sector(place.segment, (place.offset / SECTOR) as u32);
    }

    pub(super) fn push_damaged(&mut self, segment: u32) {
        self.push_sector(segment, 0);
    }

    /// The first frame that is kept.
    pub(super) fn floor(&self) -> FrameNumber {
        self.segments.front().map_or(self.next, |segment| segment.first)
    }

    /// The number that the next frame gets.
    pub(super) fn next(&self) -> FrameNumber {
        self.next
    }

    /// The last frame's place.
    pub(super) fn last(&self) -> Option<Place> {
        match self.find(FrameNumber(self.next.0.checked_sub(1)?)) {
            Found::Here(place) => Some(place),
            _ => None,
        }
    }

    pub(super) fn find(&self, number: FrameNumber) -> Found {
        if number >= self.next {
            return Found::Unknown;
        }
        let after = self.segments.partition_point(|segment| segment.first <= number);
        let Some(segment) = after.checked_sub(1).and_then(|at| self.segments.get(at)) else {
            return Found::Trimmed;
        };
        match segment.sectors.get((number.0 - segment.first.0) as usize) {
            Some(0) | None => Found::Damaged,
            Some(sector) => {
                Found::Here(Place { segment: segment.segment, offset: *sector as usize * SECTOR })
            }
        }
    }

    /// The first segment that must be kept so that `number` and all after it are, with its first frame.
    pub(super) fn segment_of(&self, number: FrameNumber) -> Option<(u32, FrameNumber)> {
        let after = self.segments.partition_point(|segment| segment.first <= number);
        let kept = self.segments.get(after.saturating_sub(1))?;
        Some((kept.segment, kept.first))
    }

    /// Forgets every segment below this one, and names those that had frames.
    pub(super) fn drop_below(&mut self, segment: u32) -> Vec<u32> {
        let kept = self.segments.partition_point(|frames| frames.segment < segment);
        self.segments.drain(..kept).map(|frames| frames.segment).collect()
    }

    fn push_sector(&mut self, segment: u32, sector: u32) {
        if self.segments.back().is_none_or(|frames| frames.segment != segment) {
            self.segments.push_back(SegmentFrames { segment, first: self.next, sectors: Vec::new() });
        }
        if let Some(frames) = self.segments.back_mut() {
            frames.sectors.push(sector);
        }
        self.next = self.next.next();
    }
}

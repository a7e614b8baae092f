//! Which records stood in which of the damaged frames.
//!
//! What a damaged run held can be found out (for blocks: from peers), how a group commit cut it into frames
//! cannot. Two things tell it. A frame whose header survived names the length and the hash of its payload; and
//! the chain of hashes accepts one division alone. So divisions are tried, the surviving headers first, and the
//! number of tries is bounded.

use std::collections::BTreeMap;

use synod_types::B256;

use super::error::LogError;
use super::layout::{FRAME_HEADER, FRAMES_START, FrameHeader, SECTOR, frame_hash};
use super::repair::{Damage, DamagedLog};
use super::segment::open_segment;
use super::{FrameNumber, LogOptions};
use crate::disk::{Disk, DiskError, DiskFile};

/// Hashes computed for one run, at most.
const TRIES: u32 = 10_000;
/// Frames of a run whose division is looked for, unless each held one record.
const FRAMES: u64 = 512;

impl<D: Disk> DamagedLog<D> {
    /// Divides the records that the damaged run starting at `first` held, in their order, among its frames;
    /// `None` when these are not the records, or their division was not found.
    ///
    /// # Errors
    /// The disk's.
    pub fn divide(&self, first: FrameNumber, records: &[Vec<u8>]) -> Result<Option<Vec<Vec<u8>>>, LogError> {
        let Some(damage) = self.damage().iter().find(|damage| damage.first == first) else {
            return Ok(None);
        };
        if damage.frames == records.len() as u64 {
            return Ok(Some(records.to_vec()));
        }
        if damage.frames > FRAMES || damage.frames > records.len() as u64 {
            return Ok(None);
        }
        let headers = surviving_headers(self.disk(), self.options(), damage)?;
        let mut division = Division { damage, records, headers, cuts: Vec::new(), tries: TRIES };
        if !division.search(0, first, damage.previous) {
            return Ok(None);
        }
        let mut start = 0;
        let payload = |end: usize| records[std::mem::replace(&mut start, end)..end].concat();
        Ok(Some(division.cuts.into_iter().map(payload).collect()))
    }
}

struct Division<'a> {
    damage: &'a Damage,
    records: &'a [Vec<u8>],
    headers: BTreeMap<FrameNumber, FrameHeader>,
    /// One past the last record of each frame that is settled.
    cuts: Vec<usize>,
    tries: u32,
}

impl Division<'_> {
    /// Settles the frames from `number` on, over the records from `start` on.
    fn search(&mut self, start: usize, number: FrameNumber, previous: B256) -> bool {
        let frames_left = (self.damage.first.0 + self.damage.frames - number.0) as usize;
        if frames_left == 0 {
            return start == self.records.len() && previous == self.damage.successor.previous;
        }
        let header = self.headers.get(&number).copied();
        if header.is_some_and(|header| header.previous != previous) {
            return false;
        }
        let last = self.records.len() + 1 - frames_left;
        let first = if frames_left == 1 { last } else { start + 1 };
        let mut payload = self.records[start..first.max(start + 1) - 1].concat();
        for end in first..=last {
            payload.extend_from_slice(&self.records[end - 1]);
            let Some(hash) = self.link(header, number, previous, &payload) else { continue };
            self.cuts.push(end);
            if self.search(end, number.next(), hash) {
                return true;
            }
            self.cuts.pop();
        }
        false
    }

    /// The frame's hash with this payload, unless its surviving header says otherwise or the tries are used up.
    fn link(
        &mut self,
        header: Option<FrameHeader>,
        number: FrameNumber,
        previous: B256,
        payload: &[u8],
    ) -> Option<B256> {
        if header.is_some_and(|header| header.length as usize != payload.len()) {
            return None;
        }
        self.tries = self.tries.checked_sub(1)?;
        let hash = frame_hash(number, previous, payload);
        header.is_none_or(|header| header.hash == hash).then_some(hash)
    }
}

/// The headers of damaged frames that can still be believed.
fn surviving_headers<D: Disk>(
    disk: &D,
    options: &LogOptions,
    damage: &Damage,
) -> Result<BTreeMap<FrameNumber, FrameHeader>, LogError> {
    let mut found = BTreeMap::new();
    for number in damage.segment..=damage.successor_place.segment {
        let segment = match open_segment(disk, number) {
            Err(LogError::Disk(DiskError::NotFound { .. }) | LogError::Unreadable { .. }) => continue,
            segment => segment?,
        };
        let from = if number == damage.segment { damage.offset as usize } else { FRAMES_START };
        let is_last = number == damage.successor_place.segment;
        let to = if is_last { damage.successor_place.offset } else { segment.file.length()? as usize };
        let mut bytes = vec![0; options.step_bytes.max(SECTOR as u32) as usize / SECTOR * SECTOR];
        for start in (from..to).step_by(bytes.len()) {
            let length = bytes.len().min(to - start);
            segment.file.read_at(start as u64, &mut bytes[..length])?;
            let sectors = bytes[..length].chunks(SECTOR).filter(|sector| sector.len() >= FRAME_HEADER);
            let headers = sectors.filter_map(FrameHeader::decode);
            let ours =
                headers.filter(|header| header.salt == segment.header.salt && damage.holds(header.number));
            found.extend(ours.map(|header| (header.number, header)));
        }
    }
    Ok(found)
}

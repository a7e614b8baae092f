//! The marker: a small file that says that a log exists, where it starts, and how far it once went.
//!
//! A log whose segments vanish must not look like a new one (GEN-3), a log whose first segments were trimmed
//! must not look like a damaged one (GEN-13), and one that ends before a frame that was seen at an earlier
//! boot has been rolled back. The marker is replaced as a whole: written beside, synced, renamed, the folder
//! synced (GEN-12).

use synod_types::B256;

use super::error::LogError;
use super::layout::{VERSION, array, number32, short_check};
use super::{FrameNumber, LogKind};
use crate::disk::{Disk, DiskError, DiskFile};

/// The file.
pub(super) const MARKER: &str = "marker";
const NEW_MARKER: &str = "marker.new";
const MAGIC: &[u8; 8] = b"SYNODLOG";
const LENGTH: usize = 84;

/// What the marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker {
    /// The owner's number for this log: an identity's incarnation for the votes, 0 for blocks.
    pub(super) incarnation: u64,
    /// The first segment that is kept.
    pub(super) floor_segment: u32,
    /// The first frame that is kept: the first one of that segment.
    pub(super) floor: FrameNumber,
    /// The hash of the frame before it.
    pub(super) floor_previous: B256,
    /// The last frame that an earlier boot found or a later trim left.
    pub(super) at_least: FrameNumber,
}

impl Marker {
    /// A new log's.
    pub(super) fn new(incarnation: u64) -> Self {
        Marker {
            incarnation,
            floor_segment: 0,
            floor: FrameNumber(1),
            floor_previous: B256::ZERO,
            at_least: FrameNumber(0),
        }
    }

    /// Reads the marker; `None` when there is none.
    pub(super) fn read<D: Disk>(disk: &D, kind: LogKind) -> Result<Option<Self>, LogError> {
        let file = match disk.open(MARKER) {
            Ok(file) => file,
            Err(DiskError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = [0; LENGTH];
        match file.read_at(0, &mut bytes) {
            Err(DiskError::ShortRead { .. }) => return Err(unreadable("it is too short")),
            read => read?,
        }
        Self::decode(&bytes, kind).map(Some)
    }

    /// Replaces the marker, durably.
    pub(super) fn write<D: Disk>(&self, disk: &D, kind: LogKind) -> Result<(), DiskError> {
        match disk.remove(NEW_MARKER) {
            Err(DiskError::NotFound { .. }) => {}
            removed => removed?,
        }
        let file = disk.create(NEW_MARKER)?;
        file.write_at(0, &self.encode(kind))?;
        file.sync_data()?;
        disk.rename(NEW_MARKER, MARKER)?;
        disk.sync_folder()
    }

    pub(super) fn encode(&self, kind: LogKind) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_be_bytes());
        bytes[12..16].copy_from_slice(&kind.code().to_be_bytes());
        bytes[16..24].copy_from_slice(&self.incarnation.to_be_bytes());
        bytes[24..28].copy_from_slice(&self.floor_segment.to_be_bytes());
        bytes[28..36].copy_from_slice(&self.floor.0.to_be_bytes());
        bytes[36..68].copy_from_slice(self.floor_previous.as_slice());
        bytes[68..76].copy_from_slice(&self.at_least.0.to_be_bytes());
        let check = short_check(b"synod/log/marker/v1", &bytes[..76]);
        bytes[76..].copy_from_slice(&check);
        bytes
    }

    pub(super) fn decode(bytes: &[u8; LENGTH], kind: LogKind) -> Result<Self, LogError> {
        if &bytes[..8] != MAGIC || bytes[76..] != short_check(b"synod/log/marker/v1", &bytes[..76]) {
            return Err(unreadable("its checksum does not match"));
        }
        let version = number32(&bytes[8..]);
        if version != VERSION {
            return Err(LogError::Version { file: MARKER.to_owned(), found: version, known: VERSION });
        }
        if number32(&bytes[12..]) != kind.code() {
            return Err(LogError::Kind { file: MARKER.to_owned(), kind });
        }
        Ok(Marker {
            incarnation: u64::from_be_bytes(array(&bytes[16..])),
            floor_segment: number32(&bytes[24..]),
            floor: FrameNumber(u64::from_be_bytes(array(&bytes[28..]))),
            floor_previous: B256::new(array(&bytes[36..])),
            at_least: FrameNumber(u64::from_be_bytes(array(&bytes[68..]))),
        })
    }
}

fn unreadable(what: &'static str) -> LogError {
    LogError::Unreadable { file: MARKER.to_owned(), what }
}

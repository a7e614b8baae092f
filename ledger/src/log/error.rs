//! Why a log refused.

use super::{FrameNumber, LogKind};
use crate::disk::DiskError;

/// What a log answers instead of guessing.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk refused. Unless it was for lack of space, the log has stopped.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An earlier write or sync failed, so nobody knows what is on the disk (GEN-4).
    #[error("the log stopped after a failed write or sync: restart the node, and check the disk")]
    Stopped,
    /// There is no log here: no marker says that one was ever made.
    #[error(
        "there is no {kind} in this folder, or its marker file is lost: create one, or restore the folder"
    )]
    Missing {
        /// The log that was looked for.
        kind: LogKind,
    },
    /// A log was to be created where there is one.
    #[error("this folder holds a {kind} already: open it")]
    Exists {
        /// The log that was to be created.
        kind: LogKind,
    },
    /// The files were written by another version of the program.
    #[error(
        "{file} has format version {found}, this program reads {known}: use the version that wrote it, or move the folder away and sync again"
    )]
    Version {
        /// The file.
        file: String,
        /// Its version.
        found: u32,
        /// The version of this program.
        known: u32,
    },
    /// The file belongs to another kind of log.
    #[error("{file} is not part of a {kind}: check the folder in the configuration")]
    Kind {
        /// The file.
        file: String,
        /// The log that was expected.
        kind: LogKind,
    },
    /// A file that must be whole is not.
    #[error("{file} is damaged ({what}): restore it, or move the folder away and sync again")]
    Unreadable {
        /// The file.
        file: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A frame that was read and checked before fails its check now. It is not served.
    #[error("frame {frame} at byte {offset} of segment {segment} is damaged: repair it from a peer")]
    Damaged {
        /// The segment.
        segment: u32,
        /// The frame.
        frame: FrameNumber,
        /// Where it starts in the segment.
        offset: u64,
    },
    /// The frame was removed with everything below `floor` (GEN-13).
    #[error("frames below {floor} were trimmed: fetch a snapshot")]
    Trimmed {
        /// The first frame that is kept.
        floor: FrameNumber,
    },
    /// There is no such frame yet, or it is not yet durable.
    #[error("frame {frame} is not in the log, which ends at {last}")]
    Unknown {
        /// The frame.
        frame: FrameNumber,
        /// The last durable frame.
        last: FrameNumber,
    },
    /// A frame was to be appended while the last one is not synced (STO-1).
    #[error("the last frame is not committed yet: commit it first")]
    Uncommitted,
    /// The payload does not fit into a frame.
    #[error("{length} bytes do not fit into a frame of at most {limit}: split the group")]
    TooLarge {
        /// Bytes of the payload.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The payloads offered for a repair are not the ones that the chain of hashes names.
    #[error("these payloads are not the damaged ones ({why}): ask another peer")]
    WrongRepair {
        /// What does not match.
        why: &'static str,
    },
}

//! Why the block log refused.

use synod_types::Height;

use crate::disk::DiskError;
use crate::log::{FrameNumber, LogError};

/// What the block log answers instead of guessing.
#[derive(Debug, thiserror::Error)]
pub enum BlockLogError {
    /// The frame log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record does not follow from the chain before it.
    #[error("a record for height {height} does not fit the chain ({why}): deliver in order")]
    Disordered {
        /// The record's height.
        height: Height,
        /// What does not fit.
        why: &'static str,
    },
    /// The block was trimmed (GEN-13).
    #[error("blocks below height {floor} were trimmed: fetch a snapshot")]
    Trimmed {
        /// The first height that is kept.
        floor: Height,
    },
    /// The chain does not reach that height.
    #[error("height {height} is above the tip ({})", tip.map_or("none yet".to_owned(), |tip| tip.to_string()))]
    AboveTip {
        /// The height that was asked for.
        height: Height,
        /// The tip's.
        tip: Option<Height>,
    },
    /// The frame's checksum holds and its content is not that of a block log.
    #[error("frame {frame} holds no deliveries of this format: use the version that wrote it")]
    Undecodable {
        /// The frame.
        frame: FrameNumber,
    },
    /// A block that a damaged frame held was not given back yet.
    #[error("the block at height {height} is lost, and no peer has given it yet")]
    StillLost {
        /// Its height.
        height: Height,
    },
    /// The log's index and the log disagree, which is a fault of this program.
    #[error("the block at height {height} is not where the index says: restart the node and report this")]
    Misplaced {
        /// The height.
        height: Height,
    },
}

impl From<DiskError> for BlockLogError {
    fn from(error: DiskError) -> Self {
        Self::Log(error.into())
    }
}

//! One header and the rules that it alone, or it and its ancestors, can break (POW-1, POW-3).

use std::fmt;

use alloy_primitives::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use synod_types::{BlockHash, Header};

use super::compact::{CompactError, Target, Work};

/// How many blocks the median time is taken over.
pub const MEDIAN_SPAN: usize = 11;

/// A header with its hash, computed once when the header is read. Encodes as the header alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashedHeader {
    header: Header,
    hash: BlockHash,
}

impl HashedHeader {
    /// Hashes the header.
    pub fn new(header: Header) -> Self {
        Self { header, hash: header.hash() }
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its hash.
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// Its parent's hash.
    pub fn parent(&self) -> BlockHash {
        self.header.parent
    }
}

impl fmt::Debug for HashedHeader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "header {} on {}", self.hash, self.header.parent)
    }
}

impl Serialize for HashedHeader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.header.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HashedHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Header::deserialize(deserializer).map(Self::new)
    }
}

/// Why a header is no header of this chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Its bits are no target within the network's limit.
    #[error("{0}")]
    Bits(#[from] CompactError),
    /// Its hash is above the target that it names itself.
    #[error("the hash does not meet the header's own target")]
    NoWork,
    /// The difficulty rule demands other bits on this parent.
    #[error("bits {found:#010x}, where its parent demands {expected:#010x}")]
    WrongBits {
        /// What the header says.
        found: u32,
        /// What the rule says.
        expected: u32,
    },
    /// Its time is not above the median of its eleven ancestors.
    #[error("time {time} is not above the median {median} of its ancestors")]
    TooOld {
        /// The header's seconds.
        time: u32,
        /// The median of its ancestors' seconds.
        median: u32,
    },
}

/// Checks what a header shows without its ancestors: that its hash meets the target that it names.
///
/// # Errors
/// [`HeaderError::Bits`], [`HeaderError::NoWork`].
pub fn check_work(header: &HashedHeader, limit: Target) -> Result<Work, HeaderError> {
    let target = Target::from_compact_within(header.header.bits, limit)?;
    if !target.is_met_by(header.hash) {
        return Err(HeaderError::NoWork);
    }
    Ok(target.work())
}

/// The median of up to eleven ancestors' times, newest first; of an even number the higher one.
///
/// # Panics
/// When there is no ancestor: the genesis block is not checked.
pub fn median_time(newest_first: &[u32]) -> u32 {
    let count = newest_first.len().min(MEDIAN_SPAN);
    let mut times = [0; MEDIAN_SPAN];
    times[..count].copy_from_slice(&newest_first[..count]);
    times[..count].sort_unstable();
    times[count / 2]
}

/// Whether a header's time is too far ahead of the local clock for now. It may be taken later: this is
/// never a reason to call a block invalid (POW-3).
pub fn is_too_early(time: u32, wall_seconds: u64, future_limit_seconds: u32) -> bool {
    u64::from(time) > wall_seconds.saturating_add(u64::from(future_limit_seconds))
}

/// The work of a header that was checked before.
pub(crate) fn work_of(header: &Header) -> Work {
    Target::from_compact(header.bits).map_or(Work(U256::ZERO), Target::work)
}

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;

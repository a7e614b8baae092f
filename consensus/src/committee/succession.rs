//! How one committee follows another, for anybody who knows the genesis.
//!
//! The last block of an epoch binds the hash of the next epoch's record, and the committee that ends certifies
//! that block. So the first committee, known from the genesis, vouches for the second, that for the third, and
//! so on, offline.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use synod_types::codec::{self, DecodeError};
use synod_types::committee::{EpochRecord, RecordError};
use synod_types::{Commitment, Epoch, Header};

use super::certificate::{CERTIFICATE_LIMIT, Certificate, CertificateError};
use super::members::Committee;

/// The largest encoding: a header and what it binds, a record, a certificate.
pub const SUCCESSION_LIMIT: usize = synod_types::committee::RECORD_LIMIT + CERTIFICATE_LIMIT + 1024;

/// An epoch's end, with everything that proves the next one's beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// The header of the epoch's last block.
    pub header: Header,
    /// What the header binds, the hash of `next` among it.
    pub commitment: Commitment,
    /// By the committee whose epoch ends.
    pub certificate: Certificate,
    /// The next epoch's record.
    pub next: EpochRecord,
}

/// Why a succession proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// The bytes are none.
    #[error("an epoch's end does not decode: {0}")]
    Decode(#[from] DecodeError),
    /// The certificate.
    #[error("the certificate of the last block of epoch {epoch}: {error}")]
    Certificate {
        /// The epoch that ends.
        epoch: Epoch,
        /// What is wrong.
        error: CertificateError,
    },
    /// The certificate is of another block.
    #[error("the certificate of the last block of epoch {0} is of another block")]
    OtherBlock(Epoch),
    /// The header binds another commitment.
    #[error("the header of the last block of epoch {0} binds another commitment")]
    Commitment(Epoch),
    /// The block does not bind the record.
    #[error("the last block of epoch {0} names another next committee")]
    Record(Epoch),
    /// The record makes no committee.
    #[error("the committee after epoch {epoch}: {error}")]
    Committee {
        /// The epoch that ends.
        epoch: Epoch,
        /// What is wrong.
        error: RecordError,
    },
}

impl Succession {
    /// The committee that follows `current`.
    ///
    /// # Errors
    /// [`SuccessionError`].
    pub fn follow(&self, current: &Committee) -> Result<Committee, SuccessionError> {
        let epoch = current.epoch();
        self.certificate.verify(current).map_err(|error| SuccessionError::Certificate { epoch, error })?;
        if self.certificate.statement.block_hash != self.header.hash() {
            return Err(SuccessionError::OtherBlock(epoch));
        }
        if self.commitment.digest() != self.header.commitment {
            return Err(SuccessionError::Commitment(epoch));
        }
        let is_next = self.next.epoch.0 == epoch.0.saturating_add(1)
            && self.next.base == self.certificate.statement.height
            && self.next.hash() == self.commitment.next_committee;
        if !is_next {
            return Err(SuccessionError::Record(epoch));
        }
        Committee::new(current.genesis(), self.next.clone())
            .map_err(|error| SuccessionError::Committee { epoch, error })
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads canonical bytes, at most [`SUCCESSION_LIMIT`] of them.
    ///
    /// # Errors
    /// [`SuccessionError::Decode`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SuccessionError> {
        Ok(codec::decode::<Self, SUCCESSION_LIMIT>(bytes)?)
    }
}

/// The committee that the first one leads to, over all these epochs' ends.
///
/// # Errors
/// The first [`SuccessionError`].
pub fn follow_all(
    genesis: B256,
    first: EpochRecord,
    ends: &[Succession],
) -> Result<Committee, SuccessionError> {
    let first = Committee::new(genesis, first);
    let first = first.map_err(|error| SuccessionError::Committee { epoch: Epoch(0), error })?;
    ends.iter().try_fold(first, |committee, end| end.follow(&committee))
}

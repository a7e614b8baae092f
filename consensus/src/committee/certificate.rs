//! A quorum's attestations: proof that a block is final, for anybody who knows the committee.

use serde::{Deserialize, Serialize};
use synod_types::codec::{self, DecodeError};
use synod_types::{Position, Slot};

use super::attestation::{ATTESTATION_TAG, Attested};
use super::members::{Committee, MemberIndex};
use super::signatures::Signatures;

/// The largest encoding of a certificate: the statement, 64 signatures, and what counts them.
pub const CERTIFICATE_LIMIT: usize = 8 * 1024;

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// What is certified.
    pub statement: Attested,
    /// By whom.
    pub signatures: Signatures,
}

/// Why a certificate proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The bits and the signatures differ in number.
    #[error("{signers} signers are named and {signatures} signatures given")]
    Miscounted {
        /// Bits.
        signers: usize,
        /// Signatures.
        signatures: usize,
    },
    /// A bit beyond the committee.
    #[error("names a signer who is no member")]
    NotAMember,
    /// No quorum.
    #[error("{signatures} signatures, where {needed} are needed")]
    TooFew {
        /// How many there are.
        signatures: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A signature that its member never made.
    #[error("the signature of member {0} is wrong")]
    BadSignature(MemberIndex),
    /// A statement about another epoch, or with a height that is not its slot's.
    #[error("position {position} is not one of epoch {epoch}, or its height is wrong")]
    Foreign {
        /// The certificate's position.
        position: Position,
        /// The committee's epoch.
        epoch: u64,
    },
    /// The bytes are no certificate.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Certificate {
    /// The slot that it certifies.
    pub fn slot(&self) -> Slot {
        self.statement.position.slot
    }

    /// Whether a quorum of the committee signed it. This is the whole offline check: the committee comes
    /// from the genesis or from a certified block's record.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, committee: &Committee) -> Result<(), CertificateError> {
        if !self.statement.is_of(committee) {
            let (position, epoch) = (self.statement.position, committee.epoch().0);
            return Err(CertificateError::Foreign { position, epoch });
        }
        let content = codec::encode(&self.statement);
        self.signatures.verify(committee, ATTESTATION_TAG, &content, committee.quorum())
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads canonical bytes, at most [`CERTIFICATE_LIMIT`] of them.
    ///
    /// # Errors
    /// [`CertificateError::Decode`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CertificateError> {
        Ok(codec::decode::<Self, CERTIFICATE_LIMIT>(bytes)?)
    }
}

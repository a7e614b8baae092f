//! Evidence: two signed statements of one member that no honest member makes both (A9).
//!
//! Anybody who knows the committee can check it. Which statements contradict each other is for the protocol
//! to say (`pbft::evidence`); this file knows the contradiction that all committees share: two blocks
//! attested at one place.

use alloy_primitives::{B256, Bytes};
use serde::{Deserialize, Serialize};
use synod_types::hash::sha256;
use synod_types::{Signature, codec};

use super::attestation::{ATTESTATION_TAG, Attestation, Attested};
use super::members::{Committee, MemberIndex};

/// The largest statement that evidence carries.
pub const STATEMENT_LIMIT: usize = 4 * 1024 * 1024;

/// A statement as it was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedStatement {
    /// The tag: what kind of statement.
    pub tag: Bytes,
    /// The canonical bytes of what is stated.
    pub content: Bytes,
    /// The member's signature.
    pub signature: Signature,
}

impl SignedStatement {
    /// Whether `member` made it. `tag` is the protocol's own constant that its bytes must equal.
    pub fn is_by(&self, member: MemberIndex, tag: &'static [u8], committee: &Committee) -> bool {
        self.tag[..] == *tag && committee.verify(member, tag, &self.content, &self.signature)
    }
}

impl From<&Attestation> for SignedStatement {
    fn from(attestation: &Attestation) -> Self {
        Self {
            tag: Bytes::from_static(ATTESTATION_TAG),
            content: codec::encode(&attestation.statement).into(),
            signature: attestation.signature,
        }
    }
}

/// Two statements of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Whose.
    pub member: MemberIndex,
    /// The one.
    pub first: SignedStatement,
    /// The other.
    pub second: SignedStatement,
}

impl Evidence {
    /// What tells it from other evidence.
    pub fn id(&self) -> B256 {
        sha256(&[b"synod/evidence/v1", &codec::encode(self)])
    }

    /// Whether the member attested two blocks at one place.
    pub fn is_double_attestation(&self, committee: &Committee) -> bool {
        let read = |statement: &SignedStatement| {
            let is_signed = statement.is_by(self.member, ATTESTATION_TAG, committee);
            codec::decode::<Attested, 256>(&statement.content).ok().filter(|_| is_signed)
        };
        match (read(&self.first), read(&self.second)) {
            (Some(first), Some(second)) => first.position == second.position && first != second,
            _ => false,
        }
    }
}

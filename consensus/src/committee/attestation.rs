//! What a member says once a block is durable at it.

use serde::{Deserialize, Serialize};
use synod_types::{BlockHash, Height, Position, Signature, codec};

use super::members::{Committee, MemberIndex, Signer};

/// The domain tag of an attestation.
pub const ATTESTATION_TAG: &[u8] = b"synod/attestation/v1";

/// The statement: at this place of the order stands this block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// The place.
    pub position: Position,
    /// The block's height.
    pub height: Height,
    /// The block, and with it its whole past and the state after it.
    pub block_hash: BlockHash,
}

/// A member's signed statement. Under PBFT it is the CHECKPOINT message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// What.
    pub statement: Attested,
    /// Who.
    pub member: MemberIndex,
    /// Over [`ATTESTATION_TAG`] and the statement.
    pub signature: Signature,
}

impl Attestation {
    /// Signs a statement.
    pub fn new(committee: &Committee, signer: &Signer, statement: Attested) -> Self {
        let signature = signer.sign(committee, ATTESTATION_TAG, &codec::encode(&statement));
        Self { statement, member: signer.index(), signature }
    }

    /// Whether its member signed it, and it speaks of the committee's epoch.
    pub fn is_valid(&self, committee: &Committee) -> bool {
        let content = codec::encode(&self.statement);
        self.statement.is_of(committee)
            && committee.verify(self.member, ATTESTATION_TAG, &content, &self.signature)
    }
}

impl Attested {
    /// Whether the place and the height are the committee's to speak of.
    pub fn is_of(&self, committee: &Committee) -> bool {
        let record = committee.record();
        self.position.epoch == record.epoch
            && self.position.slot.0 > 0
            && record.base.0.checked_add(self.position.slot.0) == Some(self.height.0)
    }
}

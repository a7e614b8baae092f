//! A proof of an account that anybody checks offline, from a header that they trust.

use serde::{Deserialize, Serialize};
use synod_types::codec::fixed;
use synod_types::{Address, BlockHash, Commitment, Header};

use crate::state::{Account, leaves};
use crate::trie::{Proof, ProofError};

/// An account as a block's state root binds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountProof {
    /// The block's header. Whether it is on the chain is for the checker to know: by its work, by a
    /// certificate, or by its hash from a trusted place.
    pub header: Header,
    /// What the header binds.
    pub commitment: Commitment,
    /// Whose account.
    #[serde(with = "fixed")]
    pub address: Address,
    /// What it is; the empty account is one that is absent.
    pub account: Account,
    /// The walk in the state tree.
    pub proof: Proof,
}

/// Why a proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountProofError {
    /// The header binds another commitment.
    #[error("the header binds another commitment")]
    Commitment,
    /// The walk is bad.
    #[error(transparent)]
    Walk(#[from] ProofError),
    /// The walk proves another value.
    #[error("the state root has another value for this account")]
    OtherValue,
}

impl AccountProof {
    /// Checks the proof; returns the hash of the block in whose state the account is this one.
    ///
    /// # Errors
    /// [`AccountProofError`].
    pub fn verify(&self) -> Result<BlockHash, AccountProofError> {
        if self.commitment.digest() != self.header.commitment {
            return Err(AccountProofError::Commitment);
        }
        let key = leaves::account_key(&self.address);
        let proven = self.proof.verify(&self.commitment.state_root, &key)?;
        if proven != leaves::account_value(&self.account) {
            return Err(AccountProofError::OtherValue);
        }
        Ok(self.header.hash())
    }
}

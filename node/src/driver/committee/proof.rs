//! What proves that the block of a snapshot is final, to whoever knows the genesis alone: how the committees followed
//! each other, a certificate by the last of them, and the headers from the certified block down to that one.

use serde::{Deserialize, Serialize};
use synod_consensus::committee::{Certificate, EpochRecord, Succession, succession};
use synod_types::{BlockHash, Genesis, Header, Height, codec};

/// The largest encoding: thousands of epochs.
const PROOF_LIMIT: usize = 4 * 1024 * 1024;
/// The most headers between the block and the certified one.
pub(super) const LINKS: u64 = 1_024;

/// The proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof {
    /// The ends of all epochs before the certificate's, oldest first.
    pub(super) ends: Vec<Succession>,
    /// For the block itself, or for one above it.
    pub(super) certificate: Certificate,
    /// The headers above the block up to the certified one, lowest first.
    pub(super) headers: Vec<Header>,
}

impl Proof {
    /// The canonical bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads canonical bytes.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        codec::decode::<Self, PROOF_LIMIT>(bytes).ok()
    }

    /// Whether this network's committees made this block final.
    pub(super) fn proves(&self, genesis: &Genesis, height: Height, hash: BlockHash) -> bool {
        let Some(first) = EpochRecord::first(genesis) else { return false };
        let certified = self.certificate.statement;
        let is_linked = certified.height.0.checked_sub(height.0) == Some(self.headers.len() as u64);
        if !is_linked || self.headers.len() as u64 > LINKS {
            return false;
        }
        let mut expected = certified.block_hash;
        for header in self.headers.iter().rev() {
            if header.hash() != expected {
                return false;
            }
            expected = header.parent;
        }
        if expected != hash {
            return false;
        }
        let committee = succession::follow_all(genesis.hash(), first, &self.ends);
        committee.is_ok_and(|committee| self.certificate.verify(&committee).is_ok())
    }
}

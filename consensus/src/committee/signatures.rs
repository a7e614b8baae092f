//! Signatures of several members under one statement: a word of bits and one signature for each.
//!
//! A member cannot appear twice, the order is that of the indexes, and there is one encoding. Counts are
//! checked before any signature is (PBFT-17).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use synod_types::{Signature, mutant};

use super::certificate::CertificateError;
use super::members::{Committee, MemberIndex};

/// Who signed, and the signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signatures {
    /// Bit i is member i.
    signers: u64,
    /// In the order of the indexes.
    signatures: Vec<Signature>,
}

impl Signatures {
    /// The signatures of these members.
    pub fn new(by_member: &BTreeMap<MemberIndex, Signature>) -> Self {
        let signers = by_member.keys().fold(0, |bits, member| bits | 1 << member.0);
        Self { signers, signatures: by_member.values().copied().collect() }
    }

    /// Raw parts, for whoever makes wrong ones on purpose.
    pub fn from_parts(signers: u64, signatures: Vec<Signature>) -> Self {
        Self { signers, signatures }
    }

    /// The word of bits and the signatures.
    pub fn parts(&self) -> (u64, &[Signature]) {
        (self.signers, &self.signatures)
    }

    /// Who signed.
    pub fn members(&self) -> impl Iterator<Item = MemberIndex> + use<> {
        let signers = self.signers;
        (0..64).filter(move |bit| signers >> bit & 1 == 1).map(MemberIndex)
    }

    /// Who signed, with the signature.
    pub fn iter(&self) -> impl Iterator<Item = (MemberIndex, &Signature)> {
        self.members().zip(&self.signatures)
    }

    /// Whether the member signed.
    pub fn has(&self, member: MemberIndex) -> bool {
        member.0 < 64 && self.signers >> member.0 & 1 == 1
    }

    /// How many signed.
    pub fn count(&self) -> usize {
        self.signers.count_ones() as usize
    }

    /// Whether at least `needed` members signed `content`, and nobody's signature is wrong.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(
        &self,
        committee: &Committee,
        tag: &'static [u8],
        content: &[u8],
        needed: usize,
    ) -> Result<(), CertificateError> {
        if self.signatures.len() != self.count() && !mutant!("gen-7-duplicate-signer") {
            return Err(CertificateError::Miscounted {
                signers: self.count(),
                signatures: self.signatures.len(),
            });
        }
        if committee.len() < 64 && self.signers >> committee.len() != 0 {
            return Err(CertificateError::NotAMember);
        }
        if self.signatures.len() < needed {
            return Err(CertificateError::TooFew { signatures: self.count(), needed });
        }
        for (member, signature) in self.iter() {
            if !committee.verify(member, tag, content, signature) {
                return Err(CertificateError::BadSignature(member));
            }
        }
        Ok(())
    }
}

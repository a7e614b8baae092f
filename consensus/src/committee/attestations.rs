//! What members attested, and the certificates that come out of it: equal under every ordering.
//!
//! Once a block is durable here its hash is attested, and a quorum of equal attestations is a certificate. The
//! newest certificate settles everything below it. A certificate of another block than the one here means
//! that more members fail than the committee survives, or that this machine computes wrongly.

use std::collections::BTreeMap;

use synod_types::{BlockHash, Height, Position, Slot};

use super::{Attestation, Attested, Certificate, Committee, Evidence, MemberIndex, Signatures, Signer};

/// Attestations of slots that far below the newest certificate still make certificates of their own.
const LATE: u64 = 16;

/// A certificate, and another block here.
#[derive(Debug, PartialEq)]
pub(crate) struct Disagreement {
    pub(crate) slot: Slot,
    pub(crate) ours: BlockHash,
    pub(crate) theirs: BlockHash,
}

/// What an attestation led to.
#[derive(Debug, PartialEq)]
pub(crate) enum Counted {
    /// Nothing new.
    Nothing,
    /// A quorum agrees.
    Certificate(Certificate),
    /// Its member attested another block at this place before.
    Contradiction(Evidence),
}

/// One member's view of what is attested in its epoch.
#[derive(Debug, Clone)]
pub(crate) struct Attestations {
    committee: Committee,
    said: BTreeMap<Slot, BTreeMap<MemberIndex, Attestation>>,
    /// The blocks of recent slots.
    hashes: BTreeMap<Slot, BlockHash>,
    /// The newest certificate.
    newest: Option<Certificate>,
}

impl Attestations {
    pub(crate) fn new(committee: Committee, newest: Option<Certificate>) -> Self {
        Self { committee, said: BTreeMap::new(), hashes: BTreeMap::new(), newest }
    }

    /// The slot of the newest certificate.
    pub(crate) fn certified(&self) -> Slot {
        self.newest.as_ref().map_or(Slot(0), Certificate::slot)
    }

    pub(crate) fn newest(&self) -> Option<&Certificate> {
        self.newest.as_ref()
    }

    pub(crate) fn position(&self, slot: Slot) -> Position {
        Position { epoch: self.committee.epoch(), slot }
    }

    pub(crate) fn height(&self, slot: Slot) -> Height {
        Height(self.committee.record().base.0.saturating_add(slot.0))
    }

    pub(crate) fn hash_at(&self, slot: Slot) -> Option<BlockHash> {
        self.hashes.get(&slot).copied()
    }

    /// How many slots have attestations.
    pub(crate) fn len(&self) -> usize {
        self.said.len()
    }

    /// The member signs that the slot's block is durable here.
    pub(crate) fn sign(&self, signer: &Signer, slot: Slot, block_hash: BlockHash) -> Attestation {
        let (position, height) = (self.position(slot), self.height(slot));
        Attestation::new(&self.committee, signer, Attested { position, height, block_hash })
    }

    /// The block of a slot is known.
    pub(crate) fn note_block(&mut self, slot: Slot, block_hash: BlockHash) -> Result<(), Disagreement> {
        self.hashes.insert(slot, block_hash);
        let newest = self.newest.as_ref().map(|certificate| certificate.statement);
        newest.filter(|statement| statement.position.slot == slot).map_or(Ok(()), |it| self.compare(&it))
    }

    /// Whether the block here is the stated one, or none is known.
    pub(crate) fn compare(&self, statement: &Attested) -> Result<(), Disagreement> {
        let (slot, theirs) = (statement.position.slot, statement.block_hash);
        match self.hash_at(slot) {
            Some(ours) if ours != theirs => Err(Disagreement { slot, ours, theirs }),
            _ => Ok(()),
        }
    }

    /// Counts an attestation that passed its check, of this member or another. Slots that `window` and what is
    /// executed here do not reach are not kept.
    pub(crate) fn count(&mut self, attestation: Attestation, executed: Slot, window: u64) -> Counted {
        let Attestation { statement, member, .. } = attestation;
        let (slot, low) = (statement.position.slot, self.certified().0);
        let high = low.max(executed.0).saturating_add(window.saturating_mul(2));
        if slot.0.saturating_add(LATE) <= low || slot.0 > high {
            return Counted::Nothing;
        }
        let said = self.said.entry(slot).or_default();
        match said.get(&member) {
            Some(known) if known.statement != statement => {
                let (first, second) = (known.into(), (&attestation).into());
                return Counted::Contradiction(Evidence { member, first, second });
            }
            Some(_) => return Counted::Nothing,
            None => {}
        }
        said.insert(member, attestation);
        let agreeing = said.values().filter(|known| known.statement == statement);
        if agreeing.clone().count() != self.committee.quorum() {
            return Counted::Nothing;
        }
        let signed = agreeing.map(|known| (known.member, known.signature)).collect();
        Counted::Certificate(Certificate { statement, signatures: Signatures::new(&signed) })
    }

    /// Takes in a certificate; whether it is above the one known.
    pub(crate) fn adopt(&mut self, certificate: &Certificate) -> bool {
        let is_newer = certificate.slot() > self.certified();
        if is_newer {
            self.newest = Some(certificate.clone());
        }
        is_newer
    }

    /// This member's own that no certificate covers, the oldest first.
    pub(crate) fn uncertified_by(&self, me: MemberIndex) -> impl Iterator<Item = Attestation> {
        let above = self.said.range(Slot(self.certified().0 + 1)..);
        above.filter_map(move |(_, said)| said.get(&me).copied())
    }

    /// Drops blocks up to `floor`, and attestations that come too late to matter.
    pub(crate) fn forget(&mut self, floor: Slot) {
        self.hashes = self.hashes.split_off(&Slot(floor.0 + 1));
        let late = self.certified().0.saturating_sub(LATE);
        self.said = self.said.split_off(&Slot(late + 1));
    }
}

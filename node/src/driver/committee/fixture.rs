//! A committee of four, for tests.

use std::collections::BTreeMap;

use synod_consensus::committee::{
    Attestation, Attested, Certificate, Committee, EpochRecord, FaultModel, Member, Signatures, Signer,
};
use synod_types::{B256, BlockHash, Epoch, Genesis, Height, Position, SecretKey, Slot, UnixMillis};

pub(super) struct Four {
    pub(super) committee: Committee,
    pub(super) signers: Vec<Signer>,
}

impl Four {
    pub(super) fn new(network: u8) -> Self {
        let keys: Vec<SecretKey> = (1..=4).map(|seed| SecretKey::from_seed(&[seed; 32])).collect();
        let record = EpochRecord {
            epoch: Epoch(0),
            ordering: "pbft".to_owned(),
            model: FaultModel::Byzantine,
            base: Height(0),
            members: keys
                .iter()
                .zip(0..)
                .map(|(key, index): (_, u8)| Member::new(index.to_string(), key.public()))
                .collect(),
        };
        let committee = Committee::new(B256::repeat_byte(network), record).expect("four members");
        let signer = |key| Signer::new(&committee, key).expect("a member's key");
        let signers = keys.into_iter().map(signer).collect();
        Self { committee, signers }
    }

    /// A certificate of the block `hash` at `height`.
    pub(super) fn certificate(&self, height: u64, hash: BlockHash) -> Certificate {
        let position = Position { epoch: Epoch(0), slot: Slot(height) };
        let statement = Attested { position, height: Height(height), block_hash: hash };
        let attest = |signer: &Signer| {
            (signer.index(), Attestation::new(&self.committee, signer, statement).signature)
        };
        let signed: BTreeMap<_, _> = self.signers[..3].iter().map(attest).collect();
        Certificate { statement, signatures: Signatures::new(&signed) }
    }
}

/// A genesis that says nothing in particular.
pub(super) fn genesis() -> Genesis {
    Genesis {
        chain_id: 1,
        salt: B256::ZERO,
        time: UnixMillis(0),
        ordering: synod_types::genesis::Ordering::Pbft,
        members: Vec::new(),
        alloc: BTreeMap::new(),
        fees: synod_types::genesis::Fees::default(),
        limits: synod_types::genesis::Limits::default(),
        pow: synod_types::genesis::ProofOfWork::testnet(0x207f_ffff),
        testnet: true,
    }
}

//! Quorums, certificates and evidence: what must hold, and every way in which a certificate can lie.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes};
use synod_types::codec::DecodeError;
use synod_types::hash::sha256;
use synod_types::{BlockHash, Epoch, Height, Position, SecretKey, Slot, UnixMillis, codec};

use super::attestation::ATTESTATION_TAG;
use super::*;

fn committee(members: u8, epoch: u64, genesis: u8) -> (Committee, Vec<Signer>) {
    let keys: Vec<SecretKey> = (0..members).map(|index| SecretKey::from_seed(&[index + 1; 32])).collect();
    let record = EpochRecord {
        epoch: Epoch(epoch),
        ordering: "pbft".to_owned(),
        model: FaultModel::Byzantine,
        base: Height(10),
        members: keys
            .iter()
            .zip(0..)
            .map(|(key, index): (_, u8)| Member::new(index.to_string(), key.public()))
            .collect(),
    };
    let committee = Committee::new(B256::repeat_byte(genesis), record).unwrap();
    let signers = keys.into_iter().map(|key| Signer::new(&committee, key).unwrap()).collect();
    (committee, signers)
}

fn statement(epoch: u64, slot: u64) -> Attested {
    Attested {
        position: Position { epoch: Epoch(epoch), slot: Slot(slot) },
        height: Height(10 + slot),
        block_hash: BlockHash(B256::repeat_byte(9)),
    }
}

fn certificate(committee: &Committee, signers: &[Signer], statement: Attested) -> Certificate {
    let signed: BTreeMap<_, _> = signers
        .iter()
        .map(|signer| (signer.index(), Attestation::new(committee, signer, statement).signature))
        .collect();
    Certificate { statement, signatures: Signatures::new(&signed) }
}

#[test]
fn pbft_1_two_quorums_share_an_honest_member() {
    for members in 4..=64 {
        let Quorums { faults, quorum, .. } = Quorums::new(members, FaultModel::Byzantine).unwrap();
        assert!(2 * quorum - members > faults, "n = {members}");
        assert!(quorum <= members - faults, "n = {members} can be reached without the liars");
    }
    assert_eq!(Quorums::new(6, FaultModel::Byzantine).unwrap().quorum, 4);
    for members in 1..=64 {
        let Quorums { faults, quorum, .. } = Quorums::new(members, FaultModel::Crash).unwrap();
        assert!(2 * quorum > members && quorum <= members - faults);
    }
}

#[test]
fn pbft_1_three_members_are_refused_with_the_arithmetic() {
    let refusal = Quorums::new(3, FaultModel::Byzantine).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "3 members survive f = ⌊(3 − 1) / 3⌋ = 0 liars: add 1 more, since one liar needs 3·1 + 1 = 4 members"
    );
    assert!(Quorums::new(0, FaultModel::Crash).is_err() && Quorums::new(65, FaultModel::Crash).is_err());
}

#[test]
fn two_members_with_one_key_are_no_committee() {
    let (committee, _) = committee(4, 0, 1);
    let mut record = committee.record().clone();
    record.members[3].key = record.members[1].key;
    let error = Committee::new(B256::ZERO, record.clone()).unwrap_err();
    assert_eq!(error, RecordError::SameKey { first: 1, second: 3 });
    record.members[3].key.0 = [0; 32];
    assert_eq!(Committee::new(B256::ZERO, record).unwrap_err(), RecordError::WeakKey(3));
}

#[test]
fn golden_bytes_of_a_record_and_a_certificate() {
    let (committee, signers) = committee(4, 2, 1);
    let certificate = certificate(&committee, &signers[..3], statement(2, 5));
    let bytes = certificate.to_bytes();
    assert_eq!(bytes.len(), 8 + 8 + 8 + 32 + 8 + 8 + 3 * 64);
    assert_eq!(Certificate::from_bytes(&bytes).unwrap(), certificate);
    assert_eq!(
        [sha256(&[&bytes]).to_string(), committee.record().hash().to_string()],
        [
            "0x6f5d62fadd53ae9a3ac400d33314ad07b2fc78c26afe4b031c3df16dbb5d7723",
            "0x8aebb1c75fea9b1b51df9270976926d8c8723edfdcca4e9d15abc051bfb35864"
        ]
    );
}

#[test]
fn cry_4_a_certificate_of_another_network_or_epoch_proves_nothing() {
    let (here, signers) = committee(4, 2, 1);
    let good = certificate(&here, &signers[..3], statement(2, 5));
    assert_eq!(good.verify(&here), Ok(()));
    let (other_network, _) = committee(4, 2, 7);
    assert!(matches!(good.verify(&other_network), Err(CertificateError::BadSignature(_))));
    let (next_epoch, _) = committee(4, 3, 1);
    assert!(matches!(good.verify(&next_epoch), Err(CertificateError::Foreign { .. })));
    let mut renamed = good.clone();
    renamed.statement.position.epoch = Epoch(3);
    assert!(matches!(renamed.verify(&next_epoch), Err(CertificateError::BadSignature(_))));
    let mut higher = good;
    higher.statement.height = Height(16);
    assert!(matches!(higher.verify(&here), Err(CertificateError::Foreign { .. })));
}

/// S-B5: each way in which a certificate can be wrong has its own answer.
#[test]
fn pbft_15_wrong_certificates_are_refused_with_the_reason() {
    let (committee, signers) = committee(4, 0, 1);
    let good = certificate(&committee, &signers[..3], statement(0, 5));
    let (bits, list) = good.signatures.parts();
    let with =
        |bits, list: Vec<_>| Certificate { signatures: Signatures::from_parts(bits, list), ..good.clone() };
    let too_few = certificate(&committee, &signers[..2], statement(0, 5));
    assert_eq!(too_few.verify(&committee), Err(CertificateError::TooFew { signatures: 2, needed: 3 }));
    let duplicate = with(0b11, vec![list[0], list[1], list[1]]);
    assert_eq!(duplicate.verify(&committee), Err(CertificateError::Miscounted { signers: 2, signatures: 3 }));
    assert_eq!(
        with(bits | 1 << 40, list.repeat(2)[..4].to_vec()).verify(&committee),
        Err(CertificateError::NotAMember)
    );
    assert!(with(u64::MAX, list.to_vec()).verify(&committee).is_err());
    let swapped = with(bits, vec![list[1], list[0], list[2]]);
    assert_eq!(swapped.verify(&committee), Err(CertificateError::BadSignature(MemberIndex(0))));
    let mut other_block = good.clone();
    other_block.statement.block_hash = BlockHash(B256::ZERO);
    assert_eq!(other_block.verify(&committee), Err(CertificateError::BadSignature(MemberIndex(0))));
    let mut bytes = good.to_bytes();
    bytes.push(0);
    assert_eq!(Certificate::from_bytes(&bytes), Err(DecodeError::Trailing(1).into()));
    let count_at = good.to_bytes().len() - 3 * 64 - 8;
    let mut endless = good.to_bytes();
    endless[count_at..count_at + 8].fill(0xff);
    assert!(Certificate::from_bytes(&endless).is_err());
}

#[test]
fn a9_two_attested_blocks_at_one_place_are_evidence_and_one_is_not() {
    let (committee, signers) = committee(4, 0, 1);
    let first = Attestation::new(&committee, &signers[2], statement(0, 5));
    let other = Attested { block_hash: BlockHash(B256::ZERO), ..statement(0, 5) };
    let second = Attestation::new(&committee, &signers[2], other);
    let evidence = |member, first: &Attestation, second: &Attestation| Evidence {
        member: MemberIndex(member),
        first: first.into(),
        second: second.into(),
    };
    assert!(first.is_valid(&committee));
    assert!(evidence(2, &first, &second).is_double_attestation(&committee));
    assert!(!evidence(1, &first, &second).is_double_attestation(&committee), "another member's");
    assert!(!evidence(2, &first, &first).is_double_attestation(&committee));
    let later = Attestation::new(&committee, &signers[2], statement(0, 6));
    assert!(!evidence(2, &first, &later).is_double_attestation(&committee));
    assert_ne!(evidence(2, &first, &second).id(), evidence(2, &first, &later).id());
    assert_eq!(SignedStatement::from(&first).tag[..], *ATTESTATION_TAG);
}

#[test]
fn a_payload_begins_with_its_time_as_the_ledgers_does() {
    let ledgers = synod_types::Payload {
        time: UnixMillis(77),
        proposer: alloy_primitives::Address::ZERO,
        fee_recipient: alloy_primitives::Address::ZERO,
        transactions: Vec::new(),
    };
    let payload = Payload::new(codec::encode(&ledgers).into()).unwrap();
    assert_eq!(payload.time(), UnixMillis(77));
    assert_eq!(Payload::new(Bytes::from_static(b"short")), Err(PayloadError::TooShort(5)));
    let read: Payload = codec::decode::<_, 1024>(&codec::encode(&payload)).unwrap();
    assert_eq!(read, payload);
}

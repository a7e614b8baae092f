//! What the members of a committee read from each other and from their journals. What decodes is checked as if
//! another member had sent it, too: by the signatures and bounds that stand before the ordering machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_consensus::committee::{
    Attestation, Attested, Certificate, Committee, EpochRecord, FaultModel, Member, MemberIndex, Payload,
    Signatures, Signer, Validity,
};
use synod_consensus::paxos::{self, Ballot, Paxos};
use synod_consensus::pbft::messages::{CarriedOver, Choice, Phase, Prepared, ViewChange, Vote};
use synod_consensus::pbft::{self, Pbft, View};
use synod_consensus::zab::messages::{Basis, Entry, State};
use synod_consensus::zab::{self, Point, Zab, ZabEpoch, Zxid};
use synod_consensus::{Peer, Protocol};
use synod_ledger::hostile::Decoder;
use synod_types::codec::{decode, encode};
use synod_types::{B256, BlockHash, Epoch, Height, Position, SecretKey, Slot};

#[derive(Debug)]
struct AnyBytes;

impl Validity for AnyBytes {
    fn check(&self, _: &Payload) -> Result<(), String> {
        Ok(())
    }
}

fn record(ordering: &str, model: FaultModel) -> (EpochRecord, Vec<SecretKey>) {
    let keys: Vec<_> = (1..=4).map(|index| SecretKey::from_seed(&[index; 32])).collect();
    let member = |(key, index): (&SecretKey, u8)| Member::new(index.to_string(), key.public());
    let members = keys.iter().zip(0u8..).map(member).collect();
    let ordering = ordering.to_owned();
    (EpochRecord { epoch: Epoch(0), ordering, model, base: Height(0), members }, keys)
}

fn committee(ordering: &str, model: FaultModel) -> (Committee, Vec<Signer>) {
    let (record, keys) = record(ordering, model);
    let committee = Committee::new(B256::ZERO, record).unwrap();
    let signers = keys.into_iter().map(|key| Signer::new(&committee, key).unwrap()).collect();
    (committee, signers)
}

fn payload() -> Payload {
    Payload::new([&1_000_u64.to_be_bytes()[..], b"some transactions"].concat().into()).unwrap()
}

fn statement() -> Attested {
    Attested {
        position: Position { epoch: Epoch(0), slot: Slot(3) },
        height: Height(3),
        block_hash: BlockHash(B256::repeat_byte(5)),
    }
}

fn certificate(committee: &Committee, signers: &[Signer]) -> Certificate {
    let signed: BTreeMap<_, _> = signers
        .iter()
        .map(|signer| (signer.index(), Attestation::new(committee, signer, statement()).signature))
        .collect();
    Certificate { statement: statement(), signatures: Signatures::new(&signed) }
}

/// Messages of one ordering: what decodes must be judged without harm, whoever sent it.
fn messages<P>(name: &'static str, samples: &[P::Message], config: P::Config) -> Decoder
where
    P: Protocol,
    P::Message: Serialize + DeserializeOwned + Clone,
    P::Config: 'static,
{
    const LIMIT: usize = 8 << 20;
    Decoder::bytes(name, samples.iter().map(encode).collect(), move |bytes| {
        let message = decode::<P::Message, LIMIT>(bytes).ok()?;
        for peer in [Peer(1), Peer(u64::MAX)] {
            let _ = P::check(&config, peer, message.clone()).map_err(|fault| fault.to_string());
        }
        Some(encode(&message))
    })
}

fn of_pbft() -> Vec<Decoder> {
    let (committee, signers) = committee("pbft", FaultModel::Byzantine);
    let certificate = certificate(&committee, &signers);
    let choice = Choice { view: View(0), slot: Slot(1), digest: Some(payload().digest()) };
    let vote = |member: usize, phase| Vote::new(&committee, &signers[member], phase, choice);
    let prepares = [1, 2].map(|member| (MemberIndex(member as u8), vote(member, Phase::Prepare).signature));
    let prepares = Signatures::new(&prepares.into());
    let prepared = Prepared { pre_prepare: vote(0, Phase::PrePrepare), prepares };
    let content = CarriedOver { view: View(1), stable: None, prepared: vec![prepared] };
    let change = ViewChange::new(&committee, &signers[1], content);
    let samples = [
        pbft::Message::PrePrepare { vote: vote(0, Phase::PrePrepare), body: Some(payload()) },
        pbft::Message::Commit(vote(1, Phase::Commit)),
        pbft::Message::ViewChange(change.clone()),
        pbft::Message::Certified(certificate.clone()),
        pbft::Message::Attestation(Attestation::new(&committee, &signers[1], statement())),
    ];
    let config = pbft::Config {
        committee: committee.clone(),
        signer: Some(signers[0].clone()),
        validity: Arc::new(AnyBytes),
        limits: pbft::Limits::default(),
        horizon: Arc::default(),
    };
    let genuine = certificate.clone();
    vec![
        messages::<Pbft>("message of PBFT", &samples, config),
        super::canonical::<pbft::Record, { 8 << 20 }>("journal of PBFT", &[pbft::Record::ViewChange(change)]),
        Decoder::bytes("certificate", vec![encode(&certificate)], move |bytes| {
            let read = decode::<Certificate, { 64 << 10 }>(bytes).ok()?;
            assert!(read.verify(&committee).is_err() || read.statement == genuine.statement, "{read:?}");
            Some(encode(&read))
        }),
    ]
}

fn of_paxos() -> Vec<Decoder> {
    let (committee, signers) = committee("paxos", FaultModel::Crash);
    let ballot = Ballot { round: 3, member: MemberIndex(1) };
    let vote = paxos::messages::Vote { ballot, slot: Slot(1), digest: Some(payload().digest()) };
    let promise = paxos::messages::Promise {
        ballot,
        from: Slot(1),
        part: 0,
        parts: 1,
        trimmed: Some(certificate(&committee, &signers)),
        accepted: vec![vote; 3],
    };
    let samples = [
        paxos::Message::Prepare { ballot, from: Slot(1) },
        paxos::Message::Promise(promise),
        paxos::Message::Accept { vote, body: Some(payload()) },
        paxos::Message::Accepted(vote),
        paxos::Message::Commit { ballot, through: Slot(9) },
    ];
    let config = paxos::Config {
        committee,
        signer: Some(signers[0].clone()),
        validity: Arc::new(AnyBytes),
        limits: paxos::Limits::default(),
    };
    let records = [paxos::Record::Promised(ballot), paxos::Record::Accepted(vote)];
    vec![
        messages::<Paxos>("message of Multi-Paxos", &samples, config),
        super::canonical::<paxos::Record, { 8 << 20 }>("journal of Multi-Paxos", &records),
    ]
}

fn of_zab() -> Vec<Decoder> {
    let (committee, signers) = committee("zab", FaultModel::Crash);
    let (epoch, certificate) = (ZabEpoch(2), certificate(&committee, &signers));
    let entry = |slot: u32| Entry {
        slot: Slot(slot.into()),
        zxid: Zxid { epoch, counter: slot },
        digest: payload().digest(),
    };
    let point = Point { slot: Slot(3), zxid: entry(3).zxid };
    let basis = Basis::Snap { point, certificate: certificate.clone() };
    let state = State { current: epoch, last: point };
    let samples = [
        zab::Message::Vote(zab::messages::Vote {
            accepted: epoch,
            state: Some(state),
            supports: None,
            hears: 2,
        }),
        zab::Message::AckEpoch { epoch, counts: true, state },
        zab::Message::NewLeader { epoch, basis, entries: vec![entry(4), entry(5)] },
        zab::Message::Propose { entry: entry(6), body: Some(payload()) },
        zab::Message::Ping { epoch, through: Some(Slot(6)) },
    ];
    let config = zab::Config {
        committee,
        signer: Some(signers[0].clone()),
        validity: Arc::new(AnyBytes),
        limits: zab::Limits::default(),
    };
    let records = [
        zab::Record::Base { point, certificate },
        zab::Record::Body { slot: Slot(4), payload: payload() },
        zab::Record::Logged(entry(4)),
        zab::Record::Current(epoch),
    ];
    vec![
        messages::<Zab>("message of Zab", &samples, config),
        super::canonical::<zab::Record, { 8 << 20 }>("journal of Zab", &records),
    ]
}

pub(crate) fn decoders() -> Vec<Decoder> {
    let mut decoders = of_pbft();
    decoders.extend(of_paxos());
    decoders.extend(of_zab());
    let record = record("pbft", FaultModel::Byzantine).0;
    decoders.push(super::canonical::<EpochRecord, { 64 << 10 }>("epoch record", &[record]));
    decoders
}

//! One member on paper: what it says to what it hears, for stories and drills.
#![allow(clippy::unwrap_used)]
#![cfg_attr(not(test), allow(dead_code))]

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use synod_types::{BlockHash, Epoch, Height, Position, Slot, UnixMillis};

use super::messages::{CarriedOver, Choice, Message, Phase, Prepared, View, ViewChange, Vote};
use super::*;
use crate::committee::{
    Attested, Committee, EpochRecord, FaultModel, Member, MemberIndex, Payload, Signatures, Signer, Validity,
};
use crate::effects::Effect;
use crate::journal::{Durable, FrameNumber, Journal};
use crate::replica::Replica;

pub(crate) const WALL: UnixMillis = UnixMillis(1_000_000);

#[derive(Debug)]
struct AnyBytes;

impl Validity for AnyBytes {
    fn check(&self, payload: &Payload) -> Result<(), String> {
        if payload.bytes().ends_with(b"bad") { Err("it ends badly".to_owned()) } else { Ok(()) }
    }
}

/// A journal that keeps everything at once.
pub(crate) struct Paper(FrameNumber);

impl Journal for Paper {
    fn durable_through(&self) -> FrameNumber {
        self.0
    }
}

pub(crate) fn committee(members: u8) -> (Committee, Vec<Signer>) {
    let keys: Vec<_> =
        (0..members).map(|index| synod_types::SecretKey::from_seed(&[index + 1; 32])).collect();
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
    let committee = Committee::new(B256::ZERO, record).unwrap();
    let signers = keys.into_iter().map(|key| Signer::new(&committee, key).unwrap()).collect();
    (committee, signers)
}

/// One member on paper, and what it has said.
pub(crate) struct Stage {
    pub(crate) committee: Committee,
    pub(crate) signers: Vec<Signer>,
    pub(crate) config: Config,
    pub(crate) replica: Replica<Pbft>,
    pub(crate) journal: Paper,
    pub(crate) records: Vec<Record>,
    pub(crate) now: Time,
    pub(crate) said: Vec<Message>,
    pub(crate) appended: Vec<(Position, Bytes)>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) told: Vec<Event>,
    pub(crate) accused: Vec<(Peer, Fault)>,
}

impl Stage {
    pub(crate) fn new(me: usize) -> Self {
        Self::with(me, Limits { window: 12, in_flight: 6, ..Limits::default() })
    }

    pub(crate) fn with(me: usize, limits: Limits) -> Self {
        let (committee, signers) = committee(4);
        let config = Config {
            committee: committee.clone(),
            signer: Some(signers[me].clone()),
            validity: Arc::new(AnyBytes),
            limits,
        };
        let journal = Paper(FrameNumber(0));
        let replica = Self::replica(&config, Vec::new(), History::default(), &journal);
        let mut stage = Self {
            committee,
            signers,
            config,
            replica,
            journal,
            records: Vec::new(),
            now: Time(0),
            said: Vec::new(),
            appended: Vec::new(),
            jobs: Vec::new(),
            told: Vec::new(),
            accused: Vec::new(),
        };
        stage.carry_out();
        stage
    }

    pub(crate) fn replica(
        config: &Config,
        records: Vec<Record>,
        history: History,
        journal: &Paper,
    ) -> Replica<Pbft> {
        Replica::recover(config.clone(), records, history, &Durable::proven_by(journal), 1, Time(0), WALL)
    }

    /// Loses power, and starts from what was written.
    pub(crate) fn restart(&mut self, history: History) {
        self.replica = Self::replica(&self.config, self.records.clone(), history, &self.journal);
        self.carry_out();
    }

    pub(crate) fn carry_out(&mut self) {
        if let Some(frame) = self.replica.take_frame() {
            self.journal.0 = frame.number;
            if frame.restates {
                self.records.clear();
            }
            self.records.extend(frame.records);
            self.replica.durable(&Durable::proven_by(&self.journal));
        }
        while let Some(effect) = self.replica.next_effect() {
            match effect {
                Effect::Send { message, .. } | Effect::Broadcast(message) => self.said.push(message),
                Effect::Append { position, body, .. } => self.appended.push((position, body)),
                Effect::Start(job) => self.jobs.push(job),
                Effect::Tell(event) => self.told.push(event),
                Effect::Accuse { peer, fault } => self.accused.push((peer, fault)),
                Effect::Rewind { .. } | Effect::Load { .. } | Effect::Cancel => panic!("never"),
            }
        }
    }

    pub(crate) fn step(&mut self, input: Input<Pbft>) {
        self.replica.step(input, self.now, WALL);
        self.carry_out();
    }

    /// What a member says, checked as it comes in.
    pub(crate) fn hear(&mut self, from: u8, message: Message) {
        let peer = MemberIndex(from).peer();
        let message = Pbft::check(&self.config, peer, message).unwrap();
        self.step(Input::Message { from: peer, message });
    }

    /// The primary's proposal comes in, body and all.
    pub(crate) fn propose(&mut self, choice: Choice, payload: Payload) {
        let primary = choice.view.primary(&self.committee).0;
        let vote = self.vote(primary, Phase::PrePrepare, choice);
        self.hear(primary, Message::PrePrepare { vote, body: Some(payload) });
    }

    /// A small payload of view 0 is decided at the slot, and executed.
    pub(crate) fn decide_next(&mut self, slot: u64) {
        let payload = body(&slot.to_string());
        let next = choice(0, slot, &payload);
        self.propose(next, payload);
        for member in [0, 2, 3] {
            self.hear(member, Message::Commit(self.vote(member, Phase::Commit, next)));
        }
        let position = Position { epoch: Epoch(0), slot: Slot(slot) };
        self.step(Input::Executed { position, block_hash: hash(slot) });
        self.hear(2, Message::Certified(self.certificate(slot)));
    }

    pub(crate) fn refuse(&mut self, from: u8, message: Message) -> Fault {
        Pbft::check(&self.config, MemberIndex(from).peer(), message).unwrap_err()
    }

    pub(crate) fn is_refused(&self, from: u8, message: Message) -> bool {
        Pbft::check(&self.config, MemberIndex(from).peer(), message).is_err()
    }

    pub(crate) fn vote(&self, member: u8, phase: Phase, choice: Choice) -> Vote {
        Vote::new(&self.committee, &self.signers[usize::from(member)], phase, choice)
    }

    pub(crate) fn pass_ms(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        while let Some(at) = self.replica.wake_at().filter(|at| *at <= end) {
            self.now = at;
            self.step(Input::Wake);
        }
        self.now = end;
    }

    pub(crate) fn take_said(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.said)
    }

    pub(crate) fn has_said(&self, wanted: impl Fn(&Message) -> bool) -> bool {
        self.said.iter().any(wanted)
    }

    pub(crate) fn fact(&self, name: &str) -> String {
        let facts = self.replica.status().facts;
        facts.into_iter().find(|(known, _)| *known == name).unwrap().1
    }

    pub(crate) fn prepared(&self, choice: Choice) -> Prepared {
        let primary = choice.view.primary(&self.committee);
        let pre_prepare = self.vote(primary.0, Phase::PrePrepare, choice);
        let backups = (0..4u8).filter(|member| *member != primary.0).take(2);
        let signed = backups
            .map(|member| (MemberIndex(member), self.vote(member, Phase::Prepare, choice).signature))
            .collect();
        Prepared { pre_prepare, prepares: Signatures::new(&signed) }
    }

    pub(crate) fn change(&self, member: u8, view: u64, prepared: Vec<Prepared>) -> ViewChange {
        let content = CarriedOver { view: View(view), stable: None, prepared };
        ViewChange::new(&self.committee, &self.signers[usize::from(member)], content)
    }

    pub(crate) fn certificate(&self, slot: u64) -> Certificate {
        let statement = Attested {
            position: Position { epoch: Epoch(0), slot: Slot(slot) },
            height: Height(slot),
            block_hash: hash(slot),
        };
        let signed = self.signers[..3]
            .iter()
            .map(|signer| (signer.index(), Attestation::new(&self.committee, signer, statement).signature))
            .collect();
        Certificate { statement, signatures: Signatures::new(&signed) }
    }
}

pub(crate) fn hash(slot: u64) -> BlockHash {
    BlockHash(B256::with_last_byte(slot as u8))
}

pub(crate) fn body(text: &str) -> Payload {
    let bytes = [&WALL.0.to_be_bytes()[..], text.as_bytes()].concat();
    Payload::new(bytes.into()).unwrap()
}

pub(crate) fn choice(view: u64, slot: u64, body: &Payload) -> Choice {
    Choice { view: View(view), slot: Slot(slot), digest: Some(body.digest()) }
}

pub(crate) fn null(view: u64, slot: u64) -> Choice {
    Choice { view: View(view), slot: Slot(slot), digest: None }
}

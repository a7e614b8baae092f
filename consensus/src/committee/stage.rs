//! One member of a committee on paper: what it says to what it hears, for stories and drills. What an ordering adds
//! of its own is beside it, in its own `stage`.
#![allow(clippy::unwrap_used)]
#![cfg_attr(not(test), allow(dead_code))]

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use synod_types::{BlockHash, Epoch, Height, Position, SecretKey, Slot, UnixMillis};

use super::{
    Attestation, Attested, Certificate, Committee, CommitteeProtocol, EpochRecord, Event, FaultModel,
    History, Job, Member, MemberIndex, Outcome, Payload, Signatures, Signer, Validity,
};
use crate::effects::Effect;
use crate::journal::{Durable, FrameNumber, Journal};
use crate::protocol::{Input, Peer};
use crate::replica::Replica;
use crate::time::Time;

pub(crate) const WALL: UnixMillis = UnixMillis(1_000_000);

/// An ordering that can be put on paper.
pub(crate) trait OnPaper: CommitteeProtocol {
    const MODEL: FaultModel;
    /// Its own bounds.
    type Limits;

    fn config(
        committee: Committee,
        signer: Signer,
        validity: Arc<dyn Validity>,
        limits: Self::Limits,
    ) -> Self::Config;
}

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

fn committee<P: OnPaper>(members: u8) -> (Committee, Vec<Signer>) {
    let keys: Vec<_> = (0..members).map(|index| SecretKey::from_seed(&[index + 1; 32])).collect();
    let record = EpochRecord {
        epoch: Epoch(0),
        ordering: P::NAME.to_owned(),
        model: P::MODEL,
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
pub(crate) struct Stage<P: OnPaper> {
    pub(crate) committee: Committee,
    pub(crate) signers: Vec<Signer>,
    pub(crate) config: P::Config,
    pub(crate) replica: Replica<P>,
    journal: Paper,
    pub(crate) records: Vec<P::Record>,
    pub(crate) now: Time,
    /// To one member, or to all.
    pub(crate) said: Vec<(Option<Peer>, P::Message)>,
    pub(crate) appended: Vec<(Position, Bytes)>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) told: Vec<Event>,
    pub(crate) accused: Vec<(Peer, P::Fault)>,
}

impl<P: OnPaper> Stage<P> {
    /// Member `me` of so many.
    pub(crate) fn of(members: u8, me: usize, limits: P::Limits) -> Self {
        let (committee, signers) = committee::<P>(members);
        let config = P::config(committee.clone(), signers[me].clone(), Arc::new(AnyBytes), limits);
        let journal = Paper(FrameNumber(0));
        let replica = Self::replica(&config, Vec::new(), History::default(), &journal, Time(0));
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

    fn replica(
        config: &P::Config,
        records: Vec<P::Record>,
        history: History,
        journal: &Paper,
        now: Time,
    ) -> Replica<P> {
        Replica::recover(config.clone(), records, history, &Durable::proven_by(journal), 1, now, WALL)
    }

    /// Loses power, and starts from what was written.
    pub(crate) fn restart(&mut self, history: History) {
        self.replica = Self::replica(&self.config, self.records.clone(), history, &self.journal, self.now);
        self.carry_out();
    }

    fn carry_out(&mut self) {
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
                Effect::Send { to, message } => self.said.push((Some(to), message)),
                Effect::Broadcast(message) => self.said.push((None, message)),
                Effect::Append { position, body, .. } => self.appended.push((position, body)),
                Effect::Start(job) => self.jobs.push(job),
                Effect::Tell(event) => self.told.push(event),
                Effect::Accuse { peer, fault } => self.accused.push((peer, fault)),
                Effect::Rewind { .. } | Effect::Load { .. } | Effect::Cancel => panic!("never"),
            }
        }
    }

    pub(crate) fn step(&mut self, input: Input<P>) {
        self.replica.step(input, self.now, WALL);
        self.carry_out();
    }

    /// What a member says, checked as it comes in.
    pub(crate) fn hear(&mut self, from: u8, message: P::Message) {
        let peer = MemberIndex(from).peer();
        let message = P::check(&self.config, peer, message).unwrap();
        self.step(Input::Message { from: peer, message });
    }

    pub(crate) fn refuse(&self, from: u8, message: P::Message) -> P::Fault {
        P::check(&self.config, MemberIndex(from).peer(), message).unwrap_err()
    }

    pub(crate) fn is_refused(&self, from: u8, message: P::Message) -> bool {
        P::check(&self.config, MemberIndex(from).peer(), message).is_err()
    }

    pub(crate) fn pass_ms(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        while let Some(at) = self.replica.wake_at().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.step(Input::Wake);
        }
        self.now = end;
    }

    pub(crate) fn take_said(&mut self) -> Vec<P::Message> {
        std::mem::take(&mut self.said).into_iter().map(|(_, message)| message).collect()
    }

    pub(crate) fn has_said(&self, wanted: impl Fn(&P::Message) -> bool) -> bool {
        self.said.iter().any(|(_, message)| wanted(message))
    }

    pub(crate) fn fact(&self, name: &str) -> String {
        let facts = self.replica.status().facts;
        facts.into_iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// A payload comes out of the pool.
    pub(crate) fn offer(&mut self, payload: &Payload) {
        self.step(Input::Demand { oldest_since: Some(self.now), bytes: 10 });
        self.step(Input::Done(Outcome::Assembled(Some(payload.clone()))));
    }

    pub(crate) fn execute(&mut self, slot: u64) {
        let position = Position { epoch: Epoch(0), slot: Slot(slot) };
        self.step(Input::Executed { position, block_hash: hash(slot) });
    }

    /// What a quorum says of the block that [`Stage::execute`] makes.
    pub(crate) fn certificate(&self, slot: u64) -> Certificate {
        let statement = Attested {
            position: Position { epoch: Epoch(0), slot: Slot(slot) },
            height: Height(slot),
            block_hash: hash(slot),
        };
        let signed = self.signers[..self.committee.quorum()]
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

/// After how many message delays a payload of one member was handed to the ledger, and certified, at each.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Delays {
    pub(crate) decided: Vec<Option<u64>>,
    pub(crate) certified: Vec<Option<u64>>,
}

/// Lets one member propose a payload where each message takes one delay, and disks and ledgers take none.
pub(crate) fn delays<P: OnPaper>(stages: &mut [Stage<P>], proposer: usize) -> Delays {
    for stage in &mut *stages {
        stage.take_said();
    }
    stages[proposer].offer(&body("one"));
    let none = || vec![None; stages.len()];
    let (mut decided, mut certified) = (none(), none());
    let mut under_way: Vec<(usize, Option<Peer>, P::Message)> = Vec::new();
    for delay in 0..=6 {
        for (from, to, message) in std::mem::take(&mut under_way) {
            for (at, stage) in stages.iter_mut().enumerate() {
                if at != from && to.is_none_or(|to| to == Peer(at as u64)) {
                    stage.hear(from as u8, message.clone());
                }
            }
        }
        for (at, stage) in stages.iter_mut().enumerate() {
            if !stage.appended.is_empty() && decided[at].is_none() {
                decided[at] = Some(delay);
                stage.execute(1);
            }
            if stage.told.iter().any(|event| matches!(event, Event::Certified(_))) {
                certified[at].get_or_insert(delay);
            }
            let said = std::mem::take(&mut stage.said);
            under_way.extend(said.into_iter().map(|(to, message)| (at, to, message)));
        }
    }
    Delays { decided, certified }
}

//! Multi-Paxos in the simulation: its members crash and do not lie.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::B256;
use synod_types::Slot;

use super::Bounds;
use super::ordering::{Broken, Judge, Nobody, Ordering};
use crate::committee::{
    Attestation, Certificate, Committee, Evidence, FaultModel, MemberIndex, Signer, Validity,
};
use crate::paxos::messages::Vote;
use crate::paxos::{Ballot, Config, Limits, Message, Paxos};
use crate::protocol::Peer;
use crate::sim::report::Subject;

/// What a process has said, and must remember (A10).
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// The highest ballot that it promised or used.
    promised: Ballot,
    /// What it accepted in the highest ballot, by slot.
    accepted: BTreeMap<Slot, Vote>,
}

impl Ordering for Paxos {
    const SUBJECT: Subject = Subject::Paxos;
    const MODEL: FaultModel = FaultModel::Crash;
    const FIRST_VIEW: u64 = 1;
    type Sent = Sent;
    type Judge = Observed;
    type Liar = Nobody;

    fn config(
        committee: Committee,
        signer: Option<Signer>,
        validity: Arc<dyn Validity>,
        bounds: &Bounds,
    ) -> Config {
        let limits = Limits {
            timeout_cap_ms: bounds.timeout_cap_ms,
            in_flight: bounds.in_flight,
            window: bounds.window,
            batch_bytes: bounds.batch_bytes,
            batch_transactions: bounds.batch_transactions,
            eager_bytes: bounds.eager_bytes,
            retained_slots: bounds.retained_slots,
            retained_bytes: bounds.retained_bytes,
            journal_bytes: bounds.journal_bytes,
            promise_part: 2,
            ..Limits::default()
        };
        Config { committee, signer, validity, limits }
    }

    fn leadership(&self) -> Option<((u64, u8), MemberIndex)> {
        self.leader().map(|ballot| ((ballot.round, ballot.member.0), ballot.member))
    }

    fn sizes(&self) -> [usize; 4] {
        self.sizes()
    }

    fn lost_promise(&self, sent: &Sent) -> Option<String> {
        let kept = self.promises();
        if sent.promised > kept.promised {
            return Some(format!("that it promised ballot {}", sent.promised));
        }
        let open = sent.accepted.iter().filter(|(slot, _)| **slot > kept.certified);
        for (slot, said) in open {
            let known = kept.accepted.get(slot);
            if !known.is_some_and(|known| known.ballot > said.ballot || known == said) {
                return Some(format!("its acceptance of {said:?}"));
            }
            if !self.stands_on_body(*said) {
                return Some(format!("the body of {said:?}"));
            }
        }
        None
    }

    fn is_proof(evidence: &Evidence, committee: &Committee) -> bool {
        evidence.is_double_attestation(committee)
    }

    fn attested(message: &Message) -> Option<&Attestation> {
        if let Message::Attestation(attestation) = message { Some(attestation) } else { None }
    }

    fn kind(message: &Message) -> &'static str {
        match message {
            Message::Accept { .. } => "accept",
            Message::Accepted(_) => "accepted",
            Message::Commit { .. } => "commit",
            Message::Attestation(_) => "attestation",
            Message::Heartbeat { .. } | Message::Following { .. } => "heartbeat",
            Message::Probe { .. }
            | Message::Willing { .. }
            | Message::Prepare { .. }
            | Message::Promise(_)
            | Message::Refused { .. } => "election",
            _ => "catching up",
        }
    }

    fn certified(certificate: Certificate) -> Message {
        Message::Certified(certificate)
    }

    fn end_certificate(&self) -> Option<&Certificate> {
        self.end_certificate()
    }
}

/// What all members said, and what follows from it by the observer's own reckoning.
#[derive(Debug, Default)]
pub struct Observed {
    /// The one value that each ballot proposes for a slot.
    proposed: BTreeMap<(Ballot, Slot), Option<B256>>,
    /// Who accepted it.
    accepted: BTreeMap<(Ballot, Slot), BTreeSet<MemberIndex>>,
    /// The values that a quorum accepted in one ballot.
    chosen: BTreeMap<Slot, (Ballot, Option<B256>)>,
    /// The ballots that each prepared.
    prepared: BTreeSet<Ballot>,
}

impl Observed {
    fn note_accepted(&mut self, vote: Vote, member: MemberIndex, quorum: usize) -> Broken {
        let key = (vote.ballot, vote.slot);
        let voters = self.accepted.entry(key).or_default();
        voters.insert(member);
        if voters.len() < quorum {
            return Vec::new();
        }
        let chosen = self.chosen.entry(vote.slot).or_insert((vote.ballot, vote.digest));
        chosen.0 = chosen.0.min(vote.ballot);
        if chosen.1 == vote.digest {
            return Vec::new();
        }
        vec![(
            "A1",
            format!("slot {} was chosen twice, the second time in ballot {}", vote.slot, vote.ballot),
        )]
    }

    /// What somebody takes for chosen is what a quorum accepted in one ballot, if the observer knows of one.
    fn check_chosen(&self, slot: Slot, digest: Option<B256>) -> Broken {
        match self.chosen.get(&slot) {
            Some((_, chosen)) if *chosen != digest => {
                vec![("A1", format!("another value than the chosen one is told of slot {slot}"))]
            }
            _ => Vec::new(),
        }
    }
}

impl Judge<Paxos> for Observed {
    fn said(
        &mut self,
        machine: &Paxos,
        sent: &mut Sent,
        _: Option<Peer>,
        message: &Message,
        committee: &Committee,
    ) -> Broken {
        match message {
            Message::Prepare { ballot, .. } => {
                let is_again = *ballot == sent.promised && self.prepared.contains(ballot);
                let broken = *ballot < sent.promised || (!self.prepared.insert(*ballot) && !is_again);
                sent.promised = sent.promised.max(*ballot);
                if broken { vec![("A10", format!("ballot {ballot} is used again"))] } else { Vec::new() }
            }
            Message::Promise(promise) => {
                let broken = promise.ballot < sent.promised;
                sent.promised = sent.promised.max(promise.ballot);
                if broken {
                    vec![("A10", format!("ballot {} gets a promise", promise.ballot))]
                } else {
                    Vec::new()
                }
            }
            Message::Accept { vote, .. } => {
                let known = *self.proposed.entry((vote.ballot, vote.slot)).or_insert(vote.digest);
                let mut broken = Vec::new();
                if known != vote.digest {
                    broken.push(("A1", format!("ballot {} proposes two values", vote.ballot)));
                }
                // Every later ballot proposes what is chosen: the theorem itself.
                let chosen = self.chosen.get(&vote.slot);
                if chosen.is_some_and(|(ballot, chosen)| vote.ballot > *ballot && *chosen != vote.digest) {
                    broken.push(("A1", format!("{vote:?} is proposed where another value is chosen")));
                }
                broken
            }
            Message::Accepted(vote) => {
                let mut broken = Vec::new();
                if !machine.stands_on_body(*vote) {
                    broken.push(("A10", format!("{vote:?} is accepted without its body")));
                }
                if vote.ballot < sent.promised {
                    broken.push(("A10", format!("{vote:?} is accepted after ballot {}", sent.promised)));
                }
                sent.promised = sent.promised.max(vote.ballot);
                let known = sent.accepted.entry(vote.slot).or_insert(*vote);
                if vote.ballot >= known.ballot {
                    *known = *vote;
                }
                if let Some(me) = machine.me() {
                    broken.extend(self.note_accepted(*vote, me, committee.quorum()));
                }
                broken
            }
            Message::Commit { ballot, through } => {
                // Its own acceptances are durable now: it tells of them only so.
                let own = machine.promises().accepted;
                let mut broken = Vec::new();
                for vote in own.into_values().filter(|vote| vote.ballot == *ballot && vote.slot <= *through) {
                    broken.extend(self.note_accepted(vote, ballot.member, committee.quorum()));
                }
                broken
            }
            Message::Chosen { slot, digest } => self.check_chosen(*slot, *digest),
            _ => Vec::new(),
        }
    }

    fn heard(&mut self, _: &Message, _: &Committee) -> Broken {
        Vec::new()
    }

    fn named(&self) -> BTreeSet<MemberIndex> {
        BTreeSet::new()
    }

    fn worthless(&self) -> u64 {
        0
    }
}

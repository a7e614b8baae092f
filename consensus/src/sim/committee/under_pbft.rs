//! PBFT in the simulation: what its messages promise, and its liars.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use synod_types::Slot;

use super::Bounds;
use super::auditor::Auditor;
use super::liar::Liar;
use super::ordering::{Broken, Judge, Lies, Ordering};
use crate::committee::{
    Attestation, Certificate, Committee, Evidence, FaultModel, MemberIndex, Payload, Signer, Validity,
};
use crate::pbft::messages::{Choice, NewView, Vote};
use crate::pbft::{Config, Limits, Message, Pbft, View, evidence};
use crate::protocol::Peer;
use crate::random::Random;
use crate::sim::report::Subject;
use crate::sim::swarm::{Fault, Swarm};

/// What a process has said, and must remember (A10).
#[derive(Debug, Default)]
pub struct Sent {
    /// The choice of the highest view that it pre-prepared or prepared, by slot.
    accepted: BTreeMap<Slot, Choice>,
    /// The same of commits.
    committed: BTreeMap<Slot, Choice>,
    /// The highest view that it left for, or voted in.
    view: View,
}

impl Ordering for Pbft {
    const SUBJECT: Subject = Subject::Pbft;
    const MODEL: FaultModel = FaultModel::Byzantine;
    const FIRST_VIEW: u64 = 0;
    type Sent = Sent;
    type Judge = Observed;
    type Liar = Liar;

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
            ..Limits::default()
        };
        Config { committee, signer, validity, limits, horizon: Arc::default() }
    }

    fn leadership(&self) -> Option<((u64, u8), MemberIndex)> {
        let (view, is_active) = self.view();
        Some(((view.0, is_active.into()), self.primary()))
    }

    fn sizes(&self) -> [usize; 4] {
        self.sizes()
    }

    fn lost_promise(&self, sent: &Sent) -> Option<String> {
        let kept = self.promises();
        let stands = |known: Option<&Choice>, said: &Choice| {
            known.is_some_and(|known| known.view > said.view || known == said)
        };
        for (slot, said) in sent.accepted.iter().filter(|(slot, _)| **slot > kept.settled) {
            if !stands(kept.accepted.get(slot), said) {
                return Some(format!("its vote for {said:?}"));
            }
            if !self.has_body(*said) {
                return Some(format!("the body of {said:?}"));
            }
        }
        for (slot, said) in sent.committed.iter().filter(|(slot, _)| **slot > kept.settled) {
            if !stands(kept.prepared.get(slot), said) {
                return Some(format!("its commit to {said:?}"));
            }
        }
        (sent.view > kept.view).then(|| format!("that it had gone on to view {}", sent.view))
    }

    fn is_proof(known: &Evidence, committee: &Committee) -> bool {
        evidence::is_proof(known, committee)
    }

    fn attested(message: &Message) -> Option<&Attestation> {
        if let Message::Attestation(attestation) = message { Some(attestation) } else { None }
    }

    fn kind(message: &Message) -> &'static str {
        match message {
            Message::PrePrepare { .. } => "pre-prepare",
            Message::Prepare(_) => "prepare",
            Message::Commit(_) => "commit",
            Message::Attestation(_) => "attestation",
            Message::ViewChange(_) | Message::NewView(_) => "view change",
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

/// What honest members said, and who is proven to lie.
#[derive(Default)]
pub struct Observed {
    auditor: Auditor,
    /// What honest members committed to.
    committed: BTreeMap<(View, Slot), Option<B256>>,
}

impl Observed {
    fn check_vote(machine: &Pbft, sent: &mut Sent, vote: &Vote) -> Broken {
        let mut broken = Vec::new();
        let choice = vote.choice;
        if !machine.stands_on_body(choice) {
            broken.push(("A10", format!("it voted for {choice:?} without its body")));
        }
        let (view, left) = (choice.view, sent.view);
        sent.view = left.max(view);
        if view < left {
            broken.push(("A10", format!("it votes in view {view} and had gone on to {left}")));
        }
        broken
    }
}

impl Judge<Pbft> for Observed {
    fn said(
        &mut self,
        machine: &Pbft,
        sent: &mut Sent,
        _: Option<Peer>,
        message: &Message,
        committee: &Committee,
    ) -> Broken {
        let mut broken = Vec::new();
        if let Message::PrePrepare { vote, .. } | Message::Prepare(vote) | Message::Commit(vote) = message {
            broken.extend(Self::check_vote(machine, sent, vote));
        }
        let raise = |map: &mut BTreeMap<Slot, Choice>, choice: Choice| {
            let known = map.entry(choice.slot).or_insert(choice);
            if choice.view >= known.view {
                *known = choice;
            }
        };
        match message {
            Message::PrePrepare { vote, .. } | Message::Prepare(vote) => {
                if matches!(message, Message::Prepare(_))
                    && vote.choice.view.primary(committee) == vote.member
                {
                    broken.push(("A1", "it prepares its own proposal".to_owned()));
                }
                raise(&mut sent.accepted, vote.choice);
            }
            Message::Commit(vote) => {
                raise(&mut sent.committed, vote.choice);
                let Choice { view, slot, digest } = vote.choice;
                let known = *self.committed.entry((view, slot)).or_insert(digest);
                if known != digest {
                    let two = format!("honest members committed to two choices in view {view}, slot {slot}");
                    broken.push(("A1", two));
                }
            }
            Message::ViewChange(change) => sent.view = sent.view.max(change.view()),
            Message::NewView(new_view) => broken.extend(check_beginning(new_view)),
            _ => {}
        }
        broken
    }

    fn heard(&mut self, message: &Message, committee: &Committee) -> Broken {
        self.auditor.hear(message, committee);
        if let Message::NewView(new_view) = message { check_beginning(new_view) } else { Vec::new() }
    }

    fn named(&self) -> BTreeSet<MemberIndex> {
        self.auditor.named.clone()
    }

    fn worthless(&self) -> u64 {
        self.auditor.worthless
    }
}

/// What an honest member takes for the beginning of a view follows from its view changes, by the observer's own
/// reckoning (PBFT-8).
fn check_beginning(new_view: &NewView) -> Broken {
    let changes = &new_view.view_changes;
    let low = changes.iter().filter_map(|change| change.content.stable.as_ref());
    let low = low.map(|certificate| certificate.slot().0).max().unwrap_or(0);
    let mut best: BTreeMap<u64, (View, Option<B256>)> = BTreeMap::new();
    for prepared in changes.iter().flat_map(|change| &change.content.prepared) {
        let Choice { view, slot, digest } = prepared.choice();
        let known = best.entry(slot.0).or_insert((view, digest));
        if view > known.0 {
            *known = (view, digest);
        }
    }
    let high = best.keys().copied().max().unwrap_or(0).max(low);
    let expected = (low + 1..=high).map(|slot| (slot, best.get(&slot).and_then(|(_, digest)| *digest)));
    let found = new_view.pre_prepares.iter().map(|vote| (vote.choice.slot.0, vote.choice.digest));
    if expected.eq(found) {
        return Vec::new();
    }
    vec![("A1", format!("view {} begins with other proposals than follow", new_view.view))]
}

impl Lies<Pbft> for Liar {
    fn new(
        signer: Signer,
        committee: Committee,
        swarm: &Swarm,
        another: fn(&Payload) -> Payload,
    ) -> Option<Self> {
        Some(Self::new(signer, committee, swarm, another))
    }

    fn enter(&mut self, committee: Committee) {
        self.enter(committee);
    }

    fn change_mind(&mut self, random: &mut Random) {
        self.change_mind(random);
    }

    fn conspire(&mut self, now: Option<Fault>, victim: Option<MemberIndex>) {
        self.conspire(now, victim);
    }

    fn conspires(&self) -> bool {
        self.conspires()
    }

    fn lie(&self) -> Option<Fault> {
        self.lie()
    }

    fn alter(&mut self, to: MemberIndex, message: &Message, random: &mut Random) -> Vec<Message> {
        self.alter(to, message, random)
    }

    fn echo(&mut self, heard: &Message) -> Vec<Message> {
        self.echo(heard)
    }

    fn volunteer(&mut self, view: u64, random: &mut Random) -> Vec<Message> {
        self.volunteer(View(view), random)
    }

    /// A slow primary's proposals leave just inside the timeout (S-B10).
    fn holds_back(&self, message: &Message) -> bool {
        self.lie() == Some(Fault::SlowPrimary) && matches!(message, Message::PrePrepare { .. })
    }

    fn spoil_blocks(&mut self, bodies: &mut Vec<Bytes>, random: &mut Random) {
        self.spoil_blocks(bodies, random);
    }
}

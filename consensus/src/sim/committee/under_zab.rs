//! Zab in the simulation: its members crash and do not lie.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::B256;
use synod_types::Slot;

use super::Bounds;
use super::ordering::{Broken, Judge, Nobody, Ordering};
use crate::committee::{
    Attestation, Certificate, Committee, Evidence, FaultModel, MemberIndex, Signer, Validity,
};
use crate::protocol::Peer;
use crate::sim::report::Subject;
use crate::zab::messages::Entry;
use crate::zab::{Config, Limits, Message, Zab, ZabEpoch, Zxid};

/// So many transactions use an epoch up: few, so that runs get there (ZAB-1).
const COUNTERS: u32 = 40;

/// What a process has said, and must remember (A10).
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// The highest epoch that it promised itself to, and for whom.
    accepted: (ZabEpoch, MemberIndex),
    /// The epoch of its last ACK-LD, and what it acknowledged in it.
    current: ZabEpoch,
    acked: BTreeMap<Slot, Entry>,
}

impl Ordering for Zab {
    const SUBJECT: Subject = Subject::Zab;
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
            counter_limit: COUNTERS,
            ..Limits::default()
        };
        Config { committee, signer, validity, limits }
    }

    fn leadership(&self) -> Option<((u64, u8), MemberIndex)> {
        self.leader().map(|(epoch, leader)| ((epoch.0, leader.0), leader))
    }

    fn sizes(&self) -> [usize; 4] {
        self.sizes()
    }

    fn lost_promise(&self, sent: &Sent) -> Option<String> {
        let kept = self.promises();
        let (accepted, leader) = sent.accepted;
        if accepted > kept.accepted || (accepted == kept.accepted && leader != kept.accepted_for) {
            return Some(format!("that it promised itself to epoch {accepted} of member {leader}"));
        }
        if sent.current > kept.current {
            return Some(format!("that it took over the history of epoch {}", sent.current));
        }
        if kept.current > sent.current {
            // A later leader's history took its place; the judge looks whether it holds what was committed.
            return None;
        }
        let open = sent.acked.values().filter(|entry| entry.slot > kept.base.slot);
        for said in open {
            if !kept.log.contains(said) {
                return Some(format!("that it acknowledged {said:?}"));
            }
            if !self.stands_on_body(said) {
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
            Message::Propose { .. } => "propose",
            Message::Ack { .. } => "ack",
            Message::Commit { .. } => "commit",
            Message::Attestation(_) => "attestation",
            Message::Ping { .. } | Message::Pong { .. } => "heartbeat",
            Message::Vote(_) | Message::FollowerInfo { .. } | Message::NewEpoch { .. } => "election",
            Message::AckEpoch { .. } | Message::Refused { .. } => "election",
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
    /// To whom each epoch is.
    leaders: BTreeMap<ZabEpoch, MemberIndex>,
    /// Who was promised each epoch, by whom.
    promised: BTreeMap<(ZabEpoch, MemberIndex), MemberIndex>,
    /// The one transaction of each name.
    named: BTreeMap<Zxid, (Slot, B256)>,
    /// Who has a transaction durably, in an epoch whose leader's history holds it.
    acked: BTreeMap<(ZabEpoch, Slot), BTreeSet<MemberIndex>>,
    /// What a quorum had in one epoch, and in which first.
    committed: BTreeMap<Slot, (ZabEpoch, Entry)>,
}

impl Observed {
    /// A member has all this, durably, in this epoch.
    fn note_acked(
        &mut self,
        epoch: ZabEpoch,
        log: &[Entry],
        through: Slot,
        of: MemberIndex,
        quorum: usize,
    ) -> Broken {
        let mut broken = Vec::new();
        for entry in log.iter().filter(|entry| entry.slot <= through) {
            let members = self.acked.entry((epoch, entry.slot)).or_default();
            members.insert(of);
            if members.len() < quorum {
                continue;
            }
            let known = self.committed.entry(entry.slot).or_insert((epoch, *entry));
            known.0 = known.0.min(epoch);
            if known.1 != *entry {
                broken.push((
                    "A1",
                    format!("slot {} is committed twice, the second time {entry:?}", entry.slot),
                ));
            }
        }
        broken
    }

    /// A transaction has one name, and a name one transaction.
    fn note_name(&mut self, entry: &Entry) -> Broken {
        let known = *self.named.entry(entry.zxid).or_insert((entry.slot, entry.digest));
        if known == (entry.slot, entry.digest) {
            Vec::new()
        } else {
            vec![("A1", format!("{} names two transactions", entry.zxid))]
        }
    }

    /// A leader begins from all that was committed before it: the theorem itself.
    fn check_history(&self, epoch: ZabEpoch, from: Slot, entries: &[Entry]) -> Broken {
        let earlier = self.committed.iter().filter(|(slot, (of, _))| *of < epoch && **slot > from);
        let lacks = |entry: &Entry| !entries.contains(entry);
        let lost = earlier.map(|(_, (_, entry))| entry).find(|entry| lacks(entry));
        let told = |entry: &Entry| {
            ("A1", format!("the history of epoch {epoch} lacks {entry:?}, which is committed"))
        };
        lost.map(told).into_iter().collect()
    }
}

impl Judge<Zab> for Observed {
    fn said(
        &mut self,
        machine: &Zab,
        sent: &mut Sent,
        to: Option<Peer>,
        message: &Message,
        committee: &Committee,
    ) -> Broken {
        let (kept, Some(me)) = (machine.promises(), machine.me()) else { return Vec::new() };
        match message {
            Message::AckEpoch { epoch, counts: true, .. } => {
                let Some(leader) = to.and_then(|peer| committee.member(peer)) else { return Vec::new() };
                let first = *self.promised.entry((*epoch, me)).or_insert(leader);
                let broken = first != leader || *epoch < sent.accepted.0;
                sent.accepted = sent.accepted.max((*epoch, leader));
                if broken { vec![("A10", format!("epoch {epoch} gets a second ACK-E"))] } else { Vec::new() }
            }
            Message::NewLeader { epoch, basis, entries } => {
                // Two may begin the same epoch; a quorum's promise has only one of them.
                let mut broken = self.check_history(*epoch, basis.point().slot, entries);
                if *self.leaders.entry(*epoch).or_insert(me) != me {
                    broken.push(("A10", format!("epoch {epoch} has two leaders")));
                }
                broken
            }
            Message::Propose { entry, .. } => self.note_name(entry),
            // What it says of an epoch that it left meanwhile is of a log that is another now.
            Message::AckLeader { epoch, .. } | Message::Ack { epoch, .. } if *epoch != kept.current => {
                Vec::new()
            }
            Message::AckLeader { epoch, through } | Message::Ack { epoch, through } => {
                let mut broken = Vec::new();
                if *epoch > sent.current {
                    sent.current = *epoch;
                    sent.acked.clear();
                }
                let acked: Vec<Entry> =
                    kept.log.iter().filter(|entry| entry.slot <= *through).copied().collect();
                if let Some(bare) = acked.iter().find(|entry| !machine.stands_on_body(entry)) {
                    broken.push(("A10", format!("{bare:?} is acknowledged without its body")));
                }
                broken.extend(self.note_acked(*epoch, &acked, *through, me, committee.quorum()));
                sent.acked = sent.acked.split_off(&kept.base.slot);
                sent.acked.extend(acked.into_iter().map(|entry| (entry.slot, entry)));
                broken
            }
            // A leader's own log is durable before it tells of commits.
            Message::CommitLeader { epoch, through } | Message::Commit { epoch, through }
                if *epoch == kept.current =>
            {
                self.note_acked(*epoch, &kept.log, *through, me, committee.quorum())
            }
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

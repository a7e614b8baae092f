//! Attestations, certificates, garbage, and the journal's new beginnings.

use synod_types::{BlockHash, Height, Position, Slot};

use super::messages::{Fault, Message, Record};
use super::{Cx, Paxos};
use crate::committee::attestations::{Counted, Disagreement};
use crate::committee::{Attestation, Certificate, Event};

impl Paxos {
    /// The slot of the newest certificate: everything up to there is settled.
    pub(super) fn certified(&self) -> Slot {
        self.attestations.certified()
    }

    pub(super) fn position(&self, slot: Slot) -> Position {
        self.attestations.position(slot)
    }

    pub(super) fn height(&self, slot: Slot) -> Height {
        self.attestations.height(slot)
    }

    /// Nothing at or below this slot is kept any more. What lies a window below the newest certificate and is
    /// not executed here comes as blocks (A7).
    pub(super) fn floor(&self) -> Slot {
        let (certified, limits) = (self.certified(), &self.config.limits);
        let done = self.executed.min(certified).0.saturating_sub(limits.retained_slots);
        Slot(done.max(certified.0.saturating_sub(limits.window.max(limits.retained_slots))))
    }

    /// Whether anything about the slot is kept.
    pub(super) fn is_buffered(&self, slot: Slot) -> bool {
        let above = self.config.limits.window.saturating_mul(2);
        let high = self.certified().max(self.executed).0.saturating_add(above);
        slot > self.floor() && slot.0 <= high
    }

    pub(super) fn note_block(&mut self, slot: Slot, block_hash: BlockHash, cx: &mut Cx<'_>) {
        let agreed = self.attestations.note_block(slot, block_hash);
        self.demand_agreement(agreed, cx);
    }

    fn demand_agreement(&mut self, agreed: Result<(), Disagreement>, cx: &mut Cx<'_>) {
        if let Err(Disagreement { slot, ours, theirs }) = agreed {
            self.diverge(slot, ours.to_string(), theirs.to_string(), cx);
        }
    }

    /// This member stands still, and says why.
    pub(super) fn diverge(&mut self, slot: Slot, ours: String, theirs: String, cx: &mut Cx<'_>) {
        let (position, height) = (self.position(slot), self.height(slot));
        self.halted = Some(format!("slot {slot} holds {ours} here and {theirs} elsewhere"));
        cx.tell(Event::Diverged { position, ours, theirs, height });
    }

    /// Counts an attestation, of this member or another.
    pub(super) fn count_attestation(&mut self, attestation: Attestation, cx: &mut Cx<'_>) {
        match self.attestations.count(attestation, self.executed, self.config.limits.window) {
            Counted::Nothing => {}
            Counted::Contradiction(evidence) => {
                cx.accuse(evidence.member.peer(), Fault::Contradiction);
                cx.tell(Event::Caught(evidence));
            }
            Counted::Certificate(certificate) if certificate.slot() > self.certified() => {
                self.adopt_certificate(certificate, cx);
            }
            Counted::Certificate(certificate) => {
                let agreed = self.attestations.compare(&certificate.statement);
                self.demand_agreement(agreed, cx);
                cx.tell(Event::Certified(certificate));
            }
        }
    }

    /// Takes in a certificate above the one known.
    pub(super) fn adopt_certificate(&mut self, certificate: Certificate, cx: &mut Cx<'_>) {
        if !self.attestations.adopt(&certificate) {
            return;
        }
        let agreed = self.attestations.compare(&certificate.statement);
        let slot = certificate.slot();
        cx.tell(Event::Certified(certificate));
        self.demand_agreement(agreed, cx);
        self.forget_old();
        if slot > self.executed {
            self.timers.lags_since(cx.now(), &self.config.limits);
        }
        self.proposing.next = self.proposing.next.max(Slot(slot.0 + 1));
    }

    pub(super) fn forget_old(&mut self) {
        let floor = self.floor();
        self.slots = self.slots.split_off(&Slot(floor.0 + 1));
        self.attestations.forget(floor);
        let retained = self.config.limits.retained_bytes;
        self.bodies.forget(self.executed.min(self.certified()), floor, retained);
    }

    /// Writes a record, and begins the journal anew when it has grown (GEN-13).
    pub(super) fn persist(&mut self, record: Record, cx: &mut Cx<'_>) {
        self.journalled += match &record {
            Record::Body { payload, .. } => 24 + payload.bytes().len(),
            Record::Promised(_) | Record::Accepted(_) => 64,
            Record::Stable(certificate) => 96 + 64 * certificate.signatures.count(),
        };
        cx.persist(record);
    }

    /// At the end of a step, when the memory is whole again.
    pub(super) fn restate_if_long(&mut self, cx: &mut Cx<'_>) {
        if self.journalled > self.config.limits.journal_bytes {
            // At least as much again is written before the next time, however large the memory is.
            self.journalled = 0;
            cx.restate(self.whole_memory());
        }
    }

    /// Everything that this member must remember. The certificate comes with it: what it settles is trimmed.
    fn whole_memory(&mut self) -> Vec<Record> {
        let mut records: Vec<Record> =
            self.attestations.newest().cloned().map(Record::Stable).into_iter().collect();
        records.push(Record::Promised(self.promised));
        let settled = self.executed.min(self.certified());
        let bodies = self.bodies.begin_anew_above(settled);
        records.extend(bodies.map(|(slot, payload)| Record::Body { slot, payload }));
        let open = self.slots.range(Slot(self.certified().0 + 1)..);
        records.extend(open.filter_map(|(_, state)| state.accepted).map(Record::Accepted));
        records
    }

    /// Certificates shown to others.
    pub(super) fn show_certificate(&self, to: crate::protocol::Peer, above: Slot, cx: &mut Cx<'_>) {
        if let Some(newest) = self.attestations.newest().filter(|newest| newest.slot() > above) {
            cx.send(to, Message::Certified(newest.clone()));
        }
    }
}

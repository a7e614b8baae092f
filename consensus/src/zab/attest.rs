//! Attestations, certificates, garbage, and the journal's new beginnings.

use synod_types::{BlockHash, Height, Position, Slot};

use super::messages::{Fault, Message, Record};
use super::{Cx, Zab};
use crate::committee::attestations::{Counted, Disagreement};
use crate::committee::{Attestation, Certificate, Event};

impl Zab {
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

    /// The slot of the newest certificate of what is committed here.
    pub(super) fn settled(&self) -> Slot {
        self.settled.as_ref().map_or(Slot(0), Certificate::slot)
    }

    /// Nothing at or below this slot is kept any more.
    pub(super) fn floor(&self) -> Slot {
        let done = self.executed.min(self.settled());
        Slot(done.0.saturating_sub(self.config.limits.retained_slots))
    }

    /// Whether a proposal for the slot is kept: not while the ledger lags that far behind.
    pub(super) fn is_near(&self, slot: Slot) -> bool {
        let above = self.config.limits.window.saturating_mul(2);
        slot > self.log.base().slot && slot.0 <= self.executed.0.saturating_add(above)
    }

    /// Certificates of what is committed here by now: the log may be trimmed by them.
    pub(super) fn settle(&mut self) {
        if self.unsettled.is_none() {
            self.unsettled = self.attestations.newest().cloned();
        }
        while self.unsettled.as_ref().is_some_and(|waits| waits.slot() <= self.committed) {
            let settled = self.unsettled.take();
            if settled.as_ref().map(Certificate::slot) > Some(self.settled()) {
                self.settled = settled;
            }
            self.unsettled = self.attestations.newest().filter(|it| it.slot() > self.settled()).cloned();
        }
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
        self.settle();
        self.forget_old();
        if slot > self.executed {
            self.timers.lags_since(cx.now(), &self.config.limits);
        }
    }

    pub(super) fn forget_old(&mut self) {
        let floor = self.floor();
        self.log.trim(floor);
        self.attestations.forget(floor);
        let retained = self.config.limits.retained_bytes;
        self.bodies.forget(self.executed.min(self.settled()), floor, retained);
    }

    /// Writes a record, and begins the journal anew when it has grown (GEN-13). An observer promises nothing, and so
    /// keeps nothing.
    pub(super) fn persist(&mut self, record: Record, cx: &mut Cx<'_>) {
        if self.config.signer.is_none() {
            return;
        }
        self.journalled += match &record {
            Record::Body { payload, .. } => 24 + payload.bytes().len(),
            Record::Base { certificate, .. } => 128 + 64 * certificate.signatures.count(),
            Record::Accepted { .. }
            | Record::Truncated(_)
            | Record::Fetching
            | Record::Logged(_)
            | Record::Current(_) => 64,
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

    /// Everything that this member must remember, in the order in which it would be written.
    fn whole_memory(&mut self) -> Vec<Record> {
        let base =
            self.settled.clone().map(|certificate| Record::Base { point: self.log.base(), certificate });
        let mut records: Vec<Record> = base.into_iter().collect();
        let settled = self.executed.min(self.settled());
        let bodies = self.bodies.begin_anew_above(settled);
        records.extend(bodies.map(|(slot, payload)| Record::Body { slot, payload }));
        records.extend(self.log.all().map(Record::Logged));
        let (epoch, leader) = self.accepted;
        records.push(Record::Accepted { epoch, leader });
        records.push(Record::Current(self.current));
        if self.is_beyond_log {
            records.push(Record::Fetching);
        }
        records
    }

    /// Certificates shown to others.
    pub(super) fn show_certificate(&self, to: crate::protocol::Peer, above: Slot, cx: &mut Cx<'_>) {
        if let Some(newest) = self.attestations.newest().filter(|newest| newest.slot() > above) {
            cx.send(to, Message::Certified(newest.clone()));
        }
    }
}

//! Delivery in order, attestations, stable checkpoints, watermarks, garbage (PBFT-4, PBFT-5).
//!
//! Every block is a checkpoint: once it is durable here its hash, and so the state's root, is attested, and q
//! equal attestations are the certificate that clients wait for. The low watermark is the newest certificate's
//! slot. Slots that are both executed and certified are kept for a while for those who missed them.

use alloy_primitives::Bytes;
use synod_types::{BlockHash, Height, Position, Slot, mutant};

use super::messages::{Fault, Message, Record};
use super::{Cx, Pbft};
use crate::committee::{Attestation, Attested, Certificate, Event, Evidence, Signatures};
use crate::effects::Effect;

/// Attestations of slots that far below the newest certificate still make certificates of their own.
const LATE: u64 = 16;

impl Pbft {
    /// h: the slot of the newest certificate.
    pub(super) fn certified(&self) -> Slot {
        self.stable.as_ref().map_or(Slot(0), Certificate::slot)
    }

    /// Nothing at or below this slot is of interest any more. What lies a window below the newest certificate and
    /// is not executed here comes as blocks, so that a member whose ledger lags keeps no more than others (A7).
    pub(super) fn floor(&self) -> Slot {
        let (certified, limits) = (self.certified(), &self.config.limits);
        let done = self.executed.min(certified).0.saturating_sub(limits.retained_slots);
        let far = certified.0.saturating_sub(self.config.window().max(limits.retained_slots));
        Slot(if mutant!("gen-9-keep-all") { done } else { done.max(far) })
    }

    /// Whether this member may vote at the slot.
    pub(super) fn is_in_window(&self, slot: Slot) -> bool {
        let low = self.certified().0;
        slot.0 > low && slot.0 <= low.saturating_add(self.config.window())
    }

    /// Whether statements about the slot are kept: a member that has not seen the newest checkpoint keeps what
    /// those who have may send already.
    pub(super) fn is_buffered(&self, slot: Slot) -> bool {
        slot > self.floor() && slot <= self.ceiling()
    }

    /// The last slot about which statements are kept.
    pub(super) fn ceiling(&self) -> Slot {
        let window = self.config.window();
        let above = if mutant!("pbft-5-drop-above-window") { window } else { window.saturating_mul(2) };
        Slot(self.certified().0.saturating_add(above))
    }

    pub(super) fn position(&self, slot: Slot) -> Position {
        Position { epoch: self.config.committee.epoch(), slot }
    }

    pub(super) fn height(&self, slot: Slot) -> Height {
        Height(self.config.committee.record().base.0.saturating_add(slot.0))
    }

    /// Slots after the epoch's last block are void.
    pub(super) fn is_past_end(&self, slot: Slot) -> bool {
        self.ended_at.is_some_and(|end| slot > end)
    }

    /// Hands decided slots to the ledger, in order.
    pub(super) fn deliver(&mut self, cx: &mut Cx<'_>) {
        while self.fetching.is_none() {
            let slot = self.next_to_deliver();
            let decision = self.slots.get(&slot).and_then(|state| state.decision.as_ref());
            let Some(decision) = decision.filter(|_| !self.is_past_end(slot)) else { return };
            let is_committed = decision.choice.view == self.view && self.is_active;
            let digest = decision.choice.digest;
            let body = match digest {
                None => Bytes::new(),
                Some(digest) => match self.bodies.get(digest) {
                    Some(payload) => payload.bytes().clone(),
                    None => return,
                },
            };
            let position = self.position(slot);
            cx.effect(Effect::Append { position, block_hash: None, body, digest, settled: position });
            self.delivered = slot;
            self.timers.made_progress(cx.now(), is_committed);
        }
    }

    /// Slots are delivered in order.
    fn next_to_deliver(&self) -> Slot {
        let next = Slot(self.delivered.0 + 1);
        let mut later = self.slots.range(next..).filter(|(_, state)| state.decision.is_some());
        let first = later.next().map(|(slot, _)| *slot).filter(|_| mutant!("pbft-4-any-order"));
        first.unwrap_or(next)
    }

    /// The block is durable: this member attests it.
    pub(super) fn on_executed(&mut self, position: Position, block_hash: BlockHash, cx: &mut Cx<'_>) {
        let slot = position.slot;
        let is_next = slot.0 == self.executed.0 + 1 && position.epoch == self.config.committee.epoch();
        assert!(is_next, "the block log appends slots in order: {position} after slot {}", self.executed);
        self.executed = slot;
        self.delivered = self.delivered.max(slot);
        self.timers.made_progress(cx.now(), false);
        let decided = self.slots.get(&slot).and_then(|state| state.decision.as_ref());
        let decided = decided.and_then(|decision| decision.choice.digest);
        if let Some(digest) = self.proposing.executed(slot, decided) {
            cx.tell(Event::Abandoned { digest });
        }
        self.note_block(slot, block_hash, cx);
        if let Some(attestation) = self.attest(slot, block_hash) {
            cx.broadcast(Message::Attestation(attestation));
            self.count_attestation(attestation, cx);
        }
        self.forget_old();
        self.deliver(cx);
    }

    /// Signs that the slot's block is durable here, and remembers it.
    pub(super) fn attest(&self, slot: Slot, block_hash: BlockHash) -> Option<Attestation> {
        let signer = self.config.signer.as_ref()?;
        let statement = Attested { position: self.position(slot), height: self.height(slot), block_hash };
        Some(Attestation::new(&self.config.committee, signer, statement))
    }

    /// The block of a slot is known; a certificate of another one ends everything.
    pub(super) fn note_block(&mut self, slot: Slot, block_hash: BlockHash, cx: &mut Cx<'_>) {
        self.hashes.insert(slot, block_hash);
        let stable = self.stable.as_ref().map(|certificate| certificate.statement);
        if let Some(statement) = stable.filter(|statement| statement.position.slot == slot) {
            self.compare(statement, cx);
        }
    }

    fn compare(&mut self, statement: Attested, cx: &mut Cx<'_>) {
        let slot = statement.position.slot;
        let ours = self.hashes.get(&slot).copied();
        if let Some(ours) = ours.filter(|ours| *ours != statement.block_hash) {
            self.diverge(slot, ours.to_string(), statement.block_hash.to_string(), cx);
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
        let Attestation { statement, member, .. } = attestation;
        let slot = statement.position.slot;
        let window = self.config.window().saturating_mul(2);
        let low = self.certified().0;
        if slot.0.saturating_add(LATE) <= low || slot.0 > low.max(self.executed.0).saturating_add(window) {
            return;
        }
        let said = self.attestations.entry(slot).or_default();
        match said.get(&member) {
            Some(known) if known.statement != statement => {
                let evidence = Evidence { member, first: known.into(), second: (&attestation).into() };
                cx.tell(Event::Caught(evidence));
                return cx.accuse(member.peer(), Fault::Contradiction);
            }
            Some(_) => return,
            None => {}
        }
        said.insert(member, attestation);
        let agreeing = said.values().filter(|known| known.statement == statement);
        if agreeing.clone().count() == self.config.committee.quorum() {
            let signed = agreeing.map(|known| (known.member, known.signature)).collect();
            let certificate = Certificate { statement, signatures: Signatures::new(&signed) };
            if slot > self.certified() {
                self.adopt_certificate(certificate, cx);
            } else {
                self.compare(statement, cx);
                cx.tell(Event::Certified(certificate));
            }
        }
    }

    /// Takes in a certificate above the one known: the low watermark rises.
    pub(super) fn adopt_certificate(&mut self, certificate: Certificate, cx: &mut Cx<'_>) {
        let slot = certificate.slot();
        if slot <= self.certified() {
            return;
        }
        let statement = certificate.statement;
        cx.tell(Event::Certified(certificate.clone()));
        self.stable = Some(certificate);
        self.compare(statement, cx);
        self.forget_old();
        if slot > self.executed {
            self.timers.lags_since(cx.now(), &self.config.limits);
        }
        self.accept_all(cx);
    }

    /// Slots that entered the window, or whose bodies or time have come.
    pub(super) fn accept_all(&mut self, cx: &mut Cx<'_>) {
        let low = self.certified();
        let open: Vec<Slot> = self
            .slots
            .range(Slot(low.0 + 1)..)
            .filter(|(_, state)| state.in_view(self.view).is_some() && state.accepted_in(self.view).is_none())
            .map(|(slot, _)| *slot)
            .collect();
        for slot in open {
            self.try_accept(slot, cx);
        }
    }

    pub(super) fn forget_old(&mut self) {
        let floor = self.floor();
        self.slots = self.slots.split_off(&Slot(floor.0 + 1));
        self.hashes = self.hashes.split_off(&Slot(floor.0 + 1));
        let late = self.certified().0.saturating_sub(LATE);
        self.attestations = self.attestations.split_off(&Slot(late + 1));
        let retained = self.config.limits.retained_bytes;
        self.bodies.forget(self.executed.min(self.certified()), floor, retained);
    }

    /// Writes a record, and begins the journal anew when it has grown (GEN-13).
    pub(super) fn persist(&mut self, record: Record, cx: &mut Cx<'_>) {
        self.journalled += record_length(&record);
        cx.persist(record);
    }

    /// A vote far above the checkpoint that a start would find is useless to a VIEW-CHANGE without that of today
    /// (PBFT-7): write it down first. Certificates are otherwise the block log's, which is behind at times.
    pub(super) fn anchor(&mut self, slot: Slot, cx: &mut Cx<'_>) {
        let reach = self.anchored.0.saturating_add(self.config.window());
        if slot.0 <= reach || mutant!("pbft-7-no-anchor") {
            return;
        }
        if let Some(stable) = self.stable.clone() {
            self.anchored = stable.slot();
            self.persist(Record::Stable(stable), cx);
        }
    }

    /// At the end of a step, when the memory is whole again.
    pub(super) fn restate_if_long(&mut self, cx: &mut Cx<'_>) {
        if self.journalled > self.config.limits.journal_bytes {
            let records = self.whole_memory();
            // At least as much again is written before the next time, however large the memory is.
            self.journalled = 0;
            self.anchored = self.certified();
            cx.restate(records);
        }
    }

    /// Everything that this member must remember, as records.
    fn whole_memory(&mut self) -> Vec<Record> {
        let mut records: Vec<Record> = self.stable.iter().cloned().map(Record::Stable).collect();
        records.extend(self.new_view.iter().cloned().map(Record::NewView));
        let own = self.config.me().and_then(|me| self.view_changes.get(&me));
        let begun = self.new_view.as_ref().map(|new_view| new_view.view);
        let is_later = |view| begun.is_none_or(|begun| view > begun);
        records.extend(own.filter(|own| is_later(own.view())).cloned().map(Record::ViewChange));
        let certified = self.certified();
        // An executed block that is not certified may have to be proposed again, and this be its last copy.
        let needed =
            if mutant!("gen-13-drop-executed-bodies") { self.executed } else { self.executed.min(certified) };
        let kept = self.bodies.begin_anew_above(needed);
        records.extend(kept.map(|(slot, payload)| Record::Body { slot, payload }));
        let low = Slot(certified.0 + 1);
        for state in self.slots.range(low..).map(|(_, state)| state) {
            records.extend(state.accepted.map(Record::Accepted));
            records.extend(state.prepared.iter().cloned().map(Record::Prepared));
        }
        records
    }
}

/// About how many bytes a record takes: what matters is that it is no less than a third of them.
fn record_length(record: &Record) -> usize {
    match record {
        Record::Body { payload, .. } => 24 + payload.bytes().len(),
        Record::Accepted(_) => 128,
        Record::Prepared(prepared) => 160 + 64 * prepared.prepares.count(),
        Record::ViewChange(change) => 256 + change.content.prepared.len() * 512,
        Record::NewView(new_view) => 1024 + new_view.pre_prepares.len() * 512 * new_view.view_changes.len(),
        Record::Stable(certificate) => 96 + 64 * certificate.signatures.count(),
    }
}

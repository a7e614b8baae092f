//! A start: from nothing, or from what the journal and the block log kept.
//!
//! The journal holds every stand that this member took, the block log every block. Votes are signed again
//! rather than stored: a signature under ed25519 is the same each time. Whatever the journal justifies is said
//! again by the first tick.

use std::collections::BTreeMap;

use synod_types::{Slot, mutant};

use super::config::Config;
use super::messages::{Phase, Record, View, Vote};
use super::new_view::plan;
use super::timers::Timers;
use super::{Cx, Pbft};
use crate::committee::bodies::Bodies;
use crate::committee::proposing::Proposing;
use crate::committee::{Certificate, History};

impl Pbft {
    pub(super) fn start(config: Config, records: Vec<Record>, history: History, cx: &mut Cx<'_>) -> Self {
        let executed = history.executed;
        let mut machine = Self {
            view: View(0),
            is_active: true,
            new_view: None,
            replanned: Slot(0),
            slots: BTreeMap::new(),
            bodies: Bodies::default(),
            executed,
            delivered: executed,
            hashes: BTreeMap::new(),
            stable: history.certificate.clone(),
            attestations: BTreeMap::new(),
            view_changes: BTreeMap::new(),
            proposing: Proposing::starting_at(Slot(1)),
            timers: Timers::new(cx.now()),
            helped: BTreeMap::new(),
            shown: BTreeMap::new(),
            fetching: None,
            ended_at: history.has_ended.then_some(executed),
            journalled: 0,
            anchored: Slot(0),
            halted: None,
            config,
        };
        for record in records {
            machine.remember(record);
        }
        machine.anchored = machine.certified();
        machine.restore_blocks(&history, cx);
        machine.restore_votes();
        machine.accept_all(cx);
        if machine.certified() > machine.executed {
            machine.timers.lags_since(cx.now(), &machine.config.limits);
        }
        machine.show_horizon();
        machine
    }

    fn remember(&mut self, record: Record) {
        match record {
            Record::Body { slot, payload } => self.bodies.restore(payload, slot),
            Record::Accepted(vote) => {
                let slot = vote.choice.slot;
                if let Some(digest) = vote.choice.digest {
                    self.bodies.extend_to(digest, slot);
                }
                let state = self.slots.entry(slot).or_default();
                state.accepted = Some(vote);
                // In a journal that began anew the view's beginning comes first: what it proposes stays.
                let is_later = |known: Vote| vote.choice.view >= known.choice.view;
                if state.pre_prepare.is_none_or(is_later) || mutant!("pbft-8-restart-proposes") {
                    state.pre_prepare = Some(vote);
                }
                self.proposing.next = self.proposing.next.max(Slot(slot.0 + 1));
            }
            Record::Prepared(prepared) => {
                let slot = prepared.choice().slot;
                self.slots.entry(slot).or_default().prepared = Some(prepared);
            }
            Record::ViewChange(change) => {
                self.raise_stable(change.content.stable.as_ref());
                (self.view, self.is_active) = (change.view(), false);
                self.view_changes.insert(change.member, change);
            }
            Record::NewView(new_view) => {
                let plan = plan(&new_view.view_changes);
                self.raise_stable(plan.stable.as_ref());
                self.adopt_view(new_view, &plan);
            }
            Record::Stable(certificate) => self.raise_stable(Some(&certificate)),
        }
    }

    fn raise_stable(&mut self, certificate: Option<&Certificate>) {
        if let Some(certificate) = certificate.filter(|certificate| certificate.slot() > self.certified()) {
            self.stable = Some(certificate.clone());
        }
    }

    /// The uncertified blocks are attested again; of many the newest, whose certificate vouches for all below.
    fn restore_blocks(&mut self, history: &History, cx: &mut Cx<'_>) {
        let bound = usize::try_from(self.config.window().saturating_mul(2)).unwrap_or(usize::MAX);
        let newest = &history.uncertified[history.uncertified.len().saturating_sub(bound)..];
        let first = self.executed.0.saturating_sub(newest.len() as u64).saturating_add(1);
        for (slot, block_hash) in (first..).map(Slot).zip(newest) {
            self.note_block(slot, *block_hash, cx);
            if let Some(attestation) = self.attest(slot, *block_hash) {
                self.count_attestation(attestation, cx);
            }
        }
        if self.executed.0 > 0 {
            self.note_block(self.executed, history.block_hash, cx);
        }
        self.proposing.next = self.proposing.next.max(Slot(self.executed.0 + 1));
        self.forget_old();
    }

    /// Signs again what the journal justifies.
    fn restore_votes(&mut self) {
        let Some(me) = self.config.me() else { return };
        let slots: Vec<Slot> = self.slots.keys().copied().collect();
        for slot in slots {
            let state = &self.slots[&slot];
            let accepted = state.accepted.filter(|vote| vote.member != me);
            let prepare = accepted.and_then(|vote| self.cast_again(Phase::Prepare, &vote));
            let prepared = state.prepared.as_ref().map(|prepared| prepared.pre_prepare);
            let commit = prepared.and_then(|vote| self.cast_again(Phase::Commit, &vote));
            let state = self.slots.get_mut(&slot).expect("looked at just before");
            state.prepares.extend(prepare.map(|vote| (me, vote)));
            state.commits.extend(commit.map(|vote| (me, vote)));
            state.since = state.accepted.map(|_| self.timers.started());
        }
    }
}

//! A start: from nothing, or from what the journal and the block log kept. Nobody leads or follows after it: a
//! leader's epoch is not used again.

use std::collections::BTreeMap;

use synod_types::Slot;

use super::config::Config;
use super::election::Looking;
use super::log::Log;
use super::messages::Record;
use super::timers::Timers;
use super::zxid::ZabEpoch;
use super::{Cx, Role, Zab};
use crate::committee::attestations::Attestations;
use crate::committee::bodies::Bodies;
use crate::committee::proposing::Proposing;
use crate::committee::{Certificate, History, MemberIndex};

impl Zab {
    pub(super) fn start(config: Config, records: Vec<Record>, history: History, cx: &mut Cx<'_>) -> Self {
        let executed = history.executed;
        let mut machine = Self {
            accepted: (ZabEpoch(0), MemberIndex(0)),
            current: ZabEpoch(0),
            log: Log::default(),
            seen_epoch: ZabEpoch(0),
            role: Role::Looking(Looking::since(cx.now())),
            committed: Slot(0),
            announced: Slot(0),
            bodies: Bodies::default(),
            executed,
            delivered: executed,
            attestations: Attestations::new(config.committee.clone(), history.certificate.clone()),
            settled: None,
            unsettled: None,
            proposing: Proposing::starting_at(Slot(executed.0 + 1)),
            timers: Timers::new(cx.now()),
            helped: BTreeMap::new(),
            fetching: None,
            is_beyond_log: false,
            ended_at: history.has_ended.then_some(executed),
            journalled: 0,
            halted: None,
            config,
        };
        for record in records {
            machine.remember(record);
        }
        machine.committed = machine.known_committed();
        machine.settle();
        machine.restore_blocks(&history, cx);
        if machine.certified() > machine.executed {
            machine.timers.lags_since(cx.now(), &machine.config.limits);
        }
        machine
    }

    fn remember(&mut self, record: Record) {
        match record {
            Record::Accepted { epoch, leader } => self.accepted = (epoch, leader),
            Record::Body { slot, payload } => self.bodies.restore(payload, slot),
            Record::Truncated(slot) => self.log.truncate(slot),
            Record::Base { point, certificate } => {
                self.log.reset(point);
                self.attestations.adopt(&certificate);
                self.settled = Some(certificate);
            }
            Record::Fetching => self.is_beyond_log = true,
            Record::Logged(entry) => {
                self.bodies.extend_to(entry.digest, entry.slot);
                self.log.push(entry);
            }
            Record::Current(epoch) => {
                self.current = epoch;
                self.is_beyond_log = false;
            }
        }
    }

    /// What is executed was committed, unless its blocks came from elsewhere while the log is another (ZAB-8).
    fn known_committed(&self) -> Slot {
        let settled = self.settled.as_ref().map_or(Slot(0), Certificate::slot).min(self.log.last().slot);
        let is_of_log = !self.is_beyond_log && self.executed <= self.log.last().slot;
        let executed = if is_of_log { self.executed } else { Slot(0) };
        self.log.base().slot.max(settled).max(executed)
    }

    /// The uncertified blocks are attested again; of many the newest, whose certificate vouches for all below.
    fn restore_blocks(&mut self, history: &History, cx: &mut Cx<'_>) {
        let bound = usize::try_from(self.config.limits.window.saturating_mul(2)).unwrap_or(usize::MAX);
        let newest = &history.uncertified[history.uncertified.len().saturating_sub(bound)..];
        let first = self.executed.0.saturating_sub(newest.len() as u64).saturating_add(1);
        for (slot, block_hash) in (first..).map(Slot).zip(newest) {
            self.note_block(slot, *block_hash, cx);
            if let Some(signer) = self.config.signer.clone() {
                let attestation = self.attestations.sign(&signer, slot, *block_hash);
                self.count_attestation(attestation, cx);
            }
        }
        if self.executed.0 > 0 {
            self.note_block(self.executed, history.block_hash, cx);
        }
        self.forget_old();
    }
}

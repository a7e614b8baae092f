//! A start: from nothing, or from what the journal and the block log kept. A leader comes back as a follower:
//! its ballot is not used again (MPX-1).

use std::collections::BTreeMap;

use synod_types::Slot;

use super::config::Config;
use super::messages::{Ballot, Record};
use super::timers::Timers;
use super::{Cx, Paxos, Role};
use crate::committee::attestations::Attestations;
use crate::committee::bodies::Bodies;
use crate::committee::proposing::Proposing;
use crate::committee::{History, MemberIndex};

impl Paxos {
    pub(super) fn start(config: Config, records: Vec<Record>, history: History, cx: &mut Cx<'_>) -> Self {
        let executed = history.executed;
        let index = config.me().unwrap_or(MemberIndex(0)).0;
        let mut machine = Self {
            promised: Ballot::default(),
            seen_round: 0,
            role: Role::Following,
            leader: None,
            commit: (Ballot::default(), Slot(0)),
            announced: executed,
            slots: BTreeMap::new(),
            bodies: Bodies::default(),
            executed,
            delivered: executed,
            attestations: Attestations::new(config.committee.clone(), history.certificate.clone()),
            proposing: Proposing::starting_at(Slot(executed.0 + 1)),
            timers: Timers::new(&config.limits, index, cx.now()),
            helped: BTreeMap::new(),
            fetching: None,
            ended_at: history.has_ended.then_some(executed),
            journalled: 0,
            halted: None,
            config,
        };
        let is_restart = !records.is_empty();
        for record in records {
            machine.remember(record);
        }
        if is_restart {
            // Somebody else leads by now, in all likelihood.
            machine.timers.wait_for_leader(&machine.config.limits, cx);
        }
        machine.restore_blocks(&history, cx);
        if machine.certified() > machine.executed {
            machine.timers.lags_since(cx.now(), &machine.config.limits);
        }
        machine
    }

    fn remember(&mut self, record: Record) {
        match record {
            Record::Promised(ballot) => self.promised = self.promised.max(ballot),
            Record::Body { slot, payload } => self.bodies.restore(payload, slot),
            Record::Accepted(vote) => {
                self.promised = self.promised.max(vote.ballot);
                if let Some(digest) = vote.digest {
                    self.bodies.extend_to(digest, vote.slot);
                }
                let state = self.slots.entry(vote.slot).or_default();
                (state.accepted, state.heard) = (Some(vote), Some(vote));
            }
            Record::Stable(certificate) => drop(self.attestations.adopt(&certificate)),
        }
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

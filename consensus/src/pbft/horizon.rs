//! What the checks outside the ordering thread know of the machine (PBFT-17).
//!
//! A signature costs some fifty microseconds to check, a comparison nothing. The machine therefore says after
//! each step which slots it keeps statements about, and a message about others is dropped before any of its
//! signatures is looked at; and a vote that held once is not checked again: its exact bytes, signature and all,
//! are remembered for a while. Both only save work. The machine decides by itself what it counts, and a message
//! that is checked against an older horizon comes to nothing or is said again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use synod_types::hash::sha256;
use synod_types::{Slot, codec, mutant};

use super::Pbft;
use super::messages::{Message, Vote};
use crate::committee::Committee;

/// Votes remembered in each of two generations: some hundred slots of the largest committees.
const REMEMBERED: usize = 8_192;

/// Shared by a member's machine and whoever checks for it; one for each start.
#[derive(Debug)]
pub struct Horizon {
    /// Slots above this one are of interest.
    above: AtomicU64,
    /// And up to here.
    up_to: AtomicU64,
    checked: AtomicU64,
    held: Mutex<Held>,
}

/// The votes that held: the newer generation and the one before it.
#[derive(Debug, Default)]
struct Held {
    newer: BTreeSet<B256>,
    older: BTreeSet<B256>,
}

impl Default for Horizon {
    /// Everything is of interest until the machine says otherwise.
    fn default() -> Self {
        Self {
            above: AtomicU64::new(0),
            up_to: AtomicU64::new(u64::MAX),
            checked: AtomicU64::new(0),
            held: Mutex::default(),
        }
    }
}

impl Horizon {
    fn has(&self, slot: Slot) -> bool {
        slot.0 > self.above.load(Ordering::Relaxed) && slot.0 <= self.up_to.load(Ordering::Relaxed)
    }

    /// Whether the machine may make anything of the message. Statements about views have no slot, and answers
    /// prove themselves.
    pub(super) fn awaits(&self, message: &Message) -> bool {
        let slot = match message {
            Message::PrePrepare { vote, .. } | Message::Prepare(vote) | Message::Commit(vote) => {
                vote.choice.slot
            }
            Message::Decided(decision) => decision.choice.slot,
            Message::Attestation(_)
            | Message::ViewChange(_)
            | Message::NewView(_)
            | Message::AskBody { .. }
            | Message::Body(_)
            | Message::Certified(_)
            | Message::Standing(_) => return true,
        };
        self.has(slot) || mutant!("pbft-17-window-last")
    }

    /// Whether the vote's signature holds; of a vote that held before nothing is computed.
    pub(super) fn holds(&self, vote: &Vote, committee: &Committee) -> bool {
        let name = sha256(&[&codec::encode(vote)]);
        if self.held().contains(&name) && !mutant!("pbft-17-duplicates-last") {
            return true;
        }
        self.checked.fetch_add(1, Ordering::Relaxed);
        let holds = vote.is_signed(committee);
        if holds {
            self.held().remember(name);
        }
        holds
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many votes' signatures were looked at.
    pub fn checked(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }
}

impl Held {
    fn contains(&self, name: &B256) -> bool {
        self.newer.contains(name) || self.older.contains(name)
    }

    fn remember(&mut self, name: B256) {
        if self.newer.len() >= REMEMBERED {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(name);
    }
}

impl Pbft {
    /// Tells the checks where this member stands.
    pub(super) fn show_horizon(&self) {
        let horizon = &self.config.horizon;
        horizon.above.store(self.floor().0, Ordering::Relaxed);
        horizon.up_to.store(self.ceiling().0, Ordering::Relaxed);
    }
}

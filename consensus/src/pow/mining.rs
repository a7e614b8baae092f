//! Mining: a template for the tip, made anew for its time and its transactions, and dropped with the tip
//! (POW-11).
//!
//! The machine never hashes: it asks the ledger for a template, hands it to the miner (ours, and through RPC
//! anybody's), and takes solutions in like any other block. While a longer chain is being fetched nothing is
//! mined: its tip will be the parent soon.

use synod_types::{BlockHash, Height, mutant};

use super::body::Body;
use super::header::check_work;
use super::messages::Job;
use super::orphans::Newcomer;
use super::timers::Timer;
use super::{Cx, ProofOfWork};
use crate::effects::Effect;
use crate::time::Time;

/// What is being mined.
#[derive(Debug, Default)]
pub(super) struct Mining {
    /// The tip that templates are made for; `None` while nothing is mined.
    parent: Option<BlockHash>,
    assembled_at: Time,
    timer: Option<Time>,
}

impl Mining {
    pub(super) fn is_on(&self) -> bool {
        self.parent.is_some()
    }
}

impl ProofOfWork {
    /// Follows the tip.
    pub(super) fn mine_on_tip(&mut self, cx: &mut Cx<'_>) {
        if !self.config.mines {
            return;
        }
        let tip = self.tree.tip().header.hash();
        if self.mining.parent == Some(tip) || (mutant!("pow-11-stale-template") && self.mining.is_on()) {
            return;
        }
        let is_switching = self.chain.is_busy() && self.tree.tip().work < self.advertised.work;
        if self.mining.parent.take().is_some() {
            cx.effect(Effect::Cancel);
        }
        if is_switching || self.is_syncing() {
            return;
        }
        self.mining.parent = Some(tip);
        self.assemble(cx);
    }

    /// Asks for a template on the tip.
    fn assemble(&mut self, cx: &mut Cx<'_>) {
        let tip = self.tree.tip();
        let place = self.tree.place(tip.header.hash()).expect("the tip is known");
        let earliest = place.median_time().saturating_add(1);
        let early_ms = (u64::from(earliest) * 1000).saturating_sub(cx.wall().0);
        if early_ms > 0 {
            // Nobody would take such a block yet, and of many that come true in one second none would win.
            self.set_template_timer(cx.now().plus_ms(early_ms));
            return;
        }
        let bits = self.config.rules.asert.next_target(place.height, place.time).to_compact();
        cx.effect(Effect::Start(Job::Assemble {
            parent: place.hash,
            height: Height(place.height + 1),
            bits,
            earliest,
        }));
        self.mining.assembled_at = cx.now();
        self.set_template_timer(cx.now().plus_ms(self.config.limits.template_interval_ms));
    }

    fn set_template_timer(&mut self, at: Time) {
        if let Some(before) = self.mining.timer.replace(at) {
            self.timers.clear(before, Timer::Template);
        }
        self.timers.set(at, Timer::Template);
    }

    pub(super) fn template_is_old(&mut self, cx: &mut Cx<'_>) {
        self.mining.timer = None;
        if self.mining.is_on() {
            self.assemble(cx);
        }
    }

    /// The pool changed: a new template, but not too often.
    pub(super) fn on_demand(&mut self, cx: &mut Cx<'_>) {
        if !self.mining.is_on() {
            return;
        }
        let due = self.mining.assembled_at.plus_ms(self.config.limits.template_pause_ms);
        if due <= cx.now() {
            self.assemble(cx);
        } else if self.mining.timer.is_none_or(|timer| timer > due) {
            self.set_template_timer(due);
        }
    }

    pub(super) fn on_assembled(&mut self, template: &Body, cx: &mut Cx<'_>) {
        let is_current = self.mining.parent == Some(template.header().parent());
        if is_current {
            cx.effect(Effect::Start(Job::Search { template: template.bytes().clone() }));
        }
    }

    /// A solution, of our own miner or an outside one: a block like any other.
    pub(super) fn on_solved(&mut self, body: Body, cx: &mut Cx<'_>) {
        let header = *body.header();
        let is_solved = check_work(&header, self.config.rules.limit()).is_ok();
        if is_solved && body.mismatch().is_none() && self.tree.contains(header.parent()) {
            self.introduce(Newcomer { header, body: Some(body), from: None, asked: false }, cx);
        }
    }
}

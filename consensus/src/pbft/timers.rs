//! Times: when to repeat (GEN-8), when to give a view up (PBFT-13, PBFT-18, PBFT-20), when to fetch.
//!
//! Nothing here decides what is safe. The back-off doubles with each failed view, goes back to its base when
//! a block is committed in the current view, and is capped.

use synod_types::mutant;

use super::config::Limits;
use super::{Cx, Pbft};
use crate::committee::proposing::Demand;
use crate::time::Time;

/// All deadlines, and what they are reckoned from.
#[derive(Debug)]
pub(super) struct Timers {
    pub(super) demand: Demand,
    started: Time,
    /// When what is pending is said again, or where this member stands.
    tick_at: Time,
    /// The pause before the next repetition; 0 at first.
    pause_ms: u64,
    /// When the view began here.
    view_began: Time,
    /// When a slot was last handed to the ledger or came back from it.
    progress_at: Time,
    /// When a batch that was about full was last accepted.
    full_at: Time,
    /// Views that failed one after the other.
    failed: u32,
    /// When the view that a quorum wants is given up.
    wanted_until: Option<Time>,
    /// When blocks are fetched, if those that are certified have not come until then.
    fetch_at: Option<Time>,
}

impl Timers {
    pub(super) fn new(now: Time) -> Self {
        Self {
            demand: Demand::default(),
            started: now,
            tick_at: now,
            pause_ms: 0,
            view_began: now,
            progress_at: now,
            full_at: now,
            failed: 0,
            wanted_until: None,
            fetch_at: None,
        }
    }

    /// How long a view may go without progress (PBFT-20).
    pub(super) fn timeout_ms(&self, limits: &Limits) -> u64 {
        let doubled = limits.base_timeout_ms.saturating_mul(1 << self.failed.min(40));
        if mutant!("pbft-20-unlimited") { doubled } else { doubled.min(limits.timeout_cap_ms) }
    }

    pub(super) fn view_left(&mut self, now: Time) {
        self.failed = self.failed.saturating_add(1);
        self.wanted_until = None;
        self.pause_ms = 0;
        self.tick_at = self.tick_at.min(now);
    }

    pub(super) fn view_is_wanted(&mut self, limits: &Limits, now: Time) {
        let until = now.plus_ms(self.timeout_ms(limits));
        self.wanted_until.get_or_insert(until);
    }

    pub(super) fn view_entered(&mut self, now: Time) {
        self.wanted_until = None;
        self.view_began = now;
        self.progress_at = now;
        self.pause_ms = 0;
    }

    /// A slot moved on; `is_committed` when it was committed in the current view.
    pub(super) fn made_progress(&mut self, now: Time, is_committed: bool) {
        self.progress_at = now;
        self.pause_ms = 0;
        if is_committed && !mutant!("pbft-20-no-reset") {
            self.failed = 0;
        }
    }

    pub(super) fn batch_was_full(&mut self, now: Time) {
        self.full_at = now;
    }

    /// Blocks are certified that are not executed here: they may be on their way.
    pub(super) fn lags_since(&mut self, now: Time, limits: &Limits) {
        let at = now.plus_ms(limits.base_timeout_ms / 4);
        self.fetch_at.get_or_insert(at);
    }

    /// When this member started.
    pub(super) fn started(&self) -> Time {
        self.started
    }

    /// How many views failed one after the other.
    pub(super) fn failed(&self) -> u32 {
        self.failed
    }
}

/// What a deadline that has come asks for.
enum Due {
    Tick,
    Fetch,
    GiveUp,
}

impl Pbft {
    /// The nearest deadline.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        let timers = &self.timers;
        let deadlines = [
            Some(timers.tick_at),
            timers.fetch_at,
            timers.wanted_until,
            self.progress_deadline(),
            self.patience_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    pub(super) fn on_wake(&mut self, cx: &mut Cx<'_>) {
        for due in self.take_due(cx.now()) {
            match due {
                Due::Tick => self.tick(cx),
                Due::Fetch => self.fetch(cx),
                Due::GiveUp => self.leave_for(self.view.next(), cx),
            }
        }
    }

    fn take_due(&mut self, now: Time) -> Vec<Due> {
        let has_come = |deadline: Option<Time>| deadline.is_some_and(|at| at <= now);
        let mut due = Vec::new();
        if has_come(self.timers.wanted_until)
            || has_come(self.progress_deadline())
            || has_come(self.patience_deadline())
        {
            due.push(Due::GiveUp);
        }
        if has_come(self.timers.fetch_at) {
            self.timers.fetch_at = None;
            due.push(Due::Fetch);
        }
        if has_come(Some(self.timers.tick_at)) {
            due.push(Due::Tick);
        }
        due
    }

    /// Whether the view's timer may run: this member votes, has all certified blocks, and the epoch goes on.
    fn may_give_up(&self) -> bool {
        let is_voter = self.is_active && self.config.signer.is_some();
        is_voter && self.certified() <= self.executed && self.ended_at.is_none()
    }

    /// A silent primary, or one whose instances do not end: something waits and nothing moves.
    fn progress_deadline(&self) -> Option<Time> {
        let view = self.view;
        let open = self.slots.range(synod_types::Slot(self.delivered.0 + 1)..);
        let mut undecided = open.filter(|(_, state)| state.decision.is_none());
        // What a view carries over waits since the view began.
        let began = self.timers.view_began;
        let first =
            undecided.find_map(|(_, state)| state.in_view(view).map(|_| state.since.unwrap_or(began)));
        let waiting = [self.timers.demand.oldest_since, first].into_iter().flatten().min();
        let waiting = waiting.or_else(|| mutant!("pbft-18-no-lull").then_some(began));
        let waiting = waiting.filter(|_| self.may_give_up())?;
        let from = waiting.max(self.timers.progress_at).max(self.timers.view_began);
        Some(from.plus_ms(self.timers.timeout_ms(&self.config.limits)))
    }

    /// A slow or censoring primary: it had room for the oldest transaction, and time, and leaves it (PBFT-18).
    fn patience_deadline(&self) -> Option<Time> {
        let oldest = self.timers.demand.oldest_since.filter(|_| self.may_give_up())?;
        let limits = &self.config.limits;
        let patience = self.timers.timeout_ms(limits).saturating_mul(limits.patience);
        let from = oldest.max(self.timers.view_began).max(self.timers.full_at);
        Some(from.plus_ms(patience)).filter(|_| !mutant!("pbft-18-patient"))
    }

    /// After every step: what became pending is said again soon.
    pub(super) fn keep_ticking(&mut self, cx: &mut Cx<'_>) {
        let first = (self.config.limits.base_timeout_ms / 8).max(1);
        if self.timers.pause_ms == 0 && self.is_pending() {
            self.timers.pause_ms = first;
            let at = cx.now().plus_ms(jittered(first, cx));
            self.timers.tick_at = self.timers.tick_at.min(at);
        }
    }

    fn tick(&mut self, cx: &mut Cx<'_>) {
        let limits = &self.config.limits;
        let wait = if self.is_pending() {
            // Capped at half the base timeout (GEN-8).
            let cap = (limits.base_timeout_ms / 2).max(1);
            self.timers.pause_ms = self.timers.pause_ms.saturating_mul(2).clamp(1, cap);
            self.timers.pause_ms
        } else {
            self.timers.pause_ms = 0;
            limits.heartbeat_ms
        };
        self.timers.tick_at = cx.now().plus_ms(jittered(wait, cx));
        if !mutant!("gen-8-no-retransmit") {
            self.say_again(None, cx);
        }
    }
}

/// Three to five quarters of a pause, so that members do not repeat themselves in step.
fn jittered(pause_ms: u64, cx: &mut Cx<'_>) -> u64 {
    let quarter = pause_ms / 4;
    pause_ms - quarter + cx.random().below(2 * quarter + 1)
}

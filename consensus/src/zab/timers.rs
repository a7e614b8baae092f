//! Times: when to repeat (GEN-8), when a leader is lost, how long an attempt may take, when to fetch.
//!
//! Nothing here decides what is safe.

use synod_types::mutant;

use super::config::Limits;
use super::{Cx, Role, Zab};
use crate::committee::proposing::Demand;
use crate::time::Time;

/// All deadlines, and what they are reckoned from.
#[derive(Debug, Clone)]
pub(super) struct Timers {
    pub(super) demand: Demand,
    /// When what is pending is said again, or where this member stands.
    tick_at: Time,
    /// The pause before the next repetition; 0 at first.
    pause_ms: u64,
    /// When a leader counts as lost.
    lost_at: Time,
    /// When an attempt to lead, or to hear of a leader's epoch, is given up.
    attempt_until: Time,
    /// When the leader shows again that it is there.
    beat_at: Time,
    /// Attempts that failed one after the other.
    failed: u32,
    /// How often the timeout has doubled meanwhile.
    doubled: u32,
    /// When it doubled last.
    doubled_at: Option<Time>,
    /// When blocks are fetched, if those that are certified have not come until then.
    fetch_at: Option<Time>,
}

impl Timers {
    pub(super) fn new(now: Time) -> Self {
        Self {
            demand: Demand::default(),
            tick_at: now,
            pause_ms: 0,
            lost_at: now,
            attempt_until: now,
            beat_at: now,
            failed: 0,
            doubled: 0,
            doubled_at: None,
            fetch_at: None,
        }
    }

    pub(super) fn timeout_ms(&self, limits: &Limits) -> u64 {
        limits.base_timeout_ms.saturating_mul(1 << self.doubled.min(40)).min(limits.timeout_cap_ms)
    }

    /// How long one bears that nobody is heard. It doubles with failed attempts as they do, since a slow disk makes a
    /// leader silent, but only to a quarter of the cap: of those who wait for a leader that is gone nobody votes, and
    /// the bound on progress (A6) is reckoned in caps.
    pub(super) fn silence_ms(&self, limits: &Limits) -> u64 {
        let timeout = self.timeout_ms(limits);
        if mutant!("zab-silence-like-attempts") {
            return timeout;
        }
        timeout.min((limits.timeout_cap_ms / 4).max(limits.base_timeout_ms))
    }

    /// A leader that is heard is not given up for some silence, and somewhat longer at random.
    pub(super) fn heard_leader(&mut self, limits: &Limits, cx: &mut Cx<'_>) {
        let wait = self.silence_ms(limits);
        let wait = wait.saturating_add(cx.random().below(wait.max(1)));
        self.lost_at = cx.now().plus_ms(wait);
    }

    pub(super) fn attempt_began(&mut self, limits: &Limits, cx: &mut Cx<'_>) {
        let wait = self.timeout_ms(limits).saturating_add(cx.random().below(limits.base_timeout_ms.max(1)));
        self.attempt_until = cx.now().plus_ms(wait);
        self.pause_ms = 0;
    }

    /// An attempt came to nothing. The timeout doubles once for each time that it has passed: what a word from another
    /// ended before does not show that it is too short, and many of those in a row must not make it endless.
    pub(super) fn attempt_failed(&mut self, limits: &Limits, now: Time) {
        self.failed = self.failed.saturating_add(1);
        let timeout = self.timeout_ms(limits);
        let is_due = self.doubled_at.is_none_or(|at| now.ms_since(at) >= timeout);
        if is_due || mutant!("zab-early-end-doubles") {
            self.doubled = self.doubled.saturating_add(1);
            self.doubled_at = Some(now);
        }
    }

    pub(super) fn beat(&mut self, limits: &Limits, now: Time) {
        self.beat_at = now.plus_ms((limits.base_timeout_ms / 4).max(1));
    }

    /// A slot moved on.
    pub(super) fn made_progress(&mut self) {
        self.pause_ms = 0;
        (self.failed, self.doubled, self.doubled_at) = (0, 0, None);
    }

    /// Blocks are certified that are not executed here: they may be on their way.
    pub(super) fn lags_since(&mut self, now: Time, limits: &Limits) {
        let at = now.plus_ms(limits.base_timeout_ms / 4);
        self.fetch_at.get_or_insert(at);
    }

    /// How many attempts failed one after the other.
    pub(super) fn failed(&self) -> u32 {
        self.failed
    }
}

impl Zab {
    /// The nearest deadline.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        let deadlines = [Some(self.timers.tick_at), self.timers.fetch_at, self.role_deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn role_deadline(&self) -> Option<Time> {
        if self.end_certificate().is_some() {
            return None;
        }
        let timers = &self.timers;
        match &self.role {
            Role::Looking(_) => None,
            Role::Following(following) if following.epoch.is_none() => Some(timers.attempt_until),
            Role::Following(_) => Some(timers.lost_at),
            Role::Leading(leading) if leading.is_syncing => Some(timers.beat_at),
            Role::Leading(_) => Some(timers.attempt_until),
        }
    }

    pub(super) fn on_wake(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        if self.role_deadline().is_some_and(|at| at <= now) {
            match &self.role {
                Role::Looking(_) => {}
                Role::Following(_) => self.attempt_failed(cx),
                Role::Leading(leading) if leading.is_syncing => self.beat(cx),
                Role::Leading(_) => self.attempt_failed(cx),
            }
        }
        if self.timers.fetch_at.is_some_and(|at| at <= now) {
            self.timers.fetch_at = None;
            self.fetch(cx);
        }
        if self.timers.tick_at <= now {
            self.tick(cx);
        }
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

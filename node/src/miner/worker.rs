//! The mining threads, and what they share with the miner's owner.
//!
//! Every command raises a *generation*. A thread compares it after each chunk, drops what it does when it has
//! changed, and asks anew. Rests and idleness are waits on one condition variable, which every command wakes.

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::job::{Active, Work};
use super::pace::{Pace, Share};
use super::polite;
use super::rate::{Counter, Snapshot};
use super::search::{Report, Settings};

/// What the threads and the miner's owner share.
pub(super) struct Shared {
    settings: Settings,
    share: AtomicU32,
    generation: AtomicU64,
    control: Mutex<Control>,
    /// A command was given.
    changed: Condvar,
    /// A thread has found nothing to do, or has ended.
    idle: Condvar,
    counters: Vec<Counter>,
    report: Box<dyn Fn(Report) + Send + Sync>,
}

#[derive(Default)]
pub(super) struct Control {
    pub(super) job: Option<Arc<Active>>,
    pub(super) paused: bool,
    pub(super) closing: bool,
    /// How many threads run.
    pub(super) live: usize,
    /// How many of them have found nothing to do since the last command.
    waiting: usize,
}

impl Shared {
    pub(super) fn new(settings: Settings, report: Box<dyn Fn(Report) + Send + Sync>) -> Self {
        Self {
            settings,
            share: AtomicU32::new(settings.share.as_per_mille()),
            generation: AtomicU64::new(0),
            control: Mutex::new(Control { live: settings.threads, ..Control::default() }),
            changed: Condvar::new(),
            idle: Condvar::new(),
            counters: (0..settings.threads).map(|_| Counter::default()).collect(),
            report,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Control> {
        // No code that can panic runs under the lock.
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what the threads should do, and wakes those that wait or rest.
    pub(super) fn command(&self, change: impl FnOnce(&mut Control)) {
        let mut control = self.lock();
        change(&mut control);
        control.waiting = 0;
        self.generation.fetch_add(1, Ordering::Release);
        self.changed.notify_all();
    }

    pub(super) fn set_share(&self, share: Share) {
        self.share.store(share.as_per_mille(), Ordering::Relaxed);
        self.command(|_| ());
    }

    pub(super) fn share(&self) -> Share {
        Share::per_mille(self.share.load(Ordering::Relaxed))
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.counters)
    }

    pub(super) fn report(&self, report: Report) {
        (self.report)(report);
    }

    /// Waits until every live thread has found nothing to do since the last command.
    pub(super) fn wait_until_idle(&self) {
        drop(self.idle.wait_while(self.lock(), |control| control.waiting < control.live));
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Waits until `duration` is over or a command comes, and says how long that was.
    fn rest(&self, duration: Duration, generation: u64) -> Duration {
        let begun = Instant::now();
        let unchanged = |_: &mut Control| self.generation() == generation;
        drop(self.changed.wait_timeout_while(self.lock(), duration, unchanged));
        begun.elapsed()
    }
}

/// One mining thread.
pub(super) struct Worker {
    shared: Arc<Shared>,
    index: usize,
    pace: Pace,
    /// A unit begun and not finished, with its job.
    held: Option<(Arc<Active>, Work)>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> Self {
        Self { shared, index, pace: Pace::new(), held: None }
    }

    /// Searches what there is to search, until the miner closes.
    pub(super) fn run(mut self) {
        if self.shared.settings.polite
            && let Err(error) = polite::give_way()
        {
            tracing::warn!(%error, thread = self.index, "mining at ordinary priority");
        }
        while let Some((generation, active)) = self.next_job() {
            let mut unit = self.held_of(&active).or_else(|| active.take());
            while let Some(mut work) = unit {
                self.hash(&active, &mut work, generation);
                if !work.nonces.is_empty() {
                    self.held = Some((active.clone(), work));
                    break;
                }
                if active.finish_unit() && !active.is_over() {
                    self.shared.report(Report::Exhausted(active.job.id));
                }
                unit = active.take();
            }
        }
    }

    /// Waits for a job with something left to do; `None` when the miner closes.
    fn next_job(&self) -> Option<(u64, Arc<Active>)> {
        let mut control = self.shared.lock();
        loop {
            if control.closing {
                return None;
            }
            if let Some(active) = control.job.as_ref().filter(|active| !control.paused && self.can_do(active))
            {
                return Some((self.shared.generation(), active.clone()));
            }
            control.waiting += 1;
            self.shared.idle.notify_all();
            let generation = self.shared.generation();
            let unchanged = |_: &mut Control| self.shared.generation() == generation;
            control =
                self.shared.changed.wait_while(control, unchanged).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn can_do(&self, active: &Arc<Active>) -> bool {
        !active.is_over() && (active.has_untaken() || self.holds(active))
    }

    fn holds(&self, active: &Arc<Active>) -> bool {
        self.held.as_ref().is_some_and(|(of, _)| Arc::ptr_eq(of, active))
    }

    /// The unit that a pause interrupted, if it is this job's; another job's is dropped.
    fn held_of(&mut self, active: &Arc<Active>) -> Option<Work> {
        let (of, work) = self.held.take()?;
        Arc::ptr_eq(&of, active).then_some(work)
    }

    /// Searches a unit, chunk by chunk, to its end, a solution or a command.
    fn hash(&mut self, active: &Active, work: &mut Work, generation: u64) {
        let shared = self.shared.clone();
        while !work.nonces.is_empty() && shared.generation() == generation && !active.is_over() {
            let chunk = self.pace.cut(&mut work.nonces);
            let begun = Instant::now();
            let hashes = shared.settings.kernel.scan(&work.puzzle, chunk, &mut |nonce| {
                if active.accept_solution() {
                    shared.report(Report::Solved(work.solution(active.job.id, nonce)));
                }
                if active.job.search_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            shared.counters[self.index].add(hashes);
            self.pace.learn(hashes, begun.elapsed(), shared.share());
            if shared.settings.polite {
                thread::yield_now();
            }
            if let Some(rest) = self.pace.rest() {
                self.pace.rested(shared.rest(rest, generation));
            }
        }
    }
}

impl Drop for Worker {
    /// Also when the thread panics, so that nobody waits for it.
    fn drop(&mut self) {
        self.shared.lock().live -= 1;
        self.shared.idle.notify_all();
    }
}

//! Writing behind: a thread of its own takes checkpoints to the index, so that the ledger never waits for
//! sled unless it is a whole checkpoint ahead.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use super::Index;
use crate::recent::Executed;
use crate::store::{Pages, StoreError};

/// How far, in checkpoints, the collected blocks may run ahead of the index before the ledger waits.
const PATIENCE: usize = 4;

/// The blocks that left the window and wait for a checkpoint, and the thread that writes them.
pub(crate) struct Writer {
    every: usize,
    waiting: Vec<Arc<Executed>>,
    jobs: Option<SyncSender<Vec<Arc<Executed>>>>,
    thread: Option<JoinHandle<()>>,
    failure: Arc<OnceLock<StoreError>>,
}

impl Writer {
    pub(crate) fn start<P: Pages + 'static>(index: Arc<Index<P>>, every: usize) -> Self {
        let (jobs, received) = sync_channel::<Vec<Arc<Executed>>>(1);
        let failure = Arc::new(OnceLock::new());
        let report = failure.clone();
        let write = move || {
            for blocks in received {
                if let Err(error) = index.write(&blocks) {
                    // Nothing is asked of the index again (STO-5): the thread ends, and the reason is kept.
                    let _first = report.set(error);
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("checkpoints".to_owned()).spawn(write);
        let thread = thread.expect("a system that starts no thread cannot run a node");
        Self { every: every.max(1), waiting: Vec::new(), jobs: Some(jobs), thread: Some(thread), failure }
    }

    /// Why the index is not written any more.
    pub(crate) fn failure(&self) -> Option<&StoreError> {
        self.failure.get()
    }

    /// A block became the window's floor.
    pub(crate) fn push(&mut self, floor: Arc<Executed>) {
        let Some(jobs) = self.jobs.as_ref().filter(|_| self.failure.get().is_none()) else {
            return;
        };
        self.waiting.push(floor);
        if self.waiting.len() < self.every {
            return;
        }
        let job = std::mem::take(&mut self.waiting);
        let refused = match jobs.try_send(job) {
            Err(TrySendError::Full(job)) if job.len() < self.every * PATIENCE => Some(job),
            Err(TrySendError::Full(job)) => {
                // A thread that has ended has left its reason, and the blocks are not needed.
                let _ended = jobs.send(job);
                None
            }
            _ => None,
        };
        self.waiting = refused.unwrap_or_default();
    }

    /// Ends the thread without what was collected: those blocks leave the chain.
    pub(crate) fn abandon(&mut self) {
        self.waiting.clear();
        self.finish();
    }

    /// Writes what was collected, and ends the thread.
    pub(crate) fn finish(&mut self) {
        if let Some(jobs) = self.jobs.take() {
            let rest = std::mem::take(&mut self.waiting);
            if !rest.is_empty() {
                let _ended = jobs.send(rest);
            }
        }
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}

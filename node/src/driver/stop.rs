//! How the node ends: asked to, or because something broke that it must not go on with.

use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::watch;

/// Why the node ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A signal, or the owner's call.
    Asked,
    /// A disk, or a bug.
    Failed(String),
    /// A snapshot was fetched: the node starts again, and begins from it.
    Again,
}

/// A cheap handle that every thread and task holds.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    reason: watch::Sender<Option<Reason>>,
    /// Dropping the sender is the signal that plain threads can select on.
    sender: Arc<Mutex<Option<Sender<()>>>>,
    receiver: Receiver<()>,
}

impl Stop {
    /// A node that runs.
    pub(super) fn new() -> Self {
        let (sender, receiver) = crossbeam_channel::bounded(0);
        let (reason, _) = watch::channel(None);
        Self { reason, sender: Arc::new(Mutex::new(Some(sender))), receiver }
    }

    /// Ends the node gracefully.
    pub(super) fn ask(&self) {
        self.end(Reason::Asked);
    }

    /// Ends the node because it must not go on: a failed sync, a damaged log, a dead thread.
    pub(super) fn fail(&self, reason: String) {
        tracing::error!(%reason, "the node stops");
        self.end(Reason::Failed(reason));
    }

    /// Ends the node, so that it starts again with what is on its disk now and nothing that is in its memory (GEN-12).
    pub(super) fn again(&self) {
        self.end(Reason::Again);
    }

    fn end(&self, reason: Reason) {
        self.reason.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason);
            }
            first
        });
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Whether the end has begun.
    pub(super) fn is_stopping(&self) -> bool {
        self.reason.borrow().is_some()
    }

    /// Disconnected once the end has begun, for `select!`.
    pub(super) fn signal(&self) -> &Receiver<()> {
        &self.receiver
    }

    /// Waits for the end and says why it came.
    pub(super) async fn stopped(&self) -> Reason {
        let mut watched = self.reason.subscribe();
        match watched.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(Reason::Asked),
            Err(_) => Reason::Asked,
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stands() {
        let stop = Stop::new();
        assert!(!stop.is_stopping());
        stop.fail("the disk".to_owned());
        stop.ask();
        assert_eq!(stop.stopped().await, Reason::Failed("the disk".to_owned()));
        assert!(stop.signal().recv().is_err());
    }
}

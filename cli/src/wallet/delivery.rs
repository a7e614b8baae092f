//! From a record on disk to a known outcome.
//!
//! Submitting and waiting go through every kind of silence: a node that is down, an answer that is lost, a
//! pool that forgets. A submission is repeated until the node has said yes or no, since submitting the same
//! transaction again is harmless; what is still unknown when time is up is said to be unknown, never failed.
//! The time-out counts from the last progress, so that waiting for depth does not end while blocks come.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use synod_node::rpc::types::{ErrorCode, TransactionStatus, TransactionStatusView};
use synod_types::TransactionId;

use super::outbox::{Outbox, Record, Slot};
use crate::client::{CallError, Node, Settle, is_ledgers, is_passing, refused};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::progress::Progress;

/// Depth at which a block is called safe.
pub(crate) const SAFE_DEPTH: u64 = 6;
/// Between two looks at a transaction.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Between two attempts to submit.
const RETRY_EVERY: Duration = Duration::from_millis(300);

/// How long to wait for a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Wait {
    /// Until a node holds it
    Submitted,
    /// Until it is in a block
    Included,
    /// Until it is as deep as the network calls settled
    Final,
}

/// One account's deliveries through one node.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    /// Whom to ask.
    pub(crate) node: &'a Node,
    /// The account's records.
    pub(crate) outbox: &'a Outbox,
    /// Whom to tell.
    pub(crate) output: &'a Output,
    /// How long to go without progress.
    pub(crate) timeout: Duration,
}

/// What is under way.
#[derive(Debug, Default)]
pub(crate) struct Open {
    /// Nonces that no block has taken yet.
    pub(crate) pending: Vec<Slot>,
    /// The nonce after the highest that is promised, 0 when none is.
    pub(crate) next_nonce: u64,
}

impl Delivery<'_> {
    /// Brings the outbox up to date with the chain: forgets what is settled, submits again what the node
    /// does not know. Nothing new may be signed before this.
    ///
    /// # Errors
    /// When the node does not answer, or refuses what was promised earlier.
    pub(crate) fn reconcile(&self) -> Outcome<Open> {
        let mut open = Open::default();
        for slot in self.outbox.slots()? {
            let view = self.look(&slot).settle()?;
            let pending = match view.status {
                TransactionStatus::Included if view.settled => {
                    self.outbox.remove(&slot.records)?;
                    continue;
                }
                TransactionStatus::Included => false,
                TransactionStatus::Pending => true,
                TransactionStatus::Unknown if self.offer_again(&slot)? => true,
                TransactionStatus::Unknown => continue,
            };
            open.next_nonce = slot.nonce.saturating_add(1);
            if pending {
                open.pending.push(slot);
            }
        }
        Ok(open)
    }

    /// Submits a fresh record, again and again until the node has said yes or no.
    ///
    /// # Errors
    /// The node's refusal, after which the record is gone; exit 5 when time is up without an answer, and
    /// 130 at Ctrl-C, after which it stays.
    pub(crate) fn submit(&self, record: &Record) -> Outcome<()> {
        let progress = self.output.progress("submitting");
        let begun = Instant::now();
        let mut doubtful = false;
        loop {
            match self.node.submit(&record.raw) {
                Ok(_) => return Ok(()),
                Err(CallError::Interrupted) => return Err(interrupted(record.id)),
                Err(CallError::Refused(refusal)) if is_passing(refusal.code) => {
                    progress.say(&refusal.message);
                }
                Err(CallError::Refused(refusal)) if !doubtful => {
                    self.outbox.remove([record])?;
                    return Err(refused(&refusal));
                }
                Err(CallError::Refused(refusal)) => return self.after_doubt(record, &refusal),
                Err(CallError::Unreachable(_)) => progress.say("the node is gone; trying again"),
                Err(CallError::Silent(_)) => {
                    doubtful = true;
                    progress.say("no answer; asking again");
                }
            }
            self.pause(begun, RETRY_EVERY, record.id, || self.no_progress(record.id, 0))?;
        }
    }

    /// Watches a slot until it is as far as `wait` says. The outcome is the one of whichever record the
    /// chain took.
    ///
    /// # Errors
    /// Exit 5 when there is no progress in time, 3 when the nonce went to another transaction, 130 at Ctrl-C.
    pub(crate) fn watch(
        &self,
        slot: &Slot,
        wait: Wait,
        settled_depth: u64,
    ) -> Outcome<TransactionStatusView> {
        let progress = self.output.progress("waiting for a block");
        let id = slot.latest().id;
        let (mut last_depth, mut last_progress) = (0, Instant::now());
        loop {
            match self.look(slot) {
                Ok(view) if view.status == TransactionStatus::Included => {
                    if view.settled || wait <= Wait::Included {
                        return Ok(view);
                    }
                    let depth = view.depth.unwrap_or_default();
                    if depth != last_depth {
                        (last_depth, last_progress) = (depth, Instant::now());
                    }
                    say_depth(&progress, &view, settled_depth);
                }
                Ok(view) if view.status == TransactionStatus::Pending => {
                    if wait == Wait::Submitted {
                        return Ok(view);
                    }
                    let reason = view.reason.unwrap_or_else(|| "waiting for a block".to_owned());
                    progress.say(format!("{reason} ({} s)", last_progress.elapsed().as_secs()));
                }
                Ok(_) => self.revive(slot, &progress)?,
                Err(CallError::Interrupted) => return Err(interrupted(id)),
                Err(CallError::Refused(refusal)) => progress.say(refusal.message),
                Err(CallError::Unreachable(_) | CallError::Silent(_)) => {
                    progress.say("the node does not answer; still looking");
                }
            }
            self.pause(last_progress, LOOK_EVERY, id, || self.no_progress(id, last_depth))?;
        }
    }

    /// Where a slot stands: its included record if there is one, else its latest that is known, else its
    /// latest.
    pub(crate) fn look(&self, slot: &Slot) -> Result<TransactionStatusView, CallError> {
        let mut found: Option<TransactionStatusView> = None;
        for record in slot.records.iter().rev() {
            let view = self.node.transaction(record.id)?;
            if view.status == TransactionStatus::Included {
                return Ok(view);
            }
            let better = view.status == TransactionStatus::Pending
                && found.as_ref().is_none_or(|found| found.status == TransactionStatus::Unknown);
            if found.is_none() || better {
                found = Some(view);
            }
        }
        Ok(found.expect("a slot has a record"))
    }

    /// Submits again what the node does not know. `false` when the slot is over.
    fn offer_again(&self, slot: &Slot) -> Outcome<bool> {
        let record = slot.latest();
        match self.node.submit(&record.raw) {
            Ok(_) => {
                self.output.note(format_args!("submitted an earlier payment again: {}", record.id));
                Ok(true)
            }
            Err(CallError::Refused(refusal)) if is_over(refusal.code) => {
                self.outbox.remove(&slot.records)?;
                self.output
                    .note(format_args!("an earlier payment is over ({}): {}", refusal.message, record.id));
                Ok(false)
            }
            Err(CallError::Refused(refusal)) if is_ledgers(refusal.code) => {
                Err(stuck(record, &refused(&refusal)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A transaction that was submitted is unknown now: a pool forgot it, or a reorganisation dropped it.
    fn revive(&self, slot: &Slot, progress: &Progress) -> Outcome<()> {
        let record = slot.latest();
        progress.say("the node forgot it; submitting again");
        match self.node.submit(&record.raw) {
            Err(CallError::Interrupted) => Err(interrupted(record.id)),
            Err(CallError::Refused(refusal)) if is_over(refusal.code) => {
                self.outbox.remove(&slot.records)?;
                Err(lost(record, &refused(&refusal)))
            }
            Err(CallError::Refused(refusal)) if is_ledgers(refusal.code) => {
                Err(stuck(record, &refused(&refusal)))
            }
            // A node that is silent now may answer at the next look.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// A refusal after an attempt whose answer was lost: that attempt may have been taken.
    fn after_doubt(&self, record: &Record, refusal: &synod_node::rpc::types::Refusal) -> Outcome<()> {
        let known = self.node.transaction(record.id).settle()?;
        if known.status != TransactionStatus::Unknown {
            return Ok(());
        }
        if is_over(refusal.code) {
            self.outbox.remove([record])?;
            return Err(refused(refusal));
        }
        Err(stuck(record, &refused(refusal)))
    }

    fn pause(
        &self,
        since: Instant,
        duration: Duration,
        id: TransactionId,
        give_up: impl FnOnce() -> Failure,
    ) -> Outcome<()> {
        if since.elapsed() >= self.timeout {
            return Err(give_up());
        }
        self.node.pause(duration).map_err(|_| interrupted(id))
    }

    fn no_progress(&self, id: TransactionId, depth: u64) -> Failure {
        let seconds = self.timeout.as_secs();
        let (message, hint) = match depth {
            0 => (
                format!("still pending: {id} (no progress for {seconds} s)"),
                format!(
                    "the same send again waits for this payment, it does not pay twice; `synod wallet bump {id}` offers more"
                ),
            ),
            _ => (
                format!("still pending: {id} (in a block, {depth} deep, and no deeper for {seconds} s)"),
                format!("`synod chain tx {id}` tells how deep it is; `synod doctor` why no block comes"),
            ),
        };
        Failure::new(Exit::Indeterminate, "still_pending", message)
            .hint(hint)
            .details(serde_json::json!({"id": id.to_string(), "depth": depth}))
    }
}

/// Whether after this refusal no block can include the transaction any more.
fn is_over(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::NonceTooLow | ErrorCode::Expired)
}

fn say_depth(progress: &Progress, view: &TransactionStatusView, settled_depth: u64) {
    let height = view.height.map(|height| height.to_string()).unwrap_or_default();
    let depth = view.depth.unwrap_or_default();
    progress.say(format!("in block {height}, {depth} of {settled_depth}"));
}

fn interrupted(id: TransactionId) -> Failure {
    Failure::new(Exit::Interrupted, "interrupted", format!("interrupted; the payment goes on: {id}"))
        .hint(format!("`synod chain tx {id}` tells what became of it"))
        .details(serde_json::json!({"id": id.to_string()}))
}

fn stuck(record: &Record, cause: &Failure) -> Failure {
    let id = record.id;
    let message = format!("an earlier payment is undecided, and the node refuses it now: {cause}: {id}");
    Failure::new(Exit::Refused, cause.code().to_owned(), message)
        .hint(format!("`synod wallet cancel {id}` ends it, `synod wallet bump {id}` offers a higher fee"))
        .details(serde_json::json!({"id": id.to_string()}))
}

fn lost(record: &Record, cause: &Failure) -> Failure {
    let id = record.id;
    Failure::new(Exit::Refused, cause.code().to_owned(), format!("the payment was not made: {cause}: {id}"))
        .hint("another transaction took its place in the account's order, or its time ran out; send again")
        .details(serde_json::json!({"id": id.to_string()}))
}

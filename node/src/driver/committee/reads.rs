//! Reads that miss nothing: every member is asked where it stands, and the node waits until it stands there too
//! ([`synod_consensus::committee::reads`]).
//!
//! One round of questions is on its way at a time. Reads that come meanwhile have begun too late for it, and share
//! the next one, so that any number of readers costs each member one question a round.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::Bytes;
use synod_consensus::committee::{MemberIndex, ReadRound, Stand};
use synod_ledger::disk::Disk;
use synod_types::{Height, codec};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::epoch::{Current, Epochs, Known, Now};
use super::fetch::Question;
use crate::driver::chain::Chain;
use crate::network::{Demerit, Network};
use crate::rpc::types::{ErrorCode, Refusal};

/// Reads that may wait.
const WAITING: usize = 4_096;
/// How long a round may take: questions to a member that is gone, or blocks that are on their way.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between a round that no quorum answered and the next.
const PAUSE: Duration = Duration::from_millis(50);

type Verdict = Result<Height, Refusal>;

/// Where reads wait; a clone is the same place.
pub(in crate::driver) struct Reads<D: Disk>(Arc<Inner<D>>);

struct Inner<D: Disk> {
    now: Now,
    epochs: Epochs<D>,
    chain: Arc<Chain<D>>,
    network: Network,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<oneshot::Sender<Verdict>>,
    /// Whether a task goes through it.
    is_served: bool,
}

impl<D: Disk> Clone for Reads<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What this node answers to the question where it stands.
pub(super) fn stand(now: &Now, epochs: &impl Known) -> Stand {
    let current = now.current();
    // What was signed is durable and executed. A log that was cut since then is behind the certificates.
    let certified = epochs.newest().map_or(Height(0), |newest| newest.statement.height);
    Stand {
        epoch: current.epoch(),
        votes: current.config.signer().is_some(),
        height: epochs.tip().max(certified),
    }
}

impl<D> Reads<D>
where
    D: Disk + Send + Sync + 'static,
    D::File: Send + Sync,
{
    pub(super) fn new(now: Now, epochs: Epochs<D>, chain: Arc<Chain<D>>, network: Network) -> Self {
        Self(Arc::new(Inner { now, epochs, chain, network, queue: Mutex::default() }))
    }

    /// A height that stands here and is certified, and that no block which was final anywhere when this was called
    /// is above.
    ///
    /// # Errors
    /// `busy` when too many wait, `not_ready` when no quorum answers or this node does not catch up in time.
    pub(in crate::driver) async fn index(&self) -> Verdict {
        let (reply, verdict) = oneshot::channel();
        let must_serve = {
            let mut queue = self.queue();
            if queue.waiting.len() >= WAITING {
                return Err(
                    Refusal::new(ErrorCode::Busy, "too many reads wait already").hint("try again shortly")
                );
            }
            queue.waiting.push_back(reply);
            !std::mem::replace(&mut queue.is_served, true)
        };
        if must_serve {
            let reads = self.clone();
            tokio::spawn(async move { reads.serve().await });
        }
        verdict.await.unwrap_or_else(|_| Err(Refusal::internal()))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One round after another, until nobody waits.
    async fn serve(&self) {
        loop {
            let readers = {
                let mut queue = self.queue();
                queue.is_served = !queue.waiting.is_empty();
                std::mem::take(&mut queue.waiting)
            };
            if readers.is_empty() {
                return;
            }
            let verdict = self.rounds(Instant::now() + PATIENCE).await;
            for reader in readers {
                // Readers that left need no answer.
                let _ = reader.send(verdict.clone());
            }
        }
    }

    /// Asks until a quorum answered in one epoch and this node stands where it must.
    async fn rounds(&self, until: Instant) -> Verdict {
        loop {
            let current = self.0.now.current();
            let mut round = ReadRound::new(current.committee().clone());
            if let Some(height) = self.round(&current, &mut round, until).await
                && !self.has_ended(&current)
            {
                return Ok(height);
            }
            if Instant::now() + PAUSE >= until {
                return Err(self.refusal(&round));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether the chain here goes on above the epoch in which was asked: its committee may have certified more
    /// than those who were asked know of.
    fn has_ended(&self, asked: &Current) -> bool {
        let reader = self.0.chain.reader();
        reader.record_after(&reader.head()).is_none_or(|record| record.epoch > asked.epoch())
    }

    /// One question to every member.
    async fn round(&self, current: &Arc<Current>, round: &mut ReadRound, until: Instant) -> Option<Height> {
        let mut tips = self.0.chain.tips();
        let mut answers = JoinSet::new();
        for member in current.committee().indexes() {
            if current.config.me() == Some(member) {
                round.count(member, stand(&self.0.now, &self.0.epochs));
            } else {
                let (network, current) = (self.0.network.clone(), Arc::clone(current));
                answers.spawn(async move { ask(&network, &current, member).await });
            }
        }
        loop {
            let settled = tips.borrow_and_update().settled.height;
            if round.height().is_some_and(|height| settled >= height) {
                return Some(settled);
            }
            let has_all = answers.is_empty();
            if has_all && round.height().is_none() {
                return None;
            }
            tokio::select! {
                answer = answers.join_next(), if !has_all => if let Some(Ok(Some((member, stand)))) = answer {
                    round.count(member, stand);
                },
                moved = timeout_at(until, tips.changed()) => if !matches!(moved, Ok(Ok(()))) {
                    return None;
                },
            }
        }
    }

    fn refusal(&self, round: &ReadRound) -> Refusal {
        let committee = self.0.now.current().committee().clone();
        let sentence = match round.height() {
            Some(height) => format!("this node does not stand at block {height} yet, where a quorum stands"),
            None => format!(
                "{} of {} members say where they stand, and {} must",
                round.answers(),
                committee.len(),
                committee.quorum()
            ),
        };
        Refusal::new(ErrorCode::NotReady, sentence).hint("try again, or ask another node")
    }
}

async fn ask(network: &Network, current: &Current, member: MemberIndex) -> Option<(MemberIndex, Stand)> {
    let peer = current.members.peer(member)?;
    let answer = network.request(peer, Bytes::from(codec::encode(&Question::Stand))).await.ok()?;
    match codec::decode::<Stand, 64>(&answer) {
        Ok(stand) => Some((member, stand)),
        Err(_) => {
            network.demote(peer, Demerit::Invalid);
            None
        }
    }
}

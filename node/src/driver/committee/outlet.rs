//! Where the effects of a committee's ordering go.

use std::sync::Arc;

use crossbeam_channel::{Sender, TrySendError};
use synod_consensus::Effect;
use synod_consensus::agreement::Agreement;
use synod_consensus::agreement::proves;
use synod_consensus::committee::{Certificate, Event, Evidence, Job};
use synod_ledger::disk::Disk;

use super::certificates::Certificates;
use super::evidence::EvidenceFolder;
use super::execution::Task;
use super::wire::Writer;
use crate::driver::chain::Chain;
use crate::driver::door::Door;
use crate::driver::execution::Command;
use crate::driver::ordering::Outlet;
use crate::driver::stop::Stop;

/// The outlet.
pub(super) struct CommitteeOutlet<D: Disk> {
    /// To members.
    pub(super) writer: Writer,
    /// To the ledger's thread.
    pub(super) commands: Sender<Command<Task>>,
    /// To whoever fetches blocks.
    pub(super) fetches: Sender<Certificate>,
    /// What is final.
    pub(super) chain: Arc<Chain<D>>,
    /// What proves it.
    pub(super) certificates: Certificates<D>,
    /// The pool.
    pub(super) door: Arc<Door>,
    /// Where what members did wrong is kept.
    pub(super) kept: EvidenceFolder,
    /// The node's end.
    pub(super) stop: Stop,
}

impl<D> Outlet<Agreement> for CommitteeOutlet<D>
where
    D: Disk + Send + Sync + 'static,
    D::File: Send + Sync,
{
    fn carry_out(&mut self, effect: Effect<Agreement>) -> Result<(), Box<Effect<Agreement>>> {
        match effect {
            Effect::Send { to, message } => self.writer.send(to, message),
            Effect::Broadcast(message) => self.writer.broadcast(message),
            Effect::Append { position, block_hash, body, digest, settled } => {
                let task = Task::Append { position, body: body.clone(), digest };
                return self.ask(task, || Effect::Append { position, block_hash, body, digest, settled });
            }
            Effect::Start(Job::Assemble { max_bytes, max_transactions }) => {
                let task = Task::Assemble { max_bytes, max_transactions };
                return self.ask(task, || Effect::Start(Job::Assemble { max_bytes, max_transactions }));
            }
            Effect::Start(Job::Fetch { certificate }) => {
                return self.fetches.try_send(certificate).map_err(|error| {
                    Box::new(Effect::Start(Job::Fetch { certificate: error.into_inner() }))
                });
            }
            Effect::Accuse { peer, fault } => self.writer.accuse(peer, &fault),
            Effect::Tell(event) => self.tell(event),
            // A committee's chain never goes back.
            Effect::Rewind { .. } | Effect::Load { .. } | Effect::Cancel => {
                self.stop.fail("ordering asked for what no committee does: a bug of this program".to_owned());
            }
        }
        Ok(())
    }
}

impl<D> CommitteeOutlet<D>
where
    D: Disk + Send + Sync + 'static,
    D::File: Send + Sync,
{
    /// Queues a task; a full queue gives the effect back.
    fn ask(
        &self,
        task: Task,
        effect: impl FnOnce() -> Effect<Agreement>,
    ) -> Result<(), Box<Effect<Agreement>>> {
        match self.commands.try_send(Command::Task(task)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Box::new(effect())),
            // The ledger's thread is gone: the node is stopping, and nothing is owed any more.
            Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }

    fn caught(&self, evidence: &Evidence) {
        let current = self.writer.now.current();
        let Some(proves) = proves(evidence, current.committee()) else { return };
        tracing::error!(
            member = %evidence.member, %proves,
            "A MEMBER CONTRADICTED ITSELF: `synod chain evidence` shows it"
        );
        let height = self.chain.reader().head().height();
        if let Err(error) = self.kept.contradiction(evidence, proves, current.committee(), height) {
            tracing::error!(%error, ?evidence, "evidence/ cannot be written");
        }
    }

    fn tell(&self, event: Event) {
        match event {
            Event::Certified(certificate) => {
                self.certificates.keep(&certificate);
                self.writer.tell_followers(&certificate);
                self.chain.certified(certificate.statement.height);
            }
            Event::Abandoned { digest } => {
                self.door.offer_ended(digest);
                self.door.tell_ordering();
            }
            Event::LeaderChanged { view, leader } => tracing::info!(view, leader, "a view began"),
            Event::Caught(evidence) => self.caught(&evidence),
            Event::Diverged { position, ours, theirs, height } => {
                tracing::error!(%position, %ours, %theirs, %height, "THIS MEMBER AND THE COMMITTEE DISAGREE");
                let reason = format!(
                    "height {height} holds {ours} here and {theirs} at the committee: this member stands still; \
                     compare the two with `synod chain diff`"
                );
                let kept = match self.kept.divergence(position, height, ours, theirs) {
                    Ok(name) => format!("it is kept in evidence/{name}"),
                    Err(error) => format!("it could not be written to evidence/: {error}"),
                };
                self.stop.fail(format!("{reason}; {kept}"));
            }
        }
    }
}

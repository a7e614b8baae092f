//! Where ordering's effects go: the network, the ledger's thread, the miner.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};

use crossbeam_channel::{Sender, TrySendError};
use synod_consensus::Effect;
use synod_consensus::pow::{Event, Job, ProofOfWork};
use synod_types::Block;

use super::execution::Command;
use super::execution::mining::Task;
use super::mining::OwnMiner;
use super::ordering::Outlet;
use super::wire::{TipBits, Writer};

/// The outlet of a node under proof of work.
pub(super) struct PowOutlet {
    /// To peers.
    pub(super) writer: Writer,
    /// To the ledger's thread.
    pub(super) commands: Sender<Command<Task>>,
    /// The own miner.
    pub(super) miner: Option<Arc<OwnMiner>>,
    /// The tip's difficulty, for whoever judges gossip.
    pub(super) tip_bits: TipBits,
    /// How often settled blocks were reversed.
    pub(super) reversals: Arc<AtomicU64>,
}

impl PowOutlet {
    /// Queues a task; a full queue gives the effect back.
    fn ask(
        &self,
        task: Task,
        effect: impl FnOnce() -> Effect<ProofOfWork>,
    ) -> Result<(), Box<Effect<ProofOfWork>>> {
        match self.commands.try_send(Command::Task(task)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Box::new(effect())),
            // The ledger's thread is gone: the node is stopping, and nothing is owed any more.
            Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }
}

impl Outlet<ProofOfWork> for PowOutlet {
    fn carry_out(&mut self, effect: Effect<ProofOfWork>) -> Result<(), Box<Effect<ProofOfWork>>> {
        match effect {
            Effect::Send { to, message } => self.writer.send(to, &message),
            Effect::Broadcast(message) => self.writer.broadcast(&message),
            Effect::Append { position, block_hash, body, digest, settled } => {
                let task = Task::Append { position, body: body.clone() };
                return self.ask(task, || Effect::Append { position, block_hash, body, digest, settled });
            }
            Effect::Rewind { to, block_hash } => {
                return self.ask(Task::Rewind { to: block_hash }, || Effect::Rewind { to, block_hash });
            }
            Effect::Load { block_hash } => {
                return self.ask(Task::Load { block_hash }, || Effect::Load { block_hash });
            }
            Effect::Start(Job::Search { template }) => self.search(&template),
            Effect::Start(job) => {
                if let Job::Assemble { bits, .. } = &job {
                    self.tip_bits.set(*bits);
                }
                return self.ask(Task::Job(job.clone()), || Effect::Start(job));
            }
            Effect::Cancel => {
                if let Some(miner) = &self.miner {
                    miner.cancel();
                }
            }
            Effect::Accuse { peer, fault } => self.writer.accuse(peer, &fault),
            Effect::Tell(event) => self.tell(&event),
        }
        Ok(())
    }
}

impl PowOutlet {
    fn search(&self, template: &[u8]) {
        let Some(miner) = &self.miner else { return };
        match Block::from_bytes(template) {
            Ok(block) => miner.search(block),
            Err(error) => tracing::error!(%error, "a template of our own is no block"),
        }
    }

    fn tell(&self, event: &Event) {
        match event {
            Event::Reorganised { fork, fork_height, depth } => {
                tracing::info!(%fork, height = %fork_height, depth, "the chain changed branches");
            }
            Event::SettledReversed { depth } => {
                self.reversals.fetch_add(1, Atomic::Relaxed);
                tracing::error!(depth, "SETTLED BLOCKS WERE REVERSED: a branch of more work replaced them");
            }
            Event::Condemned { block_hash, height, reason } => {
                tracing::error!(block = %block_hash, %height, reason, "a block with valid work is invalid");
            }
        }
    }
}

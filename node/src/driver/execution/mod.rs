//! The thread that owns the ledger.
//!
//! Commands come in order through one bounded queue. What every node's ledger does is here: blocks that were
//! put on top together are committed together, with one sync for the group, and only then is ordering told that
//! they are executed (`Executed` means durable), the pool brought to the new tip, and subscribers told. What an
//! ordering asks for beside is a [`Worker`]'s: [`mining`] under proof of work, `committee::execution` under a
//! committee.

pub(super) mod mining;

use std::cell::RefCell;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, select};
use synod_consensus::{Input, Protocol};
use synod_ledger::disk::Disk;
use synod_ledger::verify::Door as Remembered;
use synod_ledger::{AccountProof, Executed, Ledger};
use synod_types::{Address, BlockHash, Height, Position, Transaction, TransactionId, VerifiedTransaction};

use super::chain::Chain;
use super::clock::Clock;
use super::door::Door;
use super::history::SharedBlocks;
use super::stop::Stop;
use crate::mempool::Changed;

/// Commands that may wait: ordering has few appends under way, the rest is for questions.
pub(super) const COMMAND_QUEUE: usize = 256;

/// What the ledger's thread is asked to do.
pub(super) enum Command<T> {
    /// What ordering asks for.
    Task(T),
    /// Prove what the tip's state says of an account.
    Prove {
        /// Whose.
        address: Address,
        /// Where the proof goes.
        reply: Sender<AccountProof>,
    },
}

/// What an ordering makes of the ledger.
pub(super) trait Worker<D: Disk>: Send + 'static {
    /// The ordering.
    type Protocol: Protocol;
    /// What it asks for.
    type Task: Send + 'static;

    /// Carries out one task.
    ///
    /// # Errors
    /// The node must stop.
    fn carry_out(&mut self, task: Self::Task, desk: &mut Desk<D, Self::Protocol>) -> Result<(), String>;
}

/// What the ledger's thread works with, whatever orders.
pub(super) struct Desk<D: Disk, P: Protocol> {
    /// The ledger.
    pub(super) ledger: Ledger<SharedBlocks<D>>,
    /// What readers see.
    pub(super) chain: Arc<Chain<D>>,
    /// The pool.
    pub(super) door: Arc<Door>,
    /// To ordering.
    pub(super) answers: Sender<Input<P>>,
    /// Time.
    pub(super) clock: Clock,
    /// What waits for its commit.
    pub(super) group: Group,
}

/// The thread.
pub(super) struct Execution<D: Disk, W: Worker<D>> {
    /// What it works with.
    pub(super) desk: Desk<D, W::Protocol>,
    /// What it does for ordering.
    pub(super) worker: W,
    /// Commands.
    pub(super) commands: Receiver<Command<W::Task>>,
    /// The node's end.
    pub(super) stop: Stop,
}

/// What was executed and waits for its commit.
#[derive(Default)]
pub(super) struct Group {
    executed: Vec<(Position, BlockHash)>,
    included: Vec<(Address, TransactionId)>,
    reverted: Vec<VerifiedTransaction>,
    /// The accounts that its blocks wrote; nothing when that is not known.
    written: Written,
    changed: bool,
}

/// Which accounts a group wrote.
enum Written {
    These(Vec<Address>),
    Unknown,
}

impl Default for Written {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl Written {
    fn add(&mut self, executed: &Executed) {
        match (&mut *self, &executed.diff) {
            (Self::These(accounts), Some(diff)) => {
                accounts.extend(diff.accounts.iter().map(|change| change.address));
            }
            _ => *self = Self::Unknown,
        }
    }
}

impl<D, W> Execution<D, W>
where
    D: Disk + Send + 'static,
    D::File: Send + Sync,
    W: Worker<D>,
    Input<W::Protocol>: Send,
{
    /// Starts the thread. Everything that it was told before the end is durable when it ends.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("execution".to_owned()).spawn(move || self.run())
    }

    fn run(mut self) {
        while let Some(command) = self.next_command() {
            let carried = self.carry_out(command).and_then(|()| self.drain());
            if let Err(reason) = carried.and_then(|()| self.desk.commit()) {
                self.stop.fail(reason);
                return;
            }
        }
    }

    fn next_command(&self) -> Option<Command<W::Task>> {
        select! {
            recv(self.commands) -> command => command.ok(),
            recv(self.stop.signal()) -> _ => None,
        }
    }

    /// Takes what waits already into the same group.
    fn drain(&mut self) -> Result<(), String> {
        while let Ok(command) = self.commands.try_recv() {
            self.carry_out(command)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, command: Command<W::Task>) -> Result<(), String> {
        match command {
            Command::Task(task) => self.worker.carry_out(task, &mut self.desk),
            Command::Prove { address, reply } => {
                self.desk.commit()?;
                // Whoever asked may have gone.
                let _ = reply.send(self.desk.ledger.proof(&address));
                Ok(())
            }
        }
    }
}

impl<D, P> Desk<D, P>
where
    D: Disk + Send + 'static,
    D::File: Send + Sync,
    P: Protocol,
{
    /// Notes a block that is on top now; ordering hears of it once it is durable, if it asked for it.
    pub(super) fn appended(&mut self, executed: &Executed, asked: Option<Position>) {
        self.group.included.extend(executed.transactions.iter().map(|one| (one.sender, one.id)));
        self.group.executed.extend(asked.map(|position| (position, executed.hash)));
        self.group.written.add(executed);
        self.group.changed = true;
        self.chain.appended(executed.height(), &executed.header);
    }

    /// Notes that every block above `height` was taken back, and with them these transactions.
    pub(super) fn rewound(&mut self, height: Height, reverted: Vec<VerifiedTransaction>) {
        self.chain.rewound(height);
        self.group.reverted.extend(reverted);
        self.group.written = Written::Unknown;
        self.group.changed = true;
    }

    /// Makes the group durable, and tells everybody.
    pub(super) fn commit(&mut self) -> Result<(), String> {
        if !self.group.changed {
            return Ok(());
        }
        self.ledger.commit().map_err(|error| error.to_string())?;
        let group = std::mem::take(&mut self.group);
        self.publish(&group.included, group.reverted, group.written);
        for (position, block_hash) in group.executed {
            self.answer(Input::Executed { position, block_hash });
        }
        Ok(())
    }

    fn publish(
        &self,
        included: &[(Address, TransactionId)],
        reverted: Vec<VerifiedTransaction>,
        written: Written,
    ) {
        let head = self.ledger.head();
        let changed = match &written {
            Written::These(accounts) => Changed::Accounts(accounts),
            Written::Unknown => Changed::Unknown,
        };
        self.door.reset(&head.view, head.height(), included, reverted, changed);
        self.chain.publish();
        if self.ledger.rules().ordering.has_committee() {
            // What waits still, and what no longer does: a committee's timers go by it.
            self.door.tell_ordering();
        }
        tracing::info!(
            height = %head.height(), block = %head.hash, transactions = head.transactions.len(), "new tip"
        );
    }

    /// Tells ordering.
    pub(super) fn answer(&self, input: Input<P>) {
        // Ordering is gone only when the node stops.
        let _ = self.answers.send(input);
    }

    /// Checks transactions at the pool's door, which remembers what it has seen.
    pub(super) fn checked(&self, transactions: Vec<Transaction>) -> Checked {
        let verdicts = self.door.verifier().verify(transactions);
        Checked(RefCell::new(verdicts.into_iter().map(Result::ok).collect::<Vec<_>>().into_iter()))
    }
}

/// The verdicts on one block's transactions, handed to the ledger in the block's order.
pub(super) struct Checked(RefCell<std::vec::IntoIter<Option<VerifiedTransaction>>>);

impl Remembered for Checked {
    fn verified(&self, transaction: &Transaction) -> Option<VerifiedTransaction> {
        self.0.borrow_mut().next().flatten().filter(|checked| checked.transaction() == transaction)
    }
}

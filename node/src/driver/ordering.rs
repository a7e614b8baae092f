//! The thread that owns ordering.
//!
//! It holds the replica and nothing else steps it. Inputs come from two bounded queues: what the network
//! says, which may be dropped when the queue is full, because protocols repeat what they need; and what
//! the node's own threads answer, which is never dropped. That second queue cannot block its writers for
//! good: this thread never waits for the writers, since whatever it hands out is queued on their side
//! without waiting or kept in a backlog here.
//!
//! Records are written and synced before the effects that rest on them come out (GEN-1); a failed write
//! stops the node (GEN-4). What rests on none goes out before: others write while this node does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, after, never, select};
use synod_consensus::journal::Durable;
use synod_consensus::{Effect, Input, Journal, Protocol, Replica, Status, Time};
use tokio::sync::watch;

use super::clock::Clock;
use super::stop::Stop;

/// How many messages of the network may wait.
pub(super) const NETWORK_QUEUE: usize = 4096;
/// How many answers of the node's own threads may wait.
pub(super) const ANSWER_QUEUE: usize = 4096;

/// How many more inputs that wait already go into one group of records.
const GROUP: usize = 64;

/// Where the effects of ordering go. Nothing here may wait.
pub(super) trait Outlet<P: Protocol>: Send + 'static {
    /// Carries out one effect, or takes it into a queue. An effect that finds no room comes back and is
    /// offered again, before any other, after the next answer.
    fn carry_out(&mut self, effect: Effect<P>) -> Result<(), Box<Effect<P>>>;
}

/// A journal that the ordering thread writes by itself.
pub trait RecordJournal<R>: Journal + Send + 'static {
    /// Writes the frame and syncs it.
    ///
    /// # Errors
    /// The disk's; the node must stop.
    fn write(&mut self, frame: &synod_consensus::journal::Frame<R>) -> Result<(), String>;
}

/// What waits in the pool, as ordering hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    /// Since when the oldest transaction waits that a block could take now.
    pub(super) oldest_since: Option<Time>,
    /// Bytes that no offer holds.
    pub(super) bytes: u64,
}

/// What goes on in place of a replica whose time is over.
pub(super) struct Next<P: Protocol, J> {
    /// The replica.
    pub(super) replica: Replica<P>,
    /// Its journal.
    pub(super) journal: J,
    /// What the network says to it from now on; what it said to the other is dropped.
    pub(super) network: Receiver<Input<P>>,
}

impl<P: Protocol, J> Next<P, J> {
    fn into_parts(self) -> (Replica<P>, Option<J>, Receiver<Input<P>>) {
        (self.replica, Some(self.journal), self.network)
    }
}

/// Begins what goes on, once the old journal is closed: the two may be one log.
pub(super) type Begin<P, J> = Box<dyn FnOnce() -> Result<Next<P, J>, String> + Send>;

/// Asked after each step: whether another replica goes on. The old one's effects were carried out, and those
/// that found no room are void.
pub(super) type Successor<P, J> = Box<dyn FnMut(&Replica<P>) -> Option<Begin<P, J>> + Send>;

/// Where the pool writes what waits. Only the newest word counts, and none gets lost: an old one that came last
/// would have a committee wait for a primary that has nothing to propose.
#[derive(Debug, Clone)]
pub(super) struct DemandBoard {
    newest: Arc<Mutex<Option<Demand>>>,
    signal: Sender<()>,
}

impl DemandBoard {
    /// Writes what waits in place of what stood there. Whoever writes must look and write in one step.
    pub(super) fn write(&self, demand: Demand) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(demand);
        // A signal that waits already says the same.
        let _ = self.signal.try_send(());
    }
}

/// The ways into the ordering thread.
pub(super) struct Inputs<P: Protocol> {
    /// For messages and connections.
    pub(super) network: Sender<Input<P>>,
    /// For the node's own threads.
    pub(super) answers: Sender<Input<P>>,
    /// For the pool.
    pub(super) demand: DemandBoard,
}

impl<P: Protocol> Clone for Inputs<P> {
    fn clone(&self) -> Self {
        Self { network: self.network.clone(), answers: self.answers.clone(), demand: self.demand.clone() }
    }
}

/// The other ends of [`Inputs`].
pub(super) struct Inbox<P: Protocol> {
    network: Receiver<Input<P>>,
    answers: Receiver<Input<P>>,
    demand: Arc<Mutex<Option<Demand>>>,
    demand_signal: Receiver<()>,
}

impl<P: Protocol> Inbox<P> {
    /// What the pool wrote last, if that was not read yet.
    fn take_demand(&self) -> Option<Input<P>> {
        let newest = self.demand.lock().unwrap_or_else(PoisonError::into_inner).take();
        newest.map(|demand| Input::Demand { oldest_since: demand.oldest_since, bytes: demand.bytes })
    }
}

/// Makes the queues.
pub(super) fn queues<P: Protocol>() -> (Inputs<P>, Inbox<P>) {
    let (network, network_inbox) = crossbeam_channel::bounded(NETWORK_QUEUE);
    let (answers, answers_inbox) = crossbeam_channel::bounded(ANSWER_QUEUE);
    let (signal, demand_signal) = crossbeam_channel::bounded(1);
    let newest = Arc::default();
    let demand = DemandBoard { newest: Arc::clone(&newest), signal };
    (
        Inputs { network, answers, demand },
        Inbox { network: network_inbox, answers: answers_inbox, demand: newest, demand_signal },
    )
}

/// What the ordering thread works with.
pub(super) struct Ordering<P: Protocol, J, O> {
    /// The state machine behind its boundary.
    pub(super) replica: Replica<P>,
    /// Where its records go; none while one replica follows another.
    pub(super) journal: Option<J>,
    /// Where its effects go.
    pub(super) outlet: O,
    /// Where its inputs come from.
    pub(super) inbox: Inbox<P>,
    /// Time.
    pub(super) clock: Clock,
    /// Told after every step that changed it.
    pub(super) status: watch::Sender<Status>,
    /// The node's end.
    pub(super) stop: Stop,
    /// What follows.
    pub(super) successor: Successor<P, J>,
}

impl<P, J, O> Ordering<P, J, O>
where
    P: Protocol + Send + 'static,
    P::Message: Send,
    P::Record: Send,
    P::Job: Send,
    P::Outcome: Send,
    P::Event: Send,
    P::Fault: Send,
    J: RecordJournal<P::Record>,
    O: Outlet<P>,
{
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("ordering".to_owned()).spawn(move || self.run())
    }

    fn run(mut self) {
        let mut backlog = VecDeque::new();
        loop {
            self.release(&mut backlog);
            if let Err(reason) = self.write_records() {
                self.replica.stop(reason.clone());
                self.stop.fail(reason);
                return;
            }
            self.release(&mut backlog);
            if let Some(begin) = (self.successor)(&self.replica) {
                self.journal = None;
                match begin() {
                    Ok(next) => (self.replica, self.journal, self.inbox.network) = next.into_parts(),
                    Err(reason) => return self.stop.fail(reason),
                }
                backlog.clear();
                continue;
            }
            self.status.send_if_modified(|status| {
                let current = self.replica.status();
                let changed = *status != current;
                *status = current;
                changed
            });
            let Some(input) = self.next_input() else { return };
            self.step(input);
            // One frame and one sync for all that waits already.
            for _ in 0..GROUP {
                let Some(input) = self.waiting_input() else { break };
                self.step(input);
            }
        }
    }

    fn step(&mut self, input: Input<P>) {
        self.replica.step(input, self.clock.now(), self.clock.wall());
    }

    /// An input that is there already.
    fn waiting_input(&self) -> Option<Input<P>> {
        let answered = self.inbox.answers.try_recv().ok();
        answered.or_else(|| self.inbox.take_demand()).or_else(|| self.inbox.network.try_recv().ok())
    }

    /// Writes whole groups until no record waits.
    fn write_records(&mut self) -> Result<(), String> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        while let Some(frame) = self.replica.take_frame() {
            journal.write(&frame)?;
            self.replica.durable(&Durable::proven_by(journal));
        }
        Ok(())
    }

    /// Hands out effects in order; what finds no room stays in front.
    fn release(&mut self, backlog: &mut VecDeque<Effect<P>>) {
        while let Some(effect) = self.replica.next_effect() {
            backlog.push_back(effect);
        }
        while let Some(effect) = backlog.pop_front() {
            if let Err(effect) = self.outlet.carry_out(effect) {
                backlog.push_front(*effect);
                return;
            }
        }
    }

    /// The next input, or `None` when the node stops. Answers come first: they free what peers wait for.
    fn next_input(&mut self) -> Option<Input<P>> {
        if self.stop.is_stopping() {
            return None;
        }
        if let Ok(input) = self.inbox.answers.try_recv() {
            return Some(input);
        }
        let due = self.replica.wake_at().map(|at| self.clock.instant(at));
        let wake =
            due.map_or_else(never, |due| after(due.saturating_duration_since(std::time::Instant::now())));
        select! {
            recv(self.inbox.answers) -> input => input.ok(),
            recv(self.inbox.network) -> input => input.ok(),
            // What waits is told anew after each payload that was taken from it, and must not be read before it.
            recv(self.inbox.demand_signal) -> _ => match self.inbox.answers.try_recv() {
                Ok(answer) => Some(answer),
                Err(_) => Some(self.inbox.take_demand().unwrap_or(Input::Wake)),
            },
            recv(self.stop.signal()) -> _ => None,
            recv(wake) -> _ => Some(Input::Wake),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use serde::{Deserialize, Serialize};
    use synod_consensus::{Context, Frame, FrameNumber, Peer, Verified};
    use synod_types::{BlockHash, Height, Position, UnixMillis};

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Word {
        Hint,
        Vote,
    }

    /// Whatever it hears, it journals a vote, says it, and gives a hint after it.
    #[derive(Debug)]
    struct Voter;

    impl Protocol for Voter {
        const NAME: &'static str = "voter";
        type Config = ();
        type Message = Word;
        type Record = u64;
        type History = ();
        type Job = ();
        type Outcome = ();
        type Event = ();
        type Fault = String;

        fn check((): &(), _: Peer, _: Word) -> Result<Verified<Word>, String> {
            Err("nobody speaks to it".to_owned())
        }

        fn is_promise_free(message: &Word) -> bool {
            matches!(message, Word::Hint)
        }

        fn recover((): (), _: Vec<u64>, (): (), _: &mut Context<'_, Self>) -> Self {
            Self
        }

        fn step(&mut self, _: Input<Self>, context: &mut Context<'_, Self>) {
            context.persist(1);
            context.broadcast(Word::Vote);
            context.broadcast(Word::Hint);
        }

        fn wake_at(&self) -> Option<Time> {
            None
        }

        fn status(&self) -> Status {
            Status {
                protocol: Self::NAME,
                position: Position::default(),
                block_hash: BlockHash::default(),
                settled: Position::default(),
                best_height: Height::default(),
                waits_for: String::new(),
                facts: Vec::new(),
            }
        }
    }

    /// What happened, in order.
    type Story = Sender<&'static str>;

    struct Paper(FrameNumber, Story);

    impl Journal for Paper {
        fn durable_through(&self) -> FrameNumber {
            self.0
        }
    }

    impl RecordJournal<u64> for Paper {
        fn write(&mut self, frame: &Frame<u64>) -> Result<(), String> {
            self.1.send("a sync").unwrap();
            self.0 = frame.number;
            Ok(())
        }
    }

    struct Mouth(Story);

    impl Outlet<Voter> for Mouth {
        fn carry_out(&mut self, effect: Effect<Voter>) -> Result<(), Box<Effect<Voter>>> {
            self.0
                .send(if matches!(effect, Effect::Broadcast(Word::Hint)) { "a hint" } else { "a vote" })
                .unwrap();
            Ok(())
        }
    }

    #[test]
    fn gen_1_what_promises_nothing_does_not_wait_for_the_disk() {
        let (story, told) = crossbeam_channel::bounded(8);
        let (inputs, inbox) = queues::<Voter>();
        let journal = Paper(FrameNumber(0), story.clone());
        let proof = Durable::proven_by(&journal);
        let replica = Replica::recover((), Vec::new(), (), &proof, 1, Time(0), UnixMillis(0));
        let (status, stop) = (watch::channel(replica.status()).0, Stop::new());
        let thread = Ordering {
            replica,
            journal: Some(journal),
            outlet: Mouth(story),
            inbox,
            clock: Clock::start(),
            status,
            stop: stop.clone(),
            successor: Box::new(|_| None),
        };
        let thread = thread.spawn().unwrap();
        inputs.answers.send(Input::Wake).unwrap();
        let patience = Duration::from_secs(10);
        let story: Vec<_> = (0..3).map(|_| told.recv_timeout(patience).unwrap()).collect();
        assert_eq!(story, ["a hint", "a sync", "a vote"]);
        stop.ask();
        thread.join().unwrap();
    }
}

//! The replica's boundary: what a driver (the node, the simulator) holds of a protocol.
//!
//! It feeds inputs into the state machine, numbers journal frames, and keeps "persist before send" (GEN-1)
//! by construction: a step's effects are sealed with the number of the frame that holds its records, and
//! come out of [`Replica::next_effect`] only when a [`Durable`] proves that frame. Steps without records
//! wait for the steps before them and for nothing else; sends that promise nothing leave at once. The
//! machine keeps stepping while a frame is being written, so that the next frame commits a whole group.
//! A failed write stops the replica for good (GEN-4).
//!
//! A driver's loop: `step` for each input; `take_frame` whenever it may return one, and write it; `durable`
//! when the journal has synced; then carry out every `next_effect`, in order.

use std::collections::VecDeque;

use synod_types::{UnixMillis, mutant};

use crate::effects::{Context, Effect};
use crate::journal::{Durable, Frame, FrameNumber};
use crate::protocol::{Input, Protocol, Status};
use crate::random::Random;
use crate::time::Time;

/// Effects that wait for their frame.
#[derive(Clone)]
struct Sealed<P: Protocol> {
    frame: FrameNumber,
    effects: Vec<Effect<P>>,
}

/// A protocol behind its boundary. A copy is for exploring what could happen next; it goes on by itself.
#[derive(Clone)]
pub struct Replica<P: Protocol> {
    protocol: P,
    random: Random,
    /// Records of steps taken since the last frame was handed out.
    records: Vec<P::Record>,
    /// Whether those records make all earlier frames superfluous.
    restates: bool,
    /// The number that those records' frame will get.
    next_frame: FrameNumber,
    in_flight: Option<FrameNumber>,
    durable: FrameNumber,
    sealed: VecDeque<Sealed<P>>,
    released: VecDeque<Effect<P>>,
    /// Kept between steps so that a step without records allocates nothing.
    scratch: Vec<Effect<P>>,
    stopped: Option<String>,
}

impl<P: Protocol> Replica<P> {
    /// The replica after a start. `records` are those of all frames that the journal kept, in order, and
    /// `journal` its proof of the last one; `history` is where the block log stands.
    pub fn recover(
        config: P::Config,
        records: Vec<P::Record>,
        history: P::History,
        journal: &Durable,
        seed: u64,
        now: Time,
        wall: UnixMillis,
    ) -> Self {
        let mut random = Random::new(seed);
        let (mut new_records, mut restates, mut effects) = (Vec::new(), false, Vec::new());
        let mut context = Context::new(now, wall, &mut random, &mut new_records, &mut restates, &mut effects);
        let protocol = P::recover(config, records, history, &mut context);
        let mut replica = Self {
            protocol,
            random,
            records: new_records,
            restates,
            next_frame: journal.through().next(),
            in_flight: None,
            durable: journal.through(),
            sealed: VecDeque::new(),
            released: VecDeque::new(),
            scratch: effects,
            stopped: None,
        };
        replica.seal();
        replica
    }

    /// Gives the machine one input. A stopped replica ignores it.
    pub fn step(&mut self, input: Input<P>, now: Time, wall: UnixMillis) {
        if self.stopped.is_some() {
            return;
        }
        let mut context = Context::new(
            now,
            wall,
            &mut self.random,
            &mut self.records,
            &mut self.restates,
            &mut self.scratch,
        );
        self.protocol.step(input, &mut context);
        self.seal();
    }

    /// The next frame to write, when there are records and no frame is being written (STO-1: at most one
    /// unsynced frame at a time).
    pub fn take_frame(&mut self) -> Option<Frame<P::Record>> {
        if self.in_flight.is_some() || self.records.is_empty() || self.stopped.is_some() {
            return None;
        }
        let number = self.next_frame;
        self.next_frame = number.next();
        self.in_flight = Some(number);
        let restates = std::mem::take(&mut self.restates);
        Some(Frame { number, records: std::mem::take(&mut self.records), restates })
    }

    /// Takes the journal's proof, and releases what waited for it, in order.
    ///
    /// # Panics
    /// When the proof covers a frame that was never handed out: the journal is not this replica's.
    pub fn durable(&mut self, proof: &Durable) {
        assert!(proof.through() < self.next_frame, "a journal cannot keep a frame that it never got");
        if proof.through() <= self.durable || self.stopped.is_some() {
            return;
        }
        self.durable = proof.through();
        if self.in_flight.is_some_and(|number| number <= self.durable) {
            self.in_flight = None;
        }
        while self.sealed.front().is_some_and(|first| first.frame <= self.durable) {
            let opened = self.sealed.pop_front().expect("looked at just before");
            self.released.extend(opened.effects);
        }
    }

    /// Stops the replica: a write or a sync failed, or the driver knows that this state must not go on.
    /// Nothing that is still sealed will ever leave.
    pub fn stop(&mut self, reason: String) {
        if mutant!("gen-4-retry-fsync") {
            return;
        }
        self.sealed.clear();
        self.released.clear();
        self.stopped.get_or_insert(reason);
    }

    /// The next effect that may be carried out.
    pub fn next_effect(&mut self) -> Option<Effect<P>> {
        self.released.pop_front()
    }

    /// When [`Input::Wake`] is due.
    pub fn wake_at(&self) -> Option<Time> {
        if self.stopped.is_some() { None } else { self.protocol.wake_at() }
    }

    /// What the protocol is doing, or why the replica stopped.
    pub fn status(&self) -> Status {
        let mut status = self.protocol.status();
        if let Some(reason) = &self.stopped {
            status.waits_for = format!("stopped: {reason}");
        }
        status
    }

    /// Why the replica stopped, if it did.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// How many steps wait for the journal: a driver stops feeding inputs beyond a bound of its own.
    pub fn sealed_steps(&self) -> usize {
        self.sealed.len()
    }

    /// The machine, for reading.
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    /// Sorts the effects of the step just taken: what may leave, and what its frame holds back.
    fn seal(&mut self) {
        let frame =
            if self.records.is_empty() { self.in_flight.unwrap_or(self.durable) } else { self.next_frame };
        if frame <= self.durable || mutant!("gen-1-send-before-persist") {
            self.released.extend(self.scratch.drain(..));
            return;
        }
        let mut effects = Vec::with_capacity(self.scratch.len());
        for effect in self.scratch.drain(..) {
            if is_promise_free(&effect) { self.released.push_back(effect) } else { effects.push(effect) }
        }
        if !effects.is_empty() {
            self.sealed.push_back(Sealed { frame, effects });
        }
    }
}

fn is_promise_free<P: Protocol>(effect: &Effect<P>) -> bool {
    match effect {
        Effect::Send { message, .. } | Effect::Broadcast(message) => P::is_promise_free(message),
        _ => false,
    }
}

#[cfg(test)]
#[path = "replica_tests.rs"]
mod tests;

//! A run that ends when it takes too long or too much memory.
//!
//! The machine reads no clock: whoever runs it says when time is up. A frame that is ended so fails like one
//! that ran out of gas, and its caller goes on with what it held back, until it is ended too; so the result of
//! a run that was stopped means nothing, and [`Limited::was_stopped`] must be asked.

use super::{CallEnd, CallStart, Step, Tracer};
use alloy_primitives::{Address, Log, U256};

/// The question is put once for so many jumps and frames.
const ASK_EVERY: u32 = 256;

/// Watches as `T` does, within bounds.
pub struct Limited<'a, T> {
    /// The watcher.
    pub tracer: T,
    memory_limit: usize,
    is_time_up: &'a dyn Fn() -> bool,
    until_asked: u32,
    stopped: bool,
}

impl<'a, T> Limited<'a, T> {
    /// Ends the run when `is_time_up` says so, or all frames together hold more than `memory_limit` bytes.
    pub fn new(tracer: T, memory_limit: usize, is_time_up: &'a dyn Fn() -> bool) -> Self {
        Self { tracer, memory_limit, is_time_up, until_asked: 0, stopped: false }
    }

    /// Whether the run was ended by force.
    pub fn was_stopped(&self) -> bool {
        self.stopped
    }
}

impl<T: Tracer> Tracer for Limited<'_, T> {
    const STEPS: bool = T::STEPS;
    const STOPS: bool = true;

    fn stop(&mut self, memory_bytes: usize) -> bool {
        if self.until_asked == 0 {
            self.until_asked = ASK_EVERY;
            self.stopped |= (self.is_time_up)();
        }
        self.until_asked -= 1;
        self.stopped |= memory_bytes > self.memory_limit;
        self.stopped
    }

    fn step(&mut self, step: &Step<'_>) {
        self.tracer.step(step);
    }

    fn enter(&mut self, start: &CallStart<'_>) {
        self.tracer.enter(start);
    }

    fn leave(&mut self, end: &CallEnd<'_>) {
        self.tracer.leave(end);
    }

    fn log(&mut self, log: &Log) {
        self.tracer.log(log);
    }

    fn self_destruct(&mut self, contract: &Address, beneficiary: &Address, balance: &U256) {
        self.tracer.self_destruct(contract, beneficiary, balance);
    }
}

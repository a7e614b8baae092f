//! Virtual time: events come in the order of their times, and of equal times in the order in which they were
//! scheduled. Nothing else decides, so that a seed always tells the same story.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::time::Time;

struct Entry<E> {
    at: Time,
    sequence: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// Events to come.
pub struct Scheduler<E> {
    now: Time,
    scheduled: u64,
    heap: BinaryHeap<Reverse<Entry<E>>>,
}

impl<E> Default for Scheduler<E> {
    fn default() -> Self {
        Self { now: Time(0), scheduled: 0, heap: BinaryHeap::new() }
    }
}

impl<E> Scheduler<E> {
    /// The time of the event taken last.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Lets `event` happen at `at`, or now if that is over.
    pub fn schedule(&mut self, at: Time, event: E) {
        self.scheduled += 1;
        self.heap.push(Reverse(Entry { at: at.max(self.now), sequence: self.scheduled, event }));
    }

    /// Takes the next event and moves time to it.
    pub fn take(&mut self) -> Option<E> {
        let Reverse(entry) = self.heap.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }

    /// How many events are to come.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is to come.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a11_events_come_by_time_and_of_equal_times_as_scheduled() {
        let mut scheduler = Scheduler::default();
        for (at, name) in [(5, "c"), (1, "a"), (5, "d"), (1, "b")] {
            scheduler.schedule(Time(at), name);
        }
        let order: Vec<_> = std::iter::from_fn(|| scheduler.take()).collect();
        assert_eq!(order, ["a", "b", "c", "d"]);
        scheduler.schedule(Time(0), "late");
        assert_eq!((scheduler.take(), scheduler.now()), (Some("late"), Time(5)));
    }
}

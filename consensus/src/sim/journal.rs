//! The journal's twin: frames in memory, of which a power cut takes the unsynced one.

use crate::journal::{Durable, Frame, FrameNumber, Journal};
use crate::random::Random;

/// Frames of records.
#[derive(Debug, Clone)]
pub struct ModelJournal<R> {
    frames: Vec<Frame<R>>,
    synced: usize,
    image: Vec<Frame<R>>,
}

impl<R> Default for ModelJournal<R> {
    fn default() -> Self {
        Self { frames: Vec::new(), synced: 0, image: Vec::new() }
    }
}

impl<R: Clone> ModelJournal<R> {
    /// Writes a frame; it is durable only after `sync`.
    pub fn write(&mut self, frame: Frame<R>) {
        self.frames.push(frame);
    }

    /// Makes all frames durable.
    ///
    /// What a frame restates is dropped from those before it.
    pub fn sync(&mut self) -> Durable {
        let first = self.frames.iter().rposition(|frame| frame.restates).unwrap_or(0);
        self.frames.drain(..first);
        self.synced = self.frames.len();
        Durable::proven_by(self)
    }

    /// A sync failed, and the system forgot what it should have written.
    pub fn lose_unsynced(&mut self) {
        self.frames.truncate(self.synced);
    }

    /// The power fails: an unsynced frame survives or not, never in part (its checksum tells).
    pub fn power_cut(&mut self, random: &mut Random) {
        if random.chance(800_000) {
            self.frames.truncate(self.synced);
        }
        self.synced = self.frames.len();
    }

    /// Keeps a copy of what is durable now.
    pub fn keep_image(&mut self) {
        self.image = self.frames[..self.synced].to_vec();
    }

    /// Comes back with the copy that was kept, or empty if none was.
    pub fn restore_image(&mut self) {
        self.frames.clone_from(&self.image);
        self.synced = self.frames.len();
    }

    /// Forgets the copy.
    pub fn drop_image(&mut self) {
        self.image.clear();
    }

    /// All records that are kept and not restated.
    pub fn records(&self) -> Vec<R> {
        let first = self.frames.iter().rposition(|frame| frame.restates).unwrap_or(0);
        self.frames[first..].iter().flat_map(|frame| frame.records.iter().cloned()).collect()
    }
}

impl<R> Journal for ModelJournal<R> {
    fn durable_through(&self) -> FrameNumber {
        self.frames[..self.synced].last().map_or(FrameNumber(0), |frame| frame.number)
    }
}

//! What happened, as one hash, and on demand as text (A11: a seed run twice gives equal hashes).

use sha2::{Digest, Sha256};

use crate::time::Time;

/// A rolling SHA-256 over all events, fed in batches.
pub struct Trace {
    hasher: Sha256,
    batch: Vec<u8>,
    lines: Option<Vec<String>>,
    events: u64,
}

/// Bytes hashed at a time.
const BATCH: usize = 4096;
/// Lines kept of a text trace, at most.
const LINES: usize = 2_000_000;

impl Trace {
    /// A trace; `with_text` keeps readable lines too.
    pub fn new(with_text: bool) -> Self {
        Self {
            hasher: Sha256::new(),
            batch: Vec::with_capacity(BATCH + 64),
            lines: with_text.then(Vec::new),
            events: 0,
        }
    }

    /// Adds an event: when, what kind, to whom, and what tells it apart from others.
    pub fn event(&mut self, at: Time, kind: u8, node: usize, detail: u64) {
        self.events += 1;
        self.batch.extend_from_slice(&at.0.to_be_bytes());
        self.batch.extend_from_slice(&[kind, node as u8]);
        self.batch.extend_from_slice(&detail.to_be_bytes());
        if self.batch.len() >= BATCH {
            self.hasher.update(&self.batch);
            self.batch.clear();
        }
    }

    /// Adds a line for people; `line` is called only when someone will read it.
    pub fn line(&mut self, at: Time, line: impl FnOnce() -> String) {
        if let Some(lines) = self.lines.as_mut().filter(|lines| lines.len() < LINES) {
            lines.push(format!("{at:>12} {}", line()));
        }
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The hash of all of them, and the text.
    pub fn finish(mut self) -> (String, Vec<String>) {
        self.hasher.update(&self.batch);
        let hash: [u8; 32] = self.hasher.finalize().into();
        (alloy_primitives::hex::encode(hash), self.lines.unwrap_or_default())
    }
}

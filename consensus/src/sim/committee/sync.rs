//! The driver's block sync, as far as the simulation needs it: blocks up to a certificate from one member
//! after the other, believed only when they lead to the certificate's hash (PBFT-15, S-B9).

use alloy_primitives::Bytes;
use synod_types::Height;

use super::application::{Chain, Node};
use super::ordering::Lies;
use super::{Event, Packet, World};
use crate::committee::{Certificate, Outcome};
use crate::protocol::{Input, Peer};
use crate::time::Time;

/// Milliseconds until another member is asked.
const ANSWER_MS: u64 = 400;

/// A fetch under way.
#[derive(Debug)]
pub(super) struct Fetching {
    goal: Certificate,
    asked: u64,
    /// When the next is asked.
    pub(super) until: Time,
    /// The blocks are written, and the sync runs.
    is_writing: bool,
}

impl<C: Chain> World<C> {
    pub(super) fn begin_fetch(&mut self, at: usize, goal: Certificate) {
        let asked = self.random.next_u64();
        self.processes[at].fetching = Some(Fetching { goal, asked, until: Time(0), is_writing: false });
        self.ask_next(at);
    }

    /// Asks the next member, when the last did not answer.
    pub(super) fn ask_next(&mut self, at: usize) {
        let (now, members) = (self.scheduler.now(), self.committee.len() as u64);
        let process = &mut self.processes[at];
        let Some(fetching) = process.fetching.as_mut().filter(|known| !known.is_writing) else { return };
        if fetching.until > now {
            return;
        }
        fetching.asked = fetching.asked.wrapping_add(1);
        fetching.until = now.plus_ms(ANSWER_MS);
        let peer = fetching.asked % members;
        let from = process.node.length() + 1;
        let event = Event::AskNext { process: at as u8, run: process.run };
        self.scheduler.schedule(now.plus_ms(ANSWER_MS), event);
        self.transmit(at, Peer(peer), Packet::AskBlocks { from: Height(from) });
    }

    /// Serves what is durable here; a liar changes it.
    pub(super) fn serve_blocks(&mut self, at: usize, to: Peer, from: Height) {
        let mut bodies = self.processes[at].node.blocks_from(from.0);
        if let Some(liar) = &mut self.processes[at].liar {
            liar.spoil_blocks(&mut bodies, &mut self.random);
        }
        self.transmit(at, to, Packet::Blocks { from, bodies });
    }

    pub(super) fn take_blocks(&mut self, at: usize, from: Height, bodies: &[Bytes]) {
        let process = &mut self.processes[at];
        let Some(fetching) = process.fetching.as_mut().filter(|known| !known.is_writing) else { return };
        let goal = fetching.goal.statement;
        let missing = goal.height.0.saturating_sub(process.node.length()) as usize;
        if from.0 != process.node.length() + 1 || bodies.len() < missing || missing == 0 {
            return;
        }
        if !process.node.install(&bodies[..missing], goal.block_hash) {
            return self.count("lying sync seen through");
        }
        fetching.is_writing = true;
        let event = Event::Installed { process: at as u8, run: process.run };
        self.scheduler.schedule(self.scheduler.now().plus_us(process.sync_us), event);
        self.count("blocks fetched");
        self.ask_node(at);
    }

    /// The fetched blocks are durable.
    pub(super) fn installed(&mut self, at: usize, run: u32) {
        let process = &mut self.processes[at];
        if process.run != run {
            return;
        }
        let Some(fetching) = process.fetching.take() else { return };
        process.node.sync_blocks();
        let statement = fetching.goal.statement;
        for height in 1..=statement.height.0 {
            self.check_block(at, height);
        }
        self.pool_changed(at);
        let (position, block_hash) = (statement.position, statement.block_hash);
        self.tell_of_end(at, position);
        self.feed(at, Input::Done(Outcome::Installed { position, block_hash }));
    }
}

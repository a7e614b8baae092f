//! What a decision costs: messages and bytes against the number of members, counted in a run without faults.

use std::collections::BTreeMap;

use serde::Serialize;
use synod_types::codec;

use super::application::Node;
use super::model::ModelChain;
use super::ordering::Ordering;
use super::{Packet, World};
use crate::sim::report::{Options, Timing};

/// Counts what is sent.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Messages and bytes, by kind.
    kinds: BTreeMap<&'static str, (u64, u64)>,
}

impl Meter {
    /// One message to one member.
    pub(super) fn sent<P: Ordering>(&mut self, packet: &Packet<P>) {
        let Packet::Protocol(message) = packet else { return };
        let (messages, bytes) = self.kinds.entry(P::kind(message)).or_default();
        *messages += 1;
        *bytes += codec::encode(message).len() as u64;
    }
}

/// The cost of a decision in a committee of one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// n.
    pub members: usize,
    /// q.
    pub quorum: usize,
    /// Decisions counted.
    pub decisions: u64,
    /// Messages for each.
    pub messages: u64,
    /// Bytes for each, bodies included.
    pub bytes: u64,
    /// Messages and bytes for each decision, by kind.
    pub kinds: BTreeMap<&'static str, (u64, u64)>,
}

/// Decides `blocks` payloads of at most eight small transfers among `members`, and counts.
pub fn figures<P: Ordering>(members: usize, blocks: u64) -> Figures {
    let options = Options {
        nodes: Some(members),
        byzantine: Some(0),
        timing: Some(Timing::Synchronous),
        only: Some(Vec::new()),
        blocks: u64::MAX,
        ..Options::of(P::SUBJECT, 1)
    };
    let mut world = World::<ModelChain<P>>::new(&options);
    world.meter = Some(Meter::default());
    while world.violation.is_none()
        && world.processes[0].node.length() < blocks
        && let Some(event) = world.scheduler.take()
    {
        world.handle(event);
    }
    let decisions = world.processes[0].node.length().max(1);
    let kinds = world.meter.take().unwrap_or_default().kinds;
    let sum = |of: fn(&(u64, u64)) -> u64| kinds.values().map(of).sum::<u64>() / decisions;
    Figures {
        members,
        quorum: world.committee.quorum(),
        decisions,
        messages: sum(|kind| kind.0),
        bytes: sum(|kind| kind.1),
        kinds: kinds.iter().map(|(kind, sums)| (*kind, (sums.0 / decisions, sums.1 / decisions))).collect(),
    }
}

//! What the exploration must know of an ordering beyond what the simulator knows ([`Ordering`]), and what it sets.

use std::fmt;
use std::sync::Arc;

use alloy_primitives::B256;
use synod_consensus::committee::{Committee, Signer, Validity};
use synod_consensus::sim::committee::ordering::Ordering;
use synod_types::Slot;

/// An ordering whose machine can be explored.
pub(crate) trait Explored: Ordering<Sent: Clone> + Clone {
    /// A member's configuration: all times 1 ms and without jitter, so that what the generator gives decides
    /// nothing, and one wake more is one timeout more.
    fn settings(
        committee: Committee,
        signer: Signer,
        validity: Arc<dyn Validity>,
        slots: u64,
    ) -> Self::Config;

    /// Whether a gap is filled with the no-op; otherwise there are no gaps.
    const FILLS_GAPS: bool;

    /// The votes that these records are, once all of them are durable.
    fn votes(records: &[Self::Record]) -> Vec<Vote>;

    /// Whether the exploration leaves out messages of this kind; the page of the tests says which and why.
    fn is_left_out(message: &Self::Message) -> bool;

    /// Whether messages of this kind come the moment that they are said.
    fn is_heard_at_once(message: &Self::Message) -> bool;

    /// Whether this machine, while it keeps its memory, can never again make anything of the message.
    fn is_void(&self, message: &Self::Message) -> bool;
}

/// A durable vote: a quorum of equal ones is a decision.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Vote {
    /// The ballot or epoch, in its order.
    pub(crate) ballot: (u64, u8),
    /// For which place.
    pub(crate) slot: Slot,
    /// For what; `None` is the no-op.
    pub(crate) value: Option<B256>,
}

impl fmt::Debug for Vote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ballot: (round, member), slot, value } = self;
        write!(formatter, "{value:?} at {slot} in {round}.{member}")
    }
}

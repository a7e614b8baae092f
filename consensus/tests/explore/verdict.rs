//! What is judged: of each member what it applied, voted and broke, and what follows of all together.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Bytes;

use super::explored::{Explored, Vote};
use super::system::Bounds;

pub(crate) const AGREEMENT: &str = "no two members apply different payloads";
pub(crate) const ONE_DECISION: &str = "no slot is decided twice";
pub(crate) const VALIDITY: &str = "only what was proposed is applied";
pub(crate) const MEMORY: &str = "what was applied stays, over power cuts";
pub(crate) const PROMISES: &str = "every member keeps its word, over power cuts";
pub(crate) const DECISION: &str = "a value is applied";
pub(crate) const ALL_APPLY: &str = "all members apply all slots";
pub(crate) const LATER_SAME: &str = "a later ballot decides what an earlier one proposed";
pub(crate) const LATER_OTHER: &str = "a later ballot decides another value than an earlier one proposed";
pub(crate) const GAP: &str = "a gap below a later slot is filled with the no-op";

/// All of them, and whether some state within these bounds shows it: a broken rule, or what is to happen.
pub(crate) fn properties<P: Explored>(bounds: Bounds) -> [(&'static str, bool); 10] {
    let is_again = bounds.timeouts > 1 && bounds.candidates > 1;
    [
        (AGREEMENT, false),
        (ONE_DECISION, false),
        (VALIDITY, false),
        (MEMORY, false),
        (PROMISES, false),
        (DECISION, true),
        (ALL_APPLY, true),
        (LATER_SAME, is_again),
        (LATER_OTHER, is_again),
        (GAP, P::FILLS_GAPS && is_again && bounds.slots > 1),
    ]
}

/// What is judged of one member.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    /// Everything that it ever handed to the ledger, by slot, over all power cuts.
    pub(crate) applied: BTreeMap<u64, Bytes>,
    /// Every vote of it that was ever durable.
    pub(crate) votes: BTreeSet<Vote>,
    /// How it broke its word.
    pub(crate) broken: Option<String>,
    /// How it took back what it had applied, or found that it stands alone.
    pub(crate) reversed: Option<String>,
}

/// What is to be said of a state of the whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    pub(crate) agree: bool,
    pub(crate) decides_once: bool,
    pub(crate) is_valid: bool,
    pub(crate) stays: bool,
    pub(crate) keeps_word: bool,
    pub(crate) applies: bool,
    pub(crate) all_apply: bool,
    pub(crate) later_same: bool,
    pub(crate) later_other: bool,
    pub(crate) fills_gap: bool,
}

impl Verdict {
    /// Of these members, who may propose these payloads.
    pub(crate) fn of(members: &[Record], proposals: &BTreeSet<Bytes>, slots: u64, quorum: usize) -> Self {
        let mut applied: BTreeMap<u64, BTreeSet<&Bytes>> = BTreeMap::new();
        for (slot, body) in members.iter().flat_map(|member| &member.applied) {
            applied.entry(*slot).or_default().insert(body);
        }
        let votes: BTreeSet<Vote> = members.iter().flat_map(|member| &member.votes).copied().collect();
        let has_quorum = |vote: &&Vote| members.iter().filter(|it| it.votes.contains(vote)).count() >= quorum;
        let decided: Vec<&Vote> = votes.iter().filter(has_quorum).collect();
        let decided_beside = |is_same: bool| {
            let is_beside = |earlier: &Vote, later: &Vote| {
                earlier.slot == later.slot
                    && earlier.ballot < later.ballot
                    && (earlier.value == later.value) == is_same
            };
            decided.iter().any(|later| votes.iter().any(|earlier| is_beside(earlier, later)))
        };
        Self {
            agree: applied.values().all(|bodies| bodies.len() == 1),
            // The theorem: what a quorum ever accepted in one ballot it accepts in all.
            decides_once: decided
                .iter()
                .all(|one| decided.iter().all(|two| one.slot != two.slot || one.value == two.value)),
            // The no-op fills a gap, so something stands above it.
            is_valid: applied.iter().all(|(slot, bodies)| {
                bodies.iter().all(|body| proposals.contains(*body) || (body.is_empty() && *slot < slots))
            }),
            stays: members.iter().all(|member| member.reversed.is_none()),
            keeps_word: members.iter().all(|member| member.broken.is_none()),
            applies: !applied.is_empty(),
            all_apply: members.iter().all(|member| member.applied.len() as u64 >= slots),
            later_same: decided_beside(true),
            later_other: decided_beside(false),
            fills_gap: applied.values().flatten().any(|body| body.is_empty()),
        }
    }
}

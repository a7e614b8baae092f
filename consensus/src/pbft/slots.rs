//! What a member knows of one place in the order.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use synod_types::{Signature, mutant};

use super::messages::{Choice, Decision, Prepared, View, Vote};
use crate::committee::{MemberIndex, Signatures};
use crate::time::Time;

/// One slot. Of each member only the vote of its highest view is kept (GEN-9).
#[derive(Debug, Default)]
pub(super) struct SlotState {
    /// The primary's proposal in the current view (or an older one, and then it no longer counts).
    pub(super) pre_prepare: Option<Vote>,
    /// A proposal that came before its view began here.
    pub(super) early: Option<Vote>,
    /// The proposal that this member stands for; durable, and so is its body.
    pub(super) accepted: Option<Vote>,
    /// Votes of backups.
    pub(super) prepares: BTreeMap<MemberIndex, Vote>,
    /// The certificate of the highest view; durable.
    pub(super) prepared: Option<Prepared>,
    /// Votes for the decision.
    pub(super) commits: BTreeMap<MemberIndex, Vote>,
    /// The decision.
    pub(super) decision: Option<Decision>,
    /// When the current proposal was first seen.
    pub(super) since: Option<Time>,
}

/// What became of a vote that came in.
pub(super) enum Cast {
    /// It is new.
    Counted,
    /// Known, or overtaken by a later view's.
    Old,
    /// The member voted otherwise before, in the same view.
    Contradicts(Vote),
}

/// Keeps a member's vote if it is of a higher view than the one known (GEN-7).
pub(super) fn cast(votes: &mut BTreeMap<MemberIndex, Vote>, vote: Vote) -> Cast {
    match votes.get(&vote.member) {
        Some(known) if super::evidence::is_double(known, &vote) => Cast::Contradicts(*known),
        Some(known) if known.choice.view >= vote.choice.view => Cast::Old,
        _ => {
            votes.insert(vote.member, vote);
            Cast::Counted
        }
    }
}

impl SlotState {
    /// A proposal for the view that begins takes its place.
    pub(super) fn promote_early(&mut self, view: View) {
        let Some(early) = self.early else { return };
        if early.choice.view == view && self.in_view(view).is_none() {
            self.pre_prepare = self.early.take();
        } else if early.choice.view < view {
            self.early = None;
        }
    }

    /// The proposal, if it is of this view.
    pub(super) fn in_view(&self, view: View) -> Option<Vote> {
        self.pre_prepare.filter(|vote| vote.choice.view == view)
    }

    /// What this member stands for in this view.
    pub(super) fn accepted_in(&self, view: View) -> Option<Vote> {
        self.accepted.filter(|vote| vote.choice.view == view)
    }

    /// The certificate that the accepted proposal is prepared, once q − 1 backups say so (PBFT-3).
    pub(super) fn certificate(&self, accepted: Vote, quorum: usize) -> Option<Prepared> {
        let is_other_ballot = mutant!("gen-7-other-ballot");
        let matching = self.prepares.values().filter(|vote| {
            (vote.choice == accepted.choice || is_other_ballot && vote.choice.slot == accepted.choice.slot)
                && (vote.member != accepted.member || mutant!("pbft-3-primary-prepares"))
        });
        let signed: BTreeMap<MemberIndex, Signature> =
            matching.map(|vote| (vote.member, vote.signature)).collect();
        (signed.len() + 1 >= quorum)
            .then(|| Prepared { pre_prepare: accepted, prepares: first(signed, quorum - 1) })
    }

    /// The decision, once q members commit to one choice, of whatever view (PBFT-14).
    pub(super) fn quorum_of_commits(&self, quorum: usize) -> Option<Decision> {
        let mut by_choice: BTreeMap<Choice, BTreeMap<MemberIndex, Signature>> = BTreeMap::new();
        for vote in self.commits.values() {
            by_choice.entry(vote.choice).or_default().insert(vote.member, vote.signature);
        }
        let (choice, signed) = by_choice.into_iter().find(|(_, signed)| signed.len() >= quorum)?;
        Some(Decision { choice, commits: first(signed, quorum) })
    }

    /// The members that say they have the body of `digest`.
    pub(super) fn holders(&self, digest: B256) -> Vec<MemberIndex> {
        let proposals = self.pre_prepare.iter().chain(&self.early);
        let votes = proposals.chain(self.prepares.values()).chain(self.commits.values());
        let mut holders: Vec<MemberIndex> =
            votes.filter(|vote| vote.choice.digest == Some(digest)).map(|vote| vote.member).collect();
        if let Some(decision) = self.decision.as_ref().filter(|known| known.choice.digest == Some(digest)) {
            holders.extend(decision.commits.members());
        }
        holders.sort_unstable();
        holders.dedup();
        holders
    }
}

fn first(signed: BTreeMap<MemberIndex, Signature>, count: usize) -> Signatures {
    Signatures::new(&signed.into_iter().take(count).collect())
}

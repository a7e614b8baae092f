//! The auditor: everything signed that honest members got, and the contradictions in it (A9).
//!
//! It names liars by evidence that anybody can check, and must never name an honest member.

use std::collections::{BTreeMap, BTreeSet};

use synod_types::Slot;

use crate::committee::{Attestation, Committee, Evidence, MemberIndex};
use crate::pbft::evidence::{is_forgotten, is_proof, of_forgotten, of_new_views, of_view_changes, of_votes};
use crate::pbft::messages::{Choice, Decision, Message, NewView, Phase, Prepared, View, ViewChange, Vote};

type VoteKey = (MemberIndex, Phase, View, Slot);

/// What was heard, and who is named.
#[derive(Default)]
pub(super) struct Auditor {
    votes: BTreeMap<VoteKey, Vote>,
    commits: BTreeMap<MemberIndex, Vec<Vote>>,
    attestations: BTreeMap<(MemberIndex, Slot), Attestation>,
    changes: BTreeMap<(MemberIndex, View), ViewChange>,
    beginnings: BTreeMap<View, NewView>,
    /// Members that are proven to have lied.
    pub(super) named: BTreeSet<MemberIndex>,
    /// Evidence that did not hold when it was checked as a stranger would.
    pub(super) worthless: u64,
}

impl Auditor {
    /// Takes in one message that passed its checks.
    pub(super) fn hear(&mut self, message: &Message, committee: &Committee) {
        match message {
            Message::PrePrepare { vote, .. } | Message::Prepare(vote) | Message::Commit(vote) => {
                self.vote(*vote, committee);
            }
            Message::Attestation(attestation) => self.attestation(*attestation, committee),
            Message::ViewChange(change) => self.change(change, committee),
            Message::NewView(new_view) => {
                new_view.view_changes.iter().for_each(|change| self.change(change, committee));
                new_view.pre_prepares.iter().for_each(|vote| self.vote(*vote, committee));
                match self.beginnings.get(&new_view.view) {
                    Some(known) if known != new_view => {
                        let evidence = of_new_views(known, new_view, committee);
                        self.name(&evidence, committee);
                    }
                    Some(_) => {}
                    None => drop(self.beginnings.insert(new_view.view, new_view.clone())),
                }
            }
            Message::Decided(Decision { choice, commits }) => {
                for (member, signature) in commits.iter() {
                    let vote = Vote { phase: Phase::Commit, choice: *choice, member, signature: *signature };
                    self.vote(vote, committee);
                }
            }
            _ => {}
        }
    }

    fn vote(&mut self, vote: Vote, committee: &Committee) {
        let Choice { view, slot, .. } = vote.choice;
        let key = (vote.member, vote.phase, view, slot);
        match self.votes.get(&key) {
            Some(known) if known.choice != vote.choice => {
                let evidence = of_votes(known, &vote);
                self.name(&evidence, committee);
            }
            Some(_) => {}
            None => {
                self.votes.insert(key, vote);
                if vote.phase == Phase::Commit {
                    self.commits.entry(vote.member).or_default().push(vote);
                    self.compare(vote.member, committee);
                }
            }
        }
    }

    fn attestation(&mut self, attestation: Attestation, committee: &Committee) {
        let key = (attestation.member, attestation.statement.position.slot);
        let known = *self.attestations.entry(key).or_insert(attestation);
        if known.statement != attestation.statement {
            let evidence = Evidence { member: key.0, first: (&known).into(), second: (&attestation).into() };
            self.name(&evidence, committee);
        }
    }

    fn change(&mut self, change: &ViewChange, committee: &Committee) {
        for Prepared { pre_prepare, prepares } in &change.content.prepared {
            self.vote(*pre_prepare, committee);
            for (member, signature) in prepares.iter() {
                let (phase, choice) = (Phase::Prepare, pre_prepare.choice);
                self.vote(Vote { phase, choice, member, signature: *signature }, committee);
            }
        }
        let key = (change.member, change.view());
        match self.changes.get(&key) {
            Some(known) if known != change => {
                let evidence = of_view_changes(known, change);
                self.name(&evidence, committee);
            }
            Some(_) => {}
            None => {
                self.changes.insert(key, change.clone());
                self.compare(change.member, committee);
            }
        }
    }

    /// A member's commits against its view changes.
    fn compare(&mut self, member: MemberIndex, committee: &Committee) {
        let commits = self.commits.get(&member).into_iter().flatten();
        let found = commits
            .flat_map(|commit| {
                let later = self.changes.range((member, View(0))..=(member, View(u64::MAX)));
                later.map(move |(_, change)| (change, commit))
            })
            .find(|(change, commit)| is_forgotten(&change.content, commit));
        if let Some((change, commit)) = found {
            let evidence = of_forgotten(change, commit);
            self.name(&evidence, committee);
        }
    }

    fn name(&mut self, evidence: &Evidence, committee: &Committee) {
        if is_proof(evidence, committee) {
            self.named.insert(evidence.member);
        } else {
            self.worthless += 1;
        }
    }
}

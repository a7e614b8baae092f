//! Reads that miss nothing: from which height on a member's state holds all that was final when one began (A3).
//!
//! What is acknowledged under a committee is certified: a quorum signed that the block is durable with them. So
//! whoever asks every member where it stands, and hears a quorum, hears at least one honest member of those who
//! signed: two quorums share one (PBFT-1). The height to read at is therefore the lowest that a quorum says it
//! stands at or below. Members that lie may name any height: a high one is simply not among the lowest, and an
//! honest quorum alone suffices, so that nobody can hold a read up.
//!
//! Departures: MPX-11 and ZAB-11 lead reads through the leader (ReadIndex, `sync`), since there a value may be
//! acknowledged of which only the leader knows; here the certificate takes that part, under every ordering, and no
//! leader is asked. So the ordering machines have no input for reads, and there are no leases.
//!
//! A member's word counts only in the epoch of the question, and only of one that votes: one that lost its disk
//! does not know what it signed (GEN-3). A member that signed a block and had its log cut since then names the
//! newest certificate that it knows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use synod_types::{Epoch, Height, mutant};

use super::{Committee, MemberIndex};

/// Where a member stands, as it answers a question that came while it stood there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// Its epoch.
    pub epoch: Epoch,
    /// Whether it votes in it, and so remembers all that it signed.
    pub votes: bool,
    /// No block above this one was signed by it; the block itself may be on its way to it.
    pub height: Height,
}

/// The answers to one question, which was asked after all reads that it serves had begun.
#[derive(Debug)]
pub struct ReadRound {
    committee: Committee,
    heights: BTreeMap<MemberIndex, Height>,
}

impl ReadRound {
    /// Begins: every member is to be asked now.
    pub fn new(committee: Committee) -> Self {
        Self { committee, heights: BTreeMap::new() }
    }

    /// Takes a member's answer.
    pub fn count(&mut self, member: MemberIndex, stand: Stand) {
        let epoch = self.committee.epoch();
        let counts = self.committee.has(member)
            && (stand.epoch == epoch || mutant!("read-of-another-epoch"))
            && (stand.votes || mutant!("read-of-a-learner"));
        if counts {
            self.heights.insert(member, stand.height);
        }
    }

    /// From this height on nothing is missed; `None` before a quorum answered. More answers may lower it.
    pub fn height(&self) -> Option<Height> {
        let quorum = if mutant!("read-of-fewer") { self.committee.faults() } else { self.committee.quorum() };
        let mut heights: Vec<Height> = self.heights.values().copied().collect();
        heights.sort_unstable();
        heights.get(quorum.max(1) - 1).copied()
    }

    /// How many members' answers count.
    pub fn answers(&self) -> usize {
        self.heights.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use alloy_primitives::B256;
    use synod_types::SecretKey;

    use super::super::{EpochRecord, FaultModel, Member};
    use super::*;

    fn committee(members: u8, model: FaultModel) -> Committee {
        let member =
            |index: u8| Member::new(index.to_string(), SecretKey::from_seed(&[index + 1; 32]).public());
        let record = EpochRecord {
            epoch: Epoch(3),
            ordering: "any".to_owned(),
            model,
            base: Height(0),
            members: (0..members).map(member).collect(),
        };
        Committee::new(B256::ZERO, record).unwrap()
    }

    fn stand(height: u64) -> Stand {
        Stand { epoch: Epoch(3), votes: true, height: Height(height) }
    }

    fn subsets(members: u8) -> impl Iterator<Item = BTreeSet<u8>> {
        (0_u32..1 << members).map(move |bits| (0..members).filter(|one| bits & (1 << one) != 0).collect())
    }

    /// Every quorum that signed, every set that answers, every set of liars that say anything of `lies`, and
    /// honest members anywhere at or above what they signed.
    fn every_case(members: u8, model: FaultModel, lies: &[u64]) -> u64 {
        let committee = committee(members, model);
        let (quorum, faults) = (committee.quorum(), committee.faults());
        let liars_most = if model == FaultModel::Byzantine { faults } else { 0 };
        let mut cases = 0;
        for signed in subsets(members).filter(|signed| signed.len() == quorum) {
            for heard in subsets(members).filter(|heard| heard.len() >= quorum) {
                for liars in subsets(members).filter(|liars| liars.len() <= liars_most) {
                    for lie in lies {
                        let mut round = ReadRound::new(committee.clone());
                        for member in &heard {
                            let honest = if signed.contains(member) { 5 } else { 2 };
                            let height = if liars.contains(member) { *lie } else { honest };
                            round.count(MemberIndex(*member), stand(height));
                        }
                        cases += 1;
                        let height = round.height().unwrap();
                        assert!(
                            height >= Height(5),
                            "{signed:?} signed, {heard:?} answer, {liars:?} say {lie}"
                        );
                        let honest = heard.difference(&liars).count();
                        assert!(
                            honest < quorum || height == Height(5),
                            "{liars:?} hold the read up with {lie}"
                        );
                    }
                }
            }
        }
        cases
    }

    #[test]
    fn a3_a_read_misses_nothing_that_was_certified_whoever_answers_and_whoever_lies() {
        let byzantine = every_case(4, FaultModel::Byzantine, &[0, 4, 5, u64::MAX]);
        let larger = every_case(7, FaultModel::Byzantine, &[0, u64::MAX]);
        let crash = every_case(3, FaultModel::Crash, &[0]) + every_case(5, FaultModel::Crash, &[0]);
        println!("cases: n = 4 {byzantine}, n = 7 {larger}, crashes {crash}");
        assert!(byzantine > 100 && larger > 10_000 && crash > 100);
    }

    #[test]
    fn gen_3_who_does_not_vote_or_is_elsewhere_or_no_member_does_not_count() {
        let mut round = ReadRound::new(committee(3, FaultModel::Crash));
        round.count(MemberIndex(0), stand(7));
        round.count(MemberIndex(1), Stand { votes: false, ..stand(0) });
        round.count(MemberIndex(2), Stand { epoch: Epoch(2), ..stand(0) });
        round.count(MemberIndex(9), stand(0));
        assert_eq!((round.height(), round.answers()), (None, 1));
        round.count(MemberIndex(2), Stand { epoch: Epoch(4), ..stand(0) });
        assert_eq!(round.height(), None);
        round.count(MemberIndex(1), stand(9));
        assert_eq!(round.height(), Some(Height(9)));
        // A member that answers twice is one member, whose last word counts.
        round.count(MemberIndex(1), stand(8));
        assert_eq!((round.height(), round.answers()), (Some(Height(8)), 2));
    }
}

//! The wrong lines of Multi-Paxos, of what it shares with other committees, and of the boundary around it.

use super::paxos_drills as drills;
use crate::sim::mutants::{Caught, Mutant, running};

/// A wrong line that dies by the drill of this name.
macro_rules! drilled {
    ($id:literal, $meaning:literal, $rule:literal, $drill:ident) => {
        Mutant {
            id: $id,
            meaning: $meaning,
            caught: Caught::Drill {
                rule: $rule,
                place: concat!("synod_consensus::sim::committee::paxos_drills::", stringify!($drill)),
                holds: drills::$drill,
            },
        }
    };
}

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    running("gen-1-send-before-persist", "effects leave before the records of their step are durable"),
    running("gen-4-retry-fsync", "a replica goes on after a failed sync, and believes the next one"),
    running("gen-8-no-retransmit", "what gets lost is not said again"),
    running("sto-1-ack-before-sync", "a block counts as executed before its sync"),
    drilled!(
        "mpx-1-ballot-reuse",
        "a ballot is used before it is durable, and again after a restart",
        "MPX-1",
        no_ballot_is_used_twice
    ),
    running("mpx-2-greater", "an acceptor accepts only above its promise, not at it"),
    drilled!(
        "mpx-2-accept-raises-nothing",
        "the promise does not rise when something is accepted",
        "MPX-2",
        the_promise_rises_on_accept
    ),
    running("mpx-2-forget-promised", "promises are not written down"),
    running("mpx-2-forget-accepted", "accepted values are not written down"),
    running("mpx-2-vote-without-body", "a digest is accepted without its body"),
    drilled!(
        "mpx-3-truncated-promise",
        "a promise ends after its first part",
        "MPX-3",
        a_promise_reports_everything
    ),
    drilled!(
        "mpx-4-trimmed-is-empty",
        "an acceptor that trimmed slots reports them as empty",
        "MPX-4",
        trimming_is_told
    ),
    running("mpx-4-no-fetch", "certified blocks that do not come are not fetched"),
    drilled!("mpx-5-lowest-ballot", "the value of the lowest ballot wins", "MPX-5", the_highest_ballot_wins),
    drilled!("mpx-5-no-noop", "gaps are not filled", "MPX-5", gaps_are_filled),
    drilled!(
        "mpx-5-wait-for-a-lost-body",
        "a leader waits for ever for a body that went down with its holder",
        "MPX-5",
        a_lost_body_stops_no_leader
    ),
    drilled!(
        "mpx-6-mixed-ballots",
        "votes of two ballots are counted together",
        "MPX-6",
        votes_of_two_ballots_do_not_add_up
    ),
    drilled!(
        "mpx-6-recovered-is-chosen",
        "a recovered value counts as chosen before the new ballot accepts it",
        "MPX-6",
        a_recovered_value_is_not_chosen_yet
    ),
    drilled!(
        "mpx-7-commit-across-ballots",
        "a commit index counts for proposals of other ballots",
        "MPX-7",
        an_index_counts_within_its_ballot
    ),
    drilled!(
        "mpx-8-body-not-delivered",
        "a body that was waited for comes, and nobody hands its slot to the ledger",
        "MPX-8",
        a_body_that_comes_with_its_proposal_is_delivered
    ),
    running("mpx-8-any-order", "slots are delivered as they are chosen"),
    drilled!(
        "mpx-10-past-the-end",
        "slots after the epoch's last are executed",
        "MPX-10",
        slots_after_the_last_are_void
    ),
    drilled!(
        "mpx-12-no-probe",
        "a member that hears no leader takes a ballot at once",
        "MPX-12",
        a_deaf_member_deposes_nobody
    ),
    drilled!(
        "mpx-12-no-step-down",
        "a leader that no quorum follows goes on",
        "MPX-12",
        a_leader_without_followers_steps_down
    ),
];

//! The wrong lines of PBFT, of what all committees share, and of the boundary around them.
//!
//! Most die in ordinary runs. Those that only cost time there, or that need a rare history, die by a drill.

use super::drills;
use crate::sim::mutants::{Caught, Mutant, running};

/// A wrong line that dies by the drill of this name.
macro_rules! drilled {
    ($id:literal, $meaning:literal, $rule:literal, $drill:ident) => {
        Mutant {
            id: $id,
            meaning: $meaning,
            caught: Caught::Drill {
                rule: $rule,
                place: concat!("synod_consensus::sim::committee::drills::", stringify!($drill)),
                holds: drills::$drill,
            },
        }
    };
}

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    running("gen-1-send-before-persist", "effects leave before the records of their step are durable"),
    running("gen-2-forget-prepared", "prepared certificates are not written down"),
    running("gen-2-forget-left", "that a view was left is not written down"),
    drilled!(
        "gen-2-forget-begun",
        "that a view began is not written down",
        "GEN-2",
        a_restart_knows_the_view
    ),
    running("gen-4-retry-fsync", "a replica goes on after a failed sync, and believes the next one"),
    running("gen-7-other-ballot", "prepares of other views and digests are counted"),
    drilled!("gen-7-duplicate-signer", "one signer fills a certificate", "PBFT-15", one_signer_is_no_quorum),
    drilled!(
        "gen-8-no-retransmit",
        "what gets lost is not said again",
        "GEN-8",
        what_is_pending_is_said_again
    ),
    drilled!("gen-9-keep-all", "slots are kept until they are executed", "GEN-9", a_laggard_keeps_little),
    drilled!(
        "gen-13-drop-executed-bodies",
        "a journal that begins anew drops bodies that are executed and not certified",
        "GEN-13",
        the_last_copy_of_a_body_is_kept
    ),
    drilled!(
        "gen-13-body-was-journalled",
        "a body that was left out of a journal that began anew counts as written",
        "GEN-13",
        a_body_left_out_is_written_again
    ),
    drilled!(
        "demand-newer-word-lost",
        "what a pool gave is taken off a newer word of what waits in it",
        "GEN-8",
        a_word_of_the_pool_stands
    ),
    drilled!("cry-4-no-epoch", "signed bytes do not name the epoch", "CRY-4", epochs_are_told_apart),
    drilled!("read-of-fewer", "fewer than a quorum's words lead a read", "A3", reads_hear_a_quorum),
    drilled!(
        "read-of-a-learner",
        "who lost its memory has a word in where reads go",
        "GEN-3",
        reads_hear_only_those_who_vote
    ),
    drilled!(
        "read-of-another-epoch",
        "members of another epoch have a word in where reads go",
        "A3",
        reads_hear_only_their_own_epoch
    ),
    running("sto-1-ack-before-sync", "a block counts as executed before its sync"),
    drilled!(
        "pbft-1-quorum-2f+1",
        "a quorum is 2f + 1 also among six",
        "PBFT-1",
        quorums_share_an_honest_member
    ),
    running("pbft-2-vote-without-body", "a digest gets a vote without its body"),
    running("pbft-2-forget-accepted", "accepted proposals are not written down"),
    drilled!(
        "pbft-2-two-digests",
        "a second proposal for a slot is accepted, too: two certificates of one view",
        "PBFT-2",
        one_proposal_for_each_slot
    ),
    running("pbft-3-primary-prepares", "the primary's own prepare is counted"),
    running("pbft-3-commit-short", "one commit fewer than a quorum decides"),
    running("pbft-4-any-order", "slots are delivered as they are decided"),
    drilled!(
        "pbft-5-drop-above-window",
        "what lies above the window is dropped, not kept",
        "PBFT-5",
        proposals_above_the_window_wait
    ),
    drilled!(
        "pbft-6-vote-between-views",
        "votes go on after a view was left",
        "PBFT-6",
        nobody_votes_between_views
    ),
    running("pbft-7-carry-nothing", "a view change carries no certificates over"),
    drilled!(
        "pbft-7-unchecked",
        "certificates in view changes are not checked",
        "PBFT-7",
        forged_certificates_are_refused
    ),
    drilled!(
        "pbft-7-no-anchor",
        "votes lie outside the window of the checkpoint that a start finds",
        "PBFT-7",
        a_lost_certificate_loses_no_vote
    ),
    running("pbft-8-min-s-own", "a new view starts from one member's checkpoint, not the highest"),
    drilled!("pbft-8-lower-view", "the certificate of the lower view wins", "PBFT-8", highest_view_wins),
    drilled!(
        "pbft-8-verify-o-off",
        "a new view's proposals are not checked",
        "PBFT-8",
        new_views_follow_from_their_view_changes
    ),
    drilled!(
        "pbft-8-restart-proposes",
        "a start puts an old acceptance above what the view proposes",
        "PBFT-8",
        a_restart_keeps_what_a_view_proposes
    ),
    running("pbft-9-no-null", "gaps are not filled with null requests"),
    drilled!(
        "pbft-10-bodies-first",
        "a view does not begin where a body is missing",
        "PBFT-10",
        a_missing_body_holds_no_view_up
    ),
    drilled!(
        "pbft-10-body-not-delivered",
        "a body comes after the commits, and nobody hands its slot to the ledger",
        "PBFT-10",
        a_body_that_comes_after_the_commits_is_delivered
    ),
    drilled!(
        "pbft-11-not-again",
        "executed slots get no votes in the next view",
        "PBFT-11",
        what_is_executed_is_voted_for_again
    ),
    drilled!("pbft-12-join-off", "f + 1 members take nobody along", "PBFT-12", f_plus_one_take_one_along),
    drilled!(
        "pbft-13-eager-timer",
        "a view's timer starts before a quorum wants it",
        "PBFT-13",
        a_lone_wish_goes_no_further
    ),
    drilled!(
        "pbft-14-show-nothing",
        "whoever is in a lower view is not helped",
        "PBFT-14",
        whoever_is_behind_is_shown_the_view
    ),
    running("pbft-15-no-fetch", "certified blocks that do not come are not fetched"),
    drilled!(
        "pbft-16-trust-links",
        "votes are believed without their signatures",
        "PBFT-16",
        votes_are_signed
    ),
    drilled!(
        "pbft-17-window-last",
        "signatures are checked of votes that come to nothing",
        "PBFT-17",
        what_comes_to_nothing_costs_nothing
    ),
    drilled!(
        "pbft-17-duplicates-last",
        "a vote's signature is checked each time that it comes",
        "PBFT-17",
        a_repeated_vote_costs_nothing
    ),
    drilled!(
        "pbft-17-serve-all",
        "a body is sent as often as it is asked for",
        "PBFT-17",
        bodies_are_sent_within_a_share
    ),
    drilled!(
        "pbft-18-patient",
        "a primary may leave a transaction out for ever",
        "PBFT-18",
        censors_are_left
    ),
    drilled!("pbft-18-no-lull", "a primary with nothing to propose is left", "PBFT-18", lulls_are_excused),
    drilled!("pbft-20-unlimited", "the back-off has no cap", "PBFT-20", back_off_is_capped),
    drilled!(
        "pbft-20-no-reset",
        "the back-off stays after a committed block",
        "PBFT-20",
        progress_ends_the_back_off
    ),
];

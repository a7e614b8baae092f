//! The wrong lines of Zab, of what it shares with other committees, and of the boundary around it.

use super::zab_drills as drills;
use crate::sim::mutants::{Caught, Mutant, running};

/// A wrong line that dies by the drill of this name.
macro_rules! drilled {
    ($id:literal, $meaning:literal, $rule:literal, $drill:ident) => {
        Mutant {
            id: $id,
            meaning: $meaning,
            caught: Caught::Drill {
                rule: $rule,
                place: concat!("synod_consensus::sim::committee::zab_drills::", stringify!($drill)),
                holds: drills::$drill,
            },
        }
    };
}

/// All of them. A number in a name is that of ZooKeeper's own report.
pub const MUTANTS: &[Mutant] = &[
    running("gen-1-send-before-persist", "effects leave before the records of their step are durable"),
    running("gen-4-retry-fsync", "a replica goes on after a failed sync, and believes the next one"),
    running("gen-8-no-retransmit", "what gets lost is not said again"),
    running("sto-1-ack-before-sync", "a block counts as executed before its sync"),
    running("zab-1-epoch-without-end", "a leader whose counter is used up goes on leading"),
    running("zab-2-worst-history", "the member with the worst history is elected"),
    drilled!(
        "zab-2-lead-though-behind",
        "a leader goes on though one of its quorum has a better history",
        "ZAB-2",
        a_leader_that_is_behind_gives_way
    ),
    drilled!(
        "zab-2845-election-from-memory",
        "proposals that were not logged count as history in the election",
        "ZAB-2",
        a_vote_speaks_of_the_log
    ),
    running("zab-3-forget-accepted", "acceptedEpoch is not written down"),
    drilled!(
        "zab-3-ack-epoch-twice",
        "two leaders get an ACK-E for one epoch that counts",
        "ZAB-3",
        an_epoch_is_promised_once
    ),
    drilled!(
        "zab-3911-ack-before-sync",
        "a proposal is acknowledged before the log is synced",
        "ZAB-4",
        acknowledgements_wait_for_the_journal
    ),
    drilled!(
        "zab-4646-ack-leader-before-sync",
        "ACK-LD leaves before the history is synced",
        "ZAB-4",
        acknowledgements_wait_for_the_journal
    ),
    drilled!(
        "zab-4643-epoch-before-log",
        "currentEpoch is written before the history",
        "ZAB-4",
        the_log_comes_before_the_epoch
    ),
    drilled!(
        "zab-4685-ack-before-ack-leader",
        "proposals are acknowledged while the history is not taken over yet",
        "ZAB-4",
        no_proposal_is_acknowledged_before_the_history
    ),
    running("zab-4-commit-before-synced", "a COMMIT counts for a log that is not the leader's yet"),
    running("zab-4-no-fetch", "blocks that SNAP names are not fetched"),
    drilled!(
        "zab-5-leader-forgets-epoch",
        "the leader counts itself without having written its epoch",
        "ZAB-5",
        a_leader_remembers_its_epoch
    ),
    drilled!(
        "zab-6-forward-at-ack-leader",
        "a follower is sent proposals from its ACK-LD on, not from NEWLEADER on",
        "ZAB-6",
        who_was_sent_the_history_is_sent_what_follows
    ),
    drilled!(
        "zab-6-commit-of-the-history",
        "COMMIT-LD speaks of the initial history, however late it is",
        "ZAB-6",
        who_joins_late_is_told_how_far_the_leader_is
    ),
    drilled!("zab-7-gap-accepted", "a proposal that leaves a hole is logged", "ZAB-7", a_hole_is_not_skipped),
    running("zab-8-forget-truncation", "TRUNC is not written down"),
    drilled!(
        "zab-8-truncate-below-commit",
        "TRUNC cuts off what is committed",
        "ZAB-8",
        what_is_committed_stays
    ),
    drilled!(
        "zab-8-late-truncation",
        "a TRUNC that comes late cuts off what was acknowledged in the same epoch",
        "ZAB-8",
        a_late_truncation_cuts_nothing
    ),
    drilled!(
        "zab-5094-memory-kept",
        "a history that was taken over in part stays in memory",
        "ZAB-8",
        half_a_history_is_dropped
    ),
    drilled!(
        "zab-4712-intake-goes-on",
        "what waited is logged after its role was left",
        "ZAB-9",
        a_role_that_was_left_logs_nothing
    ),
    drilled!(
        "zab-4712-vote-while-writing",
        "a vote leaves before the log that it speaks of is durable",
        "ZAB-9",
        a_vote_waits_for_the_writer
    ),
    running("zab-10-forget-logged", "the log is not written down"),
    running("zab-10-ack-without-body", "a digest is acknowledged without its body"),
    running("zab-10-one-fewer", "one acknowledgement fewer than a quorum commits"),
    drilled!(
        "zab-10-no-step-down",
        "a leader that no quorum follows goes on",
        "ZAB-10",
        a_leader_without_followers_steps_down
    ),
    drilled!(
        "zab-late-supporter",
        "whoever looks counts the voters itself, of whom those that follow already vote no more",
        "ZAB-2",
        whoever_looks_late_follows_who_gathers
    ),
    drilled!(
        "zab-left-behind",
        "whoever finds no leader waits for one for ever, while all others are in the committee's next epoch",
        "GEN-8",
        whoever_is_left_behind_fetches
    ),
    drilled!(
        "zab-silence-like-attempts",
        "a leader that is gone is waited for as long as an attempt may take after many that failed",
        "GEN-8",
        a_silent_leader_is_given_up_soon
    ),
    drilled!(
        "zab-early-end-doubles",
        "an attempt that another's word ends at once makes the next one twice as long",
        "GEN-8",
        what_ends_early_doubles_nothing
    ),
    drilled!(
        "zab-outdated-discovery",
        "whoever gathers promises for an epoch goes on, though others that look have accepted a later one",
        "ZAB-3",
        an_outdated_epoch_is_given_up
    ),
    drilled!(
        "zab-8-cut-off-and-not-free",
        "a payload of ours that is cut off the log counts as on its way for ever",
        "GEN-8",
        what_is_cut_off_is_free_again
    ),
    drilled!(
        "zab-past-the-end",
        "slots after the epoch's last are executed",
        "MPX-10",
        slots_after_the_last_are_void
    ),
];

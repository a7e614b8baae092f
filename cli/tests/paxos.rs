//! Multi-Paxos, with real processes: a majority orders, and what it certifies says what it assumes.

#![allow(clippy::unwrap_used)]

mod support;

use support::majority;
use support::net::Net;

#[test]
fn two_of_three_go_on_without_their_leader_and_say_what_they_assume() {
    majority::goes_on_without_its_leader("paxos");
}

#[test]
fn members_under_paxos_survive_a_soak() {
    Net::up(&["--ordering", "paxos"]).0.survives_a_soak();
}

#[test]
fn a_member_that_was_away_comes_through_an_epoch_that_is_over() {
    majority::comes_through_an_epoch_that_is_over("paxos");
}

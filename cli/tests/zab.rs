//! Zab, with real processes: a majority orders, what it certifies says what it assumes, and a node's status speaks of
//! phases, epochs and zxids.

#![allow(clippy::unwrap_used)]

mod support;

use support::majority;
use support::net::Net;

/// Zab's epoch and the counter in it, of the newest transaction of a node's log.
fn zxid(net: &Net, node: usize) -> (u64, u64) {
    let zxid = net.fact(node, "zxid");
    let (epoch, counter) = zxid.split_once(':').unwrap();
    (epoch.parse().unwrap(), counter.parse().unwrap())
}

#[test]
fn two_of_three_go_on_without_their_leader_in_a_later_epoch() {
    let net = majority::goes_on_without_its_leader("zab");
    for node in 0..3 {
        net.until_fact(node, "phase", "broadcast");
    }
    // One leader died, and one was left without a quorum: two epochs ended. What the second had proposed by then keeps
    // its name.
    let begun: u64 = net.fact(0, "zab_epoch").parse().unwrap();
    assert!(begun >= 3, "{begun}");
    net.until("one log", || (1..3).all(|node| zxid(&net, node) == zxid(&net, 0)));

    net.pay(0);
    net.agree(&[0, 1, 2]);
    // A leader that the machine was too slow for is followed by another.
    net.until("a leader that says so", || {
        let leader = majority::leader(&net, 0);
        let (epoch, counter) = zxid(&net, leader);
        let said = net.synod(&["chain", "status", "--rpc", &net.rpc(leader)]);
        String::from_utf8_lossy(&said.stdout).contains(&format!(
            "zab: epoch {epoch}, zxid {epoch}:{counter}, leader member {leader}, which is this node; broadcast"
        ))
    });
}

#[test]
fn members_under_zab_survive_a_soak() {
    Net::up(&["--ordering", "zab"]).0.survives_a_soak();
}

#[test]
fn a_member_that_was_away_comes_through_an_epoch_that_is_over() {
    majority::comes_through_an_epoch_that_is_over("zab");
}

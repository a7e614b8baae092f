//! The outside miner against a node that checks every solution from the bytes up.

#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use support::node::FakeNode;
use support::{Home, ran};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn blocks_are_found_and_told_as_a_stream() {
    let node = FakeNode::start();
    let home = Home::beside(&node);
    let mined = home.run(&["mine", "--json", "--to", "dev3", "--blocks", "3", "--threads", "2"]);
    assert_eq!(mined.code, 0, "{mined:?}");
    let events = lines(&mined.stdout);
    let found: Vec<&Value> = events.iter().filter(|event| event["event"] == "found").collect();
    assert_eq!(found.iter().map(|event| event["height"].as_u64().unwrap()).collect::<Vec<_>>(), [11, 12, 13]);
    assert_eq!(found[0]["pays"], "5000000000000000000");
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["blocks"]), (&"stopped".into(), &3.into()));
    let dev3 = home.run(&["wallet", "balance", "--json", "dev3"]).json();
    assert_eq!(last["reward_to"], dev3["accounts"][0]["address"]);
    assert_eq!(node.solved(), 3);
}

#[test]
fn ctrl_c_ends_the_miner_with_its_sum() {
    let node = FakeNode::start();
    let home = Home::beside(&node);
    let child = home.start(&["mine", "--json", "--to", "dev3"]);
    node.wait_for_solution();
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mined = ran(child.wait_with_output().unwrap());
    assert_eq!(mined.code, 0, "{mined:?}");
    assert_eq!(lines(&mined.stdout).last().unwrap()["event"], "stopped");
}

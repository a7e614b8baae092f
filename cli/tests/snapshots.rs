//! Real processes: whoever comes late begins at a snapshot of the state instead of executing everything anew, and
//! says what it does not have.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;

use serde_json::{Value, json};
use support::net::Net;

fn status(net: &Net, node: usize) -> Value {
    net.json(&["chain", "status", "--rpc", &net.rpc(node)])
}

fn folder(net: &Net, node: usize) -> PathBuf {
    net.0.path().join(format!("testnet/node{node}"))
}

/// Above which height a node has blocks; `None` while it does not answer.
fn base(net: &Net, node: usize) -> Option<u64> {
    let asked = net.synod(&["chain", "status", "--json", "--rpc", &net.rpc(node)]);
    serde_json::from_slice::<Value>(&asked.stdout).ok()?["base_height"].as_u64()
}

/// Small networks of tests have few blocks: every fourth gets a snapshot, and four behind is far.
fn set_small(net: &Net, node: usize) {
    let path = folder(net, node).join("node.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let small = text
        .replace("snapshot_every = 10000", "snapshot_every = 4")
        .replace("snapshot_beyond = 10000", "snapshot_beyond = 4");
    assert_ne!(small, text);
    std::fs::write(path, small).unwrap();
}

fn lose(net: &Net, node: usize, folders: &[&str]) {
    for lost in folders {
        std::fs::remove_dir_all(folder(net, node).join(lost)).unwrap();
    }
}

#[track_caller]
fn refused(net: &Net, node: usize, arguments: &[&str]) -> Value {
    let output = net.synod(&[arguments, &["--json", "--rpc", &net.rpc(node)]].concat());
    assert!(!output.status.success(), "{output:?}");
    serde_json::from_slice::<Value>(&output.stderr).unwrap()["error"].clone()
}

fn balance(net: &Net, node: usize) -> Value {
    net.json(&["wallet", "balance", "dev5", "--rpc", &net.rpc(node)])["accounts"].clone()
}

#[test]
fn a_member_without_its_blocks_joins_by_snapshot_and_says_what_it_does_not_have() {
    let (net, _) = Net::up(&[]);
    for node in 0..4 {
        net.json(&["testnet", "stop", &node.to_string()]);
        set_small(&net, node);
        net.json(&["testnet", "start", &node.to_string()]);
    }
    net.pay(0);
    // A fifth member, so that the proof leads over two committees.
    net.json(&["testnet", "join"]);
    net.json(&["validator", "add", "4"]);
    net.until("the fifth votes", || status(&net, 4)["facts"]["votes"] == "true");
    net.json(&["testnet", "stop", "4"]);
    set_small(&net, 4);
    while net.head(0).0 < 10 {
        net.pay(0);
    }
    net.until("a snapshot", || status(&net, 0)["snapshot_height"] == json!(8));
    assert_eq!(status(&net, 0)["base_height"], json!(0));

    lose(&net, 4, &["blocks", "index", "certificates"]);
    net.json(&["testnet", "start", "4"]);
    // It starts again from the snapshot, and does not answer meanwhile.
    net.until("the snapshot at the fifth", || base(&net, 4) == Some(8));
    net.agree(&[0, 1, 2, 3, 4]);
    assert_eq!(balance(&net, 4), balance(&net, 0));
    // Of five, four decide: it votes.
    net.json(&["testnet", "stop", "3"]);
    net.pay(0);
    net.json(&["testnet", "start", "3"]);

    let old = refused(&net, 4, &["chain", "block", "3"]);
    assert_eq!(old["code"], "pruned", "{old}");
    assert!(old["message"].as_str().unwrap().contains("keeps blocks from height 9 on"), "{old}");
    net.json(&["chain", "block", "9", "--rpc", &net.rpc(4)]);
    let shown = net.synod(&["chain", "status", "--rpc", &net.rpc(4)]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("blocks   from 9 on; those below are pruned here"), "{shown}");
    // It proves its state to whoever knows the genesis alone, over the committees before its first block.
    let proof = net.0.path().join("proof.json").display().to_string();
    let genesis = net.0.path().join("testnet/genesis.json").display().to_string();
    net.json(&["chain", "proof", "dev5", "--out", &proof, "--rpc", &net.rpc(4)]);
    net.json(&["chain", "verify", &proof, "--genesis", &genesis, "--account", "dev5"]);

    // It starts again where it stood; without its index, from the snapshot (STO-4).
    net.json(&["testnet", "stop", "4"]);
    lose(&net, 4, &["index"]);
    net.json(&["testnet", "start", "4"]);
    net.pay(0);
    net.agree(&[0, 1, 2, 3, 4]);
    assert_eq!((&status(&net, 4)["base_height"], balance(&net, 4)), (&json!(8), balance(&net, 0)));
    let history = net.json(&["wallet", "history", "dev5", "--rpc", &net.rpc(4)]);
    assert_eq!(history["base_height"], json!(8), "what is missing is said: {history}");

    // Whoever lacks blocks that nobody has any more takes a snapshot, however little it spares (GEN-13).
    for node in 0..4 {
        net.json(&["testnet", "stop", &node.to_string()]);
    }
    lose(&net, 3, &["blocks", "index", "certificates", "snapshots"]);
    let path = folder(&net, 3).join("node.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, text.replace("snapshot_beyond = 4", "snapshot_beyond = 1000000")).unwrap();
    net.json(&["testnet", "start", "3"]);
    net.until("a snapshot from the one who has no blocks", || base(&net, 3).is_some_and(|base| base >= 8));
    for node in 0..3 {
        net.json(&["testnet", "start", &node.to_string()]);
    }
    net.pay(0);
    net.agree(&[0, 1, 2, 3, 4]);
    assert_eq!(balance(&net, 3), balance(&net, 0));
}

#[test]
fn members_that_only_crash_begin_at_a_snapshot_too() {
    for ordering in ["paxos", "zab"] {
        let (net, _) = Net::up(&["--ordering", ordering]);
        for node in 0..3 {
            net.json(&["testnet", "stop", &node.to_string()]);
            set_small(&net, node);
            net.json(&["testnet", "start", &node.to_string()]);
        }
        while net.head(0).0 < 10 {
            net.pay(0);
        }
        net.until("a snapshot", || status(&net, 0)["snapshot_height"] == json!(8));
        // What it voted it knows; what was decided it has lost.
        net.json(&["testnet", "stop", "2"]);
        lose(&net, 2, &["blocks", "index", "certificates"]);
        net.json(&["testnet", "start", "2"]);
        net.until("the snapshot at the third", || base(&net, 2).is_some_and(|base| base >= 8));
        net.agree(&[0, 1, 2]);
        assert_eq!(balance(&net, 2), balance(&net, 0), "{ordering}");
        // It votes: of three, two decide.
        net.json(&["testnet", "stop", "0"]);
        net.pay(2);
        net.json(&["testnet", "start", "0"]);
        net.agree(&[0, 1, 2]);
        assert_eq!(base(&net, 0), Some(0), "{ordering}: nobody else began anew");
    }
}

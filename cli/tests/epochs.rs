//! Real processes: a committee changes itself. Members come, go, and come back without their disk; proofs lead
//! over all of it from the genesis.

#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::net::Net;

fn committee() -> Net {
    Net::up(&[]).0
}

#[track_caller]
fn refused(net: &Net, arguments: &[&str], code: i32) -> String {
    let output = net.synod(&[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn members_come_and_go_and_proofs_lead_over_every_epoch() {
    let net = committee();
    net.pay(0);
    assert_eq!(net.json(&["testnet", "join"])["nodes"][0], "node4");
    net.pay(0);
    net.until_fact(4, "decided", "2");
    assert_eq!(net.fact(4, "votes"), "false");
    let added = net.json(&["validator", "add", "4"]);
    assert_eq!((&added["epoch"], &added["quorum"]), (&json!(1), &json!(4)), "{added}");
    net.until_fact(4, "votes", "true");
    net.pay(0);
    assert!(refused(&net, &["validator", "add", "4"], 2).contains("is a member already"));

    // The first primary leaves. Of the four that stay any three go on, the new member among them.
    let removed = net.json(&["validator", "remove", "0"]);
    assert_eq!((&removed["epoch"], &removed["faults"]), (&json!(2), &json!(1)), "{removed}");
    net.until_fact(0, "epoch", "2");
    assert_eq!(net.fact(0, "votes"), "false");
    net.json(&["testnet", "stop", "1"]);
    let rpc = net.rpc(2);
    net.pay(2);
    net.agree(&[0, 2, 3, 4]);
    assert!(
        refused(&net, &["validator", "remove", "4", "--rpc", &rpc], 3).contains("3·1 + 1 = 4"),
        "three are no committee"
    );

    // Whoever was away over an epoch's end is shown it, and votes in the present one.
    let again = net.json(&["validator", "add", "0", "--rpc", &rpc]);
    assert_eq!(again["epoch"], 3, "{again}");
    net.json(&["testnet", "start", "1"]);
    net.until_fact(1, "epoch", "3");
    net.agree(&[0, 1, 2, 3, 4]);

    // One whose blocks are gone comes through every epoch again, and has not forgotten what it promised.
    net.json(&["testnet", "stop", "2"]);
    for lost in ["blocks", "index"] {
        std::fs::remove_dir_all(net.0.path().join("testnet/node2").join(lost)).unwrap();
    }
    net.json(&["testnet", "start", "2"]);
    net.until_fact(2, "epoch", "3");
    net.until_fact(2, "votes", "true");
    net.agree(&[0, 1, 2, 3, 4]);

    // All stop and come back in the epoch that they left.
    net.json(&["testnet", "down", "--kill"]);
    net.json(&["testnet", "up"]);
    net.pay(0);
    net.until_fact(1, "votes", "true");

    let folder = net.0.path();
    let path = |name: &str| folder.join(name).display().to_string();
    let (proof, genesis) = (path("proof.json"), path("testnet/genesis.json"));
    net.json(&["chain", "proof", "dev1", "--out", &proof]);
    net.json(&["testnet", "down"]);
    let verify = ["chain", "verify", proof.as_str(), "--genesis", genesis.as_str()];
    let verified = net.json(&verify);
    assert_eq!((&verified["because"], &verified["epoch"]), (&json!("certificate"), &json!(3)), "{verified}");
    let whole: Value = serde_json::from_str(&std::fs::read_to_string(&proof).unwrap()).unwrap();
    let tampered = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut proof_of_it = whole.clone();
        change(proof_of_it["epochs"].as_array_mut().unwrap());
        std::fs::write(&proof, proof_of_it.to_string()).unwrap();
        refused(&net, &verify, 6)
    };
    let lacking = tampered(&|epochs| drop(epochs.pop()));
    assert!(lacking.contains("not one of epoch 2"), "{lacking}");
    let swapped = tampered(&|epochs| epochs.swap(0, 1));
    assert!(swapped.contains("epoch 0"), "{swapped}");
    let none = tampered(&Vec::clear);
    assert!(none.contains("not one of epoch 0"), "{none}");
    for at in [30, 400, 900, 1_500, 2_000] {
        let flipped = tampered(&|epochs| {
            let text = epochs[1].as_str().unwrap().to_owned();
            let digit = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
            epochs[1] = json!(format!("{}{digit}{}", &text[..at], &text[at + 1..]));
        });
        assert!(flipped.contains("proof_refuted"), "{at}: {flipped}");
    }
}

#[test]
fn a_member_that_lost_its_disk_votes_again_once_the_committee_took_it_back() {
    let net = committee();
    net.pay(0);
    assert!(refused(&net, &["validator", "rejoin", "3"], 3).contains("has its memory"));
    net.json(&["testnet", "stop", "3", "--kill"]);
    let folder = net.0.path().join("testnet/node3");
    for lost in ["votes", "blocks", "certificates", "index", "follower"] {
        let _ = std::fs::remove_dir_all(folder.join(lost));
    }
    let _ = std::fs::remove_file(folder.join("pool.log"));
    // Two of four may both lag: what they know is not enough to begin a memory by.
    net.json(&["testnet", "stop", "2"]);
    let alone = net.synod(&["validator", "rejoin", "3", "--json", "--rpc", &net.rpc(0)]);
    assert!(!alone.status.success(), "{alone:?}");
    let said = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert!(said.contains("of 4 members say where they stand, and 3 must"), "{said}");
    assert!(!folder.join("votes").exists());
    net.json(&["testnet", "start", "2"]);
    net.pay(0);
    net.json(&["testnet", "start", "3"]);
    net.agree(&[0, 3]);
    assert_eq!(net.fact(3, "votes"), "false");
    let back = net.json(&["validator", "rejoin", "3"]);
    assert_eq!(back["epoch"], 1, "{back}");
    net.until_fact(3, "votes", "true");
    let members = net.json(&["chain", "validators"])["members"].clone();
    assert_eq!(members[3]["incarnation"], 1, "{members}");
    // It counts: any one of the others may be missing.
    net.json(&["testnet", "stop", "2"]);
    net.pay(0);
    net.agree(&[0, 1, 3]);
}

#[test]
fn a_change_goes_round_as_a_file_until_a_quorum_approves_it() {
    let net = committee();
    net.pay(0);
    net.json(&["testnet", "join"]);
    let file = net.0.path().join("change.json").display().to_string();
    let node = |index: usize| net.0.path().join(format!("testnet/node{index}")).display().to_string();
    let proposed = net.json(&["validator", "add", "4", "--out", &file, "--member", &node(0)]);
    assert_eq!((&proposed["approvals"], &proposed["quorum"]), (&json!(1), &json!(3)), "{proposed}");
    assert!(refused(&net, &["validator", "submit", &file], 3).contains("too_few_approvals"));
    assert!(refused(&net, &["validator", "sign", &file, "--member", &node(4)], 1).contains("no member"));
    let proposal = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, proposal.replace("node4", "mallory")).unwrap();
    assert!(refused(&net, &["validator", "sign", &file, "--member", &node(1)], 3).contains("signature"));
    std::fs::write(&file, proposal).unwrap();
    net.json(&["validator", "sign", &file, "--member", &node(2), "--member", &node(3)]);
    let changed = net.json(&["validator", "submit", &file, "--from", "dev2"]);
    assert_eq!((&changed["epoch"], &changed["approvals"]), (&json!(1), &json!(3)), "{changed}");
    assert!(refused(&net, &["validator", "submit", &file], 3).contains("epoch"), "its time is over");
}

#[test]
fn a_committee_survives_a_soak() {
    committee().survives_a_soak();
}

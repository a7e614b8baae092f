//! Real processes under PBFT: final at once, with proofs; the primary stops, all are killed, one lags far behind,
//! one loses its memory.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::net::Net;

fn committee() -> Net {
    Net::up(&[]).0
}

/// A payment through a node that must be final when the command returns.
#[track_caller]
fn pay(net: &Net, node: usize, amount: &str) -> Value {
    net.pay_by(node, &["wallet", "send", "--from", "dev0", "--to", "dev5", amount, "--yes"])
}

#[test]
fn a_payment_is_final_at_once_and_its_proof_needs_no_node() {
    let net = committee();
    let paid = pay(&net, 0, "12.5");
    assert_eq!(paid["height"], 1, "nothing is proposed while nothing waits");
    let certificate = net.json(&["chain", "certificate", "1"]);
    assert_eq!((&certificate["height"], &certificate["quorum"]), (&json!(1), &json!(3)));
    assert!(certificate["signers"].as_array().unwrap().len() >= 3, "{certificate}");
    assert_eq!(certificate["block_hash"], paid["block_hash"]);
    net.until("every member to be heard", || {
        let members = net.json(&["chain", "validators"])["members"].clone();
        members.as_array().unwrap().len() == 4
            && members.as_array().unwrap().iter().all(|member| member["connected"] == true)
    });
    assert_eq!(net.json(&["chain", "evidence"]), json!([]), "nobody lied");
    let doctor = net.json(&["doctor"]);
    assert_eq!(doctor["healthy"], true, "{doctor}");

    let folder = net.0.path();
    let path = |name: &str| folder.join(name).display().to_string();
    let (proof, genesis) = (path("proof.json"), path("testnet/genesis.json"));
    net.json(&["chain", "proof", "dev1", "--out", &proof]);
    net.json(&["testnet", "down"]);
    let verified = net.json(&["chain", "verify", &proof, "--genesis", &genesis, "--account", "dev1"]);
    assert_eq!((&verified["because"], &verified["quorum"]), (&json!("certificate"), &json!(3)), "{verified}");

    let whole: Value = serde_json::from_str(&std::fs::read_to_string(&proof).unwrap()).unwrap();
    let refused = |change: &dyn Fn(&mut Value), flags: &[&str]| {
        let mut tampered = whole.clone();
        change(&mut tampered);
        std::fs::write(&proof, tampered.to_string()).unwrap();
        let output = net.synod(&[&["chain", "verify", &proof, "--json"], flags].concat());
        assert_eq!(output.status.code(), Some(6), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let flip = |field: &str, at: usize| {
        let field = field.to_owned();
        move |value: &mut Value| {
            let text = value[&field].as_str().unwrap().to_owned();
            let digit = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
            value[&field] = json!(format!("{}{digit}{}", &text[..at], &text[at + 1..]));
        }
    };
    let trust = ["--genesis", genesis.as_str()];
    let length = whole["certificate"].as_str().unwrap().len();
    for (field, at, reason) in [
        ("certificate", length - 1, "signature of member"),
        ("certificate", 20, "not one of epoch"),
        ("account", 20, "proof"),
        ("commitment", 300, "commitment"),
        ("header", 20, "proof"),
    ] {
        let said = refused(&flip(field, at), &trust);
        assert!(said.contains(reason), "{field} {at}: {said}");
    }
    let dropped = refused(&|value| value["certificate"] = Value::Null, &trust);
    assert!(dropped.contains("no certificate"), "{dropped}");
    assert!(refused(&|_| (), &[]).contains("--genesis"));
    assert!(refused(&|_| (), &["--genesis", &genesis, "--account", "dev2"]).contains("not about dev2"));

    // The same members under another network's name sign nothing of this one.
    let mut other: Value = serde_json::from_str(&std::fs::read_to_string(&genesis).unwrap()).unwrap();
    other["chain_id"] = json!(7);
    std::fs::write(&genesis, other.to_string()).unwrap();
    assert!(refused(&|_| (), &trust).contains("signature of member"));
}

#[test]
fn a_committee_goes_on_without_its_primary_and_takes_back_whoever_was_away() {
    let net = committee();
    pay(&net, 0, "1");
    net.json(&["testnet", "stop", "0"]);
    pay(&net, 2, "1");
    net.json(&["testnet", "stop", "1", "--kill"]);
    // Two of four decide nothing, and nothing is lost by that.
    let stuck = net.synod(&[
        "wallet",
        "send",
        "--from",
        "dev0",
        "--to",
        "dev5",
        "1",
        "--yes",
        "--json",
        "--timeout",
        "2",
    ]);
    assert_eq!(stuck.status.code(), Some(5), "{stuck:?}");
    net.json(&["testnet", "start", "0"]);
    net.until("the payment that waited", || net.head(0).0 >= 3);
    // More blocks than others keep decisions of: whoever was away fetches them up to a certificate.
    for _ in 0..40 {
        pay(&net, 0, "0.01");
    }
    net.json(&["testnet", "start", "1"]);
    net.agree(&[0, 1, 2, 3]);
    assert!(net.head(1).0 >= 43);

    // All at once.
    net.json(&["testnet", "down", "--kill"]);
    net.json(&["testnet", "up"]);
    pay(&net, 0, "1");
    net.agree(&[0, 1, 2, 3]);
    let balance = net.json(&["wallet", "balance", "dev5"]);
    assert_eq!(balance["accounts"][0]["spendable"], json!("1000004400000000000000000"), "{balance}");
}

/// A payment that one member alone was given is told to the others as soon as they are back: nobody else would propose
/// it, and that member alone cannot have another view begun.
#[test]
fn what_waits_at_one_member_reaches_those_that_were_away() {
    let net = committee();
    for away in ["0", "2", "3"] {
        net.json(&["testnet", "stop", away]);
    }
    let words = ["wallet", "send", "--from", "dev0", "--to", "dev5", "1", "--yes", "--wait", "submitted"];
    net.json(&[&words[..], &["--rpc", &net.rpc(1)]].concat());
    for away in ["0", "2", "3"] {
        net.json(&["testnet", "start", away]);
    }
    net.until("the payment that waited", || net.head(0).0 >= 1);
    net.agree(&[0, 1, 2, 3]);
}

#[test]
fn a_member_that_lost_its_memory_follows_and_does_not_vote() {
    let net = committee();
    pay(&net, 0, "1");
    net.json(&["testnet", "stop", "3"]);
    std::fs::remove_dir_all(net.0.path().join("testnet/node3/votes")).unwrap();
    net.json(&["testnet", "start", "3"]);
    pay(&net, 0, "1");
    net.agree(&[0, 3]);
    let votes = |node| net.json(&["chain", "status", "--rpc", &net.rpc(node)])["facts"]["votes"].clone();
    assert_eq!((votes(0), votes(3)), (json!("true"), json!("false")));
    // It does not count: with another one stopped there is no quorum.
    net.json(&["testnet", "stop", "2"]);
    let stuck = net.synod(&[
        "wallet",
        "send",
        "--from",
        "dev0",
        "--to",
        "dev5",
        "1",
        "--yes",
        "--json",
        "--timeout",
        "2",
    ]);
    assert_eq!(stuck.status.code(), Some(5), "{stuck:?}");
    // Nor does it begin a memory of its own by being started again.
    net.json(&["testnet", "stop", "3"]);
    net.json(&["testnet", "start", "3"]);
    assert_eq!(votes(3), json!("false"));
}

/// Flips a byte of the payload of a block log's frame, counted from 0.
fn damage_frame(blocks: &Path, frame: usize) {
    let names = std::fs::read_dir(blocks).unwrap().map(|entry| entry.unwrap().path());
    let starts_with = |path: &Path| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SYNODSEG"));
    let segment = names.filter(|path| starts_with(path)).min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let frames = (8192..bytes.len()).step_by(512).filter(|at| bytes[*at..].starts_with(b"SYNF"));
    let at = frames.collect::<Vec<_>>()[frame];
    bytes[at + 104] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
}

#[test]
fn a_member_whose_block_log_is_damaged_fetches_what_is_lost_and_votes() {
    let net = committee();
    for _ in 0..8 {
        pay(&net, 0, "1");
    }
    net.agree(&[0, 1, 2, 3]);
    net.json(&["testnet", "stop", "3"]);
    let folder = net.0.path().join("testnet/node3");
    damage_frame(&folder.join("blocks"), 3);
    // Alone it has only what stands before the damage, and says so.
    for node in ["0", "1", "2"] {
        net.json(&["testnet", "stop", node]);
    }
    net.json(&["testnet", "start", "3"]);
    assert_eq!(net.head(3).0, 3);
    let aside = folder.join("blocks.aside");
    assert!(aside.is_dir());
    net.json(&["testnet", "stop", "3"]);
    net.json(&["testnet", "start", "3"]);
    assert!(aside.is_dir(), "it stays as long as the new log is shorter");
    for node in ["0", "1", "2"] {
        net.json(&["testnet", "start", node]);
    }
    net.agree(&[0, 1, 2, 3]);
    assert_eq!(net.head(3).0, 8);
    // Its voice counts: without it there is no quorum.
    net.json(&["testnet", "stop", "2"]);
    pay(&net, 0, "1");
    net.agree(&[0, 1, 3]);
    assert_eq!(net.json(&["chain", "evidence"]), json!([]), "it said nothing twice");
    // The next start finds the log whole, and as high as the one that stood aside.
    net.json(&["testnet", "stop", "3"]);
    net.json(&["testnet", "start", "3"]);
    assert!(!aside.exists());
    net.agree(&[0, 1, 3]);
}

#[test]
fn fewer_than_four_members_are_refused_with_the_arithmetic() {
    let home = support::Home::new();
    let refused = home.run(&["testnet", "up", "--nodes", "3", "--json"]);
    assert!(refused.code != 0 && refused.stderr.contains("3·1 + 1 = 4"), "{refused:?}");
}

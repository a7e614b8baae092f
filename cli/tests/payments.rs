//! Payments through every kind of silence: lost answers, time-outs, killed processes, races, reorganisations.
//!
//! The fake node judges nonces and signatures itself; what counts in the end is what it holds.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::Child;

use serde_json::Value;
use support::node::{FakeNode, Mood, genesis};
use support::{Home, ran};
use synod_types::amount::SYN;

const SEND: [&str; 8] = ["wallet", "send", "--json", "--from", "dev0", "--to", "dev1", "12.5"];
const PAID: u128 = 25 * SYN / 2;

fn with<'a>(line: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [line, more].concat()
}

fn id_of(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

fn interrupt(child: &Child) {
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_payment_is_signed_here_included_and_told() {
    let node = FakeNode::start();
    let home = Home::beside(&node);
    let paid = home.run(&SEND).json();
    assert_eq!(paid["status"], "included");
    assert_eq!(paid["value"], "12500000000000000000");
    assert_eq!((&paid["depth"], &paid["nonce"], &paid["resumed"]), (&1.into(), &0.into(), &false.into()));
    assert_eq!(node.payments(), [(0, PAID)]);

    let told = home.run(&["wallet", "send", "--from", "dev0", "--to", "dev1", "1"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.stdout.starts_with("✓ 1 SYN to dev1, in block 12, 1 of 6\n"), "{}", told.stdout);
    assert!(told.stderr.contains("1 SYN (1000000000000000000 wei)"), "both forms: {}", told.stderr);
    assert!(!told.stderr.contains('\x1b') && !told.stdout.contains('\x1b'), "no colours off a terminal");
}

#[test]
fn final_waits_until_the_network_calls_it_settled() {
    let node = FakeNode::start();
    node.mines_at_once(false);
    let home = Home::beside(&node);
    let child = home.start(&with(&SEND, &["--wait", "final"]));
    node.wait_for_submission(1);
    node.mine(98);
    node.mine(0);
    let paid = ran(child.wait_with_output().unwrap()).json();
    assert_eq!((&paid["status"], &paid["depth"]), (&"settled".into(), &100.into()));
}

#[test]
fn a_time_out_is_indeterminate_and_the_same_payment_is_resumed() {
    let node = FakeNode::start();
    node.mines_at_once(false);
    let home = Home::beside(&node);
    let first = home.run(&with(&SEND, &["--timeout", "1"])).error(5);
    assert_eq!(first["code"], "still_pending");
    assert_eq!(home.records().len(), 1);

    let resumed = home.run(&with(&SEND, &["--wait", "submitted"])).json();
    assert_eq!((&resumed["id"], &resumed["resumed"]), (&first["details"]["id"], &true.into()));
    node.mine(0);
    assert_eq!(node.payments(), [(0, PAID)]);
    // What is in a block is not under way any more: the same words are a new payment now.
    let next = home.run(&with(&SEND, &["--wait", "submitted"])).json();
    assert_eq!((&next["nonce"], &next["resumed"]), (&1.into(), &false.into()));
}

#[test]
fn an_equal_payment_under_way_is_resumed_and_again_makes_another() {
    let node = FakeNode::start();
    node.mines_at_once(false);
    let home = Home::beside(&node);
    let submitted = with(&SEND, &["--wait", "submitted"]);
    let first = home.run(&submitted).json();
    let second = home.run(&submitted).json();
    assert_eq!((id_of(&first), &second["resumed"]), (id_of(&second), &true.into()));
    assert_eq!(node.payments(), [(0, PAID)]);
    let again = home.run(&with(&submitted, &["--again"])).json();
    assert_eq!((&again["nonce"], &again["resumed"]), (&1.into(), &false.into()));
    let other = home
        .run(&["wallet", "send", "--json", "--from", "dev0", "--to", "dev1", "3", "--wait", "submitted"])
        .json();
    assert_eq!(other["nonce"], 2);
    assert_eq!(node.payments(), [(0, PAID), (1, PAID), (2, 3 * SYN)]);
}

#[test]
fn lost_answers_and_busy_nodes_never_pay_twice() {
    for moods in [
        vec![Mood::Deaf, Mood::Deaf],
        vec![Mood::Mute],
        vec![Mood::Busy, Mood::Mute, Mood::Deaf],
        vec![Mood::Mute, Mood::Busy, Mood::Busy],
    ] {
        let node = FakeNode::start();
        node.moods(&moods);
        let home = Home::beside(&node);
        let paid = home.run(&SEND).json();
        assert_eq!(paid["status"], "included", "{moods:?}");
        assert_eq!(node.payments(), [(0, PAID)], "{moods:?}");
    }
}

#[test]
fn a_refusal_ends_the_payment_and_leaves_nothing_behind() {
    for code in ["fee_too_low", "insufficient_funds", "pool_full", "nonce_too_low"] {
        let node = FakeNode::start();
        node.moods(&[Mood::Refuse(code)]);
        let home = Home::beside(&node);
        let error = home.run(&SEND).error(3);
        assert_eq!((&error["code"], &error["hint"]), (&code.into(), &"a hint".into()));
        assert_eq!(home.records().len(), 0, "a refused payment is not under way");
        assert_eq!(home.run(&SEND).json()["nonce"], 0);
    }
}

#[test]
fn a_process_killed_between_writing_and_submitting_is_resumed() {
    let node = FakeNode::start();
    node.moods(&[Mood::Hold]);
    let home = Home::beside(&node);
    let mut child = home.start(&SEND);
    node.wait_for_hold();
    child.kill().unwrap();
    child.wait().unwrap();
    node.release();
    assert_eq!(home.records().len(), 1, "it was on disk before it left");
    assert_eq!(node.payments(), [], "and the node never looked at it");

    let resumed = home.run(&SEND).json();
    assert_eq!(resumed["resumed"], true);
    assert_eq!(node.payments(), [(0, PAID)]);
}

#[test]
fn a_payment_that_a_killed_process_left_is_submitted_before_another_is_signed() {
    let node = FakeNode::start();
    node.moods(&[Mood::Hold]);
    let home = Home::beside(&node);
    let mut child = home.start(&SEND);
    node.wait_for_hold();
    child.kill().unwrap();
    child.wait().unwrap();
    node.release();
    let other = home.run(&["wallet", "send", "--json", "--from", "dev0", "--to", "dev1", "3"]).json();
    assert_eq!(other["nonce"], 1);
    assert_eq!(node.payments(), [(0, PAID), (1, 3 * SYN)]);
}

#[test]
fn processes_that_pay_at_once_from_one_account_take_turns() {
    let node = FakeNode::start();
    node.mines_at_once(false);
    let home = Home::beside(&node);
    let amounts = ["1", "2", "3", "4", "5"];
    let line = |amount| {
        ["wallet", "send", "--json", "--from", "dev0", "--to", "dev1", amount, "--wait", "submitted"]
    };
    let children: Vec<Child> = amounts.iter().map(|amount| home.start(&line(amount))).collect();
    for child in children {
        ran(child.wait_with_output().unwrap()).json();
    }
    let payments = node.payments();
    assert_eq!(payments.iter().map(|(nonce, _)| *nonce).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let mut values: Vec<u128> = payments.iter().map(|(_, value)| value / SYN).collect();
    values.sort_unstable();
    assert_eq!(values, [1, 2, 3, 4, 5]);
}

#[test]
fn equal_payments_at_once_are_one_payment() {
    let node = FakeNode::start();
    node.mines_at_once(false);
    let home = Home::beside(&node);
    let line = with(&SEND, &["--wait", "submitted"]);
    let children: Vec<Child> = (0..3).map(|_| home.start(&line)).collect();
    let ids: Vec<String> =
        children.into_iter().map(|child| id_of(&ran(child.wait_with_output().unwrap()).json())).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(node.payments(), [(0, PAID)]);
}

#[test]
fn what_a_pool_forgot_or_a_reorganisation_dropped_is_submitted_again() {
    let node = FakeNode::start();
    node.mines_at_once(false);
    let home = Home::beside(&node);
    let child = home.start(&SEND);
    node.wait_for_submission(1);
    node.forget_pool();
    node.wait_for_submission(2);
    node.mine(0);
    ran(child.wait_with_output().unwrap()).json();

    node.reorganise_everything();
    assert_eq!(node.payments(), []);
    home.run(&["wallet", "send", "--json", "--from", "dev0", "--to", "dev1", "3", "--wait", "submitted"])
        .json();
    assert_eq!(node.payments(), [(0, PAID), (1, 3 * SYN)]);
}

#[test]
fn a_nonce_that_went_elsewhere_is_told_and_the_way_is_free_again() {
    let node = FakeNode::start();
    node.mines_at_once(false);
    let home = Home::beside(&node);
    let child = home.start(&SEND);
    node.wait_for_submission(1);
    node.lose_pool_to_another_wallet();
    let lost = ran(child.wait_with_output().unwrap()).error(3);
    assert_eq!(lost["code"], "nonce_too_low");
    assert_eq!(home.records().len(), 0, "what can never be included is not under way");
    assert_eq!(home.run(&with(&SEND, &["--wait", "submitted"])).json()["nonce"], 1);
}

#[test]
fn ctrl_c_tells_the_id_and_the_payment_goes_on() {
    let node = FakeNode::start();
    node.mines_at_once(false);
    let home = Home::beside(&node);
    let child = home.start(&SEND);
    node.wait_for_submission(1);
    interrupt(&child);
    let error = ran(child.wait_with_output().unwrap()).error(130);
    assert_eq!(error["code"], "interrupted");
    let id = error["details"]["id"].as_str().unwrap().to_owned();
    node.mine(0);
    assert_eq!(home.run(&["chain", "tx", "--json", &id]).json()["status"], "included");
}

#[test]
fn bump_and_cancel_take_the_payments_place() {
    let node = FakeNode::start();
    node.mines_at_once(false);
    let home = Home::beside(&node);
    let first = home.run(&with(&SEND, &["--wait", "submitted"])).json();
    let bumped = home.run(&["wallet", "bump", "--json", &id_of(&first), "--wait", "submitted"]).json();
    assert_ne!(id_of(&first), id_of(&bumped));
    assert_eq!(node.payments(), [(0, PAID)]);
    let same = home.run(&with(&SEND, &["--wait", "submitted"])).json();
    assert_eq!(id_of(&same), id_of(&bumped), "the bumped payment is the one under way");

    let cancel = home.start(&["wallet", "cancel", "--json", &id_of(&bumped)]);
    node.wait_for_submission(3);
    node.mine(0);
    let cancelled = ran(cancel.wait_with_output().unwrap()).json();
    assert_eq!((&cancelled["value"], &cancelled["from"]), (&"0".into(), &cancelled["to"]));
    assert_eq!(node.payments(), [(0, 0)]);
    let late = home.run(&["wallet", "bump", "--json", &id_of(&first)]).error(3);
    assert_eq!(late["code"], "already_included");

    // What became of the first is told, by the node while it remembers, then by what this wallet signed.
    for _ in 0..2 {
        let replaced = home.run(&["chain", "tx", "--json", &id_of(&first)]).error(1);
        assert_eq!(
            (&replaced["code"], &replaced["details"]["replaced_by"]),
            (&"replaced".into(), &cancelled["id"])
        );
        node.forget_replacements();
    }
    std::fs::remove_dir_all(home.folder().join("wallet/outbox")).unwrap();
    assert_eq!(home.run(&["chain", "tx", "--json", &id_of(&first)]).error_code(1), "not_found");
}

#[test]
fn offline_signing_and_submitting() {
    let node = FakeNode::start();
    let home = Home::beside(&node);
    std::fs::write(home.folder().join("genesis.json"), node.genesis().to_json()).unwrap();
    let sign = [
        "wallet",
        "sign",
        "--from",
        "dev2",
        "--to",
        "dev1",
        "1",
        "--nonce",
        "0",
        "--max-fee",
        "3gwei",
        "--tip",
        "1gwei",
        "--genesis",
        "genesis.json",
    ];
    let raw = home.run(&sign);
    assert!(raw.stdout.starts_with("0x") && raw.stdout.lines().count() == 1, "{raw:?}");
    let to_file = home.run(&with(&sign, &["--out", "payment.tx", "--json"])).json();
    assert_eq!(to_file["raw"], raw.stdout.trim());
    assert_eq!(
        home.run(&with(&sign, &["--out", "payment.tx", "--json"])).error_code(1),
        "file",
        "never overwritten"
    );
    assert_eq!(node.submissions(), 0, "nothing left this home");

    let submitted = home.run(&["wallet", "submit", "--json", "payment.tx"]).json();
    assert_eq!((id_of(&submitted), &submitted["status"]), (id_of(&to_file), &"included".into()));
    let again = home.run_with_input(&["wallet", "submit", "--json", "-"], &raw.stdout).json();
    assert_eq!(id_of(&again), id_of(&to_file));
    assert_eq!(node.payments(), [(0, SYN)]);

    let foreign = FakeNode::of(genesis(true, 2));
    let elsewhere = Home::beside(&foreign);
    let refused = elsewhere.run(&["wallet", "submit", "--json", raw.stdout.trim()]);
    assert_eq!(refused.error_code(3), "bad_signature");
    assert_eq!(foreign.submissions(), 0);
}

#[test]
fn another_network_is_refused_until_it_is_accepted_by_name() {
    let (first, second) = (FakeNode::start(), FakeNode::of(genesis(true, 2)));
    let home = Home::beside(&first);
    home.run(&["wallet", "balance", "--json", "dev0"]).json();
    let there = ["--rpc", &second.url()];
    let refused = home.run(&with(&SEND, &there)).error(6);
    assert_eq!(refused["code"], "wrong_network");
    assert_eq!(second.submissions(), 0);
    let hash = second.genesis().hash().to_string();
    let wrong = "0x1111111111111111111111111111111111111111111111111111111111111111";
    assert_eq!(
        home.run(&with(&["wallet", "network", "--json", "--accept", wrong], &there)).error_code(6),
        "wrong_network"
    );
    home.run(&with(&["wallet", "network", "--json", "--accept", &hash], &there)).json();
    home.run(&with(&SEND, &there)).json();
}

#[test]
fn dev_accounts_mean_nothing_on_a_real_network() {
    let node = FakeNode::of(genesis(false, 1));
    let home = Home::beside(&node);
    assert_eq!(home.run(&SEND).error_code(2), "dev_account");
    home.run(&["wallet", "new", "--json", "alice"]).json();
    let to_dev = ["wallet", "send", "--json", "--from", "alice", "--to", "dev0", "1"];
    assert_eq!(home.run(&to_dev).error_code(2), "dev_account");
}

#[test]
fn too_little_money_is_told_before_anything_is_signed() {
    let node = FakeNode::start();
    let home = Home::beside(&node);
    let alice = home.run(&["wallet", "new", "--json", "alice"]).json();
    let address = synod_types::address::parse_address(alice["address"].as_str().unwrap()).unwrap();
    node.set_balance(address, SYN);
    let error = home.run(&["wallet", "send", "--json", "--from", "alice", "--to", "dev1", "1"]).error(3);
    assert_eq!(error["code"], "insufficient_funds");
    assert!(error["hint"].as_str().unwrap().contains("--from dev0 --to alice"));
    assert_eq!(home.records().len(), 0);
    home.run(&["wallet", "send", "--json", "--from", "alice", "--to", "dev1", "0.9"]).json();
}

//! The loads: small, but on real processes, and counted again in the chain.

#![allow(clippy::unwrap_used)]

mod support;

use support::Home;

#[test]
fn transfers_are_counted_again_in_the_chain_and_nothing_is_left_behind() {
    let home = Home::new();
    let folder = home.folder().join("network");
    let line =
        ["bench", "transfers", "--rate", "300", "--for", "2", "--senders", "30", "--no-sync", "--json"];
    let result = home.run(&[&line[..], &["--folder", folder.to_str().unwrap()]].concat()).json();
    let step = &result["steps"][0];
    assert_eq!((&step["sent"], &step["counted"]), (&750.into(), &750.into()), "{result}");
    assert_eq!((&step["twice"], &step["lost"]), (&0.into(), &0.into()), "{result}");
    assert_eq!(step["untaken"], 0, "{result}");
    assert!(step["committed_per_second"].as_f64().unwrap() > 0.0, "{result}");
    assert_eq!(step["cpu"].as_array().unwrap().len(), 4, "{result}");
    assert!(step["final_after"]["p50"].as_u64() <= step["final_after"]["p99"].as_u64(), "{result}");
    assert!(!folder.join("testnet/endpoints.json").exists(), "the network is gone");
}

#[test]
fn a_lone_transfer_is_timed_with_syncs_and_without() {
    let home = Home::new();
    let folder = home.folder().join("network");
    let line = ["bench", "finality", "--transfers", "8", "--json", "--folder", folder.to_str().unwrap()];
    let result = home.run(&line).json();
    for of in ["synced", "unsynced"] {
        let of = &result[of];
        assert!(of["ready_ms"].as_u64() > Some(0) && of["first_us"].as_u64() > Some(0), "{result}");
        let (middle, longest) = (of["final_us"]["p50"].as_u64(), of["final_us"]["max"].as_u64());
        assert!(middle > Some(0) && middle <= longest, "{result}");
    }
    assert!(result["disk"]["in_place"]["p50"].as_u64() > Some(0), "{result}");
}

#[test]
fn opaque_payloads_are_counted_again_in_the_logs_of_a_quorum() {
    let home = Home::new();
    let folder = home.folder().join("members");
    for protocol in ["pbft", "paxos", "zab"] {
        ordered_by(protocol, &home, &folder);
    }
}

fn ordered_by(protocol: &str, home: &Home, folder: &std::path::Path) {
    let load = ["--rate", "500", "--in-flight", "7", "--for", "1", "--no-sync"];
    let line = [&["bench", "ordering", "--json", "--protocol", protocol], &load[..]].concat();
    let result = home.run(&[&line[..], &["--folder", folder.to_str().unwrap()]].concat()).json();
    let steps = result["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2, "{result}");
    for step in steps {
        assert_eq!(step["sent"], step["counted"], "{result}");
        assert_eq!(step["lost"], 0, "{result}");
        assert!(step["committed_per_second"].as_f64().unwrap() > 0.0, "{result}");
        assert_eq!(step["cpu"].as_array().unwrap().len() as u64, result["members"].as_u64().unwrap());
    }
    assert!(!folder.join("members/node0/genesis.json").exists(), "the members' files are gone");
}

#[test]
fn every_ordering_of_a_committee_stands_in_one_table_and_one_picture() {
    let home = Home::new();
    let load = ["bench", "ordering", "--all", "--in-flight", "1,8", "--for", "1", "--no-sync", "--json"];
    let result = home.run(&[&load[..], &["--svg", "all.svg"]].concat()).json();
    let orderings = result["orderings"].as_array().unwrap();
    let names: Vec<&str> = orderings.iter().map(|one| one["protocol"].as_str().unwrap()).collect();
    assert!(names.starts_with(&["pbft", "paxos", "zab"]), "{result}");
    let members: Vec<u64> = orderings.iter().map(|one| one["members"].as_u64().unwrap()).collect();
    assert!(members.starts_with(&[4, 3, 3]), "{result}");
    assert_eq!(result["left_out"][0]["ordering"], "pow", "{result}");
    for step in orderings.iter().flat_map(|one| one["steps"].as_array().unwrap()) {
        assert_eq!((&step["lost"], &step["twice"]), (&0.into(), &0.into()), "{result}");
        let times = &step["final_after"];
        assert!(times["p50"].as_u64() <= times["p95"].as_u64(), "{result}");
        assert!(times["p95"].as_u64() <= times["p99"].as_u64(), "{result}");
        let cost = |name: &str| step["decision"][name].as_f64().unwrap();
        // A leader tells every other member at least once, and each of them answers.
        assert!(cost("messages") >= 4.0 && cost("bytes") >= 1024.0 && cost("payloads") >= 0.9, "{result}");
        assert!(cost("syncs") < 0.5, "nothing is synced: {result}");
    }
    let picture = std::fs::read_to_string(home.folder().join("all.svg")).unwrap();
    assert!(names.iter().all(|name| picture.contains(&format!("{name}, "))), "{picture}");
}

#[test]
fn whoever_was_the_leaders_client_waits_for_another_leader_and_what_was_final_stays() {
    let home = Home::new();
    let load = [
        "bench",
        "ordering",
        "--kill-leader",
        "--in-flight",
        "1",
        "--rate",
        "100",
        "--for",
        "1",
        "--no-sync",
    ];
    for protocol in ["pbft", "paxos", "zab"] {
        let result = home.run(&[&load[..], &["--json", "--protocol", protocol]].concat()).json();
        let killed = &result["leader_killed"];
        assert!(killed["gap_ms"].as_f64().unwrap() > 50.0, "{result}");
        assert_eq!(killed["lost"], 0, "{result}");
    }
}

/// A member stands still for hundreds of slots: the others do not keep so many for it, and nothing serves old payloads.
#[test]
fn a_member_that_falls_behind_goes_on_after_a_certificate() {
    let home = Home::new();
    let load =
        ["bench", "ordering", "--in-flight", "1000", "--rate", "100", "--for", "6", "--no-sync", "--json"];
    let bench = home.start(&[&load[..], &["--folder", "net"]].concat());
    let folder = |node: u8| home.folder().join(format!("net/members/node{node}"));
    let signal = |flag: &str| {
        let pid = std::fs::read_to_string(folder(3).join("node.pid")).unwrap();
        assert!(std::process::Command::new("kill").args([flag, pid.trim()]).status().unwrap().success());
    };
    until("blocks", || height(&folder(0)) > Some(10));
    signal("-STOP");
    let stopped_at = height(&folder(0)).unwrap();
    until("hundreds of blocks more", || height(&folder(0)) > Some(stopped_at + 150));
    signal("-CONT");
    let result = support::ran(bench.wait_with_output().unwrap()).json();
    let step = &result["steps"][0];
    assert_eq!((&step["counted"], &step["lost"]), (&step["sent"], &0.into()), "{result}");
    assert!(step["skipped"][3].as_u64() > Some(0), "{result}");
    assert!(step["held"][3].as_u64() < step["sent"].as_u64(), "{result}");
    assert_eq!(step["skipped"][0], 0, "{result}");
}

/// Up to where everything is final at a member, if it answers.
fn height(folder: &std::path::Path) -> Option<u64> {
    use std::io::{Read, Write};
    let config = std::fs::read_to_string(folder.join("node.toml")).ok()?;
    let rpc = config.split_once("[rpc]")?.1.split_once("listen = \"")?.1;
    let mut stream = std::net::TcpStream::connect(rpc.split_once('"')?.0).ok()?;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"synod_ordered","params":[]}"#;
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{call}", call.len()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    body["result"]["height"].as_u64()
}

#[test]
fn members_do_not_outlive_the_bench_however_it_ends() {
    for (signal, cleans_up) in [("TERM", true), ("HUP", true), ("KILL", false)] {
        if signal == "HUP" && is_hangup_ignored() {
            println!("skipped: under nohup a bench goes on when its terminal goes");
            continue;
        }
        let home = Home::new();
        let mut bench = home.start(&["bench", "ordering", "--for", "600", "--no-sync", "--folder", "net"]);
        let members = home.folder().join("net/members");
        let pid = |node: u8| std::fs::read_to_string(members.join(format!("node{node}/node.pid")));
        let mut pids = Vec::new();
        until("all members run", || {
            assert!(bench.try_wait().unwrap().is_none(), "it ended by itself");
            pids = (0..4).filter_map(|node| pid(node).ok()).collect();
            pids.len() == 4
        });
        let (flag, id) = (format!("-{signal}"), bench.id().to_string());
        assert!(std::process::Command::new("kill").args([flag, id]).status().unwrap().success());
        let ended = bench.wait().unwrap();
        assert_eq!(ended.code(), cleans_up.then_some(130), "{signal}");
        until("no member runs", || pids.iter().all(|pid| !runs(pid.trim())));
        let files = members.join("node0/genesis.json").exists();
        assert_eq!(files, !cleans_up, "{signal}");
    }
}

/// Whether this process, and so what it starts, ignores SIGHUP.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

/// Whether a process is there and no mere entry of a dead one.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_200 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{what}: that did not come about");
}

#[test]
fn a_mined_network_is_refused_with_the_reason() {
    let node = support::node::FakeNode::start();
    let ran = Home::beside(&node).run(&["bench", "transfers", "--json"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("mined chain"), "{ran:?}");
}

//! Mistakes, one by one: each has its exit code, its stable code and a next step; and the help, as it is
//! printed.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use support::Home;
use support::node::FakeNode;

#[test]
fn mistakes_on_the_command_line_are_usage_errors() {
    let node = FakeNode::start();
    let home = Home::beside(&node);
    home.run(&["wallet", "new", "--json", "alice"]).json();
    let send = |from: &'static str, to: &'static str, amount: &'static str| {
        vec!["wallet", "send", "--json", "--from", from, "--to", to, amount]
    };
    let good = "0x305498f8e08BC65DBacb4514475E01AFbE03f575";
    let mistyped = "0x305498f8E08BC65DBacb4514475E01AFbE03f575";
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (send("dev0", "dev1", "1,5"), 2, "usage"),
        (send("dev0", "dev1", "-1"), 2, "usage"),
        (send("dev0", "dev1", "1e18"), 2, "usage"),
        (send("dev0", "dev1", "0.0000000000000000001"), 2, "usage"),
        (send("dev0", "dev1", ""), 2, "usage"),
        (send("dev0", "alcie", "1"), 1, "unknown_name"),
        (send("alcie", "dev1", "1"), 1, "unknown_name"),
        (send("Alice", "dev1", "1"), 1, "unknown_name"),
        (send(good, "dev1", "1"), 1, "unknown_key"),
        (send("dev0", mistyped, "1"), 2, "bad_checksum"),
        (send("dev0", "0x1234", "1"), 2, "bad_address"),
        ([send("dev0", "dev1", "1"), vec!["--max-fee", "3"]].concat(), 2, "usage"),
        (
            [send("dev0", "dev1", "1"), vec!["--max-fee", "1gwei", "--tip", "2gwei"]].concat(),
            2,
            "tip_above_fee",
        ),
        ([send("dev0", "dev1", "1"), vec!["--max-fee", "1syn"]].concat(), 2, "fee_absurd"),
        ([send("dev0", "dev1", "1"), vec!["--gas-limit", "1"]].concat(), 2, "gas_too_low"),
        ([send("dev0", "dev1", "1"), vec!["--wait", "forever"]].concat(), 2, "usage"),
        ([send("dev0", "dev1", "1"), vec!["--timeout", "0"]].concat(), 2, "usage"),
        ([send("dev0", "dev1", "1"), vec!["--rpc", "https://node"]].concat(), 2, "bad_rpc"),
        ([send("dev0", "dev1", "1"), vec!["--rpc", "http://127.0.0.1:1"]].concat(), 4, "node_unreachable"),
        (vec!["wallet", "new", "--json", "Alice"], 2, "bad_name"),
        (vec!["wallet", "new", "--json", "../alice"], 2, "bad_name"),
        (vec!["wallet", "new", "--json", "dev3"], 2, "bad_name"),
        (vec!["wallet", "import", "--json", "bob"], 2, "no_secret"),
        (vec!["wallet", "import", "--json", "bob", "--from-file", "missing"], 1, "file"),
        (vec!["wallet", "export", "--json", "nobody", "--yes"], 1, "unknown_name"),
        (vec!["wallet", "export", "--json", "dev0", "--yes"], 2, "dev_account"),
        (vec!["wallet", "label", "--json", "alice", "two\nlines"], 2, "bad_label"),
        (vec!["wallet", "bump", "--json", "0x12"], 2, "usage"),
        (
            vec![
                "wallet",
                "cancel",
                "--json",
                "0x1111111111111111111111111111111111111111111111111111111111111111",
            ],
            1,
            "unknown_transaction",
        ),
        (vec!["wallet", "submit", "--json", "0x00"], 2, "malformed"),
        (vec!["wallet", "submit", "--json", "missing"], 1, "file"),
        (vec!["wallet", "sign", "--json", "--from", "dev0", "--to", "dev1", "1"], 2, "usage"),
        (vec!["wallet", "history", "--json", "nobody"], 1, "unknown_name"),
        (vec!["wallet", "history", "--json", "alice", "--limit", "0"], 2, "usage"),
        (vec!["chain", "block", "--json", "tip"], 2, "usage"),
        (vec!["chain", "tx", "--json", "12"], 2, "usage"),
        (vec!["chain", "verify", "--json", "missing"], 1, "file"),
        (vec!["chain", "verify", "--json", "password"], 2, "malformed"),
        (vec!["mine", "--json", "--to", "nobody"], 1, "unknown_name"),
        (vec!["node", "--json", "--check", "--config", "missing.toml"], 2, "config"),
        (vec!["chain", "verify", "--json", "password", "--block", "0x12"], 2, "usage"),
        (vec!["bench", "apply", "--json", "--accounts", "0"], 2, "usage"),
        (vec!["bench", "root", "--json", "--keys", "0"], 2, "usage"),
        (vec!["chain", "diff", "--json", "node0", "node1"], 2, "no_such_node"),
        (vec!["chain", "diff", "--json", "http://127.0.0.1:1", "127.0.0.1:2"], 4, "node_unreachable"),
        (vec!["statsu", "--json"], 2, "usage"),
        (vec!["wallet", "--json", "sned"], 2, "usage"),
    ];
    for (line, exit, code) in cases {
        let ran = home.run(&line);
        assert_eq!(ran.code, exit, "{line:?}: {ran:?}");
        let error = ran.error(exit);
        assert_eq!(error["code"], code, "{line:?}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{line:?}");
    }
    assert_eq!(node.submissions(), 0, "no mistake reached the node as a transaction");
}

#[test]
fn an_error_says_what_was_meant_and_what_to_do() {
    let node = FakeNode::start();
    let home = Home::beside(&node);
    home.run(&["wallet", "new", "--json", "alice"]).json();
    let told = home.run(&["wallet", "send", "--from", "dev0", "--to", "alcie", "1"]);
    assert_eq!(told.stderr, "error: there is no account called \"alcie\" here\n hint: did you mean alice?\n");
    let told = home.run(&["wallet", "balance", "alice", "--rpc", "http://127.0.0.1:1"]);
    assert!(told.stderr.starts_with("error: the node at http://127.0.0.1:1 does not answer: "), "{told:?}");
    let nowhere = Home::new().run(&["chain", "status"]);
    assert!(
        nowhere.code == 4 && nowhere.stderr.contains("synod testnet up") || nowhere.code == 0,
        "{nowhere:?}"
    );
}

#[test]
fn what_is_no_node_is_called_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n<html>");
        }
    });
    let ran = Home::new().run(&["chain", "status", "--json", "--rpc", &url]);
    assert_eq!(ran.error_code(4), "not_a_node");
}

#[test]
fn the_local_network_is_found_through_its_endpoints() {
    let node = FakeNode::start();
    let home = Home::new();
    std::fs::create_dir(home.folder().join("testnet")).unwrap();
    let endpoints = home.folder().join("testnet/endpoints.json");
    let hash = node.genesis().hash();
    let text = |first: &str| {
        format!(
            "{{\"chain_id\":7,\"genesis_hash\":\"{hash}\",\"nodes\":[{{\"rpc\":\"{first}\"}},{{\"rpc\":\"{}\"}}]}}",
            node.url()
        )
    };
    // The first node is stopped; the second is asked.
    std::fs::write(&endpoints, text("http://127.0.0.1:1")).unwrap();
    assert_eq!(home.run(&["chain", "status", "--json"]).json()["name"], "fake");
    std::fs::write(&endpoints, "{").unwrap();
    assert_eq!(home.run(&["chain", "status", "--json"]).error_code(1), "endpoints_damaged");

    // A reset makes a new chain, and the wallet follows the local network and nothing else.
    let reset = FakeNode::of(support::node::genesis(true, 9));
    std::fs::write(&endpoints, text(&node.url())).unwrap();
    home.run(&["wallet", "balance", "--json", "dev0"]).json();
    let hash = reset.genesis().hash();
    let renewed = format!("{{\"genesis_hash\":\"{hash}\",\"nodes\":[{{\"rpc\":\"{}\"}}]}}", reset.url());
    std::fs::write(&endpoints, renewed).unwrap();
    home.run(&["wallet", "balance", "--json", "dev0"]).json();
    let back = home.run(&["wallet", "balance", "--json", "dev0", "--rpc", &node.url()]);
    assert_eq!(back.error_code(6), "wrong_network");
}

/// The help of every command, as one document. `UPDATE_SNAPSHOTS=1` writes it anew.
#[test]
fn the_help_is_as_it_was_read_by_a_person() {
    let home = Home::new();
    let commands: &[&[&str]] = &[
        &["wallet"],
        &["wallet", "new"],
        &["wallet", "import"],
        &["wallet", "send"],
        &["wallet", "sign"],
        &["wallet", "bump"],
        &["chain"],
        &["chain", "block"],
        &["chain", "verify"],
        &["mine"],
        &["init"],
        &["node"],
        &["doctor"],
    ];
    let mut text = String::new();
    for command in commands {
        let ran = home.run(&[command, &["--help"][..]].concat());
        assert_eq!(ran.code, 0, "{command:?}");
        text += &format!("$ synod {} --help\n{}\n", command.join(" "), ran.stdout);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/help.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let read = std::fs::read_to_string(&path).unwrap();
    let (before, now): (Vec<_>, Vec<_>) = (read.lines().collect(), text.lines().collect());
    let gone = before.iter().filter(|line| !now.contains(line)).map(|line| format!("- {line}"));
    let new = now.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}"));
    let differences: Vec<_> = gone.chain(new).collect();
    let differences = differences.join("\n");
    assert!(text == read, "the help changed; read it, then run with UPDATE_SNAPSHOTS=1\n{differences}");
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Home::new().run(&["completions", shell]);
        assert!(
            script.code == 0 && script.stdout.contains("wallet") && script.stdout.contains("doctor"),
            "{shell}"
        );
    }
}

/// A pipe that is closed early is what `head` does; a full disk is a failure, whatever the result was.
#[test]
fn a_closed_pipe_is_quiet_and_a_full_disk_is_not() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let closed = home.command(&["completions", "bash"]).stdout(writer).output().unwrap();
    assert_eq!((closed.status.code(), closed.stderr), (Some(0), Vec::new()));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let full = home.command(&["wallet", "list"]).stdout(full).output().unwrap();
    assert_eq!(full.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&full.stderr).contains("cannot be written"));
}

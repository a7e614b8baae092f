//! A real network, from `synod init` to a payment that a second node knows: keys under a password, nothing
//! overwritten, and every mistake told before anything is written.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;
use support::Home;

/// A node's process, killed with the test.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Node {
    /// Asks it to end, and gives its exit code.
    fn end(mut self) -> i32 {
        let asked = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(asked.success());
        self.0.wait().unwrap().code().unwrap()
    }
}

/// Three free ports of this machine, as `127.0.0.1:PORT`.
fn ports() -> [String; 3] {
    let first = support::ports();
    [0, 1, 2].map(|next| format!("127.0.0.1:{}", first + next))
}

fn init<'a>(folder: &'a str, ports: &'a [String; 3], rest: &[&'a str]) -> Vec<&'a str> {
    let listen = ["--rpc-listen", &ports[0], "--p2p-listen", &ports[1], "--web-listen", &ports[2]];
    [&["init", "--json", folder], &listen[..], rest].concat()
}

fn start(home: &Home, folder: &str) -> Node {
    let (config, log) = (format!("{folder}/node.toml"), format!("{folder}/logs/node.log"));
    Node(home.start(&["node", "--config", &config, "--log-file", &log]))
}

/// Asks until the answer pleases: blocks come by chance, and nothing here depends on how fast.
fn until(home: &Home, line: &[&str], pleases: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1_200 {
        let ran = home.run(line);
        if ran.code == 0 && pleases(&ran.json()) {
            return ran.json();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{line:?} never pleased: {:?}", home.run(line));
}

#[test]
fn a_network_is_made_joined_and_paid_on() {
    let home = Home::new();
    let alice = home.run(&["wallet", "new", "--json", "alice"]).json()["address"].clone();
    let [first, second] = [ports(), ports()];
    let options = ["--alloc", "alice=1000", "--difficulty", "5000", "--spacing", "1"];
    let mining = ["--mine", "1", "--reward-to", "alice"];
    let made = home.run(&init("first", &first, &[&options[..], &mining].concat())).json();
    assert_eq!(made["supply"], "1000000000000000000000");
    assert!(made["chain_id"].as_u64().unwrap() < 1 << 52);
    let genesis: Value =
        serde_json::from_str(&std::fs::read_to_string(home.folder().join("first/genesis.json")).unwrap())
            .unwrap();
    assert_eq!(
        (&genesis["testnet"], &genesis["alloc"][alice.as_str().unwrap()]),
        (&Value::Bool(false), &made["supply"])
    );
    let key = std::fs::read_to_string(home.folder().join("first/node.key")).unwrap();
    assert!(key.contains("argon2id"), "{key}");

    let checked = home.run(&["node", "--json", "--check", "--config", "first/node.toml"]).json();
    assert_eq!(checked["genesis_hash"], made["genesis_hash"]);
    assert!(checked["warnings"][0].as_str().unwrap().contains("0 of the 3 peers"), "{checked}");

    let node = start(&home, "first");
    let rpc = format!("http://{}", first[0]);
    until(&home, &["chain", "status", "--json", "--rpc", &rpc], |status| {
        status["head"]["height"].as_u64() >= Some(2)
    });
    // Nothing of a test network means anything here.
    let dev = home.run(&["wallet", "send", "--json", "--rpc", &rpc, "--from", "alice", "--to", "dev0", "1"]);
    assert_eq!(dev.error_code(2), "dev_account");

    let address = made["nodes"][0]["address"].as_str().unwrap().to_owned();
    let joined =
        home.run(&init("second", &second, &["--genesis", "first/genesis.json", "--bootstrap", &address]));
    assert_eq!(joined.json()["genesis_hash"], made["genesis_hash"]);
    let other = start(&home, "second");
    let other_rpc = format!("http://{}", second[0]);
    let bob = "0x305498f8e08BC65DBacb4514475E01AFbE03f575";
    until(&home, &["chain", "status", "--json", "--rpc", &other_rpc], |status| status["peers"] == 1);
    let paid =
        home.run(&["wallet", "send", "--json", "--rpc", &rpc, "--from", "alice", "--to", bob, "12.5"]).json();
    assert_eq!(paid["status"], "included");
    let balance = ["wallet", "balance", "--json", "--rpc", &other_rpc, bob];
    until(&home, &balance, |balance| balance["accounts"][0]["spendable"] == "12500000000000000000");
    assert_eq!((other.end(), node.end()), (0, 0));
}

#[test]
fn a_nodes_key_opens_with_its_password_alone() {
    let home = Home::new();
    let ports = ports();
    home.run(&init("one", &ports, &["--difficulty", "1000"])).json();
    std::fs::write(home.folder().join("wrong"), "battery staple\n").unwrap();
    let node = ["node", "--json", "--config", "one/node.toml"];
    let wrong = home.run(&[&node[..], &["--password-file", "wrong"]].concat());
    assert_eq!(wrong.error_code(1), "wrong_password");
    let none = home.command(&node).env_remove("SYNOD_PASSWORD_FILE").output().unwrap();
    assert_eq!(support::ran(none).error_code(2), "password_needed");
    std::fs::remove_file(home.folder().join("one/node.key")).unwrap();
    let missing = home.run(&[&node[..], &["--check"]].concat());
    assert_eq!(missing.error_code(2), "node_key");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let home = Home::new();
    home.run(&init("one", &ports(), &["--difficulty", "1000"])).json();
    for taken in 0..3 {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut wanted = ports();
        wanted[taken] = holder.local_addr().unwrap().to_string();
        let [rpc, p2p, web] = &wanted;
        let listen = ["--rpc-listen", rpc, "--p2p-listen", p2p, "--web-listen", web];
        let ran = home.run(&[&["node", "--json", "--config", "one/node.toml"], &listen[..]].concat());
        assert_eq!(ran.code, 1, "{ran:?}");
        // The lines before the last are the log, as JSON, too.
        let lines: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let error = &lines.last().unwrap()["error"];
        assert_eq!(error["code"], "cannot_listen");
        assert!(error["message"].as_str().unwrap().contains(&wanted[taken]), "{error}");
    }
}

#[test]
fn several_nodes_know_each_other() {
    let home = Home::new();
    let nodes = [
        "--node",
        "paris=203.0.113.5:30300",
        "--node",
        "oslo=198.51.100.7:30300",
        "--node",
        "rome=198.51.100.7:30301",
    ];
    let made = home.run(&[&["init", "--json", "net", "--difficulty", "1000"], &nodes[..]].concat()).json();
    let made = made["nodes"].as_array().unwrap();
    assert_eq!(made.len(), 3);
    let rome = std::fs::read_to_string(home.folder().join("net/rome/node.toml")).unwrap();
    for node in &made[..2] {
        assert!(rome.contains(node["address"].as_str().unwrap()), "{rome}");
    }
    assert!(!rome.contains(made[2]["peer_id"].as_str().unwrap()));
    // Two nodes of one machine do not want the same ports.
    assert!(rome.contains("127.0.0.1:8546") && rome.contains("0.0.0.0:30301"), "{rome}");
    for node in ["paris", "oslo", "rome"] {
        let config = format!("net/{node}/node.toml");
        home.run(&["node", "--json", "--check", "--config", &config]).json();
    }
}

/// Starts a node of a consortium on one machine: where it answers is told here, since all have the same defaults.
fn start_member(home: &Home, folder: &str, rpc: &str, web: u16) -> Node {
    let (config, log) = (format!("{folder}/node.toml"), format!("{folder}/logs/node.log"));
    let web = format!("127.0.0.1:{web}");
    let listen = ["--rpc-listen", rpc, "--web-listen", &web];
    Node(home.start(&[&["node", "--config", &config, "--log-file", &log][..], &listen].concat()))
}

#[test]
fn a_consortium_is_made_orders_goes_on_without_one_and_takes_another_in() {
    let home = Home::new();
    let first = support::ports();
    let at = |offset: u16| format!("127.0.0.1:{}", first + offset);
    home.run(&["wallet", "new", "--json", "alice"]).json();
    // One organisation makes its keys itself, before there is a network.
    let own = home.run(&["validator", "key", "--json", "bonn"]).json();
    let key = own["key"].as_str().unwrap().to_owned();
    assert_eq!(home.run(&["validator", "key", "--json", "bonn"]).error_code(1), "exists");

    let nodes =
        ["paris", "oslo", "rome"].iter().zip(0..).map(|(name, number)| format!("{name}={}", at(number)));
    let nodes: Vec<String> = nodes.flat_map(|node| ["--node".to_owned(), node]).collect();
    let bonn = format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", first + 3, own["peer_id"].as_str().unwrap());
    let member = format!("bonn={key}");
    let mut line = vec!["init", "--json", "net", "--ordering", "pbft", "--alloc", "alice=1000"];
    line.extend(["--member", &member, "--peer", &bonn]);
    line.extend(nodes.iter().map(String::as_str));
    let made = home.run(&line).json();
    assert_eq!((&made["quorum"], &made["faults"]), (&Value::from(3), &Value::from(1)), "{made}");
    let names: Vec<&str> =
        made["members"].as_array().unwrap().iter().map(|member| member["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["paris", "oslo", "rome", "bonn"]);
    assert_eq!(made["warnings"], Value::Array(Vec::new()), "{made}");
    for name in ["net/paris/node.key", "net/paris/validator.key", "bonn/validator.key"] {
        let text = std::fs::read_to_string(home.folder().join(name)).unwrap();
        assert!(text.contains("argon2id"), "{name}: {text}");
    }

    let before = std::fs::read(home.folder().join("bonn/validator.key")).unwrap();
    let others: Vec<&str> =
        made["nodes"].as_array().unwrap().iter().map(|node| node["address"].as_str().unwrap()).collect();
    let dial: Vec<&str> = others.iter().flat_map(|address| ["--bootstrap", address]).collect();
    let (listen, fifth_listen) = (at(3), at(4));
    let line = ["init", "--json", "bonn", "--genesis", "net/genesis.json", "--p2p-listen", &listen];
    let joined = home.run(&[&line[..], &dial].concat()).json();
    assert_eq!(joined["nodes"][0]["validator_key"], made["members"][3]["key"], "{joined}");
    assert_eq!(std::fs::read(home.folder().join("bonn/validator.key")).unwrap(), before, "its keys are kept");

    let rpc: Vec<String> = (10..15).map(at).map(|address| format!("http://{address}")).collect();
    let folders = ["net/paris", "net/oslo", "net/rome", "bonn", "fifth"];
    let start = |number: u16| {
        let web = first + 20 + number;
        start_member(&home, folders[usize::from(number)], &at(10 + number), web)
    };
    let mut running: Vec<Node> = (0..4).map(start).collect();
    let fact = |node: usize, name: &str, value: &str| {
        until(&home, &["chain", "status", "--json", "--rpc", &rpc[node]], |status| {
            status["facts"][name] == value
        });
    };
    (0..4).for_each(|node| fact(node, "votes", "true"));
    let bob = "0x305498f8e08BC65DBacb4514475E01AFbE03f575";
    let pay = |node: usize| {
        let line =
            ["wallet", "send", "--json", "--yes", "--rpc", &rpc[node], "--from", "alice", "--to", bob, "1"];
        let paid = home.run(&line).json();
        assert_eq!(paid["status"], "settled", "{paid}");
    };
    pay(0);
    // Any one of the four may fail: the first primary does.
    assert_eq!(running.remove(0).end(), 0);
    pay(3);

    // A fifth follows, until three of the members' keys take it in.
    let line = ["init", "--json", "fifth", "--genesis", "net/genesis.json", "--p2p-listen", &fifth_listen];
    let dial = [&dial[..], &["--bootstrap", &bonn]].concat();
    let fifth = home.run(&[&line[..], &dial].concat()).json();
    running.push(start(4));
    fact(4, "votes", "false");
    let key = fifth["nodes"][0]["validator_key"].as_str().unwrap();
    let approve = ["--member", "net/oslo", "--member", "net/rome", "--member", "bonn"];
    let add =
        ["validator", "add", "fifth", "--key", key, "--from", "alice", "--yes", "--json", "--rpc", &rpc[1]];
    let added = home.run(&[&add[..], &approve, &["--member-password-file", "password"]].concat()).json();
    assert_eq!((&added["epoch"], &added["quorum"]), (&Value::from(1), &Value::from(4)), "{added}");
    fact(4, "votes", "true");
    running.push(start(0));
    pay(4);
    for node in running {
        assert_eq!(node.end(), 0);
    }
}

#[test]
fn a_committee_that_makes_no_sense_is_refused_before_anything_is_written() {
    let home = Home::new();
    let nodes = |count: u8| -> Vec<String> {
        let node = |number| ["--node".to_owned(), format!("n{number}=192.0.2.{number}:30300")];
        (1..=count).flat_map(node).collect()
    };
    let member = format!("acme={}", "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29");
    let small_order = format!("acme=01{}", "00".repeat(31));
    let cases: &[(&str, u8, &[&str], &str, &str)] = &[
        ("pbft", 3, &[], "bad_committee", "3·1 + 1 = 4"),
        ("paxos", 1, &[], "bad_committee", "2·1 + 1 = 3"),
        ("paxos", 4, &[], "bad_committee", "name 3 or 5"),
        ("zab", 2, &[], "bad_committee", "2·1 + 1 = 3"),
        ("pbft", 4, &["--mine", "1"], "no_mining", "--mine"),
        ("pbft", 4, &["--spacing", "5"], "no_mining", "--spacing"),
        ("paxos", 3, &["--difficulty", "1000"], "no_mining", "--difficulty"),
        ("paxos", 3, &["--getwork-listen", "127.0.0.1:9332"], "no_mining", "--getwork-listen"),
        ("pow", 1, &["--member", &member], "no_committee", "--ordering pbft"),
        ("pbft", 2, &["--member", &member, "--member", &member], "genesis", "one name"),
        ("pbft", 3, &["--member", &small_order], "usage", "fit for signing"),
        ("pbft", 3, &["--member", "acme"], "usage", "NAME=KEY"),
        ("raft", 3, &[], "usage", "paxos"),
    ];
    for (ordering, count, rest, code, part) in cases {
        let nodes = nodes(*count);
        let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        let ran = home.run(&[&["init", "--json", "net", "--ordering", ordering], &nodes[..], rest].concat());
        assert_eq!(ran.error_code(2), *code, "{ordering} {rest:?}");
        assert!(ran.stderr.contains(part), "{ordering} {rest:?}: {}", ran.stderr);
        assert!(!home.folder().join("net").exists(), "{ordering} {rest:?}");
    }
}

#[test]
fn what_makes_no_network_is_refused_before_anything_is_written() {
    let home = Home::new();
    let known = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    std::fs::write(home.folder().join("owners"), "# first line\n0x12=5\n").unwrap();
    let testnet = support::node::genesis(true, 1).to_json();
    std::fs::write(home.folder().join("testnet.json"), testnet).unwrap();
    std::fs::write(home.folder().join("torn.json"), "{").unwrap();
    let twice = "0x305498f8e08BC65DBacb4514475E01AFbE03f575=1";
    let known_alloc = format!("{known}=5");
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--alloc", "dev0=5"], 2, "dev_account"),
        (&["--alloc", &known_alloc], 2, "dev_account"),
        (&["--reward-to", known, "--mine", "1"], 2, "dev_account"),
        (&["--alloc", "nobody=5"], 1, "unknown_name"),
        (&["--alloc", "alice"], 2, "bad_alloc"),
        (&["--alloc", "0x305498f8e08BC65DBacb4514475E01AFbE03f575=1,5"], 2, "bad_amount"),
        (&["--alloc", twice, "--alloc", twice], 2, "funded_twice"),
        (&["--alloc", "0x305498f8e08BC65DBacb4514475E01AFbE03f575=999999999999999999999"], 2, "genesis"),
        (&["--alloc-file", "owners"], 2, "bad_address"),
        (&["--alloc-file", "missing"], 1, "file"),
        (&["--mine", "1"], 2, "config"),
        (&["--bits", "0x00000000"], 2, "bad_bits"),
        (&["--bits", "zz"], 2, "usage"),
        (&["--spacing", "0"], 2, "usage"),
        (&["--peer", "203.0.113.5:30300"], 2, "usage"),
        (&["--node", "paris"], 2, "usage"),
        (&["--node", "paris=203.0.113.5:1", "--node", "paris=203.0.113.5:2"], 2, "node_twice"),
        (&["--genesis", "testnet.json"], 2, "genesis"),
        (&["--genesis", "torn.json"], 2, "genesis"),
        (&["--genesis", "missing.json"], 1, "file"),
        (&["--genesis", "testnet.json", "--alloc", "alice=1"], 2, "usage"),
    ];
    for (options, exit, code) in cases {
        let ran = home.run(&[&["init", "--json", "net"][..], options].concat());
        assert_eq!(ran.code, *exit, "{options:?}: {ran:?}");
        assert_eq!(ran.error_code(*exit), *code, "{options:?}");
        assert!(!home.folder().join("net").exists(), "{options:?}");
    }
    home.run(&["init", "--json", "net", "--difficulty", "1000"]).json();
    let before = std::fs::read(home.folder().join("net/node.key")).unwrap();
    assert_eq!(home.run(&["init", "--json", "net"]).error_code(1), "exists");
    assert_eq!(std::fs::read(home.folder().join("net/node.key")).unwrap(), before);
}

/// The base fee falls with time, and blocks are made on demand: who could not pay it need not wait for somebody else.
#[test]
fn whoever_pays_too_little_for_a_busy_hour_is_served_in_a_quiet_one() {
    let home = Home::new();
    let first = support::ports();
    home.run(&["wallet", "new", "--json", "alice"]).json();
    let nodes = [0, 1, 2].map(|number| format!("n{number}=127.0.0.1:{}", first + number));
    let nodes = nodes.iter().flat_map(|node| ["--node", node]);
    let line = ["init", "--json", "net", "--ordering", "paxos", "--alloc", "alice=1000"];
    home.run(&line.into_iter().chain(nodes).collect::<Vec<_>>()).json();
    // One transfer a second is all that is meant to be done here.
    for folder in ["net", "net/n0", "net/n1", "net/n2"] {
        let path = home.folder().join(folder).join("genesis.json");
        let genesis = std::fs::read_to_string(&path).unwrap();
        let narrow =
            genesis.replace("\"target_gas_per_second\": 50000000", "\"target_gas_per_second\": 21000");
        assert_ne!(narrow, genesis);
        std::fs::write(path, narrow).unwrap();
    }
    let _nodes = [0, 1, 2].map(|number| {
        let rpc = format!("127.0.0.1:{}", first + 10 + number);
        start_member(&home, &format!("net/n{number}"), &rpc, first + 20 + number)
    });
    let rpc = format!("http://127.0.0.1:{}", first + 10);
    let status = ["chain", "status", "--json", "--rpc", &rpc];
    until(&home, &status, |status| status["facts"]["votes"] == "true");
    let fees = ["--yes", "--json", "--rpc", &rpc, "--from", "alice", "--tip", "1wei", "--max-fee"];
    // INVALID takes all the gas that it is given.
    let burn = ["contract", "deploy", "0xfe", "--force", "--again", "--gas-limit", "1000000"];
    until(&home, &status, |status| {
        home.run(&[&burn[..], &fees, &["9gwei"]].concat());
        status["base_fee"].as_str().unwrap().parse::<u64>().unwrap() > 1_300_000_000
    });
    let bob = "0x305498f8e08BC65DBacb4514475E01AFbE03f575";
    let pay = ["wallet", "send", "--to", bob, "1"];
    let paid = home.run(&[&pay[..], &fees, &["1.1gwei"]].concat()).json();
    assert_eq!(paid["status"], "settled", "{paid}");
}

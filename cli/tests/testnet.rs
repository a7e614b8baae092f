//! Real processes: a small network that mines, loses nodes to kill -9, and forgets nothing.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write as _;

use serde_json::Value;
use support::net::{Net, logs, up};
use support::port_flags;
use support::socket::Subscriber;

#[test]
fn nodes_that_are_killed_under_load_come_back_and_forget_nothing() {
    let (net, started) = Net::up(&["--ordering", "pow", "--nodes", "3", "--spacing", "1"]);
    assert_eq!(started["started"].as_array().unwrap().len(), 3);
    let kills = std::env::var("SYNOD_SOAK_KILLS").unwrap_or_else(|_| "3".to_owned());
    let report = net.json(&["testnet", "soak", "--kills", &kills, "--payers", "2"]);
    assert_eq!(report["violations"], Value::Array(Vec::new()));
    assert!(report["kills"].as_u64().unwrap() >= kills.parse().unwrap());
    assert!(report["submitted"].as_u64().unwrap() > 0);
}

#[test]
fn a_partition_is_healed_and_the_losing_side_reorganises() {
    let (net, _) = Net::up(&["--ordering", "pow", "--spacing", "1", "--faults"]);
    net.until("the first blocks", || net.head(0).0 >= 1 && net.head(3).0 >= 1);
    net.json(&["testnet", "fault", "partition", "0,1", "2,3"]);
    // One on each side, with a subscriber and a payment that only this side knows.
    let sides = [(0, "dev5", "dev6"), (3, "dev7", "dev8")];
    let mut subscribers = sides.map(|(node, ..)| Subscriber::of_blocks(&net.rpc(node)));
    let paid = sides.map(|(node, from, to)| {
        let send = ["wallet", "send", "--from", from, "--to", to, "1.5", "--timeout", "600"];
        net.json(&[&send[..], &["--rpc", &net.rpc(node)]].concat())
    });
    let (before, _) = net.head(0);
    net.until("blocks on both sides", || net.head(0).0 > before + 1 && net.head(3).0 > before + 1);
    let parted = net.synod(&["chain", "diff", "node0", "3", "--json"]);
    assert_eq!(parted.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&parted.stdout).unwrap();
    assert!(found["left"]["first_own_block"] != found["right"]["first_own_block"], "{found}");
    let fields = found["first_different_fields"].to_string();
    assert!(fields.contains("commitment.state_root"), "each side paid another miner: {found}");
    assert!(!found["accounts"].as_array().unwrap().is_empty(), "{found}");
    net.json(&["testnet", "fault", "heal"]);
    net.until("one chain", || {
        let heads: Vec<_> = (0..4).map(|node| net.head(node)).collect();
        heads.windows(2).all(|pair| pair[0] == pair[1])
    });
    // A new block may reach one of the two first; then one chain continues the other.
    net.until("no difference", || net.synod(&["chain", "diff", "0", "3"]).status.success());
    // The losing side's payment came back to the pool, and is in a block of the other branch.
    for payment in &paid {
        let id = payment["id"].as_str().unwrap();
        net.until("a payment in the chain of all", || {
            (0..4).all(|node| {
                let shown = net.synod(&["chain", "tx", id, "--json", "--rpc", &net.rpc(node)]);
                let shown: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
                shown["status"] == "included"
            })
        });
    }
    let mut left = 0;
    for ((subscriber, (node, ..)), payment) in subscribers.iter_mut().zip(sides).zip(&paid) {
        subscriber.follow_to(|| net.head(node).1);
        let shown = net.json(&["chain", "tx", payment["id"].as_str().unwrap(), "--rpc", &net.rpc(node)]);
        let (old, new) = (payment["block_hash"].as_str().unwrap(), shown["block_hash"].as_str().unwrap());
        if old != new {
            let told = subscriber.reverted.iter().any(|block| block == old);
            assert!(told, "who subscribes to node {node} hears that its payment's block left");
            left += 1;
        }
    }
    assert!(left >= 1, "one side lost");
    let reorganised = (0..4).any(|node| {
        let log = net.0.path().join(format!("testnet/node{node}/logs/node.log"));
        std::fs::read_to_string(log).unwrap().contains("the chain changed branches")
    });
    assert!(reorganised, "one side must have lost{}", logs(net.0.path()));
}

/// Whatever is damaged is named, and there is a way on from it.
#[test]
fn a_damaged_network_is_mended_or_says_what_to_do() {
    let net = Net::new();
    let ports = port_flags();
    let up = up(&["--ordering", "pow", "--nodes", "1", "--mine", "0"], &ports);
    let error = |arguments: &[&str]| {
        let output = net.synod(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        (error["error"]["code"].as_str().unwrap().to_owned(), error["error"]["message"].to_string())
    };
    // Two at once: the second waits, and finds the network running.
    let two = std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| net.json(&up)));
        both.map(|one| one.join().unwrap())
    });
    let created: Vec<_> = two.iter().map(|started| started["created"].as_bool().unwrap()).collect();
    assert!(created.contains(&true) && created.contains(&false), "{two:?}");

    let root = net.0.path().join("testnet");
    std::fs::write(root.join("endpoints.json"), "{").unwrap();
    assert_eq!(error(&["testnet", "status"]).0, "damaged");
    assert_eq!(net.json(&["testnet", "down"])["nodes"][0], "node0");
    assert_eq!(net.json(&["testnet", "status"])["nodes"][0]["state"], "stopped");

    let config = root.join("node0/node.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, good.replace("listen", "listne")).unwrap();
    let (code, message) = error(&["testnet", "start", "0"]);
    assert!(code == "node_died" && message.contains("listne") && message.contains("node.toml"), "{message}");
    std::fs::write(&config, good).unwrap();

    std::fs::write(root.join("network.json"), "{").unwrap();
    assert_eq!(error(&["testnet", "reset"]).0, "damaged");
    assert!(config.exists(), "nothing is deleted for a network whose shape is not known");
    net.json(&["testnet", "reset", "--only"]);
    assert!(!root.join("node0").exists());
}

/// Somebody else's server at a node's address is not taken for the node.
#[test]
fn a_node_whose_address_is_taken_says_so() {
    let (net, started) = Net::up(&["--ordering", "pow", "--nodes", "1", "--mine", "0"]);
    net.json(&["testnet", "stop", "0"]);
    let web = started["endpoints"]["nodes"][0]["web"].as_str().unwrap();
    let other = std::net::TcpListener::bind(web.strip_prefix("http://").unwrap()).unwrap();
    std::thread::spawn(move || {
        for stream in other.incoming() {
            let _ = stream.unwrap().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let output = net.synod(&["testnet", "start", "0", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("the web server cannot listen on"), "{output:?}");
}

#[test]
fn commands_without_a_network_say_how_to_start_one() {
    let net = Net::new();
    for arguments in [&["testnet", "status"][..], &["testnet", "stop", "0"], &["testnet", "fault", "heal"]] {
        let output = net.synod(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("testnet up"), "{arguments:?}: {stderr}");
    }
}

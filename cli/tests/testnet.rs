//! Real processes: a small network that mines, loses nodes to kill -9, and forgets nothing.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::port_flags;
use support::socket::Subscriber;

/// A network in a folder of its own, taken down with the test.
struct Net(tempfile::TempDir);

impl Net {
    fn up(arguments: &[&str]) -> (Self, Value) {
        let net = Self(tempfile::tempdir().unwrap());
        let started = net.json(&up(arguments, &port_flags()));
        (net, started)
    }

    fn synod(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_synod"))
            .args(arguments)
            .env("SYNOD_HOME", self.0.path())
            .env_remove("SYNOD_RPC")
            .output()
            .unwrap()
    }

    /// The result of a command that must succeed.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.synod(&[arguments, &["--json"]].concat());
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {stderr}{stdout}{}", logs(self.0.path()));
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stdout}"))
    }

    fn rpc(&self, node: usize) -> String {
        let text = std::fs::read_to_string(self.0.path().join("testnet/endpoints.json")).unwrap();
        let endpoints: Value = serde_json::from_str(&text).unwrap();
        endpoints["nodes"][node]["rpc"].as_str().unwrap().to_owned()
    }

    fn head(&self, node: usize) -> (u64, String) {
        let status = self.json(&["chain", "status", "--rpc", &self.rpc(node)]);
        let head = if status["head"].is_object() { &status["head"] } else { &status["status"]["head"] };
        (head["height"].as_u64().unwrap(), head["hash"].as_str().unwrap().to_owned())
    }

    /// Asks until `holds`: blocks come by chance, and nothing here depends on how fast.
    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..6_000 {
            if holds() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{what} did not come about{}", logs(self.0.path()));
    }
}

/// `synod testnet up` on ports of its own.
fn up<'a>(arguments: &[&'a str], ports: &'a [String]) -> Vec<&'a str> {
    let ports = ports.iter().map(String::as_str);
    ["testnet", "up"].into_iter().chain(arguments.iter().copied()).chain(ports).collect()
}

impl Drop for Net {
    fn drop(&mut self) {
        self.synod(&["testnet", "down", "--kill"]);
    }
}

/// The ends of the nodes' logs, for a failure's message.
fn logs(home: &Path) -> String {
    let mut text = String::new();
    for node in 0..16 {
        let path = home.join(format!("testnet/node{node}/logs/node.log"));
        if let Ok(log) = std::fs::read_to_string(path) {
            let lines: Vec<&str> = log.lines().collect();
            text += &format!("\n== node{node}\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
        }
    }
    text
}

#[test]
fn nodes_that_are_killed_under_load_come_back_and_forget_nothing() {
    let (net, started) = Net::up(&["--nodes", "3", "--spacing", "1"]);
    assert_eq!(started["started"].as_array().unwrap().len(), 3);
    let kills = std::env::var("SYNOD_SOAK_KILLS").unwrap_or_else(|_| "3".to_owned());
    let report = net.json(&["testnet", "soak", "--kills", &kills, "--payers", "2"]);
    assert_eq!(report["violations"], Value::Array(Vec::new()));
    assert!(report["kills"].as_u64().unwrap() >= kills.parse().unwrap());
    assert!(report["submitted"].as_u64().unwrap() > 0);
}

#[test]
fn a_partition_is_healed_and_the_losing_side_reorganises() {
    let (net, _) = Net::up(&["--nodes", "4", "--spacing", "1", "--faults"]);
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
    let net = Net(tempfile::tempdir().unwrap());
    let ports = port_flags();
    let up = up(&["--nodes", "1", "--mine", "0"], &ports);
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

#[test]
fn commands_without_a_network_say_how_to_start_one() {
    let net = Net(tempfile::tempdir().unwrap());
    for arguments in [&["testnet", "status"][..], &["testnet", "stop", "0"], &["testnet", "fault", "heal"]] {
        let output = net.synod(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("testnet up"), "{arguments:?}: {stderr}");
    }
}

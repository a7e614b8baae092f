//! A local network of real processes, in a folder of its own.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::port_flags;

/// A payment; `--rpc` says through which node.
pub const PAY: [&str; 8] = ["wallet", "send", "--from", "dev1", "--to", "dev5", "1", "--yes"];

/// A network in a folder of its own, taken down with the test, and the height of the last payment.
pub struct Net(pub tempfile::TempDir, AtomicU64);

impl Net {
    /// None yet.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), AtomicU64::new(0))
    }

    pub fn up(arguments: &[&str]) -> (Self, Value) {
        let net = Self::new();
        let started = net.json(&up(arguments, &port_flags()));
        (net, started)
    }

    pub fn synod(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_synod"))
            .args(arguments)
            .env("SYNOD_HOME", self.0.path())
            .env_remove("SYNOD_RPC")
            .output()
            .unwrap()
    }

    /// The result of a command that must succeed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.synod(&[arguments, &["--json"]].concat());
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {stderr}{stdout}{}", logs(self.0.path()));
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stdout}"))
    }

    pub fn rpc(&self, node: usize) -> String {
        let text = std::fs::read_to_string(self.0.path().join("testnet/endpoints.json")).unwrap();
        let endpoints: Value = serde_json::from_str(&text).unwrap();
        endpoints["nodes"][node]["rpc"].as_str().unwrap().to_owned()
    }

    pub fn head(&self, node: usize) -> (u64, String) {
        let status = self.json(&["chain", "status", "--rpc", &self.rpc(node)]);
        let head = if status["head"].is_object() { &status["head"] } else { &status["status"]["head"] };
        (head["height"].as_u64().unwrap(), head["hash"].as_str().unwrap().to_owned())
    }

    /// A payment through a node that must be final when the command returns. The node first learns of the payment
    /// before it, wherever that was made: it says which nonce is the next.
    #[track_caller]
    pub fn pay(&self, node: usize) -> Value {
        self.pay_by(node, &PAY)
    }

    /// The same, in other words than [`PAY`].
    #[track_caller]
    pub fn pay_by(&self, node: usize, words: &[&str]) -> Value {
        self.until("the payment before", || self.head(node).0 >= self.1.load(Ordering::Relaxed));
        let paid = self.json(&[words, &["--rpc", &self.rpc(node)]].concat());
        assert_eq!((&paid["status"], &paid["succeeded"]), (&json!("settled"), &json!(true)), "{paid}");
        self.1.store(paid["height"].as_u64().unwrap(), Ordering::Relaxed);
        paid
    }

    /// What a node's ordering says of itself.
    pub fn fact(&self, node: usize, name: &str) -> String {
        let status = self.json(&["chain", "status", "--rpc", &self.rpc(node)]);
        status["facts"][name].as_str().unwrap_or_default().to_owned()
    }

    pub fn until_fact(&self, node: usize, name: &str, value: &str) {
        self.until(&format!("node{node}: {name} {value}"), || self.fact(node, name) == value);
    }

    /// A short soak of a committee: deaths under load, of all at once, a pause, an outage, a lost disk.
    #[track_caller]
    pub fn survives_a_soak(&self) {
        let report = self.json(&["testnet", "soak", "--kills", "2", "--pause", "1", "--outage", "1"]);
        assert_eq!(report["violations"], json!([]), "{report}");
        let found = &report["committee"];
        assert!(found["reads"].as_u64() > Some(0), "{report}");
        assert_eq!(found["gaps_ms"].as_array().unwrap().len(), 2, "{report}");
        assert_eq!(found["disk_regained"], true, "{report}");
        assert!(report["acknowledged"].as_u64().unwrap() > 0, "{report}");
    }

    /// Waits until these nodes have one tip.
    pub fn agree(&self, nodes: &[usize]) {
        self.until("one tip", || {
            let heads: Vec<_> = nodes.iter().map(|node| self.head(*node)).collect();
            heads.windows(2).all(|pair| pair[0] == pair[1])
        });
    }

    /// Asks until `holds`: blocks come by chance, and nothing here depends on how fast.
    pub fn until(&self, what: &str, holds: impl Fn() -> bool) {
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
pub fn up<'a>(arguments: &[&'a str], ports: &'a [String]) -> Vec<&'a str> {
    let ports = ports.iter().map(String::as_str);
    ["testnet", "up"].into_iter().chain(arguments.iter().copied()).chain(ports).collect()
}

impl Drop for Net {
    fn drop(&mut self) {
        self.synod(&["testnet", "down", "--kill"]);
    }
}

/// The ends of the nodes' logs, for a failure's message.
pub fn logs(home: &Path) -> String {
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

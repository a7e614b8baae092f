//! Contracts on a real node: deployed, asked, called, refused, followed and traced, with the example contracts.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Value, json};
use support::{Home, Ran, port_flags, ran};

/// A network of one node that mines, in a home of its own.
struct Net(Home);

impl Net {
    fn up() -> Self {
        let net = Self(Home::new());
        let ports = port_flags();
        let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
        net.json(
            &[&["testnet", "up", "--ordering", "pow", "--nodes", "1", "--spacing", "1"][..], &ports].concat(),
        );
        net
    }

    fn run(&self, line: &[&str]) -> Ran {
        self.0.run(&[line, &["--json"]].concat())
    }

    #[track_caller]
    fn json(&self, line: &[&str]) -> Value {
        self.run(line).json()
    }

    /// What a function returns.
    #[track_caller]
    fn ask(&self, line: &[&str]) -> Value {
        self.json(&[&["contract", "call"], line].concat())["values"].clone()
    }

    /// A transaction by dev0 that must succeed.
    #[track_caller]
    fn send(&self, line: &[&str]) -> Value {
        let sent = self.json(&[&["contract", "send"], line, &["--from", "dev0"]].concat());
        assert_eq!(sent["succeeded"], true, "{sent}");
        sent
    }

    #[track_caller]
    fn deploy(&self, line: &[&str]) -> Value {
        let artifact = artifact(line[0]);
        let deployed =
            self.json(&[&["contract", "deploy", &artifact, "--from", "dev0"], &line[1..]].concat());
        assert_eq!(deployed["succeeded"], true, "{deployed}");
        deployed
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.0.run(&["testnet", "down", "--kill"]);
    }
}

fn artifact(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("vm/contracts/out");
    folder.join(format!("{name}.json")).display().to_string()
}

/// The error object of a run that also has a result: its transaction is in a block, and failed.
#[track_caller]
fn failed(run: &Ran) -> (Value, Value) {
    assert_eq!(run.code, 3, "{run:?}");
    let error: Value = serde_json::from_str(&run.stderr).unwrap();
    (serde_json::from_str(&run.stdout).unwrap(), error["error"].clone())
}

const COIN: &str = "000000000000000000";

#[test]
fn a_token_is_deployed_called_and_traced_by_name() {
    let net = Net::up();
    let deployed = net.deploy(&["Token", "--args", "Gold", "GLD", "1000000"]);
    assert_eq!((&deployed["name"], &deployed["events"][0]["event"]), (&json!("token"), &json!("Transfer")));
    assert_eq!(net.json(&["contract", "list"])["contracts"][0]["address"], deployed["contract"]);
    assert_eq!(net.ask(&["TOKEN", "symbol"]), json!(["GLD"]));
    assert_eq!(net.ask(&["TOKEN", "balanceOf", "dev0"]), json!([format!("1000000{COIN}")]));

    let sent = net.send(&["TOKEN", "transfer", "dev1", "12e18"]);
    assert_eq!(sent["events"][0]["arguments"]["value"], format!("12{COIN}"));
    assert_eq!(net.ask(&["token", "balanceOf", "dev1"]), json!([format!("12{COIN}")]));

    // What would fail is not sent, and the contract's own error says why.
    let records = net.0.records().len();
    let too_much = ["contract", "send", "TOKEN", "transfer", "dev0", "100e18", "--from", "dev1"];
    let refused = net.run(&too_much).error(3);
    assert_eq!(refused["code"], "would_fail");
    assert_eq!(refused["details"]["reason"]["name"], "ERC20InsufficientBalance");
    assert_eq!(refused["details"]["reason"]["arguments"]["balance"], format!("12{COIN}"));
    assert_eq!(net.0.records().len(), records, "nothing was signed");

    // Sent all the same, it fails in its block, and says so at once.
    let (result, error) = failed(&net.run(&[&too_much[..], &["--force"]].concat()));
    assert_eq!((&result["succeeded"], &error["code"]), (&json!(false), &json!("transaction_failed")));
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("ERC20InsufficientBalance(sender: dev1 (0x") && message.contains("(12e18)"),
        "{message}"
    );

    let id = result["id"].as_str().unwrap();
    let trace = net.json(&["contract", "trace", id]);
    assert_eq!((&trace["succeeded"], &trace["calls"][0]["depth"]), (&json!(false), &json!(0)));
    assert_eq!(trace["decoded"][0]["function"], "transfer(address,uint256)");
    assert_eq!(trace["decoded"][0]["failure"]["name"], "ERC20InsufficientBalance");
    let told = net.0.run(&["contract", "trace", sent["id"].as_str().unwrap()]);
    assert!(told.stdout.contains("] token.transfer(to: dev1 (0x"), "{}", told.stdout);
    assert!(told.stdout.contains("→ true\n    event token Transfer(from: dev0 (0x"), "{}", told.stdout);

    // A revert's text, and the compiler's own checks, in words.
    let nothing = net.run(&["contract", "call", "TOKEN", "burn", "0", "--from", "dev0"]).error(3);
    assert!(nothing["message"].as_str().unwrap().ends_with("\"nothing to burn\""), "{nothing}");
    let huge = ["--args", "Gold", "GLD", "2e76", "--from", "dev0"];
    let overflow = net.run(&[&["contract", "deploy", &artifact("Token")][..], &huge].concat()).error(3);
    assert!(overflow["message"].as_str().unwrap().contains("panic 0x11"), "{overflow}");

    let listed = net.0.run(&["contract", "events", "TOKEN", "Transfer", "--from-block", "0", "--json"]);
    let lines: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{listed:?}");
    assert_eq!((&lines[1]["transaction"], &lines[1]["removed"]), (&sent["id"], &json!(false)));

    // Whoever follows sees a transfer that comes later, and ends with Ctrl-C.
    let mut follower =
        net.0.start(&["contract", "events", "TOKEN", "--from-block", "0", "--follow", "--json"]);
    let mut stream = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(stream.by_ref().take(2).count(), 2);
    let later = net.send(&["TOKEN", "transfer", "dev2", "1"]);
    let seen: Value = serde_json::from_str(&stream.next().unwrap().unwrap()).unwrap();
    assert_eq!(seen["transaction"], later["id"]);
    std::process::Command::new("kill").args(["-INT", &follower.id().to_string()]).status().unwrap();
    assert_eq!(ran(follower.wait_with_output().unwrap()).code, 0);

    // A second name is shown where it was asked for.
    let address = deployed["contract"].as_str().unwrap();
    net.json(&["contract", "add", "coin", address, &artifact("Token")]);
    for (asked, shown) in [("COIN", "coin"), ("TOKEN", "token")] {
        let told = net.0.run(&["contract", "events", asked, "Transfer"]).stdout;
        assert!(
            told.lines().count() == 3
                && told.lines().all(|line| line.contains(&format!(" {shown} Transfer("))),
            "{told}"
        );
    }
    // A question may be sent, but hardly anybody means to.
    let asked = net.0.run(&["contract", "send", "TOKEN", "balanceOf", "dev0", "--from", "dev0"]);
    assert!(
        asked.code == 0 && asked.stderr.contains("balanceOf") && asked.stderr.contains("changes nothing"),
        "{asked:?}"
    );

    mistakes(&net);
}

/// Wrong words are answered before anything is sent.
fn mistakes(net: &Net) {
    for (line, code) in [
        (&["TOKEN", "trasnfer", "dev1", "1"][..], "no_function"),
        (&["TOKEN", "transfer", "dev1"], "argument_count"),
        (&["TOKEN", "transfer", "nobody", "1"], "bad_argument"),
        (&["TOKEN", "transfer", "dev1", "1.5"], "bad_argument"),
        (&["TOKEN", "transfer", "dev1", "1", "--value", "1"], "not_payable"),
    ] {
        let line = [&["contract", "send"], line, &["--from", "dev0"]].concat();
        assert_eq!(net.run(&line).error_code(2), code, "{line:?}");
    }
    assert_eq!(net.run(&["contract", "call", "TOKNE", "symbol"]).error_code(1), "unknown_contract");
    let nobody = "0x00000000000000000000000000000000000000ee";
    let asked = net.run(&["contract", "call", nobody, "symbol() returns (string)"]).error(1);
    assert_eq!(asked["code"], "no_code");
}

#[test]
fn contracts_call_contracts_and_carry_money() {
    let net = Net::up();
    net.deploy(&["Token", "--args", "Gold", "GLD", "1000", "--name", "gold"]);
    net.deploy(&["Token", "--args", "Silver", "SLV", "1000", "--name", "silver"]);
    net.deploy(&["Exchange", "--args", "GOLD", "SILVER"]);
    for token in ["gold", "silver"] {
        let everything =
            ["approve", "exchange", "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"];
        net.send(&[&[token][..], &everything].concat());
    }
    net.send(&["exchange", "provide", "100e18", "400e18", "1"]);
    let quoted = net.ask(&["exchange", "quote", "gold", "10e18"]);
    let swapped = net.send(&["exchange", "swap", "gold", "10e18", "1"]);
    let events = swapped["events"].as_array().unwrap();
    assert_eq!(events.len(), 3, "two transfers and the swap: {swapped}");
    assert_eq!(events[2]["event"], "Swapped");
    assert_eq!(json!([events[2]["arguments"]["received"]]), quoted);
    let trace = net.json(&["contract", "trace", swapped["id"].as_str().unwrap()]);
    let functions: Vec<_> =
        trace["decoded"].as_array().unwrap().iter().map(|call| &call["function"]).collect();
    assert!(functions.contains(&&json!("transferFrom(address,address,uint256)")), "{functions:?}");

    // Lists of names, structs, and money in and out.
    let safe = net.deploy(&[
        "MultiSignatureWallet",
        "--args",
        "[dev0, dev1]",
        "2",
        "--value",
        "3",
        "--name",
        "safe",
    ]);
    net.send(&["safe", "--value", "2"]);
    net.send(&["safe", "propose", "dev2", "1.5syn", "0x"]);
    let proposal = net.ask(&["safe", "proposal", "0"]);
    assert_eq!(
        (&proposal[0]["value"], &proposal[0]["executed"]),
        (&json!("1500000000000000000"), &json!(false))
    );
    let early = net.run(&["contract", "send", "safe", "execute", "0", "--from", "dev0"]).error(3);
    assert_eq!(early["details"]["reason"]["arguments"], json!({"have": "1", "need": "2"}));
    net.json(&["contract", "send", "safe", "confirm", "0", "--from", "dev1"]);
    net.send(&["safe", "execute", "0"]);
    let balance = net.json(&["wallet", "balance", safe["contract"].as_str().unwrap()]);
    assert!(balance.to_string().contains("3500000000000000000"), "{balance}");
}

//! The story that every ordering tells whose members may stop and do not lie: a majority of three goes on.

use serde_json::{Value, json};

use super::net::{Net, PAY};

/// What is assumed of the members.
const ASSUMED: &str = "members crash but do not lie";

/// Three members pay, prove, lose their leader, lose one more, and come back. At the end there are three blocks.
pub fn goes_on_without_its_leader(ordering: &str) -> Net {
    let (net, started) = Net::up(&["--ordering", ordering]);
    assert_eq!(started["endpoints"]["nodes"].as_array().unwrap().len(), 3, "{started}");
    net.pay(0);
    says_what_it_assumes(&net);

    let leader = leader(&net, 0);
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    net.json(&["testnet", "stop", &leader.to_string(), "--kill"]);
    net.pay(one);
    assert_ne!(self::leader(&net, one), leader);

    // One of three decides nothing, and nothing is lost by that.
    net.json(&["testnet", "stop", &other.to_string()]);
    let stuck = net.synod(&[&PAY[..], &["--json", "--timeout", "2", "--rpc", &net.rpc(one)]].concat());
    assert_eq!(stuck.status.code(), Some(5), "{stuck:?}");
    let balance = ["wallet", "balance", "dev5", "--linearizable", "--json"];
    let read = net.synod(&[&balance[..], &["--rpc", &net.rpc(one)]].concat());
    assert!(!read.status.success(), "no quorum says where it stands: {read:?}");
    let said = String::from_utf8_lossy(&read.stderr).into_owned() + &String::from_utf8_lossy(&read.stdout);
    assert!(said.contains("1 of 3 members say where they stand, and 2 must"), "{said}");
    net.json(&["testnet", "start", &leader.to_string()]);
    net.until("the payment that waited", || net.head(one).0 >= 3);
    net.json(&["testnet", "start", &other.to_string()]);
    net.agree(&[0, 1, 2]);
    assert_eq!(net.head(other).0, 3);
    for node in 0..3 {
        let read = net.json(&[&balance[..4], &["--rpc", &net.rpc(node)]].concat());
        assert_eq!(read["height"], 3, "{read}");
    }
    net
}

/// Who leads, as a node sees it, once somebody does.
pub fn leader(net: &Net, node: usize) -> usize {
    let leader = || net.fact(node, "leader").parse().ok();
    net.until("a leader", || leader().is_some());
    // It may be gone again.
    leader().unwrap_or_else(|| self::leader(net, node))
}

/// Certificates and proofs name what they rest on.
fn says_what_it_assumes(net: &Net) {
    let certificate = net.json(&["chain", "certificate", "1"]);
    assert_eq!((&certificate["quorum"], &certificate["assumes"]), (&json!(2), &json!(ASSUMED)));
    let path = |name: &str| net.0.path().join(name).display().to_string();
    let (proof, genesis) = (path("proof.json"), path("testnet/genesis.json"));
    net.json(&["chain", "proof", "dev5", "--out", &proof]);
    let verify = ["chain", "verify", proof.as_str(), "--genesis", genesis.as_str()];
    let verified: Value = net.json(&[&verify[..], &["--account", "dev5"]].concat());
    assert_eq!(verified["assumes"], ASSUMED, "{verified}");
    let members = net.json(&["chain", "validators"]);
    assert_eq!((&members["faults"], &members["quorum"]), (&json!(1), &json!(2)), "{members}");
}

/// A member is away while the committee takes another in: nobody orders in its epoch any more when it is back.
pub fn comes_through_an_epoch_that_is_over(ordering: &str) {
    let (net, _) = Net::up(&["--ordering", ordering]);
    net.pay(0);
    net.agree(&[0, 1, 2]);
    net.json(&["testnet", "stop", "1", "--kill"]);
    net.pay(0);
    net.json(&["testnet", "join"]);
    let added = net.json(&["validator", "add", "3", "--rpc", &net.rpc(0)]);
    assert_eq!((&added["epoch"], &added["quorum"]), (&json!(1), &json!(3)), "{added}");
    net.until_fact(3, "votes", "true");
    net.pay(3);
    net.json(&["testnet", "start", "1"]);
    net.until_fact(1, "epoch", "1");
    net.until_fact(1, "votes", "true");
    net.agree(&[0, 1, 2, 3]);
    // Of four, three decide: its voice counts.
    net.json(&["testnet", "stop", "2"]);
    net.pay(1);
    net.agree(&[0, 1, 3]);
}

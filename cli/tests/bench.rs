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
    assert!(step["committed_per_second"].as_f64().unwrap() > 0.0, "{result}");
    assert_eq!(step["cpu"].as_array().unwrap().len(), 4, "{result}");
    assert!(step["final_after"]["p50"].as_u64() <= step["final_after"]["p99"].as_u64(), "{result}");
    assert!(!folder.join("testnet/endpoints.json").exists(), "the network is gone");
}

#[test]
fn a_mined_network_is_refused_with_the_reason() {
    let node = support::node::FakeNode::start();
    let ran = Home::beside(&node).run(&["bench", "transfers", "--json"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("mined chain"), "{ran:?}");
}

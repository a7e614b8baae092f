//! The file, the environment and flags; mistakes in each.

use std::path::PathBuf;

use synod_types::Address;

use super::*;

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("node.toml");
    std::fs::write(&path, text).expect("written");
    let find =
        |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let config = Config::read_with(&path, find).map_err(|error| error.to_string())?;
    config.check().map_err(|error| error.to_string())?;
    Ok(config)
}

#[test]
fn an_empty_file_is_a_quiet_node_on_loopback() {
    let config = load("", &[]).expect("valid");
    assert_eq!(config.rpc.listen, loopback(8545));
    assert!(config.rpc.listen.ip().is_loopback() && config.web.listen.ip().is_loopback());
    assert!(!config.mining.enabled && config.storage.sync);
}

#[test]
fn the_environment_wins_over_the_file() {
    let config =
        load("[rpc]\nlisten = \"127.0.0.1:1\"", &[("SYNOD_RPC_LISTEN", "127.0.0.1:2")]).expect("valid");
    assert_eq!(config.rpc.listen, loopback(2));
    let error = load("", &[("SYNOD_RPC_LISTEN", "here")]).expect_err("no address");
    assert!(error.contains("SYNOD_RPC_LISTEN"), "{error}");
}

#[test]
fn flags_win_over_both_and_leave_what_they_do_not_name() {
    let text = "name = \"one\"\n[rpc]\nlisten = \"127.0.0.1:1\"\n[mining]\nthreads = 3";
    let mut config = load(text, &[("SYNOD_RPC_LISTEN", "127.0.0.1:2")]).expect("valid");
    let before = config.clone();
    config.apply(Settings::default());
    assert_eq!(config, before);
    let reward_to = Some(Address::repeat_byte(1));
    config.apply(Settings { rpc: Some(loopback(3)), mine: Some(2), reward_to, ..Settings::default() });
    assert_eq!((config.rpc.listen, config.name.as_str()), (loopback(3), "one"));
    assert_eq!(config.mining, MiningConfig { enabled: true, threads: 2, reward_to });
    config.apply(Settings { mine: Some(0), ..Settings::default() });
    assert!(!config.mining.enabled);
}

#[test]
fn p2p_11_few_peers_are_warned_of_on_real_networks_alone() {
    let mut genesis = synod_types::Genesis { testnet: false, ..synod_ledger::testing::genesis() };
    let mut config = load("[p2p]\npeers = [\"a\", \"b\"]", &[]).expect("valid");
    assert!(config.warnings(&genesis)[0].contains("2 of the 3"));
    config.p2p.peers.push("c".to_owned());
    assert!(config.warnings(&genesis).is_empty());
    config.p2p.peers.clear();
    genesis.testnet = true;
    assert!(config.warnings(&genesis).is_empty());
}

#[test]
fn nobody_mines_where_a_committee_orders() {
    let mut genesis = synod_ledger::testing::genesis();
    genesis.ordering = synod_types::genesis::Ordering::Pbft;
    let mut config = load("", &[]).expect("valid");
    assert_eq!(config.check_with(&genesis).map_err(|error| error.to_string()), Ok(()));
    config.mining = MiningConfig { enabled: true, threads: 1, reward_to: Some(Address::repeat_byte(1)) };
    let refused = config.check_with(&genesis).expect_err("refused").to_string();
    assert!(refused.contains("mining.enabled") && refused.contains("pbft"), "{refused}");
    config.mining.enabled = false;
    config.getwork.enabled = true;
    assert!(config.check_with(&genesis).expect_err("refused").to_string().contains("getwork.enabled"));
}

#[test]
fn what_is_written_is_read_back() {
    let mut config = load("", &[]).expect("valid");
    config.mining = MiningConfig { enabled: true, threads: 2, reward_to: Some(Address::repeat_byte(1)) };
    config.folder = PathBuf::from(".");
    let read: Config = toml::from_str(&config.to_toml()).expect("valid");
    assert_eq!(read, config);
}

#[test]
fn mistakes_are_named() {
    let cases = [
        ("nam = \"x\"", "nam"),
        ("[rpc]\nlisten = 5", "listen"),
        ("[mining]\nenabled = true", "mining.reward_to"),
        ("[mining]\nreward_to = \"0x12\"", "40 hex digits"),
        ("name = \"\"", "name"),
        ("[getwork]\nenabled = true", "getwork.password"),
        ("[sync]\nsnapshot_beyond = 0", "sync.snapshot_beyond"),
        ("[log]\nlevel = \"info,synod=loud\"", "log.level"),
    ];
    for (text, expected) in cases {
        let error = load(text, &[]).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn an_address_that_somebody_has_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let free: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let mut config = Config::default();
    config.rpc.listen = free;
    config.web.listen = free;
    config.p2p.listen = vec![free];
    config.check_addresses().expect("the system chooses free ports");
    config.p2p.listen = vec![free, taken.local_addr().expect("bound")];
    let error = config.check_addresses().expect_err("taken").to_string();
    assert!(error.contains("p2p.listen") && error.contains("choose another"), "{error}");
}

//! Which node is asked: `--rpc`, else `SYNOD_RPC`, else the local test network's nodes, else 127.0.0.1:8545; of
//! several the first that listens. A miner keeps the others to fall back on.

use serde::Deserialize;

use super::http::Url;
use crate::failure::{Failure, Outcome};
use crate::home::Home;

/// Where a node is looked for when nothing says where.
const DEFAULT_URL: &str = "http://127.0.0.1:8545";

/// A node's address, and what to tell who finds nobody there.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    /// Its address.
    pub(crate) url: Url,
    /// How to get a node to answer there.
    pub(crate) how_to_start: String,
}

/// What this command reads of the test network's `endpoints.json`.
#[derive(Debug, Deserialize)]
pub(crate) struct Endpoints {
    /// The network's genesis hash, `0x` hex.
    pub(crate) genesis_hash: String,
    nodes: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    #[serde(default)]
    name: String,
    rpc: String,
}

/// Finds the node to ask: the first that listens, or the first of all when none does.
///
/// # Errors
/// As [`locate_all`].
pub(crate) fn locate(given: &[String], home: &Home) -> Outcome<Located> {
    let mut all = locate_all(given, home)?;
    let first = if all.len() > 1 { all.iter().position(|one| one.url.answers()) } else { None };
    Ok(all.swap_remove(first.unwrap_or(0)))
}

/// Finds every node that may be asked, in the order of preference; at least one.
///
/// # Errors
/// When an address given is none, or `endpoints.json` is damaged.
pub(crate) fn locate_all(given: &[String], home: &Home) -> Outcome<Vec<Located>> {
    let given: Vec<&String> = given.iter().filter(|text| !text.is_empty()).collect();
    if !given.is_empty() {
        return given.into_iter().map(|text| named(text)).collect();
    }
    let Some(endpoints) = endpoints(home)? else {
        let url = Url::parse(DEFAULT_URL).expect("the default is a URL");
        let how_to_start = "start a local network with `synod testnet up`, or one node with `synod node --config node.toml`, or name another with --rpc".to_owned();
        return Ok(vec![Located { url, how_to_start }]);
    };
    let how_to_start = "the local network is not running; start it with `synod testnet up`";
    let urls = endpoints.nodes.iter().filter_map(|node| Url::parse(&node.rpc).ok());
    let all: Vec<_> = urls.map(|url| Located { url, how_to_start: how_to_start.to_owned() }).collect();
    if all.is_empty() { Err(damaged(home, "it names no node")) } else { Ok(all) }
}

fn named(text: &str) -> Outcome<Located> {
    let url = Url::parse(text).map_err(|problem| {
        Failure::usage("bad_rpc", format!("--rpc or SYNOD_RPC says {text:?}: {problem}"))
    })?;
    let how_to_start =
        "check --rpc and SYNOD_RPC, and that the node runs: its log says where its RPC listens".to_owned();
    Ok(Located { url, how_to_start })
}

/// Finds a node that is named: one of the local test network, `node2` or just `2`, or any by its address. Also
/// gives what to call it.
///
/// # Errors
/// When `text` is neither, or `endpoints.json` is damaged.
pub(crate) fn locate_named(text: &str, home: &Home) -> Outcome<(String, Located)> {
    let full =
        if text.bytes().all(|byte| byte.is_ascii_digit()) { format!("node{text}") } else { text.to_owned() };
    let nodes = endpoints(home)?.map(|endpoints| endpoints.nodes).unwrap_or_default();
    if let Some(node) = nodes.iter().find(|node| node.name == full) {
        let url = Url::parse(&node.rpc).map_err(|problem| damaged(home, &problem))?;
        let how_to_start = format!("start it with `synod testnet start {full}`");
        return Ok((full, Located { url, how_to_start }));
    }
    if !text.contains([':', '.']) {
        let known: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        let known = if known.is_empty() { "there is no local network".to_owned() } else { known.join(", ") };
        return Err(Failure::usage("no_such_node", format!("there is no node {text:?}"))
            .hint(format!("{known}; any other node is http://HOST:PORT")));
    }
    let url =
        Url::parse(text).map_err(|problem| Failure::usage("bad_rpc", format!("{text:?}: {problem}")))?;
    let how_to_start = "check the address, and that the node runs".to_owned();
    Ok((text.to_owned(), Located { url, how_to_start }))
}

/// The local test network's endpoints, if there is such a network.
///
/// # Errors
/// When the file is damaged.
pub(crate) fn endpoints(home: &Home) -> Outcome<Option<Endpoints>> {
    let path = home.testnet().join("endpoints.json");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::file(&path, &error)),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| damaged(home, &error.to_string()))
}

fn damaged(home: &Home, problem: &str) -> Failure {
    let path = home.testnet().join("endpoints.json");
    Failure::failed("endpoints_damaged", format!("{}: {problem}", path.display()))
        .hint("`synod testnet up` writes it anew; --rpc names a node by hand")
}

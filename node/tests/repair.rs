//! A byte flips in the middle of a node's block log while it is down. It starts, says that it is damaged and
//! what it waits for, serves nothing of it, and goes on by itself as soon as a peer gives what was lost.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use jsonrpsee_core::client::ClientT;
use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use serde_json::{Value, json};
use synod_node::config::{Config, MiningConfig, P2pConfig, RpcConfig, StorageConfig, WebConfig};
use synod_node::driver::{Node, Reason};
use synod_node::identity::write_plain;
use synod_node::network::{NetworkKey, PeerAddress};
use synod_types::genesis::{Fees, Genesis, Limits, Ordering, ProofOfWork};
use synod_types::{Address, B256, UnixMillis};

/// The first frame's place in a segment.
const FRAMES_START: usize = 8192;

fn genesis() -> Genesis {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Genesis {
        chain_id: 78,
        salt: B256::repeat_byte(4),
        time: UnixMillis(now.as_millis() as u64),
        ordering: Ordering::Pow,
        members: Vec::new(),
        alloc: Default::default(),
        fees: Fees::default(),
        limits: Limits::default(),
        pow: ProofOfWork { spacing_seconds: 1, half_life_seconds: 4, ..ProofOfWork::testnet(0x1f0f_ffff) },
        testnet: true,
    }
}

fn free() -> SocketAddr {
    synod_node::ports::unused().unwrap()
}

fn config(folder: &Path, mines: bool, peers: Vec<String>) -> Config {
    Config {
        name: if mines { "miner" } else { "follower" }.to_owned(),
        folder: folder.to_owned(),
        rpc: RpcConfig { listen: free(), cors: Vec::new() },
        p2p: P2pConfig { listen: vec![free()], peers },
        web: WebConfig { listen: free() },
        mining: MiningConfig { enabled: mines, threads: 1, reward_to: Some(Address::repeat_byte(9)) },
        getwork: Default::default(),
        sync: Default::default(),
        storage: StorageConfig { sync: true },
        log: Default::default(),
    }
}

struct Client(HttpClient);

impl Client {
    fn new(config: &Config) -> Self {
        Self(HttpClientBuilder::default().build(format!("http://{}", config.rpc.listen)).unwrap())
    }

    async fn call(&self, method: &str, parameters: Vec<Value>) -> Result<Value, String> {
        self.0.request(method, parameters).await.map_err(|error| error.to_string())
    }

    /// Asks until `holds`; nothing here depends on how fast the chain moves or a server comes up.
    async fn status_until(&self, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Ok(answer) = self.call("synod_status", vec![]).await
                && holds(&answer)
            {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A node that runs, or is still starting.
struct Running {
    client: Client,
    stop: tokio::sync::oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Reason>,
}

impl Running {
    fn start(config: &Config) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let mine = config.clone();
        let ended = tokio::spawn(async move {
            let node = Box::pin(Node::start(mine, None)).await.unwrap();
            let stopper = node.stopper();
            tokio::spawn(async move {
                stopped.await.unwrap();
                stopper();
            });
            node.run().await
        });
        Self { client: Client::new(config), stop, ended }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        assert_eq!(self.ended.await.unwrap(), Reason::Asked);
    }
}

fn height(status: &Value) -> u64 {
    status["head"]["height"].as_u64().unwrap()
}

/// Flips a bit of the sixth frame's payload or thereabouts.
fn flip_a_byte(folder: &Path) {
    let segment = folder.join("blocks/0000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let wanted = FRAMES_START + 5 * 1024 + 300;
    let at = (wanted..).find(|at| bytes[*at] != 0).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(&segment, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_the_block_log_is_repaired_from_a_peer() {
    let (miner_folder, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let genesis = genesis().to_json();
    for folder in [&miner_folder, &folder] {
        std::fs::write(folder.path().join("genesis.json"), &genesis).unwrap();
    }
    let seed = [5; 32];
    write_plain(&miner_folder.path().join("node.key"), &seed).unwrap();
    let miner_config = config(miner_folder.path(), true, Vec::new());
    let miner = PeerAddress { name: NetworkKey::from_bytes(seed).name(), socket: miner_config.p2p.listen[0] };
    let follower_config = config(folder.path(), false, vec![miner.to_string()]);

    let follower = Running::start(&follower_config);
    let first_miner = Running::start(&miner_config);
    let before = follower.client.status_until(|status| status["ready"] == true && height(status) >= 14).await;
    follower.stop().await;
    first_miner.stop().await;
    flip_a_byte(folder.path());

    let follower = Running::start(&follower_config);
    let damaged = follower.client.status_until(|_| true).await;
    assert_eq!((&damaged["ready"], height(&damaged)), (&json!(false), 0));
    let reason = damaged["reason"].as_str().unwrap();
    assert!(reason.contains("damaged") && reason.contains("none is connected"), "{reason}");
    for choice in
        ["start another node", "p2p.peers of node.toml", "--peer", "delete blocks/ and index/", "keys"]
    {
        assert!(reason.contains(choice), "{choice}: {reason}");
    }
    let refused = follower.client.call("synod_block", vec![json!(1)]).await.unwrap_err();
    assert!(refused.contains("not ready"), "{refused}");

    let second_miner = Running::start(&miner_config);
    let after = follower.client.status_until(|status| status["ready"] == true).await;
    assert!(height(&after) >= height(&before), "{after}");
    let grown = height(&after) + 1;
    follower.client.status_until(|status| height(status) > grown).await;
    for height in 1..=grown {
        let theirs = second_miner.client.call("synod_block", vec![json!(height)]).await.unwrap();
        let ours = follower.client.call("synod_block", vec![json!(height)]).await.unwrap();
        assert_eq!(ours["hash"], theirs["hash"], "height {height}");
    }
    follower.stop().await;

    // What was repaired is whole at the next start: it does not need its peer.
    second_miner.stop().await;
    let follower = Running::start(&follower_config);
    let again = follower.client.status_until(|status| height(status) > 0).await;
    assert!(height(&again) >= grown);
    follower.stop().await;

    // The last of the choices that it names: without the two folders it syncs anew, with everything else as it was.
    flip_a_byte(folder.path());
    for lost in ["blocks", "index"] {
        std::fs::remove_dir_all(folder.path().join(lost)).unwrap();
    }
    let (third_miner, follower) = (Running::start(&miner_config), Running::start(&follower_config));
    follower.client.status_until(|status| status["ready"] == true && height(status) >= grown).await;
    follower.stop().await;
    third_miner.stop().await;
}

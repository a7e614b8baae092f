//! One real node in this process: it mines, takes a transfer over RPC, stops, and still knows it.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;

use jsonrpsee_core::client::ClientT;
use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use serde_json::{Value, json};
use synod_node::config::{Config, MiningConfig, P2pConfig, RpcConfig, StorageConfig, WebConfig};
use synod_node::driver::{Node, Reason};
use synod_types::address::{address_of, format_address};
use synod_types::genesis::{Fees, Genesis, Limits, Ordering, ProofOfWork};
use synod_types::{Address, B256, Bytes, Gas, NativeTransaction, SecretKey, Transaction, U256, UnixMillis};

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

fn genesis() -> Genesis {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Genesis {
        chain_id: 77,
        salt: B256::repeat_byte(3),
        time: UnixMillis(now.as_millis() as u64),
        ordering: Ordering::Pow,
        members: Vec::new(),
        alloc: [(address_of(&key().public()), U256::from(10).pow(U256::from(21)))].into(),
        fees: Fees::default(),
        limits: Limits::default(),
        pow: ProofOfWork { spacing_seconds: 1, half_life_seconds: 4, ..ProofOfWork::testnet(0x1e0f_ffff) },
        testnet: true,
    }
}

fn free() -> SocketAddr {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

fn config(folder: &Path) -> Config {
    Config {
        name: "solo".to_owned(),
        folder: folder.to_owned(),
        rpc: RpcConfig { listen: free(), cors: Vec::new() },
        p2p: P2pConfig { listen: vec![free()], peers: Vec::new() },
        web: WebConfig { listen: free() },
        mining: MiningConfig { enabled: true, threads: 1, reward_to: Some(Address::repeat_byte(9)) },
        getwork: Default::default(),
        storage: StorageConfig { sync: true },
        log: Default::default(),
    }
}

struct Client(HttpClient);

impl Client {
    fn new(config: &Config) -> Self {
        Self(HttpClientBuilder::default().build(format!("http://{}", config.rpc.listen)).unwrap())
    }

    async fn call(&self, method: &str, parameters: Vec<Value>) -> Value {
        self.0.request(method, parameters).await.unwrap()
    }

    /// Asks until `holds`: the chain moves by itself, and nothing here depends on how fast.
    async fn until(&self, method: &str, parameters: Vec<Value>, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let answer = self.call(method, parameters.clone()).await;
            if holds(&answer) {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

fn transfer(genesis: &Genesis, nonce: u64, to: Address) -> Transaction {
    let native = NativeTransaction {
        chain_id: genesis.chain_id,
        sender: key().public(),
        nonce,
        max_fee: 20_000_000_000,
        max_tip: 1_000_000_000,
        gas_limit: Gas(21_000),
        to: Some(to),
        value: U256::from(12_500),
        data: Bytes::new(),
        access_list: Vec::new(),
        valid_until: None,
    };
    Transaction::Native(native.sign(genesis.hash(), &key()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_mined_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let genesis = genesis();
    std::fs::write(folder.path().join("genesis.json"), genesis.to_json()).unwrap();
    let first = config(folder.path());
    let node = Node::start(first.clone(), None).await.unwrap();
    let (stop, client) = (node.stopper(), Client::new(&first));
    let running = tokio::spawn(node.run());

    let to = Address::repeat_byte(0x42);
    let raw = alloy_primitives::hex::encode_prefixed(transfer(&genesis, 0, to).to_bytes());
    let submitted = client.call("synod_submit", vec![raw.clone().into()]).await;
    assert_eq!(submitted["outcome"], "pending");
    let id = submitted["id"].clone();
    let included =
        client.until("synod_transaction", vec![id.clone()], |view| view["status"] == "included").await;
    assert_eq!(included["receipt"]["succeeded"], true);
    let again = client.call("synod_submit", vec![raw.into()]).await;
    assert_eq!((&again["outcome"], &again["id"]), (&json!("included"), &id));
    let height = included["height"].as_u64().unwrap();
    client.until("synod_status", vec![], |view| view["head"]["height"].as_u64() > Some(height + 1)).await;

    stop();
    assert_eq!(running.await.unwrap(), Reason::Asked);

    let second = config(folder.path());
    let node = Node::start(second.clone(), None).await.unwrap();
    let (stop, client) = (node.stopper(), Client::new(&second));
    let running = tokio::spawn(node.run());
    let account = client.call("synod_account", vec![format_address(&to).into()]).await;
    assert_eq!(account["balance"], "12500");
    let known = client.call("synod_transaction", vec![id]).await;
    assert_eq!(known["height"].as_u64(), Some(height));
    stop();
    assert_eq!(running.await.unwrap(), Reason::Asked);
}

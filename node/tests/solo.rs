//! One real node in this process: it mines, takes a transfer over RPC, stops, and still knows it. It is asked to run
//! hostile code, and lives on; whoever subscribes to events hears of them.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use jsonrpsee_core::client::ClientT;
use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use serde_json::{Value, json};
use synod_node::config::{Config, MiningConfig, P2pConfig, RpcConfig, StorageConfig, WebConfig};
use synod_node::driver::{Node, Reason};
use synod_types::address::{address_of, format_address};
use synod_types::genesis::{Fees, Genesis, Limits, Ordering, ProofOfWork};
use synod_types::{Address, B256, Bytes, Gas, NativeTransaction, SecretKey, Transaction, U256, UnixMillis};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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
    synod_node::ports::unused().unwrap()
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
        sync: Default::default(),
        storage: StorageConfig { sync: true },
        log: Default::default(),
    }
}

struct Client(HttpClient);

impl Client {
    fn new(config: &Config) -> Self {
        Self(
            HttpClientBuilder::default()
                .max_request_size(64 * 1024 * 1024)
                .build(format!("http://{}", config.rpc.listen))
                .unwrap(),
        )
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

/// A running node, its client, and what stops it.
async fn started(config: &Config) -> (Client, Box<dyn Fn() + Send>, tokio::task::JoinHandle<Reason>) {
    let node = Node::start(config.clone(), None).await.unwrap();
    (Client::new(config), Box::new(node.stopper()), tokio::spawn(node.run()))
}

fn transfer(genesis: &Genesis, nonce: u64, to: Address) -> Transaction {
    let native = NativeTransaction { to: Some(to), value: U256::from(12_500), ..unsigned(genesis, nonce) };
    Transaction::Native(native.sign(genesis.hash(), &key()))
}

fn unsigned(genesis: &Genesis, nonce: u64) -> NativeTransaction {
    NativeTransaction {
        chain_id: genesis.chain_id,
        sender: key().public(),
        nonce,
        max_fee: 20_000_000_000,
        max_tip: 1_000_000_000,
        gas_limit: Gas(21_000),
        to: None,
        value: U256::ZERO,
        data: Bytes::new(),
        access_list: Vec::new(),
        valid_until: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_mined_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let genesis = genesis();
    std::fs::write(folder.path().join("genesis.json"), genesis.to_json()).unwrap();
    let first = config(folder.path());
    let (client, stop, running) = started(&first).await;

    let to = Address::repeat_byte(0x42);
    let raw = alloy_primitives::hex::encode_prefixed(transfer(&genesis, 0, to).to_bytes());
    let submitted = client.call("synod_submit", vec![raw.clone().into()]).await;
    assert_eq!(submitted["outcome"], "pending");
    let id = submitted["id"].clone();
    let included =
        client.until("synod_transaction", vec![id.clone()], |view| view["status"] == "included").await;
    assert_eq!(included["receipt"]["succeeded"], true);
    let deeper =
        client.until("synod_transaction", vec![id.clone()], |view| view["depth"].as_u64() > Some(1)).await;
    assert!(deeper["work_on_top"].as_str().is_some_and(|work| work.len() > 2 && work != "0x0"), "{deeper}");
    let again = client.call("synod_submit", vec![raw.into()]).await;
    assert_eq!((&again["outcome"], &again["id"]), (&json!("included"), &id));
    let height = included["height"].as_u64().unwrap();
    client.until("synod_status", vec![], |view| view["head"]["height"].as_u64() > Some(height + 1)).await;

    stop();
    assert_eq!(running.await.unwrap(), Reason::Asked);

    let second = config(folder.path());
    let (client, stop, running) = started(&second).await;
    let account = client.call("synod_account", vec![format_address(&to).into()]).await;
    assert_eq!(account["balance"], "12500");
    let known = client.call("synod_transaction", vec![id]).await;
    assert_eq!(known["height"].as_u64(), Some(height));
    stop();
    assert_eq!(running.await.unwrap(), Reason::Asked);
}

/// What a question about this code is answered: an answer, or an error's text. It must come soon on any machine.
async fn asked(client: &Client, method: &str, question: Value) -> Result<Value, String> {
    let answer = client.0.request::<Value, _>(method, vec![question]);
    let answer = tokio::time::timeout(Duration::from_secs(60), answer).await.expect("an answer in time");
    answer.map_err(|error| error.to_string())
}

/// RPC-3, EVM-1, EVM-3: whatever code a question brings, it has an end that is told, and the node lives on.
#[tokio::test(flavor = "multi_thread")]
async fn questions_that_are_bombs_have_ends() {
    let folder = tempfile::tempdir().unwrap();
    let genesis = genesis();
    std::fs::write(folder.path().join("genesis.json"), genesis.to_json()).unwrap();
    let config = config(folder.path());
    let (client, stop, running) = started(&config).await;
    let bombs = [
        ("an endless loop", "0x5b5f56"),
        ("a loop over memory that grows by a word", "0x5f5b602001808052600156"),
        ("all memory at once", "0x637fffffff51"),
        ("memory at the end of all numbers", "0x5f195f5260205f1951"),
        ("code that creates itself, and that one itself", "0x385f5f39385f5ff0"),
        ("the same again and again", "0x5b385f5f39385f5ff0505f56"),
        ("hashes of a megabyte, for ever", "0x5b620fffff5f20505f56"),
        ("an undefined instruction", "0x0c"),
        ("a jump into nothing", "0x60ff56"),
        ("an empty stack", "0x01"),
        ("code that begins with 0xef", "0x60ef5f5360015ff3"),
        ("too much to return", "0x5f195ff3"),
    ];
    for (what, code) in bombs {
        let answer = asked(&client, "synod_call", json!({ "data": code })).await;
        // Where only an inner frame fails, the outer one goes on.
        let nested = what.starts_with("code that creates");
        match answer {
            Ok(view) if nested => assert!(view["succeeded"].is_boolean(), "{what}: {view}"),
            Ok(view) => {
                assert_eq!(view["succeeded"], false, "{what}: {view}");
                assert!(view["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{what}: {view}");
            }
            Err(error) => assert!(error.contains("memory") || error.contains("time"), "{what}: {error}"),
        }
        let estimate = asked(&client, "synod_estimate_gas", json!({ "data": code })).await;
        assert!(nested || estimate.is_err() || estimate.is_ok_and(|view| view["gas"].is_null()), "{what}");
    }
    // No question gets more gas than the node gives, whatever it asks for.
    let greedy = json!({ "data": "0x5b5f56", "gas_limit": 30_000_000_000_u64 });
    let answer = asked(&client, "synod_call", greedy.clone()).await.unwrap();
    assert_eq!((&answer["succeeded"], &answer["gas_used"]), (&json!(false), &json!(50_000_000)), "{answer}");
    assert!(asked(&client, "synod_estimate_gas", greedy).await.unwrap()["gas"].is_null());
    // Call data: what a request may hold is run, 10 MB of it are refused before they are read.
    let data = |bytes: usize| json!({ "to": Address::repeat_byte(0x42), "data": format!("0x{}", "ff".repeat(bytes)) });
    let answer = asked(&client, "synod_call", data(400_000)).await.unwrap();
    assert_eq!(answer["succeeded"], true, "an account without code takes anything: {answer}");
    let refused = asked(&client, "synod_call", data(10_000_000)).await.unwrap_err();
    assert!(refused.contains("413"), "{refused}");
    let refused = asked(&client, "synod_call", json!({ "data": format!("0x{}", "5b".repeat(49_153)) })).await;
    assert!(refused.as_ref().is_err_and(|error| error.contains("49152")), "{refused:?}");
    client.call("synod_status", vec![]).await;
    stop();
    assert_eq!(running.await.unwrap(), Reason::Asked);
}

/// A subscriber to events hears of those that pass its filter, and of no others; who asks for them afterwards gets
/// pages of at most 10,000 and a cursor (RPC-3).
#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_hears_what_contracts_say() {
    let folder = tempfile::tempdir().unwrap();
    let genesis = genesis();
    std::fs::write(folder.path().join("genesis.json"), genesis.to_json()).unwrap();
    let config = config(folder.path());
    let (client, stop, running) = started(&config).await;
    let wanted = synod_vm::create_address(&address_of(&key().public()), 1);
    let mut socket = subscribed(config.rpc.listen, &format_address(&wanted)).await;
    // Two contracts that say something while they are made: a topic of 1, a topic of 2.
    for (nonce, code) in [(0, [0x60, 1, 0x5f, 0x5f, 0xa1]), (1, [0x60, 2, 0x5f, 0x5f, 0xa1])] {
        let data = Bytes::copy_from_slice(&code);
        let creation = NativeTransaction { gas_limit: Gas(100_000), data, ..unsigned(&genesis, nonce) };
        let raw = Transaction::Native(creation.sign(genesis.hash(), &key())).to_bytes();
        client.call("synod_submit", vec![alloy_primitives::hex::encode_prefixed(raw).into()]).await;
    }
    let event = message(&mut socket).await["params"]["result"].clone();
    let tip = client
        .until("synod_account", vec![format_address(&address_of(&key().public())).into()], |view| {
            view["nonce"] == 2
        })
        .await;
    // Both events, a page for each, and the same by one page.
    let question = |limit: u32, cursor: &Value| json!({ "from_height": 0, "limit": limit, "cursor": cursor });
    let (mut found, mut cursor) = (Vec::new(), Value::Null);
    for _ in 0..2 {
        let page = asked(&client, "synod_logs", question(1, &cursor)).await.unwrap();
        found.extend(page["logs"].as_array().unwrap().clone());
        cursor = page["next_cursor"].clone();
    }
    let rest = asked(&client, "synod_logs", question(10_000, &Value::Null)).await.unwrap();
    assert_eq!((found.len(), rest["logs"].as_array()), (2, Some(&found)), "{tip}");
    let refused = asked(&client, "synod_logs", question(10_001, &Value::Null)).await.unwrap_err();
    assert!(refused.contains("10000"), "{refused}");
    let logs = event["logs"].as_array().unwrap();
    assert_eq!((&event["kind"], logs.len()), (&json!("block"), 1), "{event}");
    assert_eq!(logs[0]["topics"][0], B256::with_last_byte(2).to_string());
    assert_eq!(logs[0]["block_hash"], event["block"]["hash"]);
    stop();
    assert_eq!(running.await.unwrap(), Reason::Asked);
}

/// A WebSocket that is subscribed to a contract's events.
async fn subscribed(address: SocketAddr, contract: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    while !reply.ends_with(b"\r\n\r\n") {
        reply.push(stream.read_u8().await.unwrap());
    }
    assert!(reply.starts_with(b"HTTP/1.1 101"));
    let options = json!({ "filter": { "addresses": [contract] } });
    let request =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "synod_subscribe", "params": ["logs", options] });
    let request = request.to_string();
    // A text frame of middle length, under a mask of zeros, which leaves the bytes as they are.
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend_from_slice(&(request.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(request.as_bytes());
    stream.write_all(&frame).await.unwrap();
    let answer = message(&mut stream).await;
    assert!(answer["error"].is_null(), "{answer}");
    stream
}

/// The next text message.
async fn message(stream: &mut TcpStream) -> Value {
    loop {
        let (first, second) = (stream.read_u8().await.unwrap(), stream.read_u8().await.unwrap());
        let length = match second {
            126 => usize::from(stream.read_u16().await.unwrap()),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.unwrap();
        if first & 0x0f == 1 {
            return serde_json::from_slice(&payload).unwrap();
        }
    }
}

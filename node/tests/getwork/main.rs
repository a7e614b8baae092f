//! A real node in this process, and miners that know nothing of it: they speak `getwork`.

#![allow(clippy::unwrap_used)]

mod hostile;
mod twin;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use jsonrpsee_core::client::ClientT;
use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use serde_json::{Value, json};
use synod_node::config::{Config, P2pConfig, RpcConfig, WebConfig};
use synod_node::driver::{Node, Reason};
use synod_node::getwork::{GetworkConfig, Password};
use synod_types::address::{address_of, format_address};
use synod_types::genesis::{Fees, Genesis, Limits, Ordering, ProofOfWork};
use synod_types::{Address, B256, Bytes, Gas, NativeTransaction, SecretKey, Transaction, U256, UnixMillis};
use twin::{Connection, Failed, GBT_REQUEST, GETWORK_REQUEST, Kind, Miner, Work};

/// About 16,000 hashes: a moment for a plain hash function, and not none.
const BITS: u32 = 0x1f03_fffc;

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
        pow: ProofOfWork { spacing_seconds: 1, half_life_seconds: 60, ..ProofOfWork::testnet(BITS) },
        testnet: true,
    }
}

fn free() -> SocketAddr {
    synod_node::ports::unused().unwrap()
}

fn house() -> Address {
    Address::repeat_byte(9)
}

fn config(folder: &Path) -> Config {
    let text = "name = \"pool\"";
    let mut config: Config = toml::from_str(text).unwrap();
    config.folder = folder.to_owned();
    config.rpc = RpcConfig { listen: free(), ..RpcConfig::default() };
    config.p2p = P2pConfig { listen: vec![free()], ..P2pConfig::default() };
    config.web = WebConfig { listen: free() };
    config.getwork = GetworkConfig {
        enabled: true,
        listen: free(),
        user: "miner".to_owned(),
        password: Password::new("secret"),
        reward_to: Some(house()),
    };
    config
}

/// A node that does not mine, and serves those who do.
struct Running {
    config: Config,
    stop: Box<dyn Fn() + Send>,
    running: tokio::task::JoinHandle<Reason>,
    rpc: HttpClient,
    _folder: tempfile::TempDir,
}

impl Running {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("genesis.json"), genesis().to_json()).unwrap();
        let config = config(folder.path());
        let node = Node::start(config.clone(), None).await.unwrap();
        let rpc = HttpClientBuilder::default().build(format!("http://{}", config.rpc.listen)).unwrap();
        let running = Self {
            config,
            stop: Box::new(node.stopper()),
            running: tokio::spawn(node.run()),
            rpc,
            _folder: folder,
        };
        // Work is there as soon as the first template is.
        let mut connection = running.connection("miner");
        blocking(move || {
            while connection.call("/", GETWORK_REQUEST, false).is_err() {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        })
        .await;
        running
    }

    fn address(&self) -> SocketAddr {
        self.config.getwork.listen
    }

    fn connection(&self, user: &str) -> Connection {
        Connection::new(self.address(), Kind::Minerd, user, "secret")
    }

    async fn call(&self, method: &str, parameters: Vec<Value>) -> Value {
        self.rpc.request(method, parameters).await.unwrap()
    }

    async fn height(&self) -> u64 {
        self.call("synod_status", vec![]).await["head"]["height"].as_u64().unwrap()
    }

    /// Asks until the tip is that high; nothing here depends on how fast.
    async fn until_height(&self, height: u64) {
        while self.height().await < height {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    async fn stop(self) {
        (self.stop)();
        assert_eq!(self.running.await.unwrap(), Reason::Asked);
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_finds_blocks_that_pay_where_it_wants_them_to_pay() {
    let node = Running::start().await;
    let account = Address::repeat_byte(0x42);
    let (address, user) = (node.address(), format_address(&account));
    let mined =
        blocking(move || Miner::new(address, Kind::Minerd, &user, "secret").mine_until(|found| found >= 6))
            .await;
    assert!(mined.accepted >= 6 && mined.pushed >= 1, "{mined:?}");
    // Of its own blocks' tips a miner hears within a moment; what it finds in that moment is late, never wrong.
    assert!(mined.rejected.iter().all(|reason| reason == "stale job"), "{mined:?}");
    node.until_height(mined.accepted).await;
    assert_eq!(
        node.height().await,
        mined.accepted,
        "every accepted solution is a block, and nothing else is"
    );
    for height in 1..=mined.accepted {
        let block = node.call("synod_block", vec![json!(height)]).await;
        assert_eq!(block["commitment"]["fee_recipient"], format_address(&account), "block {height}");
        assert_eq!(block["reward"], "5000000000000000000");
    }
    let paid = node.call("synod_account", vec![json!(format_address(&account))]).await;
    assert_eq!(
        paid["immature"],
        (U256::from(mined.accepted) * U256::from(5_000_000_000_000_000_000u64)).to_string()
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_miners_of_different_makes_share_a_node_and_carry_its_transactions() {
    let node = Running::start().await;
    let to = Address::repeat_byte(0x77);
    let native = NativeTransaction {
        chain_id: genesis().chain_id,
        sender: key().public(),
        nonce: 0,
        max_fee: 20_000_000_000,
        max_tip: 1_000_000_000,
        gas_limit: Gas(21_000),
        to: Some(to),
        value: U256::from(12_500),
        data: Bytes::new(),
        access_list: Vec::new(),
        valid_until: None,
    };
    // The folder's genesis, whose time is another than a second call would give.
    let text = node.call("synod_genesis", vec![]).await.to_string();
    let hash = Genesis::from_json(&text).unwrap().hash();
    let signed = Transaction::Native(native.sign(hash, &key()));
    let raw = alloy_primitives::hex::encode_prefixed(signed.to_bytes());
    let submitted = node.call("synod_submit", vec![json!(raw)]).await;
    assert_eq!(submitted["outcome"], "pending");

    let address = node.address();
    let miner = move |kind| Miner::new(address, kind, "miner", "secret").mine_until(|found| found >= 4);
    let (one, other) =
        tokio::join!(blocking(move || miner(Kind::Minerd)), blocking(move || miner(Kind::Opt)));
    assert!(
        one.rejected.iter().chain(&other.rejected).all(|reason| reason == "stale job"),
        "{one:?} {other:?}"
    );
    let included = node.call("synod_transaction", vec![submitted["id"].clone()]).await;
    assert_eq!(included["status"], "included", "work is renewed when transactions come");
    let block = node.call("synod_block", vec![json!(1)]).await;
    assert_eq!(block["commitment"]["fee_recipient"], format_address(&house()));
    node.stop().await;
}

/// What the endpoint says of a solution: taken or not, and why.
fn submit(connection: &mut Connection, work: &Work) -> (bool, String) {
    let reply = connection.call("/", &work.request(Kind::Minerd), false).unwrap();
    assert_eq!((reply.status, &reply.json["error"], &reply.json["id"]), (200, &Value::Null, &json!(1)));
    (reply.json["result"].as_bool().unwrap(), reply.reject_reason.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn late_repeated_and_wrong_solutions_get_answers_that_miners_understand() {
    let node = Running::start().await;
    let mut connection = node.connection("miner");
    let (mut connection, first, second) = blocking(move || {
        let mut ask = || Work::decode(&connection.call("/", GETWORK_REQUEST, false).unwrap().json["result"]);
        let (mut first, mut second, third) = (ask(), ask(), ask());
        assert!(first.search(&AtomicBool::new(false)) && second.search(&AtomicBool::new(false)));
        let mut unsolved = third;
        while unsolved.is_solved() {
            unsolved.data[19] += 1;
        }
        let (mut invented, mut altered) = (third, first);
        invented.data[12] ^= 1;
        altered.data[17] ^= 0x0100_0000;
        let mut judge = |work: &Work| submit(&mut connection, work);
        assert_eq!(judge(&unsolved), (false, "high hash".to_owned()));
        assert_eq!(judge(&invented), (false, "unknown job".to_owned()));
        assert_eq!(judge(&altered), (false, "altered header".to_owned()));
        assert_eq!(judge(&first), (true, String::new()));
        assert_eq!(judge(&first), (false, "duplicate".to_owned()));
        (connection, first, second)
    })
    .await;
    node.until_height(1).await;
    blocking(move || {
        assert_eq!(submit(&mut connection, &second), (false, "stale job".to_owned()));
        assert_eq!(submit(&mut connection, &first), (false, "duplicate".to_owned()), "a tip later, too");
        let garbage = "{\"method\": \"getwork\", \"params\": [ \"beef\" ], \"id\":1}\r\n";
        let garbage = connection.call("/", garbage, false).unwrap();
        assert_eq!(
            (&garbage.json["result"], garbage.reject_reason.as_deref()),
            (&json!(false), Some("no header"))
        );
    })
    .await;
    assert_eq!(node.height().await, 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn miners_that_want_templates_learn_that_there_are_none() {
    let node = Running::start().await;
    let address = node.address();
    blocking(move || {
        for kind in [Kind::Minerd, Kind::Opt] {
            let mut connection = Connection::new(address, kind, "miner", "secret");
            assert!(matches!(connection.call("/", GBT_REQUEST, true), Err(Failed::Answer)), "{kind:?}");
            let reply = connection.post("/", GBT_REQUEST).unwrap();
            assert_eq!(reply.status, 404);
            assert_eq!(reply.json["error"]["code"].as_f64(), Some(-32601.0));
            assert_eq!(reply.json["error"]["message"], "Method not found");
            let miner = Miner::new(address, kind, "miner", "secret");
            let one = miner.first_work(&mut connection).unwrap();
            let other = connection.call("/", GETWORK_REQUEST, false).unwrap();
            assert_eq!(one.long_poll.as_deref(), Some("/long-poll"));
            let units = [&one, &other].map(|reply| Work::decode(&reply.json["result"]));
            assert_ne!(units[0].data[9..17], units[1].data[9..17], "every request gets a header of its own");
            assert_eq!(units[0].previous(), units[1].previous());
        }
        for (user, password) in [("miner", "wrong"), ("somebody", "secret"), ("miner", "")] {
            let mut connection = Connection::new(address, Kind::Minerd, user, password);
            assert_eq!(connection.post("/", GETWORK_REQUEST).unwrap().status, 401, "{user}:{password}");
        }
    })
    .await;
    node.stop().await;
}

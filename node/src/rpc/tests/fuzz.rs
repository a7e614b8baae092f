//! Hostile inputs by the hundred thousand, over real sockets, against a server in a process of its own: mutated
//! calls and batches over HTTP and WebSocket, mutated heads, mutated WebSocket frames (R17, S-N4). Each gets an
//! answer or a closed connection, an honest client is answered all the time, and the server's process stays
//! within 64 MiB of where it was. `SYNOD_HOSTILE_INPUTS` says how many.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use synod_ledger::hostile::{Memory, inputs, seed};
use synod_types::hostile::Mutator;

use super::client::{Http, Socket, request};
use super::serve_limited;
use crate::mempool::tests::fixture::{Terms, signed};
use crate::rpc::limits::Rate;
use crate::testing::apart::{self, Apart};

const ATTACKERS: u64 = 4;
/// Calls that are written before the first answer is read.
const PIPELINED: usize = 16;
const STEP: Duration = Duration::from_secs(10);

/// The server's own process.
#[test]
#[ignore = "the attacks start it themselves, in a process of its own"]
fn victim() {
    if !apart::is_victim() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (server, address) = runtime.block_on(async {
        let (server, _, address) = serve_limited(|limits| {
            limits.loopback_rate = Rate { per_second: 1_000_000_000, burst: 1_000_000_000 };
        })
        .await;
        Http::connect(address).await.result("synod_status", json!([])).await;
        (server, address)
    });
    let memory = Memory::start();
    apart::announce(&address.to_string());
    let what = std::io::stdin().lines().next().unwrap().unwrap();
    memory.check(&what);
    // Connections are not waited for: whoever attacked may still hold some.
    drop((server, runtime));
}

fn samples() -> Vec<Vec<u8>> {
    let who = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    let raw = alloy_primitives::hex::encode_prefixed(signed(&Terms::default()).to_bytes());
    let calls = [
        ("synod_status", json!([])),
        ("synod_submit", json!([raw])),
        ("synod_account", json!([who, "latest"])),
        ("synod_block", json!([0, true])),
        ("synod_headers", json!([0, 2000])),
        ("synod_history", json!([who, null, 10])),
        ("synod_solve", json!(["id", 1, 2, 3])),
        ("synod_subscribe", json!(["transactions", { "accounts": [who] }])),
        ("synod_unsubscribe", json!(["id"])),
        ("synod_pool", json!([who])),
        ("synod_template", json!([who])),
        ("synod_transaction", json!([format!("0x{}", "77".repeat(32))])),
    ];
    let calls = calls.map(|(method, params)| request(method, params));
    let batch = Value::Array(calls.to_vec());
    let notification = json!({ "jsonrpc": "2.0", "method": "synod_status" });
    calls.into_iter().chain([batch, notification]).map(|call| call.to_string().into_bytes()).collect()
}

/// One hostile client among several.
struct Attacker {
    address: SocketAddr,
    /// Loopback has many addresses: a port of each is left alone for a while after a connection.
    from: IpAddr,
    mutator: Mutator,
    samples: Arc<Vec<Vec<u8>>>,
    tried: Arc<AtomicU64>,
    http: Option<Http>,
    socket: Option<Socket>,
}

impl Attacker {
    async fn run(mut self, total: u64) {
        while self.tried.load(Ordering::Relaxed) < total {
            let tried = match self.mutator.below(16) {
                0..=7 => self.calls().await,
                8..=13 => self.messages().await,
                14 => self.head().await,
                _ => self.frames().await,
            };
            self.tried.fetch_add(tried, Ordering::Relaxed);
        }
    }

    fn body(&mut self) -> Vec<u8> {
        match self.mutator.below(3) {
            0 => self.mutator.bytes(&self.samples),
            _ => self.mutator.text(&self.samples).into_bytes(),
        }
    }

    async fn connect(&mut self) -> Http {
        Http::connect_from(self.from, self.address).await
    }

    /// Calls over HTTP, several before the first answer.
    async fn calls(&mut self) -> u64 {
        let mut http = match self.http.take() {
            Some(http) => http,
            None => self.connect().await,
        };
        let mut bytes = Vec::new();
        for _ in 0..PIPELINED {
            let body = self.body();
            let head = format!(
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(&body);
        }
        if http.send(&bytes).await.is_err() {
            return 0;
        }
        for answered in 0..PIPELINED {
            match http.reply().await {
                Some(reply) if reply.head.contains("connection: close") => return answered as u64 + 1,
                Some(reply) => {
                    assert!(reply.body.is_empty() || serde_json::from_slice::<Value>(&reply.body).is_ok());
                }
                None => return answered as u64,
            }
        }
        self.http = Some(http);
        PIPELINED as u64
    }

    /// Messages over a WebSocket, and a call whose answer shows that it lives; a protocol error may end it.
    async fn messages(&mut self) -> u64 {
        let Some(mut socket) = self.socket().await else { return 0 };
        for sent in 0..PIPELINED {
            let body = self.body();
            if socket.send(&body).await.is_err() {
                return sent as u64;
            }
        }
        if socket.is_answered().await {
            self.socket = Some(socket);
        }
        PIPELINED as u64
    }

    async fn socket(&mut self) -> Option<Socket> {
        match self.socket.take() {
            Some(socket) => Some(socket),
            None => Socket::upgrade(self.connect().await).await,
        }
    }

    /// A head that is wrong somewhere: lengths, encodings, names, ends of lines.
    async fn head(&mut self) -> u64 {
        let heads = [
            &b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
               Transfer-Encoding: chunked\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n{}"[..],
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
              Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        ];
        let bytes = self.mutator.bytes(&heads.map(<[u8]>::to_vec));
        let mut http = self.connect().await;
        // The client says no more, so that a server which waits for the rest of a head comes to an end.
        if http.send(&bytes).await.is_ok() && http.finish().await.is_ok() {
            let answered = tokio::time::timeout(STEP, http.reply()).await;
            assert!(answered.is_ok(), "neither an answer nor an end: {:?}", String::from_utf8_lossy(&bytes));
        }
        1
    }

    /// WebSocket frames that are wrong themselves: lengths, masks, opcodes, fragments.
    async fn frames(&mut self) -> u64 {
        let Some(socket) = Socket::upgrade(self.connect().await).await else { return 0 };
        let call = &self.samples[0];
        let mut text = vec![0x81, 0x80 | call.len() as u8, 0, 0, 0, 0];
        text.extend_from_slice(call);
        let begun = [vec![0x01, 0x82, 0, 0, 0, 0], b"{}".to_vec()].concat();
        let long = [vec![0x81, 0xff], u64::MAX.to_be_bytes().to_vec(), vec![0; 4]].concat();
        let frames = [text, begun, long, vec![0x89, 0x80, 0, 0, 0, 0], vec![0x88, 0x80, 0, 0, 0, 0]];
        let bytes: Vec<u8> = (0..8).flat_map(|_| self.mutator.bytes(&frames)).collect();
        let mut http = socket.into_http();
        if http.send(&bytes).await.is_ok() && http.finish().await.is_ok() {
            let ended = tokio::time::timeout(STEP, http.rest()).await;
            assert!(ended.is_ok(), "the connection does not end: {bytes:?}");
        }
        8
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a7_a8_and_r17_hostile_inputs_to_the_rpc() {
    let (server, at) = Apart::start("rpc::tests::fuzz::victim");
    let (total, begun, address) = (inputs(6_000), Instant::now(), at.parse().unwrap());
    let (samples, tried) = (Arc::new(samples()), Arc::new(AtomicU64::new(0)));
    let mut attackers = tokio::task::JoinSet::new();
    for number in 0..ATTACKERS {
        let mutator = Mutator::new(seed().wrapping_mul(ATTACKERS).wrapping_add(number));
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 1, number as u8 + 1));
        let (samples, tried) = (Arc::clone(&samples), Arc::clone(&tried));
        let attacker = Attacker { address, from, mutator, samples, tried, http: None, socket: None };
        attackers.spawn(attacker.run(total));
    }
    let mut slowest = Duration::ZERO;
    while !attackers.is_empty() {
        tokio::select! {
            Some(ended) = attackers.join_next() => ended.unwrap(),
            // An honest client, meanwhile, on a connection of its own each time.
            waited = honest_call(address) => slowest = slowest.max(waited),
        }
    }
    let tried = tried.load(Ordering::Relaxed);
    println!("{tried} inputs in {:?}; an honest call took {slowest:?} at most", begun.elapsed());
    server.end(&format!("{tried} hostile inputs to the RPC"));
}

async fn honest_call(address: SocketAddr) -> Duration {
    tokio::time::sleep(Duration::from_millis(20)).await;
    let begun = Instant::now();
    Http::connect(address).await.result("synod_status", json!([])).await;
    begun.elapsed()
}

//! Hostile inputs by the thousand: mutated requests over HTTP and WebSocket. `SYNOD_HOSTILE_INPUTS` says how
//! many; each gets an answer or a closed connection, and memory stays where it was.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::client::{Http, Socket, request};
use super::serve_limited;
use crate::mempool::tests::fixture::{Terms, signed};
use crate::rpc::limits::Rate;

/// What the process may grow by, in bytes.
const GROWTH: u64 = 64 * 1024 * 1024;

fn inputs() -> u64 {
    std::env::var("SYNOD_HOSTILE_INPUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

/// The resident memory of this process, in bytes; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn samples() -> Vec<Value> {
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
    ];
    let calls = calls.map(|(method, params)| request(method, params));
    let batch = Value::Array(calls.to_vec());
    calls.into_iter().chain([batch]).collect()
}

const TOKENS: [&[u8]; 12] = [
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\"\"",
    b"[]",
    b"{}",
    b"\\u0000",
    b"\xff\xfe",
    b"[[[[",
    b"\",\"",
    b"99999999999999999999999999999999999",
];

fn mutated(samples: &[Value], random: &mut ChaCha20Rng) -> Vec<u8> {
    let pick = |random: &mut ChaCha20Rng, below: usize| random.next_u32() as usize % below;
    let mut bytes = samples[pick(random, samples.len())].to_string().into_bytes();
    for _ in 0..pick(random, 3) + 1 {
        let at = pick(random, bytes.len());
        match pick(random, 5) {
            0 => bytes[at] = random.next_u32() as u8,
            1 => bytes.truncate(at.max(1)),
            2 => {
                let token = TOKENS[pick(random, TOKENS.len())];
                let end = (at + pick(random, 8)).min(bytes.len());
                bytes.splice(at..end, token.iter().copied());
            }
            3 => {
                let copy = bytes[at..(at + pick(random, 64)).min(bytes.len())].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                bytes.remove(at);
            }
        }
        if bytes.is_empty() {
            bytes.push(b' ');
        }
    }
    bytes
}

fn generous(limits: &mut crate::rpc::RpcLimits) {
    limits.loopback_rate = Rate { per_second: 1_000_000_000, burst: 1_000_000_000 };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_http_requests_get_answers_and_leave_no_trace() {
    let (_server, _, address) = serve_limited(generous).await;
    let (samples, mut random) = (samples(), ChaCha20Rng::seed_from_u64(10));
    let mut http = Http::connect(address).await;
    let mut before = 0;
    for number in 0..inputs() {
        if number == inputs() / 10 {
            before = resident();
        }
        let body = mutated(&samples, &mut random);
        match http.post(&body).await {
            Some(reply) if reply.head.contains("connection: close") => http = Http::connect(address).await,
            Some(reply) => {
                assert!(reply.body.is_empty() || serde_json::from_slice::<Value>(&reply.body).is_ok());
            }
            None => http = Http::connect(address).await,
        }
    }
    assert!(resident() <= before + GROWTH);
    Http::connect(address).await.result("synod_status", json!([])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_http_heads_get_answers_or_an_end() {
    let (_server, _, address) = serve_limited(generous).await;
    let mut random = ChaCha20Rng::seed_from_u64(11);
    let sample =
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
                   Transfer-Encoding: chunked\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n{}";
    for _ in 0..inputs() / 4 {
        let mut bytes = sample.to_vec();
        for _ in 0..random.next_u32() % 4 + 1 {
            let at = random.next_u32() as usize % bytes.len();
            bytes[at] = if random.next_u32() % 2 == 0 { random.next_u32() as u8 } else { b'\n' };
        }
        let mut http = Http::connect(address).await;
        // The client says no more, so that a server which waits for the rest of a head comes to an end.
        if http.send(&bytes).await.is_ok() && http.finish().await.is_ok() {
            http.reply().await;
        }
    }
    Http::connect(address).await.result("synod_status", json!([])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_websocket_messages_get_answers_and_leave_no_trace() {
    let (_server, _, address) = serve_limited(generous).await;
    let (samples, mut random) = (samples(), ChaCha20Rng::seed_from_u64(12));
    let mut socket = Socket::connect(address).await;
    let mut before = 0;
    for number in 0..inputs() {
        if number == inputs() / 10 {
            before = resident();
        }
        let message = mutated(&samples, &mut random);
        // A call after each message shows that the connection lives; a protocol error may end it.
        let alive = socket.send(&message).await.is_ok() && socket.is_answered().await;
        if !alive {
            socket = Socket::connect(address).await;
        }
    }
    assert!(resident() <= before + GROWTH);
    Http::connect(address).await.result("synod_status", json!([])).await;
}

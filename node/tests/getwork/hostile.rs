//! Clients that mean no good: nonsense by the thousand, connections that say nothing or never end, guessed
//! passwords. After each of them a miner is served as before. `SYNOD_HOSTILE_INPUTS` says how many inputs.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::twin::{Connection, GBT_REQUEST, GETWORK_REQUEST, Kind, Work};
use super::{Running, blocking};

/// More than there are places.
const IDLERS: usize = 400;

fn inputs() -> u64 {
    std::env::var("SYNOD_HOSTILE_INPUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

/// `miner:secret`, as the endpoint wants it.
const AUTHORIZATION: &str = "Authorization: Basic bWluZXI6c2VjcmV0\r\n";

/// A miner is served, after a moment if its address has just misbehaved.
fn is_served(address: SocketAddr) {
    let mut connection = Connection::new(address, Kind::Minerd, "miner", "secret");
    let reply = loop {
        match connection.post("/", GETWORK_REQUEST).unwrap() {
            reply if reply.status == 429 => std::thread::sleep(Duration::from_millis(20)),
            reply => break reply,
        }
    };
    Work::decode(&reply.json["result"]);
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Says this and nothing more, and reads whatever comes until the other side closes. Who shuts its own side does
/// not wait for an answer any more, and may get none.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    // The endpoint may answer, and close, before it has read all.
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    hear(stream)
}

/// Says this and waits for the answer, and until the other side closes.
fn ask(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    let _ = stream.write_all(bytes);
    hear(stream)
}

fn hear(mut stream: TcpStream) -> String {
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}

fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A request with something wrong in it, wherever chance wants it.
fn mutated(random: &mut ChaCha20Rng, solution: &str) -> Vec<u8> {
    const TOKENS: [&[u8]; 10] =
        [b"null", b"-1", b"1e999", b"\"\"", b"[[[[", b"{}", b"\\u0000", b"\xff\xfe", b"\r\n\r\n", b": "];
    let pick = |random: &mut ChaCha20Rng, below: usize| random.next_u32() as usize % below.max(1);
    let body = [GETWORK_REQUEST, GBT_REQUEST, solution][pick(random, 3)];
    let mut body = body.as_bytes().to_vec();
    // Half of them are broken in the body, where they are read; the others anywhere, the password too.
    let mut bytes = match pick(random, 2) {
        0 => {
            mutate(&mut body, random, &TOKENS);
            return post("/", AUTHORIZATION, &body);
        }
        _ => post("/", AUTHORIZATION, &body),
    };
    mutate(&mut bytes, random, &TOKENS);
    bytes
}

fn mutate(bytes: &mut Vec<u8>, random: &mut ChaCha20Rng, tokens: &[&[u8]]) {
    for _ in 0..random.next_u32() % 3 + 1 {
        let at = random.next_u32() as usize % bytes.len().max(1);
        match random.next_u32() % 4 {
            0 if at < bytes.len() => bytes[at] = random.next_u32() as u8,
            1 => bytes.truncate(at),
            2 => {
                let token = tokens[random.next_u32() as usize % tokens.len()];
                bytes.splice(at..at, token.iter().copied());
            }
            _ => {
                let end = (at + random.next_u32() as usize % 64).min(bytes.len());
                let copy = bytes[at.min(end)..end].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_by_the_thousand_is_answered_or_dropped() {
    let node = Running::start().await;
    let address = node.address();
    blocking(move || {
        let mut random = ChaCha20Rng::seed_from_u64(0x6e75);
        let solution = Work { data: [7; 32], target: [0; 8] }.request(Kind::Minerd);
        for input in 0..inputs() {
            let bytes = mutated(&mut random, &solution);
            let reply = exchange(address, &bytes);
            // A request may become one of HTTP/1.0 on the way.
            assert!(reply.is_empty() || reply.starts_with("HTTP/1."), "input {input}: {reply}");
            assert!(!reply.contains("\"result\":true"), "input {input}");
        }
        is_served(address);
    })
    .await;
    assert_eq!(node.height().await, 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_bounds_are_refused_with_a_status() {
    let node = Running::start().await;
    let address = node.address();
    blocking(move || {
        let status = |bytes: &[u8]| ask(address, bytes).split(' ').nth(1).unwrap_or_default().to_owned();
        assert_eq!(status(&post("/", "", GETWORK_REQUEST.as_bytes())), "401");
        assert_eq!(status(&post("/", AUTHORIZATION, &vec![b' '; 20_000])), "413");
        let endless =
            format!("POST / HTTP/1.1\r\nHost: x\r\n{AUTHORIZATION}Content-Length: 99999999999999\r\n\r\n");
        assert_eq!(status(&[endless.as_bytes(), &[b'x'; 30_000]].concat()), "413");
        let chunked = format!(
            "POST / HTTP/1.1\r\nHost: x\r\n{AUTHORIZATION}Transfer-Encoding: chunked\r\n\r\n5000\r\n"
        );
        assert_eq!(status(&[chunked.as_bytes(), &[b'x'; 0x5000]].concat()), "413");
        let long = format!("POST / HTTP/1.1\r\nX-Long: {}\r\n\r\n", "x".repeat(64 * 1024));
        assert_eq!(status(long.as_bytes()), "431");
        assert_eq!(
            status(
                format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{AUTHORIZATION}\r\n").as_bytes()
            ),
            "405"
        );
        assert_eq!(status(&post("/", AUTHORIZATION, b"[]")), "400");
        assert_eq!(status(&post("/", AUTHORIZATION, "[".repeat(10_000).as_bytes())), "400");
        is_served(address);
    })
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_password_keeps_no_miner_out() {
    let node = Running::start().await;
    let address = node.address();
    blocking(move || {
        let mut miner = Connection::new(address, Kind::Minerd, "miner", "secret");
        miner.call("/", GETWORK_REQUEST, false).unwrap();
        // A head that does not end, a body that does not come, and nothing at all.
        let half = b"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ".to_vec();
        let bodiless = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".to_vec();
        let held: Vec<TcpStream> = (0..IDLERS)
            .map(|index| {
                let mut stream = connect(address);
                let say: &[u8] = [&half[..], &bodiless[..], b""][index % 3];
                // Some were sent away while this was going on.
                let _ = stream.write_all(say);
                stream
            })
            .collect();
        is_served(address);
        miner.call("/", GETWORK_REQUEST, false).unwrap();
        drop(held);
    })
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slow_and_disturbs_nobody_who_knows() {
    let node = Running::start().await;
    let address = node.address();
    blocking(move || {
        let mut miner = Connection::new(address, Kind::Minerd, "miner", "secret");
        miner.call("/", GETWORK_REQUEST, false).unwrap();
        let mut statuses = Vec::new();
        for guess in 0..300 {
            let mut connection = Connection::new(address, Kind::Minerd, "miner", &format!("guess{guess}"));
            statuses.push(connection.post("/", GETWORK_REQUEST).unwrap().status);
            if guess % 50 == 0 {
                assert_eq!(miner.post("/", GETWORK_REQUEST).unwrap().status, 200);
            }
        }
        assert_eq!(statuses[0], 401);
        assert!(statuses.contains(&429), "guesses are counted");
        assert!(statuses.iter().all(|status| [401, 429].contains(status)));
    })
    .await;
    node.stop().await;
}

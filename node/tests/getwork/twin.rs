//! A twin of the miners that people run: it says, reads and decides what `minerd -a sha256d` and cpuminer-opt
//! say, read and decide, byte for byte, and really searches.
//!
//! It shares no code with the endpoint: bytes, words and digests are its own.

#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// What both ask first.
pub const GBT_REQUEST: &str = "{\"method\": \"getblocktemplate\", \"params\": [{\"capabilities\": [\"coinbasetxn\", \"coinbasevalue\", \"longpoll\", \"workid\"], \"rules\": [\"segwit\"]}], \"id\":0}\r\n";
/// What both ask then.
pub const GETWORK_REQUEST: &str = "{\"method\": \"getwork\", \"params\": [], \"id\":0}\r\n";

/// Whose habits the twin has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// pooler's: an HTTP status of 400 and more ends a call unread, and 404 counts as "no such method".
    Minerd,
    /// cpuminer-opt: statuses are not looked at, and an error's integer code counts as a failed connection.
    Opt,
}

/// A unit of work in the miner's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    pub data: [u32; 32],
    pub target: [u32; 8],
}

/// What came of a call.
#[derive(Debug)]
pub enum Failed {
    /// curl failed, or the miner takes it for that: no other protocol is tried.
    Curl(String),
    /// There was an answer, and it is an error.
    Answer,
}

/// What a call gives beside its result.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub json: Value,
    pub long_poll: Option<String>,
    pub reject_reason: Option<String>,
}

/// One of a miner's connections, kept open as curl does.
pub struct Connection {
    address: SocketAddr,
    kind: Kind,
    authorization: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    pub fn new(address: SocketAddr, kind: Kind, user: &str, password: &str) -> Self {
        let authorization = format!("Basic {}", base64(format!("{user}:{password}").as_bytes()));
        Self { address, kind, authorization, stream: None }
    }

    /// One request over HTTP, again over a new connection when the kept one was closed meanwhile.
    pub fn post(&mut self, path: &str, body: &str) -> std::io::Result<Reply> {
        let kept = self.stream.is_some();
        match self.exchange(path, body) {
            Err(_) if kept => {
                self.stream = None;
                self.exchange(path, body)
            }
            other => other,
        }
    }

    fn exchange(&mut self, path: &str, body: &str) -> std::io::Result<Reply> {
        let extensions = match self.kind {
            Kind::Minerd => "User-Agent: cpuminer/2.5.1\r\nX-Mining-Extensions: midstate\r\n",
            Kind::Opt => "User-Agent: cpuminer-opt/25.7\r\nX-Mining-Extensions: longpoll reject-reason\r\n",
        };
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nAccept-Encoding: deflate, gzip, br, zstd\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n{extensions}\r\n{body}",
            self.address,
            self.authorization,
            body.len()
        );
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(270)))?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut().unwrap();
        stream.get_mut().write_all(request.as_bytes())?;
        let (reply, closes) = read_reply(stream)?;
        if closes {
            self.stream = None;
        }
        Ok(reply)
    }

    /// A call as the miner makes it, with what it takes for a failure.
    pub fn call(&mut self, path: &str, body: &str, quiet_404: bool) -> Result<Reply, Failed> {
        let reply = self.post(path, body).map_err(|error| Failed::Curl(error.to_string()))?;
        if self.kind == Kind::Minerd && reply.status >= 400 {
            let unknown = quiet_404 && reply.status == 404;
            return Err(if unknown {
                Failed::Answer
            } else {
                Failed::Curl(format!("HTTP {}", reply.status))
            });
        }
        let object = reply.json.as_object().ok_or(Failed::Answer)?;
        let error = object.get("error").filter(|error| !error.is_null());
        if let Some(error) = error {
            let code = error["code"].as_i64().filter(|code| *code != 0);
            let is_failure = self.kind == Kind::Opt && code.is_some();
            return Err(if is_failure { Failed::Curl(format!("code {code:?}")) } else { Failed::Answer });
        }
        if object.contains_key("result") { Ok(reply) } else { Err(Failed::Answer) }
    }
}

fn read_reply(stream: &mut BufReader<TcpStream>) -> std::io::Result<(Reply, bool)> {
    let broken = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let mut reply = Reply { status, ..Reply::default() };
    let (mut length, mut closes) = (0, false);
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(broken());
        }
        let Some((key, value)) = line.trim().split_once(':') else { break };
        let value = value.trim().to_owned();
        match key.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "connection" => closes = value.eq_ignore_ascii_case("close"),
            "x-long-polling" => reply.long_poll = Some(value),
            "x-reject-reason" => reply.reject_reason = Some(value),
            "transfer-encoding" | "content-encoding" => panic!("no miner needs {key}: {value}"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    reply.json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok((reply, closes))
}

impl Work {
    /// As the miner decodes it: hex, then every word little-endian.
    pub fn decode(result: &Value) -> Self {
        Self {
            data: words(result["data"].as_str().unwrap()),
            target: words(result["target"].as_str().unwrap()),
        }
    }

    /// The request that hands a solution in.
    pub fn request(&self, kind: Kind) -> String {
        let hex: String =
            self.data.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("{byte:02x}")).collect();
        match kind {
            Kind::Minerd => format!("{{\"method\": \"getwork\", \"params\": [ \"{hex}\" ], \"id\":1}}\r\n"),
            Kind::Opt => format!("{{\"method\": \"getwork\", \"params\": [\"{hex}\"], \"id\":4}}\r\n"),
        }
    }

    /// The block below, by which a miner knows a new tip.
    pub fn previous(&self) -> &[u32] {
        &self.data[1..9]
    }

    /// Whether the digest, a number of eight words with the last the highest, is not above the target.
    pub fn is_solved(&self) -> bool {
        let bytes: Vec<u8> = self.data[..20].iter().flat_map(|word| word.to_be_bytes()).collect();
        let digest = Sha256::digest(Sha256::digest(bytes));
        let digest: Vec<u32> =
            digest.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
        for (hash, target) in digest.iter().zip(self.target).rev() {
            if *hash != target {
                return *hash < target;
            }
        }
        true
    }

    /// Searches from the nonce in hand on; false when `restart` was set first.
    pub fn search(&mut self, restart: &AtomicBool) -> bool {
        while !restart.load(Ordering::Relaxed) {
            if self.is_solved() {
                return true;
            }
            self.data[19] = self.data[19].wrapping_add(1);
        }
        false
    }
}

fn words<const N: usize>(hex: &str) -> [u32; N] {
    assert_eq!(hex.len(), 8 * N, "so many hex digits and no more: {hex}");
    core::array::from_fn(|i| {
        let byte = |j: usize| u8::from_str_radix(&hex[8 * i + 2 * j..8 * i + 2 * j + 2], 16).unwrap();
        u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |value: u32| DIGITS[(value & 63) as usize] as char;
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(*chunk.get(i).unwrap_or(&0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        text.push(digit(bits >> 18));
        text.push(digit(bits >> 12));
        text.push(if chunk.len() > 1 { digit(bits >> 6) } else { '=' });
        text.push(if chunk.len() > 2 { digit(bits) } else { '=' });
    }
    text
}

/// A whole miner: its threads share the work in hand as minerd's do.
pub struct Miner {
    address: SocketAddr,
    kind: Kind,
    user: String,
    password: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    work: Mutex<Option<(Work, Instant)>>,
    restart: AtomicBool,
    stop: AtomicBool,
    long_polls: AtomicU64,
    accepted: AtomicU64,
    rejected: Mutex<Vec<String>>,
    stale: AtomicU64,
}

/// What a miner's run came to.
#[derive(Debug)]
pub struct Mined {
    pub accepted: u64,
    pub rejected: Vec<String>,
    /// Solutions that the miner threw away itself, because it knew of a new tip.
    pub stale: u64,
    /// Work that came by long poll.
    pub pushed: u64,
}

impl Miner {
    pub fn new(address: SocketAddr, kind: Kind, user: &str, password: &str) -> Self {
        Self { address, kind, user: user.to_owned(), password: password.to_owned(), state: Arc::default() }
    }

    fn connection(&self) -> Connection {
        Connection::new(self.address, self.kind, &self.user, &self.password)
    }

    /// Asks for work as the miner does when it starts: `getblocktemplate`, then `getwork`.
    pub fn first_work(&self, connection: &mut Connection) -> Result<Reply, Failed> {
        match connection.call("/", GBT_REQUEST, true) {
            Err(Failed::Answer) => connection.call("/", GETWORK_REQUEST, false),
            Err(failed) => Err(failed),
            Ok(reply) => panic!("no templates are given here: {reply:?}"),
        }
    }

    /// Mines until `done` says so of the accepted blocks.
    pub fn mine_until(&self, done: impl Fn(u64) -> bool) -> Mined {
        let mut connection = self.connection();
        let first = self.first_work(&mut connection).unwrap();
        self.state.take(Work::decode(&first.json["result"]));
        let path = first.long_poll.expect("every answer names the path of long polls");
        std::thread::scope(|scope| {
            scope.spawn(|| self.follow(&path));
            while !done(self.state.accepted.load(Ordering::Relaxed)) {
                self.scan(&mut connection);
            }
            self.state.stop.store(true, Ordering::Relaxed);
        });
        let state = &self.state;
        Mined {
            accepted: state.accepted.load(Ordering::Relaxed),
            rejected: state.rejected.lock().unwrap().clone(),
            stale: state.stale.load(Ordering::Relaxed),
            pushed: state.long_polls.load(Ordering::Relaxed),
        }
    }

    /// minerd's mining thread: the work in hand, a search, a submission.
    fn scan(&self, connection: &mut Connection) {
        let (mut work, taken) = self.state.work.lock().unwrap().unwrap();
        if taken.elapsed() >= Duration::from_secs(60) {
            let reply = connection.call("/", GETWORK_REQUEST, false).unwrap();
            self.state.take(Work::decode(&reply.json["result"]));
            return;
        }
        self.state.restart.store(false, Ordering::Relaxed);
        if work.search(&self.state.restart) {
            self.submit(connection, &work);
            // minerd goes on with the next nonce until it hears of another tip.
            if let Some((held, _)) = self.state.work.lock().unwrap().as_mut()
                && held.data[..19] == work.data[..19]
            {
                held.data[19] = work.data[19].wrapping_add(1);
            }
        }
    }

    fn submit(&self, connection: &mut Connection, work: &Work) {
        let held = self.state.work.lock().unwrap().unwrap().0;
        if held.previous() != work.previous() {
            self.state.stale.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let reply = connection.call("/", &work.request(self.kind), false).unwrap();
        if reply.json["result"] == true {
            assert_eq!(reply.reject_reason, None);
            self.state.accepted.fetch_add(1, Ordering::Relaxed);
        } else {
            self.state.rejected.lock().unwrap().push(reply.reject_reason.unwrap_or_default());
        }
    }

    /// minerd's long-poll thread.
    fn follow(&self, path: &str) {
        let mut connection = self.connection();
        while !self.state.stop.load(Ordering::Relaxed) {
            let reply = connection.call(path, GETWORK_REQUEST, false).unwrap();
            self.state.long_polls.fetch_add(1, Ordering::Relaxed);
            self.state.take(Work::decode(&reply.json["result"]));
        }
    }
}

impl State {
    fn take(&self, work: Work) {
        *self.work.lock().unwrap() = Some((work, Instant::now()));
        self.restart.store(true, Ordering::Relaxed);
    }
}

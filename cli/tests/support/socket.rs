//! A WebSocket by hand, and a subscriber on it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};

/// Messages that may wait to be looked at.
const WAITING: usize = 1 << 16;
/// Nothing that is waited for takes so long.
const PATIENCE: Duration = Duration::from_secs(300);

/// A subscription to the blocks of a node. A thread reads it all the while: a node takes whoever does not answer its
/// pings for gone, and who asserts something else meanwhile may take long.
pub struct Subscriber {
    messages: Receiver<Value>,
    /// The blocks that joined and have not left, as the events told.
    pub view: Vec<String>,
    /// The blocks that left.
    pub reverted: Vec<String>,
}

impl Subscriber {
    pub fn of_blocks(url: &str) -> Self {
        let mut socket = Socket::open(url);
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "synod_subscribe", "params": ["blocks"] });
        socket.say(&call).unwrap();
        assert!(socket.message().unwrap().get("result").is_some(), "subscribed");
        let (told, messages) = sync_channel(WAITING);
        std::thread::spawn(move || {
            // Until the node ends, or the test.
            while let Ok(message) = socket.message()
                && told.send(message).is_ok()
            {}
        });
        Self { messages, view: Vec::new(), reverted: Vec::new() }
    }

    /// Follows the events until the view ends in the node's tip, which goes on moving.
    pub fn follow_to(&mut self, tip: impl Fn() -> String) {
        while self.view.last() != Some(&tip()) {
            let message = self.messages.recv_timeout(PATIENCE).expect("an event, or the end of the node");
            let event = &message["params"]["result"];
            let hash = event["block"]["hash"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned();
            match event["kind"].as_str().unwrap() {
                "block" => self.view.push(hash),
                "reverted" => {
                    // Blocks from before the subscription leave without having been seen to join.
                    assert!(self.view.pop().is_none_or(|last| last == hash), "events lead block by block");
                    self.reverted.push(hash);
                }
                other => panic!("an event of kind {other}"),
            }
        }
    }
}

/// What little of RFC 6455 a subscriber needs.
struct Socket(TcpStream);

impl Socket {
    fn open(url: &str) -> Self {
        let mut socket = Self(TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap());
        socket.0.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket.0.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.extend(socket.bytes(1).unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        socket
    }

    fn say(&mut self, call: &Value) -> io::Result<()> {
        let call = call.to_string();
        // A mask of zeros leaves the bytes as they are.
        self.0.write_all(&[&[0x81, 0x80 | call.len() as u8, 0, 0, 0, 0], call.as_bytes()].concat())
    }

    /// The next message; pings before it are answered.
    fn message(&mut self) -> io::Result<Value> {
        loop {
            let head = self.bytes(2)?;
            let length = match head[1] {
                126 => usize::from(u16::from_be_bytes(self.bytes(2)?.try_into().unwrap())),
                127 => u64::from_be_bytes(self.bytes(8)?.try_into().unwrap()) as usize,
                short => usize::from(short),
            };
            let payload = self.bytes(length)?;
            match head[0] & 0x0f {
                1 => return Ok(serde_json::from_slice(&payload).unwrap()),
                9 => {
                    let pong = [&[0x8a, 0x80 | payload.len() as u8, 0, 0, 0, 0], &payload[..]].concat();
                    self.0.write_all(&pong)?;
                }
                other => return Err(io::Error::other(format!("a frame of kind {other}"))),
            }
        }
    }

    fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

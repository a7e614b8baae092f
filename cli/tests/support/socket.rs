//! A WebSocket by hand, and a subscriber on it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

/// A subscription to the blocks of a node.
pub struct Subscriber {
    stream: TcpStream,
    /// The blocks that joined and have not left, as the events told.
    pub view: Vec<String>,
    /// The blocks that left.
    pub reverted: Vec<String>,
}

impl Subscriber {
    pub fn of_blocks(url: &str) -> Self {
        let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
        let mut socket = Self { stream, view: Vec::new(), reverted: Vec::new() };
        let head = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket.stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.extend(socket.bytes(1));
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "synod_subscribe", "params": ["blocks"] })
            .to_string();
        // A mask of zeros leaves the bytes as they are.
        socket
            .stream
            .write_all(&[&[0x81, 0x80 | call.len() as u8, 0, 0, 0, 0], call.as_bytes()].concat())
            .unwrap();
        assert!(socket.message().get("result").is_some(), "subscribed");
        socket
    }

    /// Follows the events until the view ends in the node's tip, which goes on moving.
    pub fn follow_to(&mut self, tip: impl Fn() -> String) {
        while self.view.last() != Some(&tip()) {
            let message = self.message();
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

    fn message(&mut self) -> Value {
        loop {
            let head = self.bytes(2);
            let length = match head[1] {
                126 => usize::from(u16::from_be_bytes(self.bytes(2).try_into().unwrap())),
                127 => u64::from_be_bytes(self.bytes(8).try_into().unwrap()) as usize,
                short => usize::from(short),
            };
            let payload = self.bytes(length);
            match head[0] & 0x0f {
                1 => return serde_json::from_slice(&payload).unwrap(),
                9 => {
                    let pong = [&[0x8a, 0x80 | payload.len() as u8, 0, 0, 0, 0], &payload[..]].concat();
                    self.stream.write_all(&pong).unwrap();
                }
                other => panic!("a frame of kind {other}"),
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }
}

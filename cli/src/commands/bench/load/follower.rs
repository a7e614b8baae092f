//! What becomes final at a node, and when: a subscription to its settled blocks.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::client::http::Url;
use crate::failure::{Exit, Failure, Outcome};

/// How often a blocked read looks whether it shall end.
const SLICE: Duration = Duration::from_millis(200);
/// The longest message (RPC-1: nodes give at most 4 MiB over a WebSocket).
const MESSAGE_LIMIT: usize = 4 << 20;

/// A settled block, as the subscription tells it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settled {
    /// Its height.
    pub(crate) height: u64,
    /// When it was told.
    pub(crate) at: Instant,
}

/// Follows one node until it is dropped.
pub(crate) struct Follower {
    settled: Arc<Mutex<Vec<Settled>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Subscribes.
    ///
    /// # Errors
    /// The node does not answer, or refuses.
    pub(crate) fn start(url: &Url) -> Outcome<Self> {
        let failed = |error: std::io::Error| {
            let message = format!("the node at {url} cannot be followed: {error}");
            Failure::new(Exit::Unreachable, "node_unreachable", message)
        };
        let (settled, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let socket = Socket::open(url, Arc::clone(&stop)).map_err(failed)?;
        let told = Arc::clone(&settled);
        let thread = std::thread::Builder::new()
            .name("follower".to_owned())
            .spawn(move || follow(socket, &told))
            .map_err(failed)?;
        Ok(Self { settled, stop, thread: Some(thread) })
    }

    /// What was told so far, in order.
    pub(crate) fn settled(&self) -> Vec<Settled> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest.
    pub(crate) fn newest(&self) -> Option<Settled> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).last().copied()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed; there is nothing to clean up.
            let _ = thread.join();
        }
    }
}

/// Notes what is told until the connection ends or nobody wants to know.
fn follow(mut socket: Socket, settled: &Mutex<Vec<Settled>>) {
    #[derive(Deserialize)]
    struct Message {
        params: Params,
    }
    #[derive(Deserialize)]
    struct Params {
        result: Event,
    }
    #[derive(Deserialize)]
    struct Event {
        block: Block,
    }
    #[derive(Deserialize)]
    struct Block {
        height: u64,
    }
    while let Ok(message) = socket.message() {
        let at = Instant::now();
        let Ok(Message { params: Params { result: Event { block } } }) = serde_json::from_slice(&message)
        else {
            continue;
        };
        let mut settled = settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.push(Settled { height: block.height, at });
    }
}

/// A WebSocket, as far as a subscription needs one.
struct Socket {
    stream: TcpStream,
    stop: Arc<AtomicBool>,
}

impl Socket {
    fn open(url: &Url, stop: Arc<AtomicBool>) -> std::io::Result<Self> {
        let stream = url.connect()?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SLICE))?;
        let mut socket = Self { stream, stop };
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            url.path(),
            url.authority()
        );
        socket.stream.write_all(head.as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") && answer.len() < 16 * 1024 {
            let mut byte = [0];
            socket.fill(&mut byte)?;
            answer.push(byte[0]);
        }
        if !answer.starts_with(b"HTTP/1.1 101") {
            return Err(std::io::Error::other("it speaks no WebSocket"));
        }
        let call = br#"{"jsonrpc":"2.0","id":1,"method":"synod_subscribe","params":["settled"]}"#;
        // A mask of zeros leaves the bytes as they are.
        let length = 0x80 | u8::try_from(call.len()).expect("a short call");
        socket.stream.write_all(&[&[0x81, length, 0, 0, 0, 0], &call[..]].concat())?;
        let answer = socket.message()?;
        let is_subscribed = String::from_utf8_lossy(&answer).contains("\"result\"");
        if is_subscribed { Ok(socket) } else { Err(std::io::Error::other("it refuses a subscription")) }
    }

    /// The next text. Pings are answered meanwhile.
    fn message(&mut self) -> std::io::Result<Vec<u8>> {
        loop {
            let mut head = [0; 2];
            self.fill(&mut head)?;
            let length = match head[1] {
                126 => usize::from(u16::from_be_bytes(self.array()?)),
                127 => usize::try_from(u64::from_be_bytes(self.array()?)).unwrap_or(usize::MAX),
                short => usize::from(short),
            };
            if length > MESSAGE_LIMIT {
                return Err(std::io::Error::other("a message without end"));
            }
            let mut payload = vec![0; length];
            self.fill(&mut payload)?;
            match head[0] & 0x0f {
                1 => return Ok(payload),
                9 if length < 126 => {
                    let length = 0x80 | u8::try_from(length).unwrap_or_default();
                    self.stream.write_all(&[&[0x8a, length, 0, 0, 0, 0], &payload[..]].concat())?;
                }
                _ => return Err(std::io::ErrorKind::ConnectionAborted.into()),
            }
        }
    }

    fn array<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> std::io::Result<()> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.stream.read(&mut bytes[filled..]) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => filled += length,
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock
                            | std::io::ErrorKind::TimedOut
                            | std::io::ErrorKind::Interrupted
                    ) =>
                {
                    if self.stop.load(Ordering::Relaxed) {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

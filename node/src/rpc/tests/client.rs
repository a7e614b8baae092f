//! Clients that speak bytes, so that they can also speak nonsense: HTTP and WebSocket by hand.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use crate::rpc::types::Refusal;

/// An HTTP connection.
pub(super) struct Http {
    stream: BufReader<TcpStream>,
}

/// A response: its status, its head in lower case, its body.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// The refusal in a JSON-RPC response.
pub(super) fn refusal(response: &Value) -> Refusal {
    let error = &response["error"];
    assert!(error.is_object(), "an error was expected: {response}");
    let message = error["message"].as_str().expect("a message");
    Refusal::from_error(error["code"].as_i64().expect("a number") as i32, message, error.get("data"))
}

pub(super) fn request(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

impl Http {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("listening"))
    }

    /// A connection from a loopback address of the caller's choice.
    pub(super) async fn connect_from(from: IpAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("loopback");
        Self::over(socket.connect(address).await.expect("listening"))
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket takes its options");
        Self { stream: BufReader::new(stream) }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes).await
    }

    /// Reads a response; `None` when the server closed the connection instead.
    pub(super) async fn reply(&mut self) -> Option<Reply> {
        let mut head = String::new();
        loop {
            let before = head.len();
            if self.stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
            if head[before..].trim().is_empty() {
                break;
            }
        }
        let head = head.to_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().expect("a length"))];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(Reply { status, head, body })
    }

    /// Everything that still comes, until the server closes the connection.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset ends it as well.
        let _ = self.stream.read_to_end(&mut rest).await;
        rest
    }

    /// Says no more.
    pub(super) async fn finish(&mut self) -> std::io::Result<()> {
        self.stream.get_mut().shutdown().await
    }

    /// POSTs a body with further header lines.
    pub(super) async fn post_with(&mut self, headers: &str, body: &[u8]) -> Option<Reply> {
        let head = format!(
            "POST / HTTP/1.1\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        // The server may answer, and close, before it has read all.
        let _ = self.send(&[head.as_bytes(), body].concat()).await;
        self.reply().await
    }

    pub(super) async fn post(&mut self, body: &[u8]) -> Option<Reply> {
        self.post_with("Host: localhost\r\n", body).await
    }

    pub(super) async fn call(&mut self, method: &str, params: Value) -> Value {
        let body = request(method, params).to_string();
        self.post(body.as_bytes()).await.expect("an answer").json()
    }

    /// The result of a call that succeeds.
    pub(super) async fn result(&mut self, method: &str, params: Value) -> Value {
        let response = self.call(method, params).await;
        assert!(response.get("error").is_none(), "{method}: {response}");
        response["result"].clone()
    }
}

/// A WebSocket connection.
pub(super) struct Socket {
    http: Http,
    /// Notifications that came while a response was waited for.
    waiting: Vec<Value>,
}

impl Socket {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.expect("upgraded")
    }

    pub(super) async fn try_connect(address: SocketAddr) -> Option<Self> {
        Self::upgrade(Http::connect(address).await).await
    }

    /// Makes a WebSocket of an HTTP connection; `None` when the server refuses.
    pub(super) async fn upgrade(mut http: Http) -> Option<Self> {
        let head = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        http.send(head.as_bytes()).await.ok()?;
        let reply = http.reply().await?;
        (reply.status == 101).then_some(Self { http, waiting: Vec::new() })
    }

    /// The connection beneath.
    pub(super) fn into_http(self) -> Http {
        self.http
    }

    /// Sends a text frame of any bytes.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut frame = vec![0x81];
        match bytes.len() {
            short @ ..126 => frame.push(0x80 | short as u8),
            length => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        // A mask of zeros leaves the bytes as they are.
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(bytes);
        self.http.send(&frame).await
    }

    /// The next message; `None` when the connection is closed. Pings are answered.
    pub(super) async fn receive(&mut self) -> Option<Value> {
        loop {
            let (opcode, payload) = self.frame().await?;
            match opcode {
                1 => return Some(serde_json::from_slice(&payload).expect("JSON")),
                9 => {
                    let mut pong = vec![0x8a, 0x80 | payload.len() as u8, 0, 0, 0, 0];
                    pong.extend_from_slice(&payload);
                    self.http.send(&pong).await.ok()?;
                }
                8 => return None,
                _ => {}
            }
        }
    }

    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let stream = &mut self.http.stream;
        let (first, second) = (stream.read_u8().await.ok()?, stream.read_u8().await.ok()?);
        let length = match second {
            126 => u64::from(stream.read_u16().await.ok()?),
            127 => stream.read_u64().await.ok()?,
            short => u64::from(short),
        };
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.ok()?;
        Some((first & 0x0f, payload))
    }

    /// Calls and gives the response, keeping notifications for [`Self::event`].
    pub(super) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(request(method, params).to_string().as_bytes()).await.expect("sent");
        loop {
            let message = self.receive().await.expect("an answer");
            if message.get("id").is_some() {
                return message;
            }
            self.waiting.push(message);
        }
    }

    /// Whether a call of its own id is answered, after whatever comes before.
    pub(super) async fn is_answered(&mut self) -> bool {
        let call = br#"{"jsonrpc":"2.0","id":"still there","method":"synod_fees"}"#;
        if self.send(call).await.is_err() {
            return false;
        }
        while let Some(message) = self.receive().await {
            if message["id"] == "still there" {
                return true;
            }
        }
        false
    }

    /// The next event of a subscription.
    pub(super) async fn event(&mut self) -> Value {
        let message = match self.waiting.is_empty() {
            true => self.receive().await.expect("an event"),
            false => self.waiting.remove(0),
        };
        assert_eq!(message["method"], "synod_subscription");
        message["params"]["result"].clone()
    }
}

//! A connection to a node's RPC that is kept, and batches of calls on it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::client::http::Url;
use crate::failure::{Exit, Failure, Outcome};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer (RPC-1: nodes give at most 16 MiB).
const ANSWER_LIMIT: usize = 16 << 20;

/// The connection.
pub(crate) struct Connection {
    url: Url,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Opens it.
    ///
    /// # Errors
    /// Nobody listens.
    pub(crate) fn open(url: &Url) -> Outcome<Self> {
        let connected = url.connect().and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        let stream = connected.map_err(|error| silent(url, &error))?;
        Ok(Self { url: url.clone(), stream: BufReader::with_capacity(64 * 1024, stream) })
    }

    /// Posts a body, and gives the answer's.
    ///
    /// # Errors
    /// The connection broke, or what came is no answer.
    pub(crate) fn post(&mut self, body: &[u8]) -> Outcome<Vec<u8>> {
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.url.path(),
            self.url.authority(),
            body.len()
        );
        let socket = self.stream.get_mut();
        socket.write_all(&[head.as_bytes(), body].concat()).map_err(|error| silent(&self.url, &error))?;
        self.answer().map_err(|error| silent(&self.url, &error))
    }

    fn answer(&mut self) -> std::io::Result<Vec<u8>> {
        let strange = |what: &str| std::io::Error::other(format!("a strange answer: {what}"));
        let (mut line, mut length) = (String::new(), None);
        loop {
            line.clear();
            if (&mut self.stream).take(16 * 1024).read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if let Some((name, value)) = text.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse::<usize>().ok().filter(|length| *length <= ANSWER_LIMIT);
            }
        }
        let mut body = vec![0; length.ok_or_else(|| strange("it has no length"))?];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    /// One call.
    ///
    /// # Errors
    /// The connection's, or the node's refusal.
    pub(crate) fn call<T: DeserializeOwned>(&mut self, method: &str, params: Value) -> Outcome<T> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let body = self.post(request.as_bytes())?;
        let answer: Value = serde_json::from_slice(&body)
            .map_err(|error| Failure::failed("bench", format!("{method}: {error}")))?;
        if let Some(error) = answer.get("error") {
            return Err(Failure::failed("bench", format!("{method} is refused: {error}")));
        }
        serde_json::from_value(answer["result"].clone())
            .map_err(|error| Failure::failed("bench", format!("{method}: {error}")))
    }
}

fn silent(url: &Url, error: &std::io::Error) -> Failure {
    let message = format!("the node at {url} does not answer: {error}");
    Failure::new(Exit::Unreachable, "node_unreachable", message)
}

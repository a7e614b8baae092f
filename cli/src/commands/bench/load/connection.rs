//! A connection to a node's RPC that is kept, and batches of calls on it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::client::http::Url;
use crate::failure::{Exit, Failure, Outcome};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// A node closes a connection that is idle for long ([`head_timeout`](synod_node::rpc::RpcLimits::head_timeout), half a
/// minute). One that was idle for this long is opened anew before it is used again.
const IDLE: Duration = Duration::from_secs(10);
/// The longest answer (RPC-1: nodes give at most 16 MiB).
const ANSWER_LIMIT: usize = 16 << 20;

/// The connection.
pub(crate) struct Connection {
    url: Url,
    stream: BufReader<TcpStream>,
    /// When it was used last.
    used: Instant,
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
        let stream = BufReader::with_capacity(64 * 1024, stream);
        Ok(Self { url: url.clone(), stream, used: Instant::now() })
    }

    /// Posts a body, and gives the answer's.
    ///
    /// # Errors
    /// The connection broke, or what came is no answer.
    pub(crate) fn post(&mut self, body: &[u8]) -> Outcome<Vec<u8>> {
        if self.used.elapsed() >= IDLE {
            *self = Self::open(&self.url)?;
        }
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.url.path(),
            self.url.authority(),
            body.len()
        );
        let socket = self.stream.get_mut();
        socket.write_all(&[head.as_bytes(), body].concat()).map_err(|error| silent(&self.url, &error))?;
        let answer = self.answer().map_err(|error| silent(&self.url, &error))?;
        self.used = Instant::now();
        Ok(answer)
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
    let message = match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            format!("the node at {url} did not answer within {} s", PATIENCE.as_secs())
        }
        _ => format!("the node at {url} does not answer: {error}"),
    };
    Failure::new(Exit::Unreachable, "node_unreachable", message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one call on each of two connections, and closes each: what a node does with one that is idle.
    #[test]
    fn a_connection_that_was_idle_is_opened_anew() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let node = std::thread::spawn(move || {
            for result in 1..=2 {
                let (mut socket, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    let mut byte = [0];
                    socket.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                let body = format!("{{\"id\":1,\"result\":{result}}}");
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                socket.write_all([head, body].concat().as_bytes()).unwrap();
            }
        });
        let mut connection = Connection::open(&url).unwrap();
        assert_eq!(connection.call::<u32>("one", json!([])).unwrap(), 1);
        connection.used -= IDLE;
        assert_eq!(connection.call::<u32>("two", json!([])).unwrap(), 2);
        node.join().unwrap();
    }
}

//! One HTTP request and its answer, over a plain socket.
//!
//! The command speaks to a node on the same machine or through a tunnel, one small request at a time, so
//! it needs no more of HTTP than version 1.0: no connection is kept, and the answer ends where the server
//! closes. Reads happen in slices, so that Ctrl-C and the deadline are seen in the middle of a long poll.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest answer that is read (RPC-1: nodes give at most 16 MiB).
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;
/// How often a blocked read looks at the deadline and at Ctrl-C.
const SLICE: Duration = Duration::from_millis(100);
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Where requests go: `http://HOST:PORT/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    authority: String,
    path: String,
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => {
                return Err("https is not spoken here; open a tunnel to the node and use http".to_owned());
            }
            Some((scheme, _)) => return Err(format!("{scheme} is not spoken here; use http://HOST:PORT")),
            None => text,
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic());
        let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
        if authority.is_empty() || authority.contains('@') || !plain(authority) || !plain(path) {
            return Err("expected http://HOST:PORT".to_owned());
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err("the port is not a number from 0 to 65535".to_owned());
        }
        let authority = if port.is_some() { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Self { authority, path: format!("/{path}") })
    }

    /// Whether something listens there; takes up to three seconds to find out.
    pub(crate) fn answers(&self) -> bool {
        self.connect().is_ok()
    }

    /// The host and the port.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// The path, which begins with a slash.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) fn connect(&self) -> std::io::Result<TcpStream> {
        let mut last = ErrorKind::NotFound.into();
        for address in self.authority.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "http://{}{}", self.authority, self.path.trim_end_matches('/'))
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Nobody listens: nothing was sent.
    #[error("{0}")]
    Connect(std::io::Error),
    /// The connection broke after something may have been sent.
    #[error("the connection broke: {0}")]
    Broken(std::io::Error),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Not HTTP, or not what a node says.
    #[error("the answer is not a node's: {0}")]
    Answer(String),
}

/// Posts a JSON body and gives the answer's body.
///
/// # Errors
/// [`HttpError`].
pub(crate) fn post(
    url: &Url,
    body: &[u8],
    timeout: Duration,
    interrupted: &AtomicBool,
) -> Result<Vec<u8>, HttpError> {
    let deadline = Instant::now() + timeout;
    let mut stream = url.connect().map_err(HttpError::Connect)?;
    let prepare = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(SLICE)));
    prepare.and_then(|()| stream.set_write_timeout(Some(timeout))).map_err(HttpError::Connect)?;
    let head = format!(
        "POST {} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        url.path,
        url.authority,
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).map_err(HttpError::Broken)?;
    let mut answer = Vec::new();
    let mut slice = [0; 16 * 1024];
    while !is_whole(&answer)? {
        if interrupted.load(Ordering::Relaxed) {
            return Err(HttpError::Interrupted);
        }
        match stream.read(&mut slice) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&slice[..length]),
            Err(error) if is_pause(&error) && Instant::now() < deadline => {}
            Err(error) if is_pause(&error) => return Err(HttpError::Timeout(timeout)),
            Err(error) => return Err(HttpError::Broken(error)),
        }
        if answer.len() > ANSWER_LIMIT {
            return Err(HttpError::Answer("longer than 16 MiB".to_owned()));
        }
    }
    body_of(answer)
}

fn is_pause(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Whether the body has all the bytes that the head promises. Without a promise it ends with the connection.
fn is_whole(answer: &[u8]) -> Result<bool, HttpError> {
    let Some(body) = body_start(answer) else { return Ok(false) };
    Ok(promised_length(&answer[..body])?.is_some_and(|length| answer.len() - body >= length))
}

fn body_start(answer: &[u8]) -> Option<usize> {
    answer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn promised_length(head: &[u8]) -> Result<Option<usize>, HttpError> {
    let head = String::from_utf8_lossy(head);
    for line in head.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.trim().parse::<usize>().ok().filter(|length| *length <= ANSWER_LIMIT);
            return length.map(Some).ok_or_else(|| HttpError::Answer("a strange Content-Length".to_owned()));
        }
    }
    Ok(None)
}

fn body_of(mut answer: Vec<u8>) -> Result<Vec<u8>, HttpError> {
    let start = body_start(&answer).ok_or_else(|| HttpError::Answer("not HTTP, or cut short".to_owned()))?;
    let head = String::from_utf8_lossy(&answer[..start]).into_owned();
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    let length = promised_length(head.as_bytes())?.unwrap_or(answer.len() - start);
    if !head.starts_with("HTTP/1.") {
        return Err(HttpError::Answer("not HTTP".to_owned()));
    }
    let body = answer.split_off(start);
    // JSON-RPC errors may come with any status; only what is no JSON is judged by it.
    if status != "200" && !body.starts_with(b"{") {
        let text = String::from_utf8_lossy(&body);
        return Err(HttpError::Answer(format!("HTTP {status} {}", text.lines().next().unwrap_or_default())));
    }
    if body.len() < length {
        return Err(HttpError::Broken(ErrorKind::UnexpectedEof.into()));
    }
    Ok(body)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_strictly() {
        let written = |text: &str| Url::parse(text).map(|url| url.to_string());
        assert_eq!(written("http://127.0.0.1:8545").unwrap(), "http://127.0.0.1:8545");
        assert_eq!(written("127.0.0.1:8545").unwrap(), "http://127.0.0.1:8545");
        assert_eq!(written("http://[::1]:8545/rpc").unwrap(), "http://[::1]:8545/rpc");
        assert_eq!(written("http://node").unwrap(), "http://node:80");
        for text in ["", "http://", "https://node", "ws://node", "http://a b", "http://x:99999", "http://u@h"]
        {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn answers_are_cut_where_their_head_says() {
        let body = |text: &str| body_of(text.as_bytes().to_vec());
        assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap(), b"{}");
        assert_eq!(body("HTTP/1.0 200 OK\r\n\r\n{}").unwrap(), b"{}");
        assert!(matches!(body("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n{}"), Err(HttpError::Broken(_))));
        assert!(matches!(body("HTTP/1.0 403 No\r\n\r\nforbidden host"), Err(HttpError::Answer(_))));
        assert!(matches!(body("SSH-2.0-OpenSSH\r\n\r\n"), Err(HttpError::Answer(_))));
        let huge = "HTTP/1.0 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
        assert!(matches!(is_whole(huge.as_bytes()), Err(HttpError::Answer(_))));
    }
}

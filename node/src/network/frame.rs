//! Frames on a stream, and the hello that comes first.
//!
//! A frame is a length (four bytes, big-endian) and as many bytes. Length 0 is a sign of life and carries
//! nothing.
//! A length beyond the caller's limit ends the stream before anything is allocated; a lawful one allocates
//! only as bytes arrive,
//! because the number alone proves nothing.
//!
//! The hello is the first frame of a direct stream, in both directions at once: magic, wire version, the whole
//! genesis hash, the agent's name. The protocol's name holds only four bytes of the genesis hash; the hello
//! settles it.

use super::config::KIB;
use alloy_primitives::{B256, Bytes};
use libp2p::futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use std::io;
use std::time::Duration;
use tokio::time::timeout;

/// The version of everything that this folder puts on a wire.
pub(super) const WIRE_VERSION: u16 = 1;
/// The longest hello.
const HELLO_LIMIT: usize = 128;
const MAGIC: [u8; 4] = *b"SYND";
/// How much is written or read between two looks at the clock.
const CHUNK: usize = 64 * KIB;

/// Why reading or writing a frame ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame announces {length} bytes, at most {limit} are allowed")]
    TooLong { length: usize, limit: usize },
    #[error("nothing moved for {0:?}")]
    Stalled(Duration),
    #[error(transparent)]
    Stream(#[from] io::Error),
}

impl FrameError {
    /// Whether an honest peer of our version never causes it.
    pub(super) fn is_misbehaviour(&self) -> bool {
        matches!(self, Self::TooLong { .. })
    }
}

/// Reads a frame's length.
pub(super) async fn read_length(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
    patience: Duration,
) -> Result<usize, FrameError> {
    let mut header = [0; 4];
    within(patience, stream.read_exact(&mut header)).await?;
    let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if length > limit { Err(FrameError::TooLong { length, limit }) } else { Ok(length) }
}

/// Reads a frame's body, which must arrive whole within `patience`.
pub(super) async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    length: usize,
    patience: Duration,
) -> Result<Vec<u8>, FrameError> {
    let mut body = Vec::with_capacity(length.min(CHUNK));
    within(patience, stream.take(length as u64).read_to_end(&mut body)).await?;
    if body.len() == length { Ok(body) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) }
}

/// Appends a frame to a buffer.
pub(super) fn append(buffer: &mut Vec<u8>, body: &[u8]) {
    let length = u32::try_from(body.len()).expect("callers bound what they send to a few MiB");
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(body);
}

/// Writes and flushes a buffer; each chunk must leave within `patience`, so a slow reader lives and a dead
/// one does not.
pub(super) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    buffer: &[u8],
    patience: Duration,
) -> Result<(), FrameError> {
    for chunk in buffer.chunks(CHUNK) {
        within(patience, stream.write_all(chunk)).await?;
    }
    within(patience, stream.flush()).await
}

async fn within<T>(patience: Duration, work: impl Future<Output = io::Result<T>>) -> Result<T, FrameError> {
    match timeout(patience, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(FrameError::Stalled(patience)),
    }
}

/// What a peer says of itself before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) version: u16,
    pub(super) genesis: B256,
    /// Program and version, for people; at most 64 printable ASCII characters.
    pub(super) agent: String,
}

/// Why a peer's hello ends the connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloError {
    #[error("it is on another chain: its genesis is {theirs}, ours {ours}")]
    Genesis { theirs: B256, ours: B256 },
    #[error("it speaks wire version {theirs}, we speak {WIRE_VERSION}; one of the two needs an upgrade")]
    Version { theirs: u16 },
    #[error("its hello is malformed")]
    Malformed,
    #[error("its hello did not come: {0}")]
    Missing(#[from] FrameError),
}

impl Hello {
    pub(super) fn ours(genesis: B256) -> Self {
        Self {
            version: WIRE_VERSION,
            genesis,
            agent: concat!("synod/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// Sends ours, receives theirs, and compares.
    pub(super) async fn exchange(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        patience: Duration,
    ) -> Result<Self, HelloError> {
        let mut buffer = Vec::with_capacity(HELLO_LIMIT);
        append(&mut buffer, &self.encode());
        write(stream, &buffer, patience).await?;
        let length = read_length(stream, HELLO_LIMIT, patience).await?;
        let theirs = Self::decode(&read_body(stream, length, patience).await?)?;
        if theirs.genesis != self.genesis {
            return Err(HelloError::Genesis { theirs: theirs.genesis, ours: self.genesis });
        }
        Ok(theirs)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        [&MAGIC[..], &self.version.to_be_bytes(), self.genesis.as_slice(), self.agent.as_bytes()].concat()
    }

    /// The version is looked at before the rest, which another version may lay out otherwise.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HelloError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(HelloError::Malformed)?;
        let (version, rest) = rest.split_first_chunk::<2>().ok_or(HelloError::Malformed)?;
        let version = u16::from_be_bytes(*version);
        if version != WIRE_VERSION {
            return Err(HelloError::Version { theirs: version });
        }
        let (genesis, agent) = rest.split_first_chunk::<32>().ok_or(HelloError::Malformed)?;
        let printable =
            agent.len() <= 64 && agent.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
        match std::str::from_utf8(agent) {
            Ok(agent) if printable => Ok(Self { version, genesis: genesis.into(), agent: agent.to_owned() }),
            _ => Err(HelloError::Malformed),
        }
    }
}

/// The first byte of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    /// The answer follows.
    Here = 0,
    /// The server limits the peer, or serves too many.
    Busy = 1,
    /// The server has no answer.
    Refused = 2,
}

/// An answer's frame body: the status, then the bytes.
pub(super) fn answer(status: Status, bytes: &Bytes) -> Vec<u8> {
    let mut body = Vec::with_capacity(1 + bytes.len());
    body.push(status as u8);
    body.extend_from_slice(bytes);
    body
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use libp2p::futures::io::Cursor;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_frame_comes_back_and_a_longer_one_is_refused_by_its_length_alone() {
        let mut buffer = Vec::new();
        append(&mut buffer, b"hello");
        assert_eq!(buffer, b"\0\0\0\x05hello");
        let mut stream = Cursor::new(buffer);
        let length = read_length(&mut stream, 5, SECOND).await.unwrap();
        assert_eq!(read_body(&mut stream, length, SECOND).await.unwrap(), b"hello");

        let mut stream = Cursor::new(u32::MAX.to_be_bytes());
        let error = read_length(&mut stream, 5, SECOND).await.unwrap_err();
        assert!(error.is_misbehaviour(), "{error}");
    }

    #[tokio::test]
    async fn a_torn_frame_is_an_error_and_allocates_what_came() {
        let mut stream = Cursor::new(b"abc".to_vec());
        let error = read_body(&mut stream, 8 << 20, SECOND).await.unwrap_err();
        assert!(matches!(error, FrameError::Stream(_)), "{error}");
    }

    #[test]
    fn gen_6_the_hello_has_these_bytes_and_no_others_pass() {
        let hello = Hello { version: 1, genesis: B256::repeat_byte(3), agent: "synod/9".into() };
        let bytes = [&b"SYND\0\x01"[..], &[3; 32], b"synod/9"].concat();
        assert_eq!(hello.encode(), bytes);
        assert_eq!(Hello::decode(&bytes).unwrap(), hello);
        for cut in 0..38 {
            assert!(matches!(Hello::decode(&bytes[..cut]), Err(HelloError::Malformed)), "cut at {cut}");
        }
        let newer = [&b"SYND\0\x02"[..], b"whatever version two says"].concat();
        assert!(matches!(Hello::decode(&newer), Err(HelloError::Version { theirs: 2 })));
        let control = [&bytes[..], b"\x1b[2J"].concat();
        assert!(matches!(Hello::decode(&control), Err(HelloError::Malformed)));
    }
}

//! Requests: one stream each, one frame there, one frame back.
//!
//! The server's work is bounded before it begins: a token of the asking peer's bucket, a place among the few
//! requests of that peer and of all peers that are served at a time, 64 KiB of question (P2P-5). Whoever
//! finds no place hears
//! "busy" at once. The answer's size is charged to the bucket afterwards, so that large answers come less
//! often.

use super::config::{KIB, REQUEST_LIMIT, RESPONSE_LIMIT};
use super::error::RequestError;
use super::event::{Door, NetworkEvent, Reply};
use super::frame::{self, FrameError, Status};
use super::link::Link;
use super::metrics::{Carrier, Metrics};
use alloy_primitives::Bytes;
use libp2p::futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// An answer of this many bytes costs as much as a request.
pub(super) const BYTES_PER_TOKEN: usize = 32 * KIB;

/// Asks over a fresh stream. The caller bounds the whole by its own clock; `patience` bounds each step.
pub(super) async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    question: &[u8],
    patience: Duration,
) -> Result<Bytes, RequestError> {
    let mut buffer = Vec::with_capacity(4 + question.len());
    frame::append(&mut buffer, question);
    frame::write(&mut stream, &buffer, patience).await?;
    let length = frame::read_length(&mut stream, 1 + RESPONSE_LIMIT, patience).await?;
    let answer = Bytes::from(frame::read_body(&mut stream, length, patience).await?);
    let status = answer.first().copied();
    if status == Some(Status::Here as u8) {
        Ok(answer.slice(1..))
    } else if status == Some(Status::Busy as u8) {
        Err(RequestError::Busy)
    } else if status == Some(Status::Refused as u8) {
        Err(RequestError::Refused)
    } else {
        Err(RequestError::Broken(format!("its status is {status:?}")))
    }
}

impl From<FrameError> for RequestError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Stalled(_) => Self::TimedOut,
            other => Self::Broken(other.to_string()),
        }
    }
}

/// One request being served.
pub(super) struct Serving {
    pub(super) link: Arc<Link>,
    pub(super) door: Door,
    pub(super) metrics: Metrics,
    pub(super) patience: Duration,
    /// The request's places among its peer's and among all.
    pub(super) _places: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Serving {
    /// Reads the question, lets the node answer, writes the answer, all within the time that a request may take:
    /// an asker that takes its answer a little at a time must not keep its place.
    pub(super) async fn run(self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), FrameError> {
        let served = timeout(self.patience, self.serve(stream)).await;
        served.unwrap_or(Err(FrameError::Stalled(self.patience)))
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), FrameError> {
        let length = frame::read_length(&mut stream, REQUEST_LIMIT, self.patience).await?;
        let question = frame::read_body(&mut stream, length, self.patience).await?;
        self.metrics.received(Carrier::Request, length);
        let body = match self.consult(question.into()).await {
            Some(answer) => frame::answer(Status::Here, &answer),
            None => frame::answer(Status::Refused, &Bytes::new()),
        };
        self.metrics.sent(Carrier::Response, body.len());
        let cost = body.len() / BYTES_PER_TOKEN;
        self.link.charge(u32::try_from(cost).unwrap_or(u32::MAX));
        reply(&mut stream, &body, self.patience).await
    }

    /// The node's answer, if it has one, it is in time, and it fits.
    async fn consult(&self, data: Bytes) -> Option<Bytes> {
        let (reply, answer) = Reply::new();
        let event = NetworkEvent::Request { from: self.link.name, data, reply };
        let asked = async {
            self.door.deliver(event, None).await.ok()?;
            answer.await.ok()
        };
        let answer = timeout(self.patience, asked).await.ok()??;
        if answer.len() > RESPONSE_LIMIT {
            tracing::error!(
                bytes = answer.len(),
                limit = RESPONSE_LIMIT,
                "an answer is too long; it is not sent"
            );
            return None;
        }
        Some(answer)
    }
}

/// Tells an asker that there is no place for it now.
pub(super) async fn turn_away(
    mut stream: impl AsyncWrite + Unpin,
    patience: Duration,
) -> Result<(), FrameError> {
    reply(&mut stream, &frame::answer(Status::Busy, &Bytes::new()), patience).await
}

async fn reply(
    stream: &mut (impl AsyncWrite + Unpin),
    body: &[u8],
    patience: Duration,
) -> Result<(), FrameError> {
    let mut buffer = Vec::with_capacity(4 + body.len());
    frame::append(&mut buffer, body);
    frame::write(stream, &buffer, patience).await?;
    // The stream ends here either way.
    let _ = timeout(patience, stream.close()).await;
    Ok(())
}

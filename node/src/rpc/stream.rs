//! A connection that cannot be used to fill memory.
//!
//! Three rules stand between the socket and whatever speaks over it, HTTP or WebSocket:
//!
//! - What was answered and not yet written to the socket is counted, by connection and in all, and
//!   beyond the bounds no further call is answered ([`Outbox`]).
//! - While the socket takes nothing, nothing is read from it: who does not listen is not heard.
//! - A socket that takes nothing for a while is closed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes of answers that a client has not taken yet.
#[derive(Debug)]
pub(super) struct Outbox {
    own: AtomicUsize,
    all: Arc<AtomicUsize>,
    own_limit: usize,
    all_limit: usize,
}

impl Outbox {
    pub(super) fn new(all: Arc<AtomicUsize>, own_limit: usize, all_limit: usize) -> Self {
        Self { own: AtomicUsize::new(0), all, own_limit, all_limit }
    }

    /// Whether there is room for another answer.
    pub(super) fn has_room(&self) -> bool {
        self.own.load(Ordering::Relaxed) < self.own_limit && self.all.load(Ordering::Relaxed) < self.all_limit
    }

    /// Counts an answer that is on its way to the socket.
    pub(super) fn queued(&self, bytes: usize) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts what the socket took. Heads and frames are written beside the answers, so this may be more
    /// than was queued.
    fn written(&self, bytes: usize) {
        let take = |count: usize| Some(count.saturating_sub(bytes));
        let before = self.own.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
        self.all.fetch_sub(before.min(bytes), Ordering::Relaxed);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.all.fetch_sub(*self.own.get_mut(), Ordering::Relaxed);
    }
}

/// A stream under the rules of this file.
#[derive(Debug)]
pub(super) struct GuardedStream<S> {
    inner: S,
    outbox: Arc<Outbox>,
    stall_timeout: Duration,
    /// Running while the socket takes nothing; polled by the writer alone, whose waker it keeps.
    stalled: Option<Pin<Box<Sleep>>>,
    timed_out: bool,
    /// Who waits to read.
    reader: Option<Waker>,
}

impl<S> GuardedStream<S> {
    pub(super) fn new(inner: S, outbox: Arc<Outbox>, stall_timeout: Duration) -> Self {
        Self { inner, outbox, stall_timeout, stalled: None, timed_out: false, reader: None }
    }

    fn moved_on(&mut self) {
        self.stalled = None;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Starts or polls the clock of a socket that takes nothing.
    fn stall<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let deadline = self.stall_timeout;
        let sleep =
            self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + deadline)));
        ready!(sleep.as_mut().poll(context));
        self.timed_out = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no answers")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.timed_out {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let read = match self.stalled {
            Some(_) => Poll::Pending,
            None => Pin::new(&mut self.inner).poll_read(context, buffer),
        };
        if read.is_pending() {
            // A stall that begins while this read waits for the socket must be able to end it too.
            self.reader = Some(context.waker().clone());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.timed_out {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        match Pin::new(&mut self.inner).poll_write(context, bytes) {
            Poll::Ready(Ok(taken)) => {
                self.outbox.written(taken);
                self.moved_on();
                Poll::Ready(Ok(taken))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.stall(context),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    fn outbox(all: &Arc<AtomicUsize>) -> Arc<Outbox> {
        Arc::new(Outbox::new(Arc::clone(all), 100, 150))
    }

    #[test]
    fn answers_are_counted_until_they_are_taken_or_the_connection_is_gone() {
        let all = Arc::new(AtomicUsize::new(0));
        let (one, other) = (outbox(&all), outbox(&all));
        one.queued(99);
        assert!(one.has_room());
        one.queued(1);
        assert!(!one.has_room() && other.has_room());
        other.queued(50);
        assert!(!other.has_room(), "all together are bounded too");
        one.written(500);
        assert_eq!(all.load(Ordering::Relaxed), 50);
        drop(other);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn rpc_2_who_takes_nothing_is_not_heard_and_then_closed() {
        let all = Arc::new(AtomicUsize::new(0));
        let (mut client, server) = duplex(16);
        let stream = GuardedStream::new(server, outbox(&all), Duration::from_millis(20));
        let (mut reading, mut writing) = tokio::io::split(stream);
        let writer = tokio::spawn(async move { writing.write_all(&[7; 64]).await });
        tokio::task::yield_now().await;
        client.write_all(b"hello").await.unwrap();
        let read = reading.read_exact(&mut [0; 5]).await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(writer.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_takes_what_is_sent_is_heard_again() {
        let all = Arc::new(AtomicUsize::new(0));
        let (mut client, server) = duplex(16);
        let stream = GuardedStream::new(server, outbox(&all), Duration::from_secs(3600));
        let (mut reading, mut writing) = tokio::io::split(stream);
        let writer = tokio::spawn(async move { writing.write_all(&[7; 64]).await });
        tokio::task::yield_now().await;
        client.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        let mut taken = [0; 64];
        let (read, took) = tokio::join!(reading.read_exact(&mut heard), client.read_exact(&mut taken));
        assert!(read.is_ok() && took.is_ok() && writer.await.unwrap().is_ok());
        assert_eq!((&heard, taken), (b"hello", [7; 64]));
    }
}

//! The bounded pool of threads on which calls read: the disk may be slow, the async executor may not.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::types::{ErrorCode, Refusal};

/// The pool. Its threads are tokio's blocking threads; what is bounded is how many of them work for the
/// RPC at once, and how many calls wait for one.
#[derive(Debug)]
pub(super) struct Readers {
    seats: Arc<Semaphore>,
    queue: Semaphore,
}

impl Readers {
    pub(super) fn new(threads: usize, waiting: usize) -> Self {
        Self { seats: Arc::new(Semaphore::new(threads)), queue: Semaphore::new(threads + waiting) }
    }

    /// Runs `read` on a thread of the pool. A panic in it is a fault of the node and ends only the call.
    pub(super) async fn run<T, F>(&self, read: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Refusal> + Send + 'static,
    {
        let _place = self.queue.try_acquire().map_err(|_| busy())?;
        let seat = Arc::clone(&self.seats).acquire_owned().await.map_err(|_| Refusal::internal())?;
        let reading = tokio::task::spawn_blocking(move || {
            let answer = read();
            drop(seat);
            answer
        });
        match reading.await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(%error, "an RPC read failed");
                Err(Refusal::internal())
            }
        }
    }
}

fn busy() -> Refusal {
    Refusal::new(ErrorCode::Busy, "the node is answering as many reads as it can").hint("try again shortly")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn reads_are_bounded_and_a_panic_ends_one_call() {
        let readers = Arc::new(Readers::new(1, 1));
        let (entered, inside) = sync_channel::<()>(1);
        let (release, held) = sync_channel::<()>(0);
        let first = tokio::spawn({
            let readers = Arc::clone(&readers);
            async move {
                readers
                    .run(move || {
                        entered.send(()).unwrap();
                        let _ = held.recv();
                        Ok(1)
                    })
                    .await
            }
        });
        tokio::task::spawn_blocking(move || inside.recv().unwrap()).await.unwrap();
        let second = tokio::spawn({
            let readers = Arc::clone(&readers);
            async move { readers.run(|| Ok(2)).await }
        });
        while readers.queue.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(readers.run(|| Ok(3)).await.unwrap_err().code, ErrorCode::Busy);
        drop(release);
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(1), Ok(2)));
        let panicked = readers.run(|| -> Result<u8, Refusal> { panic!("on purpose") }).await;
        assert_eq!(panicked.unwrap_err().code, ErrorCode::Internal);
        assert_eq!(readers.run(|| Ok(4)).await, Ok(4));
    }
}

//! Reads beside the soak, and whether they were linearizable (A3).
//!
//! Each node has a reader that asks for the read index and then for one payer's account at that height, while
//! members are killed, paused and without their disks. A read must stand at or above every height that was
//! acknowledged before it began, by the load or by another read, and hold exactly the transfers of that payer up to
//! there. The order of all writes is known from the chain, so that each read is judged by a look-up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use synod_node::rpc::types::BlockReference;

use crate::client::Client;
use crate::error::TestnetError;

/// Between two reads of one node.
const PAUSE: Duration = Duration::from_millis(20);

/// A read that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    /// Which node answered.
    pub(super) node: usize,
    /// When it was asked.
    pub(super) begun: Instant,
    /// When the answer was here.
    pub(super) ended: Instant,
    /// At which height it was read.
    pub(super) height: u64,
    /// The payer's transfers up to there.
    pub(super) nonce: u64,
}

/// A height that somebody was told is final, and when.
pub(super) type Told = (Instant, u64);

/// The readers; dropping them ends them.
pub(super) struct Readers {
    over: Arc<AtomicBool>,
    reads: Arc<Mutex<Vec<Read>>>,
    thread: Option<JoinHandle<()>>,
}

impl Readers {
    /// Starts one for each node, all on a thread of their own: the soak itself waits for processes.
    pub(super) fn start(clients: &[Client], payer: Address) -> std::io::Result<Self> {
        let (over, reads) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<Read>>>::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (clients, is_over, found) = (clients.to_vec(), Arc::clone(&over), Arc::clone(&reads));
        let thread = std::thread::Builder::new().name("readers".to_owned()).spawn(move || {
            let readers = clients.into_iter().enumerate().map(|(node, client)| {
                let (is_over, found) = (Arc::clone(&is_over), Arc::clone(&found));
                runtime.spawn(async move {
                    while !is_over.load(Ordering::Relaxed) {
                        // A node that is down, or has no quorum, answers nothing; that is no read.
                        if let Ok(read) = read(node, &client, payer).await {
                            lock(&found).push(read);
                        }
                        tokio::time::sleep(PAUSE).await;
                    }
                })
            });
            for reader in readers.collect::<Vec<_>>() {
                // A reader that panicked has said so.
                let _ = runtime.block_on(reader);
            }
        })?;
        Ok(Self { over, reads, thread: Some(thread) })
    }

    /// Ends them; what they read.
    pub(super) fn finish(mut self) -> Vec<Read> {
        self.end();
        std::mem::take(&mut lock(&self.reads))
    }

    fn end(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has said what it panicked about.
            let _ = thread.join();
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.end();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(node: usize, client: &Client, payer: Address) -> Result<Read, TestnetError> {
    let begun = Instant::now();
    let height = client.read_index().await?.height;
    let account = client.account_at(&payer, BlockReference::Height(height)).await?;
    Ok(Read { node, begun, ended: Instant::now(), height: height.0, nonce: account.nonce })
}

/// What is wrong with the reads: `told` are heights that were acknowledged otherwise, `included` says in which block
/// each of the payer's transfers is, by nonce.
pub(super) fn judge(reads: &[Read], told: &[Told], included: &BTreeMap<u64, u64>) -> Vec<String> {
    let mut wrong = Vec::new();
    let ends = reads.iter().map(|read| (read.ended, read.height));
    let mut told: Vec<Told> = told.iter().copied().chain(ends).collect();
    told.sort_unstable();
    let mut reads = reads.to_vec();
    reads.sort_unstable_by_key(|read| read.begun);
    let (mut known, mut next) = (0, 0);
    for read in reads {
        while let Some((_, height)) = told.get(next).filter(|(at, _)| *at < read.begun) {
            known = known.max(*height);
            next += 1;
        }
        let Read { node, height, nonce, .. } = read;
        if height < known {
            wrong.push(format!("node {node} read at height {height} after {known} was final"));
        }
        let has = |nonce: u64| included.get(&nonce).map(|at| *at <= height);
        if has(nonce) == Some(true) || nonce.checked_sub(1).and_then(has) == Some(false) {
            wrong.push(format!(
                "node {node} read nonce {nonce} at height {height}, and the chain says otherwise"
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a3_stale_and_wrong_reads_are_found() {
        let start = Instant::now();
        let read = |begun, ended, height, nonce| Read {
            node: 0,
            begun: at(start, begun),
            ended: at(start, ended),
            height,
            nonce,
        };
        let told = [(at(start, 5), 3), (at(start, 20), 7)];
        let included = BTreeMap::from([(0, 2), (1, 3), (2, 6), (3, 7)]);
        let right = [read(6, 8, 3, 2), read(15, 30, 6, 3), read(21, 40, 7, 4), read(0, 50, 0, 0)];
        assert_eq!(judge(&right, &told, &included), Vec::<String>::new());
        for (what, wrong) in [
            ("after the load was told", read(21, 22, 6, 3)),
            ("after another read", read(41, 42, 6, 3)),
            ("a transfer is missing", read(21, 22, 7, 3)),
            ("a transfer too many", read(15, 30, 6, 4)),
        ] {
            let reads = [&right[..], &[wrong]].concat();
            assert_eq!(judge(&reads, &told, &included).len(), 1, "{what}");
        }
        // What a read saw binds those that begin later, and no others.
        let seen = [read(1, 10, 9, 4), read(9, 12, 8, 4), read(11, 12, 8, 4)];
        assert_eq!(judge(&seen, &[], &included).len(), 1);
    }
}

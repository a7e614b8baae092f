//! Signatures, checked once, at the door.
//!
//! A bounded pool of threads checks batches by the one rule, ZIP-215 (CRY-1), and remembers what it has
//! checked, so that the transactions of a block which came by gossip before are not checked again. What is
//! remembered goes by the hash of the whole canonical bytes, witness included: the same transaction with
//! another signature is another question.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use synod_types::hash::sha256;
use synod_types::transaction::{TransactionError, verify_transactions};
use synod_types::{B256, Transaction, VerifiedTransaction};

/// One verdict for each transaction, in order.
pub type Verdicts = Vec<Result<VerifiedTransaction, TransactionError>>;

/// How many jobs may wait for a thread; a job beyond is refused, and gossip drops it.
const QUEUED_JOBS: usize = 64;
/// How many transactions one thread takes at a time: larger batches verify faster, smaller ones spread.
const CHUNK: usize = 256;
/// How many checked transactions are remembered, in two generations.
const REMEMBERED: usize = 65_536;
/// How many bytes of them.
const REMEMBERED_BYTES: usize = 32 * 1024 * 1024;

/// The threads are all busy and the queue is full: the batch was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node is checking as many signatures as it can: try again shortly")]
pub struct Busy;

/// The threads that check signatures. Dropping it lets them finish what is queued and joins them.
#[derive(Debug)]
pub struct Verifier {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    chain_id: u64,
    genesis: B256,
    remembered: Mutex<Remembered>,
}

struct Job {
    transactions: Vec<Transaction>,
    reply: Box<dyn FnOnce(Verdicts) + Send>,
}

impl Verifier {
    /// Starts `threads` threads, at least one, for the chain of `genesis`.
    ///
    /// # Errors
    /// When the system gives no thread or no randomness.
    pub fn start(threads: usize, chain_id: u64, genesis: B256) -> std::io::Result<Self> {
        let remembered = Mutex::new(Remembered::new(REMEMBERED, REMEMBERED_BYTES));
        let shared = Arc::new(Shared { chain_id, genesis, remembered });
        let (jobs, queue) = bounded::<Job>(QUEUED_JOBS);
        let threads = (0..threads.max(1)).map(|index| {
            let (shared, queue) = (Arc::clone(&shared), queue.clone());
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
            std::thread::Builder::new()
                .name(format!("verify-{index}"))
                .spawn(move || work(&shared, &queue, ChaCha20Rng::from_seed(seed)))
        });
        let threads = threads.collect::<std::io::Result<_>>()?;
        Ok(Self { jobs: Some(jobs), threads })
    }

    /// Checks a batch and calls `reply` with the verdicts, on a thread of the pool. For gossip, which may
    /// be dropped.
    ///
    /// # Errors
    /// [`Busy`]; `reply` is then never called.
    pub fn offer(
        &self,
        transactions: Vec<Transaction>,
        reply: impl FnOnce(Verdicts) + Send + 'static,
    ) -> Result<(), Busy> {
        let job = Job { transactions, reply: Box::new(reply) };
        self.jobs().try_send(job).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Busy,
        })
    }

    /// Checks a block's transactions, spread over the threads, and waits for the verdicts. Those that were
    /// checked before cost a hash each.
    pub fn verify(&self, transactions: Vec<Transaction>) -> Verdicts {
        let mut pending = Vec::new();
        let mut rest = transactions;
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(CHUNK));
            let chunk = std::mem::replace(&mut rest, later);
            let (sender, receiver) = bounded(1);
            let reply = Box::new(move |verdicts| {
                // The one who waits may have gone; then nobody misses the verdicts.
                let _ = sender.send(verdicts);
            });
            let sent = self.jobs().send(Job { transactions: chunk, reply });
            assert!(sent.is_ok(), "the threads outlive the verifier");
            pending.push(receiver);
        }
        pending
            .into_iter()
            .flat_map(|one: Receiver<Verdicts>| one.recv().expect("each job replies"))
            .collect()
    }

    fn jobs(&self) -> &Sender<Job> {
        self.jobs.as_ref().expect("present until the verifier is dropped")
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has printed why; there is nothing more to clean up.
            let _ = thread.join();
        }
    }
}

fn work(shared: &Shared, queue: &Receiver<Job>, mut randomness: ChaCha20Rng) {
    while let Ok(job) = queue.recv() {
        // What waits already is checked in one go: large batches verify faster.
        let mut jobs = vec![job];
        let mut count = jobs[0].transactions.len();
        while count < CHUNK
            && let Ok(more) = queue.try_recv()
        {
            count += more.transactions.len();
            jobs.push(more);
        }
        let (lots, replies): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.transactions, job.reply)).unzip();
        let lengths: Vec<usize> = lots.iter().map(Vec::len).collect();
        let mut verdicts = shared.check(lots.into_iter().flatten().collect(), &mut randomness).into_iter();
        for (reply, length) in replies.into_iter().zip(lengths) {
            reply(verdicts.by_ref().take(length).collect());
        }
    }
}

impl Shared {
    fn check(&self, transactions: Vec<Transaction>, randomness: &mut ChaCha20Rng) -> Verdicts {
        let keys: Vec<(B256, usize)> = transactions.iter().map(key).collect();
        let mut verdicts: Vec<Option<Result<_, _>>> = {
            let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            keys.iter().map(|(key, _)| remembered.find(key).map(Ok)).collect()
        };
        let open = transactions.into_iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_none());
        let open: Vec<Transaction> = open.map(|(transaction, _)| transaction).collect();
        let mut fresh = verify_transactions(open, self.chain_id, self.genesis, randomness).into_iter();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        for (verdict, (key, bytes)) in verdicts.iter_mut().zip(&keys) {
            if verdict.is_some() {
                continue;
            }
            let checked = fresh.next().expect("one verdict for each that was open");
            if let Ok(transaction) = &checked {
                remembered.insert(*key, transaction.clone(), *bytes);
            }
            *verdict = Some(checked);
        }
        verdicts.into_iter().map(|verdict| verdict.expect("filled above")).collect()
    }
}

/// The hash of the canonical bytes, witness included, and how many there are.
fn key(transaction: &Transaction) -> (B256, usize) {
    let bytes = transaction.to_bytes();
    (sha256(&[&bytes]), bytes.len())
}

/// Two generations: when the younger is half of the bound, it becomes the older, and the older is forgotten.
#[derive(Debug)]
struct Remembered {
    younger: HashMap<B256, VerifiedTransaction>,
    older: HashMap<B256, VerifiedTransaction>,
    younger_bytes: usize,
    limit: usize,
    limit_bytes: usize,
}

impl Remembered {
    fn new(limit: usize, limit_bytes: usize) -> Self {
        Self { younger: HashMap::new(), older: HashMap::new(), younger_bytes: 0, limit, limit_bytes }
    }

    fn find(&mut self, key: &B256) -> Option<VerifiedTransaction> {
        self.younger.get(key).or_else(|| self.older.get(key)).cloned()
    }

    fn insert(&mut self, key: B256, transaction: VerifiedTransaction, bytes: usize) {
        if self.younger.len() >= self.limit / 2 || self.younger_bytes + bytes > self.limit_bytes / 2 {
            self.older = std::mem::take(&mut self.younger);
            self.younger_bytes = 0;
        }
        self.younger.insert(key, transaction);
        self.younger_bytes += bytes;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::fixture::{CHAIN, GENESIS, Terms, signed};
    use super::*;

    fn batch(count: u64) -> Vec<Transaction> {
        (0..count).map(|nonce| signed(&Terms { nonce, ..Terms::default() })).collect()
    }

    fn spoiled(transaction: &Transaction) -> Transaction {
        let Transaction::Native(mut native) = transaction.clone() else { panic!("native") };
        native.signature.0[3] ^= 1;
        Transaction::Native(native)
    }

    #[test]
    fn cry_1_batches_over_threads_give_the_verdicts_of_single_checks_in_order() {
        let verifier = Verifier::start(2, CHAIN, GENESIS).unwrap();
        let mut transactions = batch(600);
        for index in [0, 7, 255, 256, 599] {
            transactions[index] = spoiled(&transactions[index]);
        }
        let single: Verdicts = transactions.iter().map(|one| one.clone().verify(CHAIN, GENESIS)).collect();
        assert_eq!(verifier.verify(transactions.clone()), single);
        assert_eq!(verifier.verify(transactions), single, "what is remembered does not change a verdict");
        assert_eq!(single.iter().filter(|one| one.is_err()).count(), 5);
    }

    #[test]
    fn cry_3_a_remembered_id_with_another_signature_is_checked_again() {
        let verifier = Verifier::start(1, CHAIN, GENESIS).unwrap();
        let good = batch(1);
        assert!(verifier.verify(good.clone())[0].is_ok());
        assert_eq!(verifier.verify(vec![spoiled(&good[0])]), [Err(TransactionError::BadSignature)]);
    }

    #[test]
    fn a_full_queue_refuses_and_what_was_taken_is_answered() {
        let verifier = Verifier::start(1, CHAIN, GENESIS).unwrap();
        let (hold, held) = bounded::<()>(0);
        let (entered, inside) = bounded(1);
        verifier
            .offer(Vec::new(), move |_| {
                entered.send(()).unwrap();
                let _ = held.recv();
            })
            .unwrap();
        inside.recv().unwrap();
        let (done, answers) = bounded(QUEUED_JOBS);
        for _ in 0..QUEUED_JOBS {
            let done = done.clone();
            verifier.offer(batch(1), move |verdicts| done.send(verdicts.len()).unwrap()).unwrap();
        }
        assert_eq!(verifier.offer(Vec::new(), |_| {}), Err(Busy));
        drop(hold);
        drop(verifier);
        assert_eq!(answers.iter().take(QUEUED_JOBS).sum::<usize>(), QUEUED_JOBS);
    }

    #[test]
    fn what_is_remembered_is_bounded_by_count_and_bytes() {
        let verified = batch(1).remove(0).verify(CHAIN, GENESIS).unwrap();
        let key = |number: u64| sha256(&[&number.to_be_bytes()]);
        let mut remembered = Remembered::new(10, 1000);
        for number in 0..100 {
            remembered.insert(key(number), verified.clone(), 50);
            assert!(remembered.younger.len() + remembered.older.len() <= 10);
            assert!(remembered.find(&key(number)).is_some());
        }
        for number in 100..200 {
            remembered.insert(key(number), verified.clone(), 250);
            assert!(remembered.younger.len() <= 2);
        }
        assert!(remembered.find(&key(0)).is_none());
    }
}

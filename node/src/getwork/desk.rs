//! The desk: work for whoever asks, verdicts on what comes back, and the waiting of long polls.
//!
//! A template is built once for each account and each change of what templates stand on; requests in between
//! cut their units from it, so that however many miners ask, the ledger's thread is asked a few times a second
//! for each account at most.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use synod_types::block::HEADER_LENGTH;
use synod_types::{Address, BlockHash, U256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::units::{Solution, Stock, Unfit, Unit, Units};
use crate::rpc::types::{ErrorCode, Refusal, SolveOutcome};
use crate::rpc::{Backend, TemplateBase};

/// Accounts that have a template at a time.
const ACCOUNTS: usize = 64;
/// Miners whose last work is remembered.
const MINERS: usize = 4096;
/// How old work may get: a block's time is its template's.
const OLDEST: Duration = Duration::from_secs(15);
/// How long new transactions wait before a miner that has good work is disturbed for them.
const TRANSACTIONS_PAUSE: Duration = Duration::from_secs(2);
/// How long a long poll waits while there is no work at all.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the ledger's thread may take for a template.
const TEMPLATE_TIMEOUT: Duration = Duration::from_secs(5);

/// A miner, as far as it can be told from others: where it calls from, and whom it mines to.
pub(super) type Miner = (IpAddr, Address);

/// What became of a solution, and what the miner is told of it. cpuminer-opt counts as stale whatever has
/// `job` in its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    /// A block.
    Accepted,
    /// Of an older tip.
    Stale,
    /// It came before.
    Duplicate,
    /// Never handed out here, or forgotten.
    Unknown,
    /// Above the target, or changed in more than the nonce.
    Wrong(&'static str),
}

/// What was served, for metrics.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) units: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) stale: AtomicU64,
    pub(super) duplicate: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) wrong: AtomicU64,
}

/// Work and verdicts over one backend.
#[derive(Debug)]
pub(super) struct Desk<B> {
    backend: Arc<B>,
    base: watch::Receiver<Option<TemplateBase>>,
    stocks: tokio::sync::Mutex<HashMap<Address, Stocked>>,
    units: Mutex<Units>,
    given: Mutex<HashMap<Miner, Given>>,
    pub(super) counts: Counts,
}

/// The present template of an account.
#[derive(Debug, Clone)]
struct Stocked {
    stock: Arc<Stock>,
    made_at: Instant,
    /// Changed as soon as another template would be another one.
    base: watch::Receiver<Option<TemplateBase>>,
}

/// The last work that a miner got.
#[derive(Debug, Clone, Copy)]
struct Given {
    parent: BlockHash,
    contents: (u32, U256),
    at: Instant,
}

impl Verdict {
    /// What stands in `X-Reject-Reason`; `None` for an accepted solution.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Accepted => None,
            Self::Stale => Some("stale job"),
            Self::Duplicate => Some("duplicate"),
            Self::Unknown => Some("unknown job"),
            Self::Wrong(reason) => Some(reason),
        }
    }
}

impl<B: Backend> Desk<B> {
    /// A desk whose extra nonces begin at `first`.
    pub(super) fn new(backend: Arc<B>, first: u64) -> Self {
        Self {
            base: backend.template_base(),
            backend,
            stocks: tokio::sync::Mutex::default(),
            units: Mutex::new(Units::new(first)),
            given: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// Work right now.
    ///
    /// # Errors
    /// As [`Backend::template`].
    pub(super) async fn work(&self, miner: Miner) -> Result<Unit, Refusal> {
        let stock = self.stock(miner.1).await?;
        Ok(self.hand_out(miner, &stock))
    }

    /// Work as soon as what this miner got last is out of date.
    ///
    /// # Errors
    /// As [`Backend::template`], after a while.
    pub(super) async fn better_work(&self, miner: Miner) -> Result<Unit, Refusal> {
        let begun = Instant::now();
        let mut base = self.base.clone();
        let mut given = self.given(miner);
        loop {
            let parent = base.borrow_and_update().as_ref().map(|base| base.parent);
            let undisturbed = given.filter(|had| Some(had.parent) == parent).map(Given::undisturbed_until);
            let wake = match undisturbed.filter(|until| *until > Instant::now()) {
                // Not a template is built while nobody would be given work from it.
                Some(until) => until,
                None => match self.stock(miner.1).await {
                    Ok(stock) => {
                        let had = *given.get_or_insert_with(|| Given::now(&stock));
                        match had.good_until(&stock) {
                            Some(until) if until > Instant::now() => until,
                            _ => return Ok(self.hand_out(miner, &stock)),
                        }
                    }
                    Err(refusal) if begun.elapsed() >= PATIENCE => return Err(refusal),
                    Err(_) => Instant::now() + Duration::from_secs(1),
                },
            };
            if let Ok(Err(_)) = tokio::time::timeout_at(wake, base.changed()).await {
                return Err(Refusal::new(ErrorCode::Unavailable, "the node is stopping"));
            }
        }
    }

    /// Judges a solved header.
    ///
    /// # Errors
    /// When the node is too busy to judge.
    pub(super) async fn submit(&self, header: &[u8; HEADER_LENGTH]) -> Result<Verdict, Refusal> {
        let found = self.units().find(header);
        let verdict = match found {
            Ok(solution) => self.solve(header, solution).await?,
            Err(Unfit::Unknown) => Verdict::Unknown,
            Err(Unfit::Duplicate) => Verdict::Duplicate,
            Err(Unfit::Altered) => Verdict::Wrong("altered header"),
        };
        self.counts.add(verdict);
        Ok(verdict)
    }

    async fn solve(&self, header: &[u8; HEADER_LENGTH], solution: Solution) -> Result<Verdict, Refusal> {
        let Solution { template_id, extra_nonce, time, nonce } = solution;
        let view = self.backend.solve(template_id, extra_nonce, time, nonce).await?;
        Ok(match view.outcome {
            SolveOutcome::Accepted => {
                self.units().solved(header);
                Verdict::Accepted
            }
            SolveOutcome::Stale => Verdict::Stale,
            SolveOutcome::Duplicate => Verdict::Duplicate,
            SolveOutcome::Wrong => Verdict::Wrong("high hash"),
        })
    }

    /// The account's template, built anew when it is out of date.
    async fn stock(&self, account: Address) -> Result<Arc<Stock>, Refusal> {
        let mut stocks = self.stocks.lock().await;
        if let Some(stocked) = stocks.get(&account).filter(|stocked| stocked.is_fresh()) {
            return Ok(Arc::clone(&stocked.stock));
        }
        let mut base = self.base.clone();
        base.mark_unchanged();
        let asking = self.backend.template(account, None);
        let slow = || Refusal::new(ErrorCode::Busy, "the ledger is busy").hint("try again shortly");
        let view = tokio::time::timeout(TEMPLATE_TIMEOUT, asking).await.map_err(|_| slow())??;
        let stock = Arc::new(Stock::new(&view).ok_or_else(Refusal::internal)?);
        if stocks.len() >= ACCOUNTS && !stocks.contains_key(&account) {
            let oldest =
                stocks.iter().min_by_key(|(_, stocked)| stocked.made_at).map(|(account, _)| *account);
            oldest.map(|oldest| stocks.remove(&oldest));
        }
        stocks.insert(account, Stocked { stock: Arc::clone(&stock), made_at: Instant::now(), base });
        Ok(stock)
    }

    fn hand_out(&self, miner: Miner, stock: &Arc<Stock>) -> Unit {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.len() >= MINERS && !given.contains_key(&miner) {
            // Whoever is forgotten waits for the next change, as a newcomer does.
            given.clear();
        }
        given.insert(miner, Given::now(stock));
        drop(given);
        self.counts.units.fetch_add(1, Ordering::Relaxed);
        self.units().issue(stock)
    }

    fn given(&self, miner: Miner) -> Option<Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).get(&miner).copied()
    }

    fn units(&self) -> MutexGuard<'_, Units> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stocked {
    fn is_fresh(&self) -> bool {
        self.made_at.elapsed() < OLDEST && !self.base.has_changed().unwrap_or(false)
    }
}

impl Given {
    fn now(stock: &Stock) -> Self {
        Self { parent: stock.parent, contents: stock.contents, at: Instant::now() }
    }

    /// Until when new transactions alone do not count.
    fn undisturbed_until(self) -> Instant {
        self.at + TRANSACTIONS_PAUSE
    }

    /// Until when this work is good enough although there is `stock`; `None` when it is not any more.
    fn good_until(&self, stock: &Stock) -> Option<Instant> {
        if self.parent != stock.parent {
            return None;
        }
        let is_same = self.contents == stock.contents;
        Some(if is_same { self.at + OLDEST } else { self.undisturbed_until() })
    }
}

impl Counts {
    fn add(&self, verdict: Verdict) {
        let count = match verdict {
            Verdict::Accepted => &self.accepted,
            Verdict::Stale => &self.stale,
            Verdict::Duplicate => &self.duplicate,
            Verdict::Unknown => &self.unknown,
            Verdict::Wrong(_) => &self.wrong,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

//! A new tip: what was included leaves, what was reverted returns (POW-9, POW-10).

use std::collections::{BTreeMap, BTreeSet};

use synod_types::{Address, TransactionId, UnixMillis, VerifiedTransaction};

use super::queue::Entry;
use super::{AccountView, Arrival, Insertion, Origin, Pool, Rejection, Tip};

/// Which accounts a change of tip touched.
#[derive(Debug, Clone, Copy)]
pub enum Changed<'a> {
    /// Not known: every sender in the pool is looked up.
    Unknown,
    /// These, and no others: every account that the disconnected or the connected blocks wrote.
    Accounts(&'a [Address]),
}

/// A change of tip: one logical step, however many blocks were disconnected and connected.
#[derive(Debug)]
pub struct NewTip<'a, V> {
    /// The new tip.
    pub tip: Tip,
    /// The accounts there.
    pub view: &'a V,
    /// Which of them may differ from before.
    pub changed: Changed<'a>,
    /// Senders and ids of the transactions of the connected blocks, in order.
    pub included: &'a [(Address, TransactionId)],
    /// The transactions of the disconnected blocks, the lowest block first.
    pub reverted: Vec<VerifiedTransaction>,
    /// The time.
    pub now: UnixMillis,
}

/// What a change of tip did to the pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResetReport {
    /// Left because they are in the connected blocks.
    pub included: Vec<TransactionId>,
    /// Left because another transaction used their nonce.
    pub conflicted: Vec<TransactionId>,
    /// Left because their `valid_until` has passed.
    pub expired: Vec<TransactionId>,
    /// Left because the account's nonce fell and they are now too far ahead, or no room was left.
    pub dropped: Vec<TransactionId>,
    /// Returned from disconnected blocks.
    pub returned: Vec<TransactionId>,
    /// Of disconnected blocks, and not in the pool.
    pub not_returned: Vec<(TransactionId, Rejection)>,
}

impl Pool {
    /// Brings the pool to a new tip. The result depends only on the tip and on what the pool held.
    pub fn reset<V: AccountView>(&mut self, new: NewTip<'_, V>) -> ResetReport {
        let mut report = ResetReport::default();
        self.height = new.tip.height;
        self.ask(new.tip.base_fee, new.now);
        let included: BTreeSet<TransactionId> = new.included.iter().map(|(_, id)| *id).collect();
        let mut rivals = Rivals::of(new.included);
        self.expire(&mut report);
        for sender in self.senders_of(new.changed) {
            let account = new.view.account(&sender);
            for entry in self.refresh(sender, account) {
                report.left(&entry, account.nonce, &included);
                if let Some(rival) = rivals.find(&entry, account.nonce) {
                    self.replaced.note(entry.transaction.id(), rival);
                }
            }
        }
        self.rotate(new.included);
        self.take_back(new.reverted, new.view, new.now, &included, &mut report);
        report
    }

    fn senders_of(&self, changed: Changed<'_>) -> Vec<Address> {
        match changed {
            Changed::Unknown => self.queues.keys().copied().collect(),
            Changed::Accounts(accounts) => {
                accounts.iter().filter(|account| self.queues.contains_key(*account)).copied().collect()
            }
        }
    }

    fn expire(&mut self, report: &mut ResetReport) {
        let next = self.next_height();
        while let Some(&(height, sender, nonce)) = self.expiries.first() {
            if height >= next {
                break;
            }
            if let Some(entry) = self.take(sender, nonce) {
                report.expired.push(entry.transaction.id());
            }
            self.settle(sender);
        }
    }

    /// Whoever got a transaction into a block goes to the end of the line.
    fn rotate(&mut self, included: &[(Address, TransactionId)]) {
        for (sender, _) in included {
            let turn = self.ticket();
            let Some(queue) = self.queues.get_mut(sender) else { continue };
            self.line.remove(&queue.turn);
            queue.turn = turn;
            self.line.insert(turn, *sender);
        }
    }

    fn take_back(
        &mut self,
        mut reverted: Vec<VerifiedTransaction>,
        view: &impl AccountView,
        now: UnixMillis,
        included: &BTreeSet<TransactionId>,
        report: &mut ResetReport,
    ) {
        // A stable sort: each sender's in nonce order, and otherwise as they stood in the blocks.
        reverted.sort_by_key(|transaction| transaction.native().nonce);
        for transaction in reverted {
            let (id, sender) = (transaction.id(), transaction.sender());
            if included.contains(&id) || self.ids.contains_key(&id) {
                continue;
            }
            let arrival = Arrival { origin: Origin::Network, now };
            match self.admit(transaction, arrival, view.account(&sender), false) {
                Ok(Insertion::Added { replaced, evicted }) => {
                    report.returned.push(id);
                    report.dropped.extend(replaced.into_iter().chain(evicted));
                }
                Ok(Insertion::Known { .. }) => {}
                Err(rejection) => report.not_returned.push((id, rejection)),
            }
        }
        let present = std::mem::take(&mut report.returned);
        report.returned = present.into_iter().filter(|id| self.ids.contains_key(id)).collect();
    }
}

/// The included transactions of each sender, in nonce order.
struct Rivals<'a> {
    included: &'a [(Address, TransactionId)],
    by_sender: Option<BTreeMap<Address, Vec<TransactionId>>>,
}

impl<'a> Rivals<'a> {
    fn of(included: &'a [(Address, TransactionId)]) -> Self {
        Self { included, by_sender: None }
    }

    /// Which other included transaction used the entry's nonce. A sender's last one used the nonce below the
    /// account's, and the others those below it: blocks leave out none.
    fn find(&mut self, entry: &Entry, account_nonce: u64) -> Option<TransactionId> {
        let from_the_end = usize::try_from(account_nonce.checked_sub(entry.nonce())?).ok()?;
        let by_sender = self.by_sender.get_or_insert_with(|| {
            let mut by_sender = BTreeMap::<_, Vec<_>>::new();
            for (sender, id) in self.included {
                by_sender.entry(*sender).or_default().push(*id);
            }
            by_sender
        });
        let ids = by_sender.get(&entry.transaction.sender())?;
        let rival = *ids.get(ids.len().checked_sub(from_the_end)?)?;
        (rival != entry.transaction.id()).then_some(rival)
    }
}

impl ResetReport {
    fn left(&mut self, entry: &Entry, account_nonce: u64, included: &BTreeSet<TransactionId>) {
        let id = entry.transaction.id();
        if included.contains(&id) {
            self.included.push(id);
        } else if entry.nonce() < account_nonce {
            self.conflicted.push(id);
        } else {
            self.dropped.push(id);
        }
    }
}

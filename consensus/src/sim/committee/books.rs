//! The second bookkeeping of the model: the same accounts, kept by hand, one book after each block. It shares
//! nothing with the ledger but what a transfer is.

use std::collections::{BTreeMap, BTreeSet};

use synod_types::BlockHash;

use super::ledger::{ACCOUNTS, Block, FIRST_BALANCE, State, Transfer, transfers};
use crate::sim::ledger::Complaint;

#[derive(Debug, Clone)]
struct Book {
    balances: Vec<i64>,
    nonces: Vec<u32>,
    /// How many epochs ended.
    ended: u32,
    /// How often each member was taken back.
    taken_back: BTreeMap<u8, u16>,
}

/// The books of all blocks of a run, and what clients submitted.
#[derive(Debug, Default)]
pub(super) struct Books {
    submitted: BTreeSet<Transfer>,
    books: BTreeMap<BlockHash, Book>,
}

impl Books {
    pub(super) fn submit(&mut self, transfer: Transfer) {
        self.submitted.insert(transfer);
    }

    /// Compares what a node has after a block with the books (A2, A4).
    pub(super) fn compare(
        &mut self,
        parent: BlockHash,
        block: &Block,
        state: &State,
    ) -> Result<(), Complaint> {
        if !self.books.contains_key(&block.hash) {
            let above = self.books.get(&parent).cloned();
            let first = || Book {
                balances: vec![FIRST_BALANCE as i64; ACCOUNTS],
                nonces: vec![0; ACCOUNTS],
                ended: 0,
                taken_back: BTreeMap::new(),
            };
            let mut book = above.unwrap_or_else(first);
            book.execute(&block.body);
            self.books.insert(block.hash, book);
        }
        let book = &self.books[&block.hash];
        let same_money =
            state.balances.iter().zip(&book.balances).all(|(ours, theirs)| *ours as i64 == *theirs);
        let taken_back = state.incarnations.iter().zip(0..).filter(|(incarnation, _)| **incarnation > 0);
        let taken_back: BTreeMap<u8, u16> = taken_back.map(|(count, member)| (member, *count)).collect();
        let same_committee = state.epoch == book.ended && taken_back == book.taken_back;
        if !same_money || !same_committee || state.nonces[..] != book.nonces[..] {
            return Err(wrong("A2", format!("block {} was executed differently", block.hash)));
        }
        let total: i64 = book.balances.iter().sum();
        if total != FIRST_BALANCE as i64 * ACCOUNTS as i64 || book.balances.iter().any(|it| *it < 0) {
            return Err(wrong("A4", format!("the accounts hold {total} after block {}", block.hash)));
        }
        match block.executed.iter().find(|transfer| !self.submitted.contains(transfer)) {
            Some(stranger) => Err(wrong("A2", format!("nobody submitted {stranger:?}"))),
            None => Ok(()),
        }
    }
}

impl Book {
    fn execute(&mut self, body: &[u8]) {
        let ended = self.ended;
        for transfer in transfers(body).unwrap_or_default() {
            let Transfer { from, nonce, to, amount } = transfer;
            if transfer.is_change() {
                let known = self.taken_back.get(&to).copied().unwrap_or_default();
                if (nonce, self.ended, amount) == (ended, ended, known + 1) {
                    self.ended += 1;
                    self.taken_back.insert(to, amount);
                }
                continue;
            }
            let (payer, paid) = (usize::from(from), usize::from(to));
            if nonce == self.nonces[payer] && self.balances[payer] >= i64::from(amount) {
                self.nonces[payer] += 1;
                self.balances[payer] -= i64::from(amount);
                self.balances[paid] += i64::from(amount);
            }
        }
    }
}

fn wrong(oracle: &'static str, message: String) -> Complaint {
    Complaint { oracle, message }
}

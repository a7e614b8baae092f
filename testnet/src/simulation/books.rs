//! A second, naive ledger (A2, A4): maps and 128-bit money, one book for each block, none of it shared with the
//! real ledger but the vocabulary. It knows plain transfers, which is all that the clients here send.

use std::collections::BTreeMap;
use std::rc::Rc;

use synod_consensus::sim::Complaint;
use synod_ledger::execution::genesis_block;
use synod_ledger::state::View;
use synod_types::address::address_of;
use synod_types::genesis::Ordering;
use synod_types::{Address, Block, BlockHash, Genesis, NativeTransaction, Transaction};

/// The gas of a transfer.
const TRANSFER_GAS: u64 = 21_000;

/// What there is after one block.
#[derive(Debug, Clone)]
struct Book {
    height: u64,
    /// Nonce and balance.
    accounts: BTreeMap<Address, (u64, u128)>,
    immature: BTreeMap<u64, (Address, u128)>,
    period: u64,
    period_gas: u64,
    base_fee: u128,
    burnt: u128,
    issued: u128,
}

/// The books of all valid blocks of a run.
pub(super) struct Books {
    genesis: Genesis,
    books: BTreeMap<BlockHash, Rc<Book>>,
}

impl Books {
    pub(super) fn new(genesis: &Genesis) -> Self {
        let accounts =
            genesis.alloc.iter().map(|(address, balance)| (*address, (0, balance.to::<u128>()))).collect();
        let first = Book {
            height: 0,
            accounts,
            immature: BTreeMap::new(),
            period: 0,
            period_gas: 0,
            base_fee: u128::from(genesis.fees.initial_base_fee),
            burnt: 0,
            issued: 0,
        };
        let hash = genesis_block(genesis).hash();
        Self { genesis: genesis.clone(), books: [(hash, Rc::new(first))].into() }
    }

    /// Executes a block that a node has executed, unless it is known.
    pub(super) fn keep(&mut self, block: &Block) -> Result<(), Complaint> {
        let hash = block.hash();
        if self.books.contains_key(&hash) {
            return Ok(());
        }
        let Some(parent) = self.books.get(&block.header.parent) else {
            return Err(wrong("A2", format!("block {hash} stands on one that nobody executed")));
        };
        let mut book = Book::clone(parent);
        book.execute(&self.genesis, block)
            .map_err(|problem| wrong("A2", format!("block {hash}: {problem}")))?;
        self.books.insert(hash, Rc::new(book));
        Ok(())
    }

    /// Compares a node's whole state after a block with the book, and counts its money.
    pub(super) fn compare(&self, hash: BlockHash, view: &View) -> Result<(), Complaint> {
        let Some(book) = self.books.get(&hash) else {
            return Err(wrong("A2", format!("the tip {hash} is a block that nobody executed")));
        };
        let entries = view.entries();
        let real: BTreeMap<Address, (u64, u128)> = entries
            .accounts
            .iter()
            .map(|(address, account)| (*address, (account.nonce, account.balance.to::<u128>())))
            .collect();
        if real != book.accounts {
            return Err(wrong(
                "A12",
                format!("the accounts after {hash} are {real:?}, not {:?}", book.accounts),
            ));
        }
        let balances: u128 = real.values().map(|account| account.1).sum();
        let system = entries.system;
        let (immature, burnt, issued) = (system.immature, system.burnt, system.issued);
        let held = balances + immature.to::<u128>() + burnt.to::<u128>();
        let made = self.genesis.supply().to::<u128>() + issued.to::<u128>();
        if held != made || issued.to::<u128>() != book.issued || burnt.to::<u128>() != book.burnt {
            return Err(wrong("A4", format!("after {hash} there are {held} wei, of {made} that were made")));
        }
        Ok(())
    }
}

impl Book {
    fn execute(&mut self, genesis: &Genesis, block: &Block) -> Result<(), String> {
        self.height += 1;
        let born = self.height.checked_sub(genesis.pow.settled_depth);
        if let Some((recipient, amount)) = born.and_then(|born| self.immature.remove(&born)) {
            self.accounts.entry(recipient).or_default().1 += amount;
        }
        self.move_fee(genesis, block.time().0);
        if self.base_fee != block.commitment.base_fee {
            return Err(format!("its base fee is {}, not {}", block.commitment.base_fee, self.base_fee));
        }
        let tips_to = block.commitment.fee_recipient;
        for transaction in &block.transactions {
            let Transaction::Native(signed) = transaction else { return Err("no transfer".to_owned()) };
            self.charge(&signed.transaction, tips_to)?;
            self.period_gas += TRANSFER_GAS;
        }
        let halvings = ((self.height - 1) / genesis.pow.halving_interval).min(127);
        let reward = if genesis.ordering == Ordering::Pow { genesis.pow.reward >> halvings } else { 0 };
        if reward > 0 {
            self.immature.insert(self.height, (tips_to, reward));
            self.issued += reward;
        }
        self.accounts.retain(|_, account| *account != (0, 0));
        Ok(())
    }

    fn charge(&mut self, transaction: &NativeTransaction, tips_to: Address) -> Result<(), String> {
        let sender = address_of(&transaction.sender);
        let (nonce, balance) = self.accounts.get(&sender).copied().unwrap_or_default();
        let value = transaction.value.to::<u128>();
        let tip = transaction.max_tip.min(transaction.max_fee.saturating_sub(self.base_fee));
        let paid = u128::from(TRANSFER_GAS) * (self.base_fee + tip);
        if nonce != transaction.nonce || transaction.max_fee < self.base_fee {
            return Err(format!("nonce {} of {sender} is in it, where {nonce} is next", transaction.nonce));
        }
        let left = balance.checked_sub(paid + value).ok_or_else(|| format!("{sender} cannot pay"))?;
        let to = transaction.to.ok_or("it creates a contract")?;
        self.accounts.insert(sender, (nonce + 1, left));
        self.accounts.entry(to).or_default().1 += value;
        self.accounts.entry(tips_to).or_default().1 += u128::from(TRANSFER_GAS) * tip;
        self.burnt += u128::from(TRANSFER_GAS) * self.base_fee;
        Ok(())
    }

    fn move_fee(&mut self, genesis: &Genesis, time: u64) {
        let fees = &genesis.fees;
        let period = time.saturating_sub(genesis.time.0) / fees.period_ms;
        let target = u128::from(fees.target_gas_per_second) * u128::from(fees.period_ms) / 1000;
        while self.period < period {
            let (gas, fee) = (u128::from(self.period_gas), self.base_fee);
            if gas > target {
                self.base_fee += (fee * (gas - target).min(target) / target / 8).max(1);
            } else if gas < target {
                let less = fee - (fee * (target - gas) / target / 8).max(1);
                self.base_fee = less.max(u128::from(fees.base_fee_floor));
            }
            self.period += 1;
            self.period_gas = 0;
        }
    }
}

pub(super) fn wrong(oracle: &'static str, message: String) -> Complaint {
    Complaint { oracle, message }
}

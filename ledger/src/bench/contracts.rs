//! Blocks of a token's transfers over many holders, and where their time goes.
//!
//! The machine alone is measured by running the same calls once more over what they read, kept in a small map:
//! what is left of a block's execution is state and books.

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde::Serialize;
use synod_types::{
    Address, B256, Bytes, Gas, NativeTransaction, Receipt, U256, UnixMillis, VerifiedTransaction,
};
use synod_vm::{Account, Host, Vm, World};

use super::{ApplyLoad, BenchError, Crowd, Vouching, failed, middle, milliseconds, public};
use crate::disk::Disk;
use crate::execution::contract::{BlockHost, environment, for_machine};
use crate::state::DiffBuilder;
use crate::state::leaves;
use crate::testing::unsigned;
use crate::{Ledger, LoggedHistory};

/// The most gas of one transfer; it uses about half.
const TRANSFER_GAS: u64 = 100_000;
/// The most gas of the token's creation.
const CREATION_GAS: u64 = 10_000_000;
/// Tokens that each holder begins with.
const FIRST_TOKENS: u64 = 1_000_000;

/// A token, as its compiler made it.
#[derive(Debug, Clone)]
pub struct Token {
    /// What creates it, its constructor's arguments included; the whole supply goes to the creator.
    pub creation: Bytes,
    /// The call data of its transfer.
    pub transfer: fn(Address, u64) -> Bytes,
}

/// What to put on a chain.
#[derive(Debug, Clone)]
pub struct ContractLoad {
    /// The token.
    pub token: Token,
    /// Accounts that hold some.
    pub holders: u64,
    /// Blocks to measure.
    pub blocks: u32,
    /// Transfers in each of them, between random holders.
    pub transfers: u32,
    /// Whether commits are synced to the disk.
    pub sync: bool,
}

/// The middle block's time and its parts.
#[derive(Debug, Clone, Serialize)]
pub struct ContractFigures {
    /// Accounts that hold the token.
    pub holders: u64,
    /// Transfers in a block.
    pub transfers: u32,
    /// Whether commits were synced.
    pub synced: bool,
    /// Gas of a block.
    pub gas: u64,
    /// A whole block, in milliseconds: executed, rooted, logged, committed.
    pub block_ms: f64,
    /// Transfers for each second.
    pub transfers_per_second: f64,
    /// The machine alone.
    pub vm_ms: f64,
    /// Reading and changing state, fees, receipts, the block's checks.
    pub state_ms: f64,
    /// The state tree.
    pub root_ms: f64,
    /// The log's commit.
    pub commit_ms: f64,
}

/// Measures blocks of a token's transfers in an empty folder.
///
/// # Errors
/// [`BenchError`].
pub fn contracts(folder: &Path, load: &ContractLoad) -> Result<ContractFigures, BenchError> {
    std::fs::create_dir_all(folder.join("blocks"))?;
    let mut crowd = Crowd::new(load.holders);
    let apply = ApplyLoad { accounts: load.holders, blocks: 0, transfers: 0, sync: load.sync, index: false };
    let mut ledger = crowd.open(folder, apply)?;
    crowd.settle(&mut ledger)?;
    let token = deal(&crowd, &mut ledger, load)?;
    let mut random = ChaCha20Rng::from_seed([6; 32]);
    let [mut wholes, mut machines, mut states, mut roots, mut commits] = [const { Vec::new() }; 5];
    let mut gas = 0;
    for _ in 0..load.blocks.max(1) {
        let transactions = crowd.token_transfers(token, load, &mut random);
        let machine = machine_alone(&ledger, &transactions);
        let block = crowd.build(&mut ledger, transactions);
        gas = block.commitment.gas_used.0;
        while ledger.prepare().map_err(failed)? {}
        let begun = Instant::now();
        let executed = ledger.append(&block, &Vouching(crowd.rules.genesis)).map_err(failed)?;
        let appended = begun.elapsed();
        ledger.commit().map_err(failed)?;
        let whole = begun.elapsed();
        check(&executed.receipts, block.transactions.len())?;
        let root = tree_alone(&mut ledger, executed.diff.as_deref());
        wholes.push(whole);
        machines.push(machine);
        roots.push(root);
        states.push(appended.saturating_sub(machine + root));
        commits.push(whole - appended);
    }
    let block = middle(&mut wholes);
    Ok(ContractFigures {
        holders: load.holders,
        transfers: load.transfers,
        synced: load.sync,
        gas,
        block_ms: milliseconds(block),
        transfers_per_second: f64::from(load.transfers) / block.as_secs_f64(),
        vm_ms: milliseconds(middle(&mut machines)),
        state_ms: milliseconds(middle(&mut states)),
        root_ms: milliseconds(middle(&mut roots)),
        commit_ms: milliseconds(middle(&mut commits)),
    })
}

/// Creates the token, and gives every holder some.
fn deal<D: Disk>(
    crowd: &Crowd,
    ledger: &mut Ledger<LoggedHistory<D>>,
    load: &ContractLoad,
) -> Result<Address, BenchError> {
    let mut nonce = load.holders;
    let mut next = |to: Option<Address>, data: Bytes, gas: u64| {
        let call = crowd.call(u64::MAX, nonce, to, data, gas);
        nonce += 1;
        call
    };
    let token = synod_vm::create_address(&synod_types::address::address_of(&public(u64::MAX)), load.holders);
    let mut put = |transactions| -> Result<Vec<Receipt>, BenchError> {
        let block = crowd.build(ledger, transactions);
        let executed = ledger.append(&block, &Vouching(crowd.rules.genesis)).map_err(failed)?;
        ledger.commit().map_err(failed)?;
        Ok(executed.receipts.clone())
    };
    let created = put(vec![next(None, load.token.creation.clone(), CREATION_GAS)])?;
    if created.first().and_then(|receipt| receipt.created) != Some(token) {
        return Err(BenchError::Ledger("the token was not created".to_owned()));
    }
    for some in crowd.addresses.chunks(super::FILL as usize) {
        let give = |to: &Address| next(Some(token), (load.token.transfer)(*to, FIRST_TOKENS), TRANSFER_GAS);
        check(&put(some.iter().map(give).collect())?, some.len())?;
    }
    Ok(token)
}

/// Each of a block's transfers succeeded, and told of itself.
fn check(receipts: &[Receipt], transfers: usize) -> Result<(), BenchError> {
    let good = receipts.iter().filter(|receipt| receipt.succeeded && receipt.logs.len() == 1).count();
    if good == transfers {
        return Ok(());
    }
    Err(BenchError::Ledger(format!("{good} of {transfers} token transfers succeeded")))
}

/// The time of a block's calls in the machine, over the answers that the state gave to them.
fn machine_alone<D: Disk>(
    ledger: &Ledger<LoggedHistory<D>>,
    transactions: &[VerifiedTransaction],
) -> Duration {
    let head = ledger.head();
    let time = UnixMillis(head.time().0 + 1_000);
    let height = head.height().next().expect("a bench's chain is short");
    let base_fee = ledger.base_fee_at(time);
    let block = environment(ledger.rules(), height, &head.hash, time, base_fee, Address::ZERO);
    let calls: Vec<synod_vm::Transaction> =
        transactions.iter().map(|one| for_machine(one.native(), one.native().sender_address())).collect();
    let changes = DiffBuilder::new(&head.view);
    let recording = Recording { inner: BlockHost::new(&changes, &()), read: RefCell::default() };
    let mut vm = Vm::new();
    for call in &calls {
        vm.execute(&recording, &block, call).expect("the bench's senders can pay");
    }
    let world = recording.read.into_inner();
    let begun = Instant::now();
    for call in &calls {
        drop(std::hint::black_box(vm.execute(&world, &block, call)));
    }
    begun.elapsed()
}

/// The time of taking a block's changes into the tree: taken back first, so that the tree ends as it was.
fn tree_alone<D: Disk>(ledger: &mut Ledger<LoggedHistory<D>>, diff: Option<&crate::state::Diff>) -> Duration {
    let Some(diff) = diff else { return Duration::ZERO };
    ledger.trie.apply(&leaves::changes_back(diff));
    let begun = Instant::now();
    ledger.trie.apply(&leaves::changes(diff));
    std::hint::black_box(ledger.trie.root());
    begun.elapsed()
}

/// A state whose answers are kept.
struct Recording<H> {
    inner: H,
    read: RefCell<World>,
}

impl<H: Host> Host for Recording<H> {
    fn account(&self, address: &Address) -> Option<Account> {
        let account = self.inner.account(address);
        self.read.borrow_mut().accounts.extend(account.map(|account| (*address, account)));
        account
    }

    fn code(&self, hash: &B256) -> Bytes {
        let code = self.inner.code(hash);
        self.read.borrow_mut().code.insert(*hash, code.clone());
        code
    }

    fn storage(&self, address: &Address, slot: &U256) -> U256 {
        let value = self.inner.storage(address, slot);
        self.read.borrow_mut().storage.entry(*address).or_default().insert(*slot, value);
        value
    }

    fn has_storage(&self, address: &Address) -> bool {
        self.inner.has_storage(address)
    }

    fn block_hash(&self, number: u64) -> B256 {
        self.inner.block_hash(number)
    }
}

impl Crowd {
    /// Transfers between random holders; nobody sends twice in a block.
    fn token_transfers(
        &mut self,
        token: Address,
        load: &ContractLoad,
        random: &mut ChaCha20Rng,
    ) -> Vec<VerifiedTransaction> {
        let holders = self.addresses.len() as u64;
        let first = random.next_u64() % holders;
        let transfer = |count: u64| {
            let (from, to) = ((first + count) % holders, random.next_u64() % holders);
            let nonce = self.nonces[from as usize];
            self.nonces[from as usize] += 1;
            let data = (load.token.transfer)(self.addresses[to as usize], 1);
            (from, nonce, data)
        };
        let chosen: Vec<_> = (0..u64::from(load.transfers).min(holders)).map(transfer).collect();
        let call = |(from, nonce, data)| self.call(from, nonce, Some(token), data, TRANSFER_GAS);
        chosen.into_iter().map(call).collect()
    }

    fn call(&self, from: u64, nonce: u64, to: Option<Address>, data: Bytes, gas: u64) -> VerifiedTransaction {
        let plain = unsigned(&self.rules, public(from), nonce, Address::ZERO, 0);
        let transaction = NativeTransaction { to, data, gas_limit: Gas(gas), ..plain };
        self.vouched(transaction)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use synod_vm::bench::{token_data, transfer_data};

    #[test]
    fn the_bench_of_contracts_runs() {
        let folder = tempfile::tempdir().unwrap();
        let token = Token { creation: token_data(1_000_000), transfer: transfer_data };
        let load = ContractLoad { token, holders: 50, blocks: 3, transfers: 20, sync: false };
        let figures = contracts(folder.path(), &load).unwrap();
        assert!(figures.gas > 20 * 30_000, "each transfer ran its code: {figures:?}");
        let none = Token { creation: Bytes::from_static(&[0xfe]), ..load.token.clone() };
        let none = contracts(&folder.path().join("other"), &ContractLoad { token: none, ..load });
        assert!(none.is_err(), "what is no token is told");
        // Each is a time of its own: how they compare is the machine's affair.
        assert!(figures.vm_ms > 0.0 && figures.root_ms > 0.0 && figures.block_ms > 0.0);
    }
}

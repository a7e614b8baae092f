//! Contracts in a ledger with a small window and an index: what is asked of them, what is found of their events,
//! and what is there again after a restart.
#![allow(clippy::unwrap_used)]

mod programs;

use std::path::Path;

use synod_ledger::call::{Bounds, CallError};
use synod_ledger::execution::Proposal;
use synod_ledger::logs::{FoundLog, LogFilter, LogPlace, PAGE_BLOCKS, PAGE_LOGS};
use synod_ledger::state::{Entries, StateRead};
use synod_ledger::testing::{account, deploying, genesis, key, running, signed};
use synod_ledger::{BlockHistory, Ledger, MemoryHistory, NoState, Options};
use synod_types::{
    Address, B256, Block, Bytes, Gas, Height, Log, NativeTransaction, Receipt, U256, UnixMillis,
};
use synod_vm::tracer::CallTracer;
use synod_vm::{Estimate, Halt, Status, Transaction};

type Chain = Ledger<MemoryHistory>;

fn start(history: MemoryHistory, index: &Path) -> Chain {
    let options =
        Options { layers: 4, checkpoint_every: 3, index: Some(index.to_owned()), ..Options::new([1; 32]) };
    Ledger::open(genesis(), history, options).unwrap().0
}

/// Puts a block of account 1's transactions on the chain; gives it and its receipts.
fn block(chain: &mut Chain, wanted: Vec<NativeTransaction>) -> (Block, Vec<Receipt>) {
    let rules = chain.rules().clone();
    let nonce = chain.view().account(&account(1)).nonce;
    let numbered = (nonce..).zip(wanted).map(|(nonce, one)| NativeTransaction { nonce, ..one });
    let transactions: Vec<_> = numbered.map(|one| signed(&rules, &key(1), one)).collect();
    let (count, time) = (transactions.len(), UnixMillis(chain.head().time().0 + 60_000));
    let proposal = Proposal { time, proposer: account(15), fee_recipient: account(15), transactions };
    let built = chain.build(proposal, 0);
    assert_eq!(built.block.transactions.len(), count, "{:?}", built.left_out.first());
    chain.append(&built.block, &()).unwrap();
    (built.block, built.receipts)
}

fn program(name: &str) -> Bytes {
    programs::ALL.iter().find(|one| one.name == name).unwrap().code()
}

fn create(chain: &Chain, code: &[u8]) -> NativeTransaction {
    running(chain.rules(), key(1).public(), 0, None, deploying(code))
}

fn call(chain: &Chain, to: Address, words: [u64; 2]) -> NativeTransaction {
    let data = words.map(|word| U256::from(word).to_be_bytes::<32>()).concat();
    running(chain.rules(), key(1).public(), 0, Some(to), data)
}

/// The question that is the same as [`call`].
fn question(to: Address, words: [u64; 2]) -> Transaction {
    let data = words.map(|word| U256::from(word).to_be_bytes::<32>()).concat().into();
    Transaction { sender: account(1), to: Some(to), data, gas_limit: u64::MAX, ..Transaction::default() }
}

const UNHURRIED: Bounds<'static> = Bounds { gas: 10_000_000, memory_bytes: 1 << 20, is_time_up: &|| false };

/// Everything that a chain of contracts left is there: slots, code, receipts of any length, events.
fn check(chain: &Chain, history: &[(Block, Vec<Receipt>)], contracts: &[Address]) {
    let (store, reader) = (contracts[0], chain.reader());
    assert_eq!(chain.recount_root(), chain.head().commitment.state_root);
    for word in 1..=20_u64 {
        assert_eq!(chain.view().slot(&store, &B256::from(U256::from(word))), U256::from(word * 3));
    }
    let code = reader.code(chain.head().height(), &contracts[2]).unwrap().answer.unwrap().1;
    assert_eq!(code, vec![1_u8; 24_576], "the longest code that there is");
    for receipt in history.iter().flat_map(|(_, receipts)| receipts) {
        let found = reader.transaction(&receipt.transaction).unwrap().unwrap();
        assert_eq!(found.receipt, *receipt);
    }
    let expected: Vec<(Height, u32, Log)> = history
        .iter()
        .flat_map(|(block, receipts)| {
            let logs = receipts.iter().flat_map(|receipt| receipt.logs.clone());
            (0..).zip(logs).map(move |(index, log)| (block.height(), index, log))
        })
        .collect();
    let told = |found: &FoundLog| (found.place.height, found.place.index, found.log.clone());
    let first = LogPlace { height: Height(0), index: 0 };
    let all = reader.logs(&LogFilter::default(), first, Height(u64::MAX), 10_000).unwrap();
    assert_eq!((all.logs.iter().map(told).collect::<Vec<_>>(), all.next), (expected.clone(), None));
    // The same, three at a time.
    let (mut pieces, mut next) = (Vec::new(), Some(first));
    while let Some(from) = next {
        let page = reader.logs(&LogFilter::default(), from, Height(u64::MAX), 3).unwrap();
        assert!(page.logs.len() <= 3);
        pieces.extend(page.logs.iter().map(told));
        next = page.next;
    }
    assert_eq!(pieces, expected);
    let seventh = LogFilter { addresses: vec![store], topics: vec![vec![B256::with_last_byte(7)]] };
    let found = reader.logs(&seventh, first, Height(u64::MAX), 10_000).unwrap().logs;
    assert_eq!(found.len(), 1);
    let (block, receipts) = &history[found[0].place.height.0 as usize - 1];
    assert_eq!((found[0].block_hash, found[0].time), (block.hash(), block.time()));
    assert_eq!(found[0].transaction, receipts[found[0].transaction_index as usize].transaction);
}

/// STO-3, RPC-3: storage, the longest code, receipts longer than a page and the filters of events survive in the
/// index, before and after a restart from it.
#[test]
fn a14_contracts_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    let mut chain = start(MemoryHistory::default(), &index);
    let loud = [0x61, 0x9c, 0x40, 0x5f, 0xa0]; // LOG0 of 40,000 zero bytes
    let codes = [program("store"), Bytes::from(loud), vec![1; 24_576].into(), program("child")];
    let deployments = codes.iter().map(|code| {
        let creation = create(&chain, code);
        NativeTransaction { gas_limit: Gas(8_000_000), ..creation }
    });
    let deployments = deployments.collect();
    let mut history = vec![block(&mut chain, deployments)];
    let contracts: Vec<Address> = history[0].1.iter().map(|receipt| receipt.created.unwrap()).collect();
    for word in 1..=20 {
        let mut calls = vec![call(&chain, contracts[0], [word, word * 3])];
        if word % 5 == 0 {
            calls.extend([call(&chain, contracts[1], [0, 0]), call(&chain, contracts[3], [0, 0])]);
        }
        history.push(block(&mut chain, calls));
    }
    check(&chain, &history, &contracts);
    let entries = chain.view().entries();
    chain.close();
    let mut log = MemoryHistory::default();
    history.iter().for_each(|(block, _)| log.append(block).unwrap());
    let mut chain = start(log, &index);
    assert_eq!(chain.view().entries(), entries);
    check(&chain, &history, &contracts);
    // And it goes on: what the index brought runs.
    let last = call(&chain, contracts[0], [21, 63]);
    let (_, receipts) = block(&mut chain, vec![last]);
    assert!(receipts[0].succeeded);
}

/// What waits for its turn stays out of a block, and what fails has had its turn: it is paid for and cannot come again.
#[test]
fn cry_5_exactly_the_next_nonce_is_included_and_a_failed_transaction_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = start(MemoryHistory::default(), &folder.path().join("index"));
    // An undefined instruction takes all gas.
    let failing = running(chain.rules(), key(1).public(), 0, None, vec![0x0c]);
    let before = chain.view().account(&account(1));
    let (_, receipts) = block(&mut chain, vec![failing.clone()]);
    let after = chain.view().account(&account(1));
    assert_eq!((receipts[0].succeeded, receipts[0].gas_used), (false, failing.gas_limit));
    let fee = U256::from(receipts[0].gas_used.0) * U256::from(receipts[0].effective_fee);
    assert_eq!((after.nonce, before.balance - after.balance), (before.nonce + 1, fee));
    for (nonce, code) in [(0, "nonce_too_low"), (2, "nonce_too_high"), (u64::MAX, "nonce_too_high")] {
        let other = signed(chain.rules(), &key(1), NativeTransaction { nonce, ..failing.clone() });
        let time = UnixMillis(chain.head().time().0 + 60_000);
        let transactions = vec![other];
        let proposal = Proposal { time, proposer: account(15), fee_recipient: account(15), transactions };
        let built = chain.build(proposal, 0);
        assert!(built.block.transactions.is_empty());
        assert_eq!(built.left_out[0].1.code(), code, "{nonce}");
    }
}

/// A page looks at 1,000 blocks and has 10,000 events at most, whatever is asked for, and says where it ended.
#[test]
fn rpc_3_a_page_of_events_ends_by_blocks_and_by_events() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = start(MemoryHistory::default(), &folder.path().join("index"));
    // PUSH2 count, JUMPDEST, an event without topics or data, and one less, until there are none.
    let count = (PAGE_LOGS as u16 + 1).to_be_bytes();
    let noisy = [0x61, count[0], count[1], 0x5b, 0x5f, 0x5f, 0xa0, 0x60, 1, 0x90, 0x03, 0x80, 0x60, 3, 0x57];
    let noise = NativeTransaction {
        gas_limit: Gas(30_000_000),
        ..running(chain.rules(), key(1).public(), 0, None, noisy.to_vec())
    };
    block(&mut chain, vec![noise]);
    for _ in 0..PAGE_BLOCKS {
        block(&mut chain, Vec::new());
    }
    let page = |height, index| {
        let from = LogPlace { height: Height(height), index };
        let page = chain.reader().logs(&LogFilter::default(), from, Height(u64::MAX), usize::MAX).unwrap();
        (page.logs.len(), page.next.map(|next| (next.height.0, next.index)))
    };
    assert_eq!(page(1, 0), (PAGE_LOGS, Some((1, PAGE_LOGS as u32))));
    assert_eq!(page(1, PAGE_LOGS as u32), (1, Some((PAGE_BLOCKS + 1, 0))));
    assert_eq!(page(PAGE_BLOCKS + 1, 0), (0, None));
    assert_eq!(page(2, 0), (0, None), "1,000 blocks fit");
}

#[test]
fn rpc_3_questions_are_answered_within_their_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = start(MemoryHistory::default(), &folder.path().join("index"));
    let names = ["store", "revert", "endless", "environment"];
    let mut deployments = names.map(|name| create(&chain, &program(name))).to_vec();
    // Reads a word at 2,000 and then goes round for ever.
    let greedy = [0x61, 0x07, 0xd0, 0x51, 0x50, 0x5b, 0x60, 5, 0x56];
    deployments.push(create(&chain, &greedy));
    let created: Vec<_> =
        block(&mut chain, deployments).1.iter().map(|receipt| receipt.created.unwrap()).collect();
    let [store, revert, endless, environment, greedy] = created[..] else { unreachable!() };
    let reader = chain.reader();
    let (head, before) = (chain.head().height(), chain.view().entries());

    let stored = reader.call(head, &question(store, [5, 6]), &UNHURRIED).unwrap();
    assert_eq!((stored.answer.status, stored.block_hash), (Status::Success, chain.head().hash));
    assert_eq!(chain.view().entries(), before, "a call changes nothing");
    let reverted = reader.call(head, &question(revert, [0, 0]), &UNHURRIED).unwrap().answer;
    assert_eq!((reverted.status, reverted.output.len()), (Status::Revert, 2_000));
    let halted = reader.call(head, &question(endless, [0, 0]), &UNHURRIED).unwrap().answer;
    assert_eq!((halted.status, halted.gas_used), (Status::Halt(Halt::OutOfGas), UNHURRIED.gas));
    let asked = std::cell::Cell::new(0);
    let impatient = || asked.replace(asked.get() + 1) > 3;
    let hurried = Bounds { is_time_up: &impatient, ..UNHURRIED };
    let stopped = reader.call(head, &question(endless, [0, 0]), &hurried);
    assert!(matches!(stopped, Err(CallError::Stopped)), "{stopped:?}");
    let small = Bounds { memory_bytes: 1_000, ..UNHURRIED };
    let stopped = reader.call(head, &question(greedy, [0, 0]), &small);
    assert!(matches!(stopped, Err(CallError::Stopped)), "{stopped:?}");
    let halted = reader.call(head, &question(greedy, [0, 0]), &UNHURRIED).unwrap().answer;
    assert_eq!(halted.status, Status::Halt(Halt::OutOfGas), "its memory is within the usual bound");
    let pruned = reader.call(Height(head.0 + 1), &question(store, [0, 0]), &UNHURRIED);
    assert!(matches!(pruned, Err(CallError::NoState(NoState::Future { .. }))));

    // An estimate is a gas limit that is enough, and a 32nd less is not.
    let Estimate::Gas(gas) = reader.estimate(head, &question(store, [5, 6]), &UNHURRIED).unwrap().answer
    else {
        panic!("it succeeds");
    };
    let limited = |gas| NativeTransaction { gas_limit: Gas(gas), ..call(&chain, store, [5, 6]) };
    let (first, second) = (limited(gas - gas / 32), limited(gas));
    let third = call(&chain, environment, [0, 0]);
    let (_, receipts) = block(&mut chain, vec![first, second, third]);
    assert_eq!(receipts.iter().map(|one| one.succeeded).collect::<Vec<_>>(), [false, true, true]);
    assert!(matches!(
        reader.estimate(head, &question(revert, [0, 0]), &UNHURRIED).unwrap().answer,
        Estimate::Fails(_)
    ));

    // Each transaction, executed again, is what it was: after the ones before it in its block.
    for receipt in &receipts {
        let id = receipt.transaction;
        let watched = reader.trace(&id, CallTracer::default(), &UNHURRIED).unwrap().unwrap();
        assert_eq!(watched.execution.gas_used, receipt.gas_used.0);
        assert_eq!(watched.execution.status == Status::Success, receipt.succeeded);
        assert_eq!(watched.calls.records().len(), 1);
    }
    // A call at a block sees the block's own number, which the contract has stored already.
    let number = reader.slot(chain.head().height(), &environment, &B256::ZERO).unwrap().answer;
    assert_eq!(number, U256::from(chain.head().height().0));
    let at_the_block =
        reader.call(chain.head().height(), &question(environment, [0, 0]), &UNHURRIED).unwrap();
    let slots = &at_the_block.answer.diff.accounts.get(&environment);
    assert!(slots.is_none_or(|change| !change.storage.contains_key(&U256::ZERO)), "the number is the same");

    let old = receipts[0].transaction;
    // The window lets a block go once the index has it, which another thread writes.
    let mut patience = 5_000;
    while chain.reader().trace(&old, CallTracer::default(), &UNHURRIED).is_ok() && patience > 0 {
        block(&mut chain, Vec::new());
        std::thread::sleep(std::time::Duration::from_millis(1));
        patience -= 1;
    }
    let pruned = reader.trace(&old, CallTracer::default(), &UNHURRIED);
    assert!(matches!(pruned, Err(CallError::NoState(NoState::Pruned { .. }))), "{pruned:?}");
    let pruned = reader.call(Height(1), &question(store, [0, 0]), &UNHURRIED);
    assert!(matches!(pruned, Err(CallError::NoState(NoState::Pruned { .. }))));
}

/// A rewind takes code, storage and events with it, and the other branch has its own.
#[test]
fn pow_9_a_rewind_takes_contracts_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = start(MemoryHistory::default(), &folder.path().join("index"));
    let base = block(&mut chain, Vec::new()).0;
    let creation = create(&chain, &program("store"));
    let store = block(&mut chain, vec![creation]).1[0].created.unwrap();
    let write = call(&chain, store, [1, 2]);
    block(&mut chain, vec![write]);
    assert!(chain.view().account(&store).has_code());
    chain.rewind(&base.hash()).unwrap();
    assert!(chain.view().account(&store).is_empty());
    assert_eq!(chain.view().slot(&store, &B256::with_last_byte(1)), U256::ZERO);
    assert_eq!(chain.recount_root(), base.commitment.state_root);
    let first = LogPlace { height: Height(0), index: 0 };
    assert_eq!(chain.reader().logs(&LogFilter::default(), first, Height(9), 10).unwrap().logs, []);
    let creation = create(&chain, &program("write"));
    let other = block(&mut chain, vec![creation]).1[0].created.unwrap();
    assert_eq!(other, store, "the address follows from sender and nonce");
    let write = call(&chain, other, [1, 2]);
    block(&mut chain, vec![write]);
    assert_eq!(chain.view().slot(&store, &B256::ZERO), U256::ONE);
    assert_eq!(chain.recount_root(), chain.head().commitment.state_root);
}

/// 40 blocks of a contract's writes, in a log; the state after each of them; the contract.
fn written(index: &Path) -> (Vec<Block>, Vec<Entries>, Address) {
    let mut chain = start(MemoryHistory::default(), index);
    let creation = create(&chain, &program("store"));
    let (first, receipts) = block(&mut chain, vec![creation]);
    let store = receipts[0].created.unwrap();
    let (mut blocks, mut states) = (vec![first], vec![chain.view().entries()]);
    for number in 2..=40_u64 {
        // One slot that every block changes, one that it fills, one that comes and goes.
        let words = [[0, number], [number, 1], [1_000, number % 2]];
        let mut wanted: Vec<_> = words.map(|words| call(&chain, store, words)).into();
        if number.is_multiple_of(6) {
            wanted.push(create(&chain, &program("child")));
        }
        blocks.push(block(&mut chain, wanted).0);
        states.push(chain.view().entries());
    }
    chain.close();
    (blocks, states, store)
}

/// POW-14: deeper than the window, down to the checkpoint and below it. Code and slots are those of then, whether
/// they come from the checkpoint or from a replay of every call, and another branch goes on from them.
#[test]
fn pow_14_a_rewind_below_the_window_brings_contracts_back() {
    for (to, from) in [(37, 36), (36, 36), (9, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("index");
        let (blocks, states, store) = written(&index);
        let mut log = MemoryHistory::default();
        blocks.iter().for_each(|block| log.append(block).unwrap());
        let mut chain = start(log, &index);
        // Two more blocks leave the window, which is one too few for another checkpoint.
        for number in 41..=42 {
            let wanted = vec![call(&chain, store, [0, number])];
            block(&mut chain, wanted);
        }
        let rewound = chain.rewind(&blocks[to - 1].hash()).unwrap();
        assert_eq!((rewound.replayed, rewound.replayed_from), (true, Height(from)), "to {to}");
        assert_eq!(chain.view().entries(), states[to - 1], "to {to}");
        assert_eq!(chain.recount_root(), blocks[to - 1].commitment.state_root);
        let mut branch = blocks[..to].to_vec();
        for number in 1..=20 {
            let wanted = vec![call(&chain, store, [0, 500 + number]), call(&chain, store, [number, 0])];
            let (next, receipts) = block(&mut chain, wanted);
            assert!(receipts.iter().all(|receipt| receipt.succeeded));
            branch.push(next);
        }
        assert_eq!(chain.view().slot(&store, &B256::ZERO), U256::from(520));
        let entries = chain.view().entries();
        chain.close();
        let mut log = MemoryHistory::default();
        branch.iter().for_each(|block| log.append(block).unwrap());
        let chain = start(log, &index);
        assert_eq!(chain.view().entries(), entries, "after a restart from the branch's own checkpoint");
        assert_eq!(chain.recount_root(), chain.head().commitment.state_root);
    }
}

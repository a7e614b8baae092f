//! A committee changes itself: in blocks, over restarts, rewinds and checkpoints.
#![allow(clippy::unwrap_used)]

use synod_ledger::execution::committee::CHANGE_GAS;
use synod_ledger::execution::{Proposal, intrinsic_gas};
use synod_ledger::state::StateRead;
use synod_ledger::testing::{account, genesis, key, running, signed, transfer};
use synod_ledger::{Ledger, MemoryHistory, Options};
use synod_types::committee::{COMMITTEE_ADDRESS, CommitteeChange, EpochRecord, Member, SignedChange};
use synod_types::genesis::{Member as First, Ordering};
use synod_types::{B256, Epoch, Gas, Genesis, Height, Position, Slot, U256, UnixMillis, VerifiedTransaction};

type Chain = Ledger<MemoryHistory>;

fn four() -> Genesis {
    let member = |number: u64| First { name: format!("m{number}"), key: key(100 + number).public() };
    Genesis { ordering: Ordering::Pbft, members: (0..4).map(member).collect(), ..genesis() }
}

fn begin() -> Chain {
    reopen(MemoryHistory::default())
}

fn reopen(log: MemoryHistory) -> Chain {
    Ledger::open(four(), log, Options::new([1; 32])).unwrap().0
}

fn record(chain: &Chain) -> EpochRecord {
    chain.reader().record_after(&chain.head()).unwrap()
}

/// What adds a member, approved by the members of these numbers.
fn adding(chain: &Chain, number: u64, approving: &[u64]) -> SignedChange {
    let current = record(chain);
    let mut members = current.members.clone();
    members.push(Member::new(format!("m{number}"), key(100 + number).public()));
    let change = CommitteeChange { epoch: current.epoch, ordering: "pbft".to_owned(), members };
    let mut change = SignedChange::new(change);
    for member in approving {
        assert!(change.approve(&current, chain.rules().genesis, &key(100 + member)));
    }
    change
}

/// Carried by an account's next transaction.
fn carried(chain: &Chain, from: u64, nonce: u64, change: &SignedChange) -> VerifiedTransaction {
    let rules = chain.rules();
    let native = running(rules, key(from).public(), nonce, Some(COMMITTEE_ADDRESS), change.to_bytes());
    signed(rules, &key(from), native)
}

fn extend(chain: &mut Chain, transactions: Vec<VerifiedTransaction>) {
    let time = UnixMillis(chain.head().time().0 + 1);
    let (proposer, fee_recipient) = (account(3), account(3));
    let extended = chain.extend(Proposal { time, proposer, fee_recipient, transactions }).unwrap();
    assert_eq!(extended.left_out, []);
}

fn position(chain: &Chain) -> Position {
    chain.head().commitment.position
}

#[test]
fn the_block_that_changes_the_committee_is_its_epochs_last() {
    let mut chain = begin();
    let pay = |chain: &Chain, nonce| transfer(chain.rules(), &key(2), nonce, key(5).public(), 7);
    let first = vec![pay(&chain, 0)];
    extend(&mut chain, first);
    assert_eq!(position(&chain), Position { epoch: Epoch(0), slot: Slot(1) });
    assert_eq!(chain.head().commitment.next_committee, B256::ZERO);
    let change = adding(&chain, 4, &[0, 2, 3]);
    let block = vec![pay(&chain, 1), carried(&chain, 1, 0, &change), pay(&chain, 2)];
    extend(&mut chain, block);
    let ended = chain.head();
    let next = record(&chain);
    assert_eq!(position(&chain), Position { epoch: Epoch(0), slot: Slot(2) });
    assert_eq!(ended.commitment.next_committee, next.hash());
    assert_eq!((next.epoch, next.base, next.members.len()), (Epoch(1), Height(2), 5));
    assert!(ended.receipts.iter().all(|receipt| receipt.succeeded));
    let third = vec![pay(&chain, 3)];
    extend(&mut chain, third);
    assert_eq!(position(&chain), Position { epoch: Epoch(1), slot: Slot(1) });
    // Five members: q = 4.
    let few = adding(&chain, 5, &[0, 1, 4]);
    let enough = adding(&chain, 5, &[0, 1, 3, 4]);
    let block = vec![carried(&chain, 1, 1, &few), carried(&chain, 1, 2, &enough)];
    extend(&mut chain, block);
    let second = record(&chain);
    assert_eq!((second.epoch, second.base, second.members.len()), (Epoch(2), Height(4), 6));
    let succeeded: Vec<bool> = chain.head().receipts.iter().map(|receipt| receipt.succeeded).collect();
    assert_eq!(succeeded, [false, true]);

    let reader = chain.reader();
    let before = reader.record_before(&second).unwrap().unwrap();
    assert_eq!(before, next);
    assert_eq!(reader.record_before(&before).unwrap(), EpochRecord::first(&four()));
    assert_eq!(reader.end_before(&second).unwrap().unwrap().block.height(), Height(4));
    assert_eq!(chain.recount_root(), chain.head().commitment.state_root);
}

#[test]
fn a_second_change_in_a_block_and_a_repeated_one_have_no_effect() {
    let mut chain = begin();
    let change = adding(&chain, 4, &[0, 1, 2]);
    let other = adding(&chain, 5, &[0, 1, 2]);
    let block = vec![carried(&chain, 1, 0, &change), carried(&chain, 2, 0, &other)];
    extend(&mut chain, block);
    let next = record(&chain);
    assert!(!chain.head().receipts[1].succeeded);
    let again = vec![carried(&chain, 1, 1, &change)];
    extend(&mut chain, again);
    let receipt = chain.head().receipts[0].clone();
    assert!(!receipt.succeeded && !receipt.output.is_empty());
    assert_eq!((record(&chain), chain.head().commitment.next_committee), (next, B256::ZERO));
}

#[test]
fn a_change_pays_its_gas_and_takes_no_money() {
    let mut chain = begin();
    let change = adding(&chain, 4, &[0, 1, 2]);
    let mut native = carried(&chain, 1, 0, &change).native().clone();
    native.value = U256::from(5);
    let with_money = signed(chain.rules(), &key(1), native.clone());
    extend(&mut chain, vec![with_money]);
    let receipt = chain.head().receipts[0].clone();
    assert!(!receipt.succeeded);
    assert_eq!(receipt.gas_used, Gas(intrinsic_gas(&native).0 + CHANGE_GAS));
    assert_eq!(chain.view().account(&COMMITTEE_ADDRESS).balance, U256::ZERO);
    native.nonce = 1;
    native.value = U256::ZERO;
    native.gas_limit = Gas(receipt.gas_used.0 - 1);
    let too_little = signed(chain.rules(), &key(1), native);
    let head = chain.head();
    let proposal = Proposal {
        time: head.time(),
        proposer: account(3),
        fee_recipient: account(3),
        transactions: vec![too_little],
    };
    let extended = chain.extend(proposal).unwrap();
    assert_eq!(extended.left_out[0].1.code(), "gas_too_low");
}

#[test]
fn epochs_survive_replays_and_go_with_rewinds() {
    let mut chain = begin();
    let first = record(&chain);
    let change = adding(&chain, 4, &[0, 1, 2]);
    let block = vec![carried(&chain, 1, 0, &change)];
    extend(&mut chain, block);
    extend(&mut chain, Vec::new());
    let (next, tip) = (record(&chain), chain.head());
    let blocks = (1..=2).map(|height| chain.reader().block_at(Height(height)).unwrap().unwrap());
    let blocks: Vec<_> = blocks.collect();
    let again = reopen(synod_ledger::testing::log_of(&blocks));
    assert_eq!((record(&again), again.head().hash), (next.clone(), tip.hash));
    // Whoever fetches the blocks comes to the same.
    let mut follower = begin();
    for block in &blocks {
        follower.append(block, &()).unwrap();
    }
    assert_eq!(record(&follower), next);
    let genesis_hash = chain.reader().block_at(Height(0)).unwrap().unwrap().hash();
    follower.rewind(&genesis_hash).unwrap();
    assert_eq!(record(&follower), first);
    assert_eq!(follower.recount_root(), follower.head().commitment.state_root);
}

#[test]
fn a_checkpoint_holds_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let open = |log| {
        let index = Some(folder.path().join("index"));
        let options = Options { layers: 2, checkpoint_every: 2, index, ..Options::new([1; 32]) };
        Ledger::open(four(), log, options).unwrap().0
    };
    let mut chain = open(MemoryHistory::default());
    let change = adding(&chain, 4, &[0, 1, 2]);
    let block = vec![carried(&chain, 1, 0, &change)];
    extend(&mut chain, block);
    for nonce in 0..20 {
        let payment = vec![transfer(chain.rules(), &key(2), nonce, key(5).public(), 7)];
        extend(&mut chain, payment);
    }
    let (next, tip) = (record(&chain), chain.head());
    let blocks: Vec<_> =
        (1..=21).map(|height| chain.reader().block_at(Height(height)).unwrap().unwrap()).collect();
    chain.close();
    let (again, report) = {
        let index = Some(folder.path().join("index"));
        let options = Options { layers: 2, checkpoint_every: 2, index, ..Options::new([1; 32]) };
        Ledger::open(four(), synod_ledger::testing::log_of(&blocks), options).unwrap()
    };
    assert!(matches!(report.index, synod_ledger::IndexFound::Used { .. }), "{report:?}");
    assert_eq!((record(&again), again.head().hash), (next, tip.hash));
    assert_eq!(again.recount_root(), tip.commitment.state_root);
}

#[test]
fn under_proof_of_work_the_address_is_like_any_other() {
    let (mut chain, _) = Ledger::open(genesis(), MemoryHistory::default(), Options::new([1; 32])).unwrap();
    let rules = chain.rules().clone();
    let native = running(&rules, key(1).public(), 0, Some(COMMITTEE_ADDRESS), Vec::new());
    let paid = signed(&rules, &key(1), synod_types::NativeTransaction { value: U256::from(3), ..native });
    let block = chain.build(
        Proposal {
            time: UnixMillis(chain.head().time().0 + 2_000),
            proposer: account(3),
            fee_recipient: account(3),
            transactions: vec![paid],
        },
        0,
    );
    assert!(block.receipts[0].succeeded);
    assert_eq!(block.receipts[0].gas_used, Gas(21_000));
    assert!(chain.reader().record_after(&chain.head()).is_none());
}

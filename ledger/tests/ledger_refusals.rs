//! Blocks that are refused, why, and that they leave no trace.
#![allow(clippy::unwrap_used)]

use synod_ledger::execution::{LeftOut, Proposal, Rules};
use synod_ledger::testing::{account, genesis, key, signed, transfer, unsigned};
use synod_ledger::{AppendError, Ledger, MemoryHistory, Options, Refused};
use synod_types::block::transactions_root;
use synod_types::{Block, Gas, Transaction, UnixMillis, VerifiedTransaction};

type Chain = Ledger<MemoryHistory>;
/// A field's name, and a change of it.
type Spoilt = (&'static str, fn(&mut Block));

fn open() -> Chain {
    Ledger::open(genesis(), MemoryHistory::default(), Options::new([1; 32])).unwrap().0
}

fn build(chain: &mut Chain, transactions: Vec<VerifiedTransaction>) -> Block {
    let time = UnixMillis(chain.head().time().0 + 2_000);
    let proposal = Proposal { time, proposer: account(3), fee_recipient: account(4), transactions };
    chain.build(proposal, 7).block
}

/// A block whose body and header agree again after a change.
fn resealed(mut block: Block) -> Block {
    block.commitment.transactions_root = transactions_root(&block.transactions);
    block.header.commitment = block.commitment.digest();
    block
}

/// The block is refused, and the ledger is as it was: the good block still goes on top.
fn refused(chain: &mut Chain, bad: &Block, good: &Block) -> Refused {
    let (root, head) = (chain.recount_root(), chain.head().hash);
    let Err(AppendError::Refused(reason)) = chain.append(bad, &()) else { panic!("it was taken") };
    assert_eq!((chain.recount_root(), chain.head().hash), (root, head));
    chain.append(good, &()).unwrap();
    chain.rewind(&head).unwrap();
    reason
}

fn payment(rules: &Rules, nonce: u64) -> VerifiedTransaction {
    transfer(rules, &key(1), nonce, key(2).public(), 5)
}

#[test]
fn pow_6_a_body_that_is_not_the_headers_blames_the_body_alone() {
    let mut chain = open();
    let rules = chain.rules().clone();
    let good = build(&mut chain, vec![payment(&rules, 0), payment(&rules, 1)]);
    let mut bad = good.clone();
    bad.transactions.pop();
    let reason = refused(&mut chain, &bad, &good);
    assert!(reason.blames_the_body_alone());
    let reason = refused(&mut chain, &resealed(bad), &good);
    assert!(!reason.blames_the_body_alone(), "{reason}");
    chain.append(&good, &()).unwrap();
}

/// What is wrong with transactions of another body is not looked at, whoever finds it first: of a small block one
/// thread does everything, of a large one two.
#[test]
fn pow_6_the_body_is_blamed_before_its_transactions() {
    for payments in [2, 300] {
        let mut chain = open();
        let rules = chain.rules().clone();
        let good = build(&mut chain, (0..payments).map(|nonce| payment(&rules, nonce)).collect());
        let mut bad = good.clone();
        let Transaction::Native(native) = &mut bad.transactions[1] else { unreachable!() };
        native.signature.0[0] ^= 1;
        assert!(refused(&mut chain, &bad, &good).blames_the_body_alone());
        let mut swapped = good.clone();
        swapped.transactions.swap(0, 1);
        assert!(refused(&mut chain, &swapped, &good).blames_the_body_alone());
        let mut shorter = good.clone();
        shorter.transactions.pop();
        assert!(refused(&mut chain, &shorter, &good).blames_the_body_alone());
    }
}

#[test]
fn a2_a_bad_signature_or_an_unchargeable_transaction_makes_a_block_invalid() {
    let mut chain = open();
    let rules = chain.rules().clone();
    let good = build(&mut chain, vec![payment(&rules, 0)]);

    let mut bad = good.clone();
    let Transaction::Native(native) = &mut bad.transactions[0] else { unreachable!() };
    native.signature.0[0] ^= 1;
    let reason = refused(&mut chain, &resealed(bad), &good);
    assert!(matches!(reason, Refused::Transaction { index: 0, .. }), "{reason}");

    let mut twice = good.clone();
    twice.transactions.push(twice.transactions[0].clone());
    let reason = refused(&mut chain, &resealed(twice), &good);
    let replayed = LeftOut::NonceTooLow { expected: 1, found: 0 };
    assert!(matches!(reason, Refused::LeftOut { reason, .. } if *reason == replayed));

    let creation =
        synod_types::NativeTransaction { to: None, ..unsigned(&rules, key(1).public(), 1, account(2), 0) };
    let mut creating = good.clone();
    creating.transactions.push(signed(&rules, &key(1), creation).into_transaction());
    let reason = refused(&mut chain, &resealed(creating), &good);
    let too_low = LeftOut::GasTooLow { needed: Gas(53_000), limit: Gas(21_000) };
    assert!(matches!(reason, Refused::LeftOut { reason, .. } if *reason == too_low));
}

#[test]
fn every_field_that_a_payload_builds_is_compared() {
    let mut chain = open();
    let rules = chain.rules().clone();
    let good = build(&mut chain, vec![payment(&rules, 0)]);
    let spoilt: [Spoilt; 10] = [
        ("format version", |block| block.commitment.format = 2),
        ("position", |block| block.commitment.position.slot.0 += 1),
        ("height", |block| block.commitment.height.0 += 1),
        ("base fee", |block| block.commitment.base_fee += 1),
        ("gas used", |block| block.commitment.gas_used.0 += 1),
        ("gas limit", |block| block.commitment.gas_limit.0 += 1),
        ("receipts root", |block| block.commitment.receipts_root.0[0] ^= 1),
        ("state root", |block| block.commitment.state_root.0[0] ^= 1),
        ("next committee", |block| block.commitment.next_committee.0[0] ^= 1),
        ("header version", |block| block.header.version += 1),
    ];
    for (field, spoil) in spoilt {
        let mut bad = good.clone();
        spoil(&mut bad);
        let reason = refused(&mut chain, &resealed(bad), &good);
        assert!(matches!(reason, Refused::Difference(difference) if difference.0 == field), "{field}");
    }
    // Another miner, another reward: the state root tells.
    let mut bad = good.clone();
    bad.commitment.fee_recipient = account(5);
    assert!(matches!(refused(&mut chain, &resealed(bad), &good), Refused::Difference(_)));
    // What a miner varies is free.
    let mut mined = good;
    (mined.header.bits, mined.header.nonce, mined.commitment.extra_nonce) = (9, 9, 9);
    chain.append(&resealed(mined), &()).unwrap();
}

#[test]
fn a_block_elsewhere_is_not_on_the_head() {
    let mut chain = open();
    let good = build(&mut chain, Vec::new());
    let mut bad = good.clone();
    bad.header.parent = good.hash();
    assert!(matches!(refused(&mut chain, &bad, &good), Refused::NotOnHead { .. }));
    chain.append(&good, &()).unwrap();
    let Err(AppendError::Refused(Refused::NotOnHead { .. })) = chain.append(&good, &()) else {
        panic!("once is enough");
    };
}

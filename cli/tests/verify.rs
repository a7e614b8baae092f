//! Proofs are checked without a node: a good one holds, and whatever is changed in it is refused with 6.

#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use support::Home;
use synod_consensus::pow::Target;
use synod_ledger::state::{Account, leaves};
use synod_ledger::trie::{Leaf, Trie};
use synod_node::rpc::types::ProofView;
use synod_types::amount::SYN;
use synod_types::block::{FORMAT_VERSION, HEADER_VERSION, transactions_root};
use synod_types::{Address, B256, BlockHash, Bloom, Commitment, Gas, Header, Height, Position, U256, codec};

const BITS: u32 = 0x207f_ffff;

fn account(byte: u8) -> (Address, Account) {
    (Address::repeat_byte(byte), Account::funded(U256::from(u128::from(byte) * SYN)))
}

fn proof_of(address: Address) -> ProofView {
    let leaf = |(address, account): (Address, Account)| Leaf {
        key: leaves::account_key(&address),
        value: leaves::account_value(&account).unwrap(),
    };
    let trie = Trie::from_leaves((1..=50).map(account).map(leaf).collect());
    let commitment = commitment(trie.root());
    let mut header = Header {
        version: HEADER_VERSION,
        parent: BlockHash(B256::repeat_byte(9)),
        commitment: commitment.digest(),
        time: 1_700_000_000,
        bits: BITS,
        nonce: 0,
    };
    while !Target::from_compact(BITS).unwrap().is_met_by(header.hash()) {
        header.nonce += 1;
    }
    let held = (1..=50).map(account).find(|(held, _)| *held == address).map(|(_, account)| account);
    ProofView {
        address,
        account: held.map(|account| codec::encode(&account).into()),
        proof: trie.prove(&leaves::account_key(&address)).to_bytes().into(),
        state_root: trie.root(),
        block_hash: header.hash(),
        height: commitment.height,
        header: header.to_bytes().to_vec().into(),
        commitment: codec::encode(&commitment).into(),
        certificate: None,
        epochs: Vec::new(),
    }
}

fn commitment(state_root: B256) -> Commitment {
    Commitment {
        format: FORMAT_VERSION,
        position: Position::default(),
        height: Height(5),
        millis: 0,
        transactions_root: transactions_root(&[]),
        state_root,
        receipts_root: B256::ZERO,
        logs_bloom: Bloom::ZERO,
        gas_used: Gas(0),
        gas_limit: Gas(100),
        base_fee: 1,
        proposer: Address::ZERO,
        fee_recipient: Address::ZERO,
        next_committee: B256::ZERO,
        extra_nonce: 0,
    }
}

fn verify(home: &Home, proof: &Value, more: &[&str]) -> support::Ran {
    std::fs::write(home.folder().join("proof.json"), proof.to_string()).unwrap();
    home.run(&[&["chain", "verify", "--json", "proof.json"][..], more].concat())
}

#[test]
fn presence_and_absence_are_proven_without_a_node() {
    let home = Home::new();
    let proof = serde_json::to_value(proof_of(Address::repeat_byte(7))).unwrap();
    let verified = verify(&home, &proof, &[]).json();
    assert_eq!((&verified["balance"], &verified["exists"]), (&"7000000000000000000".into(), &true.into()));
    assert_eq!(
        (&verified["height"], &verified["trusted"], &verified["work"]),
        (&5.into(), &false.into(), &"2".into())
    );
    let hash = proof["block_hash"].as_str().unwrap().to_owned();
    assert_eq!(verify(&home, &proof, &["--block", &hash]).json()["trusted"], true);
    let other = hash.replace("0x", "0x1").chars().take(66).collect::<String>();
    assert_eq!(verify(&home, &proof, &["--block", &other]).error_code(6), "proof_refuted");

    let absent = serde_json::to_value(proof_of(Address::repeat_byte(77))).unwrap();
    let verified = verify(&home, &absent, &[]).json();
    assert_eq!((&verified["balance"], &verified["exists"]), (&"0".into(), &false.into()));
}

#[test]
fn whatever_is_changed_in_a_proof_it_does_not_hold() {
    let home = Home::new();
    let good = proof_of(Address::repeat_byte(7));
    let richer = Account::funded(U256::from(8 * SYN));
    type Change<'a> = Box<dyn Fn(&mut ProofView) + 'a>;
    let flip = |bytes: &synod_types::Bytes, at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        synod_types::Bytes::from(bytes)
    };
    let changes: Vec<Change<'_>> = vec![
        Box::new(|proof| proof.account = Some(codec::encode(&richer).into())),
        Box::new(|proof| proof.account = None),
        Box::new(|proof| proof.address = Address::repeat_byte(8)),
        Box::new(|proof| proof.state_root = B256::ZERO),
        Box::new(|proof| proof.height = Height(6)),
        Box::new(|proof| proof.block_hash = BlockHash(B256::ZERO)),
        Box::new(move |proof| proof.proof = flip(&proof.proof, 20)),
        Box::new(move |proof| proof.commitment = flip(&proof.commitment, 30)),
        Box::new(move |proof| proof.header = flip(&proof.header, 40)),
        Box::new(|proof| proof.header = proof.header.slice(..79)),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut proof = good.clone();
        change(&mut proof);
        let ran = verify(&home, &serde_json::to_value(&proof).unwrap(), &[]);
        assert_eq!(ran.error_code(6), "proof_refuted", "change {index}");
    }
}

#[test]
fn a_header_without_its_work_is_refused() {
    let home = Home::new();
    let mut proof = proof_of(Address::repeat_byte(7));
    let bytes: [u8; 80] = proof.header.as_ref().try_into().unwrap();
    let mut header = Header::from_bytes(&bytes);
    // Harder than one hash can meet by accident.
    header.bits = 0x0300_ffff;
    proof.header = header.to_bytes().to_vec().into();
    proof.block_hash = header.hash();
    assert_eq!(verify(&home, &serde_json::to_value(&proof).unwrap(), &[]).error_code(6), "proof_refuted");
}

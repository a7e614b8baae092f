//! Everything that a node reads from a wire, a disk or a person, under hostile inputs (CRY-4, STO-9, S-N4):
//! nothing panics, takes long or makes the process grow, and what is accepted is written back as it was.
//!
//! `SYNOD_HOSTILE_INPUTS` says how many inputs all decoders share. One test, so that the memory is theirs alone.

#![allow(clippy::unwrap_used)]

mod committee;

use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_consensus::pow::{self, Body, HashedHeader, Message, Work};
use synod_ledger::AccountProof;
use synod_ledger::hostile::{Decoder, inputs, try_decoders};
use synod_ledger::log::blocks::{Record, Tip};
use synod_ledger::state::{Account, System};
use synod_ledger::testing;
use synod_ledger::trie::{Change, Proof, Trie};
use synod_node::config::Config;
use synod_node::keyfile::{Freshness, KeyFile};
use synod_node::network::{PeerAddress, PeerName};
use synod_node::rpc::types::{BlockReference, Cursor, Event, ProofView, SubscribeOptions, TransactionView};
use synod_types::address::{format_address, parse_address};
use synod_types::amount::{format_syn, parse_amount};
use synod_types::block::{HEADER_LENGTH, transactions_root};
use synod_types::codec::{decode, encode};
use synod_types::transaction::AccessListItem;
use synod_types::{
    Address, B256, Block, BlockHash, Bloom, Bytes, Commitment, Gas, Genesis, Header, Height, Log,
    NativeTransaction, Payload, Position, Receipt, Transaction, TransactionId, U256, UnixMillis,
};

const KIB: usize = 1024;

fn native(nonce: u64) -> NativeTransaction {
    NativeTransaction {
        chain_id: 7,
        sender: testing::key(nonce).public(),
        nonce,
        max_fee: 10,
        max_tip: 1,
        gas_limit: Gas(21_000),
        to: Some(Address::repeat_byte(2)),
        value: U256::from(5),
        data: Bytes::new(),
        access_list: Vec::new(),
        valid_until: None,
    }
}

/// A transfer, a call with everything in it, and one nearly as long as is allowed.
fn transactions() -> Vec<Transaction> {
    let item = AccessListItem { address: Address::repeat_byte(3), slots: vec![B256::repeat_byte(4); 3] };
    let call = NativeTransaction {
        to: None,
        data: vec![9; 40].into(),
        access_list: vec![item; 2],
        valid_until: Some(Height(99)),
        ..native(1)
    };
    let long = NativeTransaction { data: vec![7; 120 * KIB].into(), ..native(2) };
    let sign = |one: NativeTransaction| {
        let key = testing::key(one.nonce);
        Transaction::Native(one.sign(B256::repeat_byte(0xaa), &key))
    };
    [native(0), call, long].map(sign).into()
}

fn commitment(transactions: &[Transaction]) -> Commitment {
    Commitment {
        format: 1,
        position: Position::default(),
        height: Height(3),
        millis: 5,
        transactions_root: transactions_root(transactions),
        state_root: B256::repeat_byte(1),
        receipts_root: B256::repeat_byte(2),
        logs_bloom: Bloom::ZERO,
        gas_used: Gas(21_000),
        gas_limit: Gas(100_000),
        base_fee: 7,
        proposer: Address::ZERO,
        fee_recipient: Address::repeat_byte(1),
        next_committee: B256::ZERO,
        extra_nonce: 8,
    }
}

fn header(commitment: &Commitment) -> Header {
    Header {
        version: 1,
        parent: BlockHash(B256::repeat_byte(5)),
        commitment: commitment.digest(),
        time: 1_700_000_000,
        bits: 0x207f_ffff,
        nonce: 1,
    }
}

fn block(transactions: Vec<Transaction>) -> Block {
    let commitment = commitment(&transactions);
    Block { header: header(&commitment), commitment, transactions }
}

fn blocks() -> Vec<Block> {
    let [transfer, call, long] = transactions().try_into().unwrap();
    vec![block(Vec::new()), block(vec![transfer.clone(), call]), block(vec![long, transfer])]
}

fn messages() -> Vec<Message> {
    let bodies: Vec<Body> = blocks().iter().map(Body::from_block).collect();
    let hash = bodies[0].hash();
    let headers: Vec<HashedHeader> = bodies.iter().map(|body| *body.header()).collect();
    vec![
        Message::AskTip,
        Message::Tip { block_hash: hash, height: Height(9), work: Work(U256::from(77)) },
        Message::AskHeaders { locator: vec![hash; 12] },
        Message::Headers { headers: headers.clone() },
        Message::AskBody { block_hash: hash },
        Message::Body(bodies[1].clone()),
        Message::NoBody { block_hash: hash },
        Message::NewBlock(bodies[0].clone()),
        Message::NewHeader(headers[0]),
    ]
}

fn receipt() -> Receipt {
    let log = Log {
        address: Address::repeat_byte(6),
        topics: vec![B256::repeat_byte(7); 2],
        data: vec![8; 30].into(),
    };
    Receipt {
        transaction: TransactionId(B256::repeat_byte(1)),
        succeeded: true,
        gas_used: Gas(30_000),
        effective_fee: 12,
        created: Some(Address::repeat_byte(9)),
        output: vec![1; 20].into(),
        logs: vec![log; 2],
    }
}

fn walk() -> Proof {
    let mut trie = Trie::default();
    let changes: Vec<Change> = (0..50_u8)
        .map(|number| Change {
            key: synod_types::hash::sha256(&[&[number]]),
            value: Some(B256::repeat_byte(number)),
        })
        .collect();
    trie.apply(&changes);
    trie.prove(&changes[7].key)
}

fn account_proof() -> AccountProof {
    let commitment = commitment(&[]);
    let address = Address::repeat_byte(1);
    let account =
        Account { code_hash: Some(Box::new(B256::repeat_byte(3))), ..Account::funded(U256::from(4)) };
    AccountProof { header: header(&commitment), commitment, address, account, proof: walk() }
}

/// A type of the one codec.
fn canonical<T: Serialize + DeserializeOwned + 'static, const LIMIT: usize>(
    name: &'static str,
    values: &[T],
) -> Decoder {
    let samples = values.iter().map(encode).collect();
    Decoder::bytes(name, samples, |bytes| decode::<T, LIMIT>(bytes).ok().map(|value| encode(&value)))
}

fn from_wires_and_disks() -> Vec<Decoder> {
    let encoded = |transactions: Vec<Transaction>| transactions.iter().map(Transaction::to_bytes).collect();
    let [transfer, call, _] = transactions().try_into().unwrap();
    let batch: Vec<Bytes> = [&transfer, &call].map(|one| one.to_bytes().into()).into();
    let payload = Payload {
        time: UnixMillis(5),
        proposer: Address::ZERO,
        fee_recipient: Address::ZERO,
        transactions: vec![transfer.clone(), call],
    };
    let records = [pow::Record::Condemned { block_hash: BlockHash(B256::repeat_byte(1)) }];
    let empty = Proof { steps: Vec::new(), end: None };
    vec![
        Decoder::bytes("transaction", encoded(transactions()), |bytes| {
            // What decodes must also be judged without harm.
            let transaction = Transaction::from_bytes(bytes).ok()?;
            let _ = transaction.clone().verify(7, B256::repeat_byte(0xaa));
            Some(transaction.to_bytes())
        }),
        Decoder::bytes("block", blocks().iter().map(Block::to_bytes).collect(), |bytes| {
            let block = Block::from_bytes(bytes).ok()?;
            let _ = (block.check_body(), block.hash(), block.time());
            Some(block.to_bytes())
        }),
        Decoder::bytes("header", vec![block(Vec::new()).header.to_bytes().to_vec()], |bytes| {
            let header = Header::from_bytes(<&[u8; HEADER_LENGTH]>::try_from(bytes).ok()?);
            let target = pow::Target::from_compact(header.bits);
            let _ =
                target.map(|target| (target.work(), target.is_met_by(header.hash()), target.to_compact()));
            Some(header.to_bytes().to_vec())
        }),
        Decoder::bytes("message", messages().iter().map(Message::to_bytes).collect(), |bytes| {
            Message::from_bytes(bytes).ok().map(|message| message.to_bytes())
        }),
        canonical::<Vec<pow::Record>, { 8 << 20 }>("vote journal group", &[records.to_vec(), Vec::new()]),
        canonical::<Vec<Bytes>, { 256 * KIB }>("gossiped batch", &[batch, Vec::new()]),
        canonical::<Payload, { 4 << 20 }>("payload", &[payload]),
        canonical::<Commitment, { 4 * KIB }>("commitment", &[commitment(&[])]),
        canonical::<Receipt, { 1 << 20 }>("receipt", &[receipt()]),
        canonical::<Account, { 4 * KIB }>("account", &[account_proof().account, Account::default()]),
        canonical::<System, { 4 * KIB }>("system record", &[System::default()]),
        Decoder::bytes("trie proof", [&walk(), &empty].map(|proof| proof.to_bytes()).into(), |bytes| {
            let proof = Proof::from_bytes(bytes).ok()?;
            let _ = proof.verify(&B256::repeat_byte(1), &B256::repeat_byte(2));
            Some(proof.to_bytes())
        }),
        Decoder::bytes("account proof", vec![encode(&account_proof())], |bytes| {
            let proof = decode::<AccountProof, { 64 * KIB }>(bytes).ok()?;
            let _ = proof.verify();
            Some(encode(&proof))
        }),
        block_log_records(),
    ]
}

fn block_log_records() -> Decoder {
    let tip = Tip { height: Height(4), hash: BlockHash(B256::repeat_byte(4)) };
    let bytes = &[5; 50];
    let records = [
        Record::Appended { block: tip, parent: BlockHash(B256::repeat_byte(3)), bytes },
        Record::Rewound(tip),
        Record::Restarted(tip),
    ];
    let written = |records: &[Record<'_>]| {
        let mut out = Vec::new();
        records.iter().for_each(|record| record.encode(&mut out));
        out
    };
    Decoder::bytes("block log frame", vec![written(&records), written(&records[..1])], move |bytes| {
        let records: Vec<_> = Record::decode_all(bytes)?.into_iter().map(|(_, record)| record).collect();
        Some(written(&records))
    })
}

/// A text that reads through `FromStr` and writes through `Display`.
fn spelled<T: FromStr + Display + 'static>(name: &'static str, samples: &[&str]) -> Decoder {
    Decoder::text(name, samples, |text| text.parse::<T>().ok().map(|value| value.to_string()))
}

/// JSON of one type.
fn json<T: Serialize + DeserializeOwned + 'static>(name: &'static str, samples: &[&str]) -> Decoder {
    Decoder::text(name, samples, |text| {
        serde_json::from_str::<T>(text).ok().map(|value| serde_json::to_string(&value).unwrap())
    })
}

fn from_people_and_clients() -> Vec<Decoder> {
    let name = "12D3KooWGzBaX8A1fwJdc8i3xhSBy4jhAxdMFE5YkuCHWnAJNrYV";
    let address = format!("/ip4/127.0.0.1/tcp/30300/p2p/{name}");
    let six = format!("/ip6/::1/tcp/1/p2p/{name}");
    let hash = BlockHash(B256::repeat_byte(0x5a)).to_string();
    let id = TransactionId(B256::repeat_byte(0x77)).to_string();
    let cursor = format!("12:{hash}");
    let configuration = "name = \"a\"\n[rpc]\nlisten = \"127.0.0.1:8545\"\ncors = [\"https://a.example\"]\n[p2p]\n\
                         listen = [\"127.0.0.1:30300\"]\npeers = []\n[mining]\nenabled = true\nthreads = 2\n\
                         reward_to = \"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\"\n[storage]\nsync = true\n\
                         [log]\nformat = \"json\"\nlevel = \"info\"\n";
    let account = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    let transaction = testing::signed(
        &synod_ledger::execution::Rules::from(&testing::genesis()),
        &testing::key(0),
        NativeTransaction { chain_id: 7, ..native(0) },
    );
    let view = TransactionView::new(transaction.transaction(), transaction.id(), transaction.sender());
    let options = format!("{{\"cursor\":\"{cursor}\",\"accounts\":[\"{account}\"]}}");
    vec![
        Decoder::text("genesis.json", &[&testing::genesis().to_json()], |text| {
            let genesis = Genesis::from_json(text).ok()?;
            let _ = genesis.hash();
            Some(genesis.to_json())
        }),
        Decoder::text("node.toml", &[configuration, ""], |text| {
            let config: Config = toml::from_str(text).ok()?;
            let _ = config.check();
            Some(config.to_toml())
        }),
        Decoder::text("address", &[account, &account.to_lowercase()], |text| {
            parse_address(text).ok().map(|address| format_address(&address))
        }),
        Decoder::text("amount", &["12.5", "3gwei", "100wei", "0.000000000000000001syn"], |text| {
            parse_amount(text).ok().map(format_syn)
        }),
        spelled::<BlockHash>("block hash", &[&hash]),
        spelled::<TransactionId>("transaction id", &[&id]),
        spelled::<BlockReference>("block reference", &["latest", "safe", "settled", "genesis", "77", &hash]),
        spelled::<Cursor>("cursor", &[&cursor]),
        spelled::<PeerName>("peer name", &[name]),
        spelled::<PeerAddress>("peer address", &[&address, &six]),
        Decoder::text("key file", &[&key_file()], |text| {
            KeyFile::from_json(text).ok().map(|file| file.to_json())
        }),
        json::<SubscribeOptions>("subscribe options", &["{}", &options]),
        json::<TransactionView>("transaction view", &[&serde_json::to_string(&view).unwrap()]),
        json::<BlockReference>("block reference in JSON", &["5", "\"latest\"", &format!("\"{hash}\"")]),
        json::<Event>("event", &[&event(&hash, account)]),
        json::<ProofView>("proof view", &[&proof_view(account)]),
    ]
}

fn key_file() -> String {
    let fresh = Freshness { salt: [1; 16], nonce: [2; 24] };
    KeyFile::seal(&[3; 32], b"password", &fresh).unwrap().to_json()
}

fn event(hash: &str, account: &str) -> String {
    format!(
        "{{\"kind\":\"block\",\"cursor\":\"12:{hash}\",\"block\":{{\"hash\":\"{hash}\",\"height\":12,\"parent\":\
         \"{hash}\",\"time\":1700000000000,\"transactions\":1,\"gas_used\":21000,\"fee_recipient\":\"{account}\"}}}}"
    )
}

fn proof_view(account: &str) -> String {
    let proof = account_proof();
    let view = serde_json::json!({
        "height": 3,
        "state_root": B256::ZERO,
        "block_hash": BlockHash(B256::repeat_byte(1)).to_string(),
        "header": Bytes::from(proof.header.to_bytes().to_vec()),
        "commitment": Bytes::from(encode(&proof.commitment)),
        "address": account,
        "account": Bytes::from(encode(&proof.account)),
        "proof": Bytes::from(proof.proof.to_bytes()),
    });
    view.to_string()
}

#[test]
fn cry_4_and_sto_9_hostile_bytes_are_refused_or_kept_exactly() {
    let mut decoders = from_wires_and_disks();
    decoders.extend(committee::decoders());
    decoders.extend(from_people_and_clients());
    try_decoders(&decoders, inputs(40_000));
}

//! Hostile bytes in the pages behind the log (STO-9): damage is said, never followed.

use alloy_primitives::Bloom;
use synod_types::codec::{decode, encode};
use synod_types::{Address, B256, BlockHash, Gas, Height, Receipt, TransactionId, U256};

use super::runs::Runs;
use super::snapshot::{Entry, PageWriter, read_page};
use super::{Manifest, VALUE_LIMIT, blooms, receipts};
use crate::hostile::{Decoder, alone, inputs, try_decoders};
use crate::state::{Account, Record, RecordKey, Reward, System};
use crate::store::memory::MemoryPages;
use crate::store::{Pages, StoreError};

fn page() -> Vec<u8> {
    let mut writer = PageWriter::default();
    let address = Address::repeat_byte(1);
    writer.account(&address, &Account::funded(U256::from(7)));
    let contract = Account { code_hash: Some(Box::new(B256::repeat_byte(2))), ..Account::default() };
    writer.account(&address, &contract);
    let reward = Record::Reward(Reward { recipient: address, amount: U256::from(5) });
    writer.record(&RecordKey::Reward(Height(3)), Some(&reward));
    writer.record(&RecordKey::Reward(Height(4)), None);
    writer.record(&RecordKey::Slot(address, B256::ZERO), Some(&Record::Slot(U256::from(1))));
    writer.finish().concat()
}

fn rewrite_page(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut writer = PageWriter::default();
    let read = read_page(bytes, |entry| match entry {
        Entry::Account(address, account) => writer.account(&address, &account),
        Entry::Record(key, record) => writer.record(&key, record.as_ref()),
    });
    read.ok().map(|()| writer.finish().concat())
}

/// A page of receipts, read for the first receipt that was in it.
fn rewrite_receipts(bytes: &[u8]) -> Option<Vec<u8>> {
    let pages = MemoryPages::default();
    let key = [&b"r"[..], &[0; 16]].concat();
    pages.write(vec![(key, Some(bytes.to_vec()))]).ok()?;
    match receipts::read(&pages, Height(0), 0) {
        Ok(_) => Some(bytes.to_vec()),
        Err(StoreError::Damaged(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

fn receipts_page() -> Vec<u8> {
    let receipt = encode(&Receipt {
        transaction: TransactionId::default(),
        succeeded: true,
        gas_used: Gas(1),
        effective_fee: 1,
        created: None,
        output: Default::default(),
        logs: Vec::new(),
    });
    [&[0; 12][..], &(receipt.len() as u32).to_be_bytes(), &receipt].concat()
}

/// A page of filters, asked for all heights.
fn rewrite_filters(bytes: &[u8]) -> Option<Vec<u8>> {
    let pages = MemoryPages::default();
    pages.write(vec![([&b"b"[..], &[0; 8]].concat(), Some(bytes.to_vec()))]).ok()?;
    match blooms::between(&pages, Height(0), Height(u64::MAX)) {
        Ok(found) => {
            let entry =
                |(height, bloom): &(Height, Bloom)| [&height.0.to_be_bytes(), bloom.as_slice()].concat();
            Some(found.iter().flat_map(entry).collect())
        }
        Err(StoreError::Damaged(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

fn filters_page() -> Vec<u8> {
    let entry = |height: u64| [&height.to_be_bytes()[..], &[height as u8; 256]].concat();
    (3..6).flat_map(entry).collect()
}

fn manifest() -> Manifest {
    Manifest {
        format: super::FORMAT,
        genesis: B256::ZERO,
        height: Height(7),
        hash: BlockHash::default(),
        root: B256::ZERO,
        system: System::default(),
        state: vec![1, 2],
        base_bytes: 10,
        delta_bytes: 20,
        next: 3,
        ids: Runs::default(),
        accounts: Runs::default(),
    }
}

#[test]
fn sto_9_hostile_bytes_in_the_index_are_refused_or_kept_exactly() {
    alone(module_path!(), "sto_9_hostile_bytes_in_the_index_are_refused_or_kept_exactly", || {
        let manifest = manifest();
        let decoders = [
            Decoder::bytes("state page", vec![page()], rewrite_page),
            Decoder::bytes("receipts page", vec![receipts_page()], rewrite_receipts),
            Decoder::bytes("filters page", vec![filters_page()], rewrite_filters),
            Decoder::bytes("manifest", vec![encode(&manifest)], |bytes| {
                decode::<Manifest, VALUE_LIMIT>(bytes).ok().map(|manifest| encode(&manifest))
            }),
        ];
        try_decoders(&decoders, inputs(6_000));
    });
}

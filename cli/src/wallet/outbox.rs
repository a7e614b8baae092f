//! Every signed transaction, on disk before it leaves: what makes paying twice by accident impossible.
//!
//! A record is written, synced and only then submitted. It stays until the chain has settled it, or until
//! nothing can include it any more. Between the two the wallet knows, after any crash or time-out, what it
//! has promised, and a payment that is asked for again is the same payment resumed.
//!
//! ```text
//! wallet/outbox/<genesis>/<address>/<nonce>-<id>.json
//! ```
//!
//! Several records may share a nonce: a bumped payment and what it replaces. The last one written is the
//! one that is submitted again; whichever the chain takes ends them all.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use synod_types::address::format_address;
use synod_types::{Address, Bytes, NativeTransaction, Transaction, TransactionId, U256};

use super::network::Network;
use crate::failure::{Failure, Outcome};
use crate::home::{Existing, private_folder, write_private};

/// A file's length is bounded by a transaction's, in hex, and its frame.
const LENGTH_LIMIT: u64 = 300 * 1024;

/// The signed transactions of one account on one network.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    folder: PathBuf,
    network: Network,
}

/// A signed transaction on disk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// Its id.
    pub(crate) id: TransactionId,
    /// What was signed.
    pub(crate) transaction: NativeTransaction,
    /// Its canonical bytes.
    pub(crate) raw: Bytes,
    /// When it was written, in milliseconds since the Unix epoch.
    pub(crate) created_at: u64,
}

/// All records of one nonce, in the order in which they were written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slot {
    /// The nonce.
    pub(crate) nonce: u64,
    /// At least one.
    pub(crate) records: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
struct RecordFile {
    version: u32,
    id: String,
    created_at: u64,
    raw: Bytes,
}

impl Slot {
    /// The record that counts: the last that was written.
    pub(crate) fn latest(&self) -> &Record {
        self.records.last().expect("a slot has a record")
    }
}

impl Record {
    /// A record of a signed transaction, dated now.
    ///
    /// # Errors
    /// When it is not signed for `network`.
    pub(crate) fn new(transaction: &Transaction, network: &Network) -> Outcome<Self> {
        let raw: Bytes = transaction.to_bytes().into();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::read(raw, u64::try_from(now.as_millis()).unwrap_or(u64::MAX), network)
    }

    fn read(raw: Bytes, created_at: u64, network: &Network) -> Outcome<Self> {
        let invalid = |error: &dyn std::fmt::Display| Failure::failed("malformed", error.to_string());
        let transaction = Transaction::from_bytes(&raw).map_err(|error| invalid(&error))?;
        let verified =
            transaction.verify(network.chain_id, network.genesis_hash).map_err(|error| invalid(&error))?;
        Ok(Self { id: verified.id(), transaction: verified.native().clone(), raw, created_at })
    }

    /// Whether it does just this: pays `value` to `to`, with this data.
    pub(crate) fn does(&self, to: Option<Address>, value: U256, data: &Bytes) -> bool {
        let transaction = &self.transaction;
        transaction.to == to && transaction.value == value && transaction.data == *data
    }
}

impl Outbox {
    /// The outbox of `sender` on `network`.
    pub(crate) fn new(wallet: &Path, network: &Network, sender: Address) -> Self {
        let folder = wallet.join("outbox").join(network.short()).join(format_address(&sender));
        Self { folder, network: network.clone() }
    }

    /// Every account that has an outbox on `network`.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn all(wallet: &Path, network: &Network) -> Outcome<Vec<Self>> {
        let folder = wallet.join("outbox").join(network.short());
        let entry = |path: PathBuf| Self { folder: path, network: network.clone() };
        Ok(entries(&folder)?.into_iter().map(entry).collect())
    }

    /// What is recorded, by nonce.
    ///
    /// # Errors
    /// When a record cannot be read: nothing is signed on top of what is unknown.
    pub(crate) fn slots(&self) -> Outcome<Vec<Slot>> {
        let mut records = Vec::new();
        for path in entries(&self.folder)? {
            if path.extension().is_some_and(|extension| extension == "json") {
                records.push(self.read(&path)?);
            }
        }
        records.sort_by_key(|record| (record.transaction.nonce, record.created_at));
        let mut slots: Vec<Slot> = Vec::new();
        for record in records {
            let nonce = record.transaction.nonce;
            match slots.last_mut().filter(|slot| slot.nonce == nonce) {
                Some(slot) => slot.records.push(record),
                None => slots.push(Slot { nonce, records: vec![record] }),
            }
        }
        Ok(slots)
    }

    /// Writes a record; it is durable when this returns.
    ///
    /// # Errors
    /// When the disk fails: nothing may be submitted then.
    pub(crate) fn write(&self, record: &Record) -> Outcome<()> {
        private_folder(&self.folder)?;
        let file = RecordFile {
            version: 1,
            id: record.id.to_string(),
            created_at: record.created_at,
            raw: record.raw.clone(),
        };
        let path = self.path(record);
        let text = serde_json::to_string_pretty(&file).expect("a record always serializes") + "\n";
        write_private(&path, text.as_bytes(), Existing::Replace).map_err(|error| {
            Failure::file(&path, &error).hint("nothing was sent: a payment leaves only when it is on disk")
        })
    }

    /// Removes what needs no more watching.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn remove<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> Outcome<()> {
        for record in records {
            let path = self.path(record);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Failure::file(&path, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn path(&self, record: &Record) -> PathBuf {
        let id = &record.id.to_string()[2..18];
        self.folder.join(format!("{:020}-{id}.json", record.transaction.nonce))
    }

    fn read(&self, path: &Path) -> Outcome<Record> {
        let damaged = |problem: &dyn std::fmt::Display| {
            Failure::failed("record_damaged", format!("{}: {problem}", path.display())).hint(
                "the file is a payment that may be under way; remove it only if you know that it is settled",
            )
        };
        let length = std::fs::metadata(path).map_err(|error| Failure::file(path, &error))?.len();
        if length > LENGTH_LIMIT {
            return Err(damaged(&"longer than any transaction"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
        let file: RecordFile = serde_json::from_str(&text).map_err(|error| damaged(&error))?;
        if file.version != 1 {
            return Err(damaged(&format!("version {}, and this synod reads version 1", file.version)));
        }
        let record =
            Record::read(file.raw, file.created_at, &self.network).map_err(|error| damaged(&error))?;
        if record.id.to_string() != file.id {
            Err(damaged(&"the id is another transaction's"))
        } else {
            Ok(record)
        }
    }
}

fn entries(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let failed = |error: &std::io::Error| Failure::file(folder, error);
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path()).map_err(|error| failed(&error))).collect()
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(&error)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use synod_types::{B256, Gas, SecretKey};

    fn network() -> Network {
        Network { chain_id: 7, genesis_hash: B256::repeat_byte(1), testnet: true }
    }

    fn record(nonce: u64, value: u64) -> Record {
        let key = SecretKey::from_seed(&[1; 32]);
        let transaction = NativeTransaction {
            chain_id: 7,
            sender: key.public(),
            nonce,
            max_fee: 2,
            max_tip: 1,
            gas_limit: Gas(21_000),
            to: Some(Address::repeat_byte(2)),
            value: U256::from(value),
            data: Bytes::new(),
            access_list: Vec::new(),
            valid_until: None,
        };
        let signed = Transaction::Native(transaction.sign(network().genesis_hash, &key));
        Record::new(&signed, &network()).unwrap()
    }

    fn outbox(folder: &Path) -> Outbox {
        Outbox::new(folder, &network(), Address::repeat_byte(9))
    }

    #[test]
    fn records_survive_the_process_in_the_order_of_nonces() {
        let folder = tempfile::tempdir().unwrap();
        for nonce in [10, 2, 9] {
            outbox(folder.path()).write(&record(nonce, 5)).unwrap();
        }
        let mut bumped = record(9, 6);
        bumped.created_at += 1;
        outbox(folder.path()).write(&bumped).unwrap();
        let slots = outbox(folder.path()).slots().unwrap();
        assert_eq!(slots.iter().map(|slot| slot.nonce).collect::<Vec<_>>(), [2, 9, 10]);
        assert_eq!(slots[1].records.len(), 2);
        assert_eq!(slots[1].latest(), &bumped);
        let (to, data) = (Some(Address::repeat_byte(2)), Bytes::from_static(&[1]));
        assert!(slots[0].latest().does(to, U256::from(5), &Bytes::new()));
        for (to, value, data) in [(to, 6, &Bytes::new()), (to, 5, &data), (None, 5, &Bytes::new())] {
            assert!(!slots[0].latest().does(to, U256::from(value), data));
        }
        outbox(folder.path()).remove(&slots[1].records).unwrap();
        assert_eq!(outbox(folder.path()).slots().unwrap().len(), 2);
    }

    #[test]
    fn a_damaged_record_stops_the_wallet_instead_of_being_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = outbox(folder.path());
        outbox.write(&record(1, 5)).unwrap();
        let path = outbox.path(&record(1, 5));
        let text = std::fs::read_to_string(&path).unwrap();
        for spoilt in [
            text.replace("\"version\": 1", "\"version\": 2"),
            text[..50].to_owned(),
            text.replace("0x00", "0x01"),
            String::new(),
        ] {
            std::fs::write(&path, spoilt).unwrap();
            assert_eq!(outbox.slots().unwrap_err().code(), "record_damaged");
        }
    }
}

//! `synod wallet submit`: a transaction that was signed elsewhere.

use std::io::Read;
use std::path::Path;

use clap::Args;
use synod_types::Transaction;
use synod_types::address::format_address;

use super::payment::{Payment, WaitOptions};
use crate::client::interrupt;
use crate::context::{Context, Session};
use crate::failure::{Exit, Failure, Outcome};
use crate::wallet::accounts;
use crate::wallet::draft::Draft;
use crate::wallet::outbox::{Outbox, Record, Slot};

/// A transaction has at most 128 KiB, twice that in hex.
const LENGTH_LIMIT: u64 = 300 * 1024;

/// Send a transaction that is signed already, and wait for it
///
/// Submitting the same transaction again is harmless and tells where it stands.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod wallet submit payment.tx\n  synod wallet sign … | synod wallet submit -"
)]
pub(crate) struct Submit {
    /// A file that holds the transaction's hex, the hex itself, or - for standard input
    transaction: String,
    #[command(flatten)]
    waiting: WaitOptions,
}

impl Submit {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let transaction = decode(&read(&self.transaction)?)?;
        let session = context.session()?;
        let record = verify(&transaction, &session)?;
        let sender = record.transaction.sender_address();
        let outbox = Outbox::new(&context.wallet()?, &session.network, sender);
        let payment = Payment { context, session: &session, outbox, options: &self.waiting };
        show(context, &session, &record)?;
        interrupt::arm();
        let slot = if session.names.signer(&format_address(&sender)).is_ok() {
            self.submit_own(&payment, record)?
        } else {
            payment.delivery().submit(&record)?;
            Slot { nonce: record.transaction.nonce, records: vec![record] }
        };
        payment.finish(&slot, false).map(drop)
    }

    /// For an account of this wallet the transaction is one of its promises, and goes through the outbox.
    fn submit_own(&self, payment: &Payment<'_>, record: Record) -> Outcome<Slot> {
        let (context, session) = (payment.context, payment.session);
        let sender = record.transaction.sender_address();
        let _lock =
            accounts::lock(&context.wallet()?, &session.network, sender, &session.node, &context.output)?;
        let nonce = record.transaction.nonce;
        let slots = payment.outbox.slots()?;
        let mut slot =
            slots.into_iter().find(|slot| slot.nonce == nonce).unwrap_or(Slot { nonce, records: Vec::new() });
        let known = slot.records.iter().any(|known| known.id == record.id);
        if !known {
            payment.outbox.write(&record)?;
        }
        payment.delivery().submit(&record)?;
        if !known {
            slot.records.push(record);
        }
        Ok(slot)
    }
}

fn show(context: &Context, session: &Session, record: &Record) -> Outcome<()> {
    let transaction = &record.transaction;
    let account = |address| session.names.account(&format_address(&address));
    let from = account(transaction.sender_address())?;
    let to = transaction.to.map(account).transpose()?;
    context.output.note(Draft {
        network: &session.network,
        from: &from,
        to: to.as_ref(),
        action: None,
        transaction,
    });
    Ok(())
}

fn read(argument: &str) -> Outcome<String> {
    if argument.starts_with("0x") && !Path::new(argument).exists() {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    let path = Path::new(argument);
    let failed = |error: std::io::Error| {
        Failure::file(path, &error)
            .hint("give a file made by `synod wallet sign --out`, 0x hex, or - for standard input")
    };
    if argument == "-" {
        std::io::stdin().take(LENGTH_LIMIT).read_to_string(&mut text).map_err(failed)?;
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(LENGTH_LIMIT).read_to_string(&mut text).map_err(failed)?;
    }
    Ok(text)
}

fn decode(text: &str) -> Outcome<Transaction> {
    let malformed = |problem: String| {
        Failure::usage("malformed", format!("this is no signed transaction: {problem}"))
            .hint("`synod wallet sign` makes one")
    };
    // What `sign --json` prints is as good as its bare hex.
    let json = serde_json::from_str::<serde_json::Value>(text).ok();
    let raw = json.as_ref().and_then(|json| json["raw"].as_str()).unwrap_or(text);
    let bytes = alloy_primitives::hex::decode(raw.trim()).map_err(|error| malformed(error.to_string()))?;
    Transaction::from_bytes(&bytes).map_err(|error| malformed(error.to_string()))
}

fn verify(transaction: &Transaction, session: &Session) -> Outcome<Record> {
    Record::new(transaction, &session.network).map_err(|error| {
        Failure::new(
            Exit::Refused,
            "bad_signature",
            format!("{error}; this node is of {}", session.network.title()),
        )
        .hint("sign it again for this network")
    })
}

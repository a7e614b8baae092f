//! What paying commands share: how long to wait, how an outcome is told.

use std::fmt;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use synod_node::rpc::types::{TransactionStatus, TransactionStatusView};
use synod_types::address::format_address;
use synod_types::amount::{format_gwei, format_syn, parse_amount};
use synod_types::{NativeTransaction, SecretKey, Transaction, TransactionId, U256};

use crate::context::{Context, Session};
use crate::failure::{Exit, Failure, Outcome};
use crate::wallet::delivery::{Delivery, SAFE_DEPTH, Wait};
use crate::wallet::draft::Wei;
use crate::wallet::names::Signer;
use crate::wallet::outbox::{Outbox, Record, Slot};
use crate::wallet::password::PasswordSource;

/// A payment, as it is asked for.
#[derive(Debug, Clone, Args)]
pub(super) struct Order {
    /// Who pays: a name, or the address of a key of this wallet
    #[arg(long, value_name = "ACCOUNT")]
    pub(super) from: String,
    /// Who receives: a name or an address
    #[arg(long, value_name = "ACCOUNT")]
    pub(super) to: String,
    /// How much: 12.5, 12.5syn, 3gwei, 100wei
    #[arg(value_parser = parse_amount, allow_negative_numbers = true)]
    pub(super) amount: U256,
}

/// How long a paying command waits.
#[derive(Debug, Clone, Args)]
pub(crate) struct WaitOptions {
    /// What to wait for
    #[arg(long, value_enum, default_value_t = Wait::Included)]
    pub(crate) wait: Wait,
    /// How many seconds to go without progress before giving up with exit code 5
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
}

/// A paying command at work: an account's outbox behind a node.
pub(crate) struct Payment<'a> {
    pub(crate) context: &'a Context,
    pub(crate) session: &'a Session,
    pub(crate) outbox: Outbox,
    pub(crate) options: &'a WaitOptions,
}

impl Payment<'_> {
    /// The outbox's way to the chain.
    pub(crate) fn delivery(&self) -> Delivery<'_> {
        Delivery {
            node: &self.session.node,
            outbox: &self.outbox,
            output: &self.context.output,
            timeout: Duration::from_secs(self.options.timeout),
        }
    }

    /// Signs a transaction and records what was signed.
    ///
    /// # Errors
    /// When the disk fails; nothing has left then.
    pub(super) fn record(&self, transaction: NativeTransaction, key: &SecretKey) -> Outcome<Record> {
        let signed = transaction.sign(self.session.network.genesis_hash, key);
        let record = Record::new(&Transaction::Native(signed), &self.session.network)?;
        self.outbox.write(&record)?;
        Ok(record)
    }

    /// Waits for a slot that was submitted, tells what became of it, and gives the id that the chain took.
    ///
    /// # Errors
    /// As [`Delivery::watch`], and when the transaction is in a block but failed.
    pub(super) fn finish(&self, slot: &Slot, resumed: bool) -> Outcome<TransactionId> {
        let (view, told) = self.watch(slot)?;
        self.context.output.result(&Paid::new(self.session, told, &view, resumed)?);
        match &view.receipt {
            Some(receipt) if !receipt.succeeded => Err(Failure::new(
                Exit::Refused,
                "transaction_failed",
                "the transaction is in a block, but it failed; its fee is paid",
            )),
            _ => Ok(told.id),
        }
    }
}

impl Payment<'_> {
    /// Waits for a slot that was submitted. Gives what the chain says, and the record that it is about.
    ///
    /// # Errors
    /// As [`Delivery::watch`].
    pub(crate) fn watch<'s>(&self, slot: &'s Slot) -> Outcome<(TransactionStatusView, &'s Record)> {
        let has_committee = self.session.network_has_committee();
        // A committee's block is final within milliseconds, or something is wrong that its owner should know.
        let wait = match self.options.wait {
            Wait::Included if has_committee => Wait::Final,
            wait => wait,
        };
        let settled_depth = match wait {
            _ if has_committee => 1,
            Wait::Final => self.session.genesis()?.pow.settled_depth,
            _ => SAFE_DEPTH,
        };
        let view = self.delivery().watch(slot, wait, settled_depth)?;
        let told = slot.records.iter().find(|record| record.id == view.id).unwrap_or(slot.latest());
        Ok((view, told))
    }

    /// Says that an equal transaction is under way, and waited for.
    pub(crate) fn say_resumed(&self, slot: &Slot) {
        let id = slot.latest().id;
        self.context.output.note(format_args!(
            "resuming the equal payment that is under way (--again makes a second one): {id}"
        ));
    }
}

/// Opens the key that signs, asking for its password where it has one. A key file that others may read is warned of.
///
/// # Errors
/// For a wrong password.
pub(super) fn open(context: &Context, signer: &Signer, password: &PasswordSource) -> Outcome<SecretKey> {
    match signer {
        Signer::Stored(key) => {
            if let Some(exposure) = context.keystore()?.exposure(&key.name) {
                context.output.warning(exposure);
            }
            key.open(&password.ask(key.name.as_ref())?)
        }
        Signer::Dev(_, key) => Ok((**key).clone()),
    }
}

/// What became of a payment.
#[derive(Debug, Serialize)]
pub(crate) struct Paid {
    id: String,
    status: &'static str,
    resumed: bool,
    from: String,
    to: Option<String>,
    value: Wei,
    nonce: u64,
    succeeded: Option<bool>,
    fee: Option<Wei>,
    gas_used: Option<u64>,
    block_hash: Option<String>,
    height: Option<u64>,
    depth: Option<u64>,
    #[serde(skip)]
    to_name: String,
    /// A committee orders: what is settled is final.
    #[serde(skip)]
    is_certified: bool,
}

impl Paid {
    /// What `view` says of a record.
    ///
    /// # Errors
    /// When the names of this home cannot be read.
    pub(crate) fn new(
        session: &Session,
        record: &Record,
        view: &TransactionStatusView,
        resumed: bool,
    ) -> Outcome<Self> {
        let transaction: &NativeTransaction = &record.transaction;
        let to_name = match transaction.to {
            Some(to) => {
                session.names.name_of(to)?.map_or_else(|| format_address(&to), |name| name.to_string())
            }
            None => "a new contract".to_owned(),
        };
        let receipt = view.receipt.as_ref();
        Ok(Self {
            id: record.id.to_string(),
            status: status_word(view),
            resumed,
            from: format_address(&transaction.sender_address()),
            to: transaction.to.map(|to| format_address(&to)),
            value: Wei(transaction.value),
            nonce: transaction.nonce,
            succeeded: receipt.map(|receipt| receipt.succeeded),
            fee: receipt.map(|receipt| Wei(receipt.fee)),
            gas_used: receipt.map(|receipt| receipt.gas_used.0),
            block_hash: view.block_hash.map(|hash| hash.to_string()),
            height: view.height.map(|height| height.0),
            depth: view.depth,
            to_name,
            is_certified: view.settled && session.network_has_committee(),
        })
    }
}

/// `submitted`, `included`, `settled`, or `unknown`.
fn status_word(view: &TransactionStatusView) -> &'static str {
    match view.status {
        TransactionStatus::Included if view.settled => "settled",
        TransactionStatus::Included => "included",
        TransactionStatus::Pending => "submitted",
        TransactionStatus::Unknown => "unknown",
    }
}

/// How deep a block is, in words: `1 of 6`, `12 deep`, `settled (100 deep)`.
pub(crate) fn depth_words(depth: u64, settled: bool) -> String {
    match depth {
        _ if settled => format!("settled ({depth} deep)"),
        0..SAFE_DEPTH => format!("{depth} of {SAFE_DEPTH}"),
        _ => format!("{depth} deep"),
    }
}

/// The same where a committee may order, under which what is settled is final.
pub(crate) fn finality_words(depth: u64, settled: bool, has_committee: bool) -> String {
    match (has_committee, settled) {
        (true, true) => "final".to_owned(),
        (true, false) => "not final yet".to_owned(),
        (false, _) => depth_words(depth, settled),
    }
}

impl fmt::Display for Paid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = format!("{} SYN to {}", format_syn(self.value.0), self.to_name);
        match (self.height, self.depth) {
            (Some(height), Some(depth)) => {
                let mark = if self.succeeded == Some(false) { "✗ failed" } else { "✓" };
                let settled = self.status == "settled";
                let depth = match self.is_certified {
                    true => "final".to_owned(),
                    false => depth_words(depth, settled),
                };
                writeln!(formatter, "{mark} {amount}, in block {height}, {depth}")?;
            }
            _ => writeln!(formatter, "✓ {amount}, submitted; `synod chain tx {}` tells more", self.id)?,
        }
        if let (Some(Wei(fee)), Some(gas)) = (self.fee, self.gas_used) {
            let each = fee.checked_div(U256::from(gas)).unwrap_or_default();
            writeln!(
                formatter,
                "  fee      {} SYN ({gas} gas at {} gwei)",
                format_syn(fee),
                format_gwei(each)
            )?;
        }
        write!(formatter, "  id       {}", self.id)
    }
}

/// A transaction's id as a person gives it.
///
/// # Errors
/// When it is none.
pub(crate) fn parse_id(text: &str) -> Result<TransactionId, String> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 64);
    digits.and_then(|_| text.parse().ok()).ok_or_else(|| "an id is 0x and 64 hex digits".to_owned())
}

//! A transaction to a contract: tried out first, then sent as every payment is, and told with its events
//! or its reason.

use alloy_json_abi::JsonAbi;
use clap::Args;
use synod_node::rpc::types::{CallRequest, CallView, LogView, ReceiptView, TransactionStatusView};
use synod_types::{Bytes, U256};

use super::Surroundings;
use super::line::EventLine;
use crate::client::Settle;
use crate::commands::wallet::intent::{Intent, SendOptions, Sent};
use crate::commands::wallet::payment::{Paid, Payment};
use crate::context::Context;
use crate::contract::reason::Reason;
use crate::failure::{Exit, Failure, Outcome};
use crate::wallet::draft::both;
use crate::wallet::names::{Account, Signer};
use crate::wallet::outbox::{Outbox, Record, Slot};

/// The flags of every command that sends to a contract.
#[derive(Debug, Args)]
pub(super) struct TransactOptions {
    /// Who signs and pays: a name, or the address of a key of this wallet
    #[arg(long, value_name = "ACCOUNT")]
    pub(super) from: String,
    /// Money that goes along: 1.5, 1.5syn, 3gwei
    #[arg(long, value_name = "AMOUNT", value_parser = synod_types::amount::parse_amount, default_value = "0")]
    pub(super) value: U256,
    /// Send even what would fail by a trial on the present state
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    send: SendOptions,
}

/// A transaction to a contract, or one that creates it.
pub(super) struct Transact<'a> {
    pub(super) context: &'a Context,
    pub(super) around: &'a Surroundings,
    pub(super) signer: &'a Signer,
    pub(super) to: Option<&'a Account>,
    pub(super) data: &'a Bytes,
    /// In words.
    pub(super) action: &'a str,
    pub(super) abi: Option<&'a JsonAbi>,
    pub(super) options: &'a TransactOptions,
}

/// What became of it.
pub(super) struct Done {
    pub(super) view: TransactionStatusView,
    pub(super) paid: Paid,
    pub(super) events: Vec<EventLine>,
    pub(super) reason: Option<Reason>,
}

impl Transact<'_> {
    /// Tries it out, sends it and waits. `submitted` is told of the record before the waiting begins.
    ///
    /// # Errors
    /// When it would fail, and whatever stands in a payment's way. One that is in a block and failed is no
    /// error yet: [`Done::verdict`] is.
    pub(super) fn run(&self, submitted: impl FnOnce(&Record) -> Outcome<()>) -> Outcome<Done> {
        let (context, session) = (self.context, &self.around.session);
        let from = self.signer.account();
        let outbox = Outbox::new(&context.wallet()?, &session.network, from.address);
        let payment = Payment { context, session, outbox, options: &self.options.send.waiting };
        let question = self.question();
        let intent = Intent {
            signer: self.signer,
            to: self.to,
            value: self.options.value,
            data: self.data,
            action: Some(self.action),
            question: &question,
            options: &self.options.send,
        };
        let sent = match payment.under_way(&intent)? {
            Some(slot) => Sent::Resumed(slot),
            None => {
                let gas = self.gas(&from)?;
                payment.carry_out(&intent, gas)?
            }
        };
        let (slot, resumed) = match sent {
            Sent::Fresh(slot) => (slot, false),
            Sent::Resumed(slot) => {
                payment.say_resumed(&slot);
                (slot, true)
            }
        };
        submitted(slot.latest())?;
        self.wait(&payment, &slot, resumed)
    }

    fn wait(&self, payment: &Payment<'_>, slot: &Slot, resumed: bool) -> Outcome<Done> {
        let (view, record) = payment.watch(slot)?;
        let paid = Paid::new(payment.session, record, &view, resumed)?;
        let receipt = view.receipt.as_ref();
        let events = receipt.map(|receipt| self.events(receipt)).unwrap_or_default();
        let failed = receipt.filter(|receipt| !receipt.succeeded);
        let reason = failed.map(|receipt| self.reason(&view, receipt));
        Ok(Done { view, paid, events, reason })
    }

    fn question(&self) -> String {
        let with = if self.options.value.is_zero() {
            String::new()
        } else {
            format!(" with {}", both(self.options.value))
        };
        match self.to {
            Some(to) => format!("Send {}{with} to {}?", self.action, to.short()),
            None => format!("Send {}{with}?", self.action),
        }
    }

    fn request(&self, from: &Account) -> CallRequest {
        CallRequest {
            from: Some(from.address),
            to: self.to.map(|to| to.address),
            value: self.options.value,
            data: self.data.clone(),
            ..CallRequest::default()
        }
    }

    /// How much gas it gets: what it needs on the present state, and a fifth more, since the state moves on.
    fn gas(&self, from: &Account) -> Outcome<u64> {
        let node = &self.around.session.node;
        let request = self.request(from);
        let progress = self.context.output.progress("trying it out");
        let trial = node.call_contract(&request).settle()?;
        if !trial.succeeded && !self.options.force {
            return Err(would_fail(&self.trial_reason(&trial)));
        }
        if !trial.succeeded {
            self.context.output.warning(format_args!("by a trial it fails: {}", self.trial_reason(&trial)));
            return Ok(with_room(trial.gas_used));
        }
        let estimate = node.estimate_gas(&request).settle()?;
        drop(progress);
        // The state may have moved on between the two questions.
        Ok(with_room(estimate.gas.unwrap_or(trial.gas_used)))
    }

    /// Why a trial failed.
    fn trial_reason(&self, trial: &CallView) -> Reason {
        let contract = self.to.map(|to| to.address);
        self.around.reason(&trial.output, trial.reason.as_deref(), contract, self.abi)
    }

    /// Why a transaction failed in its block. Its receipt has the revert data; why the machine stopped it only
    /// a trace knows.
    fn reason(&self, view: &TransactionStatusView, receipt: &ReceiptView) -> Reason {
        let stopped = match receipt.output.is_empty() {
            true => self.around.session.node.trace(view.id).ok().and_then(|trace| trace.reason),
            false => None,
        };
        let contract = self.to.map(|to| to.address);
        self.around.reason(&receipt.output, stopped.as_deref(), contract, self.abi)
    }

    fn events(&self, receipt: &ReceiptView) -> Vec<EventLine> {
        let directory = self.around.directory();
        let line = |log: &LogView| {
            let own = self.abi.filter(|_| self.to.is_none_or(|to| to.address == log.address));
            let interfaces = own.into_iter().chain(self.around.book.interfaces(Some(log.address)));
            EventLine::new(log.address, &log.topics, &log.data, interfaces, &directory)
        };
        receipt.logs.iter().map(line).collect()
    }
}

fn with_room(gas: u64) -> u64 {
    gas.saturating_add(gas / 5).max(crate::wallet::fees::TRANSFER_GAS)
}

fn would_fail(reason: &Reason) -> Failure {
    Failure::new(Exit::Refused, "would_fail", format!("this would fail: {reason}"))
        .hint("nothing was sent; --force sends it all the same, and its fee is lost if it fails")
        .details(serde_json::json!({ "reason": reason }))
}

impl Done {
    /// The error of a transaction that is in a block and failed.
    ///
    /// # Errors
    /// When it failed.
    pub(super) fn verdict(&self) -> Outcome<()> {
        let Some(reason) = &self.reason else { return Ok(()) };
        let message = format!("the transaction is in a block, but it failed: {reason}; its fee is paid");
        Err(Failure::new(Exit::Refused, "transaction_failed", message)
            .hint(format!("synod contract trace {} shows where", self.view.id))
            .details(serde_json::json!({"id": self.view.id.to_string(), "reason": reason})))
    }
}

//! `synod wallet bump` and `synod wallet cancel`: another transaction with the same nonce and a higher fee.
//!
//! Whichever of the two the chain takes, the other can never follow: that is what the nonce is for. So a
//! replacement never pays twice, and a cancelled payment that was faster is told as what it is: paid.

use clap::Args;
use synod_node::rpc::types::TransactionStatus;
use synod_types::address::format_address;
use synod_types::{Bytes, Gas, NativeTransaction, Transaction, TransactionId, U256};

use super::payment::{Payment, WaitOptions, open, parse_id};
use crate::client::{Settle, interrupt};
use crate::context::{Context, Session};
use crate::failure::{Exit, Failure, Outcome};
use crate::wallet::accounts;
use crate::wallet::draft::Draft;
use crate::wallet::fees::{FeeOptions, Fees, TRANSFER_GAS};
use crate::wallet::outbox::{Outbox, Record, Slot};
use crate::wallet::password::PasswordSource;

/// Offer more for a payment that waits
///
/// Signs it again with the same nonce and a fee at least an eighth higher. Only one of the two can ever be
/// in the chain.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  synod wallet bump 0xd5405721e9dba7f3b51da6ea30155cdf8bcdb611e3b72702da7bba4d4ce114a8"
)]
pub(crate) struct Bump {
    #[command(flatten)]
    replacement: Replacement,
}

/// Take back a payment that waits
///
/// Puts an empty payment to oneself in its place, with the same nonce and a higher fee. If the payment was
/// faster, this says so.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  synod wallet cancel 0xd5405721e9dba7f3b51da6ea30155cdf8bcdb611e3b72702da7bba4d4ce114a8"
)]
pub(crate) struct Cancel {
    #[command(flatten)]
    replacement: Replacement,
}

/// What both take.
#[derive(Debug, Args)]
struct Replacement {
    /// The payment's id
    #[arg(value_parser = parse_id)]
    id: TransactionId,
    #[command(flatten)]
    waiting: WaitOptions,
    #[command(flatten)]
    fees: FeeOptions,
    #[command(flatten)]
    password: PasswordSource,
}

impl Bump {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        self.replacement.run(context, |_| {}).map(drop)
    }
}

impl Cancel {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let taken = self.replacement.run(context, |transaction| {
            transaction.to = Some(transaction.sender_address());
            transaction.value = U256::ZERO;
            transaction.data = Bytes::new();
            transaction.access_list = Vec::new();
            transaction.gas_limit = Gas(TRANSFER_GAS);
        })?;
        match taken {
            Taken::Replacement => Ok(()),
            Taken::Original => Err(Failure::new(
                Exit::Refused,
                "too_late",
                "too late: the payment was in a block before its cancellation",
            )),
        }
    }
}

/// Which of a slot's transactions the chain took.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Replacement,
    Original,
}

impl Replacement {
    /// Replaces the payment by itself under a higher fee, after `change`.
    fn run(&self, context: &Context, change: impl FnOnce(&mut NativeTransaction)) -> Outcome<Taken> {
        let session = context.session()?;
        let original = find(context, &session, self.id)?;
        let sender = original.transaction.sender_address();
        let signer = session.names.signer(&format_address(&sender))?;
        let key = open(context, &signer, &self.password)?;
        let outbox = Outbox::new(&context.wallet()?, &session.network, sender);
        let payment = Payment { context, session: &session, outbox, options: &self.waiting };
        interrupt::arm();
        let lock =
            accounts::lock(&context.wallet()?, &session.network, sender, &session.node, &context.output)?;
        let mut slot = slot_of(&payment, original)?;
        demand_open(&payment, &slot)?;
        let offer = self.fees.decide(Some(&session.node.fees().settle()?), TRANSFER_GAS)?;
        let mut transaction = slot.latest().transaction.clone();
        change(&mut transaction);
        let fees = Fees::of(&slot.latest().transaction).raised(&offer);
        (transaction.max_fee, transaction.max_tip) = (fees.max_fee, fees.max_tip);
        transaction.valid_until = offer.valid_until.or(transaction.valid_until);
        self.show(context, &session, &transaction)?;
        let record = payment.record(transaction, &key)?;
        payment.delivery().submit(&record)?;
        drop(lock);
        let replacement = record.id;
        slot.records.push(record);
        let told = payment.finish(&slot, false)?;
        Ok(if told == replacement { Taken::Replacement } else { Taken::Original })
    }

    fn show(&self, context: &Context, session: &Session, transaction: &NativeTransaction) -> Outcome<()> {
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
}

/// The payment of this id: from this wallet's records, else from the node's pool.
fn find(context: &Context, session: &Session, id: TransactionId) -> Outcome<Record> {
    for outbox in Outbox::all(&context.wallet()?, &session.network)? {
        let records = outbox.slots()?.into_iter().flat_map(|slot| slot.records);
        if let Some(record) = records.into_iter().find(|record| record.id == id) {
            return Ok(record);
        }
    }
    let unknown = || {
        Failure::failed("unknown_transaction", format!("neither this wallet nor the node knows {id}"))
            .hint("`synod wallet history ACCOUNT` lists what waits")
    };
    let view = session.node.transaction(id).settle()?.transaction.ok_or_else(unknown)?;
    let transaction = Transaction::from_bytes(&view.raw).map_err(|_| unknown())?;
    Record::new(&transaction, &session.network)
}

/// All records of the payment's nonce. One that only the node knew is written down now.
fn slot_of(payment: &Payment<'_>, original: Record) -> Outcome<Slot> {
    let nonce = original.transaction.nonce;
    let slots = payment.outbox.slots()?;
    let mut slot =
        slots.into_iter().find(|slot| slot.nonce == nonce).unwrap_or(Slot { nonce, records: Vec::new() });
    if slot.records.iter().all(|record| record.id != original.id) {
        payment.outbox.write(&original)?;
        slot.records.insert(0, original);
    }
    Ok(slot)
}

fn demand_open(payment: &Payment<'_>, slot: &Slot) -> Outcome<()> {
    let view = payment.delivery().look(slot).settle()?;
    let account = payment.session.node.account(slot.latest().transaction.sender_address()).settle()?;
    if view.status == TransactionStatus::Included || account.nonce > slot.nonce {
        let message = format!("{} is in a block already, and nothing can replace it", view.id);
        return Err(Failure::new(Exit::Refused, "already_included", message)
            .hint(format!("`synod chain tx {}` shows it", view.id)));
    }
    Ok(())
}

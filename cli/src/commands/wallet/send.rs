//! `synod wallet send`: a payment, signed here.
//!
//! The order is what keeps money safe: look for the same payment under way; open the key; take the
//! account's lock; bring the outbox up to date and look again; sign; write to disk; submit; give the lock
//! back; wait.

use clap::Args;
use synod_node::rpc::types::AccountView;
use synod_types::U256;
use synod_types::amount::format_syn;

use super::payment::{Order, Payment, WaitOptions, open};
use crate::client::{Settle, interrupt};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::wallet::accounts;
use crate::wallet::delivery::Open;
use crate::wallet::draft::{Draft, both, transfer};
use crate::wallet::fees::{FeeOptions, Fees};
use crate::wallet::names::{Account, Signer};
use crate::wallet::outbox::{Outbox, Slot};
use crate::wallet::password::PasswordSource;

/// Pay somebody
///
/// Signs here, writes the signed transaction to disk, submits it and waits. If the same payment is still
/// under way from before, it is resumed, not made twice; --again makes a second one.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod wallet send --from dev0 --to alice 12.5\n  synod wallet send --from alice --to 0x305498f8e08BC65DBacb4514475E01AFbE03f575 3gwei --wait final"
)]
pub(crate) struct Send {
    #[command(flatten)]
    order: Order,
    /// Pay a second time although an equal payment is under way
    #[arg(long)]
    again: bool,
    /// Do not ask on a network that is no test network
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    waiting: WaitOptions,
    #[command(flatten)]
    fees: FeeOptions,
    #[command(flatten)]
    password: PasswordSource,
}

impl Send {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let session = context.session()?;
        let signer = session.names.signer(&self.order.from)?;
        let (from, to) = (signer.account(), session.names.account(&self.order.to)?);
        let outbox = Outbox::new(&context.wallet()?, &session.network, from.address);
        let payment = Payment { context, session: &session, outbox, options: &self.waiting };
        let slot = match self.same_before_asking(&payment, &to)? {
            Some(slot) => return self.resume(&payment, &slot),
            None => self.pay(&payment, &signer, &to)?,
        };
        match slot {
            Paying::Fresh(slot) => payment.finish(&slot, false).map(drop),
            Paying::Resumed(slot) => self.resume(&payment, &slot),
        }
    }

    /// Looks for the payment under way before anybody is asked for a password.
    fn same_before_asking(&self, payment: &Payment<'_>, to: &Account) -> Outcome<Option<Slot>> {
        if self.again || payment.outbox.slots()?.is_empty() {
            return Ok(None);
        }
        interrupt::arm();
        let session = payment.session;
        let from = session.names.signer(&self.order.from)?.account();
        let wallet = payment.context.wallet()?;
        let _lock =
            accounts::lock(&wallet, &session.network, from.address, &session.node, &payment.context.output)?;
        Ok(self.same(payment.delivery().reconcile()?, to))
    }

    fn pay(&self, payment: &Payment<'_>, signer: &Signer, to: &Account) -> Outcome<Paying> {
        let (context, session) = (payment.context, payment.session);
        let from = signer.account();
        let key = open(signer, &self.password)?;
        let fees = self.fees.decide(Some(&session.node.fees().settle()?))?;
        if !session.network.testnet {
            let question = format!("Pay {} to {}?", both(self.order.amount), to.short());
            context.confirm(&question, self.yes || context.output.is_json())?;
        }
        interrupt::arm();
        let _lock = accounts::lock(
            &context.wallet()?,
            &session.network,
            from.address,
            &session.node,
            &context.output,
        )?;
        let mut open = payment.delivery().reconcile()?;
        let account = session.node.account(from.address).settle()?;
        let nonce = account.pending_nonce.max(open.next_nonce);
        if !self.again
            && let Some(slot) = self.same(std::mem::take(&mut open), to)
        {
            return Ok(Paying::Resumed(slot));
        }
        demand_funds(&from, self.order.amount, &fees, &account, session.network.testnet)?;
        let transaction =
            transfer(&session.network, key.public(), nonce, to.address, self.order.amount, &fees);
        let draft = Draft { network: &session.network, from: &from, to: Some(to), transaction: &transaction };
        context.output.note(draft);
        let record = payment.record(transaction, &key)?;
        payment.delivery().submit(&record)?;
        Ok(Paying::Fresh(Slot { nonce, records: vec![record] }))
    }

    fn same(&self, open: Open, to: &Account) -> Option<Slot> {
        open.pending.into_iter().find(|slot| slot.latest().pays(to.address, self.order.amount))
    }

    fn resume(&self, payment: &Payment<'_>, slot: &Slot) -> Outcome<()> {
        let id = slot.latest().id;
        payment.context.output.note(format_args!(
            "resuming the equal payment that is under way (--again makes a second one): {id}"
        ));
        payment.finish(slot, true).map(drop)
    }
}

/// What [`Send::pay`] came to.
enum Paying {
    /// A new payment was submitted.
    Fresh(Slot),
    /// Another process had just begun the same one.
    Resumed(Slot),
}

/// Says what is missing before anything is signed; the node would say it too, but after.
fn demand_funds(from: &Account, amount: U256, fees: &Fees, held: &AccountView, testnet: bool) -> Outcome<()> {
    let needed = amount.saturating_add(fees.most());
    if held.balance >= needed {
        return Ok(());
    }
    let (name, has, immature) = (from.short(), format_syn(held.balance), held.immature);
    let message =
        format!("{name} can spend {has} SYN, and this needs {} SYN with its fee", format_syn(needed));
    let failure = Failure::new(Exit::Refused, "insufficient_funds", message)
        .details(serde_json::json!({"balance": held.balance.to_string(), "needed": needed.to_string()}));
    Err(match (immature.is_zero(), testnet) {
        (false, _) => {
            failure.hint(format!("{} SYN more are mining rewards that mature later", format_syn(immature)))
        }
        (true, true) => {
            failure.hint(format!("dev0 has plenty: synod wallet send --from dev0 --to {name} 100"))
        }
        (true, false) => failure,
    })
}

//! What somebody wants of the chain, carried out once: what every command that signs and sends shares.
//!
//! The order of steps is what keeps money safe: look for the same intent under way; open the key; take the
//! account's lock; bring the outbox up to date and look again; sign; write to disk; submit; give the lock
//! back; wait.

use clap::Args;
use synod_node::rpc::types::AccountView;
use synod_types::amount::format_syn;
use synod_types::{Bytes, U256};

use super::payment::{Payment, WaitOptions, open};
use crate::client::{Settle, interrupt};
use crate::failure::{Exit, Failure, Outcome};
use crate::wallet::accounts;
use crate::wallet::delivery::Open;
use crate::wallet::draft::{self, Draft};
use crate::wallet::fees::{FeeOptions, Fees};
use crate::wallet::names::{Account, Signer};
use crate::wallet::outbox::Slot;
use crate::wallet::password::PasswordSource;

/// The flags of every command that signs and sends.
#[derive(Debug, Clone, Args)]
pub(crate) struct SendOptions {
    /// Do it a second time although an equal transaction is under way
    #[arg(long)]
    again: bool,
    /// Do not ask on a network that is no test network
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    pub(crate) waiting: WaitOptions,
    #[command(flatten)]
    pub(crate) fees: FeeOptions,
    #[command(flatten)]
    password: PasswordSource,
}

/// What a transaction is to do.
pub(crate) struct Intent<'a> {
    /// Who signs and pays.
    pub(crate) signer: &'a Signer,
    /// Who receives, or is called; `None` creates a contract.
    pub(crate) to: Option<&'a Account>,
    /// Wei that go along.
    pub(crate) value: U256,
    /// Call data, or what creates the contract.
    pub(crate) data: &'a Bytes,
    /// What is called, in words.
    pub(crate) action: Option<&'a str>,
    /// What is asked before it is signed on a network with real money.
    pub(crate) question: &'a str,
    /// The flags.
    pub(crate) options: &'a SendOptions,
}

/// What [`Payment::carry_out`] came to.
pub(crate) enum Sent {
    /// A new transaction was submitted.
    Fresh(Slot),
    /// Another process had just begun the same one.
    Resumed(Slot),
}

impl Payment<'_> {
    /// The same intent under way from before, looked for before anybody is asked for a password.
    ///
    /// # Errors
    /// As [`crate::wallet::delivery::Delivery::reconcile`].
    pub(crate) fn under_way(&self, intent: &Intent<'_>) -> Outcome<Option<Slot>> {
        if intent.options.again || self.outbox.slots()?.is_empty() {
            return Ok(None);
        }
        interrupt::arm();
        let from = intent.signer.account().address;
        let (wallet, session) = (self.context.wallet()?, self.session);
        let _lock = accounts::lock(&wallet, &session.network, from, &session.node, &self.context.output)?;
        Ok(intent.same(self.delivery().reconcile()?))
    }

    /// Signs an intent with at most `gas_limit` gas, and submits it.
    ///
    /// # Errors
    /// Whatever stands in the way; nothing has left then, or the failure says that it may have.
    pub(crate) fn carry_out(&self, intent: &Intent<'_>, gas_limit: u64) -> Outcome<Sent> {
        let (context, session, options) = (self.context, self.session, intent.options);
        let from = intent.signer.account();
        let key = open(context, intent.signer, &options.password)?;
        let fees = options.fees.decide(Some(&session.node.fees().settle()?), gas_limit)?;
        if !session.network.testnet {
            context.confirm(intent.question, options.yes || context.output.is_json())?;
        }
        interrupt::arm();
        let wallet = context.wallet()?;
        let _lock = accounts::lock(&wallet, &session.network, from.address, &session.node, &context.output)?;
        let mut open = self.delivery().reconcile()?;
        let account = session.node.account(from.address).settle()?;
        let nonce = account.pending_nonce.max(open.next_nonce);
        if !options.again
            && let Some(slot) = intent.same(std::mem::take(&mut open))
        {
            return Ok(Sent::Resumed(slot));
        }
        demand_funds(&from, intent.value, &fees, &account, session.network.testnet)?;
        let to = intent.to.map(|account| account.address);
        let data = intent.data.clone();
        let transaction =
            draft::transaction(&session.network, key.public(), nonce, to, intent.value, data, &fees);
        context.output.note(Draft {
            network: &session.network,
            from: &from,
            to: intent.to,
            action: intent.action,
            transaction: &transaction,
        });
        let record = self.record(transaction, &key)?;
        self.delivery().submit(&record)?;
        Ok(Sent::Fresh(Slot { nonce, records: vec![record] }))
    }
}

impl Intent<'_> {
    fn same(&self, open: Open) -> Option<Slot> {
        let to = self.to.map(|account| account.address);
        open.pending.into_iter().find(|slot| slot.latest().does(to, self.value, self.data))
    }
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

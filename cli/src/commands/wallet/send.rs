//! `synod wallet send`: a payment, signed here.

use clap::Args;
use synod_types::Bytes;

use super::intent::{Intent, SendOptions, Sent};
use super::payment::{Order, Payment};
use crate::context::Context;
use crate::failure::Outcome;
use crate::wallet::draft::both;
use crate::wallet::fees::TRANSFER_GAS;
use crate::wallet::outbox::{Outbox, Slot};

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
    #[command(flatten)]
    options: SendOptions,
}

impl Send {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let session = context.session()?;
        let signer = session.names.signer(&self.order.from)?;
        let (from, to) = (signer.account(), session.names.account(&self.order.to)?);
        let outbox = Outbox::new(&context.wallet()?, &session.network, from.address);
        let payment = Payment { context, session: &session, outbox, options: &self.options.waiting };
        let question = format!("Pay {} to {}?", both(self.order.amount), to.short());
        let intent = Intent {
            signer: &signer,
            to: Some(&to),
            value: self.order.amount,
            data: &Bytes::new(),
            action: None,
            question: &question,
            options: &self.options,
        };
        if let Some(slot) = payment.under_way(&intent)? {
            return resume(&payment, &slot);
        }
        match payment.carry_out(&intent, TRANSFER_GAS)? {
            Sent::Fresh(slot) => payment.finish(&slot, false).map(drop),
            Sent::Resumed(slot) => resume(&payment, &slot),
        }
    }
}

fn resume(payment: &Payment<'_>, slot: &Slot) -> Outcome<()> {
    payment.say_resumed(slot);
    payment.finish(slot, true).map(drop)
}

//! `synod contract send`: a transaction that calls a contract.

use std::fmt;

use clap::Args;
use serde::Serialize;

use super::line::EventLine;
use super::transact::{Transact, TransactOptions};
use super::{Surroundings, Target};
use crate::commands::wallet::payment::Paid;
use crate::context::Context;
use crate::contract::reason::Reason;
use crate::failure::Outcome;

/// Call a contract in a transaction
///
/// Tries it out first, and stops with the contract's reason if it would fail. Then it signs, writes the
/// signed transaction to disk, submits it and waits, as `synod wallet send` does: an equal transaction that
/// is still under way is resumed, not made twice.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod contract send TOKEN transfer bob 12e18 --from alice\n  synod contract send WALLET propose bob 1.5syn 0x --from alice\n  synod contract send WALLET --value 5 --from alice      a plain payment to the contract\n  synod contract send TOKEN 'transfer(address,uint256)' bob 1 --from alice --wait final"
)]
pub(crate) struct SendCommand {
    #[command(flatten)]
    target: Target,
    /// The function, by name or by signature; raw call data as 0x…; nothing for a plain payment
    function: Option<String>,
    /// Its arguments: names, 12e18, 1.5syn, 0x…, '[1, 2]', '(alice, true)'
    #[arg(allow_negative_numbers = true)]
    arguments: Vec<String>,
    #[command(flatten)]
    options: TransactOptions,
}

/// What became of it.
#[derive(Debug, Serialize)]
struct Sent {
    #[serde(flatten)]
    paid: Paid,
    call: String,
    events: Vec<EventLine>,
    reason: Option<Reason>,
}

impl SendCommand {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let around = Surroundings::about(context, &self.target)?;
        let signer = around.session.names.signer(&self.options.from)?;
        let found = self.target.find(&around)?;
        let asked = found.asked(self.function.as_deref(), &self.arguments, &around)?;
        asked.demand_payable(self.options.value)?;
        if asked.call.as_ref().is_some_and(|call| !call.changes_state()) {
            context.output.warning(format_args!(
                "{} changes nothing, and its answer does not come back from a block: \
                 `synod contract call` asks at once and for nothing",
                asked.action
            ));
        }
        let transact = Transact {
            context,
            around: &around,
            signer: &signer,
            to: Some(&found.account),
            data: &asked.data,
            action: &asked.action,
            abi: found.abi.as_ref(),
            options: &self.options,
        };
        let done = transact.run(|_| Ok(()))?;
        let verdict = done.verdict();
        context.output.result(&Sent {
            paid: done.paid,
            call: asked.action,
            events: done.events,
            reason: done.reason,
        });
        verdict
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.paid)?;
        for event in &self.events {
            write!(formatter, "\n  event    {event}")?;
        }
        match &self.reason {
            Some(reason) => write!(formatter, "\n  reason   {reason}"),
            None => Ok(()),
        }
    }
}

//! A change on its way into a block, and the epoch that it begins.

use std::fmt;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use synod_ledger::execution::committee::CHANGE_GAS;
use synod_node::rpc::types::CommitteeView;
use synod_types::committee::{COMMITTEE_ADDRESS, SignedChange};
use synod_types::{Bytes, U256};

use super::change::Standing;
use crate::client::Settle;
use crate::commands::wallet::intent::{Intent, SendOptions, Sent};
use crate::commands::wallet::payment::{Paid, Payment};
use crate::context::Context;
use crate::contract::reason::Reason;
use crate::failure::{Exit, Failure, Outcome};
use crate::wallet::fees::TRANSFER_GAS;
use crate::wallet::names::Account;
use crate::wallet::outbox::Outbox;

/// Who carries a change.
#[derive(Debug, Args)]
pub(super) struct CarryOptions {
    /// Who pays for the transaction; dev0 on a test network
    #[arg(long, value_name = "ACCOUNT")]
    from: Option<String>,
    #[command(flatten)]
    send: SendOptions,
}

/// What became of it.
#[derive(Debug, Serialize)]
struct Changed {
    what: String,
    #[serde(flatten)]
    paid: Paid,
    approvals: usize,
    epoch: u64,
    members: Vec<String>,
    quorum: u32,
    faults: u32,
}

impl CarryOptions {
    /// Submits a change that a quorum approves, and waits until its epoch begins.
    pub(super) fn carry(
        &self,
        context: &Context,
        standing: &Standing,
        signed: &SignedChange,
        what: &str,
    ) -> Outcome<()> {
        let (approvals, needed) = (signed.approvals.len(), standing.quorum);
        if approvals < needed {
            return Err(Failure::new(
                Exit::Refused,
                "too_few_approvals",
                format!("{approvals} members approve, and {needed} are needed"),
            )
            .hint(
                "--member FOLDER names a member's folder; --out FILE writes the change for others to sign",
            ));
        }
        let session = &standing.session;
        let from = match &self.from {
            Some(from) => from,
            None if session.network.testnet => "dev0",
            None => return Err(Failure::usage("from_needed", "--from ACCOUNT says who pays for it")),
        };
        let signer = session.names.signer(from)?;
        let data = Bytes::from(signed.to_bytes());
        let to = Account { name: None, address: COMMITTEE_ADDRESS };
        let outbox = Outbox::new(&context.wallet()?, &session.network, signer.account().address);
        let payment = Payment { context, session, outbox, options: &self.send.waiting };
        let question = format!("Let the committee {what}?");
        let intent = Intent {
            signer: &signer,
            to: Some(&to),
            value: U256::ZERO,
            data: &data,
            action: Some(what),
            question: &question,
            options: &self.send,
        };
        let sent = match payment.under_way(&intent)? {
            Some(slot) => Sent::Resumed(slot),
            None => payment.carry_out(&intent, gas_of(&data))?,
        };
        let (slot, resumed) = match sent {
            Sent::Fresh(slot) => (slot, false),
            Sent::Resumed(slot) => {
                payment.say_resumed(&slot);
                (slot, true)
            }
        };
        let (view, record) = payment.watch(&slot)?;
        let paid = Paid::new(session, record, &view, resumed)?;
        if let Some(receipt) = view.receipt.as_ref().filter(|receipt| !receipt.succeeded) {
            let reason = Reason::of_ledger(&receipt.output);
            return Err(Failure::new(
                Exit::Refused,
                "transaction_failed",
                format!("the committee did not change: {reason}; the transaction's fee is paid"),
            ));
        }
        let begun = self.wait(context, standing)?;
        context.output.result(&Changed {
            what: what.to_owned(),
            paid,
            approvals,
            epoch: begun.epoch,
            members: begun.members.iter().map(|member| member.name.clone()).collect(),
            quorum: begun.quorum,
            faults: begun.faults,
        });
        Ok(())
    }

    /// Waits for the next epoch.
    fn wait(&self, context: &Context, standing: &Standing) -> Outcome<CommitteeView> {
        let _progress = context.output.progress("waiting for the next epoch");
        let until = Instant::now() + Duration::from_secs(self.send.waiting.timeout);
        loop {
            let view = standing.session.node.validators().settle()?;
            if view.epoch > standing.record.epoch.0 {
                return Ok(view);
            }
            if Instant::now() > until {
                return Err(Failure::new(
                    Exit::Indeterminate,
                    "timed_out",
                    format!("epoch {} is not over yet", view.epoch),
                )
                .hint("the change is in a block; `synod doctor` says what the committee waits for"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What a change costs at most: each byte as if it were not zero.
fn gas_of(data: &Bytes) -> u64 {
    TRANSFER_GAS + 16 * data.len() as u64 + CHANGE_GAS
}

impl fmt::Display for Changed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "✓ epoch {} began: {}", self.epoch, self.what)?;
        writeln!(formatter, "  members    {}", self.members.join(", "))?;
        writeln!(formatter, "  quorum     {} decide, {} may do anything at all", self.quorum, self.faults)?;
        write!(formatter, "  approved   by {}; {}", self.approvals, self.paid)
    }
}

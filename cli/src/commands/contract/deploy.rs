//! `synod contract deploy`: a new contract, remembered under a name with its interface.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_types::Address;
use synod_types::address::format_address;

use super::Surroundings;
use super::line::EventLine;
use super::transact::{Transact, TransactOptions};
use crate::commands::wallet::payment::Paid;
use crate::context::Context;
use crate::contract::artifact::Artifact;
use crate::contract::book::{Book, Entry};
use crate::contract::interface::creation;
use crate::contract::reason::Reason;
use crate::failure::{Failure, Outcome};
use crate::wallet::names::Name;
use crate::wallet::outbox::Record;

/// Deploy a contract
///
/// Takes artifacts of solc, Foundry and hardhat, and raw hex. The contract is remembered under a name, by
/// which the other commands call it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod contract deploy vm/contracts/out/Token.json --args Gold GLD 1000000 --from alice\n  synod contract deploy out/Token.sol/Token.json --args \"My token\" MINE 1e6 --from alice --name mine\n  synod contract deploy build.json:Escrow --args bob carol 86400 --value 5 --from alice\n  synod contract deploy 0x6001600c60003960016000f300 --from alice"
)]
pub(crate) struct Deploy {
    /// A compiler's artifact, FILE:NAME where a file holds several contracts, or 0x and the bytecode
    artifact: String,
    /// The constructor's arguments: names, 12e18, 1.5syn, 0x…, '[1, 2]', '(alice, true)'
    #[arg(long, num_args = 0.., value_name = "ARGUMENT", allow_negative_numbers = true)]
    args: Vec<String>,
    /// What the contract is called here; by default what its source calls it
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    options: TransactOptions,
}

/// What became of it.
#[derive(Debug, Serialize)]
struct Deployed {
    #[serde(flatten)]
    paid: Paid,
    /// Where it is, or will be.
    contract: String,
    name: Option<String>,
    events: Vec<EventLine>,
    reason: Option<Reason>,
}

impl Deploy {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let mut around = Surroundings::open(context)?;
        let signer = around.session.names.signer(&self.options.from)?;
        let artifact = Artifact::load(&self.artifact)?;
        let name = self.name(&around, artifact.name.as_deref())?;
        let data = creation(artifact.creation()?, artifact.abi.as_ref(), &self.args, &around.directory())?;
        if !self.options.value.is_zero() {
            demand_payable(&artifact)?;
        }
        let title = artifact.name.as_deref().unwrap_or("a contract");
        let action = format!("the creation of {title}");
        let transact = Transact {
            context,
            around: &around,
            signer: &signer,
            to: None,
            data: &data,
            action: &action,
            abi: artifact.abi.as_ref(),
            options: &self.options,
        };
        let (home, network) = (context.home()?, around.session.network.clone());
        let (mut address, mut known) = (Address::ZERO, name);
        // It is remembered before the waiting begins: who gives up waiting finds it all the same.
        let done = transact.run(|record| {
            address = address_of(record);
            let mut book = Book::open(&home, &network)?;
            if let Some(entry) = book.at(address) {
                known = entry.name.clone();
                return Ok(());
            }
            let (abi, transaction) = (artifact.abi.clone(), Some(record.id.to_string()));
            book.remember(Entry { name: known.clone(), address, abi, transaction })
        })?;
        if done.reason.is_some() {
            around.book.forget(&known)?;
        }
        let verdict = done.verdict();
        context.output.result(&Deployed {
            contract: format_address(&address),
            name: done.reason.is_none().then(|| known.to_string()),
            paid: done.paid,
            events: done.events,
            reason: done.reason,
        });
        verdict
    }

    /// Its name, decided before anything is sent.
    fn name(&self, around: &Surroundings, source: Option<&str>) -> Outcome<Name> {
        let names = &around.session.names;
        let Some(given) = &self.name else { return Ok(around.book.free_name(source, names)) };
        let name: Name = given.to_ascii_lowercase().parse().map_err(|error| {
            Failure::usage("bad_name", format!("{given}: {error}")).hint("capitals do not matter")
        })?;
        around.book.demand_free(&name, names)?;
        Ok(name)
    }
}

fn demand_payable(artifact: &Artifact) -> Outcome<()> {
    use alloy_json_abi::StateMutability::Payable;
    let Some(abi) = &artifact.abi else { return Ok(()) };
    if abi.constructor.as_ref().is_some_and(|constructor| constructor.state_mutability == Payable) {
        return Ok(());
    }
    Err(Failure::usage("not_payable", "the contract's constructor takes no money").hint("leave --value away"))
}

/// Where the contract of a creation will be: it follows from its sender and nonce.
fn address_of(record: &Record) -> Address {
    record.transaction.sender_address().create(record.transaction.nonce)
}

impl fmt::Display for Deployed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n  contract {}", self.paid, self.contract)?;
        if let Some(name) = &self.name {
            write!(formatter, ", called {name} here")?;
        }
        for event in &self.events {
            write!(formatter, "\n  event    {event}")?;
        }
        match &self.reason {
            Some(reason) => write!(formatter, "\n  reason   {reason}"),
            None => Ok(()),
        }
    }
}

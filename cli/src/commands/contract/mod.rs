//! `synod contract`: deploying contracts, calling them, and reading what they did.

mod add;
mod call;
mod deploy;
mod events;
mod line;
mod list;
mod send;
mod trace;
mod transact;

use std::path::Path;

use alloy_json_abi::{AbiItem, JsonAbi};
use clap::{Args, Subcommand};
use synod_types::{Address, Bytes};

use crate::context::{Context, Session};
use crate::contract::artifact::Artifact;
use crate::contract::book::{Book, Directory};
use crate::contract::interface::Call;
use crate::contract::reason::Reason;
use crate::failure::{Failure, Outcome};
use crate::wallet::names::Account;

/// What can be done with contracts.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  synod contract deploy vm/contracts/out/Token.json --args Gold GLD 1000000 --from alice\n  synod contract call TOKEN balanceOf alice\n  synod contract send TOKEN transfer bob 12e18 --from alice\n  synod contract events TOKEN --from-block 10 --follow"
)]
pub(crate) enum Contract {
    Deploy(deploy::Deploy),
    Call(call::CallCommand),
    Send(send::SendCommand),
    Events(events::Events),
    Trace(trace::Trace),
    List(list::List),
    Add(add::Add),
}

impl Contract {
    /// Does it.
    ///
    /// # Errors
    /// Whatever stands in the way.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        match self {
            Self::Deploy(command) => command.run(context),
            Self::Call(command) => command.run(context),
            Self::Send(command) => command.run(context),
            Self::Events(command) => command.run(context),
            Self::Trace(command) => command.run(context),
            Self::List(command) => command.run(context),
            Self::Add(command) => command.run(context),
        }
    }
}

/// A node of the wallet's network, and the contracts that this home knows there.
struct Surroundings {
    session: Session,
    book: Book,
}

impl Surroundings {
    fn open(context: &Context) -> Outcome<Self> {
        let session = context.session()?;
        let book = Book::open(&context.home()?, &session.network)?;
        Ok(Self { session, book })
    }

    /// The same for a command about one contract, which is shown by the name that it was asked for.
    fn about(context: &Context, target: &Target) -> Outcome<Self> {
        let mut around = Self::open(context)?;
        around.book.prefer(&target.contract);
        Ok(around)
    }

    fn directory(&self) -> Directory<'_> {
        Directory { names: &self.session.names, book: &self.book }
    }

    /// Why a call of the contract at `address` was undone. `stopped` says why the machine stopped it, where it
    /// gave no reason of its own.
    fn reason(
        &self,
        output: &[u8],
        stopped: Option<&str>,
        address: Option<Address>,
        interface: Option<&JsonAbi>,
    ) -> Reason {
        if let Some(why) = stopped.filter(|_| output.is_empty()) {
            return Reason::halted(why);
        }
        let interfaces = interface.into_iter().chain(self.book.interfaces(address));
        Reason::read(output, interfaces, &self.directory())
    }
}

/// Which contract, and by which interface.
#[derive(Debug, Args)]
struct Target {
    /// The contract: a name that this home knows, or an address
    contract: String,
    /// An artifact with the contract's interface, where this home does not know it
    #[arg(long, value_name = "ARTIFACT")]
    abi: Option<String>,
}

/// A contract that was found.
struct Found {
    account: Account,
    abi: Option<JsonAbi>,
}

impl Target {
    fn find(&self, around: &Surroundings) -> Outcome<Found> {
        let (address, entry) = around.directory().contract(&self.contract)?;
        let name = entry.map(|entry| entry.name.clone());
        let abi = match &self.abi {
            Some(artifact) => Some(interface_of(artifact)?),
            None => entry.and_then(|entry| entry.abi.clone()),
        };
        Ok(Found { account: Account { name, address }, abi })
    }
}

impl Found {
    /// The interface, which a command needs.
    fn interface(&self) -> Outcome<&JsonAbi> {
        self.abi.as_ref().ok_or_else(|| {
            let message = format!("the interface of {} is not known here", self.account.short());
            Failure::usage("no_interface", message).hint(
                "add --abi ARTIFACT, or remember the contract: synod contract add NAME ADDRESS ARTIFACT",
            )
        })
    }

    /// What `function` and the typed words ask of the contract.
    fn asked(&self, function: Option<&str>, words: &[String], around: &Surroundings) -> Outcome<Asked> {
        let Some(function) = function else { return Ok(Asked::plain(Bytes::new(), "a plain payment")) };
        if function.starts_with("0x") {
            let data = alloy_primitives::hex::decode(function).map_err(|_| {
                Failure::usage("bad_data", format!("{function} is no call data"))
                    .hint("give a function's name, or 0x and pairs of hex digits")
            })?;
            return match words {
                [] => Ok(Asked::plain(data.into(), "a call with raw data")),
                _ => Err(Failure::usage("argument_count", "raw call data holds its arguments already")),
            };
        }
        let written = self.abi.is_none().then(|| parse_function(function)).flatten();
        let call = match &written {
            Some((abi, name)) => Call::read(abi, name, words, &around.directory())?,
            None => Call::read(self.interface()?, function, words, &around.directory())?,
        };
        let action = call.told(&around.directory());
        Ok(Asked { data: call.data.clone(), action, call: Some(call) })
    }
}

/// What is asked of a contract.
struct Asked {
    data: Bytes,
    /// In words.
    action: String,
    /// The function, where it is known.
    call: Option<Call>,
}

impl Asked {
    fn plain(data: Bytes, action: &str) -> Self {
        Self { data, action: action.to_owned(), call: None }
    }

    /// Refuses money for a function that takes none.
    fn demand_payable(&self, value: synod_types::U256) -> Outcome<()> {
        match &self.call {
            Some(call) if !value.is_zero() => call.demand_payable(),
            _ => Ok(()),
        }
    }
}

/// A function as Solidity declares it, for contracts whose interface is not at hand:
/// `balanceOf(address) returns (uint256)`.
fn parse_function(text: &str) -> Option<(JsonAbi, String)> {
    let declared = text.trim();
    let whole = format!("function {}", declared.strip_prefix("function ").unwrap_or(declared));
    let Ok(AbiItem::Function(function)) = AbiItem::parse(&whole) else { return None };
    let function = function.into_owned();
    let name = function.name.clone();
    let abi = JsonAbi { functions: [(name.clone(), vec![function])].into(), ..JsonAbi::default() };
    declared.contains('(').then_some((abi, name))
}

/// The interface in an artifact.
fn interface_of(artifact: &str) -> Outcome<JsonAbi> {
    let name = Path::new(artifact).display();
    Artifact::load(artifact)?.abi.ok_or_else(|| {
        Failure::usage("no_interface", format!("{name} is bytecode without an interface"))
            .hint("give a compiler's JSON artifact")
    })
}

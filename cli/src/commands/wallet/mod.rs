//! `synod wallet`: keys, balances and payments.

mod balance;
mod export;
mod history;
mod import;
pub(crate) mod intent;
mod label;
mod list;
mod network;
mod new;
pub(crate) mod payment;
mod replace;
mod send;
mod sign;
mod submit;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// What the wallet can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Wallet {
    New(new::New),
    Import(import::Import),
    Export(export::Export),
    List(list::List),
    Label(label::Label),
    Balance(balance::Balance),
    Send(send::Send),
    Bump(replace::Bump),
    Cancel(replace::Cancel),
    Sign(sign::Sign),
    Submit(submit::Submit),
    History(history::History),
    Network(network::PinnedNetwork),
}

impl Wallet {
    /// Does it.
    ///
    /// # Errors
    /// Whatever stands in the way.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        match self {
            Self::New(command) => command.run(context),
            Self::Import(command) => command.run(context),
            Self::Export(command) => command.run(context),
            Self::List(command) => command.run(context),
            Self::Label(command) => command.run(context),
            Self::Balance(command) => command.run(context),
            Self::Send(command) => command.run(context),
            Self::Bump(command) => command.run(context),
            Self::Cancel(command) => command.run(context),
            Self::Sign(command) => command.run(context),
            Self::Submit(command) => command.run(context),
            Self::History(command) => command.run(context),
            Self::Network(command) => command.run(context),
        }
    }
}

//! `synod`: one binary for everything. This page is what it can do; each subcommand is a file in `commands`.

mod client;
mod commands;
mod context;
mod contract;
mod failure;
mod home;
mod output;
mod progress;
mod suggest;
mod usage;
mod wallet;

use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::context::Context;
use crate::output::Output;

/// A Byzantine-tolerant blockchain node: one ledger, every way to agree on it
#[derive(Debug, Parser)]
#[command(name = "synod", version, arg_required_else_help = true)]
#[command(
    after_help = "Start a local network with ./testnet/up.sh, then:\n  synod wallet new alice\n  synod wallet send --from dev0 --to alice 12.5"
)]
struct Synod {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
struct Options {
    /// Print one JSON object instead of text; errors too
    #[arg(long, global = true)]
    json: bool,
    /// The node to ask: http://HOST:PORT; of several, with commas between, the first that answers
    #[arg(long, global = true, env = "SYNOD_RPC", value_name = "URL", value_delimiter = ',')]
    rpc: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keys, balances and payments
    #[command(subcommand)]
    Wallet(commands::wallet::Wallet),
    /// The chain: status, blocks, transactions, proofs
    #[command(subcommand)]
    Chain(commands::chain::Chain),
    /// Contracts: deploying, calling, reading what they did
    #[command(subcommand)]
    Contract(commands::contract::Contract),
    Mine(commands::mine::Mine),
    Init(Box<commands::init::Init>),
    Node(commands::node::NodeCommand),
    #[command(subcommand)]
    Validator(Box<commands::validator::Validator>),
    #[command(subcommand)]
    Testnet(commands::testnet::TestnetCommand),
    Sim(commands::sim::Sim),
    #[command(subcommand)]
    Bench(commands::bench::Bench),
    #[command(subcommand)]
    Vm(commands::vm::VmCommand),
    Doctor(commands::doctor::Doctor),
    Completions(commands::completions::Completions),
}

fn main() -> ExitCode {
    let synod = match usage::parse::<Synod>() {
        Ok(synod) => synod,
        Err(exit) => return exit,
    };
    let context = Context::new(Output::new(synod.options.json), synod.options.rpc);
    let outcome = match synod.command {
        Command::Wallet(command) => command.run(&context),
        Command::Chain(command) => command.run(&context),
        Command::Contract(command) => command.run(&context),
        Command::Mine(command) => command.run(&context),
        Command::Init(command) => command.run(&context),
        Command::Node(command) => command.run(&context),
        Command::Validator(command) => command.run(&context),
        Command::Testnet(command) => command.run(&context),
        Command::Sim(command) => command.run(&context),
        Command::Bench(command) => command.run(&context),
        Command::Vm(command) => command.run(&context),
        Command::Doctor(command) => command.run(&context),
        Command::Completions(command) => command.run(Synod::command(), &context),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            context.output.failure(&failure);
            failure.exit().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever asks for help gets a line to copy.
    #[test]
    fn every_command_that_does_something_has_an_example() {
        fn without(command: &clap::Command, path: &str, found: &mut Vec<String>) {
            let path = format!("{path} {}", command.get_name());
            if command.is_hide_set() || command.get_name() == "help" {
                return;
            }
            if command.has_subcommands() {
                command.get_subcommands().for_each(|part| without(part, &path, found));
            } else if !command.get_after_help().is_some_and(|text| text.to_string().contains(&path[1..])) {
                found.push(path);
            }
        }
        let mut found = Vec::new();
        without(&Synod::command(), "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}

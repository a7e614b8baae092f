//! `synod testnet`: a local network of real nodes.
//!
//! - [`up`]: starting it, and starting it anew.
//! - [`nodes`]: looking at its nodes, stopping and starting them.
//! - [`logs`]: what they say.
//! - [`fault`]: its links, cut, held and delayed.
//! - [`soak`]: kills under load.

mod fault;
mod logs;
mod nodes;
mod soak;
mod up;

use std::path::PathBuf;

use clap::Subcommand;
use synod_testnet::error::TestnetError;
use synod_testnet::network::Testnet;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// A local network of real nodes
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  synod testnet up\n  synod testnet stop 2 --kill\n  synod testnet logs node0 --lines 50"
)]
pub(crate) enum TestnetCommand {
    Up(up::Up),
    Status(nodes::Status),
    Logs(logs::Logs),
    Stop(nodes::Stop),
    Start(nodes::Start),
    Join(nodes::Join),
    Down(nodes::Down),
    Reset(up::Reset),
    /// Cut, hold or delay the links between nodes (needs `up --faults`)
    #[command(subcommand)]
    Fault(fault::Fault),
    Soak(soak::Soak),
    /// The process through which faulty links run
    #[command(hide = true)]
    Proxy {
        /// The network's folder
        #[arg(long)]
        root: PathBuf,
    },
}

impl TestnetCommand {
    /// Carries it out.
    ///
    /// # Errors
    /// What the network says.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        let testnet = testnet(context)?;
        match self {
            Self::Up(up) => up.run(&testnet, context),
            Self::Status(status) => status.run(&testnet, context),
            Self::Logs(logs) => logs.run(&testnet, context),
            Self::Stop(stop) => stop.run(&testnet, context),
            Self::Start(start) => start.run(&testnet, context),
            Self::Join(join) => join.run(&testnet, context),
            Self::Down(down) => down.run(&testnet, context),
            Self::Reset(reset) => reset.run(&testnet, context),
            Self::Fault(fault) => fault.run(&testnet, context),
            Self::Soak(soak) => soak.run(&testnet, context),
            Self::Proxy { root } => fault::run_proxy(&root),
        }
    }
}

fn testnet(context: &Context) -> Outcome<Testnet> {
    let synod = std::env::current_exe()
        .map_err(|error| Failure::failed("system", format!("cannot find this very binary: {error}")))?;
    Ok(Testnet::new(&synod, &context.home()?.testnet()))
}

/// A network's error as the command's.
fn failure(error: TestnetError) -> Failure {
    let message = error.to_string();
    match error {
        TestnetError::NodeCount { .. } => Failure::usage("node_count", message),
        TestnetError::NoSuchNode { .. } => Failure::usage("no_such_node", message),
        TestnetError::NoNetwork(_) => Failure::failed("no_network", message),
        TestnetError::NoProxy => Failure::failed("no_proxy", message)
            .hint("synod testnet reset --only && synod testnet up --faults"),
        TestnetError::Rpc { .. } => Failure::new(Exit::Unreachable, "unreachable", message),
        TestnetError::Died { .. } => Failure::failed("node_died", message),
        TestnetError::Busy(_) => Failure::failed("busy", message),
        TestnetError::NoPort(_) => Failure::failed("no_port", message),
        TestnetError::File { .. } => Failure::failed("file", message),
        TestnetError::Damaged { .. } => Failure::failed("damaged", message),
        TestnetError::Slow { .. } => Failure::failed("too_slow", message),
        TestnetError::Proxy(_) => Failure::failed("proxy", message),
        _ => Failure::failed("testnet", message),
    }
}

//! `synod node`: one node as a process.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use synod_node::run::{self, RunError};

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Run a node
///
/// Runs until SIGINT or SIGTERM, then flushes and ends with 0. Settings come from the file; the environment
/// (SYNOD_RPC_LISTEN, SYNOD_P2P_LISTEN, SYNOD_WEB_LISTEN, SYNOD_LOG) wins over it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  synod node --config node.toml\n  synod node --config node.toml --check")]
pub(crate) struct NodeCommand {
    /// Its node.toml; relative paths in it are relative to its folder
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only say whether it would start
    #[arg(long)]
    check: bool,
    /// Log to this file, rotated at 10 MiB and kept five times, instead of standard error
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Checked {
    config: String,
    name: String,
    rpc: String,
    mining: bool,
}

impl NodeCommand {
    /// Runs or checks it.
    ///
    /// # Errors
    /// What keeps the node from starting, or made it stop.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        if !self.check {
            return run::run(&self.config, self.log_file.as_deref()).map_err(|error| failure(&error));
        }
        // Whatever a check finds is wrong with what was asked for.
        let checked =
            run::check(&self.config).map_err(|error| Failure::usage("config", error.to_string()))?;
        context.output.result(&Checked {
            config: self.config.display().to_string(),
            name: checked.name,
            rpc: format!("http://{}", checked.rpc.listen),
            mining: checked.mining.enabled,
        });
        Ok(())
    }
}

fn failure(error: &RunError) -> Failure {
    if error.is_configuration() {
        return Failure::usage("config", error.to_string())
            .hint("synod node --check --config FILE checks without starting");
    }
    Failure::failed("node", error.to_string())
}

impl fmt::Display for Checked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "✓ {} is in order", self.config)?;
        let mining = if self.mining { "mines" } else { "does not mine" };
        write!(formatter, "  {} answers at {} and {mining}", self.name, self.rpc)
    }
}

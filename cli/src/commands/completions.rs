//! `synod completions`: the script that teaches a shell to complete commands.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::context::Context;
use crate::failure::Outcome;

/// Print the completion script for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  source <(synod completions bash)\n  synod completions fish > ~/.config/fish/completions/synod.fish"
)]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    /// Prints it.
    ///
    /// # Errors
    /// None today.
    pub(crate) fn run(self, mut command: Command, context: &Context) -> Outcome<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "synod", &mut script);
        context.output.text(&String::from_utf8_lossy(&script));
        Ok(())
    }
}

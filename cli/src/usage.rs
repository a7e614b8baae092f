//! Reading the command line, with `--json` honoured for mistakes in it too.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::failure::{Exit, Failure};
use crate::output::Output;

/// The command that was asked for. Help and the version are printed here, and so are mistakes.
///
/// # Errors
/// The exit code with which the process ends.
pub(crate) fn parse<T: Parser>() -> Result<T, ExitCode> {
    T::try_parse().map_err(|error| {
        let wants_json = std::env::args_os().any(|argument| argument == "--json");
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                // The text was asked for; a closed pipe is no failure.
                let _ = error.print();
                ExitCode::SUCCESS
            }
            _ if wants_json => {
                Output::new(true).failure(&mistake(&error));
                Exit::Usage.into()
            }
            _ => {
                let _ = error.print();
                Exit::Usage.into()
            }
        }
    })
}

fn mistake(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let ends = ["Usage:", "For more information"];
    let told = text
        .lines()
        .take_while(|line| !ends.iter().any(|end| line.starts_with(end)) && !line.trim().starts_with("tip:"));
    let message = told.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
    let failure = Failure::usage("usage", message);
    match text.lines().find_map(|line| line.trim().strip_prefix("tip: ")) {
        Some(tip) => failure.hint(tip),
        None => failure.hint("add --help to see what the command takes"),
    }
}

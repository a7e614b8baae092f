//! Where a command writes: its result to stdout, everything else to stderr.
//!
//! With `--json` stdout carries one bare object (or one object a line for streams) and stderr nothing but
//! an error object. Colours and spinners appear only on a terminal, and never where `NO_COLOR` is set.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::Failure;
use crate::progress::Progress;

/// How this run of the command writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    color: bool,
    live: bool,
}

impl Output {
    /// For a terminal, a pipe or a program, whichever stdout and stderr are.
    pub(crate) fn new(json: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let terminal = io::stderr().is_terminal();
        Self { json, color: terminal && !no_color && !dumb, live: terminal && !json && !dumb }
    }

    /// Whether a program reads.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a result: the object itself, or what it says to people.
    pub(crate) fn result<T: Serialize + Display>(&self, result: &T) {
        if self.json {
            return self.line(result);
        }
        write_out(&mut io::stdout().lock(), &result.to_string());
    }

    /// Prints one object of a stream on one line.
    pub(crate) fn line<T: Serialize>(&self, object: &T) {
        let text = serde_json::to_string(object).expect("what we print always serializes");
        write_out(&mut io::stdout().lock(), &text);
    }

    /// Prints text that is the result itself: a script, a document.
    pub(crate) fn text(&self, text: &str) {
        write_out(&mut io::stdout().lock(), text);
    }

    /// Tells people something beside the result.
    pub(crate) fn note(&self, note: impl Display) {
        if !self.json {
            write_out(&mut io::stderr().lock(), &note.to_string());
        }
    }

    /// Tells people something that they should not overlook.
    pub(crate) fn warning(&self, warning: impl Display) {
        self.note(format_args!("{} {warning}", self.paint("warning:", "1;33")));
    }

    /// Prints a failure on stderr.
    pub(crate) fn failure(&self, failure: &Failure) {
        let mut stderr = io::stderr().lock();
        if self.json {
            return write_out(&mut stderr, &failure.to_json().to_string());
        }
        write_out(&mut stderr, &format!("{} {failure}", self.paint("error:", "1;31")));
        if let Some(hint) = failure.next_step() {
            write_out(&mut stderr, &format!("{} {hint}", self.paint(" hint:", "1;36")));
        }
    }

    /// A spinner on stderr, or nothing where nobody watches.
    pub(crate) fn progress(&self, message: impl Into<String>) -> Progress {
        Progress::new(self.live, self.color, message.into())
    }

    fn paint(&self, text: &str, style: &str) -> String {
        if self.color { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// So many of something: `1 node`, `4 nodes`.
pub(crate) fn count(number: impl Into<u64>, thing: &str) -> String {
    match number.into() {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

/// Writes a text and ends its last line. A reader that went away (`| head`) is no error of ours: the
/// command simply ends. A full disk is one: whoever relies on the result must hear that it is not there.
fn write_out(to: &mut impl Write, text: &str) {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let written = to.write_all(text.as_bytes()).and_then(|()| to.write_all(end.as_bytes()));
    match written.and_then(|()| to.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            // Where the failure is of stderr itself, the exit code alone tells.
            let _ = writeln!(io::stderr(), "error: the output cannot be written: {error}");
            std::process::exit(crate::failure::Exit::Failed as i32);
        }
    }
}

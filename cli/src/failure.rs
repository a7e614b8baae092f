//! How a command fails: an exit code for scripts, a stable code for programs, a sentence for people and
//! what to do next.
//!
//! `DEFAULTS` fixes the exit codes. With `--json` a failure is one object on stderr,
//! `{"error": {"code", "message", "hint", "details"}}`.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

/// What a command gives back.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// The process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did not work.
    Failed = 1,
    /// It was asked in the wrong way.
    Usage = 2,
    /// The ledger refused.
    Refused = 3,
    /// No node answers.
    Unreachable = 4,
    /// Nobody knows yet whether it worked.
    Indeterminate = 5,
    /// A proof, a signature or a network's name does not hold.
    Verification = 6,
    /// The simulator found a broken rule.
    Violation = 7,
    /// Ctrl-C.
    Interrupted = 130,
}

/// A command's failure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure(Box<Parts>);

#[derive(Debug, Clone, PartialEq)]
struct Parts {
    exit: Exit,
    code: Cow<'static, str>,
    message: String,
    hint: Option<String>,
    details: Option<Value>,
}

impl Failure {
    /// A failure with its exit code, its stable snake_case code and one sentence.
    pub(crate) fn new(exit: Exit, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self(Box::new(Parts { exit, code, message, hint: None, details: None }))
    }

    /// An ordinary failure, exit code 1.
    pub(crate) fn failed(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, code, message)
    }

    /// A request that makes no sense, exit code 2.
    pub(crate) fn usage(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, code, message)
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(path: &Path, error: &std::io::Error) -> Self {
        Self::failed("file", format!("{}: {error}", path.display()))
    }

    /// The same, told of a place: a line of a file.
    #[must_use]
    pub(crate) fn at(mut self, place: &str) -> Self {
        self.0.message = format!("{place}: {}", self.0.message);
        self
    }

    /// The same with what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same without `hint`, where that is what it says.
    #[must_use]
    pub(crate) fn without_hint(mut self, hint: &str) -> Self {
        self.0.hint = self.0.hint.filter(|said| said != hint);
        self
    }

    /// The same with an object of details for programs.
    #[must_use]
    pub(crate) fn details(mut self, details: Value) -> Self {
        self.0.details = Some(details);
        self
    }

    /// The stable code.
    pub(crate) fn code(&self) -> &str {
        &self.0.code
    }

    /// The process's exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.0.exit
    }

    /// What to do next.
    pub(crate) fn next_step(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The object that `--json` prints on stderr.
    pub(crate) fn to_json(&self) -> Value {
        let parts = &self.0;
        json!({"error": {
            "code": parts.code,
            "message": parts.message,
            "hint": parts.hint,
            "details": parts.details,
        }})
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.message)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        // Every discriminant is below 256.
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_object_with_four_members() {
        let failure = Failure::new(Exit::Refused, "nonce_too_low", "used").hint("run it again");
        let expected = json!({"error": {
            "code": "nonce_too_low", "message": "used", "hint": "run it again", "details": null
        }});
        assert_eq!(failure.to_json(), expected);
        assert_eq!(Exit::Interrupted as u8, 130);
    }
}

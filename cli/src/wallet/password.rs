//! Where passwords come from: `--password-file`, `SYNOD_PASSWORD_FILE`, or a prompt on the terminal.
//!
//! There is no way to give one as an argument: other users of the machine read arguments, and shells keep
//! them.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// A password file may hold a passphrase, not a novel.
const LENGTH_LIMIT: u64 = 4096;
/// Below this many characters a new password is called short.
const SHORT: usize = 8;

/// How a command is told a password.
#[derive(Debug, Clone, Args)]
pub(crate) struct PasswordSource {
    /// Read the password from this file's first line instead of asking
    #[arg(long, env = "SYNOD_PASSWORD_FILE", value_name = "FILE", hide_env_values = true)]
    password_file: Option<PathBuf>,
}

pub(crate) use synod_node::identity::Password;

impl PasswordSource {
    /// The password of an existing key.
    ///
    /// # Errors
    /// When the file cannot be read, or nobody can be asked.
    pub(crate) fn ask(&self, of: &str) -> Outcome<Password> {
        match &self.password_file {
            Some(path) => read_file(path),
            None => prompt(&format!("Password of {of}: ")),
        }
    }

    /// A password for a new key, asked for twice.
    ///
    /// # Errors
    /// As [`PasswordSource::ask`], and for an empty or mistyped one.
    pub(crate) fn choose(&self, of: &str, output: &Output) -> Outcome<Password> {
        let password = match &self.password_file {
            Some(path) => read_file(path)?,
            None => {
                let first = prompt(&format!("New password for {of}: "))?;
                if first != prompt("The same again: ")? {
                    return Err(Failure::usage("password_mismatch", "the two passwords differ")
                        .hint("run the command again"));
                }
                first
            }
        };
        if password.is_empty() {
            return Err(Failure::usage("password_empty", "an empty password protects nothing")
                .hint("choose one of at least 8 characters"));
        }
        if password.chars().count() < SHORT {
            output.warning("the password is short; whoever gets the key file may guess it");
        }
        Ok(password)
    }
}

fn read_file(path: &Path) -> Outcome<Password> {
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(|error| {
        Failure::file(path, &error)
            .hint("--password-file and SYNOD_PASSWORD_FILE name a file that holds the password")
    })?;
    file.take(LENGTH_LIMIT + 1).read_to_string(&mut text).map_err(|error| Failure::file(path, &error))?;
    if text.len() as u64 > LENGTH_LIMIT {
        return Err(Failure::usage(
            "password_too_long",
            format!("{}: longer than a password", path.display()),
        ));
    }
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn prompt(text: &str) -> Outcome<Password> {
    let nobody = || {
        Failure::usage("password_needed", "a password is needed, and there is no terminal to ask on")
            .hint("give --password-file FILE, or set SYNOD_PASSWORD_FILE")
    };
    if !std::io::stdin().is_terminal() {
        return Err(nobody());
    }
    rpassword::prompt_password(text).map(Zeroizing::new).map_err(|_| nobody())
}

/// A secret that an import reads: from a file, from a pipe, or typed unseen.
///
/// # Errors
/// When it cannot be read or is too long.
pub(crate) fn read_secret(path: Option<&Path>, question: &str) -> Outcome<Zeroizing<String>> {
    let stdin = Path::new("standard input");
    let mut text = Zeroizing::new(String::new());
    let (name, read) = match path {
        Some(path) => {
            let file = std::fs::File::open(path).map_err(|error| Failure::file(path, &error))?;
            (path, file.take(LENGTH_LIMIT + 1).read_to_string(&mut text))
        }
        None if std::io::stdin().is_terminal() => return prompt(question),
        None => (stdin, std::io::stdin().take(LENGTH_LIMIT + 1).read_to_string(&mut text)),
    };
    read.map_err(|error| Failure::file(name, &error))?;
    if text.len() as u64 > LENGTH_LIMIT {
        return Err(Failure::usage("secret_too_long", format!("{}: longer than a secret", name.display())));
    }
    Ok(text)
}

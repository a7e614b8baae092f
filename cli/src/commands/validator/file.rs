//! The file that goes round among the members of a real network.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use synod_types::committee::{CHANGE_LIMIT, SignedChange};

use super::carry::CarryOptions;
use super::change::{Approvers, Standing, refused};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Approve a change that others propose
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod validator sign change.json --member /srv/synod")]
pub(crate) struct Sign {
    /// The file, which gets the approval
    file: PathBuf,
    #[command(flatten)]
    approvers: Approvers,
}

/// Carry a change that a quorum approves into a block
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod validator submit change.json --from alice")]
pub(crate) struct Submit {
    /// The file
    file: PathBuf,
    #[command(flatten)]
    carry: CarryOptions,
}

/// What a file says.
#[derive(Debug, Serialize)]
struct Written {
    file: PathBuf,
    what: String,
    epoch: u64,
    members: Vec<String>,
    approvals: usize,
    quorum: usize,
}

impl Sign {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let standing = Standing::ask(context)?;
        let mut signed = read(&self.file, &standing)?;
        self.approvers.approve(context, &standing, &mut signed)?;
        let what = difference(&standing, &signed);
        write(context, &self.file, &standing, &signed, &what)
    }
}

impl Submit {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let standing = Standing::ask(context)?;
        let signed = read(&self.file, &standing)?;
        let what = difference(&standing, &signed);
        self.carry.carry(context, &standing, &signed, &what)
    }
}

/// What would be different, in words, for whoever approves it.
fn difference(standing: &Standing, signed: &SignedChange) -> String {
    let (before, after) = (&standing.record.members, &signed.change.members);
    let gone = before.iter().filter(|old| !after.iter().any(|new| new.key == old.key));
    let mut parts: Vec<String> = gone.map(|member| format!("let {} go", member.name)).collect();
    for member in after {
        match before.iter().find(|old| old.key == member.key) {
            None => parts.push(format!("take {} in with key {}", member.name, member.key)),
            Some(old) if old.incarnation != member.incarnation => {
                parts.push(format!("take {} back as incarnation {}", member.name, member.incarnation));
            }
            Some(old) if old.name != member.name => parts.push(format!("call {} {}", old.name, member.name)),
            Some(_) => {}
        }
    }
    if parts.is_empty() { "begin a new epoch with the same members".to_owned() } else { parts.join(", ") }
}

/// Reads a change of the present epoch, whose approvals all hold.
fn read(path: &Path, standing: &Standing) -> Outcome<SignedChange> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    if text.len() > 4 * CHANGE_LIMIT {
        return Err(Failure::usage("malformed", format!("{}: too long for a change", path.display())));
    }
    let signed: SignedChange = serde_json::from_str(&text)
        .map_err(|error| Failure::usage("malformed", format!("{}: no change: {error}", path.display())))?;
    signed.change.follow(&standing.record, standing.record.base).map_err(|error| refused(&error))?;
    signed.check_approvals(&standing.record, standing.genesis()).map_err(|error| refused(&error))?;
    Ok(signed)
}

/// Writes it, and says how many approvals are missing.
pub(super) fn write(
    context: &Context,
    path: &Path,
    standing: &Standing,
    signed: &SignedChange,
    what: &str,
) -> Outcome<()> {
    let mut text = serde_json::to_string_pretty(signed).expect("a change always serializes");
    text.push('\n');
    std::fs::write(path, text).map_err(|error| Failure::file(path, &error))?;
    context.output.result(&Written {
        file: path.to_owned(),
        what: what.to_owned(),
        epoch: signed.change.epoch.0,
        members: signed.change.members.iter().map(|member| member.name.clone()).collect(),
        approvals: signed.approvals.len(),
        quorum: standing.quorum,
    });
    Ok(())
}

impl fmt::Display for Written {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        writeln!(formatter, "✓ {file}: {}", self.what)?;
        writeln!(formatter, "  members    {}", self.members.join(", "))?;
        write!(
            formatter,
            "  approvals  {} of the {} that are needed\n  next       ",
            self.approvals, self.quorum
        )?;
        if self.approvals < self.quorum {
            write!(formatter, "synod validator sign {file} --member FOLDER, by another member")
        } else {
            write!(formatter, "synod validator submit {file} --from ACCOUNT")
        }
    }
}

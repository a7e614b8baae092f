//! `synod validator`: who belongs to the committee.
//!
//! A quorum of the members signs a change; then anybody with an account carries it into a block, which ends the
//! epoch. On a test network all members' keys lie on this machine, so that one command does all of it. On a real
//! network the change goes round as a file: `--out` writes it, `sign` adds a member's approval, `submit` carries
//! it.
//!
//! - [`key`]: a member's keys, on its own machine, before the network or the committee knows it.
//! - [`change`]: what is to change, and whose keys approve it.
//! - [`carry`]: into a block, and into the next epoch.
//! - [`mod@file`]: the file that goes round.

mod carry;
mod change;
mod file;
mod key;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use synod_node::driver::{MemberMemory, begin_member, member_memory};
use synod_types::committee::{Member, SignedChange};
use synod_types::{B256, PublicKey};

use self::carry::CarryOptions;
use self::change::{Approvers, Standing};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// The committee: taking members in, and letting them go
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  synod testnet join && synod validator add node4\n  synod validator remove node4\n  synod validator rejoin node3\n  synod validator add acme --key 3b6a27bc… --out change.json"
)]
pub(crate) enum Validator {
    Add(Add),
    Remove(Remove),
    Rejoin(Rejoin),
    Sign(file::Sign),
    Submit(file::Submit),
    Key(key::Key),
}

/// Take a member in
///
/// Its node should follow already (`synod testnet join`, or `synod init --genesis`): it votes from the block on
/// that takes it in, once it has that block.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod validator add node4\n  synod validator add acme --key 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29 --out change.json"
)]
pub(crate) struct Add {
    /// What people shall call it; on a test network the node's name says which key
    name: String,
    /// The key of its votes, 64 hex digits: `synod init --genesis` and `synod validator key` tell it
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    key: Option<PublicKey>,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Let a member go
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod validator remove node4")]
pub(crate) struct Remove {
    /// Its name; 3 is short for node3
    name: String,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Take a member back that lost its memory
///
/// A member whose votes/ is gone follows without a vote, since nobody knows what it promised. This begins a new
/// memory in its folder, of its next incarnation, and asks the committee to count on that from the next epoch on.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod validator rejoin node3\n  synod validator rejoin acme --folder /srv/synod --out change.json"
)]
pub(crate) struct Rejoin {
    /// Its name; 3 is short for node3
    name: String,
    /// Its node's folder, where the new memory begins; on a test network that of the node with its name
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    options: ChangeOptions,
}

/// The flags of every change.
#[derive(Debug, Args)]
struct ChangeOptions {
    /// Write the change with its approvals to a file, for others to sign, and submit nothing
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    approvers: Approvers,
    #[command(flatten)]
    carry: CarryOptions,
}

/// Reads the key of a member's votes.
pub(crate) fn parse_key(text: &str) -> Result<PublicKey, String> {
    let key = text.parse::<B256>().map(|bytes| PublicKey(bytes.0));
    key.ok()
        .filter(PublicKey::may_own_account)
        .ok_or_else(|| "a key is 64 hex digits, of a point on the curve that is fit for signing".to_owned())
}

impl Validator {
    /// Carries it out.
    ///
    /// # Errors
    /// Whatever stands in the way.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        match self {
            Self::Add(command) => command.run(context),
            Self::Remove(command) => command.run(context),
            Self::Rejoin(command) => command.run(context),
            Self::Sign(command) => command.run(context),
            Self::Submit(command) => command.run(context),
            Self::Key(command) => command.run(context),
        }
    }
}

impl Add {
    fn run(self, context: &Context) -> Outcome<()> {
        let standing = Standing::ask(context)?;
        let key = match self.key {
            Some(key) => key,
            None => change::key_of_node(context, &self.name)?,
        };
        let name = change::full_name(&self.name);
        let mut members = standing.record.members.clone();
        if let Some(member) = members.iter().find(|member| member.key == key) {
            return Err(Failure::usage("is_member", format!("{} is a member already", member.name))
                .hint("one that lost its memory comes back by `synod validator rejoin`"));
        }
        members.push(Member::new(name.as_str(), key));
        let what = format!("take {name} in");
        self.options.pursue(context, standing, members, &what)
    }
}

impl Remove {
    fn run(self, context: &Context) -> Outcome<()> {
        let standing = Standing::ask(context)?;
        let at = standing.find(&self.name)?;
        let mut members = standing.record.members.clone();
        let name = members.remove(at).name;
        self.options.pursue(context, standing, members, &format!("let {name} go"))
    }
}

impl Rejoin {
    fn run(self, context: &Context) -> Outcome<()> {
        // Whoever lags would name an incarnation that has voted already, and the new memory would not know how.
        let standing = Standing::ask_quorum(context)?;
        let at = standing.find(&self.name)?;
        let mut members = standing.record.members.clone();
        let member = &mut members[at];
        let folder = match self.folder {
            Some(folder) => folder,
            None => change::folder_of_node(context, &member.name)?,
        };
        let damaged = |error: &dyn std::fmt::Display| {
            Failure::failed("damaged", format!("{}: {error}", folder.display()))
                .hint("move its votes/ away, if it is damaged: a new memory begins then")
        };
        let found = member_memory(&folder).map_err(|error| damaged(&error))?;
        if found == MemberMemory::InUse || found == MemberMemory::Of(member.incarnation) {
            return Err(Failure::new(
                Exit::Refused,
                "has_memory",
                format!("{} has its memory and votes: there is nothing to take back", member.name),
            ));
        }
        member.incarnation =
            member.incarnation.checked_add(1).ok_or_else(|| damaged(&"too many incarnations"))?;
        if found != MemberMemory::Of(member.incarnation) {
            begin_member(&folder, member.incarnation).map_err(|error| damaged(&error))?;
        }
        let what = format!("take {} back as incarnation {}", member.name, member.incarnation);
        self.options.pursue(context, standing, members, &what)
    }
}

impl ChangeOptions {
    fn pursue(self, context: &Context, standing: Standing, members: Vec<Member>, what: &str) -> Outcome<()> {
        let mut signed = SignedChange::new(standing.change(members)?);
        self.approvers.approve(context, &standing, &mut signed)?;
        match &self.out {
            Some(path) => file::write(context, path, &standing, &signed, what),
            None => self.carry.carry(context, &standing, &signed, what),
        }
    }
}

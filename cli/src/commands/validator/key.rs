//! The keys of a member whose network somebody else makes.
//!
//! A genesis names its members by their public keys, and a private one should never travel. So who belongs to a
//! network that is about to begin makes its own keys first, and sends what may be known.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use synod_types::PublicKey;

use crate::commands::init::keys::{KEY_FILES, NodeKeys};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::wallet::password::PasswordSource;

/// Make a member's keys, before its network is made
///
/// The folder gets node.key and validator.key under a password, and the empty memory of a member. Whoever makes the
/// network names the printed key (`synod init … --member NAME=KEY`); with its genesis.json `synod init FOLDER
/// --genesis` completes the folder.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod validator key /srv/synod")]
pub(crate) struct Key {
    /// The node's folder
    folder: PathBuf,
    #[command(flatten)]
    password: PasswordSource,
}

/// What others may know of them.
#[derive(Debug, Serialize)]
struct MadeKeys {
    folder: String,
    key: PublicKey,
    peer_id: String,
}

impl Key {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        if let Some(name) = KEY_FILES.into_iter().find(|name| self.folder.join(name).exists()) {
            let path = self.folder.join(name);
            let message = format!("{} is there already, and is not replaced", path.display());
            return Err(Failure::failed("exists", message).hint("choose another folder"));
        }
        let keys = NodeKeys::fresh(true)?;
        let password = self.password.choose("the member's keys", &context.output)?;
        let progress = context.output.progress("sealing keys");
        keys.write(&self.folder, Some(&password))?;
        drop(progress);
        let key = keys.validator.ok_or_else(|| Failure::failed("validator_key", "no key was drawn"))?;
        context.output.result(&MadeKeys {
            folder: self.folder.display().to_string(),
            key,
            peer_id: keys.peer.to_string(),
        });
        Ok(())
    }
}

impl fmt::Display for MadeKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, key, peer_id } = self;
        writeln!(formatter, "✓ a member's keys in {folder}; back them up, and tell others:")?;
        writeln!(formatter, "  key      {key}")?;
        writeln!(formatter, "  address  /ip4/ADDRESS/tcp/30300/p2p/{peer_id}")?;
        writeln!(formatter, "Next:")?;
        writeln!(formatter, "  who makes the network: synod init NET --ordering pbft … --member NAME={key}")?;
        write!(
            formatter,
            "  then, with its genesis.json: synod init {folder} --genesis genesis.json --bootstrap ADDRESS"
        )
    }
}

//! The keys of a new node: `node.key`, by which its peers know it, and a member's `validator.key`, which signs its
//! votes, with the memory of what it promised.
//!
//! All of them lie under a password. A member whose network somebody else
//! makes has its keys first (`synod validator key`): its public key stands in the genesis. `synod init` then finds
//! them in the folder and keeps them.

use std::path::{Path, PathBuf};

use synod_node::driver::{MemberMemory, begin_member, member_memory};
use synod_node::home::GENESIS_FILE;
use synod_node::identity::{self, NODE_KEY_FILE, VALIDATOR_KEY_FILE};
use synod_node::network::PeerName;
use synod_types::{PublicKey, SecretKey};
use zeroize::Zeroizing;

use super::nodes::{CONFIG_FILE, written};
use crate::failure::{Failure, Outcome};
use crate::home::{Existing, private_folder, write_private};
use crate::wallet::keystore::{random_secret, seal};
use crate::wallet::password::{Password, PasswordSource};

/// The folder of a member's memory.
const VOTES: &str = "votes";
/// What nobody but [`NodeKeys::write`] puts into a folder.
pub(crate) const KEY_FILES: [&str; 3] = [NODE_KEY_FILE, VALIDATOR_KEY_FILE, VOTES];

/// A node's keys, of which its folder has none yet or all.
pub(crate) struct NodeKeys {
    /// What its peers know it by.
    pub(crate) peer: PeerName,
    /// What its votes are checked with; none outside committees.
    pub(crate) validator: Option<PublicKey>,
    fresh: Option<Fresh>,
}

struct Fresh {
    node: Zeroizing<[u8; 32]>,
    validator: Option<Zeroizing<[u8; 32]>>,
}

impl NodeKeys {
    /// New keys, which are nowhere yet.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn fresh(votes: bool) -> Outcome<Self> {
        let node = random_secret()?;
        let validator = votes.then(random_secret).transpose()?;
        let public = |seed: &Zeroizing<[u8; 32]>| SecretKey::from_seed(seed).public();
        Ok(Self {
            peer: PeerName::from_bytes(public(&node).0),
            validator: validator.as_ref().map(public),
            fresh: Some(Fresh { node, validator }),
        })
    }

    /// The keys that `synod validator key` put into `folder`; `None` where there are none, or where the folder is a
    /// whole node's already.
    ///
    /// # Errors
    /// They do not open, or have a memory of promises made elsewhere.
    pub(crate) fn kept(folder: &Path, password: &PasswordSource) -> Outcome<Option<Self>> {
        let is_there = |name: &str| folder.join(name).exists();
        let all_keys = KEY_FILES.into_iter().all(is_there);
        if !all_keys || [GENESIS_FILE, CONFIG_FILE, "blocks"].into_iter().any(is_there) {
            return Ok(None);
        }
        let failed = |message: String| Failure::failed("validator_key", message);
        let memory = member_memory(folder)
            .map_err(|error| failed(format!("{}: {error}", folder.join(VOTES).display())))?;
        if memory != MemberMemory::Of(0) {
            return Err(failed(format!("{} holds the memory of another network's member", folder.display()))
                .hint("`synod validator key` in another folder makes keys for this one"));
        }
        let password = password.ask(&format!("the keys in {}", folder.display()))?;
        let refused = |error: identity::IdentityError| failed(error.to_string());
        let node = identity::open(folder, false, &[0; 32], Some(&password)).map_err(refused)?;
        let validator = identity::open_validator(folder, false, Some(&password)).map_err(refused)?;
        Ok(Some(Self {
            peer: PeerName::from_bytes(node.public().0),
            validator: validator.map(|key| key.public()),
            fresh: None,
        }))
    }

    /// Whether they are to be written.
    pub(crate) fn are_fresh(&self) -> bool {
        self.fresh.is_some()
    }

    /// Seals new keys into `folder`, and begins the member's memory there; kept ones are where they belong.
    ///
    /// # Errors
    /// The disk, or no randomness.
    pub(crate) fn write(&self, folder: &Path, password: Option<&Password>) -> Outcome<()> {
        let (Some(fresh), Some(password)) = (&self.fresh, password) else { return Ok(()) };
        private_folder(folder)?;
        let write = |name: &str, seed: &[u8; 32]| {
            let path = folder.join(name);
            let text = seal(seed, password)?.to_json();
            write_private(&path, text.as_bytes(), Existing::Keep).map_err(|error| written(&path, &error))
        };
        write(NODE_KEY_FILE, &fresh.node)?;
        if let Some(seed) = &fresh.validator {
            let votes: PathBuf = folder.join(VOTES);
            begin_member(folder, 0)
                .map_err(|error| Failure::failed("file", format!("{}: {error}", votes.display())))?;
            write(VALIDATOR_KEY_FILE, seed)?;
        }
        Ok(())
    }
}

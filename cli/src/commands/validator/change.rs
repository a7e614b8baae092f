//! What is to change, and whose keys approve it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use synod_node::identity::{self, Password};
use synod_node::rpc::types::{CommitteeView, MemberView};
use synod_types::committee::{ChangeError, CommitteeChange, EpochRecord, Member, SignedChange, fault_model};
use synod_types::genesis::Ordering;
use synod_types::{B256, Epoch, PublicKey, SecretKey};

use crate::client::Settle;
use crate::context::{Context, Session};
use crate::failure::{Exit, Failure, Outcome};

/// How long an epoch may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at whether it has.
const PAUSE: Duration = Duration::from_millis(50);

/// The committee that a change would end.
pub(super) struct Standing {
    pub(super) session: Session,
    pub(super) record: EpochRecord,
    pub(super) quorum: usize,
}

/// Whose keys sign.
#[derive(Debug, Args)]
pub(super) struct Approvers {
    /// A member's node folder, whose validator.key approves; on a test network all of them do by default
    #[arg(long = "member", value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// The file with the password of those keys, where they are under one
    #[arg(long, value_name = "FILE", env = "SYNOD_MEMBER_PASSWORD_FILE")]
    member_password_file: Option<PathBuf>,
}

impl Standing {
    /// Asks the node.
    ///
    /// # Errors
    /// When none answers, or no committee orders its network.
    pub(super) fn ask(context: &Context) -> Outcome<Self> {
        let session = context.session()?;
        let view = session.node.validators().settle()?;
        Self::of(session, view)
    }

    fn of(session: Session, view: CommitteeView) -> Outcome<Self> {
        let model = Ordering::from_name(&view.ordering).and_then(fault_model).ok_or_else(|| {
            Failure::failed("unknown_ordering", format!("this program does not know {:?}", view.ordering))
        })?;
        let member = |member: MemberView| Member {
            name: member.name,
            key: member.key,
            incarnation: member.incarnation,
        };
        let record = EpochRecord {
            epoch: Epoch(view.epoch),
            ordering: view.ordering,
            model,
            base: view.base,
            members: view.members.into_iter().map(member).collect(),
        };
        let quorum = view.quorum as usize;
        Ok(Self { session, record, quorum })
    }

    /// Asks it for what a quorum knows: of a committee that has ended since, a member that lags still speaks as of the
    /// present one.
    ///
    /// # Errors
    /// As [`Standing::ask`], and when no quorum says where it stands.
    pub(super) fn ask_quorum(context: &Context) -> Outcome<Self> {
        let begun = Instant::now();
        loop {
            let session = context.session()?;
            let known = session.node.read_index().settle()?.height;
            let view = session.node.validators().settle()?;
            if view.height >= known && !view.ends {
                return Self::of(session, view);
            }
            if begun.elapsed() > PATIENCE {
                let message = format!("epoch {} has ended, and the next one does not begin", view.epoch);
                return Err(Failure::failed("epoch_ends", message).hint("try again"));
            }
            std::thread::sleep(PAUSE);
        }
    }

    pub(super) fn genesis(&self) -> B256 {
        self.session.network.genesis_hash
    }

    /// The index of a member by its name, or by that index.
    pub(super) fn find(&self, name: &str) -> Outcome<usize> {
        let members = &self.record.members;
        let by_name = members.iter().position(|member| member.name == full_name(name) || member.name == name);
        by_name.ok_or_else(|| {
            let known: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            Failure::usage("no_such_member", format!("{name:?} is no member"))
                .hint(format!("the members are {}", known.join(", ")))
        })
    }

    /// The change to these members, if they make a committee.
    pub(super) fn change(&self, members: Vec<Member>) -> Outcome<CommitteeChange> {
        let change =
            CommitteeChange { epoch: self.record.epoch, ordering: self.record.ordering.clone(), members };
        // The height is the block's to know.
        change.follow(&self.record, self.record.base).map_err(|error| refused(&error))?;
        Ok(change)
    }
}

pub(super) fn refused(error: &ChangeError) -> Failure {
    Failure::new(Exit::Refused, "bad_change", error.to_string())
}

/// `node2` for `2`, as the local network's commands have it.
pub(super) fn full_name(name: &str) -> String {
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { format!("node{name}") } else { name.to_owned() }
}

/// The folder of the local network's node with this name.
pub(super) fn folder_of_node(context: &Context, name: &str) -> Outcome<PathBuf> {
    let folder = context.home()?.testnet().join(full_name(name));
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(Failure::usage("no_folder", format!("no local network has a node {name:?}"))
        .hint("--folder names the node's folder, --key its key"))
}

/// The key of the votes of the local network's node with this name.
pub(super) fn key_of_node(context: &Context, name: &str) -> Outcome<PublicKey> {
    let folder = folder_of_node(context, name)?;
    let key = identity::open_validator(&folder, true, None)
        .map_err(|error| Failure::failed("validator_key", error.to_string()))?;
    key.map(|key| key.public()).ok_or_else(|| {
        Failure::failed("no_validator_key", format!("{} has no validator.key", folder.display()))
            .hint("--key names the key of its votes")
    })
}

impl Approvers {
    /// Adds the approvals of the members whose keys are at hand.
    pub(super) fn approve(
        &self,
        context: &Context,
        standing: &Standing,
        signed: &mut SignedChange,
    ) -> Outcome<()> {
        let testnet = standing.session.network.testnet;
        let password = self.password()?;
        let folders = match self.folders.is_empty() && testnet {
            true => local_folders(context)?,
            false => self.folders.clone(),
        };
        for folder in folders {
            let failed = |message: String| Failure::failed("validator_key", message);
            let key: Option<SecretKey> = identity::open_validator(&folder, testnet, password.as_ref())
                .map_err(|error| failed(error.to_string()))?;
            let Some(key) = key else {
                return Err(failed(format!("{} has no validator.key", folder.display())));
            };
            let is_member = signed.approve(&standing.record, standing.genesis(), &key);
            if !is_member && !self.folders.is_empty() {
                return Err(failed(format!("{} holds the key of no member", folder.display())));
            }
        }
        Ok(())
    }

    fn password(&self) -> Outcome<Option<Password>> {
        let Some(path) = &self.member_password_file else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
        Ok(Some(Password::new(text.trim_end_matches(['\r', '\n']).to_owned())))
    }
}

/// The folders of the local network's nodes that have a key to vote with.
fn local_folders(context: &Context) -> Outcome<Vec<PathBuf>> {
    let root = context.home()?.testnet();
    let Ok(entries) = std::fs::read_dir(&root) else { return Ok(Vec::new()) };
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut folders: Vec<PathBuf> =
        folders.filter(|folder| folder.join(identity::VALIDATOR_KEY_FILE).is_file()).collect();
    folders.sort();
    Ok(folders)
}

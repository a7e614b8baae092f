//! Starting a node's ordering under a committee.

use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::bounded;
use synod_consensus::committee::{Committee, EpochRecord, History, RecordError, Signer};
use synod_consensus::pbft::{Config, Limits, Pbft, Record};
use synod_consensus::{Durable, Replica};
use synod_ledger::log::{LogOptions, Salt};
use synod_types::{BlockHash, Genesis, Height, SecretKey, Slot};
use tokio::sync::watch;

use super::certificates::Certificates;
use super::execution::Executor;
use super::fetch::{Fetching, QUESTIONS, Serving};
use super::members::Members;
use super::outlet::CommitteeOutlet;
use super::side::CommitteeSide;
use super::wire::{Payloads, Reader, Writer, voice};
use crate::driver::chain::Chain;
use crate::driver::execution::{COMMAND_QUEUE, Desk, Execution, Group};
use crate::driver::history::NodeDisk;
use crate::driver::ordering::{Inbox, Inputs, Ordering};
use crate::driver::records::DiskRecords;
use crate::driver::start::{NodeError, Parts, Running, open_disk, prove_through, random};

/// Certificates are small, and few a second are written.
const CERTIFICATES_SEGMENT: u32 = 1 << 20;

/// The first committee of a network.
///
/// # Errors
/// [`RecordError`], with the arithmetic.
pub(in crate::driver) fn of(genesis: &Genesis) -> Result<Option<Committee>, RecordError> {
    EpochRecord::first(genesis).map(|record| Committee::new(genesis.hash(), record)).transpose()
}

/// Begins the memory of a new member's folder: what it has promised so far is nothing. Whoever makes a network
/// does this once for each folder. A node never does it by itself: where the memory is gone, nobody knows what
/// the member promised, and it must not vote (GEN-3).
///
/// # Errors
/// [`NodeError`].
pub fn begin_member(folder: &Path) -> Result<(), NodeError> {
    let votes = open_disk(&folder.join("votes"), true)?;
    let (journal, _) =
        DiskRecords::<_, Record>::open(votes, LogOptions::votes(Salt(random()?)), |records| records)?;
    journal.begin()?;
    Ok(())
}

/// The journal: a member's own, or that of a node which only follows and whose votes nobody waits for.
fn open_journal(
    folder: &Path,
    sync: bool,
    signer: &mut Option<Signer>,
) -> Result<(DiskRecords<NodeDisk, Record>, Vec<Record>), NodeError> {
    if signer.is_none() {
        tracing::warn!("validator.key is no member's key: this node follows the committee and does not vote");
    } else if !folder.join("votes").is_dir() {
        tracing::error!(
            "votes/ is missing: what this member promised is not known, so that it follows and does not vote"
        );
        *signer = None;
    }
    let name = if signer.is_some() { "votes" } else { "follower" };
    let disk = open_disk(&folder.join(name), sync)?;
    Ok(DiskRecords::open(disk, LogOptions::votes(Salt(random()?)), |records| records)?)
}

/// Starts it.
///
/// # Errors
/// [`NodeError`].
pub(in crate::driver) fn start(
    parts: Parts<'_>,
    validator: Option<SecretKey>,
    inputs: Inputs<Pbft>,
    inbox: Inbox<Pbft>,
) -> Result<Running, NodeError> {
    let Parts { config: node, genesis, stores, clock, network, chain, door, .. } = parts;
    let committee = of(genesis)?.ok_or(NodeError::Ordering(genesis.ordering))?;
    let record = committee.record().clone();
    let head = stores.ledger.head();

    let disk = open_disk(&node.folder.join("certificates"), node.storage.sync)?;
    let options = LogOptions {
        segment_bytes: CERTIFICATES_SEGMENT,
        step_bytes: CERTIFICATES_SEGMENT,
        ..LogOptions::votes(Salt(random()?))
    };
    let (certificates, waiting) = Certificates::open(disk, options).map_err(NodeError::Certificates)?;
    let mut signer = voice(&committee, validator);
    let (journal, records) = open_journal(&node.folder, node.storage.sync, &mut signer)?;
    let limits = Limits {
        batch_bytes: Limits::default().batch_bytes.min(genesis.limits.block_bytes as usize),
        batch_transactions: Limits::default()
            .batch_transactions
            .min(genesis.limits.block_transactions as usize),
        ..Limits::default()
    };
    let validity = Arc::new(Payloads { door: Arc::clone(door), limits: genesis.limits.clone() });
    let config = Config { committee: committee.clone(), signer, validity, limits };
    let newest = certificates.newest().filter(|certificate| certificate.verify(&committee).is_ok());
    if let Some(certificate) = &newest {
        chain.certified(certificate.statement.height);
    }
    let history = History {
        executed: Slot(head.height().0 - record.base.0),
        block_hash: head.hash,
        uncertified: uncertified(
            chain,
            newest.as_ref().map_or(record.base, |one| one.statement.height),
            head.height(),
        ),
        certificate: newest,
        has_ended: false,
    };
    let replica = Replica::recover(
        config.clone(),
        records,
        history,
        &Durable::proven_by(&journal),
        u64::from_be_bytes(random::<8>()?),
        clock.now(),
        clock.wall(),
    );
    let (status, status_watch) = watch::channel(replica.status());
    let (commands, command_queue) = bounded(COMMAND_QUEUE);
    let (fetches, goals) = bounded(1);
    let (questions, asked) = bounded(QUESTIONS);
    let members = Members::new(committee.clone());
    let own = config.signer.as_ref().map(|signer| &record.members[usize::from(signer.index().0)].key);
    let proposer = own.map(synod_types::address::address_of).unwrap_or_default();

    let execution = Execution {
        desk: Desk {
            ledger: stores.ledger,
            chain: Arc::clone(chain),
            door: Arc::clone(door),
            answers: inputs.answers.clone(),
            clock,
            group: Group::default(),
        },
        worker: Executor {
            proposer,
            fee_recipient: node.mining.reward_to.unwrap_or(proposer),
            base: record.base,
            epoch: record.epoch,
        },
        commands: command_queue,
        stop: parts.stop.clone(),
    };
    let ordering = Ordering {
        replica,
        journal,
        outlet: CommitteeOutlet {
            writer: Writer { network: network.clone(), members: members.clone() },
            commands: commands.clone(),
            fetches,
            chain: Arc::clone(chain),
            certificates: certificates.clone(),
            door: Arc::clone(door),
            stop: parts.stop.clone(),
        },
        inbox,
        clock,
        status,
        stop: parts.stop.clone(),
    };
    let side = CommitteeSide {
        committee,
        certificates: certificates.clone(),
        members: members.clone(),
        own: config.me(),
    };
    let reader = Reader {
        events: parts.events,
        network: network.clone(),
        members,
        heights: parts.peers.clone(),
        config,
        ordering: inputs.network.clone(),
        transactions: Arc::clone(door),
        questions,
        newest: {
            let certificates = certificates.clone();
            Box::new(move || certificates.newest())
        },
    };
    let serving = Serving { questions: asked, chain: Arc::clone(chain), stop: parts.stop.clone() };
    let fetching = Fetching {
        goals,
        chain: Arc::clone(chain),
        network: network.clone(),
        heights: parts.peers.clone(),
        commands: commands.clone(),
        runtime: tokio::runtime::Handle::current(),
        stop: parts.stop.clone(),
    };
    let threads = vec![
        execution.spawn().map_err(NodeError::System)?,
        ordering.spawn().map_err(NodeError::System)?,
        reader.spawn().map_err(NodeError::System)?,
        serving.spawn().map_err(NodeError::System)?,
        fetching.spawn().map_err(NodeError::System)?,
        certificates.spawn(waiting, parts.stop.clone()).map_err(NodeError::System)?,
    ];
    // Nothing is ever mined on: the sender goes at once.
    let base = watch::channel(None).1;
    Ok(Running {
        status: status_watch,
        prove: prove_through(commands),
        mining: None,
        committee: Some(side),
        base,
        threads,
    })
}

/// The blocks above `certified`, which are to be attested again.
fn uncertified(chain: &Chain<NodeDisk>, certified: Height, tip: Height) -> Vec<BlockHash> {
    (certified.0 + 1..=tip.0).filter_map(|height| chain.hash_at(Height(height))).collect()
}

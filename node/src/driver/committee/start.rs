//! Starting a node's ordering under a committee.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use crossbeam_channel::bounded;
use synod_consensus::agreement::Agreement;
use synod_consensus::committee::{Certificate, Committee, EpochRecord, RecordError, Succession};
use synod_ledger::log::{LogOptions, Salt};
use synod_ledger::snapshot::Snapshots;
use synod_types::{Genesis, Height, SecretKey};
use tokio::sync::watch;

use super::begin::{Beginner, Begun};
use super::certificates::Certificates;
use super::epoch::{Current, Epochs, Now};
use super::evidence::EvidenceFolder;
use super::execution::Executor;
use super::fetch::{Fetching, QUESTIONS, Serving};
use super::outlet::CommitteeOutlet;
use super::proof::Proof;
use super::reads::Reads;
use super::side::CommitteeSide;
use super::snapshots::Making;
use super::wire::{Reader, Writer};
use crate::driver::chain::Chain;
use crate::driver::execution::{COMMAND_QUEUE, Desk, Execution, Group};
use crate::driver::history::NodeDisk;
use crate::driver::ordering::{Inbox, Inputs, Ordering};
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

/// Starts it.
///
/// # Errors
/// [`NodeError`].
pub(in crate::driver) fn start(
    parts: Parts<'_>,
    validator: Option<SecretKey>,
    inputs: Inputs<Agreement>,
    inbox: Inbox<Agreement>,
) -> Result<Running, NodeError> {
    let Parts { config: node, genesis, stores, clock, network, chain, door, .. } = parts;
    let disk = open_disk(&node.folder.join("certificates"), node.storage.sync)?;
    let options = LogOptions {
        segment_bytes: CERTIFICATES_SEGMENT,
        step_bytes: CERTIFICATES_SEGMENT,
        ..LogOptions::votes(Salt(random()?))
    };
    let (certificates, waiting) = Certificates::open(disk, options).map_err(NodeError::Certificates)?;
    let snapshots = stores.snapshots.ok_or(NodeError::Ordering(genesis.ordering))?;
    let inherited = inherited(chain, &snapshots, &certificates)?;
    let epochs = Epochs::new(Arc::clone(chain), certificates.clone(), inherited);
    let beginner = Beginner {
        folder: node.folder.clone(),
        sync: node.storage.sync,
        validator: validator.clone(),
        genesis: genesis.clone(),
        chain: Arc::clone(chain),
        certificates: certificates.clone(),
        epochs: epochs.clone(),
        door: Arc::clone(door),
        clock,
    };
    let (committee, has_ended) = beginner.standing()?;
    if let Some(certificate) = certificates.newest() {
        chain.certified(certificate.statement.height);
    }
    let Begun { config, replica, memory } = beginner.begin(&committee, has_ended)?;
    let now = Now::new(Current::new(config, inputs.network.clone()));
    let (status, status_watch) = watch::channel(replica.status());
    let (commands, command_queue) = bounded(COMMAND_QUEUE);
    let (fetches, goals) = bounded(1);
    let (questions, asked) = bounded(QUESTIONS);
    let own = validator.map(|key| key.public());
    let proposer = own.as_ref().map(synod_types::address::address_of).unwrap_or_default();
    let kept = EvidenceFolder::of(&node.folder);
    let writer = Writer { network: network.clone(), now: now.clone() };

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
            record: record_at_tip(chain)?,
        },
        commands: command_queue,
        stop: parts.stop.clone(),
    };
    let ordering = Ordering {
        replica,
        journal: Some(memory),
        outlet: CommitteeOutlet {
            writer: writer.clone(),
            commands: commands.clone(),
            fetches,
            chain: Arc::clone(chain),
            certificates: certificates.clone(),
            door: Arc::clone(door),
            kept: kept.clone(),
            stop: parts.stop.clone(),
        },
        inbox,
        clock,
        status,
        stop: parts.stop.clone(),
        successor: beginner.successor(now.clone(), writer.clone()),
    };
    let side = CommitteeSide {
        now: now.clone(),
        epochs: epochs.clone(),
        certificates: certificates.clone(),
        kept,
        reads: Reads::new(now.clone(), epochs.clone(), Arc::clone(chain), network.clone()),
    };
    let reader = Reader {
        events: parts.events,
        network: network.clone(),
        now,
        epochs: epochs.clone(),
        shown: BTreeMap::new(),
        heights: parts.peers.clone(),
        transactions: Arc::clone(door),
        questions,
    };
    let serving = Serving {
        questions: asked,
        chain: Arc::clone(chain),
        snapshots: Arc::clone(&snapshots),
        stop: parts.stop.clone(),
    };
    let making = NonZeroU64::new(node.sync.snapshot_every).map(|every| Making {
        every,
        snapshots: Arc::clone(&snapshots),
        chain: Arc::clone(chain),
        certificates: certificates.clone(),
        epochs: epochs.clone(),
        stop: parts.stop.clone(),
    });
    let fetching = Fetching {
        goals,
        chain: Arc::clone(chain),
        network: network.clone(),
        heights: parts.peers.clone(),
        commands: commands.clone(),
        snapshots,
        sync: node.sync.clone(),
        runtime: tokio::runtime::Handle::current(),
        stop: parts.stop.clone(),
    };
    tokio::spawn(writer.keep_saying(Arc::clone(chain), parts.stop.clone()));
    let mut threads = vec![
        execution.spawn().map_err(NodeError::System)?,
        ordering.spawn().map_err(NodeError::System)?,
        reader.spawn().map_err(NodeError::System)?,
        serving.spawn().map_err(NodeError::System)?,
        fetching.spawn().map_err(NodeError::System)?,
        certificates.spawn(waiting, parts.stop.clone()).map_err(NodeError::System)?,
    ];
    if let Some(making) = making {
        threads.push(making.spawn().map_err(NodeError::System)?);
    }
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

/// What a node whose log begins at a snapshot knows of the epochs before it; the certificate that proves it is among
/// this node's own from now on.
fn inherited(
    chain: &Chain<NodeDisk>,
    snapshots: &Snapshots<NodeDisk>,
    certificates: &Certificates<NodeDisk>,
) -> Result<Vec<Succession>, NodeError> {
    let base = chain.reader().base();
    if base == Height(0) {
        return Ok(Vec::new());
    }
    let proof = snapshots.proof(base).map_err(|error| NodeError::Snapshots(error.into()))?;
    let Some(Proof { ends, certificate, .. }) = Proof::from_bytes(&proof) else {
        let problem = "what proves the snapshot that blocks/ begins at is damaged: remove blocks/, index/ and \
                       snapshots/, and the node syncs anew";
        return Err(NodeError::Damaged(problem.to_owned()));
    };
    let is_newer = |newest: &Certificate| newest.statement.height >= certificate.statement.height;
    if !certificates.newest().as_ref().is_some_and(is_newer) {
        certificates.secure(&certificate).map_err(NodeError::Certificates)?;
    }
    Ok(ends)
}

fn record_at_tip(chain: &Chain<NodeDisk>) -> Result<EpochRecord, NodeError> {
    let reader = chain.reader();
    reader.record_after(&reader.head()).ok_or(NodeError::Ordering(reader.genesis().ordering))
}

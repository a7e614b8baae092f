//! Starting a node's ordering under proof of work.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use synod_consensus::pow::{self, History, Limits, ProofOfWork, Rules};
use synod_consensus::{Durable, Replica};
use synod_ledger::log::{LogOptions, Salt};
use tokio::sync::watch;

use super::backend::MiningSide;
use super::execution::mining::Mining;
use super::execution::{COMMAND_QUEUE, Desk, Execution, Group};
use super::mining::OwnMiner;
use super::ordering::{Inbox, Inputs, Ordering};
use super::outlet::PowOutlet;
use super::records::DiskRecords;
use super::start::{NodeError, Parts, Running, open_disk, prove_through, random};
use super::wire::{Reader, TipBits, Writer};
use crate::config::Config;

/// Starts it.
///
/// # Errors
/// [`NodeError`].
pub(super) fn start(
    parts: Parts<'_>,
    inputs: Inputs<ProofOfWork>,
    inbox: Inbox<ProofOfWork>,
) -> Result<Running, NodeError> {
    let Parts { config, genesis, stores, clock, .. } = parts;
    let undone = stores.blocks.undone()?;
    let votes_disk = open_disk(&config.folder.join("votes"), config.storage.sync)?;
    let (journal, records) = DiskRecords::open(votes_disk, LogOptions::votes(Salt(random()?)), |records| {
        pow::live_records(records, &Limits::default())
    })?;
    let block = synod_ledger::execution::genesis_block(genesis);
    let pow_config = pow::Config {
        rules: Rules::new(&genesis.pow, &block.header)?,
        limits: Limits::default(),
        mines: true,
    };
    let replica = Replica::recover(
        pow_config.clone(),
        records,
        History { chain: parts.headers, undone },
        &Durable::proven_by(&journal),
        u64::from_be_bytes(random::<8>()?),
        clock.now(),
        clock.wall(),
    );
    let (status, status_watch) = watch::channel(replica.status());
    let (commands, command_queue) = crossbeam_channel::bounded(COMMAND_QUEUE);
    let (base, base_watch) = watch::channel(None);
    let templates = Arc::default();
    let reversals = Arc::new(AtomicU64::new(0));
    let tip_bits = TipBits::default();
    let miner = own_miner(config, &inputs.answers)?;

    let execution = Execution {
        desk: Desk {
            ledger: stores.ledger,
            chain: Arc::clone(parts.chain),
            door: Arc::clone(parts.door),
            answers: inputs.answers.clone(),
            clock,
            group: Group::default(),
        },
        worker: Mining {
            blocks: stores.blocks,
            base,
            templates: Arc::clone(&templates),
            reward_to: config.mining.enabled.then_some(config.mining.reward_to).flatten(),
        },
        commands: command_queue,
        stop: parts.stop.clone(),
    };
    let ordering = Ordering {
        replica,
        journal: Some(journal),
        outlet: PowOutlet {
            writer: Writer { network: parts.network.clone(), peers: parts.peers.clone() },
            commands: commands.clone(),
            miner: miner.clone(),
            tip_bits: tip_bits.clone(),
            reversals: reversals.clone(),
        },
        inbox,
        clock,
        status,
        stop: parts.stop.clone(),
        successor: Box::new(|_| None),
    };
    let reader = Reader {
        events: parts.events,
        network: parts.network.clone(),
        peers: parts.peers.clone(),
        config: pow_config,
        tip_bits,
        ordering: inputs.network,
        transactions: Arc::clone(parts.door),
    };
    let threads = vec![
        execution.spawn().map_err(NodeError::System)?,
        ordering.spawn().map_err(NodeError::System)?,
        reader.spawn().map_err(NodeError::System)?,
    ];
    Ok(Running {
        status: status_watch,
        prove: prove_through(commands.clone()),
        mining: Some(MiningSide { answers: inputs.answers, commands, templates, miner, reversals }),
        committee: None,
        base: base_watch,
        threads,
    })
}

fn own_miner(
    config: &Config,
    answers: &crossbeam_channel::Sender<synod_consensus::Input<ProofOfWork>>,
) -> Result<Option<Arc<OwnMiner>>, NodeError> {
    if !config.mining.enabled {
        return Ok(None);
    }
    let salt = u32::from_be_bytes(random::<4>()?);
    Ok(Some(Arc::new(OwnMiner::start(config.mining.threads, salt, answers.clone())?)))
}

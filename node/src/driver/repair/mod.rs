//! A node whose block log is damaged in its middle. Under proof of work it repairs the log from peers before it
//! does anything else, as follows; under a committee it has a shorter way ([`cut`]).
//!
//! While it does, nothing of the chain is served or taken: RPC answers `not_ready` with a sentence that says how
//! far the repair is and what it waits for, `/ready` answers 503 with the same, and peers that ask for blocks are
//! told that there are none. It ends when the log is whole; as long as no peer has what was lost it goes on
//! asking, and says what its owner can do.
//!
//! [`search`] finds out what is lost and whom to ask, [`walk`] the lost blocks' hashes from headers. What came is written back in place where the frames' chain
//! of hashes confirms every byte. Where it does not (a lost frame held a block that had left the chain, which
//! nobody has any more) the chain is copied into a new folder, which then takes the old one's place
//! (`synod_ledger::log::blocks`).

mod backend;
pub(super) mod cut;
mod search;
mod walk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use synod_consensus::pow::{Message, Rules};
use synod_ledger::disk::RealFolders;
use synod_ledger::execution::genesis_block;
use synod_ledger::log::LogOptions;
use synod_ledger::log::blocks::{DamagedBlockLog, Tip, begin_copy, replace_by_copy};
use synod_types::{Genesis, Height, SecretKey};
use tokio::sync::watch;

use super::history::NodeDisk;
use super::start::{BLOCKS, NodeError, network_config, open_disk};
use crate::config::Config;
use crate::home::Home;
use crate::network::{self, Class, Demerit, Network, NetworkEvent, Verdict};
use crate::rpc::{RpcConfig, RpcServer};
use crate::web::{Readiness, WebServer};
use backend::RepairBackend;
use search::{Held, Search};

/// How often time-outs are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How often, at most, progress is logged.
const LOG_PAUSE: Duration = Duration::from_secs(5);

/// What a repair works with.
pub(super) struct Repair<'a> {
    pub(super) config: &'a Config,
    pub(super) home: &'a Home,
    pub(super) genesis: &'a Genesis,
    pub(super) key: &'a SecretKey,
    /// For what is written.
    pub(super) options: LogOptions,
}

impl Repair<'_> {
    /// Repairs the log. When this returns, it opens whole.
    ///
    /// # Errors
    /// The disk's, or a listener's. What peers do is no error: the repair waits.
    pub(super) async fn run(self, mut log: DamagedBlockLog<NodeDisk>) -> Result<(), NodeError> {
        for lost in log.lost() {
            let (segment, byte) = lost.at;
            tracing::error!(
                segment, byte, frames = lost.frames, after = ?lost.after.map(|tip| tip.height),
                "the block log is damaged in its middle; nothing of it is served until it is repaired from peers"
            );
        }
        self.home.write_pid()?;
        let limit = Rules::new(&self.genesis.pow, &genesis_block(self.genesis).header)?.limit();
        let mut search = Search::new(log.tip(), limit, &log);
        let (sentence, said) = watch::channel(self.sentence(&search));
        let mut registry = Registry::default();
        let (network, mut events) =
            network::start(network_config(self.config, self.genesis, self.key)?, &mut registry).await?;
        let backend = Arc::new(RepairBackend::new(self.config, self.genesis, network.clone(), said.clone()));
        let rpc_config =
            RpcConfig { cors: self.config.rpc.cors.clone(), ..RpcConfig::new(self.config.rpc.listen) };
        let rpc = RpcServer::start(rpc_config, backend).await?;
        let readiness: Readiness = Arc::new(move || Some(said.borrow().clone()));
        let web = WebServer::start(self.config.web.listen, Arc::new(registry), readiness).await?;

        let (mut ticks, mut logged) = (tokio::time::interval(TICK), None::<Instant>);
        while !search.is_complete() {
            let now = tokio::select! {
                event = events.recv() => {
                    let Some(event) = event else { return Err(NodeError::Damaged("the network ended".to_owned())) };
                    take(&mut search, &log, &network, event);
                    Instant::now()
                }
                _ = ticks.tick() => {
                    let now = Instant::now();
                    search.tick(&log, now);
                    now
                }
            };
            if search.is_too_much() {
                let hint =
                    "more is lost than a repair is for: remove blocks/ and index/, and the node syncs anew";
                return Err(NodeError::Damaged(hint.to_owned()));
            }
            for (peer, demerit) in search.take_blamed() {
                tracing::warn!(%peer, ?demerit, "a peer did not help with the repair as it should");
                network.demote(peer, demerit);
            }
            for (peer, message) in search.take_outgoing() {
                // What a full queue drops is asked for again after its time-out.
                network.send(peer, Class::Vote, message.to_bytes().into());
            }
            let changed = sentence.send_if_modified(|said| {
                let now = self.sentence(&search);
                let changed = *said != now;
                *said = now;
                changed
            });
            if changed && logged.is_none_or(|at| now.duration_since(at) >= LOG_PAUSE) {
                logged = Some(now);
                tracing::warn!("{}", *sentence.borrow());
            }
        }
        network.shutdown().await;
        rpc.stop().await;
        web.stop().await;
        if log.repair_in_place(search.fetched())? {
            tracing::warn!(fetched = search.fetched().len(), "the block log is repaired in place");
            return Ok(());
        }
        self.replace(log, &search)
    }

    /// How far the repair is; where it cannot go on by itself, what its owner can choose.
    fn sentence(&self, search: &Search) -> String {
        let said = search.sentence();
        if search.needs_help() { format!("{said}. {}", self.choice()) } else { said }
    }

    fn choice(&self) -> String {
        let start = match self.genesis.testnet {
            true => "start another node that has the chain (on a local network: `synod testnet start`)",
            false => "start another node that has the chain",
        };
        let add = match self.config.p2p.peers.len() {
            0 => {
                "name one in p2p.peers of node.toml or with --peer (now there is none) and restart this node"
                    .to_owned()
            }
            peers => format!(
                "add one to the {peers} in p2p.peers of node.toml, or with --peer, and restart this node"
            ),
        };
        format!(
            "Either {start}, or {add}, or, if there is no such node, stop this one and delete blocks/ and index/ in \
             its folder: it then syncs anew. Lost with them are the blocks that no other node has, and the payments \
             and rewards in them (without any other node: the whole chain); keys, wallets and node.toml are not"
        )
    }

    /// Copies the chain and lets the copy take the damaged log's place.
    fn replace(&self, log: DamagedBlockLog<NodeDisk>, search: &Search) -> Result<(), NodeError> {
        let home = RealFolders(self.config.folder.clone());
        let copy = self.config.folder.join(begin_copy(&home, BLOCKS)?);
        let disk = open_disk(&copy, self.config.storage.sync)?;
        log.copy_chain(disk, self.options, search.fetched())?;
        drop(log);
        replace_by_copy(&home, BLOCKS)?;
        tracing::warn!(
            fetched = search.fetched().len(),
            "the block log was written anew without blocks that had left the chain; the damaged one goes when the new one is found whole"
        );
        Ok(())
    }
}

fn take(search: &mut Search, log: &DamagedBlockLog<NodeDisk>, network: &Network, event: NetworkEvent) {
    let now = Instant::now();
    match event {
        NetworkEvent::Connected { peer, address, .. } => {
            tracing::info!(%peer, %address, "peer connected");
            search.connected(peer, log, now);
        }
        NetworkEvent::Disconnected { peer } => search.disconnected(peer, log, now),
        NetworkEvent::Message { from, data } => match Message::from_bytes(&data) {
            Ok(message) => search.message(from, message, log, now),
            Err(error) => {
                tracing::warn!(peer = %from, %error, "a peer sent what is no message");
                network.demote(from, Demerit::Invalid);
            }
        },
        // Nothing can be judged without the chain.
        NetworkEvent::Gossip { id, .. } => network.report(id, Verdict::Ignore),
        NetworkEvent::Request { reply, .. } => reply.refuse(),
    }
}

impl Held for DamagedBlockLog<NodeDisk> {
    fn first_lost(&self, from: Tip) -> Option<Tip> {
        DamagedBlockLog::first_lost(self, from)
    }

    fn kept_below(&self, height: Height) -> Option<Tip> {
        self.lost()
            .iter()
            .filter_map(|lost| lost.after)
            .filter(|tip| tip.height < height)
            .max_by_key(|tip| tip.height)
    }
}

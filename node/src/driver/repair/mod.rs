//! A node whose block log is damaged in its middle: it repairs the log from peers before it does anything else.
//!
//! While it does, nothing of the chain is served or taken: RPC answers `not_ready` with a sentence that says how
//! far the repair is and what it waits for, `/ready` answers 503 with the same, and peers that ask for blocks are
//! told that there are none. It ends when the log is whole; as long as no peer has what was lost it goes on
//! asking.
//!
//! [`search`] finds out what is lost and whom to ask. What came is written back in place where the frames' chain
//! of hashes confirms every byte. Where it does not (a lost frame held a block that had left the chain, which
//! nobody has any more) the chain is copied into a new folder, which then takes the old one's place.

mod backend;
mod search;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use synod_consensus::pow::Message;
use synod_ledger::log::LogOptions;
use synod_ledger::log::blocks::{DamagedBlockLog, Tip};
use synod_types::{Genesis, Height, SecretKey};
use tokio::sync::watch;

use super::history::NodeDisk;
use super::start::{NodeError, network_config, open_disk};
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

/// The copy that takes the damaged log's place.
const COPY_SUFFIX: &str = "copy";
/// Where the damaged log goes then.
const ASIDE_SUFFIX: &str = "aside";

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
        let mut search = Search::new(log.tip(), &log);
        let (sentence, said) = watch::channel(search.sentence());
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
            for (peer, message) in search.take_outgoing() {
                // What a full queue drops is asked for again after its time-out.
                network.send(peer, Class::Vote, message.to_bytes().into());
            }
            let changed = sentence.send_if_modified(|said| {
                let now = search.sentence();
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

    /// Copies the chain and lets the copy take the damaged log's place.
    fn replace(&self, log: DamagedBlockLog<NodeDisk>, search: &Search) -> Result<(), NodeError> {
        let folder = self.config.folder.join("blocks");
        let copy = beside(&folder, COPY_SUFFIX);
        remove(&copy)?;
        let disk = open_disk(&copy, self.config.storage.sync)?;
        log.copy_chain(disk, self.options, search.fetched())?;
        drop(log);
        let aside = beside(&folder, ASIDE_SUFFIX);
        remove(&aside)?;
        rename(&folder, &aside)?;
        rename(&copy, &folder)?;
        sync_parent(&folder)?;
        tracing::warn!(
            fetched = search.fetched().len(), aside = %aside.display(),
            "the block log was written anew without blocks that had left the chain; the damaged one is set aside"
        );
        Ok(())
    }
}

/// Finishes or clears away what a crash left of a replacement: call it before the log is opened.
///
/// # Errors
/// [`NodeError::Folder`].
pub(super) fn finish_replacement(folder: &Path) -> Result<(), NodeError> {
    let copy = beside(folder, COPY_SUFFIX);
    if !copy.exists() {
        return Ok(());
    }
    if folder.exists() {
        // The copy may be cut short; the damaged log is all there, and is repaired again.
        return remove(&copy);
    }
    rename(&copy, folder)?;
    sync_parent(folder)
}

fn take(search: &mut Search, log: &DamagedBlockLog<NodeDisk>, network: &Network, event: NetworkEvent) {
    let now = Instant::now();
    match event {
        NetworkEvent::Connected { peer, address, .. } => {
            tracing::info!(%peer, %address, "peer connected");
            search.connected(peer, log, now);
        }
        NetworkEvent::Disconnected { peer } => search.disconnected(peer, log, now),
        NetworkEvent::Message { from, data } => {
            let honest = match Message::from_bytes(&data) {
                Ok(message) => search.message(from, message, log, now),
                Err(_) => false,
            };
            if !honest {
                tracing::warn!(peer = %from, "a peer sent a body or headers that are not what they claim to be");
                network.demote(from, Demerit::Invalid);
            }
        }
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

fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    folder.with_file_name(name)
}

fn remove(folder: &Path) -> Result<(), NodeError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(folder, &error)),
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), NodeError> {
    std::fs::rename(from, to).map_err(|error| failed(from, &error))
}

fn sync_parent(folder: &Path) -> Result<(), NodeError> {
    let parent = folder.parent().unwrap_or(Path::new("."));
    std::fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| failed(parent, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> NodeError {
    NodeError::Folder { path: path.to_owned(), problem: error.to_string() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_amid_a_replacement_leaves_one_whole_log() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("blocks");
        let (copy, aside) = (beside(&folder, COPY_SUFFIX), beside(&folder, ASIDE_SUFFIX));
        let write = |folder: &Path, text: &str| {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join("marker"), text).unwrap();
        };
        finish_replacement(&folder).unwrap();
        // While the copy was being written.
        write(&folder, "damaged");
        write(&copy, "half");
        finish_replacement(&folder).unwrap();
        assert!(!copy.exists());
        assert_eq!(std::fs::read_to_string(folder.join("marker")).unwrap(), "damaged");
        // Between the two renames.
        std::fs::rename(&folder, &aside).unwrap();
        write(&copy, "whole");
        finish_replacement(&folder).unwrap();
        assert_eq!(std::fs::read_to_string(folder.join("marker")).unwrap(), "whole");
        assert!(aside.exists() && !copy.exists());
    }
}

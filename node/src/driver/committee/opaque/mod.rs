//! A member of a committee that orders bytes and executes nothing: what the ordering alone carries.
//!
//! Everything on the way to a decision is a node's own: the direct streams, the checks off the ordering thread, the
//! ordering thread and its journal, the bodies that votes stand on, attestations and certificates. Only the ledger is
//! missing: a decided payload is appended to a log of its own and synced, and its hash in a chain of hashes is what
//! members attest. Where members may lie, a call is answered with the certificate; where they only crash, once its
//! payloads are decided and durable at the member that answers. Nothing serves old payloads: a member that fell far behind
//! goes on after a certificate, and its log says how many slots it has not got. Nothing of this is for money: it starts
//! only on test networks whose listeners are all on loopback.
//!
//! - [`desk`]: what waits, what is on its way, and who is to hear of it. [`log`]: the thread that appends.

mod desk;
mod log;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use alloy_primitives::Bytes;
use crossbeam_channel::{Sender, TrySendError, bounded};
use prometheus_client::registry::Registry;
use synod_consensus::agreement::{Agreement, Config as Rules};
use synod_consensus::committee::{Certificate, Event, History, Job, MemberIndex, Outcome, Payload, Validity};
use synod_consensus::{Durable, Effect, Input, Replica};
use synod_ledger::log::{LogOptions, Salt};
use synod_types::{Epoch, Height};
use tokio::sync::watch;

use self::desk::{Desk, Front, PAYLOAD_BYTES};
pub use self::log::ordered_log;
use self::log::{Errand, Scribe};
use super::certificates::Certificates;
use super::epoch::{Current, Known, Now};
use super::fetch::QUESTIONS;
use super::memory::{Memory, Opened};
use super::wire::{Reader, Writer};
use crate::config::Config;
use crate::driver::clock::Clock;
use crate::driver::history::NodeDisk;
use crate::driver::ordering::{self, Ordering, Outlet};
use crate::driver::peers::PeerTable;
use crate::driver::start::{NodeError, network_config, open_disk, random};
use crate::driver::stop::{Reason, Stop};
use crate::driver::wire::TransactionDoor;
use crate::home::Home;
use crate::identity;
use crate::network::{self, GossipId, Network, PeerName, Verdict};
use crate::rpc::limits::Rate;
use crate::rpc::{RpcConfig, RpcLimits, RpcServer};

/// Errands that may wait for the thread that appends.
const ERRANDS: usize = 256;
/// Bytes of submissions that may be received at a time: a call is answered when its payloads are final.
const BODIES: usize = 128 << 20;
/// How often whoever is on this machine may call (RPC-1): as often as answers come, since that is what is measured.
const RATE: Rate = Rate { per_second: u32::MAX, burst: u32::MAX };

/// The bounds of its RPC: those of a node, but for whom it is there.
fn rpc_limits() -> RpcLimits {
    RpcLimits { bodies_bytes: BODIES, loopback_rate: RATE, ..RpcLimits::default() }
}

/// A running member.
pub struct OpaqueMember {
    stop: Stop,
    home: Home,
    network: Network,
    rpc: RpcServer,
    threads: Vec<JoinHandle<()>>,
}

impl OpaqueMember {
    /// Starts it in the current tokio runtime.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(config: Config) -> Result<Self, NodeError> {
        config.check()?;
        let home = Home::open(&config.folder)?;
        let genesis = home.genesis().clone();
        let listeners = config.p2p.listen.iter().chain([&config.rpc.listen]);
        if !genesis.testnet || !listeners.into_iter().all(|one| one.ip().is_loopback()) {
            let problem = "only a test network on loopback orders opaque bytes".to_owned();
            return Err(NodeError::Folder { path: config.folder, problem });
        }
        let (clock, stop) = (Clock::start(), Stop::new());
        let key = identity::open(&config.folder, genesis.testnet, &random()?, None)?;
        let validator = identity::open_validator(&config.folder, genesis.testnet, None)?;
        let committee = super::of(&genesis)?.ok_or(NodeError::Ordering(genesis.ordering))?;
        let (network, events) =
            network::start(network_config(&config, &genesis, &key)?, &mut Registry::default()).await?;

        let (inputs, inbox) = ordering::queues::<Agreement>();
        let disk = |name: &str| open_disk(&config.folder.join(name), config.storage.sync);
        let salted = || Ok::<_, NodeError>(LogOptions::votes(Salt(random()?)));
        let sync = config.storage.sync;
        let Opened { memory, records, signer } =
            Memory::open(&config.folder, sync, &committee, validator.as_ref())?;
        let (certificates, unwritten) =
            Certificates::open(disk("certificates")?, salted()?).map_err(NodeError::Certificates)?;
        let rules = Rules::new(committee, signer, Arc::new(Framed), &genesis.limits)?;
        // View 0 is member 0's; where leaders are elected nobody begins as one.
        let first = (genesis.ordering == synod_types::genesis::Ordering::Pbft).then_some(MemberIndex(0));
        let now = Now::new(Current::new(rules.clone(), inputs.network));
        let board = inputs.demand.clone();
        let desk = Arc::new(Desk::new(board, clock, rules.me(), first));
        let model = rules.committee().record().model;
        let scribe = Scribe::create(
            disk(log::FOLDER)?,
            Salt(random()?),
            Arc::clone(&desk),
            model,
            inputs.answers.clone(),
        )
        .map_err(|error| NodeError::Folder { path: config.folder.join(log::FOLDER), problem: error })?;
        let replica = Replica::recover(
            rules,
            records,
            History::default(),
            &Durable::proven_by(&memory),
            u64::from_be_bytes(random::<8>()?),
            clock.now(),
            clock.wall(),
        );
        let (status, _) = watch::channel(replica.status());
        let (errands, waiting) = bounded(ERRANDS);
        let (questions, _) = bounded(QUESTIONS);
        let ordering = Ordering {
            replica,
            journal: Some(memory),
            outlet: OpaqueOutlet {
                writer: Writer { network: network.clone(), now: now.clone() },
                errands,
                assembled: None,
                answers: inputs.answers.clone(),
                certificates: certificates.clone(),
                desk: Arc::clone(&desk),
                stop: stop.clone(),
            },
            inbox,
            clock,
            status,
            stop: stop.clone(),
            // Nothing here ends an epoch.
            successor: Box::new(|_| None),
        };
        let front = Arc::new(Front { desk, network: network.clone(), now: now.clone() });
        let reader = Reader {
            events,
            network: network.clone(),
            now,
            epochs: OneEpoch(certificates.clone()),
            shown: BTreeMap::new(),
            heights: PeerTable::default(),
            transactions: NoTransactions(network.clone()),
            questions,
        };
        let threads = vec![
            scribe.spawn(waiting, stop.clone()).map_err(NodeError::System)?,
            ordering.spawn().map_err(NodeError::System)?,
            reader.spawn().map_err(NodeError::System)?,
            certificates.spawn(unwritten, stop.clone()).map_err(NodeError::System)?,
        ];
        let rpc = RpcConfig { limits: rpc_limits(), ..RpcConfig::new(config.rpc.listen) };
        let rpc = RpcServer::start_ordering(rpc, front);
        let rpc = rpc.await?;
        home.write_pid()?;
        Ok(Self { stop, home, network, rpc, threads })
    }

    /// Asks it to end.
    pub fn stopper(&self) -> impl Fn() + Send + 'static {
        let stop = self.stop.clone();
        move || stop.ask()
    }

    /// Runs until it is asked to end or must, and takes it down.
    pub async fn run(self) -> Reason {
        let reason = self.stop.stopped().await;
        // Calls that wait for what is not decided any more must not hold the end up.
        drop(self.rpc);
        self.network.shutdown().await;
        let threads = self.threads;
        // A thread that panicked has printed why.
        let _ =
            tokio::task::spawn_blocking(move || threads.into_iter().for_each(|one| drop(one.join()))).await;
        self.home.remove_pid();
        reason
    }
}

/// A payload is a time and some payloads of the fixed length.
#[derive(Debug)]
struct Framed;

impl Validity for Framed {
    fn check(&self, payload: &Payload) -> Result<(), String> {
        let content = payload.bytes().len().saturating_sub(8);
        let is_whole = content > 0 && content.is_multiple_of(PAYLOAD_BYTES);
        if is_whole { Ok(()) } else { Err(format!("{content} bytes are no whole number of payloads")) }
    }
}

/// Nobody gossips transactions here.
struct NoTransactions(Network);

impl TransactionDoor for NoTransactions {
    fn waiting(&self) -> Vec<Vec<Bytes>> {
        Vec::new()
    }

    fn told(&self, _: PeerName, _: Vec<Bytes>) {}

    fn gossiped(&self, id: GossipId, _from: PeerName, _data: Bytes) {
        self.0.report(id, Verdict::Ignore);
    }
}

/// The one epoch that there is.
struct OneEpoch(Certificates<NodeDisk>);

impl Known for OneEpoch {
    fn newest(&self) -> Option<Certificate> {
        self.0.newest()
    }

    fn tip(&self) -> Height {
        self.newest().map_or(Height(0), |newest| newest.statement.height)
    }

    fn end_of(&self, _: Epoch) -> Option<Certificate> {
        None
    }
}

/// Where effects go.
struct OpaqueOutlet {
    writer: Writer,
    errands: Sender<Errand>,
    /// What was assembled and found no room among the answers.
    assembled: Option<Input<Agreement>>,
    answers: Sender<Input<Agreement>>,
    certificates: Certificates<NodeDisk>,
    desk: Arc<Desk>,
    stop: Stop,
}

impl Outlet<Agreement> for OpaqueOutlet {
    fn carry_out(&mut self, effect: Effect<Agreement>) -> Result<(), Box<Effect<Agreement>>> {
        let errand = match &effect {
            Effect::Append { position, body, digest, .. } => {
                Errand::Append { position: *position, body: body.clone(), digest: digest.unwrap_or_default() }
            }
            Effect::Start(Job::Assemble { max_bytes, max_transactions }) => {
                let (max_bytes, most) = (*max_bytes, *max_transactions);
                return self.assemble(max_bytes, most).map_err(|_| Box::new(effect));
            }
            Effect::Start(Job::Fetch { certificate }) => Errand::Skip { certificate: certificate.clone() },
            _ => {
                self.say(effect);
                return Ok(());
            }
        };
        match self.errands.try_send(errand) {
            Err(TrySendError::Full(_)) => Err(Box::new(effect)),
            // The thread is gone: the member is stopping.
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }
}

impl OpaqueOutlet {
    /// Answers with a payload of what waits. It is made here and now: whoever is asked for one must not wait for a
    /// disk, and what another thread would take to wake is a good part of a lone payload's time.
    ///
    /// # Errors
    /// The answers have no room at the moment.
    fn assemble(&mut self, max_bytes: usize, most: usize) -> Result<(), ()> {
        let desk = &self.desk;
        let made = || Input::Done(Outcome::Assembled(desk.assemble(max_bytes, most)));
        let answer = self.assembled.take().unwrap_or_else(made);
        if let Err(TrySendError::Full(answer)) = self.answers.try_send(answer) {
            self.assembled = Some(answer);
            return Err(());
        }
        // Ordering takes off what it was given from what it heard last, which may be newer.
        self.desk.tell_again();
        Ok(())
    }

    fn say(&self, effect: Effect<Agreement>) {
        match effect {
            Effect::Send { to, message } => self.writer.send(to, message),
            Effect::Broadcast(message) => self.writer.broadcast(message),
            Effect::Accuse { peer, fault } => self.writer.accuse(peer, &fault),
            Effect::Tell(Event::Certified(certificate)) => {
                self.certificates.keep(&certificate);
                self.desk.settled(certificate.statement.height);
            }
            Effect::Tell(Event::Abandoned { digest }) => self.desk.abandoned(digest),
            Effect::Tell(Event::LeaderChanged { view, leader }) => {
                tracing::info!(view, leader, "a view began");
                self.desk.leads(leader);
            }
            Effect::Tell(Event::Caught(evidence)) => {
                tracing::error!(member = %evidence.member, "A MEMBER CONTRADICTED ITSELF");
            }
            Effect::Tell(Event::Diverged { position, .. }) => {
                self.stop.fail(format!("this member and the committee disagree at {position}"));
            }
            _ => {
                self.stop.fail("ordering asked for what no committee does: a bug of this program".to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::rpc_limits;
    use crate::rpc::rate::Rates;

    /// Three members on a fast machine answer more calls than a node takes from one address: a bench that kept 16 in
    /// flight for six seconds was refused.
    #[test]
    fn rpc_1_the_load_of_a_bench_is_never_too_fast() {
        let limits = rpc_limits();
        let rates = Rates::new(limits.rate, limits.loopback_rate);
        assert!((0..2_000_000).all(|_| rates.take(IpAddr::V4(Ipv4Addr::LOCALHOST))));
        let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        assert!(!(0..2_000_000).all(|_| rates.take(elsewhere)), "others have the rate of a node");
    }
}

//! Beginning an epoch: at the node's start, and when the one before it is over.
//!
//! An epoch is over for this node once the block that ended it is durable here and certified. The certificate
//! is written down first: with it, a start knows that the next epoch has begun, and whoever lags can be shown
//! the way. Without it, a start finds the old epoch at its end, says its attestation again and waits.

use std::path::PathBuf;
use std::sync::Arc;

use synod_consensus::agreement::{Agreement, Config};
use synod_consensus::committee::{Certificate, Committee, History};
use synod_consensus::{Durable, Replica};
use synod_types::committee::EpochRecord;
use synod_types::{B256, BlockHash, Genesis, Height, SecretKey, Slot};

use super::certificates::Certificates;
use super::epoch::{Current, Epochs, Now};
use super::memory::{Memory, Opened};
use super::wire::{Payloads, Writer};
use crate::driver::chain::Chain;
use crate::driver::clock::Clock;
use crate::driver::door::Door;
use crate::driver::history::NodeDisk;
use crate::driver::ordering::{NETWORK_QUEUE, Next, Successor};
use crate::driver::start::{NodeError, random};

/// What an epoch begins with.
pub(super) struct Begun {
    pub(super) config: Config,
    pub(super) replica: Replica<Agreement>,
    pub(super) memory: Memory,
}

/// Whoever begins epochs.
pub(super) struct Beginner {
    pub(super) folder: PathBuf,
    pub(super) sync: bool,
    pub(super) validator: Option<SecretKey>,
    pub(super) genesis: Genesis,
    pub(super) chain: Arc<Chain<NodeDisk>>,
    pub(super) certificates: Certificates<NodeDisk>,
    pub(super) epochs: Epochs<NodeDisk>,
    pub(super) door: Arc<Door>,
    pub(super) clock: Clock,
}

impl Beginner {
    fn committee(&self, record: EpochRecord) -> Result<Committee, NodeError> {
        Ok(Committee::new(self.genesis.hash(), record)?)
    }

    /// The committee of the epoch that this node is in, as its disk tells, and whether the tip is that epoch's
    /// last block.
    pub(super) fn standing(&self) -> Result<(Committee, bool), NodeError> {
        let none = || NodeError::Ordering(self.genesis.ordering);
        let reader = self.chain.reader();
        let head = reader.head();
        let next = reader.record_after(&head).ok_or_else(none)?;
        if head.commitment.next_committee == B256::ZERO {
            return Ok((self.committee(next)?, false));
        }
        let ended = self.epochs.record_before(&next).ok_or_else(none)?;
        let ended = self.committee(ended)?;
        let proof = self.epochs.certificate_at(head.height());
        match proof.filter(|proof| proof.verify(&ended).is_ok()) {
            Some(_) => Ok((self.committee(next)?, false)),
            None => Ok((ended, true)),
        }
    }

    /// The ordering of an epoch from where the block log stands.
    pub(super) fn begin(&self, committee: &Committee, has_ended: bool) -> Result<Begun, NodeError> {
        let Opened { memory, records, signer } =
            Memory::open(&self.folder, self.sync, committee, self.validator.as_ref())?;
        let validity = Payloads { door: Arc::clone(&self.door), limits: self.genesis.limits.clone() };
        let config = Config::new(committee.clone(), signer, Arc::new(validity), &self.genesis.limits)?;
        let replica = Replica::recover(
            config.clone(),
            records,
            self.history(committee, has_ended),
            &Durable::proven_by(&memory),
            u64::from_be_bytes(random::<8>()?),
            self.clock.now(),
            self.clock.wall(),
        );
        Ok(Begun { config, replica, memory })
    }

    fn history(&self, committee: &Committee, has_ended: bool) -> History {
        let head = self.chain.reader().head();
        let base = committee.record().base;
        let newest = self.certificates.newest().filter(|newest| newest.verify(committee).is_ok());
        let certified = newest.as_ref().map_or(base, |newest| newest.statement.height);
        History {
            executed: Slot(head.height().0.saturating_sub(base.0)),
            block_hash: head.hash,
            uncertified: self.uncertified(certified, head.height()),
            certificate: newest,
            has_ended,
        }
    }

    /// The blocks above `certified`, which are to be attested again.
    fn uncertified(&self, certified: Height, tip: Height) -> Vec<BlockHash> {
        (certified.0 + 1..=tip.0).filter_map(|height| self.chain.hash_at(Height(height))).collect()
    }

    /// What the ordering thread asks after each step: whether the next epoch begins.
    pub(super) fn successor(self, now: Now, writer: Writer) -> Successor<Agreement, Memory> {
        let beginner = Arc::new(self);
        Box::new(move |replica| {
            let certificate = replica.protocol().end_certificate()?.clone();
            let (beginner, now, writer) = (Arc::clone(&beginner), now.clone(), writer.clone());
            Some(Box::new(move || beginner.succeed(&certificate, &now, &writer)))
        })
    }

    fn succeed(
        &self,
        certificate: &Certificate,
        now: &Now,
        writer: &Writer,
    ) -> Result<Next<Agreement, Memory>, String> {
        self.certificates.secure(certificate).map_err(|error| format!("certificates/: {error}"))?;
        let begun = self.standing().and_then(|(committee, has_ended)| {
            let begun = self.begin(&committee, has_ended)?;
            Ok((committee, begun))
        });
        let (committee, Begun { config, replica, memory }) = begun.map_err(|error| error.to_string())?;
        let (sender, network) = crossbeam_channel::bounded(NETWORK_QUEUE);
        tracing::info!(
            epoch = %committee.epoch(), members = committee.len(), votes = config.signer().is_some(),
            "an epoch begins"
        );
        now.begin(Current::new(config, sender));
        // What the epoch that is over proposed and did not decide, and what it had still to say of that.
        self.door.give_up_offers();
        writer.say_where(self.chain.reader().head().height());
        self.door.tell_ordering();
        Ok(Next { replica, journal: memory, network })
    }
}

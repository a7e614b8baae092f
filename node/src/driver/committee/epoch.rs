//! The epoch that this node is in, as its threads share it.
//!
//! Everything that depends on the committee is in one [`Current`], which is replaced as a whole: whoever checks
//! a message takes the committee, the way into ordering and the table of who speaks for whom from the same one,
//! so that nothing checked under one committee reaches the ordering of another.

use std::sync::{Arc, PoisonError, RwLock};

use crossbeam_channel::Sender;
use synod_consensus::Input;
use synod_consensus::committee::{Certificate, Committee, Succession};
use synod_consensus::pbft::{Config, Pbft};
use synod_ledger::disk::Disk;
use synod_types::committee::EpochRecord;
use synod_types::{Epoch, Height};

use super::certificates::Certificates;
use super::members::Members;
use crate::driver::chain::Chain;

/// What goes with one epoch.
#[derive(Debug)]
pub(super) struct Current {
    /// The committee, and this node's voice in it.
    pub(super) config: Config,
    /// Who speaks for whom.
    pub(super) members: Members,
    /// Into the epoch's ordering.
    pub(super) ordering: Sender<Input<Pbft>>,
}

impl Current {
    pub(super) fn new(config: Config, ordering: Sender<Input<Pbft>>) -> Self {
        let members = Members::new(config.committee.clone());
        Self { config, members, ordering }
    }

    pub(super) fn committee(&self) -> &Committee {
        &self.config.committee
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.config.committee.epoch()
    }

    pub(super) fn hand_on(&self, input: Input<Pbft>) {
        // Ordering is gone when the node stops, or when its epoch is over; then it does not matter any more.
        let _ = self.ordering.send(input);
    }
}

/// The epoch; a clone is the same one, and goes on with it.
#[derive(Debug, Clone)]
pub(super) struct Now(Arc<RwLock<Arc<Current>>>);

impl Now {
    pub(super) fn new(current: Current) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(current))))
    }

    /// The epoch at this moment. It may be over at the next.
    pub(super) fn current(&self) -> Arc<Current> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins the next one.
    pub(super) fn begin(&self, next: Current) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}

/// What was ordered by whom, as far as this node's log and certificates tell.
pub(super) struct Epochs<D: Disk> {
    chain: Arc<Chain<D>>,
    certificates: Certificates<D>,
}

impl<D: Disk> Clone for Epochs<D> {
    fn clone(&self) -> Self {
        Self { chain: Arc::clone(&self.chain), certificates: self.certificates.clone() }
    }
}

impl<D> Epochs<D>
where
    D: Disk + Send + 'static,
    D::File: Send + Sync,
{
    pub(super) fn new(chain: Arc<Chain<D>>, certificates: Certificates<D>) -> Self {
        Self { chain, certificates }
    }

    /// The newest certificate.
    pub(super) fn newest(&self) -> Option<Certificate> {
        self.certificates.newest()
    }

    /// The tip's height.
    pub(super) fn tip(&self) -> Height {
        self.chain.reader().head().height()
    }

    /// The records of all epochs up to the one that goes on above the tip, newest first.
    fn records(&self) -> impl Iterator<Item = EpochRecord> {
        let reader = self.chain.reader();
        let mut next = reader.record_after(&reader.head());
        std::iter::from_fn(move || {
            let record = next.take()?;
            next = reader.record_before(&record).ok().flatten();
            Some(record)
        })
    }

    /// The record of an epoch.
    pub(super) fn record(&self, epoch: Epoch) -> Option<EpochRecord> {
        self.records().find(|record| record.epoch == epoch)
    }

    /// The certificate of the last block of an epoch.
    pub(super) fn end_of(&self, epoch: Epoch) -> Option<Certificate> {
        let next = self.records().take_while(|record| record.epoch > epoch).last()?;
        self.certificate_at(next.base).filter(|_| next.epoch.0 == epoch.0.saturating_add(1))
    }

    /// The certificate of this very block, if it has one of its own.
    pub(super) fn certificate_at(&self, height: Height) -> Option<Certificate> {
        self.certificates.covering(height).filter(|one| one.statement.height == height)
    }

    /// How the committees followed each other up to `epoch`, oldest first; `None` while a certificate is missing.
    pub(super) fn successions(&self, epoch: Epoch) -> Option<Vec<Succession>> {
        let reader = self.chain.reader();
        let prove = |next: EpochRecord| {
            let end = reader.end_before(&next).ok()??;
            let certificate = self.certificate_at(next.base)?;
            let (header, commitment) = (end.block.header, end.block.commitment);
            Some(Succession { header, commitment, certificate, next })
        };
        let later = self.records().filter(|record| record.epoch.0 > 0 && record.epoch <= epoch);
        let mut ends: Vec<Succession> = later.map(prove).collect::<Option<_>>()?;
        ends.reverse();
        Some(ends)
    }
}

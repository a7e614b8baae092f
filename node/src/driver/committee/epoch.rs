//! The epoch that this node is in, as its threads share it.
//!
//! Everything that depends on the committee is in one [`Current`], which is replaced as a whole: whoever checks
//! a message takes the committee, the way into ordering and the table of who speaks for whom from the same one,
//! so that nothing checked under one committee reaches the ordering of another.

use std::sync::{Arc, PoisonError, RwLock};

use crossbeam_channel::Sender;
use synod_consensus::Input;
use synod_consensus::agreement::{Agreement, Config};
use synod_consensus::committee::{Certificate, Committee, Succession};
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
    pub(super) ordering: Sender<Input<Agreement>>,
}

impl Current {
    pub(super) fn new(config: Config, ordering: Sender<Input<Agreement>>) -> Self {
        let members = Members::new(config.committee().clone());
        Self { config, members, ordering }
    }

    pub(super) fn committee(&self) -> &Committee {
        self.config.committee()
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.config.committee().epoch()
    }

    pub(super) fn hand_on(&self, input: Input<Agreement>) {
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

/// What shows those who lag the way.
pub(super) trait Known: Send + 'static {
    /// The newest certificate.
    fn newest(&self) -> Option<Certificate>;
    /// The tip's height.
    fn tip(&self) -> Height;
    /// The certificate of the last block of an epoch.
    fn end_of(&self, epoch: Epoch) -> Option<Certificate>;
}

/// What was ordered by whom, as far as this node's log and certificates tell.
pub(super) struct Epochs<D: Disk> {
    chain: Arc<Chain<D>>,
    certificates: Certificates<D>,
    /// The ends of the epochs whose blocks this node's log does not have, since it begins at a snapshot.
    inherited: Arc<[Succession]>,
}

impl<D: Disk> Clone for Epochs<D> {
    fn clone(&self) -> Self {
        Self {
            chain: Arc::clone(&self.chain),
            certificates: self.certificates.clone(),
            inherited: Arc::clone(&self.inherited),
        }
    }
}

impl<D> Epochs<D>
where
    D: Disk + Send + 'static,
    D::File: Send + Sync,
{
    pub(super) fn new(
        chain: Arc<Chain<D>>,
        certificates: Certificates<D>,
        inherited: Vec<Succession>,
    ) -> Self {
        Self { chain, certificates, inherited: inherited.into() }
    }

    /// The records of all epochs up to the one that goes on above the tip, newest first.
    fn records(&self) -> impl Iterator<Item = EpochRecord> {
        let reader = self.chain.reader();
        let mut next = reader.record_after(&reader.head());
        std::iter::from_fn(move || {
            let record = next.take()?;
            next = self.record_before(&record);
            Some(record)
        })
    }

    /// The record of the epoch before `record`'s; `None` before the first.
    pub(super) fn record_before(&self, record: &EpochRecord) -> Option<EpochRecord> {
        let reader = self.chain.reader();
        let before = Epoch(record.epoch.0.checked_sub(1)?);
        let inherited = || {
            let end = self.inherited.iter().find(|end| end.next.epoch == before);
            end.map(|end| end.next.clone())
                .or_else(|| reader.rules().committee.clone().filter(|first| first.epoch == before))
        };
        reader.record_before(record).ok().flatten().or_else(inherited)
    }

    /// The record of an epoch.
    pub(super) fn record(&self, epoch: Epoch) -> Option<EpochRecord> {
        self.records().find(|record| record.epoch == epoch)
    }

    /// The certificate of this very block, if it has one of its own.
    pub(super) fn certificate_at(&self, height: Height) -> Option<Certificate> {
        let kept = self.certificates.covering(height).filter(|one| one.statement.height == height);
        kept.or_else(|| {
            let end = self.inherited.iter().find(|end| end.next.base == height);
            end.map(|end| end.certificate.clone())
        })
    }

    /// How the committees followed each other up to `epoch`, oldest first; `None` while a certificate is missing.
    pub(super) fn successions(&self, epoch: Epoch) -> Option<Vec<Succession>> {
        let reader = self.chain.reader();
        let prove = |next: EpochRecord| {
            if let Some(end) = self.inherited.iter().find(|end| end.next.epoch == next.epoch) {
                return Some(end.clone());
            }
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

impl<D> Known for Epochs<D>
where
    D: Disk + Send + Sync + 'static,
    D::File: Send + Sync,
{
    fn newest(&self) -> Option<Certificate> {
        self.certificates.newest()
    }

    fn tip(&self) -> Height {
        self.chain.reader().head().height()
    }

    fn end_of(&self, epoch: Epoch) -> Option<Certificate> {
        let next = self.records().take_while(|record| record.epoch > epoch).last()?;
        self.certificate_at(next.base).filter(|_| next.epoch.0 == epoch.0.saturating_add(1))
    }
}

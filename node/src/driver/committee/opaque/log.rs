//! The thread that appends decided payloads to their log: those that wait go into one frame with one sync, and only
//! then ordering hears that they are executed.
//!
//! Members that may lie make that sync at once: what they say of a slot rests on it. Members that only crash have what
//! is decided in the journals of a quorum, this member's among them, from which it would be decided again. Their clients
//! hear as soon as it is executed here, and the log is synced now and then, as a database is behind its own journal;
//! the journal keeps everything until then.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alloy_primitives::{B256, Bytes};
use crossbeam_channel::{Receiver, Sender, select};
use synod_consensus::Input;
use synod_consensus::agreement::Agreement;
use synod_consensus::committee::{Certificate, Outcome};
use synod_ledger::disk::RealDisk;
use synod_ledger::log::{FrameLog, LogError, LogOptions, Opened, Salt, create, open};
use synod_types::committee::FaultModel;
use synod_types::hash::sha256;
use synod_types::{BlockHash, Height, Position, Slot};

use super::desk::Desk;
use crate::driver::history::NodeDisk;
use crate::driver::stop::Stop;

/// The log's folder in the member's.
pub(super) const FOLDER: &str = "ordered";
/// A frame that is longer than this gets no further payload.
const FRAME: usize = 4 << 20;
/// Under members that only crash the log is synced when so many slots wait, ...
const MOST_SLOTS: usize = 8;
/// ... or this long after the first of them came.
const LATEST: Duration = Duration::from_millis(10);
/// For ever, as far as threads that wait are concerned.
const LONG: Duration = Duration::from_secs(3_600);
/// Stands where a payload's length would, before the number of slots whose payloads this member has not got.
const SKIPPED: u32 = u32::MAX;
/// The domain tag of a decided payload's hash in the chain of hashes.
const TAG: &[u8] = b"synod/ordered/v1";

/// What ordering wants done.
pub(super) enum Errand {
    /// Append it.
    Append {
        /// Its place.
        position: Position,
        /// The payload; empty for a slot that was given up.
        body: Bytes,
        /// Its digest; zero for one that is empty.
        digest: B256,
    },
    /// Go on after this certificate.
    Skip {
        /// What it settles.
        certificate: Certificate,
    },
}

/// The thread.
pub(super) struct Scribe {
    log: FrameLog<NodeDisk>,
    desk: Arc<Desk>,
    model: FaultModel,
    answers: Sender<Input<Agreement>>,
    head: B256,
    /// The newest place in the log.
    last: Slot,
    /// The frame that is being filled: for each payload its length, four bytes, and its bytes.
    frame: Vec<u8>,
    written: Vec<(Position, BlockHash)>,
    /// When the first of them came.
    since: Instant,
}

impl Scribe {
    /// Begins a log; there must be none.
    ///
    /// # Errors
    /// The log's, as a sentence.
    pub(super) fn create(
        disk: NodeDisk,
        salt: Salt,
        desk: Arc<Desk>,
        model: FaultModel,
        answers: Sender<Input<Agreement>>,
    ) -> Result<Self, String> {
        let log = create(disk, LogOptions::blocks(salt), 0).map_err(|error| error.to_string())?;
        let (head, last) = (B256::ZERO, Slot(0));
        Ok(Self {
            log,
            desk,
            model,
            answers,
            head,
            last,
            frame: Vec::new(),
            written: Vec::new(),
            since: Instant::now(),
        })
    }

    /// Starts it.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn spawn(mut self, errands: Receiver<Errand>, stop: Stop) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("execution".to_owned()).spawn(move || {
            loop {
                let first = select! {
                    recv(errands) -> errand => errand.ok(),
                    recv(stop.signal()) -> _ => None,
                    default(self.patience()) => {
                        if let Err(error) = self.commit() {
                            return stop.fail(error.to_string());
                        }
                        continue;
                    }
                };
                let is_last = first.is_none();
                let group = first.into_iter().chain(errands.try_iter());
                let done = group.into_iter().try_for_each(|errand| self.carry_out(errand));
                let done = done.and_then(|()| if is_last { self.commit() } else { self.end_group() });
                if let Err(error) = done {
                    return stop.fail(error.to_string());
                }
                if is_last {
                    return;
                }
            }
        })
    }

    fn carry_out(&mut self, errand: Errand) -> Result<(), LogError> {
        match errand {
            Errand::Append { position, body, digest } => {
                self.desk.decided(digest, Height(position.slot.0));
                let place = [position.epoch.0.to_be_bytes(), position.slot.0.to_be_bytes()].concat();
                self.head = sha256(&[TAG, self.head.as_slice(), &place, digest.as_slice()]);
                // A payload is far below 4 GiB.
                self.frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
                self.frame.extend_from_slice(&body);
                if self.written.is_empty() {
                    self.since = Instant::now();
                }
                self.written.push((position, BlockHash(self.head)));
                self.last = position.slot;
                if self.frame.len() > FRAME {
                    self.commit()?;
                }
            }
            Errand::Skip { certificate } => self.skip(&certificate)?,
        }
        Ok(())
    }

    /// Nobody serves old payloads, and nothing depends on them but the count: a quorum has them, as the certificate
    /// says. The log keeps how many slots are missing.
    fn skip(&mut self, certificate: &Certificate) -> Result<(), LogError> {
        self.commit()?;
        let slot = certificate.slot();
        if let Some(missing) = slot.0.checked_sub(self.last.0).filter(|missing| *missing > 0) {
            self.log.append(&[&SKIPPED.to_be_bytes()[..], &missing.to_be_bytes()].concat())?;
            self.log.commit()?;
            self.last = slot;
            self.head = certificate.statement.block_hash.0;
            tracing::warn!(%slot, missing, "fell behind, and goes on after a certificate");
        }
        let position = Position { epoch: certificate.statement.position.epoch, slot: self.last };
        self.answer(Input::Done(Outcome::Installed { position, block_hash: BlockHash(self.head) }));
        Ok(())
    }

    /// A quorum that does not lie has accepted what is executed: its clients wait for nothing more.
    fn settle(&self) {
        if let (FaultModel::Crash, Some((last, _))) = (self.model, self.written.last()) {
            self.desk.settled(Height(last.slot.0));
        }
    }

    /// All errands that waited are carried out.
    fn end_group(&mut self) -> Result<(), LogError> {
        if self.model == FaultModel::Crash {
            self.settle();
            let is_late = self.since.elapsed() >= LATEST;
            if self.written.len() < MOST_SLOTS && !is_late {
                return Ok(());
            }
        }
        self.commit()
    }

    /// How long nothing may come before what waits is synced.
    fn patience(&self) -> Duration {
        if self.written.is_empty() { LONG } else { LATEST.saturating_sub(self.since.elapsed()) }
    }

    fn commit(&mut self) -> Result<(), LogError> {
        if self.written.is_empty() {
            return Ok(());
        }
        self.settle();
        self.log.append(&self.frame)?;
        self.frame.clear();
        self.log.commit()?;
        for (position, block_hash) in std::mem::take(&mut self.written) {
            self.answer(Input::Executed { position, block_hash });
        }
        Ok(())
    }

    fn answer(&self, input: Input<Agreement>) {
        // Ordering is gone only when the member stops.
        let _ = self.answers.send(input);
    }
}

/// Reads the log of a member that has ended, from its folder: each decided slot's payloads, in order. `None` stands
/// for a slot that the member has not got: it went on from a certificate above it.
///
/// # Errors
/// What is wrong with it, or what `each` says.
pub fn ordered_log(
    folder: &Path,
    mut each: impl FnMut(Option<&[u8]>) -> Result<(), String>,
) -> Result<(), String> {
    let disk = RealDisk::open(&folder.join(FOLDER)).map_err(|error| error.to_string())?;
    let log = match open(disk, LogOptions::blocks(Salt([0; 16]))).map_err(|error| error.to_string())? {
        Opened::Whole(log, _) => log,
        Opened::Damaged(damaged) => return Err(format!("damaged: {:?}", damaged.damage())),
    };
    let mut number = log.floor();
    while number < log.next_frame() {
        let frame = log.read(number).map_err(|error| error.to_string())?;
        let mut rest = &frame[..];
        let cut = || format!("frame {number:?} is cut short");
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length);
            if length == SKIPPED {
                let (missing, after) = after.split_first_chunk::<8>().ok_or_else(cut)?;
                (0..u64::from_be_bytes(*missing)).try_for_each(|_| each(None))?;
                rest = after;
                continue;
            }
            let (body, after) = after.split_at_checked(length as usize).ok_or_else(cut)?;
            // A slot that was given up is empty; the others begin with a time.
            each(Some(body.get(8..).unwrap_or_default()))?;
            rest = after;
        }
        number.0 += 1;
    }
    Ok(())
}

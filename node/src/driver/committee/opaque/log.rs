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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use synod_consensus::committee::MemberIndex;
    use synod_types::Epoch;
    use tempfile::TempDir;
    use tokio::sync::oneshot;

    use super::super::desk::PAYLOAD_BYTES;
    use super::*;
    use crate::driver::clock::Clock;
    use crate::driver::committee::fixture::Four;
    use crate::driver::ordering;

    /// A payload as long as one may be: three are longer than a frame.
    const LONG_PAYLOAD: usize = 4_000 * PAYLOAD_BYTES;

    /// A member that leads, its thread's hands, and what they answer to ordering.
    struct Member {
        scribe: Scribe,
        answers: Receiver<Input<Agreement>>,
        slot: u64,
        folder: TempDir,
    }

    impl Member {
        fn of(model: FaultModel) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let disk = NodeDisk::open(&folder.path().join(FOLDER), false).unwrap();
            let (inputs, _) = ordering::queues::<Agreement>();
            let (answer, answers) = crossbeam_channel::bounded(64);
            let own = Some(MemberIndex(0));
            let desk = Arc::new(Desk::new(inputs.demand, Clock::start(), own, own));
            let scribe = Scribe::create(disk, Salt([1; 16]), desk, model, answer).unwrap();
            Self { scribe, answers, slot: 0, folder }
        }

        /// A client hands in a payload of this length, and the next slot decides it.
        fn append(&mut self, length: usize) -> oneshot::Receiver<Height> {
            let told = self.scribe.desk.hand_in(vec![7; length].into()).unwrap();
            let payload = self.scribe.desk.assemble(length + 8, usize::MAX).unwrap();
            self.slot += 1;
            let position = Position { epoch: Epoch(0), slot: Slot(self.slot) };
            let (body, digest) = (payload.bytes().clone(), payload.digest());
            self.scribe.carry_out(Errand::Append { position, body, digest }).unwrap();
            told
        }

        /// The slots that ordering heard to be executed since it was asked last.
        fn executed(&self) -> Vec<u64> {
            let slots = self.answers.try_iter().map(|input| match input {
                Input::Executed { position, .. } => position.slot.0,
                Input::Done(Outcome::Installed { position, .. }) => position.slot.0,
                other => panic!("{other:?}"),
            });
            slots.collect()
        }
    }

    /// The group's last payload fills the frame: its end finds nothing that was written, and nothing more may come.
    #[test]
    fn clients_hear_of_what_fills_a_frame_at_a_groups_end() {
        let mut member = Member::of(FaultModel::Crash);
        let clients: Vec<_> = (0..3).map(|_| member.append(LONG_PAYLOAD)).collect();
        assert_eq!(member.executed(), [1, 2, 3], "the third filled the frame");
        member.scribe.end_group().unwrap();
        for (mut client, height) in clients.into_iter().zip(1..) {
            assert_eq!(client.try_recv(), Ok(Height(height)));
        }
    }

    /// What was decided before this member fell behind is committed by what lets it go on.
    #[test]
    fn clients_hear_of_what_is_decided_before_a_skip() {
        let mut member = Member::of(FaultModel::Crash);
        let mut client = member.append(PAYLOAD_BYTES);
        let certificate = Four::new(1).certificate(9, BlockHash(B256::repeat_byte(9)));
        member.scribe.carry_out(Errand::Skip { certificate }).unwrap();
        assert_eq!(client.try_recv(), Ok(Height(1)));
        assert_eq!(member.executed(), [1, 9]);
        assert_eq!(member.scribe.head, B256::repeat_byte(9));
    }

    /// Clients of members that only crash wait for no sync of this log; ordering does.
    #[test]
    fn crash_members_sync_behind_their_clients() {
        let mut member = Member::of(FaultModel::Crash);
        for slot in 1..=MOST_SLOTS as u64 {
            assert_eq!(member.executed(), [0_u64; 0], "slot {slot}");
            let mut client = member.append(PAYLOAD_BYTES);
            // However slow this machine is: the first came just now.
            member.scribe.since = Instant::now() + LATEST;
            member.scribe.end_group().unwrap();
            assert_eq!(client.try_recv(), Ok(Height(slot)));
        }
        assert_eq!(member.executed().len(), MOST_SLOTS);
        let mut late = member.append(PAYLOAD_BYTES);
        member.scribe.since -= LATEST;
        member.scribe.end_group().unwrap();
        assert_eq!(late.try_recv(), Ok(Height(MOST_SLOTS as u64 + 1)));
        assert_eq!(member.executed(), [MOST_SLOTS as u64 + 1], "it waited too long for others");
    }

    /// A member that may be lied to answers nobody before the certificate, and syncs each group.
    #[test]
    fn among_liars_clients_wait_for_the_certificate() {
        let mut member = Member::of(FaultModel::Byzantine);
        let mut client = member.append(PAYLOAD_BYTES);
        member.scribe.end_group().unwrap();
        assert_eq!(member.executed(), [1]);
        assert_eq!(client.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        member.scribe.desk.settled(Height(1));
        assert_eq!(client.try_recv(), Ok(Height(1)));
    }

    /// What was appended is read again, with the number of slots that are missing.
    #[test]
    fn the_log_is_read_as_it_was_written() {
        let mut member = Member::of(FaultModel::Crash);
        member.append(PAYLOAD_BYTES);
        let certificate = Four::new(1).certificate(4, BlockHash(B256::repeat_byte(4)));
        member.scribe.carry_out(Errand::Skip { certificate }).unwrap();
        member.slot = 4;
        member.append(2 * PAYLOAD_BYTES);
        member.scribe.commit().unwrap();
        let Member { scribe, folder, .. } = member;
        drop(scribe);
        let mut lengths = Vec::new();
        ordered_log(folder.path(), |payload| {
            lengths.push(payload.map(<[u8]>::len));
            Ok(())
        })
        .unwrap();
        assert_eq!(lengths, [Some(PAYLOAD_BYTES), None, None, None, Some(2 * PAYLOAD_BYTES)]);
    }
}

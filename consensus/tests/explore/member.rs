//! One member: the shipped replica with the shipped machine in it, the disk below, and what is remembered of it.
//!
//! A member whose power will still be cut waits for its disk: a frame and a block become durable by steps of
//! their own, and a cut takes what is not. All others are synced at once.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::{self, Write};
use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use sha2::{Digest, Sha256};
use synod_consensus::committee::{
    Committee, Event, History, Job, MemberIndex, Outcome, Payload, Signer, Validity,
};
use synod_consensus::sim::committee::ordering::Judge;
use synod_consensus::{Durable, Effect, Frame, FrameNumber, Input, Journal, Peer, Replica, Time, Verified};
use synod_types::hash::sha256;
use synod_types::{BlockHash, Epoch, Position, Slot, UnixMillis};

use super::explored::Explored;
use super::verdict::Record;

const WALL: UnixMillis = UnixMillis(1_000_000);

/// What a member says: to one, or to all.
pub(crate) type Said<P> = Vec<(Option<Peer>, P)>;

/// What can happen to a member.
#[derive(Debug, Clone)]
pub(crate) enum Happening<M> {
    /// It hears this.
    Hear { from: Peer, message: Verified<M> },
    /// What it hears does not pass its check.
    Refuse { from: Peer, fault: String },
    /// A whole timeout passes: everything that it waits for in time is due.
    Timeout,
    /// Its journal has synced the frame that was written.
    JournalSynced,
    /// Its block log has synced the block that was written first.
    BlockSynced,
    /// Its power is cut, and it starts from what is durable.
    PowerCut,
}

/// What no payload can be wrong by here.
#[derive(Debug)]
struct AnyBytes;

impl Validity for AnyBytes {
    fn check(&self, _: &Payload) -> Result<(), String> {
        Ok(())
    }
}

/// What never changes of a member.
pub(crate) struct Fixed<P: Explored> {
    pub(crate) committee: Committee,
    pub(crate) config: P::Config,
    me: MemberIndex,
    slots: u64,
}

impl<P: Explored> Fixed<P> {
    pub(crate) fn new(committee: Committee, signer: Signer, slots: u64) -> Self {
        let me = signer.index();
        let config = P::settings(committee.clone(), signer, Arc::new(AnyBytes), slots);
        Self { committee, config, me, slots }
    }

    /// What this member would have decided: payloads of its own.
    pub(crate) fn payload(&self, number: u64) -> Payload {
        let text = format!("payload {number} of member {}", self.me);
        let bytes = [&WALL.0.to_be_bytes()[..], text.as_bytes()].concat();
        Payload::new(bytes.into()).expect("a short payload is one")
    }
}

/// How far the journal is durable.
#[derive(Clone)]
struct Synced(FrameNumber);

impl Journal for Synced {
    fn durable_through(&self) -> FrameNumber {
        self.0
    }
}

/// One member's whole state.
pub(crate) struct Member<P: Explored> {
    fixed: Arc<Fixed<P>>,
    replica: Replica<P>,
    /// Milliseconds on its own clock: timeouts that it saw pass.
    clock_ms: u64,
    /// How often its power will still be cut at most.
    power_cuts: u8,
    journal: Synced,
    records: Vec<P::Record>,
    writing: Option<Frame<P::Record>>,
    /// Payloads of the durable blocks.
    blocks: Vec<Bytes>,
    /// Those of blocks that are not.
    written: VecDeque<Bytes>,
    /// How many payloads its pool gave, and the power cuts took back.
    offered: u64,
    /// With how many it began this life.
    offered_before: u64,
    /// What it has said, and must remember.
    sent: P::Sent,
    /// What is judged of it.
    pub(crate) record: Record,
}

impl<P: Explored> Clone for Member<P> {
    fn clone(&self) -> Self {
        Self {
            fixed: Arc::clone(&self.fixed),
            replica: self.replica.clone(),
            clock_ms: self.clock_ms,
            power_cuts: self.power_cuts,
            journal: self.journal.clone(),
            records: self.records.clone(),
            writing: self.writing.clone(),
            blocks: self.blocks.clone(),
            written: self.written.clone(),
            offered: self.offered,
            offered_before: self.offered_before,
            sent: self.sent.clone(),
            record: self.record.clone(),
        }
    }
}

impl<P: Explored> Member<P> {
    /// Its first start.
    pub(crate) fn new(fixed: Arc<Fixed<P>>, power_cuts: u8, said: &mut Said<P::Message>) -> Self {
        let journal = Synced(FrameNumber(0));
        let replica = Self::recover(&fixed, &[], &[], &journal, 0);
        let mut member = Self {
            fixed,
            replica,
            clock_ms: 0,
            power_cuts,
            journal,
            records: Vec::new(),
            writing: None,
            blocks: Vec::new(),
            written: VecDeque::new(),
            offered: 0,
            offered_before: 0,
            sent: P::Sent::default(),
            record: Record::default(),
        };
        member.begin(said);
        member
    }

    fn recover(
        fixed: &Fixed<P>,
        records: &[P::Record],
        blocks: &[Bytes],
        journal: &Synced,
        clock_ms: u64,
    ) -> Replica<P> {
        let hashes = hashes(blocks);
        // Certificates are written behind: a cut may take them all.
        let history = History {
            executed: Slot(blocks.len() as u64),
            block_hash: hashes.last().copied().unwrap_or_default(),
            certificate: None,
            uncertified: hashes,
            has_ended: false,
        };
        let (proof, now) = (Durable::proven_by(journal), Time(0).plus_ms(clock_ms));
        Replica::recover(fixed.config.clone(), records.to_vec(), history, &proof, 0, now, WALL)
    }

    /// After every start: transactions wait in its pool.
    fn begin(&mut self, said: &mut Said<P::Message>) {
        let bytes = (0..self.fixed.slots).map(|number| self.fixed.payload(number).bytes().len() as u64).sum();
        self.carry_out([Input::Demand { oldest_since: None, bytes }].into(), said);
        self.demand_memory();
    }

    /// The member after this, and what it says on the way.
    pub(crate) fn after(&self, happening: Happening<P::Message>) -> (Self, Said<P::Message>) {
        let (mut next, mut said) = (self.clone(), Vec::new());
        match happening {
            Happening::Hear { from, message } => {
                next.carry_out([Input::Message { from, message }].into(), &mut said);
            }
            Happening::Refuse { from, fault } => next.accuse(from, &fault),
            Happening::Timeout => {
                next.clock_ms += 1;
                next.carry_out([Input::Wake].into(), &mut said);
            }
            Happening::JournalSynced => {
                next.sync_journal();
                next.carry_out(VecDeque::new(), &mut said);
            }
            Happening::BlockSynced => {
                let executed = next.sync_block();
                next.carry_out(executed.into_iter().collect(), &mut said);
            }
            Happening::PowerCut => next.lose_power(&mut said),
        }
        next.demand_memory();
        (next, said)
    }

    /// Whether its timers wait for anything.
    pub(crate) fn waits_for_time(&self) -> bool {
        self.replica.wake_at().is_some()
    }

    /// Whether a frame is on its way to the disk.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Whether a block is.
    pub(crate) fn has_written(&self) -> bool {
        !self.written.is_empty()
    }

    /// Whether its power may be cut.
    pub(crate) fn may_lose_power(&self) -> bool {
        self.power_cuts > 0
    }

    /// Whether it can never again make anything of the message, even if it forgets what is not durable.
    pub(crate) fn is_void(&self, message: &P::Message) -> bool {
        self.machine().is_void(message)
            && (self.is_synced_at_once() || self.recovered().protocol().is_void(message))
    }

    fn is_synced_at_once(&self) -> bool {
        self.power_cuts == 0
    }

    fn lose_power(&mut self, said: &mut Said<P::Message>) {
        self.power_cuts -= 1;
        self.writing = None;
        self.written.clear();
        self.offered_before += self.fixed.slots;
        self.offered = self.offered_before;
        self.replica = self.recovered();
        self.begin(said);
    }

    fn recovered(&self) -> Replica<P> {
        Self::recover(&self.fixed, &self.records, &self.blocks, &self.journal, self.clock_ms)
    }

    /// As a driver does it: frames out, effects out, and the inputs that follow from them in.
    fn carry_out(&mut self, mut inputs: VecDeque<Input<P>>, said: &mut Said<P::Message>) {
        loop {
            self.write_frames();
            while let Some(effect) = self.replica.next_effect() {
                self.act(effect, &mut inputs, said);
            }
            let Some(input) = inputs.pop_front() else { return };
            self.replica.step(input, Time(0).plus_ms(self.clock_ms), WALL);
        }
    }

    fn write_frames(&mut self) {
        while self.writing.is_none() {
            self.writing = self.replica.take_frame();
            if self.writing.is_none() || !self.is_synced_at_once() {
                return;
            }
            self.sync_journal();
        }
    }

    fn sync_journal(&mut self) {
        let Some(frame) = self.writing.take() else { return };
        if frame.restates {
            self.records.clear();
        }
        self.records.extend(frame.records);
        self.record.votes.extend(P::votes(&self.records));
        self.journal = Synced(frame.number);
        self.replica.durable(&Durable::proven_by(&self.journal));
    }

    fn sync_block(&mut self) -> Option<Input<P>> {
        self.blocks.push(self.written.pop_front()?);
        let position = Position { epoch: Epoch(0), slot: Slot(self.blocks.len() as u64) };
        let block_hash = hashes(&self.blocks).last().copied().unwrap_or_default();
        Some(Input::Executed { position, block_hash })
    }

    fn act(&mut self, effect: Effect<P>, inputs: &mut VecDeque<Input<P>>, said: &mut Said<P::Message>) {
        match effect {
            Effect::Send { to, message } => self.say(Some(to), message, said),
            Effect::Broadcast(message) => self.say(None, message, said),
            Effect::Append { position, body, .. } => {
                self.append(position.slot.0, body);
                if self.is_synced_at_once() {
                    inputs.extend(self.sync_block());
                }
            }
            Effect::Start(Job::Assemble { .. }) => {
                let payload = self.assemble();
                inputs.push_back(Input::Done(Outcome::Assembled(payload)));
            }
            // Blocks that somebody lacks come late, which is to say never.
            Effect::Start(Job::Fetch { .. }) => {}
            Effect::Accuse { peer, fault } => self.accuse(peer, &fault.to_string()),
            Effect::Tell(Event::Diverged { position, ours, theirs, .. }) => {
                self.record
                    .reversed
                    .get_or_insert(format!("{position} holds {ours} here and {theirs} elsewhere"));
            }
            Effect::Tell(_) => {}
            Effect::Rewind { .. } | Effect::Load { .. } | Effect::Cancel => {
                unreachable!("a committee's chain has no branches")
            }
        }
    }

    /// Members do not lie, so whoever is accused broke its word.
    fn accuse(&mut self, peer: Peer, fault: &str) {
        self.record.broken.get_or_insert(format!("member {peer} is accused: it {fault}"));
    }

    fn say(&mut self, to: Option<Peer>, message: P::Message, said: &mut Said<P::Message>) {
        // What all of them said is judged by the votes; here it is one member's word against its own.
        let mut judge = P::Judge::default();
        let broken = judge.said(self.replica.protocol(), &mut self.sent, to, &message, &self.fixed.committee);
        self.record.broken = self.record.broken.take().or(broken.into_iter().next().map(|(_, how)| how));
        if !P::is_left_out(&message) {
            said.push((to, message));
        }
    }

    fn append(&mut self, slot: u64, body: Bytes) {
        let next = (self.blocks.len() + self.written.len()) as u64 + 1;
        let before = self.record.applied.entry(slot).or_insert_with(|| body.clone());
        if slot != next || *before != body {
            self.record
                .reversed
                .get_or_insert(format!("it applies slot {slot} where {next} is next, or again"));
        }
        self.written.push_back(body);
    }

    /// The pool: in each life other payloads, as many as slots are explored.
    fn assemble(&mut self) -> Option<Payload> {
        let taken = (self.offered - self.offered_before).max(self.record.applied.len() as u64);
        if taken >= self.fixed.slots {
            return None;
        }
        let payload = self.fixed.payload(self.offered);
        self.offered += 1;
        Some(payload)
    }

    /// What it said it must remember.
    fn demand_memory(&mut self) {
        if self.record.broken.is_none() {
            let lost = self.replica.protocol().lost_promise(&self.sent);
            self.record.broken = lost.map(|what| format!("it has forgotten {what}"));
        }
    }

    /// The member behind this machine, for judging.
    pub(crate) fn machine(&self) -> &P {
        self.replica.protocol()
    }

    /// The hash of everything that tells this member from another, and so of all that it will ever do: machine,
    /// clock, disk, what its replica holds back, what is remembered of it. The generator is not in it, since its
    /// draws decide nothing; nor are frames' numbers; nor, once no power cut can come, the journal.
    pub(crate) fn identity(&self) -> B256 {
        let mut text = Hashed(Sha256::new());
        let Self { clock_ms, power_cuts, blocks, written, offered, sent, record, .. } = self;
        let known = (clock_ms, power_cuts, blocks, written, offered, sent, record);
        write!(text, "{:?} {known:?}", self.machine()).expect("a hash takes all");
        if !self.is_synced_at_once() {
            let frame = self.writing.as_ref().map(|frame| (&frame.records, frame.restates));
            write!(text, "{:?} {frame:?} {:?}", self.records, self.held_back()).expect("a hash takes all");
        }
        B256::from_slice(&text.0.finalize())
    }

    /// What leaves once everything is synced and nothing else happens, frame by frame. To say something twice is to say
    /// it once here, so each frame's effects are a set.
    fn held_back(&self) -> Vec<(Vec<P::Record>, BTreeSet<String>)> {
        let (mut replica, mut held) = (self.replica.clone(), Vec::new());
        let mut through = self.writing.as_ref().map(|frame| frame.number);
        let mut records = Vec::new();
        while let Some(number) = through {
            replica.durable(&Durable::proven_by(&Synced(number)));
            let effects = std::iter::from_fn(|| replica.next_effect());
            held.push((records, effects.map(|effect| format!("{effect:?}")).collect()));
            let frame = replica.take_frame();
            through = frame.as_ref().map(|frame| frame.number);
            records = frame.map(|frame| frame.records).unwrap_or_default();
        }
        held
    }
}

/// The hashes of these blocks, each of which holds its parent's.
fn hashes(blocks: &[Bytes]) -> Vec<BlockHash> {
    let mut parent = B256::ZERO;
    let link = |body: &Bytes| {
        parent = sha256(&[b"explored block", parent.as_slice(), body]);
        BlockHash(parent)
    };
    blocks.iter().map(link).collect()
}

/// Text, hashed as it is written.
struct Hashed(Sha256);

impl Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

//! The ordering that a committee's record names, chosen when its epoch begins.
//!
//! Each protocol is a type of its own. A node that follows a network through epochs, whose records may name
//! different ones, holds whichever is in force behind this one boundary: equal drivers, one journal, one wire.
//! What belongs to another protocol than the one in force is dropped, as a message of another epoch is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use synod_types::Slot;
use synod_types::genesis::Limits as BlockLimits;

use crate::committee::{
    Certificate, Committee, Event, Evidence, History, Job, MemberIndex, Outcome, Signer, Validity,
};
use crate::effects::{Context, Effect};
use crate::paxos::{self, Paxos};
use crate::pbft::{self, Pbft};
use crate::protocol::{Input, Peer, Protocol, Status, Verified};
use crate::time::Time;
use crate::zab::{self, Zab};

/// The largest encoding of a message.
pub const MESSAGE_LIMIT: usize = max(pbft::MESSAGE_LIMIT, max(paxos::MESSAGE_LIMIT, zab::MESSAGE_LIMIT)) + 16;

const fn max(one: usize, other: usize) -> usize {
    if one > other { one } else { other }
}

/// One member's ordering for one epoch.
#[derive(Debug)]
pub enum Agreement {
    /// [`crate::pbft`].
    Pbft(Box<Pbft>),
    /// [`crate::paxos`].
    Paxos(Box<Paxos>),
    /// [`crate::zab`].
    Zab(Box<Zab>),
}

/// Its configuration.
#[derive(Debug, Clone)]
pub enum Config {
    /// Of PBFT.
    Pbft(Box<pbft::Config>),
    /// Of Paxos.
    Paxos(Box<paxos::Config>),
    /// Of Zab.
    Zab(Box<zab::Config>),
}

/// What members say to each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// Under PBFT.
    Pbft(pbft::Message),
    /// Under Paxos.
    Paxos(paxos::Message),
    /// Under Zab.
    Zab(zab::Message),
}

/// What the journal keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// Of PBFT.
    Pbft(pbft::Record),
    /// Of Paxos.
    Paxos(paxos::Record),
    /// Of Zab.
    Zab(zab::Record),
}

/// What a member did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Under PBFT.
    #[error(transparent)]
    Pbft(pbft::Fault),
    /// Under Paxos.
    #[error(transparent)]
    Paxos(paxos::Fault),
    /// Under Zab.
    #[error(transparent)]
    Zab(zab::Fault),
    /// It speaks another protocol than the epoch's.
    #[error("speaks another protocol than this epoch's")]
    OtherProtocol,
}

/// A record names an ordering that this build does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the committee's record says that {0:?} orders, which this build does not know")]
pub struct UnknownOrdering(pub String);

/// One answer for whichever protocol the value is of, which may name that protocol.
macro_rules! each {
    ($kind:ident: $value:expr, $own:ident => $answer:expr) => {
        match $value {
            $kind::Pbft($own) => $answer,
            $kind::Paxos($own) => $answer,
            $kind::Zab($own) => $answer,
        }
    };
    ($kind:ident: $value:expr, $own:ident of $protocol:ident => $answer:expr) => {
        match $value {
            $kind::Pbft($own) => {
                type $protocol = Pbft;
                $answer
            }
            $kind::Paxos($own) => {
                type $protocol = Paxos;
                $answer
            }
            $kind::Zab($own) => {
                type $protocol = Zab;
                $answer
            }
        }
    };
}

impl Config {
    /// The configuration of the ordering that the committee's record names, with the usual bounds and payloads
    /// that fit into a block.
    ///
    /// # Errors
    /// [`UnknownOrdering`].
    pub fn new(
        committee: Committee,
        signer: Option<Signer>,
        validity: Arc<dyn Validity>,
        block: &BlockLimits,
    ) -> Result<Self, UnknownOrdering> {
        match committee.record().ordering.as_str() {
            Pbft::NAME => Ok(Pbft::usual(committee, signer, validity, block)),
            Paxos::NAME => Ok(Paxos::usual(committee, signer, validity, block)),
            Zab::NAME => Ok(Zab::usual(committee, signer, validity, block)),
            other => Err(UnknownOrdering(other.to_owned())),
        }
    }

    /// The committee.
    pub fn committee(&self) -> &Committee {
        each!(Config: self, config => &config.committee)
    }

    /// This member's voice.
    pub fn signer(&self) -> Option<&Signer> {
        each!(Config: self, config => config.signer.as_ref())
    }

    /// This member's index.
    pub fn me(&self) -> Option<MemberIndex> {
        self.signer().map(Signer::index)
    }

    /// What shows a certificate to somebody who lags.
    pub fn certified(&self, certificate: Certificate) -> Message {
        each!(Config: self, _config of P => P::message(P::certified(certificate)))
    }
}

impl Message {
    /// The certificate, of a message that is nothing else.
    pub fn as_certified(&self) -> Option<&Certificate> {
        each!(Message: self, message of P => P::as_certified(message))
    }

    /// The last slot that is durable at the sender, where the message says so.
    pub fn executed(&self) -> Option<Slot> {
        each!(Message: self, message of P => <P as Member>::executed(message))
    }

    /// Whether it carries a payload: such messages wait for votes.
    pub fn has_body(&self) -> bool {
        each!(Message: self, message of P => <P as Member>::has_body(message))
    }
}

/// What the evidence proves of its member; `None` when it proves nothing.
pub fn proves(evidence: &Evidence, committee: &Committee) -> Option<String> {
    pbft::evidence::proves(evidence, committee)
}

impl Agreement {
    /// The certificate of the epoch's last block, once that is durable here and certified.
    pub fn end_certificate(&self) -> Option<&Certificate> {
        each!(Agreement: self, machine => machine.end_certificate())
    }
}

/// How one protocol's words are this boundary's, and what of them concerns everybody.
trait Member: Protocol<History = History, Job = Job, Outcome = Outcome, Event = Event> {
    fn usual(
        committee: Committee,
        signer: Option<Signer>,
        validity: Arc<dyn Validity>,
        block: &BlockLimits,
    ) -> Config;
    fn machine(self) -> Agreement;
    fn message(message: Self::Message) -> Message;
    fn record(record: Self::Record) -> Record;
    fn fault(fault: Self::Fault) -> Fault;
    /// The protocol's own word, unless it is another's.
    fn own(message: Message) -> Option<Self::Message>;
    fn as_own(message: &Message) -> Option<&Self::Message>;
    fn own_record(record: Record) -> Option<Self::Record>;
    fn certified(certificate: Certificate) -> Self::Message;
    fn as_certified(message: &Self::Message) -> Option<&Certificate>;
    fn executed(message: &Self::Message) -> Option<Slot>;
    fn has_body(message: &Self::Message) -> bool;
}

/// A protocol whose words have the usual names, but for the one that proposes; and what else its configuration has.
macro_rules! member {
    ($module:ident::$protocol:ident, proposes by $proposal:ident $(, with $more:ident)*) => {
        impl Member for $protocol {
            fn usual(
                committee: Committee,
                signer: Option<Signer>,
                validity: Arc<dyn Validity>,
                block: &BlockLimits,
            ) -> Config {
                let usual = $module::Limits::default();
                let limits = $module::Limits {
                    batch_bytes: usual.batch_bytes.min(block.block_bytes as usize),
                    batch_transactions: usual.batch_transactions.min(block.block_transactions as usize),
                    ..usual
                };
                $(let $more = Default::default();)*
                Config::$protocol(Box::new($module::Config { committee, signer, validity, limits, $($more)* }))
            }

            fn machine(self) -> Agreement {
                Agreement::$protocol(Box::new(self))
            }

            fn message(message: $module::Message) -> Message {
                Message::$protocol(message)
            }

            fn record(record: $module::Record) -> Record {
                Record::$protocol(record)
            }

            fn fault(fault: $module::Fault) -> Fault {
                Fault::$protocol(fault)
            }

            fn own(message: Message) -> Option<$module::Message> {
                if let Message::$protocol(message) = message { Some(message) } else { None }
            }

            fn as_own(message: &Message) -> Option<&$module::Message> {
                if let Message::$protocol(message) = message { Some(message) } else { None }
            }

            fn own_record(record: Record) -> Option<$module::Record> {
                if let Record::$protocol(record) = record { Some(record) } else { None }
            }

            fn certified(certificate: Certificate) -> $module::Message {
                $module::Message::Certified(certificate)
            }

            fn as_certified(message: &$module::Message) -> Option<&Certificate> {
                if let $module::Message::Certified(certificate) = message { Some(certificate) } else { None }
            }

            fn executed(message: &$module::Message) -> Option<Slot> {
                if let $module::Message::Standing(standing) = message { Some(standing.executed) } else { None }
            }

            fn has_body(message: &$module::Message) -> bool {
                use $module::Message::{Body, $proposal};
                matches!(message, $proposal { body: Some(_), .. } | Body(_))
            }
        }
    };
}

member!(pbft::Pbft, proposes by PrePrepare, with horizon);
member!(paxos::Paxos, proposes by Accept);
member!(zab::Zab, proposes by Propose);

/// Lets one protocol take a step in this boundary's context.
fn within<P: Member, T>(
    outer: &mut Context<'_, Agreement>,
    step: impl FnOnce(&mut Context<'_, P>) -> T,
) -> T {
    let (mut records, mut restates, mut effects) = (Vec::new(), false, Vec::new());
    let (now, wall) = (outer.now(), outer.wall());
    let mut inner = Context::new(now, wall, outer.random(), &mut records, &mut restates, &mut effects);
    let result = step(&mut inner);
    let records = records.into_iter().map(P::record);
    if restates {
        outer.restate(records.collect());
    } else {
        records.for_each(|record| outer.persist(record));
    }
    for effect in effects {
        outer.effect(widen::<P>(effect));
    }
    result
}

fn widen<P: Member>(effect: Effect<P>) -> Effect<Agreement> {
    match effect {
        Effect::Send { to, message } => Effect::Send { to, message: P::message(message) },
        Effect::Broadcast(message) => Effect::Broadcast(P::message(message)),
        Effect::Append { position, block_hash, body, digest, settled } => {
            Effect::Append { position, block_hash, body, digest, settled }
        }
        Effect::Rewind { to, block_hash } => Effect::Rewind { to, block_hash },
        Effect::Load { block_hash } => Effect::Load { block_hash },
        Effect::Start(job) => Effect::Start(job),
        Effect::Cancel => Effect::Cancel,
        Effect::Accuse { peer, fault } => Effect::Accuse { peer, fault: P::fault(fault) },
        Effect::Tell(event) => Effect::Tell(event),
    }
}

/// The protocol's own input; `None` for another's message.
fn narrow<P: Member>(input: Input<Agreement>) -> Option<Input<P>> {
    Some(match input {
        Input::Message { from, message } => {
            Input::Message { from, message: Verified::new(P::own(message.into_inner())?) }
        }
        Input::Connected(peer) => Input::Connected(peer),
        Input::Disconnected(peer) => Input::Disconnected(peer),
        Input::Demand { oldest_since, bytes } => Input::Demand { oldest_since, bytes },
        Input::Executed { position, block_hash } => Input::Executed { position, block_hash },
        Input::Refused { block_hash, reason } => Input::Refused { block_hash, reason },
        Input::Loaded { block_hash, body } => Input::Loaded { block_hash, body },
        Input::Done(outcome) => Input::Done(outcome),
        Input::Wake => Input::Wake,
    })
}

fn check<P: Member>(config: &P::Config, from: Peer, message: Message) -> Result<Verified<Message>, Fault> {
    let message = P::own(message).ok_or(Fault::OtherProtocol)?;
    let verified = P::check(config, from, message).map_err(P::fault)?;
    Ok(Verified::new(P::message(verified.into_inner())))
}

fn recover<P: Member>(
    config: P::Config,
    records: Vec<Record>,
    history: History,
    context: &mut Context<'_, Agreement>,
) -> P {
    let records = records.into_iter().filter_map(P::own_record).collect();
    within(context, |inner| P::recover(config, records, history, inner))
}

fn step<P: Member>(machine: &mut P, input: Input<Agreement>, context: &mut Context<'_, Agreement>) {
    if let Some(input) = narrow(input) {
        within(context, |inner| machine.step(input, inner));
    }
}

impl Protocol for Agreement {
    /// Of all of them; [`Status::protocol`] names the one in force.
    const NAME: &'static str = "committee";
    type Config = Config;
    type Message = Message;
    type Record = Record;
    type History = History;
    type Job = Job;
    type Outcome = Outcome;
    type Event = Event;
    type Fault = Fault;

    fn check(config: &Config, from: Peer, message: Message) -> Result<Verified<Message>, Fault> {
        each!(Config: config, config of P => check::<P>(config, from, message))
    }

    /// The check says what is wrong with another protocol's.
    fn awaits(config: &Config, message: &Message) -> bool {
        each!(Config: config, config of P => P::as_own(message).is_none_or(|own| P::awaits(config, own)))
    }

    fn is_promise_free(message: &Message) -> bool {
        each!(Message: message, message of P => P::is_promise_free(message))
    }

    fn recover(
        config: Config,
        records: Vec<Record>,
        history: History,
        context: &mut Context<'_, Self>,
    ) -> Self {
        each!(Config: config, config of P => recover::<P>(*config, records, history, context).machine())
    }

    fn step(&mut self, input: Input<Self>, context: &mut Context<'_, Self>) {
        each!(Agreement: self, machine => step(&mut **machine, input, context));
    }

    fn wake_at(&self) -> Option<Time> {
        each!(Agreement: self, machine => machine.wake_at())
    }

    fn status(&self) -> Status {
        each!(Agreement: self, machine => machine.status())
    }
}

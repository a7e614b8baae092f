//! What the world must know of an ordering beyond the common interface: what its messages promise, who leads,
//! and, where members may lie, how.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use alloy_primitives::Bytes;

use super::Bounds;
use crate::committee::{
    Certificate, Committee, CommitteeProtocol, Evidence, FaultModel, MemberIndex, Payload, Signer, Validity,
};
use crate::protocol::Peer;
use crate::random::Random;
use crate::sim::report::Subject;
use crate::sim::swarm::{Fault, Swarm};

/// A rule that was broken, by its oracle, and how.
pub type Broken = Vec<(&'static str, String)>;

/// An ordering that can be simulated.
pub trait Ordering: CommitteeProtocol + 'static {
    /// Its name on the command line.
    const SUBJECT: Subject;
    /// What its members may do.
    const MODEL: FaultModel;
    /// The view or ballot that begins first: whatever comes later is a change of the leader.
    const FIRST_VIEW: u64;
    /// What a process has said, and must remember (A10).
    type Sent: Debug + Default;
    /// Judges what is said.
    type Judge: Judge<Self>;
    /// A member that lies.
    type Liar: Lies<Self>;

    /// A member's configuration.
    fn config(
        committee: Committee,
        signer: Option<Signer>,
        validity: Arc<dyn Validity>,
        bounds: &Bounds,
    ) -> Self::Config;
    /// Who leads the highest view or ballot that this machine knows.
    fn leadership(&self) -> Option<((u64, u8), MemberIndex)>;
    /// How much is kept: slots, bodies, missing bodies, slots with attestations.
    fn sizes(&self) -> [usize; 4];
    /// Something that was said, and that this memory does not justify (A10).
    fn lost_promise(&self, sent: &Self::Sent) -> Option<String>;
    /// Whether evidence proves what it says.
    fn is_proof(evidence: &Evidence, committee: &Committee) -> bool;
    /// The attested slot and block, of an attestation.
    fn attested(message: &Self::Message) -> Option<&crate::committee::Attestation>;
    /// What kind of message it is, for counting.
    fn kind(message: &Self::Message) -> &'static str;
    /// Shows a certificate.
    fn certified(certificate: Certificate) -> Self::Message;
    /// The certificate of the epoch's last block, once it is over for this machine.
    fn end_certificate(&self) -> Option<&Certificate>;
}

/// Watches what honest members say and hear.
pub trait Judge<P: Ordering>: Default {
    /// An honest member says something, to one or to all.
    fn said(
        &mut self,
        machine: &P,
        sent: &mut P::Sent,
        to: Option<Peer>,
        message: &P::Message,
        committee: &Committee,
    ) -> Broken;
    /// An honest member heard something that passed its checks.
    fn heard(&mut self, message: &P::Message, committee: &Committee) -> Broken;
    /// Members that are proven to have lied.
    fn named(&self) -> BTreeSet<MemberIndex>;
    /// How much evidence did not hold when it was checked as a stranger would.
    fn worthless(&self) -> u64;
}

/// A member that lies: its messages are changed on their way out.
pub trait Lies<P: Ordering>: Sized {
    /// A lying member; `None` where members do not lie.
    fn new(
        signer: Signer,
        committee: Committee,
        swarm: &Swarm,
        another: fn(&Payload) -> Payload,
    ) -> Option<Self>;
    /// Lies to the committee of another epoch from now on.
    fn enter(&mut self, committee: Committee);
    /// Draws another lie.
    fn change_mind(&mut self, random: &mut Random);
    /// Tells the same lie as others.
    fn conspire(&mut self, now: Option<Fault>, victim: Option<MemberIndex>);
    /// Whether it does.
    fn conspires(&self) -> bool;
    /// The lie of the moment.
    fn lie(&self) -> Option<Fault>;
    /// What it says instead.
    fn alter(&mut self, to: MemberIndex, message: &P::Message, random: &mut Random) -> Vec<P::Message>;
    /// What it answers unasked.
    fn echo(&mut self, heard: &P::Message) -> Vec<P::Message>;
    /// What it says by itself.
    fn volunteer(&mut self, view: u64, random: &mut Random) -> Vec<P::Message>;
    /// Whether it keeps this message back.
    fn holds_back(&self, message: &P::Message) -> bool;
    /// Spoils blocks for whoever catches up.
    fn spoil_blocks(&mut self, bodies: &mut Vec<Bytes>, random: &mut Random);
}

/// There are no liars among members that only crash.
#[derive(Debug)]
pub enum Nobody {}

impl<P: Ordering> Lies<P> for Nobody {
    fn new(_: Signer, _: Committee, _: &Swarm, _: fn(&Payload) -> Payload) -> Option<Self> {
        None
    }

    fn enter(&mut self, _: Committee) {
        match *self {}
    }

    fn change_mind(&mut self, _: &mut Random) {
        match *self {}
    }

    fn conspire(&mut self, _: Option<Fault>, _: Option<MemberIndex>) {
        match *self {}
    }

    fn conspires(&self) -> bool {
        match *self {}
    }

    fn lie(&self) -> Option<Fault> {
        match *self {}
    }

    fn alter(&mut self, _: MemberIndex, _: &P::Message, _: &mut Random) -> Vec<P::Message> {
        match *self {}
    }

    fn echo(&mut self, _: &P::Message) -> Vec<P::Message> {
        match *self {}
    }

    fn volunteer(&mut self, _: u64, _: &mut Random) -> Vec<P::Message> {
        match *self {}
    }

    fn holds_back(&self, _: &P::Message) -> bool {
        match *self {}
    }

    fn spoil_blocks(&mut self, _: &mut Vec<Bytes>, _: &mut Random) {
        match *self {}
    }
}

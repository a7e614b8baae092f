//! What all orderings by a committee share: members, quorums, epochs, attestations, certificates.
//!
//! A committee decides payloads, slot by slot; the ledger turns each into a block by a function of the parent
//! and the payload alone. Once a block is durable at a member, the member signs that it is
//! ([`Attestation`]); a quorum of such signatures is a [`Certificate`], which anybody can check offline, and
//! "final" means certified. Under PBFT the attestation is the CHECKPOINT message, too.
//!
//! Everything that a member signs is `tag ‖ genesis ‖ epoch ‖ content` (CRY-4), so that no signature of one
//! network, epoch or kind of statement can stand for another. The epoch's record fixes every member's
//! incarnation, and so the epoch in the signed bytes does, too.
//!
//! The driver of a committee's ordering is the same for all of them: [`CommitteeProtocol`] says which jobs,
//! outcomes and events pass between the two.

pub mod attestation;
pub(crate) mod attestations;
pub(crate) mod bodies;
pub mod certificate;
#[cfg(test)]
mod delays;
pub mod evidence;
pub mod interface;
pub mod members;
pub mod payload;
pub(crate) mod proposing;
pub mod reads;
pub mod signatures;
#[cfg(any(test, feature = "mutants"))]
pub(crate) mod stage;
pub mod succession;

pub use attestation::{Attestation, Attested};
pub use certificate::{Certificate, CertificateError};
pub use evidence::{Evidence, SignedStatement};
pub use interface::{CommitteeProtocol, Event, History, Job, Outcome, Validity};
pub use members::{Committee, MemberIndex, Signer};
pub use payload::{Payload, PayloadError};
pub use reads::{ReadRound, Stand};
pub use signatures::Signatures;
pub use succession::{Succession, SuccessionError};
pub use synod_types::committee::{EpochRecord, FaultModel, Member, QuorumError, Quorums, RecordError};

#[cfg(test)]
mod tests;

//! Every ordering protocol as a pure state machine, and the simulator that runs them.
//!
//! Nothing here does I/O, reads a clock, starts a thread, or lets a hash map's order or a float decide
//! anything: equal inputs give equal effects.
//!
//! - [`protocol`]: the one interface; [`effects`]: what a step asks for.
//! - [`journal`], [`replica`]: persist before send, by type; what a driver holds of a protocol.
//! - [`time`], [`random`]: time and randomness are inputs.
//! - [`pow`]: proof of work. [`committee`]: what all committees share; [`pbft`]: finality among liars.
//! - [`agreement`]: whichever of them a committee's record names.
//! - [`paxos`]: Multi-Paxos, for members that crash and do not lie.
//! - [`zab`]: Zab, for the same.
//! - [`sim`]: the deterministic simulator.

pub mod agreement;
pub mod committee;
pub mod effects;
pub mod journal;
pub mod paxos;
pub mod pbft;
pub mod pow;
pub mod protocol;
pub mod random;
pub mod replica;
pub mod sim;
pub mod time;
pub mod zab;

pub use effects::{Context, Effect};
pub use journal::{Durable, Frame, FrameNumber, Journal};
pub use protocol::{Input, Peer, Protocol, Status, Verified};
pub use random::Random;
pub use replica::Replica;
pub use time::Time;

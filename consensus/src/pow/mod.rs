//! Proof of work.

pub mod asert;
pub mod body;
pub mod compact;
pub mod config;
pub mod header;
pub mod messages;

pub use body::Body;
pub use compact::{CompactError, Target, Work};
pub use config::{Config, Limits, Rules, RulesError};
pub use header::{HashedHeader, HeaderError};
pub use messages::{Event, Fault, Job, MESSAGE_LIMIT, Message, Outcome, Record};

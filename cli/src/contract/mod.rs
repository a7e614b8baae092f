//! Contracts as people speak of them: artifacts of compilers, arguments as they are typed, and what a
//! contract answers, in words.
//!
//! - [`artifact`]: what a compiler wrote: the interface and the bytecode, in any of the usual forms.
//! - [`interface`]: which function is meant, and its call data.
//! - [`argument`], [`number`]: a typed word as a value of the ABI.
//! - [`show`]: values of the ABI for people and for programs.
//! - [`reason`]: why a call was undone. [`event`]: what a log says.
//! - [`book`]: contracts that this home knows by name.
//!
//! The rule: what is signed is exactly what was typed. A word that can mean two things is refused, never
//! guessed at; numbers are exact.

pub(crate) mod argument;
pub(crate) mod artifact;
pub(crate) mod book;
pub(crate) mod event;
pub(crate) mod interface;
pub(crate) mod number;
pub(crate) mod reason;
pub(crate) mod show;

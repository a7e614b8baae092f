//! Mining: the search for a nonce that brings a header's double SHA-256 under its target.
//!
//! From the inside out: a [`Puzzle`] prepares a header; a [`Kernel`] tries nonces, in one of
//! three ways that are chosen at run time and that all find exactly the same ones; a [`Job`] spans the space of
//! headers to be searched; a [`Miner`] searches it on its threads. Nothing here knows of blocks, networks or
//! async: the driver gives jobs and takes [`Report`]s.
//!
//! The kernels are the one place of this crate, with the call that lowers a thread's priority, that needs
//! `unsafe`; each such file allows it by name and argues for it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod job;
mod kernel;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod pace;
mod polite;
mod portable;
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "the kernels that use all of it are x86-64's")
)]
mod puzzle;
mod rate;
mod search;
#[cfg(target_arch = "x86_64")]
mod sha_ni;
#[cfg(target_arch = "x86_64")]
mod sse2;
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "the kernels that use all of it are x86-64's")
)]
mod words;
mod worker;

pub use job::{Job, JobId, Solution, Template};
pub use kernel::{Kernel, UnknownKernel};
pub use pace::Share;
pub use puzzle::{NONCES, Puzzle, digest};
pub use rate::{HashRate, Snapshot, measure};
pub use search::{MOST_THREADS, Miner, MinerError, Report, Settings};

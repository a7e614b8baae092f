//! Which way of hashing: chosen at run time among those that this CPU can run.
//!
//! A [`Kernel`] can only be had from [`Kernel::available`], so that holding one proves that it runs here.

use core::fmt;
use core::ops::{ControlFlow, Range};
use core::str::FromStr;

use thiserror::Error;

use super::portable;
use super::puzzle::{NONCES, Puzzle};
#[cfg(target_arch = "x86_64")]
use super::{avx512, sha_ni};

/// A way of hashing that this machine can run.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kernel(Kind);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    ShaNi,
    Portable,
}

/// Every kernel, the fastest first.
const FASTEST_FIRST: &[Kind] = &[
    #[cfg(target_arch = "x86_64")]
    Kind::Avx512,
    #[cfg(target_arch = "x86_64")]
    Kind::ShaNi,
    Kind::Portable,
];

/// A kernel's name that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no mining kernel `{name}` on this machine; it can run: {}", known.join(", "))]
pub struct UnknownKernel {
    name: String,
    known: Vec<&'static str>,
}

impl Kernel {
    /// The fastest that this machine can run.
    pub fn best() -> Self {
        Self::available()[0]
    }

    /// All that this machine can run, the fastest first; never empty, for the portable one runs everywhere.
    pub fn available() -> Vec<Self> {
        FASTEST_FIRST.iter().copied().filter(|kind| kind.runs_here()).map(Self).collect()
    }

    /// The name in configuration and reports.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi => "sha-ni",
            Kind::Portable => "portable",
        }
    }

    /// Tries the nonces of a range, and tells those that solve the puzzle, each once and in rising order, as
    /// soon as each is found; breaks off when `found` says so. Returns how many nonces were tried.
    ///
    /// # Panics
    ///
    /// When the range leaves `0..NONCES`.
    pub fn scan(
        self,
        puzzle: &Puzzle,
        nonces: Range<u64>,
        found: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> u64 {
        assert!(nonces.end <= NONCES, "nonces are 32 bits, so a range of them ends at 2^32");
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => avx512::scan(puzzle, nonces, found),
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi => sha_ni::scan(puzzle, nonces, found),
            Kind::Portable => portable::scan(puzzle, nonces, found),
        }
    }
}

impl Kind {
    fn runs_here(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::available(),
            #[cfg(target_arch = "x86_64")]
            Self::ShaNi => sha_ni::available(),
            Self::Portable => true,
        }
    }
}

impl FromStr for Kernel {
    type Err = UnknownKernel;

    /// A kernel by its name, if this machine can run it.
    fn from_str(name: &str) -> Result<Self, UnknownKernel> {
        let here = Self::available();
        here.iter().copied().find(|kernel| kernel.name() == name).ok_or_else(|| UnknownKernel {
            name: name.chars().take(32).collect(),
            known: here.iter().map(|kernel| kernel.name()).collect(),
        })
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sha2::{Digest, Sha256};
    use synod_types::U256;

    use super::*;

    type Scan = fn(&Puzzle, Range<u64>, &mut dyn FnMut(u32) -> ControlFlow<()>) -> u64;

    /// Bitcoin's first block: a real header whose digest has 43 leading zero bits.
    const GENESIS_NONCE: u32 = 2_083_236_893;
    const GENESIS_ZERO_BITS: usize = 43;
    const GENESIS_MERKLE: [u8; 32] = [
        0x3b, 0xa3, 0xed, 0xfd, 0x7a, 0x7b, 0x12, 0xb2, 0x7a, 0xc7, 0x2c, 0x3e, 0x67, 0x76, 0x8f, 0x61, 0x7f,
        0xc8, 0x1b, 0xc3, 0x88, 0x8a, 0x51, 0x32, 0x3a, 0x9f, 0xb8, 0xaa, 0x4b, 0x1e, 0x5e, 0x4a,
    ];

    fn genesis() -> [u8; 80] {
        let mut header = [0; 80];
        header[0] = 1;
        header[36..68].copy_from_slice(&GENESIS_MERKLE);
        header[68..72].copy_from_slice(&1_231_006_505u32.to_le_bytes());
        header[72..76].copy_from_slice(&0x1d00_ffffu32.to_le_bytes());
        header[76..].copy_from_slice(&GENESIS_NONCE.to_le_bytes());
        header
    }

    /// Every way of hashing that this machine can run, the hidden widths of the portable one too.
    fn ways() -> Vec<(&'static str, Scan)> {
        let mut ways: Vec<(&'static str, Scan)> =
            vec![("portable", portable::scan), ("one by one", portable::one_by_one)];
        #[cfg(target_arch = "x86_64")]
        {
            use super::super::{avx2, sse2};
            ways.push(("sse2", sse2::scan));
            if avx2::available() {
                ways.push(("avx2", avx2::scan));
            }
            if sha_ni::available() {
                ways.push(("sha-ni", sha_ni::scan));
            }
            if avx512::available() {
                ways.push(("avx512", avx512::scan));
            }
        }
        ways
    }

    /// A small generator, so that a failing run can be repeated.
    struct Seeded(u64);

    impl Seeded {
        fn word(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
        }

        fn header(&mut self) -> [u8; 80] {
            core::array::from_fn(|_| (self.word() >> 56) as u8)
        }
    }

    /// How many random headers the long tests take.
    fn headers() -> u64 {
        std::env::var("SYNOD_MINER_HEADERS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
    }

    /// The digest as a number, most significant byte first, by the crate alone.
    fn plain_digest(header: &[u8; 80], nonce: u32) -> [u8; 32] {
        let mut bytes = header.to_vec();
        bytes[76..80].copy_from_slice(&nonce.to_le_bytes());
        let mut digest: [u8; 32] = Sha256::digest(Sha256::digest(&bytes)).into();
        digest.reverse();
        digest
    }

    fn found_by(scan: Scan, header: &[u8; 80], target: U256, nonces: Range<u64>) -> Vec<u32> {
        let mut found = Vec::new();
        let tried = scan(&Puzzle::new(header, target), nonces.clone(), &mut |nonce| {
            found.push(nonce);
            ControlFlow::Continue(())
        });
        assert_eq!(tried, nonces.end.saturating_sub(nonces.start), "every nonce is counted");
        found
    }

    /// The target under which digests have at least so many leading zero bits.
    fn zero_bits(bits: usize) -> U256 {
        U256::MAX >> bits
    }

    #[test]
    fn pow_1_each_way_finds_exactly_what_the_plain_hash_finds_at_0_to_40_zero_bits() {
        let mut seeded = Seeded(0x5eed);
        for _ in 0..headers() {
            let header = seeded.header();
            let start = u64::from(seeded.word() as u32 >> 1);
            let nonces = start..start + 700;
            let digests: Vec<_> =
                nonces.clone().map(|nonce| (nonce as u32, plain_digest(&header, nonce as u32))).collect();
            // A power of two's edge, and a target with random lower bits.
            for bits in 0..=40 {
                let random = U256::from_limbs(core::array::from_fn(|_| seeded.word()));
                for target in [zero_bits(bits), (random | U256::from(1) << 255) >> bits] {
                    let limit = target.to_be_bytes::<32>();
                    let expected: Vec<u32> = digests
                        .iter()
                        .filter(|(_, digest)| *digest <= limit)
                        .map(|(nonce, _)| *nonce)
                        .collect();
                    for (name, scan) in ways() {
                        assert_eq!(
                            found_by(scan, &header, target, nonces.clone()),
                            expected,
                            "{name}, {bits} bits"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_real_block_is_found_at_every_difficulty_that_it_meets_and_at_none_beyond() {
        for bits in 24..=GENESIS_ZERO_BITS + 2 {
            let nonces = u64::from(GENESIS_NONCE) - 333..u64::from(GENESIS_NONCE) + 333;
            let expected: &[u32] = if bits <= GENESIS_ZERO_BITS { &[GENESIS_NONCE] } else { &[] };
            for (name, scan) in ways() {
                let found = found_by(scan, &genesis(), zero_bits(bits), nonces.clone());
                assert_eq!(found, expected, "{name}, {bits} bits");
            }
        }
    }

    #[test]
    fn each_lane_computes_the_digest_to_the_last_bit() {
        // With a nonce's own digest as the target it must be found, with one less it must not: that fixes
        // the lane's last word exactly, wherever in a vector the nonce falls.
        let mut seeded = Seeded(0x1a9e);
        for _ in 0..headers() {
            let header = seeded.header();
            let start = u64::from(seeded.word() as u32 >> 1);
            for nonce in start..start + 34 {
                let digest = U256::from_be_bytes(plain_digest(&header, nonce as u32));
                for (name, scan) in ways() {
                    let here = found_by(scan, &header, digest, start..start + 34);
                    assert!(here.contains(&(nonce as u32)), "{name} misses nonce {nonce}");
                    let below = found_by(scan, &header, digest - U256::from(1), start..start + 34);
                    assert!(!below.contains(&(nonce as u32)), "{name} takes nonce {nonce} above the target");
                }
            }
        }
    }

    #[test]
    fn a_range_of_any_length_ends_where_it_says() {
        let header = Seeded(0x7a11).header();
        for length in 0..=70 {
            for start in [0, 5, 1 << 20] {
                let expected: Vec<u32> = (start..start + length).map(|nonce| nonce as u32).collect();
                for (name, scan) in ways() {
                    let found = found_by(scan, &header, U256::MAX, start..start + length);
                    assert_eq!(found, expected, "{name}");
                }
            }
        }
    }

    #[test]
    fn the_last_nonces_are_tried_and_none_wraps_round() {
        let header = Seeded(0xe4d).header();
        for length in [1, 2, 15, 16, 17, 37] {
            let expected: Vec<u32> = (0..length).rev().map(|back| u32::MAX - back).collect();
            for (name, scan) in ways() {
                let found = found_by(scan, &header, U256::MAX, NONCES - u64::from(length)..NONCES);
                assert_eq!(found, expected, "{name}");
            }
        }
    }

    #[test]
    fn a_scan_breaks_off_when_told() {
        let header = Seeded(0xb4ea).header();
        for (name, scan) in ways() {
            let mut found = Vec::new();
            let tried = scan(&Puzzle::new(&header, U256::MAX), 100..100_000, &mut |nonce| {
                found.push(nonce);
                if found.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert_eq!(found, [100, 101, 102], "{name}");
            assert!((3..=16).contains(&tried), "{name} went on to {tried}");
        }
    }

    #[test]
    fn kernels_go_by_name_and_an_unknown_one_is_told_what_there_is() {
        for kernel in Kernel::available() {
            assert_eq!(kernel.name().parse(), Ok(kernel));
        }
        assert_eq!(Kernel::available()[0], Kernel::best());
        let error = "abacus".parse::<Kernel>().unwrap_err().to_string();
        assert!(error.contains("`abacus`") && error.contains("portable"), "{error}");
    }

    #[test]
    #[should_panic(expected = "2^32")]
    fn a_range_beyond_the_nonces_is_refused() {
        let puzzle = Puzzle::new(&[0; 80], U256::ZERO);
        Kernel::best().scan(&puzzle, 0..NONCES + 1, &mut |_| ControlFlow::Continue(()));
    }
}

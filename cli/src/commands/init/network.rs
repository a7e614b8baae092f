//! A new network's genesis: its money, its times, its first difficulty.
//!
//! Under a committee nothing is mined, and every flag of mining is refused rather than ignored.
//!
//! The first target is what the machine's own kernel needs for one block in the intended time, on as many
//! threads as the new nodes mine with; from then on ASERT decides. ASERT is absolute, so a network whose
//! genesis lies back when its first miner starts makes up the lost time with easier blocks: the easiest
//! target bounds how easy they get.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use synod_consensus::pow::Target;
use synod_node::miner::{Kernel, measure};
use synod_types::amount::parse_amount;
use synod_types::genesis::{CHAIN_ID_LIMIT, Fees, Genesis, Limits, Member, Ordering, ProofOfWork};
use synod_types::{B256, U256, UnixMillis};

use super::allocation::Allocation;
use crate::commands::chain::hash_rate;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::wallet::keystore::random;

/// How long the kernel is timed.
const CALIBRATION: Duration = Duration::from_millis(500);
/// How many times easier than at the start mining can ever become.
const EASIEST: u64 = 1024;
/// ASERT's half-life, in intended gaps between blocks: an hour at the default of 30 s.
const HALF_LIFE_SPACINGS: u32 = 120;

/// The target of a genesis under a committee: a valid one, which nothing reads.
const UNUSED_BITS: u32 = 0x207f_ffff;

/// A new network.
#[derive(Debug, Args)]
#[command(next_help_heading = "A new network")]
#[group(id = "network", multiple = true)]
pub(super) struct NetworkOptions {
    /// Give an account money at the start; may be given again
    #[arg(long, value_name = "NAME|ADDRESS=AMOUNT")]
    alloc: Vec<String>,
    /// The same from a file, one to a line
    #[arg(long, value_name = "FILE")]
    alloc_file: Option<PathBuf>,
    /// Intended seconds between blocks [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    spacing: Option<u32>,
    /// Seconds in which the difficulty halves while no block comes [default: 120 times the spacing]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    half_life: Option<u32>,
    /// Expected hashes for the first block [default: what this machine does in the time]
    #[arg(long, value_name = "HASHES", conflicts_with = "bits", value_parser = clap::value_parser!(u64).range(1..))]
    difficulty: Option<u64>,
    /// The same as a compact target, such as 0x1d00ffff
    #[arg(long, value_parser = parse_bits)]
    bits: Option<u32>,
    /// What the first blocks' miners get [default: 5]
    #[arg(long, value_name = "AMOUNT", value_parser = parse_amount)]
    reward: Option<U256>,
    /// Blocks after which the reward halves [default: 4200000]
    #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(u64).range(1..))]
    halving: Option<u64>,
    /// Depth at which blocks count as settled and rewards can be spent [default: 100]
    #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    settled_depth: Option<u64>,
    /// The chain's id [default: random]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..CHAIN_ID_LIMIT))]
    chain_id: Option<u64>,
    /// The genesis block's time, in seconds since 1970; no block can be older [default: now]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..u64::from(u32::MAX)))]
    time: Option<u64>,
}

impl NetworkOptions {
    /// The genesis, and in words what its first target rests on where that was measured here.
    ///
    /// # Errors
    /// Allocations that make no sense, flags of another ordering, or no randomness.
    pub(super) fn build(
        &self,
        context: &Context,
        ordering: Ordering,
        members: Vec<Member>,
        miners: usize,
    ) -> Outcome<(Genesis, Option<String>)> {
        let mut alloc = Allocation::new(context);
        if let Some(path) = &self.alloc_file {
            alloc.add_file(path)?;
        }
        for text in &self.alloc {
            alloc.add(text)?;
        }
        let mut salt = B256::ZERO;
        random(salt.as_mut_slice())?;
        let (pow, measured) = if ordering.has_committee() {
            refuse_mining(ordering, &self.of_mining())?;
            (ProofOfWork::testnet(UNUSED_BITS), None)
        } else {
            self.proof_of_work(context, miners)?
        };
        let genesis = Genesis {
            chain_id: self.chain_id.map_or_else(random_chain_id, Ok)?,
            salt,
            time: self.time.map_or_else(now, |seconds| UnixMillis(seconds.saturating_mul(1000))),
            ordering,
            members,
            alloc: alloc.finish(),
            fees: Fees::default(),
            limits: Limits::default(),
            pow,
            testnet: false,
        };
        Ok((genesis, measured))
    }

    /// The flags that only mined networks have, and whether they were given.
    fn of_mining(&self) -> [(&'static str, bool); 7] {
        [
            ("--spacing", self.spacing.is_some()),
            ("--half-life", self.half_life.is_some()),
            ("--difficulty", self.difficulty.is_some()),
            ("--bits", self.bits.is_some()),
            ("--reward", self.reward.is_some()),
            ("--halving", self.halving.is_some()),
            ("--settled-depth", self.settled_depth.is_some()),
        ]
    }

    fn proof_of_work(&self, context: &Context, miners: usize) -> Outcome<(ProofOfWork, Option<String>)> {
        let spacing_seconds = self.spacing.unwrap_or(30);
        let (target, measured) = self.first_target(context, spacing_seconds, miners)?;
        let easiest = target.work().0 / U256::from(EASIEST);
        let reward = self
            .reward
            .map(u128::try_from)
            .transpose()
            .map_err(|_| Failure::usage("bad_amount", "--reward: more than there can be of a coin"))?;
        let defaults = ProofOfWork::testnet(target.to_compact());
        let pow = ProofOfWork {
            limit_bits: of_difficulty(easiest).to_compact(),
            spacing_seconds,
            half_life_seconds: self
                .half_life
                .unwrap_or(spacing_seconds.saturating_mul(HALF_LIFE_SPACINGS).min(31_536_000)),
            future_limit_seconds: 15,
            reward: reward.unwrap_or(defaults.reward),
            halving_interval: self.halving.unwrap_or(4_200_000),
            settled_depth: self.settled_depth.unwrap_or(defaults.settled_depth),
            ..defaults
        };
        Ok((pow, measured))
    }

    fn first_target(
        &self,
        context: &Context,
        spacing: u32,
        miners: usize,
    ) -> Outcome<(Target, Option<String>)> {
        if let Some(bits) = self.bits {
            let target = Target::from_compact(bits)
                .map_err(|error| Failure::usage("bad_bits", format!("--bits {bits:#010x}: {error}")))?;
            return Ok((target, None));
        }
        if let Some(hashes) = self.difficulty {
            return Ok((of_difficulty(U256::from(hashes)), None));
        }
        let progress = context.output.progress("timing this machine's miner");
        let one = measure(Kernel::best(), 1, CALIBRATION).per_second().max(1.0);
        drop(progress);
        let hashes = (one * miners as f64 * f64::from(spacing)).clamp(2.0, 1e18);
        let threads = if miners == 1 { "one thread".to_owned() } else { format!("{miners} threads") };
        let measured = format!("for {threads} at this machine's {}", hash_rate(one as u64));
        Ok((of_difficulty(U256::from(hashes as u64)), Some(measured)))
    }
}

/// Refuses the first of these flags that was given: a committee orders, and nothing is mined.
///
/// # Errors
/// When one was.
pub(super) fn refuse_mining(ordering: Ordering, flags: &[(&'static str, bool)]) -> Outcome<()> {
    match flags.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((flag, _)) => Err(Failure::usage(
            "no_mining",
            format!(
                "{flag} is of proof of work, and {ordering} orders this network: its blocks come on demand"
            ),
        )
        .hint(format!("leave {flag} out; `--ordering pow` makes a mined network"))),
    }
}

/// The target that takes `hashes` on average.
fn of_difficulty(hashes: U256) -> Target {
    Target::at_least_one(U256::MAX / hashes.max(U256::from(2)))
}

fn random_chain_id() -> Outcome<u64> {
    let mut bytes = [0; 8];
    random(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes) % (CHAIN_ID_LIMIT - 1) + 1)
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn parse_bits(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u32::from_str_radix(digits, 16)
        .map_err(|_| "a compact target is 8 hex digits, such as 0x1d00ffff".to_owned())
}

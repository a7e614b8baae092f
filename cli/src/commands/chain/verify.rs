//! `synod chain verify`: an account's proof, checked without any node.
//!
//! The chain of reasons: the header's hash meets the target that it names; the commitment's hash stands in
//! the header; the state root stands in the commitment; the account hangs below the state root. What no file
//! can prove is that the header is on the best chain: for that one compares its hash with a trusted one
//! (`--block`), or weighs the work that it shows.
//!
//! Under a committee the header's hash stands in a certificate, a quorum of whose committee signed it, and the
//! committee stands in the genesis (`--genesis`), or follows from it epoch by epoch: then nothing is left to
//! trust but that document.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use synod_consensus::committee::succession::follow_all;
use synod_consensus::committee::{Certificate, Committee, EpochRecord, Succession};
use synod_consensus::pow::Target;
use synod_ledger::prove::AccountProof;
use synod_ledger::state::Account;
use synod_ledger::trie::Proof;
use synod_node::rpc::types::ProofView;
use synod_types::address::{format_address, parse_address};
use synod_types::block::HEADER_LENGTH;
use synod_types::{B256, BlockHash, Bytes, Commitment, Genesis, Header, Height, U256, codec};

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::wallet::draft::{Wei, both};
use crate::wallet::names::Names;

/// A proof is a few kilobytes, the longest walk some 17, and an epoch's end 2 to 20.
const LENGTH_LIMIT: u64 = 32 * 1024 * 1024;

/// Check an account's proof without any node
///
/// Exit code 6 means that the proof does not hold. Under proof of work, without --block, the check shows that
/// somebody spent the work on this block, not that it is on the best chain. Under a committee --genesis checks
/// the block's certificate, too: then the balance is final.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  synod chain proof alice --out alice.proof.json\n  synod chain verify alice.proof.json --block 0x0000…\n  synod chain verify alice.proof.json --genesis genesis.json --account alice"
)]
pub(crate) struct Verify {
    /// A file made by `synod chain proof`, or - for standard input
    file: PathBuf,
    /// The block's hash, from a place that you trust
    #[arg(long, value_name = "HASH", value_parser = parse_hash)]
    block: Option<BlockHash>,
    /// The network's genesis document, from a place that you trust
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Whose account it must be: a name or an address
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
}

/// Why the block counts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "because")]
enum Ground {
    /// Its header shows so many hashes of work.
    Work { work: String },
    /// So many members of the committee that the genesis leads to signed that it is final.
    Certificate {
        signers: usize,
        members: usize,
        quorum: usize,
        epoch: u64,
        genesis: String,
        /// What the members are trusted not to do.
        #[serde(skip_serializing_if = "Option::is_none")]
        assumes: Option<&'static str>,
    },
    /// It was compared with a hash, and with nothing else.
    Hash,
}

/// What was shown.
#[derive(Debug, Serialize)]
struct Verified {
    address: String,
    exists: bool,
    balance: Wei,
    nonce: u64,
    height: u64,
    block_hash: String,
    trusted: bool,
    #[serde(flatten)]
    ground: Ground,
}

fn parse_hash(text: &str) -> Result<BlockHash, String> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 64);
    digits.and_then(|_| text.parse().ok()).ok_or_else(|| "a block's hash is 0x and 64 hex digits".to_owned())
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let text = self.read()?;
        let view: ProofView = serde_json::from_str(&text).map_err(|error| {
            Failure::usage("malformed", format!("{}: no proof: {error}", self.file.display()))
                .hint("`synod chain proof ACCOUNT --out FILE` makes one")
        })?;
        let proof = decode(&view).map_err(refuted)?;
        let genesis = self.genesis.as_ref().map(|path| read_genesis(path)).transpose()?;
        self.check_account(&view, context)?;
        let verified = check(&view, &proof, self.block, genesis.as_ref()).map_err(refuted)?;
        context.output.result(&verified);
        Ok(())
    }

    fn check_account(&self, view: &ProofView, context: &Context) -> Outcome<()> {
        let Some(account) = &self.account else { return Ok(()) };
        let meant = match parse_address(account) {
            Ok(address) => address,
            Err(_) => Names::new(context.keystore()?, true).account(account)?.address,
        };
        if meant == view.address {
            return Ok(());
        }
        Err(refuted(format!("it is about {}, not about {account}", format_address(&view.address))))
    }

    fn read(&self) -> Outcome<String> {
        let failed = |error: std::io::Error| Failure::file(&self.file, &error);
        let mut text = String::new();
        if self.file.as_os_str() == "-" {
            std::io::stdin().take(LENGTH_LIMIT).read_to_string(&mut text).map_err(failed)?;
        } else {
            let file = std::fs::File::open(&self.file).map_err(failed)?;
            file.take(LENGTH_LIMIT).read_to_string(&mut text).map_err(failed)?;
        }
        Ok(text)
    }
}

fn refuted(problem: String) -> Failure {
    Failure::new(Exit::Verification, "proof_refuted", format!("the proof does not hold: {problem}"))
}

fn decode(view: &ProofView) -> Result<AccountProof, String> {
    let part = |name: &str, error: &dyn fmt::Display| format!("{name}: {error}");
    let header: &[u8; HEADER_LENGTH] =
        view.header.as_ref().try_into().map_err(|_| format!("header: not {HEADER_LENGTH} bytes"))?;
    let commitment: Commitment =
        codec::decode::<_, 4096>(&view.commitment).map_err(|error| part("commitment", &error))?;
    let account = match &view.account {
        Some(bytes) => read_account(bytes).map_err(|error| part("account", &error))?,
        None => Account::default(),
    };
    let proof = Proof::from_bytes(&view.proof).map_err(|error| part("proof", &error))?;
    Ok(AccountProof { header: Header::from_bytes(header), commitment, address: view.address, account, proof })
}

fn read_account(bytes: &Bytes) -> Result<Account, codec::DecodeError> {
    codec::decode::<Account, 4096>(bytes)
}

fn read_genesis(path: &Path) -> Outcome<Genesis> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    Genesis::from_json(&text)
        .map_err(|error| Failure::usage("bad_genesis", format!("{}: {error}", path.display())))
}

fn check(
    view: &ProofView,
    proof: &AccountProof,
    trusted: Option<BlockHash>,
    genesis: Option<&Genesis>,
) -> Result<Verified, String> {
    let hash = proof.verify().map_err(|error| error.to_string())?;
    if trusted.is_some_and(|trusted| trusted != hash) {
        return Err(format!("it is of block {hash}, not of the one that you trust"));
    }
    let height = proof.commitment.height;
    let said = (view.block_hash, view.height, view.state_root);
    if said != (hash, height, proof.commitment.state_root) {
        return Err("what the file says of the block is not what its header binds".to_owned());
    }
    let ground = ground(view, proof, hash, trusted.is_some(), genesis)?;
    Ok(Verified {
        address: format_address(&proof.address),
        exists: view.account.is_some(),
        balance: Wei(proof.account.balance),
        nonce: proof.account.nonce,
        height: height.0,
        block_hash: hash.to_string(),
        trusted: trusted.is_some(),
        ground,
    })
}

/// What the block rests on.
fn ground(
    view: &ProofView,
    proof: &AccountProof,
    hash: BlockHash,
    is_trusted: bool,
    genesis: Option<&Genesis>,
) -> Result<Ground, String> {
    let committee = match genesis.and_then(|genesis| Some((genesis.hash(), EpochRecord::first(genesis)?))) {
        Some((genesis, first)) => Some(committee(view, genesis, first)?),
        None => None,
    };
    let height = proof.commitment.height;
    match (committee, proof.header.bits) {
        (Some(committee), _) => certified(view, &committee, height, hash),
        // A committee's blocks show no work.
        (None, 0) if is_trusted => Ok(Ground::Hash),
        (None, 0) if genesis.is_some() => {
            Err("the block is a committee's, and the genesis names none".to_owned())
        }
        (None, 0) => {
            Err("the block is a committee's: give --genesis genesis.json, or --block HASH".to_owned())
        }
        (None, _) => {
            let work = if height.0 == 0 { U256::ZERO } else { work_of(&proof.header, hash)? };
            Ok(Ground::Work { work: work.to_string() })
        }
    }
}

/// The committee that the genesis' own one leads to, by the ends of the epochs between.
fn committee(view: &ProofView, genesis: B256, first: EpochRecord) -> Result<Committee, String> {
    let ends: Result<Vec<_>, _> = view.epochs.iter().map(|bytes| Succession::from_bytes(bytes)).collect();
    follow_all(genesis, first, &ends.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
}

fn certified(
    view: &ProofView,
    committee: &Committee,
    height: Height,
    hash: BlockHash,
) -> Result<Ground, String> {
    let bytes = view.certificate.as_ref().ok_or("it has no certificate")?;
    let certificate = Certificate::from_bytes(bytes).map_err(|error| format!("certificate: {error}"))?;
    let statement = certificate.statement;
    if (statement.height, statement.block_hash) != (height, hash) {
        return Err(format!("its certificate is of block {} {}", statement.height, statement.block_hash));
    }
    certificate.verify(committee).map_err(|error| format!("certificate: {error}"))?;
    Ok(Ground::Certificate {
        signers: certificate.signatures.count(),
        members: committee.len(),
        quorum: committee.quorum(),
        epoch: committee.epoch().0,
        genesis: committee.genesis().to_string(),
        assumes: committee.record().model.assumption(),
    })
}

/// The expected hashes that the header's own target stands for, if its hash meets it.
fn work_of(header: &Header, hash: BlockHash) -> Result<U256, String> {
    let target = Target::from_compact(header.bits).map_err(|error| error.to_string())?;
    if target.is_met_by(hash) {
        Ok(target.work().0)
    } else {
        Err("the block's hash does not meet its target".to_owned())
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exists {
            writeln!(formatter, "✓ {} holds {}, nonce {}", self.address, both(self.balance.0), self.nonce)?;
        } else {
            writeln!(formatter, "✓ {} does not exist", self.address)?;
        }
        writeln!(formatter, "  at block {} {}", self.height, self.block_hash)?;
        if self.trusted && !matches!(self.ground, Ground::Certificate { .. }) {
            return write!(formatter, "  which is the block that you trust");
        }
        match &self.ground {
            Ground::Work { work } => write!(
                formatter,
                "  which shows {work} hashes of work; compare its hash with a block that you trust (--block)"
            ),
            Ground::Certificate { signers, members, quorum, epoch, genesis, assumes } => {
                write!(
                    formatter,
                    "  which is final: {signers} of the {members} members of epoch {epoch} of genesis {genesis} signed it, and {quorum} are needed"
                )?;
                assumes.map_or(Ok(()), |assumes| write!(formatter, "\n  safe if {assumes}"))
            }
            Ground::Hash => Ok(()),
        }
    }
}

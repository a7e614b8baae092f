//! `synod chain verify`: an account's proof, checked without any node.
//!
//! The chain of reasons: the header's hash meets the target that it names; the commitment's hash stands in
//! the header; the state root stands in the commitment; the account hangs below the state root. What no file
//! can prove is that the header is on the best chain: for that one compares its hash with a trusted one
//! (`--block`), or weighs the work that it shows.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use synod_consensus::pow::Target;
use synod_ledger::prove::AccountProof;
use synod_ledger::state::Account;
use synod_ledger::trie::Proof;
use synod_node::rpc::types::ProofView;
use synod_types::address::format_address;
use synod_types::block::HEADER_LENGTH;
use synod_types::{BlockHash, Bytes, Commitment, Header, U256, codec};

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::wallet::draft::{Wei, both};

/// A proof is a few kilobytes; the longest walk some 17.
const LENGTH_LIMIT: u64 = 256 * 1024;

/// Check an account's proof without any node
///
/// Exit code 6 means that the proof does not hold. Without --block the check shows that somebody spent the
/// work on this block, not that it is on the best chain.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  synod chain proof alice --out alice.proof.json\n  synod chain verify alice.proof.json --block 0x0000…"
)]
pub(crate) struct Verify {
    /// A file made by `synod chain proof`, or - for standard input
    file: PathBuf,
    /// The block's hash, from a place that you trust
    #[arg(long, value_name = "HASH", value_parser = parse_hash)]
    block: Option<BlockHash>,
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
    work: String,
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
        let verified = check(&view, &proof, self.block).map_err(refuted)?;
        context.output.result(&verified);
        Ok(())
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

fn check(view: &ProofView, proof: &AccountProof, trusted: Option<BlockHash>) -> Result<Verified, String> {
    let hash = proof.verify().map_err(|error| error.to_string())?;
    if trusted.is_some_and(|trusted| trusted != hash) {
        return Err(format!("it is of block {hash}, not of the one that you trust"));
    }
    let height = proof.commitment.height;
    let said = (view.block_hash, view.height, view.state_root);
    if said != (hash, height, proof.commitment.state_root) {
        return Err("what the file says of the block is not what its header binds".to_owned());
    }
    let work = if height.0 == 0 { U256::ZERO } else { work_of(&proof.header, hash)? };
    Ok(Verified {
        address: format_address(&proof.address),
        exists: view.account.is_some(),
        balance: Wei(proof.account.balance),
        nonce: proof.account.nonce,
        height: height.0,
        block_hash: hash.to_string(),
        trusted: trusted.is_some(),
        work: work.to_string(),
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
        if self.trusted {
            return write!(formatter, "  which is the block that you trust");
        }
        write!(
            formatter,
            "  which shows {} hashes of work; compare its hash with a block that you trust (--block)",
            self.work
        )
    }
}

//! `synod wallet sign`: a payment, signed without a node.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use synod_types::address::format_address;
use synod_types::{Bytes, Genesis, Transaction};

use super::payment::{Order, open};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::home::{Existing, write_private};
use crate::wallet::draft::{self, Draft, Wei};
use crate::wallet::fees::{FeeOptions, TRANSFER_GAS};
use crate::wallet::names::Names;
use crate::wallet::network::{Network, Pin};
use crate::wallet::outbox::Record;
use crate::wallet::password::PasswordSource;

/// Sign a payment without a node
///
/// Prints the signed transaction, or writes it to a file; `synod wallet submit` sends it, from any machine.
/// The network is the one that this wallet is pinned to, or the one of a genesis file.
#[derive(Debug, Args)]
#[command(
    after_help = "Example, on a machine without a network:\n  synod wallet sign --from cold --to 0x305498f8e08BC65DBacb4514475E01AFbE03f575 12.5 \\\n    --nonce 0 --max-fee 3gwei --tip 1gwei --genesis genesis.json --out payment.tx"
)]
pub(crate) struct Sign {
    #[command(flatten)]
    order: Order,
    /// The account's next nonce; `synod wallet balance --json` shows it as pending_nonce
    #[arg(long)]
    nonce: u64,
    /// The network's genesis document
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Write to this file, which must not exist, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    fees: FeeOptions,
    #[command(flatten)]
    password: PasswordSource,
}

#[derive(Debug, Serialize)]
struct Signed {
    id: String,
    raw: Bytes,
    from: String,
    to: String,
    value: Wei,
    nonce: u64,
    chain_id: u64,
    genesis_hash: String,
    file: Option<String>,
}

impl Sign {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let network = self.network(context)?;
        let names = Names::new(context.keystore()?, network.testnet);
        let (signer, to) = (names.signer(&self.order.from)?, names.account(&self.order.to)?);
        let (from, fees) = (signer.account(), self.fees.decide(None, TRANSFER_GAS)?);
        // Before a password is asked for.
        if let Some(path) = self.out.as_deref().filter(|path| path.exists()) {
            return Err(taken(path));
        }
        let key = open(context, &signer, &self.password)?;
        let transaction = draft::transaction(
            &network,
            key.public(),
            self.nonce,
            Some(to.address),
            self.order.amount,
            Bytes::new(),
            &fees,
        );
        context.output.note(Draft {
            network: &network,
            from: &from,
            to: Some(&to),
            action: None,
            transaction: &transaction,
        });
        let signed = Transaction::Native(transaction.sign(network.genesis_hash, &key));
        let record = Record::new(&signed, &network)?;
        if let Some(path) = &self.out {
            let text = format!("{}\n", record.raw);
            write_private(path, text.as_bytes(), Existing::Keep).map_err(|error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => taken(path),
                _ => Failure::file(path, &error),
            })?;
        }
        context.output.result(&Signed {
            id: record.id.to_string(),
            raw: record.raw,
            from: format_address(&from.address),
            to: format_address(&to.address),
            value: Wei(self.order.amount),
            nonce: self.nonce,
            chain_id: network.chain_id,
            genesis_hash: network.genesis_hash.to_string(),
            file: self.out.map(|path| path.display().to_string()),
        });
        Ok(())
    }

    fn network(&self, context: &Context) -> Outcome<Network> {
        let Some(path) = &self.genesis else {
            let none = || {
                Failure::usage(
                    "no_network",
                    "this wallet has not met a network yet, and a signature binds one",
                )
                .hint("give the network's --genesis FILE, or run `synod wallet balance` beside a node once")
            };
            return Pin::new(&context.wallet()?).read()?.ok_or_else(none);
        };
        let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
        let genesis = Genesis::from_json(&text)
            .map_err(|error| Failure::failed("genesis", format!("{}: {error}", path.display())))?;
        Ok(Network { chain_id: genesis.chain_id, genesis_hash: genesis.hash(), testnet: genesis.testnet })
    }
}

/// A signed payment is money: it is never written over another one.
fn taken(path: &Path) -> Failure {
    Failure::failed("file", format!("{} exists already", path.display()))
        .hint("choose another --out, or delete the file if nothing in it is needed")
}

impl fmt::Display for Signed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => {
                write!(formatter, "✓ signed, not sent: {}\n  next     synod wallet submit {file}", self.id)
            }
            None => write!(formatter, "{}", self.raw),
        }
    }
}

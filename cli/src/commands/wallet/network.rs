//! `synod wallet network`: the chain that this wallet signs for.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_types::B256;

use crate::client::Settle;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::wallet::network::{Network, Pin};

/// Show or change the network that this wallet signs for
///
/// The first network that the wallet meets is pinned. Another one is used only after it was accepted here
/// by its genesis hash.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  synod wallet network\n  synod wallet network --accept 0x8f52…")]
pub(crate) struct PinnedNetwork {
    /// Pin the network of the node that answers, whose genesis hash must be this
    #[arg(long, value_name = "HASH", value_parser = genesis_hash)]
    accept: Option<B256>,
}

fn genesis_hash(text: &str) -> Result<B256, String> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 64);
    digits.and_then(|_| text.parse().ok()).ok_or_else(|| "a genesis hash is 0x and 64 hex digits".to_owned())
}

#[derive(Debug, Serialize)]
struct Shown {
    network: Option<Network>,
}

impl PinnedNetwork {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let pin = Pin::new(&context.wallet()?);
        if let Some(hash) = self.accept {
            let network = Network::from(&context.node()?.status().settle()?);
            if network.genesis_hash != hash {
                let message =
                    format!("the node is of {}, whose hash is {}", network.title(), network.genesis_hash);
                return Err(Failure::new(Exit::Verification, "wrong_network", message));
            }
            pin.write(&network)?;
        }
        context.output.result(&Shown { network: pin.read()? });
        Ok(())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.network {
            Some(network) => write!(formatter, "{}\n  genesis  {}", network.title(), network.genesis_hash),
            None => formatter.write_str("no network yet; the first node that answers decides"),
        }
    }
}

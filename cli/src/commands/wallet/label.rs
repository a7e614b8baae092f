//! `synod wallet label`: a few words beside an account.

use std::fmt;

use clap::Args;
use serde::Serialize;
use synod_types::address::format_address;

use crate::context::Context;
use crate::failure::Outcome;
use crate::wallet::labels::Labels;
use crate::wallet::names::Names;

/// Put a label beside an account or any address; an empty one takes it away
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod wallet label alice \"flat in town\"")]
pub(crate) struct Label {
    /// A name or an address
    account: String,
    /// At most 80 characters
    label: String,
}

#[derive(Debug, Serialize)]
struct Labelled {
    address: String,
    label: Option<String>,
}

impl Label {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let account = Names::new(context.keystore()?, true).account(&self.account)?;
        let mut labels = Labels::read(&context.wallet()?)?;
        labels.set(account.address, &self.label)?;
        let label = labels.of(account.address).map(str::to_owned);
        context.output.result(&Labelled { address: format_address(&account.address), label });
        Ok(())
    }
}

impl fmt::Display for Labelled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.label {
            Some(label) => write!(formatter, "✓ {}  {label}", self.address),
            None => write!(formatter, "✓ {} has no label", self.address),
        }
    }
}

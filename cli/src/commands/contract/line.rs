//! An event on one line, with its arguments where an interface explains it.

use std::fmt;

use alloy_json_abi::JsonAbi;
use serde::Serialize;
use serde_json::Value;
use synod_types::address::format_address;
use synod_types::{Address, B256, Bytes};

use crate::contract::event;
use crate::contract::show::Titles;

/// An event of a contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct EventLine {
    contract: String,
    /// `null` where no known interface declares it.
    event: Option<String>,
    arguments: Option<Value>,
    topics: Vec<B256>,
    data: Bytes,
    #[serde(skip)]
    text: String,
}

impl EventLine {
    /// What the log of the contract at `address` says by the first interface that explains it.
    pub(super) fn new<'a>(
        address: Address,
        topics: &[B256],
        data: &Bytes,
        interfaces: impl IntoIterator<Item = &'a JsonAbi>,
        titles: &dyn Titles,
    ) -> Self {
        let told = event::tell(topics, data, interfaces, titles);
        let contract = titles.title(address).unwrap_or_else(|| format_address(&address));
        let said = told.as_ref().map_or_else(|| event::raw_text(topics, data), |told| told.text.clone());
        let (event, arguments) = told.map(|told| (told.name, told.arguments)).unzip();
        Self {
            contract: format_address(&address),
            event,
            arguments,
            topics: topics.to_vec(),
            data: data.clone(),
            text: format!("{contract} {said}"),
        }
    }
}

impl fmt::Display for EventLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

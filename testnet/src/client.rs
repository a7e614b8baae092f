//! A node's JSON-RPC, as loads and oracles use it.

use std::time::Duration;

use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;
use synod_node::rpc::types::{
    AccountView, BlockReference, BlockView, CommitteeView, FeesView, ReadIndexView, StatusView, SubmitView,
    TransactionStatusView,
};
use synod_types::address::format_address;
use synod_types::{Address, Transaction, TransactionId};

use crate::error::TestnetError;

/// A connection to one node.
#[derive(Debug, Clone)]
pub struct Client {
    name: String,
    http: HttpClient,
}

impl Client {
    /// A client of the node called `name` at `url`, which is not connected to before the first call.
    ///
    /// # Errors
    /// The URL is none.
    pub fn new(name: &str, url: &str) -> Result<Self, TestnetError> {
        let http = HttpClientBuilder::default()
            .request_timeout(Duration::from_secs(5))
            .build(url)
            .map_err(|error| TestnetError::Rpc { node: name.to_owned(), problem: error.to_string() })?;
        Ok(Self { name: name.to_owned(), http })
    }

    /// Which node this talks to.
    pub fn name(&self) -> &str {
        &self.name
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        parameters: Vec<Value>,
    ) -> Result<T, TestnetError> {
        use jsonrpsee_core::client::{ClientT, Error};
        let mut answer = self.http.request(method, parameters.clone()).await;
        if let Err(Error::Transport(_)) = answer {
            // A connection that was kept open may have been closed by the other side meanwhile. Every call may be
            // made twice: a transaction has its nonce.
            answer = self.http.request(method, parameters).await;
        }
        answer.map_err(|error| TestnetError::Rpc { node: self.name.clone(), problem: error.to_string() })
    }

    /// `synod_status`.
    ///
    /// # Errors
    /// [`TestnetError::Rpc`], as for every call.
    pub async fn status(&self) -> Result<StatusView, TestnetError> {
        self.call("synod_status", Vec::new()).await
    }

    /// `synod_validators`.
    ///
    /// # Errors
    /// [`TestnetError::Rpc`].
    pub async fn validators(&self) -> Result<CommitteeView, TestnetError> {
        self.call("synod_validators", Vec::new()).await
    }

    /// `synod_fees`.
    ///
    /// # Errors
    /// [`TestnetError::Rpc`].
    pub async fn fees(&self) -> Result<FeesView, TestnetError> {
        self.call("synod_fees", Vec::new()).await
    }

    /// `synod_account` at the tip.
    ///
    /// # Errors
    /// [`TestnetError::Rpc`].
    pub async fn account(&self, address: &Address) -> Result<AccountView, TestnetError> {
        self.call("synod_account", vec![format_address(address).into()]).await
    }

    /// `synod_account` at a block.
    ///
    /// # Errors
    /// [`TestnetError::Rpc`].
    pub async fn account_at(
        &self,
        address: &Address,
        block: BlockReference,
    ) -> Result<AccountView, TestnetError> {
        let block = serde_json::to_value(block).expect("references serialize");
        self.call("synod_account", vec![format_address(address).into(), block]).await
    }

    /// `synod_readIndex`.
    ///
    /// # Errors
    /// [`TestnetError::Rpc`].
    pub async fn read_index(&self) -> Result<ReadIndexView, TestnetError> {
        self.call("synod_readIndex", Vec::new()).await
    }

    /// `synod_submit`.
    ///
    /// # Errors
    /// [`TestnetError::Rpc`].
    pub async fn submit(&self, transaction: &Transaction) -> Result<SubmitView, TestnetError> {
        let raw = alloy_primitives::hex::encode_prefixed(transaction.to_bytes());
        self.call("synod_submit", vec![raw.into()]).await
    }

    /// `synod_transaction`.
    ///
    /// # Errors
    /// [`TestnetError::Rpc`].
    pub async fn transaction(&self, id: TransactionId) -> Result<TransactionStatusView, TestnetError> {
        self.call("synod_transaction", vec![id.to_string().into()]).await
    }

    /// `synod_block`, with transaction ids.
    ///
    /// # Errors
    /// [`TestnetError::Rpc`].
    pub async fn block(&self, reference: BlockReference) -> Result<BlockView, TestnetError> {
        let reference = serde_json::to_value(reference).expect("references serialize");
        self.call("synod_block", vec![reference, false.into()]).await
    }
}

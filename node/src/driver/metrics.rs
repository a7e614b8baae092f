//! The node's own figures for `/metrics`, read when somebody asks.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::rpc::Backend;

/// Reads the status at every scrape.
pub(super) struct NodeFigures<B>(pub(super) Arc<B>);

impl<B> fmt::Debug for NodeFigures<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NodeFigures")
    }
}

impl<B: Backend> Collector for NodeFigures<B> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let status = self.0.status();
        let mut gauge = |name: &str, help: &str, value: u64| {
            let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        gauge("synod_height", "Height of the tip", status.head.height.0)?;
        gauge("synod_settled_height", "Height at the settled depth", status.settled_height.0)?;
        gauge("synod_head_time_ms", "Time of the tip, Unix milliseconds", status.head.time.0)?;
        gauge(
            "synod_base_fee_wei",
            "Base fee of the tip",
            u64::try_from(status.base_fee).unwrap_or(u64::MAX),
        )?;
        gauge("synod_peers", "Connected peers", u64::from(status.peers))?;
        gauge("synod_pool_transactions", "Waiting transactions", status.mempool.transactions)?;
        gauge("synod_pool_bytes", "Bytes of waiting transactions", status.mempool.bytes)?;
        gauge("synod_ready", "1 when the node takes transactions", u64::from(status.ready))?;
        let mining = status.mining.as_ref();
        gauge("synod_mining_hash_rate", "Hashes a second", mining.map_or(0, |mining| mining.hash_rate))?;
        let mut counter = |name: &str, help: &str, value: u64| {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        counter(
            "synod_blocks_found",
            "Blocks found by this node",
            mining.map_or(0, |mining| mining.blocks_found),
        )?;
        counter(
            "synod_settled_reversals",
            "Times that settled blocks were reversed",
            status.settled_reversals,
        )
    }
}

//! The node's own figures for `/metrics`, read when somebody asks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::getwork::server::Figures;
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
        ordering_facts(&mut encoder, &status.facts)?;
        let (name, help) = ("synod_mining_thread_hash_rate", "Hashes a second of each thread");
        let mut threads = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (thread, rate) in mining.map_or(&[][..], |mining| &mining.hash_rates).iter().enumerate() {
            let metric = ConstGauge::new(i64::try_from(*rate).unwrap_or(i64::MAX));
            metric.encode(threads.encode_family(&[("thread", thread)])?)?;
        }
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

/// The ordering's own figures by name, such as a view or an epoch; what is true is 1. Texts are left out but for the
/// phase, of which there are a few: every other one would be a series of its own.
fn ordering_facts(
    encoder: &mut DescriptorEncoder<'_>,
    facts: &BTreeMap<String, String>,
) -> Result<(), fmt::Error> {
    let (name, help) = ("synod_ordering", "The ordering's own figures");
    let mut figures = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (fact, text) in facts {
        let truth = text.parse::<bool>().map(i64::from);
        let Ok(value) = truth.or_else(|_| text.parse::<i64>()) else { continue };
        ConstGauge::new(value).encode(figures.encode_family(&[("fact", fact)])?)?;
    }
    if let Some(phase) = facts.get("phase") {
        let (name, help) = ("synod_ordering_phase", "1 for the ordering's phase");
        let mut phases = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(1_i64).encode(phases.encode_family(&[("phase", phase)])?)?;
    }
    Ok(())
}

/// Reads what miners were served over `getwork` at every scrape.
pub(super) struct MinersFigures(pub(super) Figures);

impl fmt::Debug for MinersFigures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MinersFigures")
    }
}

impl Collector for MinersFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let figures = (self.0)();
        let connections = ConstGauge::new(i64::try_from(figures.connections).unwrap_or(i64::MAX));
        let (name, help) = ("synod_getwork_connections", "Miners' open connections");
        connections.encode(encoder.encode_descriptor(name, help, None, connections.metric_type())?)?;
        let units = ConstCounter::new(figures.units);
        let (name, help) = ("synod_getwork_units", "Units of work handed out");
        units.encode(encoder.encode_descriptor(name, help, None, units.metric_type())?)?;
        let (name, help) = ("synod_getwork_solutions", "Solutions, by what became of them");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        let outcomes = [
            ("accepted", figures.accepted),
            ("stale", figures.stale),
            ("duplicate", figures.duplicate),
            ("unknown", figures.unknown),
            ("wrong", figures.wrong),
        ];
        for (outcome, count) in outcomes {
            ConstCounter::new(count).encode(family.encode_family(&[("outcome", outcome)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    #[derive(Debug)]
    struct Facts(BTreeMap<String, String>);

    impl Collector for Facts {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
            ordering_facts(&mut encoder, &self.0)
        }
    }

    #[test]
    fn an_orderings_figures_are_metrics_and_its_texts_are_not() {
        let facts = [("zab_epoch", "7"), ("zxid", "7:12"), ("is_leader", "true"), ("phase", "broadcast")];
        let facts = facts.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Facts(facts)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"synod_ordering{fact="zab_epoch"} 7"#,
            r#"synod_ordering{fact="is_leader"} 1"#,
            r#"synod_ordering_phase{phase="broadcast"} 1"#,
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains("zxid"), "{text}");
    }
}

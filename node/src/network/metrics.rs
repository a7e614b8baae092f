//! The network's figures, under `synod_network_…` in the node's registry; libp2p's own gossip figures sit
//! beside them.

use super::kind::{Class, Topic, Verdict};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Handles to every figure; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Metrics {
    peers: Family<Direction, Gauge>,
    bytes: Family<Traffic, Counter>,
    messages: Family<Traffic, Counter>,
    dropped: Family<Dropped, Counter>,
    verdicts: Family<Judged, Counter>,
    refused: Family<Why, Counter>,
    demerits: Family<Why, Counter>,
    paused: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Traffic {
    direction: &'static str,
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dropped {
    class: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Judged {
    topic: &'static str,
    verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// What carried the bytes.
#[derive(Clone, Copy)]
pub(super) enum Carrier {
    Gossip(Topic),
    Direct,
    Request,
    Response,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("synod_network");
        registry.register("peers", "Peers whose hello was good", metrics.peers.clone());
        registry.register("bytes", "Payload bytes, by direction and class", metrics.bytes.clone());
        registry.register("messages", "Messages, by direction and class", metrics.messages.clone());
        registry.register("dropped", "Messages dropped, by class and reason", metrics.dropped.clone());
        registry.register("gossip_verdicts", "Verdicts on gossiped messages", metrics.verdicts.clone());
        registry.register("paused", "Pauses of peers that ask more than their share", metrics.paused.clone());
        registry.register("refused", "Connections refused or ended, by reason", metrics.refused.clone());
        registry.register("demerits", "Faults of peers reported by the node", metrics.demerits.clone());
        metrics
    }

    pub(super) fn peer(&self, outbound: bool, change: i64) {
        let direction = if outbound { "outbound" } else { "inbound" };
        self.peers.get_or_create(&Direction { direction }).inc_by(change);
    }

    pub(super) fn sent(&self, carrier: Carrier, bytes: usize) {
        self.traffic("out", carrier, bytes);
    }

    pub(super) fn received(&self, carrier: Carrier, bytes: usize) {
        self.traffic("in", carrier, bytes);
    }

    fn traffic(&self, direction: &'static str, carrier: Carrier, bytes: usize) {
        let class = match carrier {
            Carrier::Gossip(topic) => topic_label(topic),
            Carrier::Direct => "direct",
            Carrier::Request => "request",
            Carrier::Response => "response",
        };
        let traffic = Traffic { direction, class };
        self.bytes.get_or_create(&traffic).inc_by(bytes as u64);
        self.messages.get_or_create(&traffic).inc();
    }

    /// Direct messages that went out so far, and their bytes.
    pub(super) fn directly_sent(&self) -> (u64, u64) {
        let traffic = Traffic { direction: "out", class: "direct" };
        (self.messages.get_or_create(&traffic).get(), self.bytes.get_or_create(&traffic).get())
    }

    pub(super) fn dropped(&self, class: Class, reason: &'static str) {
        let class = match class {
            Class::Transaction => "transaction",
            Class::Block => "block",
            Class::Vote => "vote",
        };
        self.dropped.get_or_create(&Dropped { class, reason }).inc();
    }

    pub(super) fn gossip_dropped(&self, topic: Topic, reason: &'static str) {
        self.dropped.get_or_create(&Dropped { class: topic_label(topic), reason }).inc();
    }

    /// Gossip that came faster than its sender may speak.
    pub(super) fn gossip_throttled(&self, times: u64) {
        if times > 0 {
            self.dropped.get_or_create(&Dropped { class: "gossip", reason: "throttled" }).inc_by(times);
        }
    }

    pub(super) fn request_dropped(&self, reason: &'static str) {
        self.dropped.get_or_create(&Dropped { class: "request", reason }).inc();
    }

    /// A peer asked more than its share and is left unheard for a moment.
    pub(super) fn paused(&self) {
        self.paused.inc();
    }

    pub(super) fn verdict(&self, topic: Topic, verdict: Verdict) {
        let verdict = match verdict {
            Verdict::Accept => "accept",
            Verdict::Reject => "reject",
            Verdict::Ignore => "ignore",
        };
        self.verdicts.get_or_create(&Judged { topic: topic_label(topic), verdict }).inc();
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Why { reason }).inc();
    }

    pub(super) fn demerit(&self, reason: &'static str) {
        self.demerits.get_or_create(&Why { reason }).inc();
    }
}

const fn topic_label(topic: Topic) -> &'static str {
    match topic {
        Topic::Transactions => "gossip_transactions",
        Topic::Blocks => "gossip_blocks",
    }
}

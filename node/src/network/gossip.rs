//! How gossip is set up (P2P-2, P2P-3), with every number that libp2p would otherwise choose badly for us.
//!
//! Content is its own proof: messages carry no author, no number, no signature; their id is SHA-256 of topic
//! and data, so that nobody can
//! make one content look like many, or stand in the way of another's. Nothing travels on before the node's
//! verdict.
//!
//! Scores: only what a peer did wrong weighs. Time in the mesh and first deliveries earn at most
//! [`EARNED_CAP`],
//! because a larger treasure would outweigh many invalid messages; delivery quotas are off, because our
//! topics are often quiet and a quiet
//! peer is no bad peer; an invalid message costs 20 times the square of their number. Our own full queues
//! (libp2p's "slow peer") cost
//! nothing: on a crowded machine they say more about us.

use super::config::{Clocks, KIB, VERDICT_TIME};
use super::kind::{OUT, Topic};
use super::throttle::Sieve;
use alloy_primitives::B256;
use libp2p::gossipsub::{
    Behaviour, Config, ConfigBuilder, MaxCountSubscriptionFilter, Message, MessageAuthenticity, MessageId,
    MetricsConfig, PeerScoreParams, PeerScoreThresholds, TopicScoreParams, ValidationMode,
    WhitelistSubscriptionFilter,
};
use prometheus_client::registry::Registry;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The behaviour: our topics and no others.
pub(super) type Gossip = Behaviour<Sieve, MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>>;

/// What good behaviour can earn.
const EARNED_CAP: f64 = 5.0;
/// What libp2p wraps around a message's data: tags, lengths, the topic's name.
const ENVELOPE: usize = KIB;
/// Messages queued for one peer. They expire within seconds; the bound is for a peer that does not read.
const QUEUE: usize = 256;

/// The behaviour, subscribed to every topic.
pub(super) fn gossip(genesis: &B256, testnet: bool, registry: &mut Registry) -> Result<Gossip, String> {
    let filter = MaxCountSubscriptionFilter {
        filter: WhitelistSubscriptionFilter(Topic::ALL.map(|topic| topic.topic(genesis).hash()).into()),
        max_subscribed_topics: Topic::ALL.len(),
        max_subscriptions_per_request: 2 * Topic::ALL.len(),
    };
    let config = configuration(genesis, testnet)?;
    let mut gossip = Gossip::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Anonymous,
        config,
        filter,
        Sieve::new(genesis),
    )?
    .with_metrics(registry.sub_registry_with_prefix("gossipsub"), MetricsConfig::default());
    gossip.with_peer_score(scores(genesis, Clocks::of(testnet)), thresholds())?;
    for topic in Topic::ALL {
        gossip.subscribe(&topic.topic(genesis)).map_err(|error| error.to_string())?;
    }
    Ok(gossip)
}

/// SHA-256 of topic and data, the topic's length first so that no two pairs run together.
pub(super) fn content_id(topic: &str, data: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((topic.len() as u64).to_be_bytes());
    hash.update(topic.as_bytes());
    hash.update(data);
    hash.finalize().into()
}

fn configuration(genesis: &B256, testnet: bool) -> Result<Config, String> {
    let clocks = Clocks::of(testnet);
    let beats = VERDICT_TIME.as_millis().div_ceil(clocks.heartbeat.as_millis());
    let largest = Topic::ALL.map(Topic::limit).into_iter().max().unwrap_or(0);
    let mut config = ConfigBuilder::default();
    config
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message: &Message| MessageId::new(&content_id(message.topic.as_str(), &message.data)))
        .heartbeat_initial_delay(clocks.first_heartbeat)
        .heartbeat_interval(clocks.heartbeat)
        .history_length(usize::try_from(beats).unwrap_or(usize::MAX))
        .prune_backoff(clocks.prune)
        .unsubscribe_backoff(clocks.prune.min(Duration::from_secs(10)))
        .graft_flood_threshold(clocks.prune / 2)
        // Longer than any message travels; what comes again later the node knows, and ignores.
        .duplicate_cache_time(Duration::from_secs(30))
        .flood_publish(true)
        // A network of four has three peers to mesh with: a higher minimum would never be met.
        .mesh_n_low(if testnet { 2 } else { 4 })
        .mesh_n(6)
        .mesh_n_high(12)
        .mesh_outbound_min(if testnet { 1 } else { 2 })
        // A frame may hold several messages; libp2p counts the bytes that follow one in the buffer, too.
        .max_transmit_size(largest + 64 * KIB)
        .max_publish_messages(64)
        .max_control_message_size(16 * KIB)
        .connection_handler_queue_len(QUEUE);
    for topic in Topic::ALL {
        config.max_transmit_size_for_topic(topic.limit() + ENVELOPE, topic.topic(genesis).hash());
    }
    config.build().map_err(|error| error.to_string())
}

fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -10.0,
        publish_threshold: -50.0,
        graylist_threshold: OUT,
        // Peer exchange is off, and no score is ever high enough to turn it on.
        accept_px_threshold: 1e9,
        opportunistic_graft_threshold: 1.0,
    }
}

fn scores(genesis: &B256, clocks: Clocks) -> PeerScoreParams {
    let topic = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 100.0,
        first_message_deliveries_weight: 0.1,
        first_message_deliveries_decay: 0.9,
        first_message_deliveries_cap: 20.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_message_deliveries_decay: 0.5,
        mesh_message_deliveries_cap: 1.0,
        mesh_message_deliveries_threshold: 1.0,
        mesh_message_deliveries_window: Duration::from_millis(10),
        mesh_message_deliveries_activation: Duration::from_secs(5),
        mesh_failure_penalty_weight: 0.0,
        mesh_failure_penalty_decay: 0.5,
        invalid_message_deliveries_weight: -20.0,
        invalid_message_deliveries_decay: 0.98,
    };
    PeerScoreParams {
        topics: Topic::ALL.map(|name| (name.topic(genesis).hash(), topic.clone())).into(),
        topic_score_cap: EARNED_CAP,
        app_specific_weight: 1.0,
        ip_colocation_factor_weight: -5.0,
        ip_colocation_factor_threshold: 8.0,
        ip_colocation_factor_whitelist: [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            .into(),
        // A promise missed now and then is a slow machine; twenty within seconds are an attack.
        behaviour_penalty_weight: -1.0,
        behaviour_penalty_threshold: 10.0,
        behaviour_penalty_decay: 0.9,
        decay_interval: Duration::from_secs(1),
        decay_to_zero: 0.01,
        // A name costs nothing, and what is kept of one that left costs memory: as long as a ban, no longer.
        retain_score: clocks.ban,
        slow_peer_weight: 0.0,
        slow_peer_threshold: 0.0,
        slow_peer_decay: 0.2,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn p2p_2_and_3_both_configurations_are_ones_that_libp2p_accepts() {
        for testnet in [true, false] {
            gossip(&B256::repeat_byte(1), testnet, &mut Registry::default()).unwrap();
        }
    }

    #[test]
    fn p2p_2_the_id_is_the_content_and_nothing_else() {
        assert_eq!(content_id("a", b"bc"), content_id("a", b"bc"));
        assert_ne!(content_id("a", b"bc"), content_id("ab", b"c"));
        assert_ne!(content_id("a", b"b"), content_id("b", b"b"));
        assert_ne!(content_id("a", b"b"), content_id("a", b"c"));
    }

    #[test]
    fn p2p_3_no_treasure_outweighs_two_invalid_messages() {
        let invalid = scores(&B256::ZERO, Clocks::of(false))
            .topics
            .values()
            .next()
            .unwrap()
            .invalid_message_deliveries_weight;
        assert!(EARNED_CAP + invalid * 1.0 < thresholds().gossip_threshold);
        assert!(EARNED_CAP + invalid * 2.0 * 2.0 < thresholds().publish_threshold);
        assert!(EARNED_CAP + invalid * 3.0 * 3.0 < thresholds().graylist_threshold);
    }
}

//! Subscribers, reorgs and cursors.

use serde_json::{Value, json};
use synod_types::address::format_address;
use synod_types::{Address, BlockHash};

use super::client::{Http, Socket, refusal};
use super::mock::{Mock, outcome};
use super::{serve, serve_limited, serve_with};
use crate::rpc::types::{ErrorCode, Event, EventKind};

async fn subscribe(socket: &mut Socket, params: Value) -> Value {
    let response = socket.call("synod_subscribe", params).await;
    assert!(response.get("error").is_none(), "{response}");
    response["result"].clone()
}

async fn event(socket: &mut Socket) -> Event {
    serde_json::from_value(socket.event().await).unwrap()
}

/// Applies `count` events to a view of the chain.
async fn follow(socket: &mut Socket, view: &mut Vec<BlockHash>, count: usize) -> String {
    let mut cursor = String::new();
    for _ in 0..count {
        let event = event(socket).await;
        match event.kind {
            EventKind::Block | EventKind::Settled => view.push(event.block.hash),
            EventKind::Reverted | EventKind::SettledReversed => {
                assert_eq!(view.pop(), Some(event.block.hash));
            }
        }
        assert_eq!(view.last(), Some(&event.cursor.hash));
        cursor = event.cursor.to_string();
    }
    cursor
}

#[tokio::test]
async fn a_subscriber_is_told_of_a_reorg_block_by_block() {
    let (_server, mock, address) = serve().await;
    let mut socket = Socket::connect(address).await;
    subscribe(&mut socket, json!(["blocks"])).await;
    let mut view = mock.best();
    mock.extend(0, 3, 1, &[]);
    follow(&mut socket, &mut view, 3).await;
    assert_eq!(view, mock.best());
    mock.extend(1, 3, 2, &[]);
    follow(&mut socket, &mut view, 2 + 3).await;
    assert_eq!(view, mock.best());
}

#[tokio::test]
async fn a_cursor_resumes_on_another_connection_without_a_gap() {
    let (_server, mock, address) = serve().await;
    let mut first = Socket::connect(address).await;
    subscribe(&mut first, json!(["blocks"])).await;
    let mut view = mock.best();
    mock.extend(0, 5, 1, &[]);
    let cursor = follow(&mut first, &mut view, 5).await;
    drop(first);
    mock.extend(2, 200, 2, &[]);
    let mut second = Socket::connect(address).await;
    subscribe(&mut second, json!(["blocks", { "cursor": cursor }])).await;
    follow(&mut second, &mut view, 3 + 200).await;
    assert_eq!(view, mock.best());
}

#[tokio::test]
async fn an_unknown_cursor_is_refused_with_what_to_do() {
    let (_server, _, address) = serve().await;
    let mut socket = Socket::connect(address).await;
    let cursor = format!("7:{}", BlockHash::default());
    let response = socket.call("synod_subscribe", json!(["blocks", { "cursor": cursor }])).await;
    let refused = refusal(&response);
    assert_eq!(refused.code, ErrorCode::CursorTooOld);
    assert!(refused.hint.is_some());
    for params in [json!([]), json!(["clouds"]), json!(["blocks", 5]), json!(["blocks", { "cursor": "x" }])] {
        let response = socket.call("synod_subscribe", params).await;
        assert_eq!(refusal(&response).code, ErrorCode::Malformed);
    }
}

#[tokio::test]
async fn pow_14_a_reversed_settled_block_is_told_as_such() {
    let (_server, mock, address) = serve().await;
    let mut socket = Socket::connect(address).await;
    subscribe(&mut socket, json!(["settled"])).await;
    let mut view = mock.best();
    mock.extend(0, 5, 1, &[]);
    follow(&mut socket, &mut view, 3).await;
    mock.extend(1, 6, 2, &[]);
    let mut kinds = Vec::new();
    for _ in 0..2 + 4 {
        let event = event(&mut socket).await;
        kinds.push(event.kind);
    }
    assert_eq!(kinds[..2], [EventKind::SettledReversed; 2]);
    assert_eq!(kinds[2..], [EventKind::Settled; 4]);
}

#[tokio::test]
async fn the_topic_of_transactions_tells_of_the_accounts_asked_for() {
    let (_server, mock, address) = serve().await;
    let mut socket = Socket::connect(address).await;
    let who = format_address(&Address::repeat_byte(2));
    subscribe(&mut socket, json!(["transactions", { "accounts": [who] }])).await;
    mock.extend(0, 1, 1, &[outcome(1, 3)]);
    mock.extend(1, 1, 1, &[outcome(1, 2), outcome(3, 3), outcome(2, 3)]);
    let told = event(&mut socket).await;
    assert_eq!(told.cursor.height.0, 2);
    assert_eq!(told.transactions.unwrap(), [outcome(1, 2), outcome(2, 3)]);
    let many: Vec<String> = (0..65).map(|byte| format_address(&Address::repeat_byte(byte))).collect();
    let response = socket.call("synod_subscribe", json!(["transactions", { "accounts": many }])).await;
    assert_eq!(refusal(&response).code, ErrorCode::LimitExceeded);
}

/// Somebody who does not read for a while misses nothing, and the server keeps nothing for them.
#[tokio::test]
async fn a_slow_subscriber_catches_up() {
    let change = |config: &mut crate::rpc::RpcConfig| config.limits.output_of_one = 2_000;
    let (_server, mock, address) = serve_with(Mock::new(), change).await;
    let mut socket = Socket::connect(address).await;
    subscribe(&mut socket, json!(["blocks"])).await;
    let mut view = mock.best();
    for height in 0..500 {
        mock.extend(height, 1, 1, &[]);
    }
    follow(&mut socket, &mut view, 500).await;
    assert_eq!(view, mock.best());
}

#[tokio::test]
async fn rpc_1_a_connection_has_so_many_subscriptions_and_gets_them_back() {
    let (_server, mock, address) = serve_limited(|limits| limits.subscriptions = 3).await;
    let mut socket = Socket::connect(address).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(subscribe(&mut socket, json!(["blocks"])).await);
    }
    let response = socket.call("synod_subscribe", json!(["blocks"])).await;
    assert_eq!(refusal(&response).code, ErrorCode::LimitExceeded);
    assert_eq!(socket.call("synod_unsubscribe", json!([ids[0]])).await["result"], true);
    // The place is free when the ended subscription has noticed.
    while socket.call("synod_subscribe", json!(["blocks"])).await.get("error").is_some() {}
    mock.extend(0, 1, 1, &[]);
    for _ in 0..3 {
        event(&mut socket).await;
    }
}

#[tokio::test]
async fn subscriptions_need_a_websocket() {
    let (_server, _, address) = serve().await;
    let mut http = Http::connect(address).await;
    let response = http.call("synod_subscribe", json!(["blocks"])).await;
    assert!(response.get("error").is_some());
}

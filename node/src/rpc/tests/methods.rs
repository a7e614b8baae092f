//! Every method over the wire, and its refusals.

use serde_json::{Value, json};
use synod_types::address::format_address;
use synod_types::{Address, B256, TransactionId};

use super::client::{Http, Socket, refusal};
use super::mock::Mock;
use super::{serve, serve_limited, serve_with};
use crate::mempool::tests::fixture::{Terms, signed};
use crate::rpc::types::*;

const WHO: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

fn raw(terms: &Terms) -> String {
    alloy_primitives::hex::encode_prefixed(signed(terms).to_bytes())
}

/// Reads the result as its struct, and checks that the struct says the same again.
fn read<T: serde::Serialize + serde::de::DeserializeOwned>(result: Value) -> T {
    let view: T = serde_json::from_value(result.clone()).unwrap();
    assert_eq!(serde_json::to_value(&view).unwrap(), result);
    view
}

#[tokio::test]
async fn every_method_answers_with_its_struct() {
    let (server, mock, address) = serve().await;
    mock.extend(0, 3, 0, &[]);
    let mut http = Http::connect(address).await;
    let status: StatusView = read(http.result("synod_status", json!([])).await);
    assert_eq!(status.head.height.0, 3);
    assert_eq!(http.result("synod_genesis", json!([])).await["chain_id"], 7);
    read::<FeesView>(http.result("synod_fees", json!([])).await);
    read::<Vec<PeerView>>(http.result("synod_peers", json!([])).await);
    let account: AccountView = read(http.result("synod_account", json!([WHO])).await);
    assert_eq!(format_address(&account.address), WHO);
    read::<TransactionStatusView>(http.result("synod_transaction", json!([B256::ZERO])).await);
    for reference in [json!("latest"), json!(2), json!("2"), json!(mock.best()[1].to_string())] {
        read::<BlockView>(http.result("synod_block", json!([reference, true])).await);
    }
    assert_eq!(http.result("synod_headers", json!([1, 2])).await.as_array().unwrap().len(), 2);
    let page: HistoryPage = read(http.result("synod_history", json!([WHO])).await);
    assert_eq!(page.next_cursor.as_deref(), Some("next"));
    read::<HistoryPage>(http.result("synod_history", json!([WHO, "next", 1000])).await);
    read::<PoolView>(http.result("synod_pool", json!([])).await);
    let template: TemplateView = read(http.result("synod_template", json!([WHO])).await);
    let solution = json!([template.template_id, "18446744073709551615", 5, 4_294_967_295_u32]);
    let solved: SolveView = read(http.result("synod_solve", solution).await);
    assert_eq!(solved.outcome, SolveOutcome::Accepted);
    server.stop().await;
}

#[tokio::test]
async fn rpc_4_submitting_again_gives_the_same_answer_and_refusals_have_codes() {
    let (_server, _, address) = serve().await;
    let mut http = Http::connect(address).await;
    let transaction = raw(&Terms::default());
    let first: SubmitView = read(http.result("synod_submit", json!([transaction])).await);
    assert_eq!(first.outcome, SubmitOutcome::Pending);
    let again: SubmitView = read(http.result("synod_submit", json!([transaction])).await);
    assert_eq!(first, again);
    let pool: PoolView = read(http.result("synod_pool", json!([])).await);
    assert_eq!((pool.transactions, pool.entries.len(), pool.entries[0].id), (1, 1, first.id));
    let others = json!([format_address(&Address::repeat_byte(1))]);
    assert_eq!(read::<PoolView>(http.result("synod_pool", others).await).entries, []);
    let found: TransactionStatusView = read(http.result("synod_transaction", json!([first.id])).await);
    assert_eq!(found.status, TransactionStatus::Pending);
    assert_eq!(found.transaction.unwrap().raw, signed(&Terms::default()).to_bytes());

    let mut forged = signed(&Terms { nonce: 1, ..Terms::default() }).to_bytes();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let cases = [
        (raw(&Terms { value: 6, ..Terms::default() }), ErrorCode::ReplacementUnderpriced),
        (raw(&Terms { nonce: 64, ..Terms::default() }), ErrorCode::NonceTooHigh),
        (raw(&Terms { nonce: 1, max_fee: 1, max_tip: 0, ..Terms::default() }), ErrorCode::FeeTooLow),
        (raw(&Terms { nonce: 1, gas: 1, ..Terms::default() }), ErrorCode::GasTooLow),
        (raw(&Terms { nonce: 1, valid_until: Some(1), ..Terms::default() }), ErrorCode::Expired),
        (raw(&Terms { nonce: 1, max_fee: u128::MAX, ..Terms::default() }), ErrorCode::InsufficientFunds),
        (alloy_primitives::hex::encode_prefixed(forged), ErrorCode::BadSignature),
        ("0x00".to_owned(), ErrorCode::Malformed),
        ("nonsense".to_owned(), ErrorCode::Malformed),
        (format!("0x{}", "00".repeat(128 * 1024 + 1)), ErrorCode::TooLarge),
    ];
    for (transaction, code) in cases {
        let response = http.call("synod_submit", json!([transaction])).await;
        let refusal = refusal(&response);
        assert_eq!(refusal.code, code, "{response}");
        assert!(code == ErrorCode::TooLarge || refusal.hint.is_some() || transaction == "nonsense");
    }
}

#[tokio::test]
async fn wrong_parameters_are_refused_by_name_for_every_method() {
    let (_server, _, address) = serve().await;
    let mut http = Http::connect(address).await;
    let wrong = [
        ("synod_status", json!([1])),
        ("synod_genesis", json!({"a": 1})),
        ("synod_account", json!([])),
        ("synod_account", json!(["0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"])),
        ("synod_account", json!([WHO, "yesterday"])),
        ("synod_account", json!([WHO, "latest", 1])),
        ("synod_transaction", json!(["0x12"])),
        ("synod_block", json!([-1])),
        ("synod_block", json!([1, "yes"])),
        ("synod_headers", json!([0])),
        ("synod_history", json!([WHO, "x".repeat(300)])),
        ("synod_proof", json!([null])),
        ("synod_call", json!([{"gas": 1}])),
        ("synod_call", json!([{"value": 1.5}])),
        ("synod_estimate_gas", json!([{}, "yesterday"])),
        ("synod_trace", json!(["0x12"])),
        ("synod_logs", json!([{"filter": {"topics": [[], [], [], [], []]}}])),
        ("synod_logs", json!([{"cursor": "x".repeat(65)}])),
        ("synod_code", json!([WHO, "yesterday"])),
        ("synod_storage", json!([WHO, "0x12"])),
        ("synod_pool", json!([5])),
        ("synod_submit", json!([5])),
        ("synod_template", json!([WHO, "x".repeat(300)])),
        ("synod_solve", json!(["id", 1, 1])),
        ("synod_solve", json!(["id", 1, 1, 1_u64 << 32])),
    ];
    for (method, params) in wrong {
        let response = http.call(method, params.clone()).await;
        assert_eq!(refusal(&response).code, ErrorCode::Malformed, "{method} {params}: {response}");
        assert_eq!(response["error"]["code"], -32602);
    }
    for (method, params) in [("synod_headers", json!([0, 2001])), ("synod_history", json!([WHO, null, 1001]))]
    {
        let response = http.call(method, params).await;
        assert_eq!(refusal(&response).code, ErrorCode::LimitExceeded);
    }
    let response = http.call("eth_accounts", json!([])).await;
    assert_eq!(refusal(&response).code, ErrorCode::MethodNotFound);
    assert_eq!(refusal(&http.call("synod_account", json!([WHO, 0])).await).code, ErrorCode::Pruned);
}

#[tokio::test]
async fn rpc_6_a_fault_of_the_node_is_told_without_its_words() {
    let (_server, _, address) = serve().await;
    let mut http = Http::connect(address).await;
    let response = http.call("synod_proof", json!([WHO])).await;
    assert_eq!(refusal(&response).code, ErrorCode::Internal);
    assert!(!response.to_string().contains("secret"), "{response}");
    http.result("synod_status", json!([])).await;
}

#[tokio::test]
async fn a_miner_waits_for_another_template_without_holding_others_up() {
    let (_server, mock, address) = serve_limited(|limits| limits.long_polls = 1).await;
    let (mut miner, mut other) = (Http::connect(address).await, Http::connect(address).await);
    let template: TemplateView = read(miner.result("synod_template", json!([WHO])).await);
    let waiting = tokio::spawn(async move {
        let template = miner.result("synod_template", json!([WHO, template.template_id])).await;
        read::<TemplateView>(template)
    });
    // The only place is taken when another miner is refused.
    while other.call("synod_template", json!([WHO])).await.get("error").is_none() {}
    mock.extend(0, 1, 0, &[]);
    assert_eq!(waiting.await.unwrap().height.0, 1);
}

#[tokio::test]
async fn a_stopping_server_ends_long_polls_and_subscriptions() {
    let (server, _, address) = serve_limited(|limits| limits.long_polls = 1).await;
    let (mut miner, mut other) = (Http::connect(address).await, Http::connect(address).await);
    let mut socket = Socket::connect(address).await;
    assert!(socket.call("synod_subscribe", json!(["blocks"])).await["result"].is_string());
    let template: TemplateView = read(miner.result("synod_template", json!([WHO])).await);
    let waiting =
        tokio::spawn(async move { miner.call("synod_template", json!([WHO, template.template_id])).await });
    while other.call("synod_template", json!([WHO])).await.get("error").is_none() {}
    server.stop().await;
    assert_eq!(refusal(&waiting.await.unwrap()).code, ErrorCode::Unavailable);
    assert!(socket.receive().await.is_none());
}

#[tokio::test]
async fn batches_answer_in_order_and_mix_with_notifications() {
    let (_server, _, address) = serve().await;
    let mut http = Http::connect(address).await;
    let batch = json!([
        { "jsonrpc": "2.0", "id": "a", "method": "synod_fees" },
        { "jsonrpc": "2.0", "method": "synod_fees" },
        5,
        { "jsonrpc": "2.0", "id": 7, "method": "synod_nothing" },
    ]);
    let response = http.post(batch.to_string().as_bytes()).await.unwrap().json();
    let answers = response.as_array().unwrap();
    assert_eq!(answers.len(), 3);
    assert_eq!((&answers[0]["id"], &answers[2]["id"]), (&json!("a"), &json!(7)));
    assert_eq!(answers[1]["error"]["code"], -32600);
    assert_eq!(refusal(&answers[2]).code, ErrorCode::MethodNotFound);
}

#[test]
fn the_ids_of_the_wire_are_those_of_the_types() {
    let id = TransactionId(B256::repeat_byte(3));
    assert_eq!(json!(id), json!(id.to_string()));
}

/// Calls of contracts and estimates have few threads of their own and a short queue: beyond it they are refused, and
/// other reads are answered meanwhile (RPC-3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rpc_3_calls_and_estimates_are_tried_on_a_bounded_pool_of_their_own() {
    let (release, hold) = std::sync::mpsc::sync_channel(1);
    let (_server, _, address) = serve_with(Mock::holding(hold), |config| {
        (config.limits.executors, config.limits.waiting_executions) = (1, 2);
    })
    .await;
    let mut calls = tokio::task::JoinSet::new();
    for method in ["synod_call", "synod_estimate_gas", "synod_call", "synod_estimate_gas"] {
        calls.spawn(async move { Http::connect(address).await.call(method, json!([{}])).await });
    }
    let beyond = calls.join_next().await.unwrap().unwrap();
    assert_eq!(refusal(&beyond).code, ErrorCode::Busy);
    Http::connect(address).await.result("synod_block", json!(["latest"])).await;
    drop(release);
    let answered = calls.join_all().await;
    assert_eq!(answered.len(), 3);
    assert!(answered.iter().all(|answer| answer.get("result").is_some()), "{answered:?}");
}

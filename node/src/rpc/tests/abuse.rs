//! Callers who mean harm: sizes, depths, slowness, numbers, foreign pages. Sizes come from
//! `SYNOD_ABUSE_SCALE` (1 by default, about 10 for a release).

use std::time::Duration;

use serde_json::json;

use super::client::{Http, Socket, refusal, request};
use super::mock::Mock;
use super::{serve, serve_limited, serve_with};
use crate::rpc::limits::Rate;
use crate::rpc::types::ErrorCode;

fn scale() -> usize {
    std::env::var("SYNOD_ABUSE_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[tokio::test]
async fn rpc_1_a_body_of_ten_megabytes_is_refused_before_it_is_read() {
    let (_server, _, address) = serve().await;
    let mut http = Http::connect(address).await;
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n";
    http.send(head.as_bytes()).await.unwrap();
    let reply = http.reply().await.unwrap();
    assert_eq!(reply.status, 413);
    assert_eq!(refusal(&reply.json()).code, ErrorCode::LimitExceeded);
}

#[tokio::test]
async fn rpc_1_a_chunked_body_ends_at_its_limit() {
    let (_server, _, address) = serve().await;
    let (mut http, chunk) = (Http::connect(address).await, vec![b' '; 64 * 1024]);
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    http.send(head.as_bytes()).await.unwrap();
    for _ in 0..scale() * 20 {
        // The server stops reading, answers and closes; later chunks may fail.
        let sent = [format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat();
        if http.send(&sent).await.is_err() {
            break;
        }
    }
    assert_eq!(http.reply().await.unwrap().status, 413);
    Http::connect(address).await.result("synod_status", json!([])).await;
}

/// What is refused is still read within bounds, so that a client that writes all before it reads learns why.
#[tokio::test]
async fn rpc_1_who_writes_a_refused_body_reads_why() {
    let (_server, _, address) = serve().await;
    let body = vec![b' '; 20_000_000];
    for _ in 0..scale() {
        let reply = Http::connect(address).await.post(&body).await.unwrap();
        assert_eq!((reply.status, refusal(&reply.json()).code), (413, ErrorCode::LimitExceeded));
    }
}

#[tokio::test]
async fn rpc_1_reading_refused_bodies_ends_by_bytes_time_and_places() {
    let chunk = [b"10000\r\n", &[b' '; 65_536][..], b"\r\n"].concat();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    // Bytes: a body without end meets a closed connection.
    let (_server, _, address) = serve_limited(|limits| limits.drain_timeout = Duration::MAX).await;
    let mut http = Http::connect(address).await;
    http.send(head.as_bytes()).await.unwrap();
    while http.send(&chunk).await.is_ok() {}
    // Time: so does a client that is refused and then sends nothing more, not even the end.
    let (server, _, address) = serve_limited(|limits| {
        limits.body_bytes = 1000;
        limits.drain_timeout = Duration::from_millis(50);
    })
    .await;
    let mut silent = Http::connect(address).await;
    silent.send(&[head.as_bytes(), &chunk].concat()).await.unwrap();
    assert_eq!(silent.reply().await.unwrap().status, 413);
    silent.rest().await;
    while server.connections() > 0 {
        tokio::task::yield_now().await;
    }
    // Places: without one nothing is read on, and the connection ends at once.
    let (server, _, address) = serve_limited(|limits| {
        (limits.body_bytes, limits.drains, limits.drain_timeout) = (1000, 1, Duration::from_secs(600));
    })
    .await;
    let mut first = Http::connect(address).await;
    first.send(&[head.as_bytes(), &chunk].concat()).await.unwrap();
    assert_eq!(first.reply().await.unwrap().status, 413);
    let mut second = Http::connect(address).await;
    second.send(&[head.as_bytes(), &chunk].concat()).await.unwrap();
    second.rest().await;
    while server.connections() > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn rpc_1_a_batch_has_at_most_a_hundred_calls() {
    let (_server, _, address) = serve().await;
    let mut http = Http::connect(address).await;
    let call = request("synod_fees", json!([])).to_string();
    let batch = |count: usize, call: &str| format!("[{}]", vec![call; count].join(","));
    let hundred = http.post(batch(100, &call).as_bytes()).await.unwrap().json();
    assert_eq!(hundred.as_array().unwrap().len(), 100);
    for body in [batch(101, &call), batch(100_000, "1"), batch(100_000, "{}")] {
        let response = http.post(body.as_bytes()).await.unwrap().json();
        assert_eq!(refusal(&response).code, ErrorCode::LimitExceeded, "{}", body.len());
    }
    let mut socket = Socket::connect(address).await;
    socket.send(batch(100_000, "1").as_bytes()).await.unwrap();
    assert_eq!(refusal(&socket.receive().await.unwrap()).code, ErrorCode::LimitExceeded);
}

#[tokio::test]
async fn rpc_1_deep_json_is_refused_over_http_and_websocket() {
    let (_server, _, address) = serve().await;
    let deep = |depth: usize| {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"synod_status\",\"params\":{nested}}}")
    };
    let mut socket = Socket::connect(address).await;
    for depth in [65, 10_000, 100_000 * scale().min(5)] {
        let reply = Http::connect(address).await.post(deep(depth).as_bytes()).await.unwrap();
        assert_eq!((reply.status, refusal(&reply.json()).code), (400, ErrorCode::Malformed));
        if depth < 100_000 {
            socket.send(deep(depth).as_bytes()).await.unwrap();
            assert_eq!(refusal(&socket.receive().await.unwrap()).code, ErrorCode::Malformed);
        }
    }
    socket.send(&[b'['; 200_000]).await.unwrap();
    assert_eq!(socket.receive().await.unwrap()["error"]["code"], -32700);
}

#[tokio::test]
async fn rpc_2_slow_heads_and_bodies_are_given_up() {
    let (_server, _, address) = serve_limited(|limits| {
        limits.body_timeout = Duration::from_millis(50);
        limits.head_timeout = Duration::from_millis(50);
    })
    .await;
    let mut body = Http::connect(address).await;
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    body.send(head.as_bytes()).await.unwrap();
    assert_eq!(body.reply().await.unwrap().status, 408);
    let mut half_a_head = Http::connect(address).await;
    half_a_head.send(b"POST / HTTP/1.1\r\nHo").await.unwrap();
    assert!(half_a_head.reply().await.is_none_or(|reply| reply.status == 408));
    let mut silent = Http::connect(address).await;
    assert!(silent.reply().await.is_none_or(|reply| reply.status == 408));
}

#[tokio::test]
async fn r17_bytes_that_are_no_utf_8_and_bodies_that_are_no_json_get_an_answer() {
    let (_server, _, address) = serve().await;
    let mut http = Http::connect(address).await;
    let bodies: [&[u8]; 6] =
        [b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\xfe\"}", b"\xff", b"{", b"null", b"", b"[]"];
    for body in bodies {
        let reply = http.post(body).await.unwrap();
        assert!(reply.json().get("error").is_some(), "{body:?}");
    }
    let mut socket = Socket::connect(address).await;
    socket.send(b"nonsense").await.unwrap();
    assert_eq!(socket.receive().await.unwrap()["error"]["code"], -32700);
    socket.send(b"\xff\xfe").await.unwrap();
    // Text frames that are no UTF-8 break the WebSocket protocol; either answer is fair.
    if let Some(message) = socket.receive().await {
        assert!(message.get("error").is_some());
    }
    http.result("synod_status", json!([])).await;
}

#[tokio::test]
async fn rpc_1_connections_are_capped_and_places_are_given_back() {
    let (_server, _, address) = serve_limited(|limits| limits.connections = 8).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut http = Http::connect(address).await;
        http.result("synod_fees", json!([])).await;
        held.push(http);
    }
    for _ in 0..50 * scale() {
        let mut beyond = Http::connect(address).await;
        assert!(beyond.post(b"{}").await.is_none());
    }
    held.pop();
    // The place is free when the server has seen the connection end.
    loop {
        let mut again = Http::connect(address).await;
        if again.post(request("synod_fees", json!([])).to_string().as_bytes()).await.is_some() {
            break;
        }
    }
    for http in &mut held {
        http.result("synod_fees", json!([])).await;
    }
}

#[tokio::test]
async fn rpc_1_websockets_are_capped_and_places_are_given_back() {
    let (_server, _, address) = serve_limited(|limits| limits.websockets = 2).await;
    let (first, _second) = (Socket::connect(address).await, Socket::connect(address).await);
    assert!(Socket::try_connect(address).await.is_none());
    drop(first);
    while Socket::try_connect(address).await.is_none() {}
}

#[tokio::test]
async fn rpc_1_an_address_has_a_rate_over_http_and_websocket() {
    let rate = Rate { per_second: 0, burst: 7 };
    let (_server, _, address) = serve_limited(|limits| limits.loopback_rate = rate).await;
    let mut socket = Socket::connect(address).await;
    let mut http = Http::connect(address).await;
    // The upgrade took one; a request over HTTP takes one at the door and one for its call.
    http.result("synod_fees", json!([])).await;
    http.result("synod_fees", json!([])).await;
    assert!(socket.call("synod_fees", json!([])).await.get("error").is_none());
    assert!(socket.call("synod_fees", json!([])).await.get("error").is_none());
    let refused = refusal(&socket.call("synod_fees", json!([])).await);
    assert_eq!(refused.code, ErrorCode::LimitExceeded);
    assert_eq!(http.post(b"{}").await.unwrap().status, 429);
}

#[tokio::test]
async fn rpc_2_foreign_names_and_pages_are_refused() {
    let mock = Mock::new();
    let (_server, _, address) = serve_with(mock, |config| {
        config.cors = vec!["https://wallet.example".to_owned()];
        config.hosts = vec!["node.example".to_owned()];
    })
    .await;
    let body = request("synod_fees", json!([])).to_string();
    let cases = [
        ("Host: localhost\r\n", 200),
        ("Host: LOCALHOST:8545\r\n", 200),
        ("Host: 127.0.0.1:8545\r\n", 200),
        ("Host: [::1]:8545\r\n", 200),
        ("Host: node.example\r\n", 200),
        ("Host: rebound.attacker.example:8545\r\n", 403),
        ("Host: localhost.attacker.example\r\n", 403),
        ("Host: \r\n", 403),
        ("", 403),
        ("Host: localhost\r\nOrigin: https://wallet.example\r\n", 200),
        ("Host: localhost\r\nOrigin: https://attacker.example\r\n", 403),
        ("Host: localhost\r\nOrigin: null\r\n", 403),
    ];
    for (headers, status) in cases {
        let reply = Http::connect(address).await.post_with(headers, body.as_bytes()).await.unwrap();
        assert_eq!(reply.status, status, "{headers:?}");
        let allowed = reply.head.contains("access-control-allow-origin: https://wallet.example");
        assert_eq!(allowed, headers.contains("wallet.example"), "{headers:?}");
    }
    let mut http = Http::connect(address).await;
    http.send(b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://wallet.example\r\n\r\n")
        .await
        .unwrap();
    let preflight = http.reply().await.unwrap();
    assert_eq!(preflight.status, 204);
    assert!(preflight.head.contains("access-control-allow-origin: https://wallet.example"));
    let mut page = Http::connect(address).await;
    let upgrade = "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://attacker.example\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    page.send(upgrade.as_bytes()).await.unwrap();
    assert_eq!(page.reply().await.unwrap().status, 403);
}

#[tokio::test]
async fn only_posts_of_json_are_calls() {
    let (_server, _, address) = serve().await;
    let mut http = Http::connect(address).await;
    http.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(http.reply().await.unwrap().status, 405);
    let mut http = Http::connect(address).await;
    http.send(
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
    )
    .await
    .unwrap();
    assert_eq!(http.reply().await.unwrap().status, 415);
}

/// Calls for large answers that nobody reads: beyond the bound they are refused, and what was answered is
/// all that is kept.
#[tokio::test]
async fn rpc_1_answers_that_nobody_reads_are_bounded() {
    let mock = Mock::padded(200_000);
    let (_server, _, address) = serve_with(mock, |config| config.limits.output_of_one = 1_000_000).await;
    let mut socket = Socket::connect(address).await;
    let call = request("synod_block", json!(["latest"])).to_string();
    let calls = 100 * scale();
    for _ in 0..calls {
        socket.send(call.as_bytes()).await.unwrap();
    }
    let mut refused = 0;
    for _ in 0..calls {
        let answer = socket.receive().await.unwrap();
        if answer.get("error").is_some() {
            assert_eq!(refusal(&answer).code, ErrorCode::Busy);
            refused += 1;
        }
    }
    assert!(refused < calls, "who reads is answered");
    assert!(socket.call("synod_fees", json!([])).await.get("error").is_none());
}

#[tokio::test]
async fn rpc_2_whoever_takes_nothing_is_closed() {
    let mock = Mock::padded(3_000_000);
    let (server, _, address) = serve_with(mock, |config| {
        config.limits.stall_timeout = Duration::from_millis(50);
        config.limits.output_of_one = usize::MAX;
        config.limits.output_bytes = usize::MAX;
    })
    .await;
    let mut socket = Socket::connect(address).await;
    let mut http = Http::connect(address).await;
    let call = request("synod_block", json!(["latest"])).to_string();
    for _ in 0..20 {
        socket.send(call.as_bytes()).await.unwrap();
    }
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{call}",
        call.len()
    );
    for _ in 0..20 {
        http.send(head.as_bytes()).await.unwrap();
    }
    while server.connections() > 0 {
        tokio::task::yield_now().await;
    }
}

/// Requests that two readers of HTTP could take apart differently are refused, and what follows them on the
/// connection is never answered. Where a body is chunked and has a length, the chunks count, as RFC 9112 says.
#[tokio::test]
async fn r17_requests_that_could_be_smuggled_are_refused() {
    let (_server, _, address) = serve().await;
    let call = request("synod_fees", json!([])).to_string();
    let inner = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{call}",
        call.len()
    );
    let lengths = format!("Content-Length: 0\r\nContent-Length: {}\r\n", inner.len());
    let ambiguous = [
        lengths.as_str(),
        "Transfer-Encoding: identity, chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 7\r\n",
        "Content-Length : 5\r\n",
        "X: y\r\n Content-Length: 5\r\n",
    ];
    let both = format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", 5 + inner.len());
    for headers in ambiguous.into_iter().chain([both.as_str()]) {
        let mut http = Http::connect(address).await;
        let head =
            format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\r\n");
        // What one reader takes for the end of the first request, and for a request of its own.
        http.send(format!("{head}0\r\n\r\n{inner}").as_bytes()).await.unwrap();
        http.finish().await.unwrap();
        let said = String::from_utf8_lossy(&http.rest().await).into_owned();
        let answers = said.matches("\"base_fee\"").count();
        if headers == both {
            assert!(said.matches("HTTP/1.1 ").count() <= 2 && answers <= 1, "{headers:?}: {said}");
        } else {
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{headers:?}: {said}");
            assert_eq!(answers, 0, "{headers:?}: {said}");
        }
    }
    Http::connect(address).await.result("synod_status", json!([])).await;
}

/// Many calls for large answers at once, over connections that nobody reads from: those beyond the bound on
/// answers are refused although there was room when they came in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rpc_1_calls_that_come_together_are_bounded_together() {
    // More than the sockets' own buffers take.
    const ANSWER: usize = 12_000_000;
    let (_server, _, address) = serve_with(Mock::padded(ANSWER), |config| {
        config.limits.output_bytes = ANSWER / 3;
        config.limits.readers = 1;
    })
    .await;
    let call = request("synod_block", json!(["latest"])).to_string();
    let mut callers = Vec::new();
    for _ in 0..12 {
        let mut http = Http::connect(address).await;
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        http.send(format!("{head}Content-Length: {}\r\n\r\n{call}", call.len()).as_bytes()).await.unwrap();
        callers.push(http);
    }
    let (mut answered, mut refused) = (0, 0);
    for mut http in callers {
        let response = http.reply().await.unwrap().json();
        if response.get("error").is_some() {
            assert_eq!(refusal(&response).code, ErrorCode::Busy);
            refused += 1;
        } else {
            answered += 1;
        }
    }
    assert!(answered > 0 && refused > 0, "{answered} answered, {refused} refused");
}

/// Subscriptions without end on every WebSocket that there may be: each connection has its few, and the rest of
/// the node goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rpc_1_a_flood_of_subscriptions_is_bounded() {
    let (_server, mock, address) = serve().await;
    let subscribe = request("synod_subscribe", json!(["blocks"])).to_string();
    let mut sockets = Vec::new();
    for _ in 0..16 * scale() {
        let Some(mut socket) = Socket::try_connect(address).await else { break };
        let (mut granted, mut refused) = (0, 0);
        for _ in 0..100 {
            socket.send(subscribe.as_bytes()).await.unwrap();
            let answer = socket.receive().await.unwrap();
            if answer.get("result").is_some() { granted += 1 } else { refused += 1 }
        }
        assert_eq!((granted, refused), (16, 84));
        sockets.push(socket);
    }
    mock.extend(0, 3, 1, &[]);
    for socket in &mut sockets {
        assert_eq!(socket.event().await["kind"], "block");
    }
    Http::connect(address).await.result("synod_status", json!([])).await;
}

//! `etcdserverpb.KV/Put` over gRPC: requests over HTTP/2, many on each connection.

use std::net::SocketAddr;
use std::time::Instant;

use alloy_primitives::bytes::Bytes;
use h2::client::{self, SendRequest};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{PATIENCE, Window, Written, failed, value};
use crate::commands::bench::load::network::go_on;
use crate::failure::Outcome;

/// So much may come before it is taken.
const WINDOW_BYTES: u32 = 1 << 20;

/// Drives it.
pub(super) fn drive(address: SocketAddr, shares: &[u32], window: Window) -> Outcome<Vec<Written>> {
    let broken = |error: String| failed("etcd", address, error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| broken(error.to_string()))?;
    runtime.block_on(async {
        let mut writers = JoinSet::new();
        for (share, lane) in shares.iter().zip(0_u32..) {
            let sender = timeout(PATIENCE, connect(address)).await;
            let sender = sender.unwrap_or_else(|_| Err("no answer".to_owned())).map_err(broken)?;
            for _ in 0..*share {
                writers.spawn(write(sender.clone(), address, put(&format!("synod-bench-{lane}")), window));
            }
        }
        let mut all = Vec::new();
        while let Some(written) = writers.join_next().await {
            go_on()?;
            all.push(written.expect("a writer does not panic").map_err(broken)?);
        }
        Ok(all)
    })
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Bytes>, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let mut builder = client::Builder::new();
    builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
    let (sender, connection) = builder.handshake(stream).await.map_err(|error| error.to_string())?;
    // Its end shows at whoever writes.
    tokio::spawn(connection);
    Ok(sender)
}

/// One after another.
async fn write(
    mut sender: SendRequest<Bytes>,
    address: SocketAddr,
    body: Bytes,
    window: Window,
) -> Result<Written, String> {
    tokio::time::sleep_until(window.begun.into()).await;
    let mut written = Written::default();
    while Instant::now() < window.to {
        let sent = Instant::now();
        sender = sender.ready().await.map_err(|error| error.to_string())?;
        let answer = timeout(PATIENCE, one(&mut sender, address, body.clone())).await;
        answer.unwrap_or_else(|_| Err("no answer".to_owned()))?;
        written.answered(sent, window);
    }
    Ok(written)
}

async fn one(sender: &mut SendRequest<Bytes>, address: SocketAddr, body: Bytes) -> Result<(), String> {
    let request = http::Request::post(format!("http://{address}/etcdserverpb.KV/Put"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .map_err(|error| error.to_string())?;
    let broken = |error: h2::Error| error.to_string();
    let (answer, mut stream) = sender.send_request(request, false).map_err(broken)?;
    stream.send_data(body, true).map_err(broken)?;
    let answer = answer.await.map_err(broken)?;
    let failed_at_once = answer.headers().get("grpc-status").cloned();
    let mut content = answer.into_body();
    while let Some(data) = content.data().await {
        let length = data.map_err(broken)?.len();
        content.flow_control().release_capacity(length).map_err(broken)?;
    }
    let trailers = content.trailers().await.map_err(broken)?;
    let status = trailers.and_then(|trailers| trailers.get("grpc-status").cloned()).or(failed_at_once);
    match status {
        Some(status) if status == "0" => Ok(()),
        status => Err(format!("a write is refused: gRPC status {status:?}")),
    }
}

/// A gRPC frame with a `PutRequest`.
fn put(key: &str) -> Bytes {
    let mut message = Vec::new();
    for (field, bytes) in [(1_u8, key.as_bytes()), (2, &value())] {
        message.push(field << 3 | 2);
        let mut length = bytes.len();
        while length >= 0x80 {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend(bytes);
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    // Not compressed.
    let mut frame = vec![0];
    frame.extend(length.to_be_bytes());
    frame.extend(message);
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_is_a_frame_of_its_key_and_its_value() {
        let frame = put("ab");
        let length = 4 + 3 + 512;
        assert_eq!(&frame[..9], [0, 0, 0, (length >> 8) as u8, length as u8, 0x0a, 2, b'a', b'b']);
        assert_eq!(&frame[9..12], [0x12, 0x80, 0x04]);
        assert_eq!(frame.len(), 5 + length);
    }
}

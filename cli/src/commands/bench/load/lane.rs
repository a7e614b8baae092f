//! One connection that submits by the clock: each thing when it is due, all that are due by then in one batch of
//! calls. A node that is slow makes what follows late, and the lateness counts.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::connection::Connection;
use super::network::go_on;
use crate::failure::{Failure, Outcome};

/// The most calls in a batch (RPC-1).
const BATCH: usize = 100;
/// Before what was refused for the moment is submitted again.
const PAUSE: Duration = Duration::from_millis(5);

/// Something to submit.
#[derive(Debug)]
pub(crate) struct Item {
    /// When it is meant to be sent, after the step's start.
    pub(crate) due: Duration,
    /// Its number among all of the step.
    pub(crate) number: u32,
    /// The call's parameter: hex digits.
    pub(crate) hex: Box<[u8]>,
}

/// What a lane did.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// How long batches took from the call to the answer.
    pub(crate) calls: Vec<Duration>,
    /// What was taken.
    pub(crate) taken: u32,
    /// Refusals for the moment: each was submitted again.
    pub(crate) put_off: u32,
}

/// Submits all items, in order of their times.
///
/// # Errors
/// The node does not answer, or refuses something for good.
pub(crate) fn submit(
    connection: &mut Connection,
    method: &str,
    items: &[Item],
    begun: Instant,
    give_up: Instant,
) -> Outcome<Sent> {
    let mut sent = Sent::default();
    let (mut next, mut again) = (0, Vec::<usize>::new());
    while next < items.len() || !again.is_empty() {
        go_on()?;
        let now = Instant::now();
        if now > give_up {
            return Ok(sent);
        }
        let due = |item: &Item| begun + item.due <= now;
        let room = BATCH - again.len();
        let more = items[next..].iter().take(room).take_while(|item| due(item)).count();
        let batch: Vec<usize> = again.drain(..).chain(next..next + more).collect();
        next += more;
        if batch.is_empty() {
            let wait = (begun + items[next].due).saturating_duration_since(now);
            std::thread::sleep(wait.min(Duration::from_millis(100)));
            continue;
        }
        let called = Instant::now();
        let answer = connection.post(&request(method, items, &batch))?;
        sent.calls.push(called.elapsed());
        again = refused(&answer, &batch)?;
        sent.taken += (batch.len() - again.len()) as u32;
        sent.put_off += again.len() as u32;
        if !again.is_empty() {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(sent)
}

fn request(method: &str, items: &[Item], batch: &[usize]) -> Vec<u8> {
    let mut body = Vec::with_capacity(batch.iter().map(|at| items[*at].hex.len() + 100).sum());
    let mut separator = b'[';
    for at in batch {
        body.push(separator);
        separator = b',';
        body.extend_from_slice(
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{at},\"method\":\"{method}\",\"params\":[\"0x").as_bytes(),
        );
        body.extend_from_slice(&items[*at].hex);
        body.extend_from_slice(b"\"]}");
    }
    body.push(b']');
    body
}

/// Which of a batch are to be submitted again.
fn refused(answer: &[u8], batch: &[usize]) -> Outcome<Vec<usize>> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        id: Option<usize>,
        #[serde(borrow)]
        error: Option<&'a serde_json::value::RawValue>,
    }
    let broken = |what: String| Failure::failed("bench", format!("a submission's answer: {what}"));
    // A whole batch is refused with one object.
    if !answer.starts_with(b"[") {
        let text = String::from_utf8_lossy(answer).into_owned();
        return if is_passing(&text) { Ok(batch.to_vec()) } else { Err(broken(text)) };
    }
    let answers: Vec<Answer<'_>> =
        serde_json::from_slice(answer).map_err(|error| broken(error.to_string()))?;
    if answers.len() != batch.len() {
        return Err(broken(format!("{} answers to {} calls", answers.len(), batch.len())));
    }
    let mut again = Vec::new();
    for (answer, at) in answers.iter().zip(batch) {
        match answer.error.map(serde_json::value::RawValue::get) {
            _ if answer.id != Some(*at) => return Err(broken("not in order".to_owned())),
            None => {}
            Some(error) if is_passing(error) => again.push(*at),
            Some(error) => return Err(broken(error.to_owned())),
        }
    }
    Ok(again)
}

/// Refusals that say "later": a pool or a sender's place in it is full, or the node is busy.
fn is_passing(error: &str) -> bool {
    ["nonce_too_high", "pool_full", "busy", "limit_exceeded"]
        .iter()
        .any(|code| error.contains(&format!("\"{code}\"")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::client::http::Url;

    #[test]
    fn what_is_refused_for_the_moment_goes_again_and_anything_else_ends_the_load() {
        let answer = br#"[{"jsonrpc":"2.0","id":4,"result":{}},
            {"jsonrpc":"2.0","id":5,"error":{"code":1,"message":"m","data":{"code":"nonce_too_high"}}}]"#;
        assert_eq!(refused(answer, &[4, 5]).unwrap(), [5]);
        assert!(refused(answer, &[4]).is_err(), "an answer too many");
        assert!(refused(answer, &[5, 4]).is_err(), "answers of other calls");
        let bad =
            br#"[{"jsonrpc":"2.0","id":4,"error":{"code":1,"message":"m","data":{"code":"bad_signature"}}}]"#;
        assert!(refused(bad, &[4]).is_err());
        let whole = br#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m","data":{"code":"busy"}}}"#;
        assert_eq!(refused(whole, &[4, 5]).unwrap(), [4, 5]);
    }

    /// What a node puts off until the load gives up was not taken.
    #[test]
    fn what_no_node_takes_in_time_does_not_count_as_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let node = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let body = r#"{"id":null,"error":{"code":1,"message":"m","data":{"code":"busy"}}}"#;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let (mut byte, mut tail) = ([0], [0; 2]);
            while socket.read_exact(&mut byte).is_ok() {
                tail = [tail[1], byte[0]];
                if tail == *b"}]" {
                    socket.write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        let items = [Item { due: Duration::ZERO, number: 0, hex: b"ab".to_vec().into() }];
        let begun = Instant::now();
        let mut connection = Connection::open(&url).unwrap();
        let sent = submit(&mut connection, "m", &items, begun, begun + 4 * PAUSE).unwrap();
        assert!(sent.taken == 0 && sent.put_off >= 1, "{sent:?}");
        drop(connection);
        node.join().unwrap();
    }

    #[test]
    fn a_batch_is_one_request_with_a_number_for_each_call() {
        let item = |number: u32| Item { due: Duration::ZERO, number, hex: b"ab".to_vec().into() };
        let body = request("m", &[item(0), item(1)], &[0, 1]);
        let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(read[1]["params"], serde_json::json!(["0xab"]));
        assert_eq!(read[1]["id"], 1);
    }
}

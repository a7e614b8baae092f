//! The fault proxy: one process through which all links between the nodes of a network run, so that they
//! can be cut, held and delayed without root.
//!
//! Each ordered pair of nodes has a listener of its own. A link's rule says what becomes of its bytes: they
//! pass, they pass late, or the link is cut: its connections are closed and new ones refused, as a firewall
//! that resets would do. A held link keeps its connections open and moves nothing, as a cable that was
//! pulled would do; one direction can be held alone.
//!
//! The proxy takes commands as JSON lines on a loopback port.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream as AsyncStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::TestnetError;
use crate::plan::Link;

/// What becomes of one link's bytes, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// They pass.
    #[default]
    Pass,
    /// They pass this many milliseconds late.
    Delay(u64),
    /// They wait until the rule changes.
    Hold,
    /// Connections are closed, and refused.
    Cut,
}

/// An order to the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum Order {
    /// Is it there?
    Ping,
    /// Bytes from node `from` to node `to` follow `rule` from now on.
    Set {
        /// The sending nodes' numbers.
        from: Vec<usize>,
        /// The receiving nodes' numbers.
        to: Vec<usize>,
        /// What becomes of the bytes.
        rule: Rule,
    },
    /// Everything passes again.
    Heal,
    /// Which rules hold, other than `pass`.
    Rules,
    /// End.
    Stop,
}

/// The proxy's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The rules that hold, other than `pass`: (from, to, rule).
    pub rules: Vec<(usize, usize, Rule)>,
}

type Rules = BTreeMap<(usize, usize), Rule>;

/// The longest command line.
const LINE_LIMIT: usize = 64 * 1024;
/// Bytes read at a time from one direction of a link; with the queue below it bounds what a delay can hold.
const CHUNK: usize = 64 * 1024;
const QUEUE: usize = 256;

/// Starts the proxy process for the network in `root` and returns where it takes commands.
///
/// # Errors
/// It cannot be started, or does not say where it listens.
pub fn start(synod: &Path, root: &Path) -> Result<SocketAddr, TestnetError> {
    let failed = |source| TestnetError::Spawn { name: "the fault proxy".to_owned(), source };
    let mut child = Command::new(synod)
        .args(["testnet", "proxy", "--root"])
        .arg(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let stdout = child.stdout.take().expect("stdout is piped");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
    line.trim().parse().map_err(|_| TestnetError::Proxy("it ended before it listened".to_owned()))
}

/// Whether a proxy answers at `control`.
pub fn answers(control: SocketAddr) -> bool {
    command(control, &Order::Ping).is_ok()
}

/// Ends the proxy at `control`, if it is there.
pub fn stop(control: SocketAddr) {
    // One that does not answer has ended already.
    let _ = command(control, &Order::Stop);
}

/// Sends one command.
///
/// # Errors
/// [`TestnetError::Proxy`].
pub fn command(control: SocketAddr, command: &Order) -> Result<Answer, TestnetError> {
    let failed = |error: std::io::Error| TestnetError::Proxy(error.to_string());
    let mut stream = TcpStream::connect_timeout(&control, Duration::from_secs(2)).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(failed)?;
    let mut line = serde_json::to_string(command).expect("commands serialize");
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(failed)?;
    serde_json::from_str(&answer).map_err(|error| TestnetError::Proxy(error.to_string()))
}

/// The rules that cut the network into `groups`: bytes pass only within a group.
pub fn partition(groups: &[Vec<usize>], rule: Rule) -> Vec<Order> {
    let mut commands = vec![Order::Heal];
    for (index, from) in groups.iter().enumerate() {
        let to: Vec<usize> = groups
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .flat_map(|(_, group)| group.iter().copied())
            .collect();
        commands.push(Order::Set { from: from.clone(), to, rule });
    }
    commands
}

/// Runs the proxy until it is told to stop. `listening` is told where it takes commands.
///
/// # Errors
/// A listener cannot be bound.
pub async fn serve(links: Vec<Link>, listening: impl FnOnce(SocketAddr)) -> std::io::Result<()> {
    let (rules, watched) = watch::channel(Rules::new());
    for link in links {
        let listener = TcpListener::bind(link.listen).await?;
        tokio::spawn(accept(listener, link, watched.clone()));
    }
    let control = TcpListener::bind(("127.0.0.1", 0)).await?;
    listening(control.local_addr()?);
    loop {
        let (stream, _) = control.accept().await?;
        if obey(stream, &rules).await.unwrap_or(false) {
            return Ok(());
        }
    }
}

/// Carries out one command; true when it was to stop.
async fn obey(stream: AsyncStream, rules: &watch::Sender<Rules>) -> std::io::Result<bool> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut limited = tokio::io::BufReader::new(reader.take(LINE_LIMIT as u64));
    // A client that says nothing must not keep the others out.
    let read = tokio::time::timeout(Duration::from_secs(2), limited.read_line(&mut line)).await;
    if read.is_err() {
        return Ok(false);
    }
    let Ok(command) = serde_json::from_str::<Order>(&line) else { return Ok(false) };
    let stops = command == Order::Stop;
    rules.send_modify(|rules| apply(rules, command));
    let answer =
        Answer { rules: rules.borrow().iter().map(|(&(from, to), &rule)| (from, to, rule)).collect() };
    let mut text = serde_json::to_string(&answer).expect("answers serialize");
    text.push('\n');
    writer.write_all(text.as_bytes()).await?;
    Ok(stops)
}

fn apply(rules: &mut Rules, command: Order) {
    match command {
        Order::Set { from, to, rule } => {
            for pair in from.iter().flat_map(|&from| to.iter().map(move |&to| (from, to))) {
                if rule == Rule::Pass {
                    rules.remove(&pair);
                } else {
                    rules.insert(pair, rule);
                }
            }
        }
        Order::Heal => rules.clear(),
        Order::Ping | Order::Rules | Order::Stop => {}
    }
}

fn rule_of(rules: &watch::Receiver<Rules>, from: usize, to: usize) -> Rule {
    rules.borrow().get(&(from, to)).copied().unwrap_or_default()
}

async fn accept(listener: TcpListener, link: Link, rules: watch::Receiver<Rules>) {
    let link = Arc::new(link);
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        let cut = [(link.from, link.to), (link.to, link.from)]
            .into_iter()
            .any(|(from, to)| rule_of(&rules, from, to) == Rule::Cut);
        if cut {
            continue;
        }
        tokio::spawn(carry(near, link.clone(), rules.clone()));
    }
}

/// Joins one accepted connection with its target until either ends or the link is cut.
async fn carry(near: AsyncStream, link: Arc<Link>, rules: watch::Receiver<Rules>) {
    let Ok(far) = AsyncStream::connect(link.target).await else { return };
    // Small consensus messages must not wait for more bytes.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let there = pump(near_read, far_write, link.from, link.to, rules.clone());
    let back = pump(far_read, near_write, link.to, link.from, rules);
    // The end of one direction ends the other: both sockets close together.
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

/// Moves bytes one way under the rule for that way. Reading goes on during a delay, so that the delay is
/// one of latency, not of bandwidth.
async fn pump(
    mut reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
    from: usize,
    to: usize,
    rules: watch::Receiver<Rules>,
) {
    let (queue, mut queued) = tokio::sync::mpsc::channel::<(Instant, Vec<u8>)>(QUEUE);
    let read_rules = rules.clone();
    let reading = async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(read @ 1..) = reader.read(&mut buffer).await {
            let late = match rule_of(&read_rules, from, to) {
                Rule::Delay(milliseconds) => Duration::from_millis(milliseconds),
                _ => Duration::ZERO,
            };
            if queue.send((Instant::now() + late, buffer[..read].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let mut write_rules = rules.clone();
    let writing = async move {
        while let Some((due, bytes)) = queued.recv().await {
            tokio::time::sleep_until(due).await;
            if write_rules.wait_for(|rules| rules.get(&(from, to)) != Some(&Rule::Hold)).await.is_err() {
                return;
            }
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let mut cut_rules = rules;
    let cut = cut_rules.wait_for(|rules| rules.get(&(from, to)) == Some(&Rule::Cut));
    tokio::select! {
        () = async { tokio::join!(reading, writing); } => {}
        _ = cut => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo_server() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        address
    }

    async fn proxied() -> (Link, SocketAddr) {
        let target = echo_server().await;
        let free = synod_node::ports::unused().unwrap();
        let link = Link { from: 0, to: 1, listen: free, target };
        let (tell, told) = tokio::sync::oneshot::channel();
        let links = vec![link.clone()];
        tokio::spawn(serve(links, move |control| tell.send(control).unwrap()));
        (link, told.await.unwrap())
    }

    async fn give(control: SocketAddr, order: Order) -> Answer {
        tokio::task::spawn_blocking(move || command(control, &order)).await.unwrap().unwrap()
    }

    async fn round_trip(stream: &mut AsyncStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_cut_link_closes_and_refuses_until_it_heals() {
        let (link, control) = proxied().await;
        let mut stream = AsyncStream::connect(link.listen).await.unwrap();
        assert_eq!(round_trip(&mut stream, b"one").await.unwrap(), b"one");

        for rule in partition(&[vec![0], vec![1]], Rule::Cut) {
            give(control, rule).await;
        }
        assert!(round_trip(&mut stream, b"two").await.is_err());
        let mut refused = AsyncStream::connect(link.listen).await.unwrap();
        assert!(round_trip(&mut refused, b"three").await.is_err());

        assert_eq!(give(control, Order::Heal).await.rules, []);
        let mut healed = AsyncStream::connect(link.listen).await.unwrap();
        assert_eq!(round_trip(&mut healed, b"four").await.unwrap(), b"four");
    }

    #[tokio::test]
    async fn a_held_direction_moves_nothing_and_loses_nothing() {
        let (link, control) = proxied().await;
        let mut stream = AsyncStream::connect(link.listen).await.unwrap();
        assert_eq!(round_trip(&mut stream, b"one").await.unwrap(), b"one");
        give(control, Order::Set { from: vec![1], to: vec![0], rule: Rule::Hold }).await;
        let held = tokio::spawn(async move { round_trip(&mut stream, b"two").await });
        assert_eq!(give(control, Order::Rules).await.rules, [(1, 0, Rule::Hold)]);
        assert!(!held.is_finished());
        give(control, Order::Heal).await;
        assert_eq!(held.await.unwrap().unwrap(), b"two");
    }

    #[tokio::test]
    async fn nonsense_on_the_control_port_is_ignored() {
        let (_, control) = proxied().await;
        let mut stream = AsyncStream::connect(control).await.unwrap();
        stream.write_all(b"{]\n").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"");
        assert_eq!(give(control, Order::Ping).await.rules, []);
    }
}

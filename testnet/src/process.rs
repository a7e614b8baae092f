//! One node as a process: started detached, asked whether it is ready, signalled.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, test_kill_process};
use synod_node::home::PID_FILE;

use crate::error::TestnetError;
use crate::folder::{Endpoint, file_error};

/// How long a node may take to get ready or to stop.
pub const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(3);

/// What is known of a node's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No process.
    Stopped,
    /// A process that is not ready.
    Starting(i32),
    /// A process that answers.
    Ready(i32),
}

/// Starts the node of `endpoint` with the binary `synod`. It outlives this process.
///
/// # Errors
/// [`TestnetError::Spawn`].
pub fn start(synod: &Path, endpoint: &Endpoint) -> Result<Child, TestnetError> {
    let logs = endpoint.folder.join("logs");
    std::fs::create_dir_all(&logs).map_err(|source| file_error(&logs, source))?;
    let errors = logs.join("stderr.log");
    let stderr = std::fs::File::create(&errors).map_err(|source| file_error(&errors, source))?;
    Command::new(synod)
        .arg("node")
        .arg("--config")
        .arg(endpoint.folder.join("node.toml"))
        .arg("--log-file")
        .arg(log_file(endpoint))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .map_err(|source| TestnetError::Spawn { name: endpoint.name.clone(), source })
}

/// Where a node writes its log.
pub fn log_file(endpoint: &Endpoint) -> PathBuf {
    endpoint.folder.join("logs").join("node.log")
}

/// Waits until the node that `child` runs is ready.
///
/// # Errors
/// It ended, with the end of its log; or it took too long.
pub fn wait_ready(child: &mut Child, endpoint: &Endpoint) -> Result<(), TestnetError> {
    let begun = Instant::now();
    loop {
        // Its pid is written once it listens: until then somebody else may answer at its address.
        let listens = running_pid(endpoint).is_some_and(|pid| u32::try_from(pid) == Ok(child.id()));
        if listens && is_ready(endpoint) {
            return Ok(());
        }
        if let Ok(Some(_)) = child.try_wait() {
            return Err(died(endpoint));
        }
        if begun.elapsed() > PATIENCE {
            return Err(slow(endpoint, "get ready"));
        }
        std::thread::sleep(POLL);
    }
}

/// What the node's process is doing.
pub fn state(endpoint: &Endpoint) -> State {
    match running_pid(endpoint) {
        None => State::Stopped,
        Some(pid) if is_ready(endpoint) => State::Ready(pid),
        Some(pid) => State::Starting(pid),
    }
}

/// The node's process, if it lives: its pid file names a process that was started on its folder.
pub fn running_pid(endpoint: &Endpoint) -> Option<i32> {
    let text = std::fs::read_to_string(endpoint.folder.join(PID_FILE)).ok()?;
    let pid: i32 = text.trim().parse().ok()?;
    if !exists(pid) {
        return None;
    }
    let command = std::fs::read(format!("/proc/{pid}/cmdline"));
    let folder = endpoint.folder.as_os_str().as_encoded_bytes();
    match command {
        // A number that was given to another process since says nothing about ours.
        Ok(line) => line.windows(folder.len()).any(|window| window == folder).then_some(pid),
        Err(_) => Some(pid),
    }
}

/// Asks the node to stop, or with `kill` ends it at once, and waits until it is gone.
///
/// # Errors
/// [`TestnetError::Slow`].
pub fn stop(endpoint: &Endpoint, kill: bool) -> Result<bool, TestnetError> {
    let Some(pid) = running_pid(endpoint) else { return Ok(false) };
    signal(pid, if kill { Signal::KILL } else { Signal::TERM });
    wait_gone(endpoint, pid)?;
    Ok(true)
}

/// Asks a child to end.
pub fn terminate(child: &Child) {
    signal(i32::try_from(child.id()).unwrap_or_default(), Signal::TERM);
}

/// Sends a signal; a process that has just gone is no error.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // ESRCH means that it ended by itself, which is what a stop wants.
        let _ = kill_process(pid, signal);
    }
}

/// Waits for the very end: until the folder's lock is free. A process that is dying has no command line any
/// more, and its first thread may be gone, while the others still hold what it had open.
///
/// # Errors
/// [`TestnetError::Slow`].
pub fn wait_gone(endpoint: &Endpoint, pid: i32) -> Result<(), TestnetError> {
    let begun = Instant::now();
    while (exists(pid) && !is_zombie(pid)) || synod_node::home::is_locked(&endpoint.folder) {
        if begun.elapsed() > PATIENCE {
            return Err(slow(endpoint, "stop"));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn exists(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_ok())
}

/// A process that ended and that its parent (this very process, in tests) has not reaped yet.
fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

/// Processor time that a process has taken, in itself and in the system; none when there is no such process.
pub fn cpu_time(pid: i32) -> Option<Duration> {
    // Linux counts in hundredths of a second for programs, whatever its own clock does.
    const TICK_MS: u64 = 10;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, which stands in brackets, may hold anything.
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks(11)? + ticks(12)?) * TICK_MS))
}

/// Whether `/ready` answers 200.
pub fn is_ready(endpoint: &Endpoint) -> bool {
    let Some(address) = endpoint.web.strip_prefix("http://").and_then(|text| text.parse().ok()) else {
        return false;
    };
    http_get(address, "/ready").is_ok_and(|response| response.starts_with("HTTP/1.1 200"))
}

/// A plain HTTP GET to a loopback server of ours; at most 1 MiB of answer.
pub fn http_get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.take(1 << 20).read_to_string(&mut response)?;
    Ok(response)
}

fn slow(endpoint: &Endpoint, what: &'static str) -> TestnetError {
    TestnetError::Slow {
        name: endpoint.name.clone(),
        what,
        seconds: PATIENCE.as_secs(),
        log: log_file(endpoint),
    }
}

/// What a node says last tells why it ended: a command's error, which goes to standard error, or else its log.
fn died(endpoint: &Endpoint) -> TestnetError {
    let errors = endpoint.folder.join("logs").join("stderr.log");
    let (log, tail) = match last_lines(&errors, 10) {
        told if told.is_empty() => (log_file(endpoint), last_lines(&log_file(endpoint), 10)),
        told => (errors, told),
    };
    TestnetError::Died { name: endpoint.name.clone(), log, tail }
}

/// The last lines of a text file; empty when it cannot be read.
pub fn last_lines(path: &Path, count: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(256 * 1024)..]);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| format!("{line}\n")).collect()
}

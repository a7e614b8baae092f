//! `synod node`: one node as a process, from its configuration to its exit.

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::config::{Config, ConfigError};
use crate::driver::{Node, NodeError, OpaqueMember, Reason};
use crate::identity::Password;
use crate::logging::{self, LoggingError};

/// How long the tasks of a node that is over may take to end.
const LINGERING: Duration = Duration::from_secs(10);

/// Why the process fails.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// `node.toml`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Logging.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// The node did not start.
    #[error(transparent)]
    Start(#[from] NodeError),
    /// The system gave no runtime or no signal handler.
    #[error("the system refuses threads or signal handlers: {0}")]
    System(#[from] std::io::Error),
    /// The node had to stop.
    #[error("the node stopped: {0}")]
    Stopped(String),
}

/// Runs a node until SIGTERM, SIGINT, or a failure that must not be survived. The password opens its key,
/// where that is under one.
///
/// # Errors
/// [`RunError`]; after [`RunError::Stopped`] what was acknowledged is on the disk.
pub fn run(config: Config, password: Option<Password>, log_file: Option<&Path>) -> Result<(), RunError> {
    config.check()?;
    logging::start(&config.log, log_file)?;
    let asked = asked_to_end()?;
    loop {
        // Everything of a node that starts again is gone before it does: its tasks, and with them its disks' locks.
        let runtime = runtime()?;
        let reason = runtime.block_on(live(config.clone(), password.clone(), asked.clone()));
        runtime.shutdown_timeout(LINGERING);
        // Without a file the log is standard error, where whoever called tells the same.
        if let (Err(error), Some(_)) = (&reason, log_file) {
            tracing::error!(%error, "the node did not start");
        }
        match reason? {
            Reason::Asked => return Ok(()),
            Reason::Failed(reason) => return Err(RunError::Stopped(reason)),
            Reason::Again => {}
        }
    }
}

/// One life of a node.
async fn live(
    config: Config,
    password: Option<Password>,
    mut asked: watch::Receiver<bool>,
) -> Result<Reason, RunError> {
    // A start may take long: a damaged block log waits for peers that have what is lost.
    let node = tokio::select! {
        node = Node::start(config, password) => node?,
        _ = asked.wait_for(|asked| *asked) => return Ok(Reason::Asked),
    };
    let stop = node.stopper();
    let waiting = tokio::spawn(async move {
        if asked.wait_for(|asked| *asked).await.is_ok() {
            stop();
        }
    });
    let reason = node.run().await;
    waiting.abort();
    Ok(reason)
}

/// Becomes true with the first signal to end, whatever the node does at that moment.
fn asked_to_end() -> Result<watch::Receiver<bool>, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = runtime.block_on(async { Signals::new() })?;
    let (asked, told) = watch::channel(false);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(signals.next());
        asked.send_replace(true);
        // Whoever asks later hears what the first signal said.
        runtime.block_on(asked.closed());
    })?;
    Ok(told)
}

/// Runs a member that orders opaque bytes, in the same way; it also ends with its standard input, so that it does
/// not outlive whoever started it, however that ends.
///
/// # Errors
/// [`RunError`].
pub fn run_opaque(config: Config, log_file: &Path) -> Result<(), RunError> {
    logging::start(&config.log, Some(log_file))?;
    let reason = runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        let member = Box::pin(OpaqueMember::start(config)).await?;
        let stop = member.stopper();
        let waiting = tokio::spawn(async move {
            signals.next().await;
            stop();
        });
        let stop = member.stopper();
        std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
            // Nothing is ever written there: it ends, or fails, when the parent does.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            stop();
        })?;
        let reason = member.run().await;
        waiting.abort();
        Ok::<_, RunError>(reason)
    })?;
    match reason {
        Reason::Failed(reason) => Err(RunError::Stopped(reason)),
        Reason::Asked | Reason::Again => Ok(()),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

//! `synod node`: one node as a process, from its configuration to its exit.

use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Config, ConfigError};
use crate::driver::{Node, NodeError, Reason};
use crate::identity::Password;
use crate::logging::{self, LoggingError};

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
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let reason = runtime.block_on(async {
        let mut signals = Signals::new()?;
        // A start may take long: a damaged block log waits for peers that have what is lost.
        let node = tokio::select! {
            node = Node::start(config, password) => node?,
            () = signals.next() => return Ok(Reason::Asked),
        };
        let stop = node.stopper();
        let waiting = tokio::spawn(async move {
            signals.next().await;
            stop();
        });
        let reason = node.run().await;
        waiting.abort();
        Ok::<_, RunError>(reason)
    });
    // Without a file the log is standard error, where whoever called tells the same.
    if let (Err(error), Some(_)) = (&reason, log_file) {
        tracing::error!(%error, "the node did not start");
    }
    match reason? {
        Reason::Asked => Ok(()),
        Reason::Failed(reason) => Err(RunError::Stopped(reason)),
    }
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

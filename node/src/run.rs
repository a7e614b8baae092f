//! `synod node`: one node as a process, from its configuration to its exit.

use std::path::Path;

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
        let node = Node::start(config, password).await?;
        let stop = node.stopper();
        let signals = stop_on_signals(stop)?;
        let reason = node.run().await;
        signals.abort();
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

fn stop_on_signals(stop: impl Fn() + Send + 'static) -> std::io::Result<tokio::task::JoinHandle<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop();
    }))
}

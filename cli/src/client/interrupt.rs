//! Ctrl-C, as a flag; and SIGTERM and a closed terminal, which ask for the same.
//!
//! Until [`arm`] is called they end the process as they always do. From then on they set the flag, so
//! that a command which has signed something can say its id before it ends, and one that started processes can end
//! them. A second one ends the process at once. Who asked for it to live on without its terminal (`nohup`) is heard.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Exit;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static ARMED: Once = Once::new();

/// The flag.
pub(crate) fn flag() -> &'static AtomicBool {
    &INTERRUPTED
}

/// Begins to catch Ctrl-C.
pub(crate) fn arm() {
    ARMED.call_once(|| {
        let listener = std::thread::Builder::new().name("interrupt".to_owned()).spawn(listen);
        // Without the listener Ctrl-C works as it always does.
        drop(listener);
    });
}

fn listen() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    runtime.block_on(async {
        let hears_hang_up = !ignores(SignalKind::hangup());
        let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return };
        let mut hang_up = hears_hang_up.then(|| signal(SignalKind::hangup()).ok()).flatten();
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                Some(()) = async { hang_up.as_mut()?.recv().await } => {}
            }
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(Exit::Interrupted as i32);
            }
        }
    });
}

/// Whether whoever started this process let it ignore a signal.
fn ignores(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or(63);
    ignored.checked_shr(bit).unwrap_or_default() & 1 == 1
}

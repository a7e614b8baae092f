//! Ctrl-C, as a flag.
//!
//! Until [`arm`] is called Ctrl-C ends the process as it always does. From then on it sets the flag, so
//! that a command which has signed something can say its id before it ends. A second Ctrl-C ends the
//! process at once.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

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
        while tokio::signal::ctrl_c().await.is_ok() {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(Exit::Interrupted as i32);
            }
        }
    });
}

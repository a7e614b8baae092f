//! Mutants: deliberate wrong lines, by name, that the tests must catch.
//!
//! `mutant!("pow-2-height")` is the constant `false` in every shipped build, so the wrong branch is not
//! compiled in. Only a crate built with its feature `mutants` (tests and the mutant table use it) asks
//! [`active`], and at most one mutant is switched on for a thread at a time.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static ACTIVE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Whether the mutant `id` is switched on in this thread.
pub fn active(id: &str) -> bool {
    ACTIVE.with_borrow(|active| active.as_deref() == Some(id))
}

/// A number that is another one at every call in this process: what an unordered map's hidden seed brings in.
pub fn disorder() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed)
}

/// Runs `body` in this thread with the mutant `id` switched on, and switches it off afterwards.
pub fn with<R>(id: &str, body: impl FnOnce() -> R) -> R {
    /// Switches the mutant off even when `body` panics: a dying mutant is the expected outcome.
    struct Off;
    impl Drop for Off {
        fn drop(&mut self) {
            ACTIVE.set(None);
        }
    }
    ACTIVE.set(Some(id.to_owned()));
    let _off = Off;
    body()
}

/// Whether a named mutant is switched on: constant `false` unless the calling crate's feature `mutants` is on.
#[macro_export]
macro_rules! mutant {
    ($id:literal) => {{
        #[cfg(feature = "mutants")]
        {
            $crate::mutant::active($id)
        }
        #[cfg(not(feature = "mutants"))]
        {
            false
        }
    }};
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_mutant_is_on_only_inside_its_scope() {
        assert!(!super::active("a"));
        super::with("a", || {
            assert!(super::active("a"));
            assert!(!super::active("b"));
        });
        assert!(!super::active("a"));
        let died = std::panic::catch_unwind(|| super::with("a", || panic!("caught")));
        assert!(died.is_err() && !super::active("a"));
    }
}

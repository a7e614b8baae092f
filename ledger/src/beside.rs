//! Two computations at once.

/// Two computations that do not depend on each other, the first on a thread of its own if that is worth it.
pub(crate) fn beside<A: Send, B>(
    threaded: bool,
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B,
) -> (A, B) {
    if !threaded {
        return (first(), second());
    }
    std::thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        (first.join().expect("it does not panic"), second)
    })
}

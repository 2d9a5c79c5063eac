//! When a matrix is large enough for threads.

/// Size of a matrix from which on threads are worth while.
pub(crate) const PARALLEL: usize = 256;

/// Runs `f` for an `n × n` matrix inside the thread pool if it is going to use threads, so that it
/// changes threads only once.
pub(crate) fn pooled<R: Send>(n: usize, f: impl FnOnce() -> R + Send) -> R {
    if n < PARALLEL { f() } else { rayon::scope(|_| f()) }
}

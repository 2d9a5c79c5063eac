//! Products of one symmetric matrix with successive vectors, by threads that wait for each other
//! only briefly.
//!
//! Each vector depends on the product before it, and a product takes microseconds, less than it
//! costs to wake a thread. Helpers are therefore started once for many products and poll for the
//! next vector meanwhile. The triangle is cut into parts of equal area, as many as its size
//! demands. Whoever is free takes a part and sums into the part's own vector; the caller takes
//! parts too, waits until all are done and adds the vectors in order. So the result does not depend
//! on who did what, and a helper that never starts is not missed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::kernels::{Element, Rows, axpy, symmetric_product};

/// Rows per part, roughly.
const PART: usize = 192;
/// Parts at most.
const MAX_PARTS: usize = 16;
/// Polls before a waiting thread offers its core to others.
const SPINS: usize = 4000;

/// A lower triangle and the vectors that it is to be multiplied with.
pub(crate) struct Team<'a, E> {
    triangle: Rows<'a, E>,
    parts: Vec<Part<E>>,
    /// The vectors, one per product.
    xs: Vec<OnceLock<Vec<E>>>,
    /// Products begun.
    begun: AtomicUsize,
    /// Parts done, over all products.
    done: AtomicUsize,
    over: AtomicBool,
}

/// Some rows of the triangle.
struct Part<E> {
    first: usize,
    end: usize,
    /// The products for which this part has been taken.
    taken: AtomicUsize,
    sum: Mutex<Vec<E>>,
}

impl<'a, E: Element> Team<'a, E> {
    /// Prepares for at most `products` products with the lower triangle in the given rows.
    fn new(triangle: Rows<'a, E>, products: usize) -> Self {
        let m = triangle.count;
        let count = (m / PART).clamp(1, MAX_PARTS);
        // Rows from `m √(k / count)` on: equal areas, whole groups of four rows.
        let cut = |k: usize| {
            if k == count {
                m
            } else {
                (m as f64 * (k as f64 / count as f64).sqrt()) as usize / 4 * 4
            }
        };
        let part = |k: usize| Part {
            first: cut(k),
            end: cut(k + 1),
            taken: AtomicUsize::new(0),
            sum: Mutex::new(vec![E::zero(); cut(k + 1)]),
        };
        Team {
            triangle,
            parts: (0..count).map(part).collect(),
            xs: (0..products).map(|_| OnceLock::new()).collect(),
            begun: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// Calls `lead`, which may ask for the products, while idle threads of the pool help.
    pub(crate) fn run(triangle: Rows<'a, E>, products: usize, lead: impl FnOnce(&Self) + Send) {
        let team = Team::new(triangle, products);
        let helpers = rayon::current_num_threads().min(team.parts.len()) - 1;
        if helpers == 0 {
            return lead(&team);
        }
        rayon::scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(|_| team.help());
            }
            let _end = OnDrop(|| team.over.store(true, Ordering::Release));
            lead(&team);
        });
    }

    /// `y += A x`. To be called by the leading thread only.
    pub(crate) fn product(&self, x: &[E], y: &mut [E]) {
        if self.parts.len() == 1 {
            return symmetric_product(self.triangle, 0, x, y);
        }
        let step = self.begun.fetch_add(1, Ordering::Relaxed);
        let x = self.xs[step].get_or_init(|| x.to_vec());
        self.parts.iter().for_each(|part| self.offer(part, step, x));
        let all = (step + 1) * self.parts.len();
        wait(|| self.done.load(Ordering::Acquire) == all);
        for part in &self.parts {
            axpy(E::one(), &part.sum(), &mut y[..part.end]);
        }
    }

    /// Takes parts until the end. Helpers begin at the end that the caller comes to last, so that
    /// parts tend to stay in a core's cache.
    fn help(&self) {
        for (step, x) in self.xs.iter().enumerate() {
            wait(|| x.get().is_some() || self.over.load(Ordering::Acquire));
            let Some(x) = x.get() else { return };
            self.parts.iter().rev().for_each(|part| self.offer(part, step, x));
        }
    }

    /// Computes a part unless it has been taken.
    fn offer(&self, part: &Part<E>, step: usize, x: &[E]) {
        if part.taken.compare_exchange(step, step + 1, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            return;
        }
        let _done = OnDrop(|| {
            self.done.fetch_add(1, Ordering::AcqRel);
        });
        let mut sum = part.sum();
        sum.fill(E::zero());
        let Rows { entries, stride, .. } = self.triangle;
        let rows =
            Rows { entries: &entries[part.first * stride..], stride, count: part.end - part.first };
        symmetric_product(rows, part.first, x, &mut sum);
    }
}

impl<E> Part<E> {
    fn sum(&self) -> MutexGuard<'_, Vec<E>> {
        self.sum.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Polls until something is true.
fn wait(mut done: impl FnMut() -> bool) {
    let mut polls = 0;
    while !done() {
        polls += 1;
        if polls % SPINS == 0 {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

/// Calls a function when dropped, in a panic too, so that nobody waits for ever.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

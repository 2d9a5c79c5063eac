//! A closure that is told of every product with an operator: progress of matrix-free methods.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use vivit_tensor::{Device, Tensor};

use crate::{Error, LinearOperator};

/// An operator that calls a closure after every multiplication with the number of products so far,
/// one per vector.
///
/// Matrix-free methods spend their time in products, so this shows the progress of any of them.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
///
/// use vivit_curvature::{OnProduct, TraceOptions, hutchinson_trace};
/// use vivit_tensor::{Device, Tensor};
///
/// let a = Tensor::eye(&Device::cpu_f64(), 5);
/// let seen = AtomicUsize::new(0);
/// let watched = OnProduct::new(&a, |products| seen.store(products, Relaxed));
/// let trace = hutchinson_trace(&watched, &TraceOptions::default().vectors(20))?;
/// assert_eq!((seen.into_inner(), trace.value), (20, 5.0));
/// # Ok::<(), vivit_curvature::Error>(())
/// ```
pub struct OnProduct<'a, F> {
    operator: &'a dyn LinearOperator,
    report: F,
    done: AtomicUsize,
}

impl<'a, F: Fn(usize) + Send + Sync> OnProduct<'a, F> {
    /// Watches an operator.
    pub fn new(operator: &'a dyn LinearOperator, report: F) -> Self {
        OnProduct { operator, report, done: AtomicUsize::new(0) }
    }
}

impl<F> fmt::Debug for OnProduct<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnProduct")
            .field("dim", &self.operator.dim())
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl<F: Fn(usize) + Send + Sync> LinearOperator for OnProduct<'_, F> {
    fn dim(&self) -> usize {
        self.operator.dim()
    }

    fn device(&self) -> &Device {
        self.operator.device()
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor, Error> {
        let y = self.operator.apply(x)?;
        let k = x.shape()[0];
        (self.report)(self.done.fetch_add(k, Ordering::Relaxed) + k);
        Ok(y)
    }
}

//! Where the largest or the smallest entries along an axis are.

use std::cmp::Ordering;

use vivit_tensor::Tensor;

use crate::op::{zero_jac, zero_jac_t};
use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// The positions of the `count` largest or smallest entries along an axis, from the extreme one on:
/// whole numbers, of equal entries the first ones first. Nothing is differentiated in them.
///
/// Entries are ordered on the host.
#[derive(Clone, Copy, Debug)]
pub struct TopPlaces {
    /// The axis of the value, the sample axis counted.
    pub axis: usize,
    /// How many.
    pub count: usize,
    /// Whether they are the smallest.
    pub least: bool,
}

impl TopPlaces {
    /// The larger number first, NaN before all others.
    fn order(&self, a: f64, b: f64) -> Ordering {
        match (a.is_nan(), b.is_nan()) {
            (false, false) if self.least => a.partial_cmp(&b),
            (false, false) => b.partial_cmp(&a),
            (a, b) => Some(if self.least { a.cmp(&b) } else { b.cmp(&a) }),
        }
        .unwrap_or(Ordering::Equal)
    }

    /// The positions in the numbers of an array whose axis has `len` entries, `inner` apart.
    fn places(&self, numbers: &[f64], len: usize, inner: usize) -> Vec<f64> {
        let outer = numbers.len() / (len * inner).max(1);
        let mut found = vec![0.0; outer * self.count * inner];
        let mut order: Vec<usize> = Vec::with_capacity(len);
        for plane in 0..outer {
            for column in 0..inner {
                let entry = |at: usize| numbers[(plane * len + at) * inner + column];
                order.clear();
                order.extend(0..len);
                // Stable: equal entries stay in their order.
                order.sort_by(|&a, &b| self.order(entry(a), entry(b)));
                for (place, &at) in order[..self.count].iter().enumerate() {
                    found[(plane * self.count + place) * inner + column] = at as f64;
                }
            }
        }
        found
    }
}

impl Op for TopPlaces {
    fn name(&self) -> &'static str {
        if self.least { "places of the smallest" } else { "places of the largest" }
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (x, device) = (args[0], args[0].device());
        let mut shape = x.shape().to_vec();
        let len = std::mem::replace(&mut shape[self.axis], self.count);
        let inner = shape[self.axis + 1..].iter().product();
        // Where this fails the device has, and says so later.
        let places = x.to_vec().ok().map(|numbers| self.places(&numbers, len, inner));
        let known = places.and_then(|places| Tensor::from_vec(device, &shape, places).ok());
        known.unwrap_or_else(|| Tensor::zeros(device, &shape))
    }

    fn is_piecewise_constant(&self, _wrt: usize) -> bool {
        true
    }

    /// Zero.
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        zero_jac_t(io, wrt, mat, batch)
    }

    fn jac(&self, io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        zero_jac(io, tangent)
    }

    fn effort(&self, _io: Io<'_>, _wrt: usize) -> Effort {
        Effort::default()
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// The positions of the `count` largest entries along axis `axis`, or of the smallest with
    /// `least`, from the extreme one on: whole numbers from 0 on, of equal entries the first ones
    /// first; a NaN counts as the largest. Nothing is differentiated in them;
    /// [`gather_elements`](Tape::gather_elements) has the entries themselves.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 4], vec![1.0, 4.0, -1.0, 4.0])?);
    /// let places = tape.top_places(x, 1, 3, false); // [1, 3]
    /// assert_eq!(tape.value(places).to_vec()?, [1.0, 3.0, 0.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such axis, it is the sample axis, or it has fewer entries.
    #[track_caller]
    pub fn top_places(&mut self, x: Var, axis: usize, count: usize, least: bool) -> Var {
        let op = TopPlaces { axis, count, least };
        self.expect_entries(op.name(), x, axis);
        let len = self.value(x).shape()[axis];
        assert!(count <= len, "{}: {count} of {len} entries", op.name());
        self.record(op, &[x])
    }
}

//! Parameter Jacobians that are sums of outer products.
//!
//! For Linear, convolutions and their kin the share of sample n in column v is
//!
//! ```text
//! V[v, n] = Σ_t s[v, n, g, t, :] ⊗ z[n, g, t, :]        (g: group, t: position)
//! ```
//!
//! with `s` the factor at the output and `z` the (unfolded) input. Extensions consume this structure, not operations.

use std::ops::Range;

use vivit_tensor::{Backend, Gemm, Shape, Strides, Tensor};

/// Which of position and feature is the inner axis of a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// `s: [V, N, G, T, O]`, or `z: [N, G, T, I]`.
    Outside,
    /// `s: [V, N, G, O, T]`, or `z: [N, G, I, T]`.
    Inside,
}

impl Positions {
    /// Distances of positions and of features in a factor of `t` positions and so many features.
    fn strides(self, t: usize, features: usize) -> (usize, usize) {
        if self == Positions::Outside { (features, 1) } else { (1, t) }
    }
}

/// Which factor comes first in the parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The parameter is `[G, O, I]`: Linear, convolutions.
    OutIn,
    /// The parameter is `[G, I, O]`: transposed convolutions, embeddings.
    InOut,
}

/// `V[v, n] = Σ_t s ⊗ z`, a parameter of `G·O·I` entries.
#[derive(Clone, Debug)]
pub struct Outer<B: Backend> {
    s: Tensor<B>,
    z: Tensor<B>,
    /// Of s and of z.
    positions: [Positions; 2],
    order: Order,
}

/// The lengths of an [`Outer`]'s axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterDims {
    /// Columns.
    pub v: usize,
    /// Samples.
    pub n: usize,
    /// Groups.
    pub g: usize,
    /// Positions at which one sample uses the weight.
    pub t: usize,
    /// Out-features per group.
    pub o: usize,
    /// In-features per group.
    pub i: usize,
}

impl<B: Backend> Outer<B> {
    /// The structure with factors `s` and `z`, each laid out as `positions` says.
    ///
    /// # Panics
    /// If the shapes do not fit together.
    #[track_caller]
    pub fn new(s: Tensor<B>, z: Tensor<B>, positions: [Positions; 2]) -> Self {
        let outer = Outer { s, z, positions, order: Order::OutIn };
        let (s, z, d) = (outer.s.shape(), outer.z.shape(), outer.dims());
        let t = if positions[1] == Positions::Outside { z[2] } else { z[3] };
        assert!(s.rank() == 5 && z.rank() == 4 && z[..2] == [d.n, d.g] && t == d.t, "s {s} and z {z} do not fit");
        outer
    }

    /// The same structure for a parameter of the given order.
    #[must_use]
    pub fn ordered(self, order: Order) -> Self {
        Outer { order, ..self }
    }

    /// The order of the parameter's axes.
    pub fn order(&self) -> Order {
        self.order
    }

    /// The factor at the output.
    pub fn s(&self) -> &Tensor<B> {
        &self.s
    }

    /// The factor at the output, summed over positions: `[V, N, G, O]`.
    #[must_use]
    pub fn s_summed(&self) -> Tensor<B> {
        self.s.sum(if self.positions[0] == Positions::Outside { 3 } else { 4 })
    }

    /// The (unfolded) input.
    pub fn z(&self) -> &Tensor<B> {
        &self.z
    }

    /// The layouts of s and of z.
    pub fn positions(&self) -> [Positions; 2] {
        self.positions
    }

    /// The lengths of the axes.
    pub fn dims(&self) -> OuterDims {
        let (s, z) = (self.s.shape(), self.z.shape());
        let (t, o) = if self.positions[0] == Positions::Outside { (s[3], s[4]) } else { (s[4], s[3]) };
        let i = if self.positions[1] == Positions::Outside { z[3] } else { z[2] };
        OuterDims { v: s[0], n: s[1], g: s[2], t, o, i }
    }

    /// Entries of the parameter.
    pub fn parameter_len(&self) -> usize {
        let d = self.dims();
        d.g * d.o * d.i
    }

    /// Ranges of out-features whose expanded products hold at most `entries` numbers (but one out-feature at least).
    pub fn row_blocks(&self, entries: usize) -> impl Iterator<Item = Range<usize>> + use<B> {
        let d = self.dims();
        let rows = (entries / (d.v * d.n * d.g * d.i).max(1)).clamp(1, d.o.max(1));
        (0..d.o).step_by(rows).map(move |first| first..(first + rows).min(d.o))
    }

    /// Ranges of samples whose expanded products hold at most `entries` numbers (but one sample at least).
    pub fn sample_blocks(&self, entries: usize) -> impl Iterator<Item = Range<usize>> + use<B> {
        let d = self.dims();
        let samples = (entries / (d.v * d.g * d.o * d.i).max(1)).clamp(1, d.n.max(1));
        (0..d.n).step_by(samples).map(move |first| first..(first + samples).min(d.n))
    }

    /// V, entries in the parameter's order: `[V, N, G·O·I]`.
    #[must_use]
    pub fn kept(&self) -> Tensor<B> {
        let d = self.dims();
        self.in_parameter_order(&self.expand(0..d.o).reshape([d.v * d.n, d.g, d.o, d.i])).reshape([d.v, d.n, d.g * d.o * d.i])
    }

    /// Turns `[*, G, O, I]` into the parameter's order.
    #[must_use]
    pub fn in_parameter_order(&self, x: &Tensor<B>) -> Tensor<B> {
        if self.order == Order::OutIn {
            return x.clone();
        }
        let rank = x.shape().rank();
        let axes: Vec<usize> = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
        x.permute(&axes)
    }

    /// The factors of some samples with features innermost: `s: [V, samples.len(), G, T, O]` and `z: [G, samples.len(), T, I]`.
    ///
    /// Copies them unless they lie like that.
    #[must_use]
    pub fn features_inside(&self, samples: Range<usize>) -> (Tensor<B>, Tensor<B>) {
        let (d, n, backend) = (self.dims(), samples.len(), self.s.backend());
        let (st, zt) = (d.t * d.o, d.t * d.i);
        let s = if self.positions[0] == Positions::Outside && n == d.n {
            self.s.clone()
        } else {
            let (shape, (t, o)) = ([d.v, n, d.g, d.t, d.o], self.positions[0].strides(d.t, d.o));
            let from = backend.slice(self.s.buf(), samples.start * d.g * st..self.s.len());
            let strides = [d.n * d.g * st, d.g * st, st, t, o];
            Tensor::from_buf(backend, shape, backend.copy_strided(&from, &Shape::from(shape), &strides))
        };
        let shape = [d.g, n, d.t, d.i];
        let z = if self.positions[1] == Positions::Outside && d.g == 1 {
            self.z.slice(samples.start, samples.end).reshape(shape)
        } else {
            let (t, i) = self.positions[1].strides(d.t, d.i);
            let from = backend.slice(self.z.buf(), samples.start * d.g * zt..self.z.len());
            Tensor::from_buf(backend, shape, backend.copy_strided(&from, &Shape::from(shape), &[zt, d.g * zt, t, i]))
        };
        (s, z)
    }

    /// Per-sample products of some out-features of every group: `[V, N, G · rows.len() · I]`, always out-feature by out-feature.
    #[must_use]
    pub fn expand(&self, rows: Range<usize>) -> Tensor<B> {
        self.expand_part(0..self.dims().n, rows)
    }

    /// As [`expand`](Outer::expand), of some samples: `[V, samples.len(), G · rows.len() · I]`.
    #[must_use]
    pub fn expand_part(&self, samples: Range<usize>, rows: Range<usize>) -> Tensor<B> {
        let d = self.dims();
        let (n, m, st, zt) = (samples.len(), rows.len(), d.o * d.t, d.t * d.i);
        let g = Gemm { m, ..self.product() };
        let (a, b) = (samples.start * d.g * st + rows.start * g.a.row, samples.start * d.g * zt);
        // Columns innermost: they share z.
        let g = Gemm { a: g.a.at(a), b: g.b.at(b), ..g }
            .batch(n, d.g * st, d.g * zt, d.g * m * d.i)
            .batch(d.g, st, zt, m * d.i)
            .batch(d.v, d.n * d.g * st, 0, n * d.g * m * d.i)
            .skipping_zeros();
        self.s.gemm(&g, &self.z, [d.v, n, d.g * m * d.i])
    }

    /// The products summed over samples, entries in the parameter's order: `[V, G·O·I]`.
    #[must_use]
    pub fn sum(&self) -> Tensor<B> {
        let d = self.dims();
        let (st, zt) = (d.o * d.t, d.t * d.i);
        // Where samples and positions are one contiguous axis: one long product.
        let g = if self.positions == [Positions::Outside; 2] && d.g == 1 {
            Gemm::tn(d.o, d.i, d.n * d.t).batch(d.v, d.n * st, 0, d.o * d.i)
        } else {
            self.product().batch(d.v, d.n * d.g * st, 0, d.g * d.o * d.i).batch(d.g, st, zt, d.o * d.i).batch(
                d.n,
                d.g * st,
                d.g * zt,
                0,
            )
        };
        let g = g.skipping_zeros();
        let sum = self.s.gemm(&g, &self.z, [d.v, d.g, d.o, d.i]);
        self.in_parameter_order(&sum).reshape([d.v, d.g * d.o * d.i])
    }

    /// One (v, n, g): `[O, T] · [T, I]`.
    fn product(&self) -> Gemm {
        let d = self.dims();
        let ((t, o), (u, i)) = (self.positions[0].strides(d.t, d.o), self.positions[1].strides(d.t, d.i));
        let (a, b) = (Strides { offset: 0, row: o, col: t }, Strides { offset: 0, row: u, col: i });
        Gemm { a, b, ..Gemm::new(d.o, d.i, d.t) }
    }

    /// The sum of two structures over the same samples: their positions side by side. `None` if their layouts differ.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Option<Self> {
        let (d, e) = (self.dims(), other.dims());
        if (self.positions, self.order) != (other.positions, other.order) || (d.g, d.o, d.i) != (e.g, e.o, e.i) {
            return None;
        }
        let axis = |factor: usize, outside: usize| outside + usize::from(self.positions[factor] == Positions::Inside);
        let (s, z) = (axis(0, 3), axis(1, 2));
        Some(Outer {
            s: Tensor::concat(&[self.s.clone(), other.s.clone()], s),
            z: Tensor::concat(&[self.z.clone(), other.z.clone()], z),
            positions: self.positions,
            order: self.order,
        })
    }
}

//! Parameter Jacobians that are sums of outer products.
//!
//! For Linear, convolutions and their kin the share of sample n in column v is
//!
//! ```text
//! V[v, n] = Σ_t s[v, n, g, t, :] ⊗ z[n, g, t, :]        (g: group, t: position)
//! ```
//!
//! with `s` the factor at the output and `z` the (unfolded) input. Extensions consume this
//! structure, not operations.

use std::ops::Range;

use vivit_tensor::{ConvDims, ConvWeights, Gemm, Shape, Strides, Tensor, Unary, Window};

use crate::Batch;
use crate::one_hot::OneHot;

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

/// The factor at the input.
#[derive(Clone, Debug)]
enum Input {
    /// `[N, G, T, I]` or `[N, G, I, T]`.
    Whole(Tensor),
    /// What windows see of `[N, G·C, *in]`: unfolded where it is used, never for all samples at
    /// once.
    Windows(Tensor, Window),
    /// One-hot.
    Rows(OneHot),
}

/// `V[v, n] = Σ_t s ⊗ z`, a parameter of `G·O·I` entries.
#[derive(Clone, Debug)]
pub struct Outer {
    s: Tensor,
    z: Input,
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
    /// Whether z is one-hot, and known by the numbers of the in-features.
    pub one_hot: bool,
    /// The order of the parameter's axes.
    pub order: Order,
}

impl OuterDims {
    /// Numbers that hold z at one position.
    pub fn input_numbers(&self) -> usize {
        if self.one_hot { 1 } else { self.i }
    }
}

impl Outer {
    /// The structure with factors `s` and `z`, each laid out as `positions` says.
    ///
    /// # Panics
    /// If the shapes do not fit together.
    #[track_caller]
    pub fn new(s: Tensor, z: Tensor, positions: [Positions; 2]) -> Self {
        let t = if positions[1] == Positions::Outside { z.shape()[2] } else { z.shape()[3] };
        let fits = s.shape().rank() == 5 && z.shape().rank() == 4;
        let shapes = (*s.shape(), *z.shape());
        let outer = Outer { s, z: Input::Whole(z), positions, order: Order::OutIn };
        let d = outer.dims();
        assert!(
            fits && shapes.1[..2] == [d.n, d.g] && t == d.t,
            "s {} and z {} do not fit",
            shapes.0,
            shapes.1
        );
        outer
    }

    /// The structure of a convolution: `s: [V, N, G, O, T]`, and z what the windows see of `x: [N,
    /// G·C, *in]`.
    ///
    /// # Panics
    /// If the shapes do not fit together.
    #[track_caller]
    pub fn windows(s: Tensor, x: Tensor, window: Window) -> Self {
        let (of_s, of_x) = (s.shape(), x.shape());
        let fits = of_s.rank() == 5
            && of_s[1] == of_x[0]
            && of_s[4] == window.output_len()
            && of_x[1] % of_s[2].max(1) == 0
            && x.len() == of_x[0] * of_x[1] * window.input_len();
        assert!(fits, "s {of_s} and the input {of_x} do not fit for {window:?}");
        Outer {
            s,
            z: Input::Windows(x, window),
            positions: [Positions::Inside, Positions::Outside],
            order: Order::OutIn,
        }
    }

    /// The structure of rows of a table that are looked up: `s: [V, N, 1, T, O]` (as `Outside`
    /// says), and z one-hot, `z[n, t, i] = 1` for `i = ids[n, t]`, for `ids: [N, T]`, whole numbers
    /// below `rows`. Of z the numbers are kept.
    ///
    /// # Panics
    /// If the shapes do not fit together.
    #[track_caller]
    pub fn rows(s: Tensor, ids: Tensor, rows: usize) -> Self {
        let (of_s, of_ids) = (*s.shape(), *ids.shape());
        let fits =
            of_s.rank() == 5 && of_ids.rank() == 2 && of_s[1..4] == [of_ids[0], 1, of_ids[1]];
        assert!(fits, "s {of_s} and the numbers of rows {of_ids} do not fit");
        Outer {
            s,
            z: Input::Rows(OneHot::new(ids, rows)),
            positions: [Positions::Outside; 2],
            order: Order::InOut,
        }
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
    pub fn s(&self) -> &Tensor {
        &self.s
    }

    /// The factor at the output, summed over positions: `[V, N, G, O]`.
    #[must_use]
    pub fn s_summed(&self) -> Tensor {
        self.s.sum(if self.positions[0] == Positions::Outside { 3 } else { 4 })
    }

    /// The (unfolded) input, laid out as [`positions`](Outer::positions) says: made at every call,
    /// for a convolution.
    #[must_use]
    pub fn z(&self) -> Tensor {
        match &self.z {
            Input::Whole(z) => z.clone(),
            Input::Windows(x, window) => {
                let (d, device) = (self.dims(), x.device());
                let unfolded =
                    device.unfold_windows(x.buf(), d.n * d.g, d.i / window.kernel_len(), window);
                Tensor::from_buf(device, [d.n, d.g, d.t, d.i], unfolded)
            }
            Input::Rows(hot) => {
                let d = self.dims();
                hot.dense(0..d.n).reshape([d.n, 1, d.t, d.i])
            }
        }
    }

    /// Where z is one-hot, the same products of factors that meet nowhere: what goes to one
    /// in-feature of a sample is added up at the first of its positions, and s is zero at the
    /// others. So squares of products are products of squares.
    #[must_use]
    pub fn distinct(&self) -> Option<Self> {
        let Input::Rows(hot) = &self.z else { return None };
        Some(Outer { s: hot.distinct(&self.s), ..self.clone() })
    }

    /// The structure with factors `s` and `z²`, entry by entry.
    ///
    /// # Panics
    /// If the shapes do not fit together.
    #[must_use]
    #[track_caller]
    pub fn with_squared_input(&self, s: Tensor) -> Self {
        if let Input::Rows(_) = &self.z {
            return Outer { s, ..self.clone() };
        }
        Outer::new(s, self.z().unary(Unary::Square), self.positions).ordered(self.order)
    }

    /// `Σ_{n, t} z zᵀ` where z is one-hot, `[I, I]`: the numbers of times, on the diagonal.
    #[must_use]
    pub fn one_hot_gram(&self) -> Option<Tensor> {
        if let Input::Rows(hot) = &self.z { Some(hot.gram()) } else { None }
    }

    /// The layouts of s and of z.
    pub fn positions(&self) -> [Positions; 2] {
        self.positions
    }

    /// The lengths of the axes.
    pub fn dims(&self) -> OuterDims {
        let s = self.s.shape();
        let (t, o) =
            if self.positions[0] == Positions::Outside { (s[3], s[4]) } else { (s[4], s[3]) };
        let i = match &self.z {
            Input::Whole(z) => {
                z.shape()[if self.positions[1] == Positions::Outside { 3 } else { 2 }]
            }
            Input::Windows(x, window) => x.shape()[1] / s[2].max(1) * window.kernel_len(),
            Input::Rows(hot) => hot.rows(),
        };
        let one_hot = matches!(self.z, Input::Rows(_));
        OuterDims { v: s[0], n: s[1], g: s[2], t, o, i, one_hot, order: self.order }
    }

    /// Entries of the parameter.
    pub fn parameter_len(&self) -> usize {
        let d = self.dims();
        d.g * d.o * d.i
    }

    /// Ranges of out-features whose expanded products hold at most `entries` numbers (but one
    /// out-feature at least).
    pub fn row_blocks(&self, entries: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let d = self.dims();
        let rows = (entries / (d.v * d.n * d.g * d.i).max(1)).clamp(1, d.o.max(1));
        (0..d.o).step_by(rows).map(move |first| first..(first + rows).min(d.o))
    }

    /// Ranges of samples whose expanded products hold at most `entries` numbers (but one sample at
    /// least).
    pub fn sample_blocks(&self, entries: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let d = self.dims();
        let samples = (entries / (d.v * d.g * d.o * d.i).max(1)).clamp(1, d.n.max(1));
        (0..d.n).step_by(samples).map(move |first| first..(first + samples).min(d.n))
    }

    /// V, entries in the parameter's order: `[V, N, G·O·I]`.
    #[must_use]
    pub fn per_sample(&self) -> Tensor {
        let d = self.dims();
        if let (Input::Rows(hot), Order::InOut) = (&self.z, self.order) {
            return hot.scatter(&self.s, true).reshape([d.v, d.n, d.o * d.i]);
        }
        self.in_parameter_order(&self.expand(0..d.o).reshape([d.v * d.n, d.g, d.o, d.i])).reshape([
            d.v,
            d.n,
            d.g * d.o * d.i,
        ])
    }

    /// Turns `[*, G, O, I]` into the parameter's order.
    #[must_use]
    pub fn in_parameter_order(&self, x: &Tensor) -> Tensor {
        if self.order == Order::OutIn {
            return x.clone();
        }
        let rank = x.shape().rank();
        let axes: Vec<usize> = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
        x.permute(&axes)
    }

    /// The factor at the output of some samples, features innermost: `[V, samples.len(), G, T, O]`.
    /// Copied unless it lies like that.
    #[must_use]
    pub fn s_inside(&self, samples: Range<usize>) -> Tensor {
        let (d, n, device) = (self.dims(), samples.len(), self.s.device());
        if self.positions[0] == Positions::Outside && n == d.n {
            return self.s.clone();
        }
        let st = d.t * d.o;
        let (shape, (t, o)) = ([d.v, n, d.g, d.t, d.o], self.positions[0].strides(d.t, d.o));
        let from = self.s.buf().slice(samples.start * d.g * st..self.s.len());
        let strides = [d.n * d.g * st, d.g * st, st, t, o];
        Tensor::from_buf(device, shape, device.copy_strided(&from, &Shape::from(shape), &strides))
    }

    /// The (unfolded) input of some samples, features innermost: `[G, samples.len(), T, I]`. Copied
    /// unless it lies like that.
    #[must_use]
    pub fn z_inside(&self, samples: Range<usize>) -> Tensor {
        let (d, n, device) = (self.dims(), samples.len(), self.s.device());
        let (shape, zt) = ([d.g, n, d.t, d.i], d.t * d.i);
        match &self.z {
            Input::Whole(z) if self.positions[1] == Positions::Outside && d.g == 1 => {
                z.slice(samples.start, samples.end).reshape(shape)
            }
            Input::Whole(z) => {
                let (t, i) = self.positions[1].strides(d.t, d.i);
                let from = z.buf().slice(samples.start * d.g * zt..z.len());
                Tensor::from_buf(
                    device,
                    shape,
                    device.copy_strided(&from, &Shape::from(shape), &[zt, d.g * zt, t, i]),
                )
            }
            Input::Windows(x, window) => {
                let some = x.slice(samples.start, samples.end);
                let z =
                    device.unfold_windows(some.buf(), n * d.g, d.i / window.kernel_len(), window);
                let z = Tensor::from_buf(device, [n, d.g, d.t, d.i], z);
                if d.g == 1 { z.reshape(shape) } else { z.permute(&[1, 0, 2, 3]) }
            }
            Input::Rows(hot) => hot.dense(samples).reshape(shape),
        }
    }

    /// How much alike the inputs are at any two positions: `⟨z[m, t′], z′[n, t]⟩`, `[G, m · T, n ·
    /// T]`, for m of these and n of the other's samples. In the last axis positions and samples are
    /// as far apart as the second result says.
    ///
    /// # Panics
    /// If the structures are not of the same groups, positions and in-features.
    #[must_use]
    pub fn input_products(
        &self,
        samples: Range<usize>,
        other: &Self,
        others: Range<usize>,
    ) -> (Tensor, [usize; 2]) {
        let (d, device) = (self.dims(), self.s.device());
        let (rows, cols) = (samples.len() * d.t, others.len() * d.t);
        if let (Input::Windows(x, window), Input::Windows(y, same)) = (&self.z, &other.z) {
            if window == same {
                let (m, n) =
                    (x.slice(samples.start, samples.end), y.slice(others.start, others.end));
                let (count, channels) = ([samples.len(), others.len()], [d.g, x.shape()[1] / d.g]);
                let k = device.window_products(m.buf(), n.buf(), count, channels, window);
                return (Tensor::from_buf(device, [d.g, rows, cols], k), [others.len(), 1]);
            }
        }
        if let (Input::Rows(hot), Input::Rows(same)) = (&self.z, &other.z) {
            let k = hot.products(samples, same, others);
            return (k.reshape([1, rows, cols]), [1, d.t]);
        }
        let (m, n) = (self.z_inside(samples), other.z_inside(others));
        let g = Gemm::nt(rows, cols, d.i).batch(d.g, rows * d.i, cols * d.i, rows * cols);
        (m.gemm(&g, &n, [d.g, rows, cols]), [1, d.t])
    }

    /// Per-sample products of some out-features of every group: `[V, N, G · rows.len() · I]`,
    /// always out-feature by out-feature.
    #[must_use]
    pub fn expand(&self, rows: Range<usize>) -> Tensor {
        self.expand_part(0..self.dims().n, rows)
    }

    /// As [`expand`](Outer::expand), of some samples: `[V, samples.len(), G · rows.len() · I]`.
    #[must_use]
    pub fn expand_part(&self, samples: Range<usize>, rows: Range<usize>) -> Tensor {
        let d = self.dims();
        let z = match &self.z {
            Input::Whole(z) => z,
            Input::Windows(x, window) => {
                let (n, m) = (samples.len(), rows.len());
                return self.conv_weights(x, *window, samples, rows, false).reshape([
                    d.v,
                    n,
                    d.g * m * d.i,
                ]);
            }
            Input::Rows(hot) => {
                let (n, m) = (samples.len(), rows.len());
                return hot.expand(&self.s, samples, rows, d.o).reshape([d.v, n, m * d.i]);
            }
        };
        let (n, m, st, zt) = (samples.len(), rows.len(), d.o * d.t, d.t * d.i);
        let g = Gemm { m, ..self.product() };
        let (a, b) = (samples.start * d.g * st + rows.start * g.a.row, samples.start * d.g * zt);
        // Columns innermost: they share z.
        let g = Gemm { a: g.a.at(a), b: g.b.at(b), ..g }
            .batch(n, d.g * st, d.g * zt, d.g * m * d.i)
            .batch(d.g, st, zt, m * d.i)
            .batch(d.v, d.n * d.g * st, 0, n * d.g * m * d.i)
            .skipping_zeros();
        self.s.gemm(&g, z, [d.v, n, d.g * m * d.i])
    }

    /// The products summed over samples, entries in the parameter's order: `[V, G·O·I]`.
    #[must_use]
    pub fn summed(&self) -> Tensor {
        let d = self.dims();
        let z = match &self.z {
            Input::Whole(z) => z,
            Input::Windows(x, window) => {
                let sum = self
                    .conv_weights(x, *window, 0..d.n, 0..d.o, true)
                    .reshape([d.v, d.g, d.o, d.i]);
                return self.in_parameter_order(&sum).reshape([d.v, d.g * d.o * d.i]);
            }
            Input::Rows(hot) => {
                let sum = hot.scatter(&self.s, false);
                let sum = if self.order == Order::InOut { sum } else { sum.permute(&[0, 2, 1]) };
                return sum.reshape([d.v, d.o * d.i]);
            }
        };
        let (st, zt) = (d.o * d.t, d.t * d.i);
        // Where samples and positions are one contiguous axis: one long product.
        let g = if self.positions == [Positions::Outside; 2] && d.g == 1 {
            Gemm::tn(d.o, d.i, d.n * d.t).batch(d.v, d.n * st, 0, d.o * d.i)
        } else {
            self.product()
                .batch(d.v, d.n * d.g * st, 0, d.g * d.o * d.i)
                .batch(d.g, st, zt, d.o * d.i)
                .batch(d.n, d.g * st, d.g * zt, 0)
        };
        let g = g.skipping_zeros();
        let sum = self.s.gemm(&g, z, [d.v, d.g, d.o, d.i]);
        self.in_parameter_order(&sum).reshape([d.v, d.g * d.o * d.i])
    }

    /// The products for a parameter of `shape`, as [`Op::jac_t`](crate::Op::jac_t) returns them:
    /// `[V, *p]` summed over samples, or `[V, N, *p]`.
    ///
    /// # Panics
    /// If the shape does not have `G·O·I` entries.
    #[must_use]
    #[track_caller]
    pub fn contract(&self, batch: Batch, shape: &Shape) -> Tensor {
        let d = self.dims();
        match batch {
            Batch::Sum => self.summed().reshape(shape.prefixed(&[d.v])),
            Batch::Keep => self.per_sample().reshape(shape.prefixed(&[d.v, d.n])),
        }
    }

    fn conv_weights(
        &self,
        x: &Tensor,
        window: Window,
        samples: Range<usize>,
        rows: Range<usize>,
        summed: bool,
    ) -> Tensor {
        let (d, device) = (self.dims(), x.device());
        let dims = ConvDims { groups: d.g, c: d.i / window.kernel_len(), o: d.o };
        let products = ConvWeights { columns: d.v, held: d.n, samples, rows, summed, dims, window };
        Tensor::from_buf(
            device,
            [products.len()],
            device.conv_weights(&products, self.s.buf(), x.buf()),
        )
    }

    /// One (v, n, g): `[O, T] · [T, I]`.
    fn product(&self) -> Gemm {
        let d = self.dims();
        let ((t, o), (u, i)) =
            (self.positions[0].strides(d.t, d.o), self.positions[1].strides(d.t, d.i));
        let (a, b) = (Strides { offset: 0, row: o, col: t }, Strides { offset: 0, row: u, col: i });
        Gemm { a, b, ..Gemm::new(d.o, d.i, d.t) }
    }

    /// The sum of structures over the same samples: their positions side by side. `None` if there
    /// are none, or they are of different groups, features or orders.
    #[must_use]
    pub fn join_positions(parts: &[Self]) -> Option<Self> {
        let (first, rest) = parts.split_first()?;
        let d = first.dims();
        let alike = |other: &Self| {
            let e = other.dims();
            (d.g, d.o, d.i, d.order) == (e.g, e.o, e.i, e.order)
        };
        if !rest.iter().all(alike) {
            return None;
        }
        if rest.is_empty() {
            return Some(first.clone());
        }
        if rest.iter().any(|other| other.positions != first.positions) {
            let inside: Vec<Self> = parts.iter().map(Self::features_inside).collect();
            return Self::join_positions(&inside);
        }
        let axis = |factor: usize, outside: usize| {
            outside + usize::from(first.positions[factor] == Positions::Inside)
        };
        let s: Vec<Tensor> = parts.iter().map(|part| part.s.clone()).collect();
        Some(Outer {
            s: Tensor::concat(&s, axis(0, 3)),
            z: Self::join_inputs(parts, axis(1, 2)),
            positions: first.positions,
            order: first.order,
        })
    }

    /// The inputs one after the other along the axis of positions; numbers of rows remain such.
    fn join_inputs(parts: &[Self], axis: usize) -> Input {
        let rows = parts.iter().map(|part| match &part.z {
            Input::Rows(hot) => Some(hot.clone()),
            _ => None,
        });
        let rows: Option<Vec<OneHot>> = rows.collect();
        match rows.map(|rows| OneHot::concat(&rows)) {
            Some(hot) => Input::Rows(hot),
            None => {
                let z: Vec<Tensor> = parts.iter().map(Self::z).collect();
                Input::Whole(Tensor::concat(&z, axis))
            }
        }
    }

    /// The same structure with features as the inner axis of both factors.
    fn features_inside(&self) -> Self {
        if self.positions == [Positions::Outside; 2] {
            return self.clone();
        }
        let d = self.dims();
        let z = self.z_inside(0..d.n);
        let z = if d.g == 1 { z.reshape([d.n, 1, d.t, d.i]) } else { z.permute(&[1, 0, 2, 3]) };
        Outer {
            s: self.s_inside(0..d.n),
            z: Input::Whole(z),
            positions: [Positions::Outside; 2],
            order: self.order,
        }
    }
}

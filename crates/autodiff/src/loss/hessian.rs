//! The Hessian of a loss at an output, sample by sample, as a matrix that is never formed.

use std::ops::Range;

use vivit_tensor::{Device, Gemm, Reduce, Shape, Strides, Tensor, Unary};

use super::root_columns::RootColumns;

/// The Hessian `H_n = ∂²L_n/∂f_n²` of every sample, the reduction's factor included, and a square
/// root of it, `H_n = S_n S_nᵀ`, known by their products.
///
/// Most losses have both in closed form, which takes time and memory of the size of the columns
/// that are multiplied; a loss that knows nothing but a root passes it as it is.
///
/// | form | `H u` | `S z` |
/// | --- | --- | --- |
/// | [`scaled_identity`](Self::scaled_identity) | `h u` | `√h z` |
/// | [`diagonal`](Self::diagonal) | `h ∘ u` | `√h ∘ z` |
/// | [`softmax`](Self::softmax), `p = softmax(f)` | `w (p ∘ u − p ⟨p, u⟩)` | see there |
/// | [`from_root`](Self::from_root) | `S Sᵀ u` | `S z` |
///
/// ```
/// # use vivit_tensor::{Device, Tensor};
/// # let cpu = Device::cpu_f64();
/// use vivit_autodiff::{CrossEntropy, Loss, RootColumns};
///
/// let f = Tensor::zeros(&cpu, [1, 2]); // p = (1/2, 1/2)
/// let hessian = CrossEntropy::sum([0]).hessian(&f, RootColumns::Rank);
/// let u = Tensor::from_vec(&cpu, [1, 1, 2], vec![4.0, 0.0])?; // [K, N, C]
/// assert_eq!(hessian.product(u.clone()).to_vec()?, [1.0, -1.0]);
/// assert_eq!(hessian.quadratic_forms(&u).to_vec()?, [4.0]); // uᵀ H u
/// assert_eq!(hessian.columns(), 1);
/// # Ok::<(), vivit_autodiff::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LossHessian {
    device: Device,
    /// The output's, `[N, *out]`.
    shape: Shape,
    form: Form,
}

/// What is known of the Hessian.
#[derive(Clone, Debug)]
enum Form {
    /// `h I`
    ScaledIdentity(f64),
    /// `diag h`, of the output's shape.
    Diagonal(Tensor),
    /// `w (diag p − p pᵀ)` per position.
    Softmax {
        /// The output as `[N, C, T]`.
        logits: Tensor,
        /// `[N, 1, T]`
        weights: Tensor,
        columns: RootColumns,
    },
    /// `[V, N, *out]`
    Root(Tensor),
}

impl LossHessian {
    /// `h I` with `h ≥ 0`, for outputs of the shape of `output`: `[N, *out]`.
    pub fn scaled_identity(output: &Tensor, h: f64) -> Self {
        Self::new(output, Form::ScaledIdentity(h))
    }

    /// `diag h` with entries `h: [N, *out]`, all at least 0.
    pub fn diagonal(h: Tensor) -> Self {
        Self::new(&h.clone(), Form::Diagonal(h))
    }

    /// `w (diag p − p pᵀ)` at every position, with `p = softmax(f)` over axis 1 of `output: [N, C,
    /// *]` and weights w of the positions, `[N, 1, T]`, all at least 0. What extra axes there are
    /// count as T positions, which do not mix.
    ///
    /// The root has, with `τ = √p`, C columns per position, `√w (diag(τ) − p τᵀ)`, or the C−1
    /// columns `√w diag(τ) Q[:, 1:]` with the same product: Q is the Householder reflection that
    /// takes τ to `−e₀`, `Q = I − r rᵀ/(1 + τ₀)`, `r = τ + e₀`. (`diag(τ) Q e₀ = −p`, and `diag p −
    /// p pᵀ` is what is left without it.) Column `c·T + t` is zero but at position t.
    ///
    /// # Panics
    /// If the output has fewer than two axes, or there is not one weight per position.
    #[track_caller]
    pub fn softmax(output: &Tensor, weights: Tensor, columns: RootColumns) -> Self {
        let (n, c) = (output.shape()[0], output.shape()[1]);
        let t = output.shape()[2..].iter().product();
        let form = Form::Softmax {
            logits: output.reshape([n, c, t]),
            weights: weights.reshape([n, 1, t]),
            columns,
        };
        Self::new(output, form)
    }

    /// `Σ_v S[v, n] S[v, n]ᵀ` with a root `S: [V, N, *out]`.
    pub fn from_root(root: Tensor) -> Self {
        let device = root.device().clone();
        let root = if root.shape().rank() == 0 { root.reshape([1]) } else { root };
        LossHessian { device, shape: root.shape().tail(), form: Form::Root(root) }
    }

    fn new(output: &Tensor, form: Form) -> Self {
        LossHessian { device: output.device().clone(), shape: *output.shape(), form }
    }

    /// Where it is.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Shape of the output, `[N, *out]`.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Number of columns V of the root.
    pub fn columns(&self) -> usize {
        match &self.form {
            Form::ScaledIdentity(_) | Form::Diagonal(_) => self.shape.tail().size(),
            Form::Softmax { logits, columns, .. } => {
                let [_, c, t] = dims(logits);
                t * match columns {
                    // One class: the Hessian is zero, and a root needs a column all the same.
                    RootColumns::Rank => (c - 1).max(1),
                    RootColumns::Outputs => c,
                }
            }
            Form::Root(root) => root.shape()[0],
        }
    }

    /// Outputs per position and positions, `[C, T]`, if the loss is a sum over positions that the
    /// output has as its last axes, `[N, C, *T]`: then H is zero between them. Of a diagonal, every
    /// entry is a position.
    pub fn positions(&self) -> Option<[usize; 2]> {
        match &self.form {
            Form::ScaledIdentity(_) | Form::Diagonal(_) => Some([1, self.shape.tail().size()]),
            Form::Softmax { logits, .. } => {
                let [_, c, t] = dims(logits);
                Some([c, t])
            }
            Form::Root(_) => None,
        }
    }

    /// Those of the chosen samples, in this order.
    ///
    /// # Panics
    /// If one is out of range.
    #[track_caller]
    #[must_use]
    pub fn of(&self, samples: &[usize]) -> Self {
        let rows = |x: &Tensor| x.index_select(0, samples);
        let form = match &self.form {
            Form::ScaledIdentity(h) => Form::ScaledIdentity(*h),
            Form::Diagonal(h) => Form::Diagonal(rows(h)),
            Form::Softmax { logits, weights, columns } => {
                Form::Softmax { logits: rows(logits), weights: rows(weights), columns: *columns }
            }
            Form::Root(root) => Form::Root(root.index_select(1, samples)),
        };
        let shape = self.shape.tail().prefixed(&[samples.len()]);
        LossHessian { device: self.device.clone(), shape, form }
    }

    /// `factor · H` with `factor ≥ 0`; the root times `√factor`.
    #[must_use]
    pub fn scale(&self, factor: f64) -> Self {
        let form = match self.form.clone() {
            Form::ScaledIdentity(h) => Form::ScaledIdentity(factor * h),
            Form::Diagonal(h) => Form::Diagonal(h.scale(factor)),
            Form::Softmax { logits, weights, columns } => {
                Form::Softmax { logits, weights: weights.scale(factor), columns }
            }
            Form::Root(root) => Form::Root(root.scale(factor.sqrt())),
        };
        LossHessian { form, ..self.clone() }
    }

    /// `H_n u_n` for columns `u: [K, N, *out]`. An array that nobody else holds is overwritten.
    ///
    /// # Panics
    /// If the columns do not fit the output.
    #[track_caller]
    #[must_use]
    pub fn product(&self, mut u: Tensor) -> Tensor {
        assert!(u.shape().tail() == self.shape, "columns {} of {}", u.shape(), self.shape);
        match &self.form {
            Form::ScaledIdentity(h) => u.scale(*h),
            Form::Diagonal(h) => u.mul(h),
            Form::Softmax { logits, weights, .. } => {
                let shape = *u.shape();
                u = u.reshape(logits.shape().prefixed(&[shape[0]]));
                u.softmax_chain(&logits.softmax(1), 1);
                u.mul(weights).reshape(shape)
            }
            Form::Root(root) => coefficients_times_root(&root_times_columns(root, &u), root),
        }
    }

    /// `uᵀ H_n u` for columns `u: [K, N, *out]`, position by position where [there
    /// are](Self::positions) some: `[K, N, T]`, else `[K, N, 1]`. Nothing cancels.
    ///
    /// # Panics
    /// If the columns do not fit the output.
    #[track_caller]
    #[must_use]
    pub fn quadratic_forms(&self, u: &Tensor) -> Tensor {
        assert!(u.shape().tail() == self.shape, "columns {} of {}", u.shape(), self.shape);
        let (k, n) = (u.shape()[0], self.shape[0]);
        match &self.form {
            Form::ScaledIdentity(h) => {
                u.unary(Unary::Square).scale(*h).reshape([k, n, self.shape.tail().size()])
            }
            Form::Diagonal(h) => {
                u.unary(Unary::Square).mul(h).reshape([k, n, self.shape.tail().size()])
            }
            // Σ_c p_c (u_c − ⟨p, u⟩)²
            Form::Softmax { logits, weights, .. } => {
                let ([n, c, t], p) = (dims(logits), logits.softmax(1));
                let u = u.reshape([k, n, c, t]);
                let mean = u.mul(&p).sum(2).reshape([k, n, 1, t]);
                let squares = u.sub(&mean).unary(Unary::Square);
                squares.mul(&p).sum(2).mul(&weights.reshape([n, t]))
            }
            Form::Root(root) => {
                // [N, K, V]
                let products = root_times_columns(root, u);
                products.reduce(Reduce::SumSquares, 2).permute(&[1, 0]).reshape([k, n, 1])
            }
        }
    }

    /// `S_n z_n` for coefficients `z: [K, V, N]` (or `[K, V, 1]`, the same for every sample):
    /// `[K, N, *out]`.
    ///
    /// # Panics
    /// If the coefficients do not fit.
    #[track_caller]
    #[must_use]
    pub fn root_product(&self, z: &Tensor) -> Tensor {
        let (k, v, n) = (z.shape()[0], self.columns(), self.shape[0]);
        assert!(
            z.shape()[1] == v && (z.shape()[2] == n || z.shape()[2] == 1),
            "coefficients {} for {v} columns of {n} samples",
            z.shape()
        );
        let shape = self.shape.prefixed(&[k]);
        match &self.form {
            Form::ScaledIdentity(h) => {
                z.permute(&[0, 2, 1]).scale(h.sqrt()).broadcast([k, n, v]).reshape(shape)
            }
            Form::Diagonal(h) => {
                z.permute(&[0, 2, 1]).mul(&h.unary(Unary::Sqrt).reshape([n, v])).reshape(shape)
            }
            Form::Softmax { logits, weights, columns } => {
                let [_, c, t] = dims(logits);
                if c == 1 {
                    return Tensor::zeros(&self.device, shape);
                }
                let z = z.permute(&[0, 2, 1]).reshape([k, z.shape()[2], v / t, t]);
                softmax_root(logits, weights, *columns, z).reshape(shape)
            }
            Form::Root(root) => {
                let z = z.broadcast([k, v, n]).permute(&[2, 0, 1]);
                coefficients_times_root(&z, root)
            }
        }
    }

    /// Columns of the root: `[V′, N, *out]`.
    ///
    /// # Panics
    /// If there are fewer.
    #[track_caller]
    #[must_use]
    pub fn root_columns(&self, columns: Range<usize>) -> Tensor {
        let v = self.columns();
        assert!(columns.end <= v, "columns {columns:?} of {v}");
        if let Form::Root(root) = &self.form {
            return root.slice(columns.start, columns.end);
        }
        let (k, first) = (columns.len(), columns.start as isize);
        let after = (v - columns.end) as isize;
        let unit = Tensor::eye(&self.device, k).pad(&[(0, 0), (first, after)]);
        self.root_product(&unit.reshape([k, v, 1]))
    }

    /// All columns of the root: `[V, N, *out]`.
    #[must_use]
    pub fn root(&self) -> Tensor {
        self.root_columns(0..self.columns())
    }
}

/// N, C, T of `[N, C, T]`.
fn dims(logits: &Tensor) -> [usize; 3] {
    [logits.shape()[0], logits.shape()[1], logits.shape()[2]]
}

/// `S z` for `z: [K, N or 1, C or C−1, T]`: `[K, N, C, T]`.
///
/// With `τ = √p` it is `√w τ ∘ (z − τ ⟨τ, z⟩)` of all columns; of C−1 `√w τ ∘ (z′ − r ⟨τ,
/// z′⟩)` with `z′ = (0, z)`, `r = (τ + e₀)/(1 + τ₀)`.
fn softmax_root(logits: &Tensor, weights: &Tensor, columns: RootColumns, mut z: Tensor) -> Tensor {
    let [n, c, t] = dims(logits);
    let tau = logits.softmax(1).unary(Unary::Sqrt);
    let removed = match columns {
        RootColumns::Outputs => tau.clone(),
        RootColumns::Rank => {
            z = z.pad(&[(0, 0), (0, 0), (1, 0), (0, 0)]);
            let first = tau.index_select(1, &[0]).unary(Unary::Shift(1.0)).unary(Unary::Recip);
            let unit = Tensor::full(logits.device(), [1, 1, 1], 1.0);
            tau.add(&unit.pad(&[(0, 0), (0, c as isize - 1), (0, 0)])).mul(&first)
        }
    };
    let along = z.mul(&tau).sum(2).reshape([z.shape()[0], n, 1, t]);
    let rest = z.sub(&removed.mul(&along));
    rest.mul(&tau.mul(&weights.unary(Unary::Sqrt)))
}

/// `S_nᵀ u_n`, `[N, K, V]`: `root: [V, N, *out]`, `u: [K, N, *out]`.
fn root_times_columns(root: &Tensor, u: &Tensor) -> Tensor {
    let (v, n, k) = (root.shape()[0], root.shape()[1], u.shape()[0]);
    let c = root.shape()[2..].iter().product();
    let g = Gemm {
        a: Strides::rows(n * c),
        b: Strides { offset: 0, row: 1, col: n * c },
        c: Strides::rows(v),
        ..Gemm::new(k, v, c)
    };
    u.gemm(&g.batch(n, c, c, k * v), root, [n, k, v])
}

/// `S_n z_n`, `[K, N, *out]`: `z: [N, K, V]`, `root: [V, N, *out]`.
fn coefficients_times_root(z: &Tensor, root: &Tensor) -> Tensor {
    let (n, k, v) = (z.shape()[0], z.shape()[1], z.shape()[2]);
    let c = root.shape()[2..].iter().product();
    let g = Gemm {
        a: Strides::rows(v),
        b: Strides::rows(n * c),
        c: Strides::rows(n * c),
        ..Gemm::new(k, c, v)
    };
    z.gemm(&g.batch(n, k * v, c, c), root, root.shape().tail().prefixed(&[k]))
}

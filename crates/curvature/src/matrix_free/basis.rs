//! Orthonormal vectors on the backend, and an operator's counted products: what the matrix-free
//! methods share.

use vivit_tensor::{Device, Gemm, Matrix, Reduce, Rng, Scalar, Strides, Tensor};

use crate::{Error, LinearOperator};

/// An operator whose products are counted and checked.
pub(crate) struct Products<'a> {
    operator: &'a dyn LinearOperator,
    /// Products so far, one per vector.
    pub(crate) done: usize,
}

impl<'a> Products<'a> {
    pub(crate) fn new(operator: &'a dyn LinearOperator) -> Result<Self, Error> {
        if operator.dim() == 0 {
            return Err(Error::InvalidOption {
                name: "dimension of the operator",
                value: 0.0,
                allowed: "at least 1".into(),
            });
        }
        Ok(Products { operator, done: 0 })
    }

    pub(crate) fn dim(&self) -> usize {
        self.operator.dim()
    }

    pub(crate) fn device(&self) -> &'a Device {
        self.operator.device()
    }

    /// `A x` for each row of `x: [K, D]`, with the rows' norms, which are finite.
    pub(crate) fn apply(&mut self, x: &Tensor) -> Result<(Tensor, Vec<f64>), Error> {
        let y = self.operator.apply(x)?;
        if y.shape() != x.shape() {
            return Err(Error::ProductShape {
                got: y.shape().to_vec(),
                expected: x.shape().to_vec(),
            });
        }
        let norms = row_norms(&y)?;
        if let Some(row) = norms.iter().position(|norm| !norm.is_finite()) {
            return Err(Error::NonFiniteProduct { product: self.done + row + 1 });
        }
        self.done += norms.len();
        Ok((y, norms))
    }
}

/// `⟨x_k, y_k⟩` of each row of `x, y: [K, D]`.
pub(crate) fn row_dots(x: &Tensor, y: &Tensor) -> Result<Vec<f64>, Error> {
    // Not a matrix product: those are made for blocks, and slow for single numbers.
    Ok(x.mul(y).sum(1).to_vec()?.into_iter().map(Scalar::f64).collect())
}

/// The norm of each row of `x: [K, D]`.
pub(crate) fn row_norms(x: &Tensor) -> Result<Vec<f64>, Error> {
    Ok(row_dots(x, x)?.into_iter().map(f64::sqrt).collect())
}

/// The rows of `x: [K, D]`, each times its number.
pub(crate) fn scale_rows(x: &Tensor, factors: &[f64]) -> Result<Tensor, Error> {
    Ok(x.mul(&Tensor::from_vec(x.device(), [factors.len(), 1], factors)?))
}

/// The rows of `x: [K, D]` with the entry of largest magnitude of each made positive.
pub(crate) fn with_signs(x: &Tensor) -> Result<Tensor, Error> {
    let (high, low) = (x.reduce(Reduce::Max, 1).to_vec()?, x.reduce(Reduce::Min, 1).to_vec()?);
    let signs: Vec<f64> =
        high.iter().zip(&low).map(|(high, low)| if -*low > *high { -1.0 } else { 1.0 }).collect();
    scale_rows(x, &signs)
}

/// Standard normal vectors `[k, d]`.
pub(crate) fn normal(device: &Device, rng: &mut Rng, k: usize, d: usize) -> Result<Tensor, Error> {
    Ok(Tensor::from_vec(device, [k, d], rng.normal(k * d))?)
}

/// Orthonormal rows, up to a capacity that is allocated at once.
pub(crate) struct Basis {
    len: usize,
    /// `[capacity, D]`
    rows: Tensor,
    one: Tensor,
}

impl Basis {
    pub(crate) fn new(device: &Device, capacity: usize, dim: usize) -> Self {
        Basis {
            len: 0,
            rows: Tensor::zeros(device, [capacity, dim]),
            one: Tensor::full(device, [1], 1.0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn dim(&self) -> usize {
        self.rows.shape()[1]
    }

    pub(crate) fn capacity(&self) -> usize {
        self.rows.shape()[0]
    }

    /// Rows `first..end`, `[end − first, D]`.
    pub(crate) fn slice(&self, first: usize, end: usize) -> Tensor {
        self.rows.slice(first, end)
    }

    /// Row `at`, `[1, D]`, in memory of its own, so that the basis can grow without a copy of it
    /// all.
    pub(crate) fn copy(&self, at: usize) -> Tensor {
        self.rows.index_select(0, &[at])
    }

    /// Appends row `at` of `x: [K, D]`, times `factor`, as it is.
    pub(crate) fn push(&mut self, x: &Tensor, at: usize, factor: f64) {
        let d = self.dim();
        let product = Gemm {
            b: Strides::rows(d).at(at * d),
            c: Strides::rows(d).at(self.len * d),
            ..Gemm::new(1, d, 1)
        };
        let device = self.rows.device().clone();
        device.gemm(&product.scaled(factor), self.one.buf(), x.buf(), self.rows.buf_mut());
        self.len += 1;
    }

    /// `x −= x Qᵀ Q` for `x: [K, D]`; the coefficients `x Qᵀ`, `[K, len]` row-major.
    pub(crate) fn project_out(&self, x: &mut Tensor) -> Result<Vec<f64>, Error> {
        let (k, m, d) = (x.shape()[0], self.len, self.dim());
        if m == 0 || k == 0 {
            return Ok(Vec::new());
        }
        let coefficients = x.gemm(&Gemm::nt(k, m, d), &self.rows, [k, m]);
        let device = self.rows.device();
        let product = Gemm::new(k, d, m).scaled(-1.0).accumulating();
        device.gemm(&product, coefficients.buf(), self.rows.buf(), x.buf_mut());
        Ok(coefficients.to_vec()?.into_iter().map(Scalar::f64).collect())
    }

    /// Makes `x: [1, D]` orthogonal to all rows and appends it with norm one, unless no more than
    /// `floor` is left of it.
    ///
    /// The coefficients `[len]` of what was taken away, and the norm of what was left: 0 if nothing
    /// was appended.
    ///
    /// A projection leaves errors of the size of rounding relative to the vector that it is given,
    /// so it is repeated until the vector keeps half of its norm (Daniel, Gragg, Kaufman & Stewart,
    /// 1976).
    pub(crate) fn push_orthogonal(
        &mut self,
        mut x: Tensor,
        floor: f64,
    ) -> Result<(Vec<f64>, f64), Error> {
        let mut taken = vec![0.0; self.len];
        let mut norm = row_norms(&x)?[0];
        loop {
            let before = norm;
            if before > floor {
                let more = self.project_out(&mut x)?;
                taken.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
                norm = row_norms(&x)?[0];
            }
            if norm <= floor || norm.is_nan() {
                return Ok((taken, 0.0));
            }
            if norm > 0.5 * before {
                self.push(&x, 0, norm.recip());
                return Ok((taken, norm));
            }
        }
    }

    /// Appends up to `count` random directions, fewer if there are not so many left.
    pub(crate) fn push_random(&mut self, rng: &mut Rng, count: usize) -> Result<usize, Error> {
        let d = self.dim();
        let (floor, mut pushed) = (10.0 * self.rows.dtype().epsilon() * (d as f64).sqrt(), 0);
        while pushed < count && self.len < d {
            let x = normal(self.rows.device(), rng, 1, d)?;
            let (_, norm) = self.push_orthogonal(x, floor)?;
            pushed += usize::from(norm > 0.0);
        }
        Ok(pushed)
    }

    /// `S Q` for `s: [K, m]` and the first m rows, `[K, D]`.
    pub(crate) fn combine(&self, s: &Matrix<f64>) -> Result<Tensor, Error> {
        let (k, m, d) = (s.rows(), s.cols(), self.dim());
        let s = Tensor::from_vec(self.rows.device(), [k, m], s.as_slice())?;
        Ok(s.gemm(&Gemm::new(k, d, m), &self.rows, [k, d]))
    }
}

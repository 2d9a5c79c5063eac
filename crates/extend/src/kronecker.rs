//! Curvature as a Kronecker product: small factors that multiply, add damping, invert, and tell
//! eigenvalues, trace and determinant.

use vivit_autodiff::Order;
use vivit_eigh::eigh;
use vivit_tensor::{Gemm, HostVec, Matrix, Scalar, Shape, Tensor, with_dtype};

use crate::Error;

/// `B ⊗ A` for one parameter (`B` alone where a parameter has no second factor).
///
/// For a weight W `[O, I]`, `(B ⊗ A) vec(X) = vec(B X Aᵀ)` with `B: [O, O]`, `A: [I, I]`, both
/// symmetric. With `B = Q_B Λ_B Q_Bᵀ` and `A = Q_A Λ_A Q_Aᵀ`, damping is exact: `(B ⊗ A + δ)⁻¹ =
/// (Q_B ⊗ Q_A) (Λ_B ⊗ Λ_A + δ)⁻¹ (Q_B ⊗ Q_A)ᵀ`. A grouped convolution has a pair of factors per
/// group, and its matrix is block-diagonal over groups.
///
/// ```
/// # use vivit_autodiff::Order;
/// # use vivit_tensor::{Device, Shape, Tensor};
/// # let cpu = Device::cpu_f64();
/// use vivit_extend::Kronecker;
///
/// let b = Tensor::from_vec(&cpu, [1, 1, 1], vec![2.0])?;
/// let a = Tensor::from_vec(&cpu, [1, 2, 2], vec![1.0, 0.0, 0.0, 3.0])?;
/// let curvature = Kronecker::new(b, Some(a), Order::OutIn, Shape::from([1, 2]));
/// assert_eq!(curvature.trace()?, 8.0);
/// let x = Tensor::full(&cpu, [1, 1, 2], 1.0);
/// assert_eq!(curvature.multiply(&x)?.to_vec()?, [2.0, 6.0]);
/// assert_eq!(curvature.damped(2.0)?.eigenvalues(), [4.0, 8.0]);
/// assert_eq!(curvature.damped(2.0)?.solve(&x)?.to_vec()?, [0.25, 0.125]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Kronecker {
    /// `[G, O, O]`
    b: Tensor,
    /// `[G, I, I]`
    a: Option<Tensor>,
    order: Order,
    /// The parameter's shape.
    shape: Shape,
}

impl Kronecker {
    /// `B ⊗ A` with `b: [G, O, O]` and `a: [G, I, I]` of a parameter of `shape`, whose entries are
    /// `[G, O, I]` or, ordered `InOut`, `[G, I, O]`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn new(b: Tensor, a: Option<Tensor>, order: Order, shape: Shape) -> Self {
        let fits = |x: &Tensor| {
            x.shape().rank() == 3 && x.shape()[1] == x.shape()[2] && x.shape()[0] == b.shape()[0]
        };
        let i = a.as_ref().map_or(1, |a| a.shape()[1]);
        assert!(
            fits(&b)
                && a.as_ref().is_none_or(fits)
                && b.shape()[0] * b.shape()[1] * i == shape.size(),
            "Kronecker factors {} and {:?} of a parameter {shape}",
            b.shape(),
            a.as_ref().map(|a| *a.shape())
        );
        Kronecker { b, a, order, shape }
    }

    /// The factor of the outputs, `[G, O, O]`; of a parameter without second factor the whole
    /// matrix, `[1, D, D]`.
    pub fn b(&self) -> &Tensor {
        &self.b
    }

    /// The factor of the inputs, `[G, I, I]`, if there is one.
    pub fn a(&self) -> Option<&Tensor> {
        self.a.as_ref()
    }

    /// The parameter's shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Groups, out-features and in-features per group.
    fn dims(&self) -> (usize, usize, usize) {
        (self.b.shape()[0], self.b.shape()[1], self.a.as_ref().map_or(1, |a| a.shape()[1]))
    }

    /// The product with K vectors in the parameter's shape, `x: [K, *p]`.
    ///
    /// # Errors
    /// If the vectors do not fit.
    pub fn multiply(&self, x: &Tensor) -> Result<Tensor, Error> {
        let x = self.as_groups(x)?;
        let y = times(&x, &self.b, self.a.as_ref(), false);
        Ok(self.as_parameter(&y))
    }

    /// `tr(B ⊗ A) = Σ_g tr(B_g) tr(A_g)`.
    ///
    /// # Errors
    /// If the device failed.
    pub fn trace(&self) -> Result<f64, Error> {
        let b = traces(&self.b)?;
        let Some(a) = &self.a else { return Ok(b.into_iter().sum()) };
        Ok(b.into_iter().zip(traces(a)?).map(|(b, a)| b * a).sum())
    }

    /// `(B + √δ/π) ⊗ (A + π √δ)` with `π² = (tr A/I) / (tr B/O)`: the factored damping of K-FAC
    /// (Martens & Grosse 2015, § 6.3), which stays a Kronecker product. For the exact `B ⊗ A + δ`
    /// see [`damped`](Kronecker::damped).
    ///
    /// # Errors
    /// If δ is negative or no number, or the device failed.
    pub fn factored_damping(&self, damping: f64) -> Result<Self, Error> {
        check_damping(damping)?;
        let (g, o, i) = self.dims();
        let Some(a) = &self.a else {
            return Ok(Kronecker { b: add_identity(&self.b, &vec![damping; g]), ..self.clone() });
        };
        let (of_b, of_a) = (traces(&self.b)?, traces(a)?);
        let pi: Vec<f64> =
            of_a.iter()
                .zip(&of_b)
                .map(|(a, b)| {
                    if *a > 0.0 && *b > 0.0 { (a * o as f64 / (b * i as f64)).sqrt() } else { 1.0 }
                })
                .collect();
        let root = damping.sqrt();
        Ok(Kronecker {
            b: add_identity(&self.b, &pi.iter().map(|pi| root / pi).collect::<Vec<_>>()),
            a: Some(add_identity(a, &pi.iter().map(|pi| root * pi).collect::<Vec<_>>())),
            ..self.clone()
        })
    }

    /// `B ⊗ A + δ` by the eigenvalues of both factors: what multiplies, inverts, and tells
    /// eigenvalues, trace and determinant.
    ///
    /// # Errors
    /// If δ is negative or no number, a factor holds a NaN, or the device failed.
    pub fn damped(&self, damping: f64) -> Result<DampedKronecker, Error> {
        check_damping(damping)?;
        let b = Decomposed::new(&self.b)?;
        let a = self.a.as_ref().map(Decomposed::new).transpose()?;
        let (g, o, i) = self.dims();
        let mut values = Vec::with_capacity(g * o * i);
        for g in 0..g {
            for o in &b.values[g * o..(g + 1) * o] {
                match &a {
                    Some(a) => values.extend(
                        a.values[g * i..(g + 1) * i]
                            .iter()
                            .map(|a| o.max(0.0) * a.max(0.0) + damping),
                    ),
                    None => values.push(o.max(0.0) + damping),
                }
            }
        }
        Ok(DampedKronecker { kronecker: self.clone(), b, a, values })
    }

    /// `[K, *p]` as `[K, G, O, I]`.
    fn as_groups(&self, x: &Tensor) -> Result<Tensor, Error> {
        let got = x.shape();
        if got.rank() != self.shape.rank() + 1 || got.tail() != self.shape {
            return Err(Error::VectorsShape { got: got.to_vec(), expected: self.shape.to_vec() });
        }
        let (k, (g, o, i)) = (got[0], self.dims());
        Ok(match self.order {
            Order::OutIn => x.reshape([k, g, o, i]),
            Order::InOut => x.reshape([k, g, i, o]).permute(&[0, 1, 3, 2]),
        })
    }

    fn as_parameter(&self, x: &Tensor) -> Tensor {
        let shape = self.shape.prefixed(&x.shape()[..1]);
        if self.order == Order::OutIn {
            x.reshape(shape)
        } else {
            x.permute(&[0, 1, 3, 2]).reshape(shape)
        }
    }
}

/// `B ⊗ A + δ`, decomposed.
#[derive(Clone, Debug)]
pub struct DampedKronecker {
    kronecker: Kronecker,
    b: Decomposed,
    a: Option<Decomposed>,
    /// Damped eigenvalues `[G, O, I]`.
    values: Vec<f64>,
}

impl DampedKronecker {
    /// All eigenvalues, ascending, damping included. (Rounding may leave a factor with slightly
    /// negative ones: they count as zero.)
    pub fn eigenvalues(&self) -> Vec<f64> {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        values
    }

    /// The sum of the eigenvalues.
    pub fn trace(&self) -> f64 {
        self.values.iter().sum()
    }

    /// The logarithm of the determinant; −∞ of a singular matrix.
    pub fn log_determinant(&self) -> f64 {
        self.values.iter().map(|value| value.ln()).sum()
    }

    /// The product with K vectors in the parameter's shape, `x: [K, *p]`.
    ///
    /// # Errors
    /// If the vectors do not fit.
    pub fn multiply(&self, x: &Tensor) -> Result<Tensor, Error> {
        self.map(x, |value| value)
    }

    /// The inverse's product with K vectors in the parameter's shape, `x: [K, *p]`.
    ///
    /// # Errors
    /// If the vectors do not fit, or the matrix is numerically singular.
    pub fn solve(&self, x: &Tensor) -> Result<Tensor, Error> {
        let (smallest, largest) = self
            .values
            .iter()
            .fold((f64::INFINITY, 0.0f64), |(low, high), &value| (low.min(value), high.max(value)));
        if smallest <= largest * x.dtype().epsilon() || !largest.is_finite() {
            return Err(Error::Singular { smallest, largest });
        }
        self.map(x, f64::recip)
    }

    /// `Q f(Λ) Qᵀ x`
    fn map(&self, x: &Tensor, f: impl Fn(f64) -> f64) -> Result<Tensor, Error> {
        let x = self.kronecker.as_groups(x)?;
        let (g, o, i) = self.kronecker.dims();
        let values: Vec<f64> = self.values.iter().map(|&value| f(value)).collect();
        let values = Tensor::from_vec(x.device(), [g, o, i], values)?;
        let a = self.a.as_ref().map(|a| &a.vectors);
        let inner = times(&x, &self.b.vectors, a, false).mul(&values);
        Ok(self.kronecker.as_parameter(&times(&inner, &self.b.vectors, a, true)))
    }
}

/// Eigenpairs of each `[n, n]` matrix of `[G, n, n]`.
#[derive(Clone, Debug)]
struct Decomposed {
    /// `[G, n]`
    values: Vec<f64>,
    /// Rows are eigenvectors, `[G, n, n]`.
    vectors: Tensor,
}

impl Decomposed {
    fn new(x: &Tensor) -> Result<Self, Error> {
        let (g, n) = (x.shape()[0], x.shape()[1]);
        let (values, vectors) = with_dtype!(x.dtype(), E => {
            let entries: Vec<E> = x.to_host()?.into_vec();
            let mut vectors: Vec<E> = Vec::with_capacity(g * n * n);
            let mut values = Vec::with_capacity(g * n);
            for g in 0..g {
                let eigen = eigh(Matrix::new(n, n, entries[g * n * n..(g + 1) * n * n].to_vec()))?;
                values.extend(eigen.values.iter().map(|value| value.f64()));
                vectors.extend_from_slice(eigen.vectors.as_slice());
            }
            (values, HostVec::from(vectors))
        });
        Ok(Decomposed { values, vectors: Tensor::from_vec(x.device(), [g, n, n], vectors)? })
    }
}

/// `P X Rᵀ` of every group, `x: [K, G, O, I]`; with `transposed`, `Pᵀ X R`.
fn times(x: &Tensor, p: &Tensor, r: Option<&Tensor>, transposed: bool) -> Tensor {
    let [k, g, o, i] = **x.shape() else { unreachable!("groups of matrices") };
    let left = if transposed { Gemm::tn(o, i, o) } else { Gemm::new(o, i, o) };
    let left = left.batch(k, 0, g * o * i, g * o * i).batch(g, o * o, o * i, o * i);
    let y = p.gemm(&left, x, [k, g, o, i]);
    let Some(r) = r else { return y };
    let right = if transposed { Gemm::new(o, i, i) } else { Gemm::nt(o, i, i) };
    y.gemm(&right.batch(k, g * o * i, 0, g * o * i).batch(g, o * i, i * i, o * i), r, [k, g, o, i])
}

/// The trace of every group's matrix.
fn traces(x: &Tensor) -> Result<Vec<f64>, Error> {
    let (g, n) = (x.shape()[0], x.shape()[1]);
    let x = x.to_vec()?;
    Ok((0..g).map(|g| (0..n).map(|i| x[(g * n + i) * n + i].f64()).sum()).collect())
}

/// `x + shift[g] I` of every group.
fn add_identity(x: &Tensor, shift: &[f64]) -> Tensor {
    let (g, n) = (x.shape()[0], x.shape()[1]);
    let shift = Tensor::from_vec(x.device(), [g, 1, 1], shift).expect("a number per group");
    x.add(&Tensor::eye(x.device(), n).mul(&shift))
}

fn check_damping(damping: f64) -> Result<(), Error> {
    if damping >= 0.0 && damping.is_finite() { Ok(()) } else { Err(Error::Damping { damping }) }
}

//! First and second derivatives of every sample's loss along given directions, by forward mode: no
//! Gram matrix, no backward pass.

use vivit_autodiff::{
    Graph, Linearization, Loss, LossHessian, ParamId, ParamMap, Probe, Reduction, Root, Seed,
};
use vivit_tensor::{Matrix, Tensor};

use crate::Error;

/// Directions that travel at once; more are taken in turns, which bounds the memory.
const COLUMNS: usize = 16;

/// Derivatives of every sample's loss along K directions; see [`directional_derivatives_along`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DerivativesAlong {
    /// First derivatives `γ[n, k] = e_kᵀ ∇ℓ_n`, `[N, K]`.
    pub gammas: Matrix<f64>,
    /// Second derivatives `λ[n, k] = e_kᵀ ∇²ℓ_n e_k` in the GGN's approximation, `[N, K]`.
    pub lambdas: Matrix<f64>,
}

/// Derivatives of every position's share of every sample's loss along K directions; see
/// [`positional_derivatives_along`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PositionalDerivativesAlong {
    /// Positions T of a sample.
    pub positions: usize,
    /// First derivatives `γ[n, t, k]`, `[N·T, K]`: row `n·T + t`.
    pub gammas: Matrix<f64>,
    /// Second derivatives `λ[n, t, k]` in the GGN's approximation, `[N·T, K]`: row `n·T + t`.
    pub lambdas: Matrix<f64>,
}

/// First and second derivatives of every sample's unreduced loss along K directions of parameter
/// space, `[K, *p]` per parameter (parameters that are left out do not move): eigenvectors of
/// another batch or another model, steps, or any others.
///
/// With `u_{n,k} = J_n e_k` from one forward-mode pass, `s = N` for a mean and 1 for a sum:
///
/// ```text
/// γ[n, k] = s ⟨∂L_n/∂f_n, u_{n,k}⟩
/// λ[n, k] = s u_{n,k}ᵀ H_n u_{n,k}
/// ```
///
/// Directions are taken as given: γ scales with `‖e_k‖`, λ with `‖e_k‖²`. Along the eigenvectors of
/// the same batch they are those of
/// [`Ggn::directional_derivatives`](crate::Ggn::directional_derivatives), with an exact root and
/// all samples.
///
/// ```
/// use vivit_autodiff::{CrossEntropy, Graph, Tape};
/// use vivit_curvature::{Ggn, directional_derivatives_along, top_k};
/// use vivit_tensor::{Device, Rng, Tensor};
///
/// let (cpu, mut rng) = (Device::cpu_f64(), Rng::new(0));
/// let mut tape = Tape::new(&cpu);
/// let x = tape.input(Tensor::from_vec(&cpu, [6, 4], rng.normal(24))?);
/// let w = tape.param(Tensor::from_vec(&cpu, [3, 4], rng.normal(12))?);
/// let y = tape.linear(x, w, None);
/// let graph = Graph::new(tape, y)?;
/// let loss = CrossEntropy::mean([0, 1, 2, 0, 1, 2]);
///
/// let pairs = Ggn::new(&graph, &loss).eigenpairs(top_k(2))?;
/// let along = directional_derivatives_along(&graph, &loss, &pairs.eigenvectors)?;
/// // Of a mean, the average second derivative along an eigenvector is its eigenvalue.
/// let mean = (0..6).map(|n| along.lambdas[(n, 0)]).sum::<f64>() / 6.0;
/// assert!((mean - pairs.eigenvalues[0]).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If a direction does not fit its parameter, or they differ in number, targets do not fit, a
/// number is NaN or infinite, or an operation couples samples.
pub fn directional_derivatives_along(
    graph: &Graph,
    loss: &dyn Loss,
    directions: &ParamMap<Tensor>,
) -> Result<DerivativesAlong, Error> {
    let forward = Forward::new(graph, loss, directions)?;
    let [gammas, lambdas] = forward.derivatives(directions, |shares| shares.sum(2))?;
    Ok(DerivativesAlong { gammas, lambdas })
}

/// As [`directional_derivatives_along`], position by position of a loss that is a sum over
/// positions ([`LossHessian::positions`]), such as the tokens of a sequence: the formulas hold with
/// the sum over positions left out. Shares have their sample's factor; summed over a sample's
/// positions they give the sample's derivatives.
///
/// # Errors
/// As there, and if the loss tells no positions.
pub fn positional_derivatives_along(
    graph: &Graph,
    loss: &dyn Loss,
    directions: &ParamMap<Tensor>,
) -> Result<PositionalDerivativesAlong, Error> {
    let forward = Forward::new(graph, loss, directions)?;
    let Some([_, positions]) = forward.hessian.positions() else {
        return Err(Error::NoPositions { loss: loss.name().into() });
    };
    let [gammas, lambdas] = forward.derivatives(directions, Tensor::clone)?;
    Ok(PositionalDerivativesAlong { positions, gammas, lambdas })
}

/// What the derivatives along any direction are made of.
struct Forward<'g> {
    linear: Linearization<'g>,
    /// `∂L_n/∂f_n`, `[N, C, T]`.
    gradient: Tensor,
    hessian: LossHessian,
    /// The factor of the unreduced losses, `ℓ_n = s L_n`.
    s: f64,
    /// Number of directions K.
    k: usize,
}

impl<'g> Forward<'g> {
    fn new(
        graph: &'g Graph,
        loss: &dyn Loss,
        directions: &ParamMap<Tensor>,
    ) -> Result<Self, Error> {
        graph.check_apart(Some("derivatives per sample"))?;
        let params: Vec<ParamId> = directions.keys().collect();
        let linear = Linearization::new(graph, &params, None)?;
        let k = linear.check_tangents(directions)?;
        let gradient = Probe::new(Seed::Gradient).columns(graph, loss)?;
        let hessian = Probe::new(Seed::Root(Root::default())).pending_hessian(graph, loss)?;
        let n = graph.samples();
        let [c, t] = hessian.positions().unwrap_or([gradient.len() / n.max(1), 1]);
        let s = if loss.reduction() == Reduction::Mean { n as f64 } else { 1.0 };
        Ok(Forward { linear, gradient: gradient.reshape([n, c, t]), hessian, s, k })
    }

    /// γ and λ, `[N·T′, K]` each, for `gathered` that takes the positions' shares `[K, N, T]` to
    /// `[K, N, T′]` or `[K, N]`.
    fn derivatives(
        &self,
        directions: &ParamMap<Tensor>,
        gathered: impl Fn(&Tensor) -> Tensor,
    ) -> Result<[Matrix<f64>; 2], Error> {
        let [n, c, t] = [0, 1, 2].map(|axis| self.gradient.shape()[axis]);
        let mut rows: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
        for first in (0..self.k).step_by(COLUMNS) {
            let last = (first + COLUMNS).min(self.k);
            let some = directions.iter().map(|(param, e)| (param, e.slice(first, last))).collect();
            let u = self.linear.jvp(&some)?;
            let lambdas = self.hessian.quadratic_forms(&u);
            let gammas = u.reshape([last - first, n, c, t]).mul(&self.gradient).sum(2);
            for (rows, shares) in rows.iter_mut().zip([gammas, lambdas]) {
                rows.extend(gathered(&shares).scale(self.s).to_vec()?);
            }
        }
        let count = rows[0].len() / self.k.max(1);
        Ok(rows.map(|rows| Matrix::from_fn(count, self.k, |row, k| rows[k * count + row])))
    }
}

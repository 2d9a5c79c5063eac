//! Gradients as combinations of V's columns.
//!
//! A loss may know its gradient as `g_n = S_n α_n` with S the root of its Hessian. Then `∇L_n =
//! J_nᵀ g_n = V_n α_n` in the parameters, and along an eigenvector, with `𝒢 ẽ_k = λ_k ẽ_k`,
//!
//! ```text
//! e_kᵀ ∇L_n = ẽ_kᵀ Vᵀ V_n α_n / √λ_k = √λ_k ẽ_k[n]ᵀ α_n
//! ```
//!
//! No gradient travels beside V's columns.

use vivit_autodiff::Root;
use vivit_tensor::{Matrix, Reduce, Tensor, Unary};

use super::roots::Roots;
use super::settings::Settings;
use crate::Error;

/// Most columns that a gradient is combined from: beside more of them, one that travels costs
/// little.
const MAX_COLUMNS: usize = 32;
/// Largest allowed `Σ‖αᵢ Sᵢ‖ / ‖g‖`; beyond it, cancellation amplifies rounding by more than this.
const MAX_CANCELLATION: f64 = 128.0;

/// Every gradient's combination.
#[derive(Debug)]
pub(crate) struct GradientInSpan {
    /// α, `[N_grad, V]`.
    weights: Matrix<f64>,
    /// Where the gradient's sample is among V's.
    samples: Vec<usize>,
}

impl GradientInSpan {
    /// The combinations of V's columns that make the gradients, if all are known and none suffers
    /// from rounding.
    pub fn new(settings: &Settings<'_>, v: &Roots) -> Result<Option<Self>, Error> {
        let (graph, loss) = (settings.graph, settings.loss);
        let Root::Exact(columns) = settings.root else { return Ok(None) };
        let (columns_len, chosen, n) = (v.columns(), v.samples(), graph.samples());
        if columns_len > MAX_COLUMNS {
            return Ok(None);
        }
        let mut places: Vec<Option<usize>> = vec![None; n];
        match v.chosen() {
            Some(samples) => {
                samples.iter().enumerate().for_each(|(at, &sample)| places[sample] = Some(at))
            }
            None => places.iter_mut().enumerate().for_each(|(at, place)| *place = Some(at)),
        }
        let wanted: Vec<usize> = settings.grad_samples.clone().unwrap_or_else(|| (0..n).collect());
        let Some(samples) =
            wanted.iter().map(|&sample| places[sample]).collect::<Option<Vec<usize>>>()
        else {
            return Ok(None);
        };
        let Some(weights) = loss.gradient_weights(graph.value(), columns) else { return Ok(None) };
        if *weights.shape() != [columns_len, n] {
            return Err(Error::Autodiff(vivit_autodiff::Error::LossShape {
                loss: loss.name().into(),
                what: "gradient weights",
                got: weights.shape().to_vec(),
                expected: vec![columns_len, n],
            }));
        }
        let chosen_of = |x: &Tensor, axis: usize| {
            v.chosen().map_or_else(|| x.clone(), |rows| x.index_select(axis, rows))
        };
        let norms = |x: &Tensor, count: usize| {
            x.reshape([count, x.len() / count]).reduce(Reduce::SumSquares, 1).unary(Unary::Sqrt)
        };
        // The root of some samples is scaled so that its GGN estimates the whole.
        let alphas = chosen_of(&weights, 1).scale((chosen as f64 / n as f64).sqrt());
        let sizes = norms(&v.whole().columns, columns_len * chosen).reshape([columns_len, chosen]);
        let spread = alphas.unary(Unary::Abs).mul(&sizes).sum(0);
        let gradient = chosen_of(&norms(&loss.gradient(graph.value()), n), 0);
        // All in one read.
        let rows = [alphas, spread.reshape([1, chosen]), gradient.reshape([1, chosen])];
        let read: Vec<f64> = Tensor::concat(&rows, 0).to_vec()?;
        let mut weights = Matrix::zeros(wanted.len(), columns_len);
        for (row, &at) in samples.iter().enumerate() {
            let of = |column: usize| read[column * chosen + at];
            (0..columns_len).for_each(|column| weights[(row, column)] = of(column));
            // False of NaN too.
            let tame = of(columns_len) <= MAX_CANCELLATION * of(columns_len + 1);
            if !tame {
                return Ok(None);
            }
        }
        Ok(Some(GradientInSpan { weights, samples }))
    }

    /// Number of gradients.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// `ẽ[n]ᵀ α_n` of every gradient, for a direction `ẽ: [V·N]` in Gram space.
    pub fn along(&self, direction: &[f64]) -> impl Iterator<Item = f64> {
        let n = direction.len() / self.weights.cols().max(1);
        self.samples.iter().enumerate().map(move |(row, at)| {
            let entries = direction[*at..].iter().step_by(n);
            self.weights.row(row).iter().zip(entries).map(|(alpha, e)| alpha * e).sum()
        })
    }
}

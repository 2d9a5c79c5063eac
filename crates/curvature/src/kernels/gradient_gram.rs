//! The Gram matrix of per-sample gradients, `K[n, m] = ⟨g_n, g_m⟩`, without forming them where the
//! structure allows.
//!
//! Its eigenvalues are those of the uncentred gradient covariance `Σ_n g_n g_nᵀ` (up to the factor
//! that makes a mean of it); centred, `⟨g_n − ḡ, g_m − ḡ⟩`, those of the covariance.

use vivit_autodiff::{Graph, Loss, ParamId, Probe, Seed, Site};
use vivit_tensor::{Matrix, Scalar};

use crate::gram::GramBlocks;
use crate::params::chosen_params;
use crate::{Contraction, Error};

/// The Gram matrix of the gradients `g_n = ∂L_n/∂θ` of the samples, the reduction's factor
/// included.
///
/// ```
/// use vivit_autodiff::{CrossEntropy, Graph, Tape};
/// use vivit_curvature::GradientGram;
/// use vivit_tensor::{Device, Rng, Tensor};
///
/// let (cpu, mut rng) = (Device::cpu_f64(), Rng::new(0));
/// let mut tape = Tape::new(&cpu);
/// let x = tape.input(Tensor::from_vec(&cpu, &[5, 4], rng.normal(20))?);
/// let w = tape.param(Tensor::from_vec(&cpu, &[3, 4], rng.normal(12))?);
/// let y = tape.linear(x, w, None);
/// let graph = Graph::new(tape, y)?;
///
/// let gram = GradientGram::new(&graph, &CrossEntropy::mean([0, 1, 2, 0, 1])).centred().matrix()?;
/// let row_sum: f64 = gram.row(0).iter().sum();
/// assert!(row_sum.abs() < 1e-14); // centred
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GradientGram<'a> {
    graph: &'a Graph,
    loss: &'a dyn Loss,
    params: Option<Vec<ParamId>>,
    samples: Option<Vec<usize>>,
    centred: bool,
    contraction: Contraction,
}

impl<'a> GradientGram<'a> {
    /// Of all parameters and samples, not centred.
    pub fn new(graph: &'a Graph, loss: &'a dyn Loss) -> Self {
        GradientGram {
            graph,
            loss,
            params: None,
            samples: None,
            centred: false,
            contraction: Contraction::default(),
        }
    }

    /// Of these parameters only.
    #[must_use]
    pub fn params(mut self, params: impl Into<Vec<ParamId>>) -> Self {
        self.params = Some(params.into());
        self
    }

    /// Of the chosen samples, in that order.
    #[must_use]
    pub fn samples(mut self, samples: Vec<usize>) -> Self {
        self.samples = Some(samples);
        self
    }

    /// Of the gradients less their mean over the (chosen) samples.
    #[must_use]
    pub fn centred(mut self) -> Self {
        self.centred = true;
        self
    }

    /// In which order products of gradients are contracted, and in how much memory. Default: the
    /// cheapest, parameter by parameter, in 128 MiB.
    #[must_use]
    pub fn contraction(mut self, contraction: Contraction) -> Self {
        self.contraction = contraction;
        self
    }

    /// The matrix `[N_S, N_S]`.
    ///
    /// # Errors
    /// If parameters, samples or targets do not fit, a number is NaN or infinite, or an operation
    /// couples samples.
    pub fn matrix(self) -> Result<Matrix<f64>, Error> {
        let graph = self.graph;
        let params = chosen_params(graph, self.params)?;
        let n = self.samples.as_ref().map_or(graph.samples(), Vec::len);
        let probe = Probe::new(Seed::Gradient).of(self.samples);
        let mut blocks: Option<GramBlocks> = None;
        let wanted_by = Some("the Gram matrix of per-sample gradients");
        graph.sweep(self.loss, &[probe], &params, wanted_by, |site: &Site<'_>| {
            let new = || GramBlocks::new(graph.tape().device(), site, false, self.contraction);
            blocks.get_or_insert_with(new).add(site, 0)?;
            Ok::<(), Error>(())
        })?;
        let (lower, _) = blocks.expect("at least one parameter was visited").finish();
        let lower = lower.to_matrix()?;
        let whole = Matrix::from_fn(n, n, |i, j| lower[(i.max(j), i.min(j))]);
        Ok(if self.centred { centre(&whole) } else { whole })
    }
}

/// `(I − 11ᵀ/N) K (I − 11ᵀ/N)`
fn centre<E: Scalar>(k: &Matrix<E>) -> Matrix<E> {
    let n = k.rows();
    let means: Vec<f64> =
        (0..n).map(|i| k.row(i).iter().map(|x| x.f64()).sum::<f64>() / n as f64).collect();
    let mean = means.iter().sum::<f64>() / n as f64;
    Matrix::from_fn(n, n, |i, j| E::of(k[(i, j)].f64() - means[i] - means[j] + mean))
}

//! Products with curvature matrices that are never formed: GGN, Hessian, Fisher, empirical Fisher,
//! positive-curvature Hessian.
//!
//! With J the Jacobian of the outputs and H what stands for the loss's Hessian, all but the
//! Hessians are `Jᵀ H J`: tangents travel forwards, are multiplied at the output (in closed form,
//! where the loss knows its Hessian), and travel backwards, for any graph, some vectors at once.
//! The Hessian adds the second derivatives of every operation on the way back (see
//! [`vivit_autodiff::Linearization`]).

use vivit_autodiff::{
    Gradients, Graph, Linearization, Loss, LossHessian, ParamId, ParamMap, Probe, Reduction,
    Residuals, Root, RootColumns, Seed,
};
use vivit_tensor::{Device, Shape, Tensor};

use super::operator::check_vectors;
use crate::params::chosen_params;
use crate::{Error, LinearOperator};

/// Vectors that travel at once; more are taken in turns, which bounds the memory.
const COLUMNS: usize = 16;

/// How residuals of activations are made positive semi-definite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Positive {
    /// Magnitudes of their entries.
    #[default]
    Absolute,
    /// Negative entries count as zero.
    Clipped,
}

/// Which matrix.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Root(Root),
    EmpiricalFisher,
    Hessian,
    Positive(Positive),
}

/// A curvature matrix of a loss in some of the graph's parameters (all by default), known by its
/// products `Σ_n J_nᵀ S_n S_nᵀ J_n x`: J_n is the Jacobian of sample n's outputs, S_n a root of
/// what stands for the Hessian of its loss, with the reduction's factor.
///
/// - [`ggn`](CurvatureProduct::ggn): `S_n S_nᵀ = ∂²L_n/∂f_n²` (Schraudolph, Neural Computation 14,
///   2002).
/// - [`fisher`](CurvatureProduct::fisher): Monte-Carlo columns with the same expectation (Martens,
///   JMLR 21, 2020).
/// - [`empirical_fisher`](CurvatureProduct::empirical_fisher): `S_n = √s ∂L_n/∂f_n` with s = N for
///   a mean, 1 for a sum (Kunstner, Balles & Hennig, NeurIPS 2019).
/// - [`hessian`](CurvatureProduct::hessian): as the GGN, and the second derivatives of operations
///   (Pearlmutter, Neural Computation 6, 1994).
/// - [`positive_curvature`](CurvatureProduct::positive_curvature): as the GGN, and those second
///   derivatives made positive (Chen, arXiv 1104.0416, 2011).
///
/// ```
/// use vivit_autodiff::{CrossEntropy, Graph, Tape};
/// use vivit_curvature::{LinearOperator, CurvatureProduct};
/// use vivit_tensor::{Device, Rng, Tensor};
///
/// let (cpu, mut rng) = (Device::cpu_f64(), Rng::new(0));
/// let mut tape = Tape::new(&cpu);
/// let x = tape.input(Tensor::from_vec(&cpu, &[5, 4], rng.normal(20))?);
/// let w = tape.param(Tensor::from_vec(&cpu, &[3, 4], rng.normal(12))?);
/// let y = tape.linear(x, w, None);
/// let graph = Graph::new(tape, y)?;
/// let loss = CrossEntropy::mean([0, 1, 2, 0, 1]);
///
/// // For a linear model the Hessian is the GGN.
/// let v = Tensor::from_vec(&cpu, &[2, 12], rng.normal(24))?;
/// let ggn = CurvatureProduct::ggn(&graph, &loss).build()?.apply(&v)?;
/// let hessian = CurvatureProduct::hessian(&graph, &loss).build()?.apply(&v)?;
/// let difference = ggn.sub(&hessian).to_vec()?;
/// assert!(difference.iter().all(|d| d.abs() < 1e-14));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CurvatureProduct<'a> {
    graph: &'a Graph,
    loss: &'a dyn Loss,
    kind: Kind,
    params: Option<Vec<ParamId>>,
    samples: Option<Vec<usize>>,
}

impl<'a> CurvatureProduct<'a> {
    fn new(graph: &'a Graph, loss: &'a dyn Loss, kind: Kind) -> Self {
        CurvatureProduct { graph, loss, kind, params: None, samples: None }
    }

    /// The generalized Gauss-Newton matrix `Σ_n J_nᵀ H_n J_n`.
    pub fn ggn(graph: &'a Graph, loss: &'a dyn Loss) -> Self {
        Self::new(graph, loss, Kind::Root(Root::Exact(RootColumns::Rank)))
    }

    /// The Fisher information, estimated with `draws` Monte-Carlo columns per sample. For the
    /// losses here its expectation is the GGN.
    pub fn fisher(graph: &'a Graph, loss: &'a dyn Loss, draws: usize, seed: u64) -> Self {
        Self::new(graph, loss, Kind::Root(Root::MonteCarlo { draws, seed }))
    }

    /// The empirical Fisher information `s Σ_n g_n g_nᵀ` of gradients `g_n = ∂L_n/∂θ`, s = N for a
    /// mean, 1 for a sum: for a mean `(1/N) Σ_n ∇ℓ_n ∇ℓ_nᵀ` of the unreduced losses.
    pub fn empirical_fisher(graph: &'a Graph, loss: &'a dyn Loss) -> Self {
        Self::new(graph, loss, Kind::EmpiricalFisher)
    }

    /// The Hessian `∂²L/∂θ²`.
    pub fn hessian(graph: &'a Graph, loss: &'a dyn Loss) -> Self {
        Self::new(graph, loss, Kind::Hessian)
    }

    /// The positive-curvature Hessian: the GGN and the second derivatives of entry-by-entry
    /// operations, made positive semi-definite. (BackPACK's `PCHMP`.)
    pub fn positive_curvature(graph: &'a Graph, loss: &'a dyn Loss, positive: Positive) -> Self {
        Self::new(graph, loss, Kind::Positive(positive))
    }

    /// The block of these parameters, in this order.
    #[must_use]
    pub fn params(mut self, params: impl Into<Vec<ParamId>>) -> Self {
        self.params = Some(params.into());
        self
    }

    /// Of the chosen samples, scaled by `N/|S|` so that it estimates the matrix of the whole batch.
    #[must_use]
    pub fn samples(mut self, samples: Vec<usize>) -> Self {
        self.samples = Some(samples);
        self
    }

    /// Prepares products: what does not depend on the vectors is computed here.
    ///
    /// # Errors
    /// If parameters, samples or targets do not fit, a number is NaN or infinite, or an operation
    /// lacks the second derivatives that a Hessian needs.
    pub fn build(self) -> Result<CurvatureOperator<'a>, Error> {
        let (graph, loss) = (self.graph, self.loss);
        let params = chosen_params(graph, self.params)?;
        let linear = Linearization::new(graph, &params, self.samples.clone())?;
        let seed = match self.kind {
            Kind::Root(root) => Seed::Root(root),
            Kind::Hessian | Kind::Positive(_) => Seed::Root(Root::default()),
            Kind::EmpiricalFisher => Seed::Gradient,
        };
        let mut hessian = Probe::new(seed).of(self.samples).hessian(graph, loss)?;
        if let Kind::EmpiricalFisher = self.kind {
            let (n, chosen) = (graph.samples() as f64, hessian.shape()[0] as f64);
            let s = if loss.reduction() == Reduction::Mean { n } else { 1.0 };
            hessian = hessian.scale(s * n / chosen);
        }
        let bend = match self.kind {
            Kind::Hessian => Some(Residuals::Exact),
            Kind::Positive(Positive::Absolute) => Some(Residuals::Absolute),
            Kind::Positive(Positive::Clipped) => Some(Residuals::Clipped),
            _ => None,
        };
        let bend = bend
            .map(|residuals| Ok::<_, Error>((linear.gradients(loss, residuals)?, residuals)))
            .transpose()?;
        let layout = Layout::new(graph, &params)?;
        Ok(CurvatureOperator { linear, hessian, bend, layout })
    }
}

/// A curvature matrix, ready for products; see [`CurvatureProduct`].
///
/// As a [`LinearOperator`] it acts on flat vectors `[K, D]`, the parameters' entries one after the
/// other; [`flatten`](Self::flatten) and [`unflatten`](Self::unflatten) translate.
#[derive(Debug)]
pub struct CurvatureOperator<'g> {
    linear: Linearization<'g>,
    /// At the output.
    hessian: LossHessian,
    bend: Option<(Gradients, Residuals)>,
    layout: Layout,
}

impl CurvatureOperator<'_> {
    /// The parameters of the block, in the order of their entries.
    pub fn params(&self) -> &[ParamId] {
        self.linear.params()
    }

    /// The product with K vectors in parameter format, `[K, *p]` per parameter. Parameters of the
    /// block that are left out stand for zeros.
    ///
    /// # Errors
    /// If a vector does not fit its parameter or is none of the block's, or they differ in number.
    pub fn multiply(&self, vectors: &ParamMap<Tensor>) -> Result<ParamMap<Tensor>, Error> {
        let at_output = |moved: Tensor| self.hessian.product(moved);
        Ok(match &self.bend {
            None => self.linear.vjp(&at_output(self.linear.jvp(vectors)?))?,
            Some((gradients, residuals)) => {
                self.linear.second_order(vectors, at_output, (gradients, *residuals))?
            }
        })
    }

    /// Vectors in parameter format as rows `[K, D]`.
    ///
    /// # Errors
    /// If there is not one for every parameter of the block, of its shape.
    pub fn flatten(&self, vectors: &ParamMap<Tensor>) -> Result<Tensor, Error> {
        self.layout.flatten(self.linear.graph(), vectors)
    }

    /// Rows `[K, D]` as vectors in parameter format.
    ///
    /// # Errors
    /// If the shape is another one.
    pub fn unflatten(&self, rows: &Tensor) -> Result<ParamMap<Tensor>, Error> {
        check_vectors(rows, self.layout.dim)?;
        Ok(self.layout.unflatten(rows))
    }
}

impl LinearOperator for CurvatureOperator<'_> {
    fn dim(&self) -> usize {
        self.layout.dim
    }

    fn device(&self) -> &Device {
        self.linear.graph().tape().device()
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor, Error> {
        let mut products = Vec::new();
        let total = x.shape().first().copied().unwrap_or(0);
        check_vectors(x, self.layout.dim)?;
        for first in (0..total).step_by(COLUMNS) {
            let some = x.slice(first, (first + COLUMNS).min(total));
            products.push(self.flatten(&self.multiply(&self.layout.unflatten(&some))?)?);
        }
        Ok(if products.is_empty() { x.clone() } else { Tensor::concat(&products, 0) })
    }
}

/// Where each parameter's entries lie in a flat vector.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    params: Vec<(ParamId, Shape)>,
    pub dim: usize,
}

impl Layout {
    pub fn new(graph: &Graph, params: &[ParamId]) -> Result<Self, Error> {
        let params: Vec<_> = params
            .iter()
            .map(|&param| Ok((param, *graph.tape().param_value(param)?.shape())))
            .collect::<Result<_, Error>>()?;
        let dim = params.iter().map(|(_, shape)| shape.size()).sum();
        Ok(Layout { params, dim })
    }

    pub fn flatten(&self, graph: &Graph, vectors: &ParamMap<Tensor>) -> Result<Tensor, Error> {
        let mut parts = Vec::with_capacity(self.params.len());
        let mut k = None;
        for (param, shape) in &self.params {
            let got = vectors.get(*param).map(|vector| *vector.shape());
            let rows = got.filter(|got| got.rank() > 0 && got.tail() == *shape).map(|got| got[0]);
            match (rows, vectors.get(*param)) {
                (Some(rows), Some(vector)) if rows == *k.get_or_insert(rows) => {
                    parts.push(vector.reshape([rows, shape.size()]))
                }
                _ => {
                    let name = graph.tape().param_name(*param)?.into();
                    let got = got.map_or_else(Vec::new, |got| got.to_vec());
                    return Err(vivit_autodiff::Error::TangentShape {
                        name,
                        got,
                        expected: shape.to_vec(),
                    }
                    .into());
                }
            }
        }
        Ok(Tensor::concat(&parts, 1))
    }

    /// `rows: [K, D]`.
    pub fn unflatten(&self, rows: &Tensor) -> ParamMap<Tensor> {
        let (k, mut first) = (rows.shape()[0], 0);
        let part = |(param, shape): &(ParamId, Shape)| {
            let len = shape.size();
            let part =
                rows.pad(&[(0, 0), (-(first as isize), -((self.dim - first - len) as isize))]);
            first += len;
            (*param, part.reshape(shape.prefixed(&[k])))
        };
        self.params.iter().map(part).collect()
    }
}

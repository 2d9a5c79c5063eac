//! The empirical neural tangent kernel, `Θ[(c, n), (c′, m)] = ⟨∂f[n, c]/∂θ, ∂f[m, c′]/∂θ⟩` (Jacot,
//! Gabriel & Hongler, NeurIPS 2018), through the Gram engine: Jacobians are not stored, and not
//! even formed where a weight is used once per sample.

use vivit_autodiff::{Factor, Graph, ParamId, Probe, Seed, Site};
use vivit_tensor::{Matrix, Tensor};

use crate::gram::{GramBlocks, add_between, add_by_column};
use crate::params::chosen_params;
use crate::{Contraction, Error};

/// The tangent kernel between the samples of a graph, or between two choices of them.
///
/// For the kernel between two batches, record both as one batch and choose [`rows`](Ntk::rows) and
/// [`columns`](Ntk::columns).
///
/// ```
/// use vivit_autodiff::{Graph, Tape};
/// use vivit_curvature::Ntk;
/// use vivit_tensor::{Device, Tensor};
///
/// let cpu = Device::cpu_f64();
/// let mut tape = Tape::new(&cpu);
/// let x = tape.input(Tensor::from_vec(&cpu, &[3, 2], vec![1.0, 0.0, 0.0, 2.0, 1.0, 1.0])?);
/// let w = tape.param(Tensor::full(&cpu, [2, 2], 0.5));
/// let y = tape.linear(x, w, None);
/// let graph = Graph::new(tape, y)?;
///
/// // A linear model's kernel is that of its inputs, for each output.
/// let kernel = Ntk::new(&graph).rows(vec![2]).columns(vec![0, 1]).trace()?;
/// assert_eq!(kernel.as_slice(), [2.0, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Ntk<'a> {
    graph: &'a Graph,
    params: Option<Vec<ParamId>>,
    outputs: Option<Vec<usize>>,
    rows: Option<Vec<usize>>,
    columns: Option<Vec<usize>>,
    contraction: Contraction,
}

impl<'a> Ntk<'a> {
    /// Between all samples, for all outputs, of all parameters.
    pub fn new(graph: &'a Graph) -> Self {
        Ntk {
            graph,
            params: None,
            outputs: None,
            rows: None,
            columns: None,
            contraction: Contraction::default(),
        }
    }

    /// Of these parameters only: kernels of disjoint choices add up.
    #[must_use]
    pub fn params(mut self, params: impl Into<Vec<ParamId>>) -> Self {
        self.params = Some(params.into());
        self
    }

    /// For the chosen outputs (of each sample, flattened), in that order.
    #[must_use]
    pub fn outputs(mut self, outputs: Vec<usize>) -> Self {
        self.outputs = Some(outputs);
        self
    }

    /// The samples of the rows.
    #[must_use]
    pub fn rows(mut self, samples: Vec<usize>) -> Self {
        self.rows = Some(samples);
        self
    }

    /// The samples of the columns.
    #[must_use]
    pub fn columns(mut self, samples: Vec<usize>) -> Self {
        self.columns = Some(samples);
        self
    }

    /// In which order products of Jacobians are contracted, and in how much memory. Default: the
    /// cheapest, parameter by parameter, in 64 MiB.
    #[must_use]
    pub fn contraction(mut self, contraction: Contraction) -> Self {
        self.contraction = contraction;
        self
    }

    /// The whole kernel `[C·N, C·M]`; row `c·N + n` belongs to output c of sample n.
    ///
    /// # Errors
    /// If parameters, samples or outputs do not fit, a number is NaN or infinite, or an operation
    /// couples samples.
    pub fn matrix(&self) -> Result<Matrix<f64>, Error> {
        let device = self.graph.tape().device();
        if self.rows == self.columns {
            let mut blocks: Option<GramBlocks> = None;
            self.sweep(|site| {
                let blocks = blocks
                    .get_or_insert_with(|| GramBlocks::new(device, site, false, self.contraction));
                blocks.add(site, 0)?;
                Ok(())
            })?;
            let (lower, _) = blocks.expect("at least one parameter was visited").finish();
            let lower: Matrix<f64> = lower.to_matrix()?;
            let n = lower.rows();
            return Ok(Matrix::from_fn(n, n, |i, j| lower[(i.max(j), i.min(j))]));
        }
        let mut cross: Option<Tensor> = None;
        self.sweep(|site| {
            let cross =
                cross.get_or_insert_with(|| Tensor::zeros(device, [site.rows(0), site.rows(1)]));
            add_between(cross, site, (0, 1), self.contraction);
            Ok(())
        })?;
        Ok(cross.expect("at least one parameter was visited").to_matrix()?)
    }

    /// The kernel of every output with itself, `[N, M]` each: a C-th of the work of the whole.
    ///
    /// # Errors
    /// As [`matrix`](Ntk::matrix).
    pub fn diagonal(&self) -> Result<Vec<Matrix<f64>>, Error> {
        let kernels = self.by_column()?;
        (0..kernels.shape()[0])
            .map(|c| Ok(kernels.slice(c, c + 1).reshape(kernels.shape().tail()).to_matrix()?))
            .collect()
    }

    /// The kernel summed over outputs, `Σ_c Θ[(c, n), (c, m)]`: `[N, M]`.
    ///
    /// # Errors
    /// As [`matrix`](Ntk::matrix).
    pub fn trace(&self) -> Result<Matrix<f64>, Error> {
        Ok(self.by_column()?.sum(0).to_matrix()?)
    }

    /// `[C, N, M]`
    fn by_column(&self) -> Result<Tensor, Error> {
        let device = self.graph.tape().device();
        let mut cross: Option<Tensor> = None;
        let second = usize::from(self.rows != self.columns);
        self.sweep(|site| {
            let (n, m) = (site.samples(0), site.samples(second));
            let cross =
                cross.get_or_insert_with(|| Tensor::zeros(device, [site.rows(0) / n, n, m]));
            add_by_column(cross, site, (0, second), self.contraction);
            Ok(())
        })?;
        Ok(cross.expect("at least one parameter was visited"))
    }

    /// Shows every parameter with unit columns for the rows and, if they differ, for the columns.
    fn sweep(&self, visit: impl FnMut(&Site<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let graph = self.graph;
        let params = chosen_params(graph, self.params.clone())?;
        graph.check_apart(Some("the tangent kernel"))?;
        let sides = if self.rows == self.columns {
            vec![&self.rows]
        } else {
            vec![&self.rows, &self.columns]
        };
        let factor = |samples: &Option<Vec<usize>>| {
            let probe = Probe::new(Seed::Outputs(None)).of(samples.clone());
            let columns = probe.unit_columns(graph, self.outputs.as_deref())?;
            Ok::<_, Error>(Factor { columns, samples: probe.samples })
        };
        let factors = sides.into_iter().map(factor).collect::<Result<Vec<_>, _>>()?;
        graph.propagate(factors, &params, true, visit)
    }
}
